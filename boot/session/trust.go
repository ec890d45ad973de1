package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/manifest"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/signature"
	"github.com/alpboot/alpboot/boot/tpm"
)

// textLocked is shown for what cannot be done where only what is signed starts.
const textLocked = "This is locked: only what is signed starts here (verify = enforce)."

// trust decides whether an entry may start: its files and its command line must be in a
// manifest that a key of the image has signed.
type trust struct {
	verify string // settings.Off, Warn or Enforce
	keys   []signature.Key
}

// readTrust reads the keys of the image. The notes are about those that cannot be used.
func readTrust(root fs.FS, verify string) (t trust, notes []string) {
	t.verify = verify
	if verify == settings.Off {
		return t, nil
	}
	names, _ := fs.Glob(root, signature.Dir+"/*")
	for _, name := range names {
		b, err := boot.ReadFile(root, name, signature.MaxKey)
		if err == nil {
			var k signature.Key
			if k, err = signature.ParseKey(path.Base(name), b); err == nil {
				t.keys = append(t.keys, k)
				continue
			}
		}
		notes = append(notes, sentence(err))
	}
	if len(t.keys) == 0 {
		notes = append(notes, fmt.Sprintf("Nothing counts as signed: verify = %s, and this image has no key in /%s (mkpayload initramfs --key).", verify, signature.Dir))
	}
	return t, notes
}

// enforces reports whether nothing starts that is not signed.
func (t trust) enforces() bool { return t.verify == settings.Enforce }

// what returns which kernels start, by what is enforced here and by the lockdown mode of
// the kernel; "" for all.
func (t trust) what(lockdown string) string {
	locked := lockdown != "" && lockdown != "none"
	switch {
	case t.enforces() && locked:
		return "what the owner of this image has signed, if the firmware trusts its kernel too"
	case t.enforces():
		return "what the owner of this image has signed; its kernels need no other signature"
	case locked:
		return "kernels that the firmware trusts, with any initramfs and command line"
	}
	return ""
}

// locked is why something cannot be done, as a sentence; "" where it can.
func (t trust) locked() string {
	if t.enforces() {
		return textLocked
	}
	return ""
}

// mark returns entries with a problem where they must not start, whatever is signed.
func (t trust) mark(entries []boot.Entry) []boot.Entry {
	if !t.enforces() {
		return entries
	}
	entries = slices.Clone(entries)
	for i, e := range entries {
		if e.Guessed && e.Problem == "" {
			entries[i].Problem = sentence(errGuessed)
		}
	}
	return entries
}

var (
	errGuessed = errors.New("its command line is a guess, which nobody has signed")
	errEdited  = errors.New("it was edited, and nobody has signed that")
)

// statement is a manifest that lets an entry start.
type statement struct {
	manifest.Signed
	epochs epochs
}

// epochs is what the TPM counts.
type epochs struct {
	least uint64 // that counts; 0 when it is not known
	err   error  // why not
}

// awaited returns the name of the TPM, "" where there is none. Its driver may be a module
// that is still to be loaded when somebody presses Enter: that is waited for once, where
// the firmware lists a TPM 2.0.
func (m *measuring) awaited(ctx context.Context) string {
	const table = "sys/firmware/acpi/tables/TPM2"
	name := tpm.Find(m.root)
	if _, err := fs.Stat(m.root, table); name != "" || err != nil || m.waited {
		return name
	}
	ctx, cancel := context.WithTimeout(ctx, tpmLimit)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for name == "" {
		select {
		case <-again.C:
			name = tpm.Find(m.root)
		case <-ctx.Done():
			m.waited = true
			return ""
		}
	}
	return name
}

// epochs asks the TPM which epoch is the oldest one that counts.
func (m *measuring) epochs(ctx context.Context) (e epochs) {
	name := m.awaited(ctx)
	switch {
	case name == "":
		e.err = errors.New("this machine has no TPM 2.0, or none that its driver has found")
	case m.silent:
		e.err = fmt.Errorf("the TPM has not answered before: %w", tpm.ErrNoAnswer)
	default:
		e.err = askTPM(name, m.open, func(ctx context.Context, d *tpm.Device) (err error) {
			e.least, err = d.Counter(ctx, tpm.EpochCounter)
			return err
		})
		m.silent = errors.Is(e.err, tpm.ErrNoAnswer)
	}
	return e
}

// allows returns the manifest that lets an entry start, as its disk has the entry.
func (t trust) allows(scan *discover.Scan, found boot.Entry, e epochs) (m statement, err error) {
	if found.Guessed {
		return m, errGuessed
	}
	volume := manifest.Volume{Device: found.Volume.Device, Read: func(name string, limit int64) ([]byte, error) {
		f, err := scan.OpenFile(found.Volume, name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, limit+1))
		if err != nil {
			return nil, fmt.Errorf("reading /%s on %s: %w", name, found.Volume.Device, err)
		}
		return b, nil
	}}
	m.epochs = e
	m.Signed, err = manifest.Judge{Keys: t.keys, Epoch: e.least}.Allows(volume, manifest.EntryOf(found))
	return m, err
}

// String is what allows an entry to start, in sentences.
func (m statement) String() string {
	older := fmt.Sprintf("The counter of the TPM is at %d: no older one starts.", m.epochs.least)
	if m.epochs.err != nil {
		older = fmt.Sprintf("Older ones start too: %v.", m.epochs.err)
	}
	return fmt.Sprintf("It is signed by %s, in /%s, epoch %d. %s", boot.Clean(m.By), m.Name, m.Epoch, older)
}

// about returns whether an entry is signed, in sentences; "" where nobody asks.
func (t trust) about(ctx context.Context, scan *discover.Scan, e boot.Entry, tpm measuring) string {
	if t.verify == settings.Off {
		return ""
	}
	m, err := t.allows(scan, e, tpm.epochs(ctx))
	if err != nil {
		return fmt.Sprintf("It is not signed: %v.", err)
	}
	return m.String()
}

// open opens the files of an entry as they were signed: each is copied into memory,
// where nobody can change it, and the hash is that of the copy.
func (m statement) open(ctx context.Context, loader *kexec.Loader, scan *discover.Scan, found boot.Entry) (kexec.Target, func(), error) {
	return kexec.Open(found, func(name string) (*os.File, error) {
		f, err := scan.OpenFile(found.Volume, name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		listed, _ := m.File(m.Dir(), name) // Allows has found it
		c, err := loader.Sealed(ctx, f, listed.Size, listed.SHA256)
		if errors.Is(err, kexec.ErrChanged) {
			err = fmt.Errorf("/%s on %s: %w", name, found.Volume.Device, err)
		}
		return c, err
	})
}

// verdict is what trust has decided of a job.
type verdict struct {
	trust
	edited bool   // what was chosen is not what its disk has
	signed string // by whom it is signed, as a sentence; "" when it is not
	wrong  string // why it is not, as a sentence, where it starts all the same
}

// judge returns what is known of a choice before its files are read. Found is the entry
// as its disk has it, with the consoles that the settings add.
func (t trust) judge(chosen, found boot.Entry) verdict {
	return verdict{trust: t, edited: !manifest.EntryOf(chosen).Equal(manifest.EntryOf(found))}
}

// openFiles opens what a job is to load.
func (j *job) openFiles(loader *kexec.Loader) (kexec.Target, func(), error) {
	v := &j.verdict
	if v.verify == settings.Off || j.choice == nil && !v.enforces() {
		return kexec.Open(j.entry, j.scan.FilesOf(j.entry))
	}
	v.signed, v.wrong = "", ""
	m, err := v.allows(j.scan, j.found, j.measure.epochs(j.ctx))
	if v.edited {
		err = errEdited
	}
	if err == nil {
		var t kexec.Target
		var done func()
		if t, done, err = m.open(j.ctx, loader, j.scan, j.found); err == nil {
			v.signed = m.String()
			return t, done, nil
		}
		done()
	}
	switch {
	case j.ctx.Err() != nil:
		return kexec.Target{}, func() {}, j.ctx.Err()
	case v.enforces():
		return kexec.Target{}, func() {}, fmt.Errorf("%w; only what is signed starts here: start another entry, and run alpboot sign there if the change is yours", err)
	}
	v.wrong = fmt.Sprintf("It is not signed, and starts all the same (verify = warn): %v.", err)
	return kexec.Open(j.entry, j.scan.FilesOf(j.entry))
}
