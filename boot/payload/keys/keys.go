// Package keys makes the keys of Secure Boot for the owner of a machine, or takes those
// that are there, and signs the updates by which they are enrolled.
package keys

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/securekeys"
)

// Setup is what is made, and where.
type Setup struct {
	Dir  string           // of the keys, as sbctl, efi-mkkeys or a run before have them; made where it is not there
	ESP  string           // directory that shows an EFI system partition, to copy the updates to; "" for none
	Vars efivar.Variables // of the firmware, whose certificates are kept; nil for none
	Own  bool             // nothing of the firmware's is kept
	Now  time.Time
	Out  io.Writer // what was done
}

const (
	bits  = 2048 // what all firmware takes
	years = 20
)

// identity is a key with its certificate.
type identity struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

// Write makes keys where there are none, and the updates.
func (s Setup) Write() error {
	owned := map[string]identity{}
	var missing []string
	for _, v := range securekeys.Variables() {
		id, err := s.read(v.Name)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, v.Name)
			continue
		}
		if err != nil {
			return err
		}
		owned[v.Name] = id
	}
	if len(missing) > 0 && len(owned) > 0 {
		return fmt.Errorf("%s has no key or certificate for %s; take a directory with all of them, or an empty one", s.Dir, strings.Join(missing, " and "))
	}
	if len(missing) > 0 {
		if err := s.make(owned); err != nil {
			return err
		}
		s.say("Made keys in %s: keep %s safe, and do not lose them", s.Dir, "PK.key, KEK.key and db.key")
	} else {
		s.say("The keys are those in %s", s.Dir)
	}
	// Each is signed by the one above it, and PK by itself.
	signers := map[string]string{"db": "KEK", "KEK": "PK", "PK": "PK"}
	for _, v := range securekeys.Variables() {
		own := securekeys.Certificate(owned[v.Name].cert.Raw)
		entries := []securekeys.Entry{own}
		if v.Name != "PK" && !s.Own {
			kept, err := s.kept(v)
			if err != nil {
				return err
			}
			for _, e := range kept {
				if !securekeys.Contains(entries, e) {
					entries = append(entries, e)
				}
			}
		}
		by := owned[signers[v.Name]]
		b, err := securekeys.NewUpdate(v, s.Now, securekeys.AppendLists(nil, entries...), func(content []byte) ([]byte, error) {
			return efi.Detached(content, by.key, by.cert)
		})
		if err != nil {
			return fmt.Errorf("signing %s: %w", v.Name, err)
		}
		if len(b) > securekeys.MaxSize {
			return fmt.Errorf("%s would have %d bytes, which no firmware is sure to take: leave out what is not needed (--own)", v.Name, len(b))
		}
		for _, dir := range s.targets() {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			if err := payload.WriteBytes(filepath.Join(dir, v.Name+securekeys.Suffix), b); err != nil {
				return err
			}
		}
		names, others := securekeys.Names(entries)
		if others != "" {
			others = ", and " + others
		}
		s.say("%-4s will have %s%s", v.Name, strings.Join(names, ", "), others)
		if v.Name == "db" && len(entries) == 1 && !s.Own {
			s.say("     The firmware has no others to keep: what Microsoft has signed, such as Windows and the firmware of some graphics cards, would not start")
		}
	}
	s.say("The updates are in %s", strings.Join(s.targets(), " and "))
	return nil
}

func (s Setup) say(format string, args ...any) {
	fmt.Fprintln(s.Out, boot.Visible(fmt.Sprintf(format, args...)))
}

// targets are where the updates go.
func (s Setup) targets() []string {
	if s.ESP == "" {
		return []string{s.Dir}
	}
	return []string{s.Dir, filepath.Join(s.ESP, filepath.FromSlash(securekeys.Dir))}
}

// read reads a key and its certificate: NAME.key and NAME.crt as efi-mkkeys names
// them, or NAME/NAME.key and NAME/NAME.pem as sbctl does. The error is
// [fs.ErrNotExist] when there is neither.
func (s Setup) read(name string) (id identity, err error) {
	for _, files := range [][2]string{{name + ".key", name + ".crt"}, {name + ".key", name + ".pem"}, {name + "/" + name + ".key", name + "/" + name + ".pem"}} {
		id.key, id.cert, err = efi.ReadIdentity(filepath.Join(s.Dir, files[0]), filepath.Join(s.Dir, files[1]))
		if !errors.Is(err, fs.ErrNotExist) {
			return id, err
		}
	}
	return id, err
}

// make makes all keys. What is in the way is not overwritten.
func (s Setup) make(owned map[string]identity) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	for _, v := range securekeys.Variables() {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return err
		}
		serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
		if err != nil {
			return err
		}
		template := &x509.Certificate{
			SerialNumber: serial, Subject: pkix.Name{CommonName: "alpboot " + v.Name},
			NotBefore: s.Now.Add(-24 * time.Hour), NotAfter: s.Now.AddDate(years, 0, 0),
			SignatureAlgorithm: x509.SHA256WithRSA, BasicConstraintsValid: true, IsCA: v.Name != "db",
			KeyUsage: x509.KeyUsageDigitalSignature,
		}
		if template.IsCA {
			template.KeyUsage |= x509.KeyUsageCertSign
		} else {
			template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			return err
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		for _, f := range []struct {
			end, kind string
			der       []byte
			mode      fs.FileMode
		}{{".key", "PRIVATE KEY", private, 0o600}, {".crt", "CERTIFICATE", der, 0o644}} {
			if err := create(filepath.Join(s.Dir, v.Name+f.end), pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), f.mode); err != nil {
				return err
			}
		}
		owned[v.Name] = identity{key, cert}
	}
	return nil
}

// create writes a file that is not there yet.
func create(name string, b []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// kept returns what the firmware has in a variable, or would have by default: in setup
// mode it may be empty.
func (s Setup) kept(v securekeys.Variable) ([]securekeys.Entry, error) {
	if s.Vars == nil {
		return nil, nil
	}
	for _, from := range []securekeys.Variable{v, {Name: v.Name + "Default", Vendor: efivar.Global}} {
		b, err := s.Vars.Get(from.Name, from.Vendor)
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(b) == 0 {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("what the firmware has is not known: %w; --own keeps nothing of it", err)
		}
		all, err := securekeys.ParseLists(b)
		if err != nil {
			return nil, fmt.Errorf("the firmware's %s: %w; --own keeps nothing of it", from.Name, err)
		}
		return all, nil
	}
	return nil, nil
}
