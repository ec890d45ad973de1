package bls

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/fspath"
	"github.com/alpboot/alpboot/boot/kernel"
)

// maxAddons is how many addons of one unified kernel image are read.
const maxAddons = 32

// AddAddons appends the command lines of the PE addons that systemd-stub would
// use for the unified kernel image of e: those in loader/addons, which are for
// all images, then those in the directory beside the image that has its name and
// .extra.d. What they hold besides, and other files there, is not passed on: a
// note of e names it.
func (b *Boot) AddAddons(e *boot.Entry) {
	var left []string
	cmdline := []string{e.Cmdline}
	for _, dir := range slices.Concat(b.Directories("loader/addons"), fspath.Directories(b.fsys, path.Dir(e.Kernel), path.Base(e.Kernel)+".extra.d", nil)) {
		files, _ := b.Files(dir, "")
		slices.Sort(files)
		for _, file := range files {
			name := path.Base(file)
			switch {
			case len(cmdline) > maxAddons:
				left = append(left, name+" (more than "+fmt.Sprint(maxAddons)+")")
				continue
			case !hasEnding(name, ".addon.efi"):
				left = append(left, name)
				continue
			}
			a, err := kernel.DescribeAddon(b.fsys, file)
			switch {
			case errors.Is(err, kernel.ErrNotUKI):
				left = append(left, name+" (not an addon)")
			case err != nil:
				left = append(left, fmt.Sprintf("%s (%v)", name, err))
			case a.Cmdline != "":
				cmdline = append(cmdline, a.Cmdline)
			}
			for _, section := range a.Others {
				left = append(left, section+" of "+name)
			}
		}
	}
	e.Cmdline = strings.TrimSpace(strings.Join(cmdline, " "))
	if len(left) > 0 {
		e.Notes = append(e.Notes, "What its addons and extra files hold besides is not passed on: "+boot.Clean(strings.Join(left, ", "))+".")
	}
}
