// Package measure measures what is started into a TPM 2.0, as GRUB does: the command
// line into PCR 8, the kernel and each initrd into PCR 9, in the order in which they
// are loaded. docs/measured.md has which bytes these are, and why.
package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/tpm"
)

// The PCRs that are extended (GRUB_STRING_PCR and GRUB_BINARY_PCR).
const (
	CmdlinePCR = 8
	FilesPCR   = 9
)

// Event is one extension of a PCR.
type Event struct {
	PCR     int
	What    string // was measured
	Digests []tpm.Digest
}

// Algorithms returns the algorithms of the banks that a start is measured in: all that
// have these PCRs, but for those that are not computed here, which are others.
func Algorithms(ctx context.Context, d *tpm.Device) (list, others []tpm.Algorithm, err error) {
	banks, err := d.Banks(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, b := range banks {
		switch {
		case !b.Has(CmdlinePCR) || !b.Has(FilesPCR):
		case b.New() == nil:
			others = append(others, b.Algorithm)
		default:
			list = append(list, b.Algorithm)
		}
	}
	if len(list) == 0 {
		return nil, others, errors.New("the TPM has no bank of PCRs by SHA-1 or SHA-2")
	}
	return list, others, nil
}

// cmdlinePrefix is what the description of a command line begins with. It is not
// measured.
const cmdlinePrefix = "kernel_cmdline: "

// Events returns what the start of t extends, by algorithms. It reads all files.
// Progress, when set, is called with how many bytes were read, at most every 100 ms
// and at the end.
func Events(ctx context.Context, t kexec.Target, algorithms []tpm.Algorithm, progress func(done, total int64)) ([]Event, error) {
	parts, err := split(t)
	if err != nil {
		return nil, err
	}
	var total, done int64
	var reported time.Time
	for _, p := range parts {
		total += p.r.Size()
	}
	events := []Event{{CmdlinePCR, cmdlinePrefix + t.Cmdline, nil}}
	events[0].Digests, err = sum(ctx, strings.NewReader(t.Cmdline), algorithms, func(int) {})
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		digests, err := sum(ctx, p.r, algorithms, func(n int) {
			done += int64(n)
			if now := time.Now(); progress != nil && (done == total || now.Sub(reported) >= progressEvery) {
				reported = now
				progress(done, total)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", p.name, err)
		}
		events = append(events, Event{FilesPCR, p.what + ": /" + strings.TrimPrefix(p.name, "/"), digests})
	}
	return events, nil
}

// Shell returns what the opening of a shell extends.
func Shell(algorithms []tpm.Algorithm) Event {
	e := Event{PCR: CmdlinePCR, What: "shell"}
	for _, a := range algorithms {
		h := a.New()
		h.Write([]byte(e.What))
		e.Digests = append(e.Digests, tpm.Digest{Algorithm: a, Sum: h.Sum(nil)})
	}
	return e
}

// part is a kernel or an initrd.
type part struct {
	what, name string
	r          *io.SectionReader
}

// split returns the kernel and the initrds of t in the order in which they are loaded:
// whole files, but those sections of a unified kernel image that are started.
func split(t kexec.Target) (parts []part, err error) {
	add := func(what string, f *os.File) error {
		st, err := f.Stat()
		if err == nil {
			parts = append(parts, part{what, f.Name(), io.NewSectionReader(f, 0, st.Size())})
		}
		return err
	}
	if err := add("kernel", t.Kernel); err != nil {
		return nil, err
	}
	whole := parts[0]
	if info, err := kernel.Identify(whole.r, whole.r.Size()); err == nil && info.Format == kernel.UnifiedImage {
		// One that is damaged is refused when it is loaded.
		if u, err := kernel.OpenProfile(whole.r, whole.r.Size(), t.Profile); err == nil {
			parts[0].r = u.Linux
			for _, r := range u.Initrds {
				parts = append(parts, part{"initrd", whole.name, r})
			}
		}
	}
	for _, f := range t.Initrds {
		if err := add("initrd", f); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

const progressEvery = 100 * time.Millisecond

// step is what is read before it is checked whether to go on.
const step = 512 << 10

// sum returns the digests of what r holds.
func sum(ctx context.Context, r io.Reader, algorithms []tpm.Algorithm, read func(n int)) ([]tpm.Digest, error) {
	var hashes []hash.Hash
	for _, a := range algorithms {
		hashes = append(hashes, a.New())
	}
	buf := make([]byte, step)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := r.Read(buf)
		var wg sync.WaitGroup
		for _, h := range hashes { // side by side: there are processors for it, and nothing else to do
			wg.Go(func() { h.Write(buf[:n]) })
		}
		wg.Wait()
		read(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	var digests []tpm.Digest
	for i, h := range hashes {
		digests = append(digests, tpm.Digest{Algorithm: algorithms[i], Sum: h.Sum(nil)})
	}
	return digests, nil
}

// Extend extends the PCRs by events, and returns for how many of them that worked. No
// event is extended twice: where an answer was late, the value of the PCR has whether
// it was extended.
func Extend(ctx context.Context, d *tpm.Device, events []Event) (int, error) {
	values := map[int][]byte{} // of PCRs, in the bank of the first digest
	for i, e := range events {
		if len(e.Digests) == 0 {
			return i, errors.New("there is nothing to extend a PCR by")
		}
		first := e.Digests[0]
		if values[e.PCR] == nil {
			var err error
			if values[e.PCR], err = d.Read(ctx, e.PCR, first.Algorithm); err != nil {
				return i, err
			}
		}
		want := extended(values[e.PCR], first)
		for try := 1; ; try++ {
			err := d.Extend(ctx, e.PCR, e.Digests)
			if err == nil {
				break
			}
			if !errors.Is(err, tpm.ErrLate) {
				return i, err
			}
			now, readErr := d.Read(ctx, e.PCR, first.Algorithm)
			if readErr == nil && bytes.Equal(now, want) {
				break
			}
			if readErr != nil || try == 3 || !bytes.Equal(now, values[e.PCR]) {
				return i, errors.Join(err, readErr)
			}
		}
		values[e.PCR] = want
	}
	return len(events), nil
}

// extended returns what a PCR of that value is once it is extended by d.
func extended(value []byte, d tpm.Digest) []byte {
	h := d.New()
	h.Write(value)
	h.Write(d.Sum)
	return h.Sum(nil)
}

// Replay returns what events make of the PCRs in a bank, if these were zero before.
func Replay(events []Event, a tpm.Algorithm) map[int][]byte {
	values := map[int][]byte{}
	for _, e := range events {
		for _, d := range e.Digests {
			if d.Algorithm != a {
				continue
			}
			if values[e.PCR] == nil {
				values[e.PCR] = make([]byte, a.New().Size())
			}
			values[e.PCR] = extended(values[e.PCR], d)
		}
	}
	return values
}
