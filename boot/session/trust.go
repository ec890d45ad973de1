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

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/manifest"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/signature"
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

// statement is a manifest whose signature holds.
type statement struct {
	*manifest.Manifest
	name   string // its path
	volume boot.Volume
	by     string // the name of the key
}

// allows returns the manifest that lets an entry start, as its disk has the entry: the
// nearest one above its kernel.
func (t trust) allows(scan *discover.Scan, found boot.Entry) (m statement, err error) {
	if found.Guessed {
		return m, errGuessed
	}
	for _, dir := range manifest.Dirs(found.Kernel) {
		var why error
		for _, name := range []string{manifest.Name, manifest.Name + manifest.New} {
			m, err := t.read(scan, found.Volume, path.Join(dir, name))
			if err == nil {
				err = m.lets(found)
			}
			switch {
			case err == nil:
				return m, nil
			case why == nil && !errors.Is(err, fs.ErrNotExist):
				why = err
			}
		}
		if why != nil {
			return m, why
		}
	}
	return m, fmt.Errorf("%s has no %s for /%s", found.Volume.Device, manifest.Name, found.Kernel)
}

// read reads a manifest whose signature holds.
func (t trust) read(scan *discover.Scan, v boot.Volume, name string) (m statement, err error) {
	read := func(name string, limit int64) ([]byte, error) {
		f, err := scan.OpenFile(v, name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, limit+1))
		if err != nil {
			return nil, fmt.Errorf("reading /%s on %s: %w", name, v.Device, err)
		}
		return b, nil
	}
	m = statement{name: name, volume: v}
	b, err := read(name, manifest.MaxSize)
	if err != nil {
		return m, err
	}
	m.by, err = t.signer(b, m.where(), func(suffix string) ([]byte, error) { return read(name+suffix, signature.MaxSignature) })
	if err != nil {
		return m, err
	}
	if m.Manifest, err = manifest.Parse(b); err != nil {
		return m, fmt.Errorf("%s: %w", m.where(), err)
	}
	return m, nil
}

// signer returns the name of a key that has signed the content of a file. Read reads
// what lies beside it. Of several signatures one that holds is enough.
func (t trust) signer(content []byte, file string, read func(suffix string) ([]byte, error)) (string, error) {
	suffixes := []string{signature.Minisig, signature.SSHSig}
	for _, k := range t.keys {
		suffixes = append(suffixes, signature.RSA256+k.Name)
	}
	var why error
	for _, suffix := range suffixes {
		sig, err := read(suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			var k signature.Key
			if k, err = signature.Verify(content, suffix, sig, t.keys); err == nil {
				return k.Name, nil
			}
			err = fmt.Errorf("the signature %s of %s does not hold: %w", suffix, file, err)
		}
		if why == nil {
			why = err
		}
	}
	if why == nil {
		why = fmt.Errorf("%s is not signed by a key of this image", file)
	}
	return "", why
}

func (m statement) dir() string   { return path.Dir(m.name) }
func (m statement) where() string { return "/" + m.name + " on " + m.volume.Device }

// listed returns what a manifest has of an entry.
func listed(e boot.Entry) manifest.Entry {
	return manifest.Entry{Kernel: e.Kernel, Profile: e.Profile, Initrds: e.Initrds, Cmdline: e.Cmdline}
}

// lets returns why the manifest does not let an entry start, or nil.
func (m statement) lets(e boot.Entry) error {
	err := m.Allows(m.dir(), listed(e))
	if err != nil {
		return fmt.Errorf("%s %w", m.where(), err)
	}
	return nil
}

// String is what allows an entry to start, as a sentence.
func (m statement) String() string {
	return fmt.Sprintf("It is signed by %s, in /%s, epoch %d.", boot.Clean(m.by), m.name, m.Epoch)
}

// about returns whether an entry is signed, as a sentence; "" where nobody asks.
func (t trust) about(scan *discover.Scan, e boot.Entry) string {
	if t.verify == settings.Off {
		return ""
	}
	m, err := t.allows(scan, e)
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
		listed, _ := m.File(m.dir(), name) // Allows has found it
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
	return verdict{trust: t, edited: !listed(chosen).Equal(listed(found))}
}

// openFiles opens what a job is to load.
func (j *job) openFiles(loader *kexec.Loader) (kexec.Target, func(), error) {
	v := &j.verdict
	if v.verify == settings.Off || j.choice == nil && !v.enforces() {
		return kexec.Open(j.entry, j.scan.FilesOf(j.entry))
	}
	v.signed, v.wrong = "", ""
	m, err := v.allows(j.scan, j.found)
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
