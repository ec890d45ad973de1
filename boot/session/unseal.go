package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/measure"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/tpm"
)

// unsealing has the machine's TPM unlock volumes that have a token for it, each once a
// scan, before anybody is asked for a passphrase.
type unsealing struct {
	scan   *discover.Scan  // that tried is about
	tried  map[string]bool // devices
	asking int             // how many are being asked about
}

// unsealingBusy reports whether a TPM may yet unlock a volume.
func (s *session) unsealingBusy() bool {
	return s.unsealing.asking > 0 || slices.ContainsFunc(s.secrets.live, func(k *secret) bool { return k.sealed && !k.kept })
}

// unseal asks the TPM about volumes that are new. What is plugged in is left alone: the
// secret of a disk that is built in would open a copy of that.
func (s *session) unseal() {
	u := &s.unsealing
	if u.scan != s.view.scan {
		u.scan, u.tried = s.view.scan, map[string]bool{}
	}
	for _, v := range s.view.inventory.Volumes {
		device := v.Volume.Device
		if len(v.Tokens) == 0 || !v.Locked || v.Busy || v.Volume.Removable || u.tried[device] || s.secrets.forVolume(v.Volume) != nil {
			continue
		}
		u.tried[device] = true
		name := tpm.Find(s.Root)
		if name == "" {
			s.log.Info("it has a token for a TPM 2.0, and this machine has none", "device", device)
			continue
		}
		u.asking++
		handOn, tokens := s.asked.HandOn, v.Tokens
		s.wg.Go(func() {
			passphrase, err := s.unsealOne(name, tokens)
			var taken atomic.Bool
			s.later(func() {
				u.asking--
				switch {
				case taken.Swap(true): // the session ends
				case err != nil:
					s.notUnsealed(device, err)
				default:
					k := s.secrets.own(menu.Unlock{Device: device, Passphrase: passphrase, HandOn: handOn})
					k.sealed = true
					s.unlock(k)
				}
			})
			if s.ctx.Err() != nil && !taken.Swap(true) {
				clear(passphrase)
			}
		})
	}
}

// unsealOne returns the passphrase that the TPM has by one of these tokens.
func (s *session) unsealOne(name string, tokens []map[string]any) (passphrase []byte, err error) {
	err = askTPM(name, s.Machine.TPM, func(ctx context.Context, d *tpm.Device) error {
		var errs []error
		for _, t := range tokens {
			sealed, err := tpm.ParseToken(t)
			if err == nil {
				var secret []byte
				if secret, err = d.Unseal(ctx, sealed); err == nil {
					passphrase = tpm.Passphrase(secret)
					clear(secret)
					return nil
				}
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	return passphrase, err
}

// notUnsealed shows why the passphrase of a volume is asked for all the same.
func (s *session) notUnsealed(device string, err error) {
	s.log.Warn("not unlocked by the TPM", "device", device, "error", err)
	s.update(menu.NoticeMsg{Text: fmt.Sprintf("%s is not unlocked: %s. Its passphrase is asked for.", device, boot.Clean(err.Error()))})
	s.show()
}

// forgetSealed wipes what the TPM has unsealed, before somebody gets a shell that could
// look for it.
func (o *secrets) forgetSealed() {
	o.wipe(slices.DeleteFunc(slices.Clone(o.live), func(k *secret) bool { return !k.sealed || k.busy })...)
}

// latch has the TPM unseal nothing any more that is sealed to PCR 8 as it is before
// something is started: a shell could ask it. It returns what was measured.
func (s *session) latch(name string) (events []measure.Event) {
	err := askTPM(name, s.Machine.TPM, func(ctx context.Context, d *tpm.Device) error {
		algorithms, _, err := measure.Algorithms(ctx, d)
		if err != nil {
			return err
		}
		all := []measure.Event{measure.Shell(algorithms)}
		n, err := measure.Extend(ctx, d, all)
		events = all[:n]
		return err
	})
	if err != nil {
		s.log.Warn("the shell is not measured", "error", err)
	}
	return events
}
