package session

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/securekeys"
)

// enrolment is what can be enrolled for Secure Boot: signed updates that were read from an
// EFI system partition. What is written is what was shown.
type enrolment struct {
	menu.Enrolment
	updates [][]byte // of securekeys.Variables, in their order
}

// maxOwn is more than an image of alpboot has.
const maxOwn = 256 << 20

// inSetupMode reports whether the firmware takes keys: it has no PK.
func inSetupMode(vars efivar.Variables) bool {
	b, err := vars.Get("SetupMode", efivar.Global)
	return err == nil && len(b) == 1 && b[0] == 1
}

// findEnrolment finds what can be enrolled; nil where nothing can, or vars cannot be
// written.
func findEnrolment(vars efivar.Variables, root fs.FS, volumes boot.Volumes) *enrolment {
	if vars == nil || !inSetupMode(vars) {
		return nil
	}
	for _, v := range volumes {
		if v.Volume.Type != superblock.VFAT {
			continue
		}
		if list, err := fs.ReadDir(v.FS, securekeys.Dir); err != nil || len(list) == 0 {
			continue
		}
		e := &enrolment{}
		if err := e.read(root, v, volumes); err != nil {
			e.Refused = sentence(err)
		}
		return e
	}
	return nil
}

// read reads what v has. The error is why that must not be enrolled.
func (e *enrolment) read(root fs.FS, v boot.MountedVolume, volumes boot.Volumes) error {
	e.About = []string{fmt.Sprintf("The firmware is in setup mode. With the keys in /%s on %s it starts programs that these have signed, and no others:", securekeys.Dir, v.Volume.Device)}
	var trusted []securekeys.Entry
	for _, variable := range securekeys.Variables() {
		name := path.Join(securekeys.Dir, variable.Name+securekeys.Suffix)
		b, err := boot.ReadFile(v.FS, name, securekeys.MaxSize)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("/%s on %s is missing: run alpboot keys --esp", name, v.Volume.Device)
		}
		var entries []securekeys.Entry
		if err == nil {
			entries, err = securekeys.ParseUpdate(b)
		}
		if err != nil {
			return fmt.Errorf("/%s on %s: %w", name, v.Volume.Device, err)
		}
		names, others := securekeys.Names(entries)
		if others != "" {
			names = append(names, others)
		}
		e.About = append(e.About, variable.Name+": "+strings.Join(names, ", "))
		e.updates = append(e.updates, b)
		if variable.Name == "db" {
			trusted = entries
		}
	}
	const back = "The way back is in the setup of the firmware, where the keys can be cleared."
	self := ownImage(root, volumes)
	if self == nil {
		e.About = append(e.About, "alpboot's own image was not found on a disk, so that it is not known whether it would still start.", back)
		return nil
	}
	where := fmt.Sprintf("alpboot's own image, /%s on %s,", self.Kernel, self.Volume.Device)
	i := -1
	for n, o := range volumes {
		if o.Volume.Device == self.Volume.Device {
			i = n
		}
	}
	b, err := boot.ReadFile(volumes[i].FS, self.Kernel, maxOwn)
	if err != nil {
		return err
	}
	by, err := securekeys.SignedBy(bytes.NewReader(b), int64(len(b)), trusted)
	if err != nil {
		return fmt.Errorf("%s would not start any more: %w; sign it by db.key first (mkpayload uki --sign)", where, err)
	}
	e.About = append(e.About, fmt.Sprintf("%s is signed by %s.", where, boot.Clean(by.String())), back)
	return nil
}

// enrol writes what was shown, PK last: from then on the firmware takes nothing that is
// not signed.
func (s *session) enrol() {
	e, vars := s.enrolment, s.Firmware.Vars
	if e == nil || e.Refused != "" || len(e.updates) != len(securekeys.Variables()) {
		return
	}
	s.enrolment = nil
	s.configure()
	s.wg.Go(func() {
		msg := menu.ResultMsg{Text: "The keys are enrolled. Secure Boot holds from the next start on, unless the firmware's setup has it off."}
		for i, v := range securekeys.Variables() {
			if err := vars.SetSigned(v.Name, v.Vendor, e.updates[i]); err != nil {
				msg = menu.ResultMsg{Text: fmt.Sprintf("The keys are not enrolled, and the firmware stays in setup mode: %v.", err), Bad: true}
				break
			}
		}
		s.later(func() {
			s.log.Info("enrolling keys for Secure Boot", "result", msg.Text)
			s.update(msg)
		})
	})
}
