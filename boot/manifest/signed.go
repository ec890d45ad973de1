package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/alpboot/alpboot/boot/signature"
)

// Signed is a manifest whose signature holds.
type Signed struct {
	*Manifest
	Name string // its path on the volume
	By   string // the name of the key
}

// Dir returns the directory that its paths are below.
func (s Signed) Dir() string { return path.Dir(s.Name) }

// Judge finds out what may start.
type Judge struct {
	Keys  []signature.Key
	Epoch uint64 // manifests of an older one do not count
}

// Volume is where manifests are read from.
type Volume struct {
	Device string
	Read   func(name string, limit int64) ([]byte, error) // a file, of at most limit bytes and one more
}

// Allows returns the manifest that lets an entry start: the nearest one above its kernel,
// whose paths are those of the volume. The error says what is wrong, in which file and on
// which device.
func (j Judge) Allows(v Volume, e Entry) (s Signed, err error) {
	for _, dir := range Dirs(e.Kernel) {
		var why error
		for _, name := range []string{Name, Name + New} {
			s, err := j.read(v, path.Join(dir, name))
			if err == nil {
				if err = s.Allows(s.Dir(), e); err != nil {
					err = fmt.Errorf("/%s on %s %w", s.Name, v.Device, err)
				}
			}
			switch {
			case err == nil:
				return s, nil
			case why == nil && !errors.Is(err, fs.ErrNotExist):
				why = err
			}
		}
		if why != nil {
			return s, why
		}
	}
	return s, fmt.Errorf("%s has no %s for /%s", v.Device, Name, e.Kernel)
}

// read reads a manifest whose signature holds, and whose epoch counts.
func (j Judge) read(v Volume, name string) (s Signed, err error) {
	s.Name = name
	where := fmt.Sprintf("/%s on %s", name, v.Device)
	b, err := v.Read(name, MaxSize)
	if err != nil {
		return s, err
	}
	if s.By, err = j.signer(v, b, name, where); err != nil {
		return s, err
	}
	if s.Manifest, err = Parse(b); err != nil {
		return s, fmt.Errorf("%s: %w", where, err)
	}
	if s.Epoch < j.Epoch {
		return s, fmt.Errorf("%s has epoch %d, and the counter of this machine's TPM is at %d: what was signed before that does not count any more", where, s.Epoch, j.Epoch)
	}
	return s, nil
}

// signer returns the name of a key that has signed the content of a file. Of several
// signatures one that holds is enough.
func (j Judge) signer(v Volume, content []byte, name, where string) (string, error) {
	suffixes := []string{signature.Minisig, signature.SSHSig}
	for _, k := range j.Keys {
		suffixes = append(suffixes, signature.RSA256+k.Name)
	}
	var why error
	for _, suffix := range suffixes {
		sig, err := v.Read(name+suffix, signature.MaxSignature)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			var k signature.Key
			if k, err = signature.Verify(content, suffix, sig, j.Keys); err == nil {
				return k.Name, nil
			}
			err = fmt.Errorf("the signature %s of %s does not hold: %w", suffix, where, err)
		}
		if why == nil {
			why = err
		}
	}
	if why == nil {
		why = fmt.Errorf("%s is not signed by a key of this image", where)
	}
	return "", why
}
