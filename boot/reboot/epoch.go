package reboot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/alpboot/alpboot/boot/tpm"
)

const (
	epochLimit = time.Minute // how long a TPM may take for all that it is asked

	// maxRaise is how far a counter is raised: it counts one by one, in memory that
	// wears out.
	maxRaise = 100
)

// withTPM has do ask the TPM of the machine; errNoTPM when there is none.
func (s *System) withTPM(ctx context.Context, do func(ctx context.Context, d *tpm.Device) error) error {
	name := tpm.Find(os.DirFS(s.path("/")))
	if name == "" || s.TPM == nil {
		return errNoTPM
	}
	rw, err := s.TPM(name)
	if err != nil {
		return err
	}
	d := tpm.New(rw)
	defer d.Close()
	ctx, cancel := context.WithTimeout(ctx, epochLimit)
	defer cancel()
	return do(ctx, d)
}

var errNoTPM = errors.New("this machine has no TPM 2.0")

// epochCounter returns the oldest epoch that the boot menu takes, by the counter of
// the TPM; 0 where nothing counts.
func (s *System) epochCounter(ctx context.Context) (n uint64, err error) {
	err = s.withTPM(ctx, func(ctx context.Context, d *tpm.Device) (err error) {
		n, err = d.Counter(ctx, tpm.EpochCounter)
		return err
	})
	return n, err
}

// revocation is the raising of the epoch that is the oldest one which counts.
type revocation struct {
	*System
	owner []byte // password of the TPM's owner
	from  uint64 // what the counter is at; 0 for one that has to be made
	to    uint64 // the epoch that is signed
}

// revoke prepares a revocation: afterwards nothing starts that was signed in the epochs
// up to last. The TPM is asked now for all that may be in the way, so that what is signed
// then can be made to count.
func (s *System) revoke(ctx context.Context, last uint64, ownerFile string, dry bool) (*revocation, error) {
	r := &revocation{System: s}
	if ownerFile != "" {
		b, err := os.ReadFile(ownerFile)
		if err != nil {
			return nil, fmt.Errorf("the password of the TPM's owner: %w", err)
		}
		r.owner = bytes.TrimRight(b, "\r\n")
	}
	next := uint64(1)
	err := s.withTPM(ctx, func(ctx context.Context, d *tpm.Device) (err error) {
		r.from, err = d.Counter(ctx, tpm.EpochCounter)
		switch {
		case err == nil:
			next = r.from + 1
		case errors.Is(err, tpm.ErrNoCounter):
			if err = nil; !dry {
				next, err = d.NextCount(ctx, r.owner)
			}
		}
		return err
	})
	switch {
	case errors.Is(err, tpm.BadAuth) || errors.Is(err, tpm.AuthFail):
		return nil, fmt.Errorf("nothing was signed: the owner of the TPM has a password, for which there is --owner (%w)", err)
	case err != nil:
		return nil, fmt.Errorf("nothing was signed, as no epoch can be revoked here: %w", err)
	}
	r.to = max(last+1, next)
	if r.to-next >= maxRaise {
		return nil, fmt.Errorf("nothing was signed: epoch %d is too far from what the counter of the TPM can be at next, %d, as it counts one by one; run alpboot sign --epoch %d first", r.to, next, next)
	}
	return r, nil
}

// count raises the counter of the TPM to the epoch that was signed.
func (r *revocation) count(ctx context.Context) error {
	err := r.withTPM(ctx, func(ctx context.Context, d *tpm.Device) (err error) {
		n := r.from
		if n == 0 {
			err = d.DefineCounter(ctx, tpm.EpochCounter, r.owner)
			if errors.Is(err, tpm.Defined) { // one that has not counted yet
				err = nil
			}
		}
		for err == nil && n < r.to {
			n, err = d.Count(ctx, tpm.EpochCounter, r.owner)
		}
		if err == nil && n > r.to {
			err = fmt.Errorf("it is at %d, as something else counts too: run alpboot sign", n)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("epoch %d was signed, but older ones still start: %w", r.to, err)
	}
	r.say("Raised the counter of the TPM to %d: what was signed in an older epoch does not start any more on this machine", r.to)
	return nil
}
