package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device/luks"
	"github.com/alpboot/alpboot/boot/menu"
)

// secret is a passphrase that was typed and is to be handed on.
type secret struct {
	volume     boot.Volume // the LUKS volume that it opens
	passphrase []byte
	busy       bool // the volume is being opened with it once more
}

// unlock opens an encrypted volume with the passphrase that was typed. While its
// disk is being looked at again, as after a shell, that is waited for.
func (s *session) unlock(ctx context.Context, a menu.Unlock) {
	if s.lockedToCome(a.Device) {
		s.locked = &a
		return
	}
	scan, vol := s.scan, s.volume(a.Device)
	go func() {
		err := scan.Unlock(ctx, a.Device, a.Passphrase)
		s.later(ctx, func() {
			if err == nil && a.HandOn && vol.UUID != "" {
				s.wipe(vol.UUID)
				s.kept[vol.UUID] = &secret{volume: vol, passphrase: a.Passphrase}
			} else {
				clear(a.Passphrase)
			}
			s.unlocked(ctx, a.Device, err)
		})
	}()
}

// unlockPending opens a volume that waited to be opened, if it need not wait any
// more.
func (s *session) unlockPending(ctx context.Context) {
	if a := s.locked; a != nil && !s.lockedToCome(a.Device) {
		s.locked = nil
		s.unlock(ctx, *a)
	}
}

// unlocked tells the menu what came of a passphrase.
func (s *session) unlocked(ctx context.Context, device string, err error) {
	msg := menu.UnlockedMsg{Device: device}
	switch {
	case err == nil:
		s.log.Info("opened", "device", device)
	case errors.Is(err, luks.ErrPassphrase):
		s.log.Info("a wrong passphrase", "device", device)
		msg.Wrong = true
		if errors.Is(err, luks.ErrMemory) { // it may be right for a key slot that could not be tried
			s.update(ctx, menu.NoticeMsg{Text: fmt.Sprintf(wordSlotLeft, device, err)})
		}
	default:
		s.log.Warn("not opened", "device", device, "error", err)
		msg.Error = fmt.Sprintf(wordSlotLeft, device, err)
	}
	s.update(ctx, msg)
	if err == nil {
		s.showOpen(ctx, device)
	}
}

// showOpen shows that a volume is locked no more, where that is known before the
// inventory which says so has come: it must not be asked for twice.
func (s *session) showOpen(ctx context.Context, device string) {
	i := slices.IndexFunc(s.inventory.Volumes, func(v boot.VolumeStatus) bool { return v.Locked && v.Volume.Device == device })
	if i < 0 {
		return
	}
	s.inventory.Volumes = slices.Clone(s.inventory.Volumes)
	v := &s.inventory.Volumes[i]
	v.Locked, v.Problem = false, ""
	s.inventory.Settled = false // what is in it is still to come
	s.show(ctx)
}

// volume gives what is known of a device.
func (s *session) volume(device string) boot.Volume {
	i := slices.IndexFunc(s.inventory.Volumes, func(v boot.VolumeStatus) bool { return v.Volume.Device == device })
	if i < 0 {
		return boot.Volume{Device: device}
	}
	return s.inventory.Volumes[i].Volume
}

// unlockAgain opens volumes that were closed with a scan, as for a shell, where
// their passphrase is still there.
func (s *session) unlockAgain(ctx context.Context) {
	for _, v := range s.inventory.Volumes {
		k := s.kept[v.Volume.UUID]
		if k == nil || !v.Locked || v.Busy || k.busy {
			continue
		}
		k.busy = true
		scan, device := s.scan, v.Volume.Device
		again := slices.Clone(k.passphrase)
		go func() {
			err := scan.Unlock(ctx, device, again)
			clear(again)
			s.later(ctx, func() {
				k.busy = false
				if err != nil && s.scan == scan {
					s.wipe(k.volume.UUID)
					s.update(ctx, menu.ResultMsg{Text: fmt.Sprintf(wordUnopened, device, err), Bad: true})
				}
			})
		}()
	}
}

// handOn gives the command line of an entry that has the target take a
// passphrase which was kept for it, and that passphrase; nil when it would not
// ask for one.
func (s *session) handOn(cmdline string) (string, []byte) {
	for _, k := range s.kept {
		if line, ok := luks.ForTarget(cmdline, k.volume); ok {
			return line, slices.Clone(k.passphrase)
		}
	}
	return cmdline, nil
}

func (s *session) wipe(uuid string) {
	if k := s.kept[uuid]; k != nil {
		clear(k.passphrase)
		delete(s.kept, uuid)
	}
}

func (s *session) wipeAll() {
	if s.locked != nil {
		clear(s.locked.Passphrase)
		s.locked = nil
	}
	for uuid := range s.kept {
		s.wipe(uuid)
	}
}
