package settings_test

import (
	"fmt"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/settings"
)

// A kernel parameter counts more than the file in the image.
func ExampleRead() {
	image := fstest.MapFS{"etc/alpboot.conf": {Data: []byte("timeout = 10\nui = line\n")}}
	s := settings.Read(image, "quiet alpboot.timeout=3 alpboot.colour=mono")
	fmt.Println(*s.Timeout, s.UI)
	for _, note := range s.Notes {
		fmt.Println(note)
	}
	// Output:
	// 3s line
	// alpboot.colour is not a setting of alpboot.
}

// The EFI system partition of a disk that is built in may hold settings, but
// not those that weaken the machine.
func ExampleSettings_WithVolumes() {
	esp := boot.MountedVolume{}
	esp.Volume = boot.Volume{Device: "/dev/sda1", Type: "vfat", Partition: 1}
	esp.FS = fstest.MapFS{"alpboot.conf": {Data: []byte("default = Linux lts\nshell = yes\n")}}

	s := settings.Read(fstest.MapFS{}, "").WithVolumes(boot.Volumes{esp})
	fmt.Println(s.Default)
	fmt.Println(s.Notes[0])
	// Output:
	// Linux lts
	// /dev/sda1: /alpboot.conf:2: shell is not taken from a volume, only from the image and the kernel parameters.
}

// Values are those in effect, with their sources.
func ExampleSettings_Values() {
	s := settings.Read(fstest.MapFS{}, `alpboot.default="A # B"`)
	for _, v := range s.Values() {
		if v.Source != (settings.Source{}) {
			fmt.Printf("%s, by %s\n", v, v.Source)
		}
	}
	// Output:
	// default = "A # B", by kernel parameter
}
