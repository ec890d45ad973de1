package esp

import (
	"fmt"
	"os"
)

// Where there is no boot entry, firmware starts the removable path.
func ExampleInstall() {
	dir, err := os.MkdirTemp("", "esp")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	t := Target{Files: Mounted(dir), Arch: "amd64", Removable: true}

	uki := program("ID=alpboot\n") // as mkpayload uki makes it
	r, err := Install(t, uki)
	fmt.Println(r.Path, r.Same, err)
	r, err = Install(t, uki)
	fmt.Println(r.Path, r.Same, err)
	r, err = Uninstall(t, true)
	fmt.Println(r.Removed, err)
	// Output:
	// EFI/BOOT/BOOTX64.EFI false <nil>
	// EFI/BOOT/BOOTX64.EFI true <nil>
	// [EFI/BOOT/BOOTX64.EFI] <nil>
}
