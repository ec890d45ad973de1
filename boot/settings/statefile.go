package settings

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/remember"
)

// StatePlace is a place for a [remember.File].
type StatePlace struct {
	boot.MountedVolume
	Path string // of the file
}

func (p StatePlace) String() string { return fmt.Sprintf("/%s on %s", p.Path, p.Volume.Device) }

// StateFile returns the file in which things are remembered: with Remember = File the
// one that is named, with Auto, on a machine whose EFI variables cannot be written,
// the one that somebody has made ([remember.Prepare]) in one of
// [Settings.StatePlaces]. The error says in a few words why there is none.
func (s Settings) StateFile(volumes boot.Volumes, entries []boot.Entry) (StatePlace, error) {
	if s.Remember == File {
		on := volumes.Find(s.RememberFile.Volume, boot.Volume{})
		if len(on) == 0 {
			return StatePlace{}, fmt.Errorf("the volume of remember = %s is not there", s.RememberFile)
		}
		return StatePlace{on[0], s.RememberFile.Path}, nil
	}
	var found []StatePlace
	for _, p := range s.StatePlaces(volumes, entries) {
		if remember.Prepared(p.FS, p.Path) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return StatePlace{}, errors.New("there are no EFI variables that can be written, and no file was made for it")
	case 1:
		return found[0], nil
	}
	return StatePlace{}, fmt.Errorf("there is %s and %s: the setting remember names the one to use", found[0], found[1])
}

// StatePlaces returns the places where StateFile looks: where the settings of a
// volume may be, whether there are some or not, and beside the images of alpboot
// that boot loaders start, which are among entries. As with settings, no stick
// counts that no setting names.
func (s Settings) StatePlaces(volumes boot.Volumes, entries []boot.Entry) []StatePlace {
	var places []StatePlace
	add := func(v boot.MountedVolume, beside string) {
		p := StatePlace{v, path.Join(path.Dir(beside), remember.FileName)}
		if !slices.ContainsFunc(places, func(o StatePlace) bool { return o.Volume.Device == v.Volume.Device && o.Path == p.Path }) {
			places = append(places, p)
		}
	}
	list, paths := s.places(volumes)
	for _, v := range list {
		for _, p := range paths {
			add(v, p)
		}
	}
	for _, e := range entries {
		if !e.IsOwn() {
			continue
		}
		for _, v := range volumes {
			if v.Volume.Device == e.Volume.Device && !v.Volume.Removable && v.Volume.Partition != 0 {
				add(v, e.Kernel)
			}
		}
	}
	return places
}
