package remember_test

import (
	"fmt"
	"os"

	"github.com/alpboot/alpboot/boot/remember"
)

func ExampleFile() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer root.Close()

	store := &remember.File{
		Path: "alpboot.state", Volume: "/dev/sda1", FS: root.FS(),
		Write: func(do func(*os.Root) error) error { return do(root) }, // mounts and unmounts on a machine
	}
	state, _ := store.Load()
	state.Default = "virt-2"
	fmt.Println(store.Save(state))

	state, err = store.Load()
	fmt.Println(state.Default, "in", store.Where(), err)
	// Output:
	// <nil>
	// virt-2 in /alpboot.state on /dev/sda1 <nil>
}
