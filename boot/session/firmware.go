package session

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// writable returns the variables of the firmware; nil where they cannot be written.
func (f Firmware) writable() efivar.Variables {
	if f.ReadOnly {
		return nil
	}
	return f.Vars
}

// readFirmware reads what the firmware has: whether there is a setup, and what
// is remembered.
func (s *session) readFirmware() {
	store := s.Firmware.Store
	if s.Settings.Remember == settings.Off {
		store = remember.SystemdBoot{Store: &remember.Nowhere{}, Vars: s.Firmware.Vars, ReadOnly: true}
	}
	onVolume := s.onVolume()
	s.firmwareAwaited = true
	vars := s.Firmware.writable()
	s.wg.Go(func() {
		setup := vars != nil && efivar.HasSetup(vars)
		var others []menu.Other
		if vars != nil {
			options, err := efivar.Others(vars)
			if err != nil {
				s.log.Warn("the boot options of the firmware were not read", "error", err)
			}
			for _, o := range options {
				others = append(others, menu.Other{Number: o.Number, Title: boot.Clean(o.Description)})
			}
		}
		var state remember.State
		var err error
		if !onVolume {
			state, err = store.Load()
		}
		s.later(func() {
			s.setup, s.others, s.firmwareAwaited = setup, others, false
			s.loader.vars = vars
			if !onVolume {
				s.openMemory(store, state, err)
			}
			s.configure()
			s.show()
			s.letGo()
		})
	})
}

// firmwareSetup restarts the machine into the setup of its firmware.
func (s *session) firmwareSetup() {
	s.restartInto("the setup of the firmware", func() error { return efivar.RequestSetup(s.Firmware.Vars) })
}

// startOther restarts the machine into a boot option of its firmware.
func (s *session) startOther(o menu.Other) {
	s.restartInto(o.Title, func() error { return efivar.SetNext(s.Firmware.Vars, o.Number) })
}

// restartInto restarts the machine once request has asked its firmware for what.
func (s *session) restartInto(what string, request func() error) {
	s.wg.Go(func() {
		err := request()
		s.later(func() {
			if err != nil {
				s.update(menu.ResultMsg{Text: fmt.Sprintf("The firmware cannot be asked to start %s: %v.", what, err), Bad: true})
				return
			}
			s.leave(fmt.Sprintf("Restarting into %s ...", what), "restart", s.Machine.Restart)
		})
	})
}

// leave restarts the machine or powers it off.
func (s *session) leave(text, what string, how func() error) {
	if s.leaving {
		return
	}
	s.depart(text, "", nil, how, func(err error) {
		if err == nil { // reboot(2) came back, and knows no reason
			err = fmt.Errorf("the machine did not %s", what)
		}
		s.update(menu.NoticeMsg{Text: sentence(err)})
	})
}

// ownImage finds a unified kernel image of alpboot with the kernel that is
// running, where mkpayload install puts it or where firmware looks by itself.
// Nil when there is none: then alpboot cannot be started again.
func ownImage(root fs.FS, volumes boot.Volumes) *boot.Entry {
	b, _ := fs.ReadFile(root, "proc/sys/kernel/osrelease")
	running := strings.TrimSpace(string(b))
	if running == "" {
		return nil
	}
	for _, v := range volumes {
		if v.Volume.Type != superblock.VFAT {
			continue // firmware starts from nothing else
		}
		for _, pattern := range []string{"EFI/alpboot/*", "EFI/BOOT/*", "EFI/Linux/*"} {
			names, _ := fs.Glob(v.FS, pattern)
			for _, name := range names {
				if !strings.EqualFold(path.Ext(name), ".efi") {
					continue
				}
				info, uki, err := kernel.Describe(v.FS, name)
				if err == nil && uki != nil && info.Version == running && isOwn(uki.OSRelease) {
					return &boot.Entry{Title: "alpboot", Volume: v.Volume, Kernel: name, UKI: true}
				}
			}
		}
	}
	return nil
}

// isOwn reports whether an os-release is that of alpboot's images.
func isOwn(osRelease string) bool {
	for line := range strings.Lines(osRelease) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "ID="); ok {
			return strings.Trim(id, `"'`) == "alpboot"
		}
	}
	return false
}

// relaunch starts alpboot again, with the command line that it was started with.
func (s *session) relaunch() {
	if s.self == nil {
		return
	}
	s.log.Info("starting alpboot again", "image", s.self.Kernel, "on", s.self.Volume.Device)
	s.load(&job{entry: *s.self, cmdline: cmdline.Parse(s.Cmdline).WithoutLoader().String()})
}
