package doctor

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/manifest"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/signature"
)

// signed checks that what can be booted is signed, where the image of the menu asks for
// that.
func (x *examination) signed() {
	if x.menu == nil {
		return
	}
	config := x.menu.Config
	verify := settings.Parse(config[settings.ImageFile], *x.menu.Cmdline).Verify
	if verify == settings.Off {
		return
	}
	j := manifest.Judge{Epoch: x.Epoch}
	for _, name := range slices.Sorted(maps.Keys(config)) {
		if path.Dir(name) != signature.Dir {
			continue
		}
		k, err := signature.ParseKey(path.Base(name), config[name])
		if err != nil {
			x.find(Warning, "signed", "Make the image again, with a key that can be used.", "Of alpboot's image: %v.", err)
			continue
		}
		j.Keys = append(j.Keys, k)
	}
	var unsigned []boot.Entry
	var why []error
	starts := ""
	sums := map[string]manifest.File{}
	for _, e := range x.Inventory.Entries {
		if e.Problem != "" || e.Removable || e.Snapshot || e.IsOwn() || e.Guessed && e.ID != x.boots.ID {
			continue
		}
		if err := x.allowed(j, e, sums); err != nil {
			unsigned, why = append(unsigned, e), append(why, err)
		} else if starts == "" {
			starts = e.Name()
		}
	}
	for i, e := range unsigned {
		f := Finding{Level: Warning, Check: "signed", Entry: e.ID, Do: "Run alpboot sign, with a key whose public half is in alpboot's image.",
			Text: fmt.Sprintf("%s is not signed as it is (verify = %s): %v.", e.Name(), verify, why[i])}
		switch {
		case verify != settings.Enforce || e.ID != x.boots.ID:
		case starts == "":
			f.Level = Broken
		default:
			f.Text += fmt.Sprintf(" %s is booted in its place.", starts)
		}
		x.findings = append(x.findings, f)
	}
}

// allowed returns why the menu would refuse an entry, or nil. Sums are those of files that
// were read.
func (x *examination) allowed(j manifest.Judge, e boot.Entry, sums map[string]manifest.File) error {
	if e.Guessed {
		return errors.New("its command line is a guess, which nobody can sign")
	}
	read := func(name string, do func(io.Reader) error) error {
		f, err := x.Open(e.Volume, name)
		if err != nil {
			return err
		}
		defer f.Close()
		return do(f)
	}
	m, err := j.Allows(manifest.Volume{Device: e.Volume.Device, Read: func(name string, limit int64) (b []byte, err error) {
		err = read(name, func(r io.Reader) error {
			b, err = io.ReadAll(io.LimitReader(r, limit+1))
			return err
		})
		return b, err
	}}, manifest.EntryOf(e))
	if err != nil {
		return err
	}
	for _, name := range append([]string{e.Kernel}, e.Initrds...) {
		at := e.Volume.Device + "/" + name
		is, ok := sums[at]
		if !ok {
			err := read(name, func(r io.Reader) (err error) {
				hash := sha256.New()
				is.Size, err = io.Copy(hash, io.LimitReader(r, maxFile))
				is.SHA256 = [sha256.Size]byte(hash.Sum(nil))
				return err
			})
			if err != nil {
				return err
			}
			sums[at] = is
		}
		if listed, _ := m.File(m.Dir(), name); listed.Size != is.Size || listed.SHA256 != is.SHA256 {
			return fmt.Errorf("/%s on %s was changed after it was signed", name, e.Volume.Device)
		}
	}
	return nil
}
