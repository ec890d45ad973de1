package session

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/device/luks"
	"github.com/alpboot/alpboot/boot/menu"
)

// secrets owns the passphrases that were typed. Each is in live from the moment
// it arrives until it is wiped, whatever becomes of it in between.
type secrets struct {
	live    []*secret
	pending *secret // typed while its volume is being scanned again
}

// secret is a passphrase that was typed for a device.
type secret struct {
	device     string
	passphrase []byte
	sealed     bool        // it is the TPM's, and nobody has typed it
	handOn     bool        // to be passed to the system that is booted
	kept       bool        // it has unlocked volume, and is kept for that system
	volume     boot.Volume // the LUKS volume; its device may have another name after a rescan
	busy       bool        // it is being tried; not to be wiped then
}

// own takes the passphrase of a.
func (o *secrets) own(a menu.Unlock) *secret {
	k := &secret{device: a.Device, passphrase: a.Passphrase, handOn: a.HandOn}
	o.live = append(o.live, k)
	return k
}

// wipe forgets passphrases: those of list.
func (o *secrets) wipe(list ...*secret) {
	for _, k := range list {
		clear(k.passphrase)
		k.passphrase = nil
		if o.pending == k {
			o.pending = nil
		}
	}
	o.live = slices.DeleteFunc(o.live, func(k *secret) bool { return k.passphrase == nil })
}

// wipeAll is for the end, when nothing is under way.
func (o *secrets) wipeAll() { o.wipe(slices.Clone(o.live)...) }

// keep keeps k, which has unlocked volume, for the system that is booted.
func (o *secrets) keep(k *secret, volume boot.Volume) {
	o.wipe(slices.DeleteFunc(slices.Clone(o.live), func(old *secret) bool {
		return old == k || old.busy || !old.kept || old.volume.UUID != volume.UUID || old.volume.Device != volume.Device
	})...)
	k.kept, k.volume = true, volume
}

// forVolume returns the kept passphrase of a volume: that of its device rather
// than that of a copy, which has the same UUID.
func (o *secrets) forVolume(v boot.Volume) *secret {
	var found *secret
	for _, k := range o.live {
		if k.kept && k.volume.UUID == v.UUID && (found == nil || k.volume.Device == v.Device) {
			found = k
		}
	}
	return found
}

// handOn returns the command line that has the system of an entry take a
// passphrase which was kept for it, and that passphrase; nil when it would not
// ask for one. Where several volumes are what the command line names, the one
// counts that the root filesystem is in, then the one on the disk of the entry.
//
// What the TPM has, and nobody typed, is for an entry that is signed, as its disk has
// it: anybody who can write to some disk can make another one.
func (o *secrets) handOn(e boot.Entry, volumes []boot.Volume, signed bool) (string, []byte) {
	crypt := rootVolume(e, volumes).Crypt
	rank := func(k *secret) int {
		switch {
		case crypt != "" && k.volume.UUID == crypt && k.volume.OnDisk() == e.Volume.OnDisk():
			return 0
		case crypt != "" && k.volume.UUID == crypt:
			return 1
		case k.volume.OnDisk() == e.Volume.OnDisk():
			return 2
		}
		return 3
	}
	kept := slices.DeleteFunc(slices.Clone(o.live), func(k *secret) bool {
		return !k.kept || k.sealed && !signed
	})
	slices.SortStableFunc(kept, func(a, b *secret) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.volume.Device, b.volume.Device))
	})
	for _, k := range kept {
		if line, ok := luks.ForTarget(e.Cmdline, k.volume); ok {
			return line, slices.Clone(k.passphrase)
		}
	}
	return e.Cmdline, nil
}

// rootVolume returns the volume that root= of an entry names, on the disk of the
// entry rather than on another, or else the entry's own.
func rootVolume(e boot.Entry, volumes []boot.Volume) boot.Volume {
	root, _ := cmdline.Parse(e.Cmdline).Get("root")
	_, value, _ := cmdline.Cut(root)
	found := e.Volume
	for _, v := range volumes {
		named := v.Device == root ||
			value != "" && slices.Contains([]string{"UUID=" + v.UUID, "LABEL=" + v.Label, "PARTUUID=" + v.PartUUID, "PARTLABEL=" + v.PartLabel}, root)
		if root != "" && named && (found == e.Volume || v.OnDisk() == e.Volume.OnDisk()) {
			found = v
		}
	}
	return found
}

// unlock unlocks an encrypted volume with the passphrase that was typed. While
// its disk is being scanned again, as after a shell, that is waited for.
func (s *session) unlock(k *secret) {
	if s.view.awaitsLocked(k.device) {
		if old := s.secrets.pending; old != nil {
			s.secrets.wipe(old)
			if old.device != k.device {
				s.update(menu.UnlockedMsg{Device: old.device, Error: old.device + ": not tried, as another passphrase was typed."})
			}
		}
		s.secrets.pending = k
		return
	}
	scan, vol := s.view.scan, s.view.volume(k.device)
	k.busy = true
	s.wg.Go(func() {
		err := scan.Unlock(s.ctx, k.device, k.passphrase)
		s.later(func() {
			k.busy = false
			switch {
			case err != nil && !errors.Is(err, luks.ErrPassphrase) && s.view.stopped(scan):
				s.unlock(k) // with the next scan
				return
			case err == nil && k.handOn && vol.UUID != "":
				s.secrets.keep(k, vol)
			default:
				s.secrets.wipe(k)
			}
			if err != nil && k.sealed {
				s.notUnsealed(k.device, err)
				return
			}
			s.unlocked(k.device, err)
		})
	})
}

// unlockPending unlocks a volume that waited for it, if it need not wait any
// more.
func (s *session) unlockPending() {
	if k := s.secrets.pending; k != nil && !s.view.awaitsLocked(k.device) {
		s.secrets.pending = nil
		s.unlock(k)
	}
}

// unlocked shows what came of a passphrase.
func (s *session) unlocked(device string, err error) {
	msg := menu.UnlockedMsg{Device: device}
	switch {
	case err == nil:
		s.log.Info("unlocked", "device", device)
	case errors.Is(err, luks.ErrPassphrase):
		s.log.Info("a wrong passphrase", "device", device)
		msg.Wrong = true
		if errors.Is(err, luks.ErrMemory) { // it may be right for a key slot that could not be tried
			s.update(menu.NoticeMsg{Text: fmt.Sprintf("%s: %v.", device, err)})
		}
	default:
		s.log.Warn("not unlocked", "device", device, "error", err)
		msg.Error = fmt.Sprintf("%s: %v.", device, err)
	}
	s.update(msg)
	if err == nil && s.view.unlocked(device) {
		s.show()
	}
}

// unlockAgain unlocks volumes that were locked with the end of a scan, as for a
// shell, where their passphrase is still there.
func (s *session) unlockAgain() {
	for _, v := range s.view.inventory.Volumes {
		k := s.secrets.forVolume(v.Volume)
		if k == nil || !v.Locked || v.Busy || k.busy {
			continue
		}
		k.busy = true
		scan, device := s.view.scan, v.Volume.Device
		s.wg.Go(func() {
			err := scan.Unlock(s.ctx, device, k.passphrase)
			s.later(func() {
				k.busy = false
				if err != nil && s.view.scan == scan {
					s.secrets.wipe(k)
					s.update(menu.ResultMsg{Text: fmt.Sprintf("%s was unlocked before and cannot be unlocked again: %v.", device, err), Bad: true})
				}
			})
		})
	}
}
