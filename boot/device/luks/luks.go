// Package luks opens LUKS1 and LUKS2 volumes with a passphrase: it reads the
// header, derives the volume key and returns what device-mapper's crypt target
// needs to show the plain data. It maps nothing itself, reads only through the
// [io.ReaderAt], writes nothing and logs nothing.
//
// It follows LUKS1 On-Disk Format 1.2.3 and LUKS2 On-Disk Format 1.1.2 of the
// cryptsetup project: key slots protected by PBKDF2 (SHA-1, SHA-2, RIPEMD-160,
// BLAKE2b), Argon2i and Argon2id, and stored with AES in XTS or CBC mode. The
// data may use any cipher that the kernel knows. Not opened, each with a
// sentence each: detached headers, authenticated encryption, hardware
// encryption (OPAL), a reencryption that was not finished, and keys held by a
// TPM, a FIDO2 or a PKCS#11 token.
//
// # Limits
//
// A header is taken for hostile. No key slot is tried that asks for more than
// 100 million PBKDF2 iterations (some ten seconds to a minute, against the two
// seconds that cryptsetup aims at), for more memory than [Options] allows or
// 4 GiB, or for Argon2 passes over more than 128 GiB of memory in all (some two
// minutes). Header copies are at most 4 MiB, key slots 32, keys 128
// bytes, stripes of a key 65535.
package luks

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// What can be wrong. All errors are sentences that go after the name of a
// device.
var (
	// ErrNone: there is no LUKS header.
	ErrNone = errors.New("no LUKS header")

	// ErrDamaged: there is a LUKS header, and what it states cannot be.
	ErrDamaged = errors.New("damaged LUKS header")

	// ErrUnsupported: the volume is encrypted in a way that this package does
	// not know, or that a passphrase alone does not open.
	ErrUnsupported = errors.New("encrypted in a way that is not supported")

	// ErrPassphrase: no key slot matched.
	ErrPassphrase = errors.New("no key slot opens with this passphrase")

	// ErrMemory: a key slot needs more memory than there is.
	ErrMemory = errors.New("not enough memory")
)

const (
	magic        = "LUKS\xba\xbe"
	sectorSize   = 512
	maxKey       = 128 // bytes; the largest that is in use has 64
	maxStripes   = 65535
	maxSlots     = 32
	maxSalt      = 512
	maxPBKDF2    = 100_000_000 // iterations
	maxArgonKiB  = 4 << 20     // memory, as the specification limits it
	maxArgonWork = 128 << 20   // KiB that are gone over in all
)

// Header is the header of a LUKS volume.
type Header struct {
	Version   int    // 1 or 2
	UUID      string // as blkid prints it
	Label     string // of LUKS2; may be empty
	Subsystem string // of LUKS2; may be empty
	Cipher    string // of the data, in the words of dm-crypt: aes-xts-plain64

	// Notes are what else there is to know, a sentence each, such as that one
	// copy of the header is damaged.
	Notes []string

	// Tokens are those of LUKS2 by which a TPM opens it (systemd-tpm2): values of JSON.
	Tokens []map[string]any

	r       io.ReaderAt
	size    int64
	data    segment
	slots   []slot // those in use, in the order in which they are tried
	problem error  // why nothing of this can be unlocked; while it is read, why a slot cannot be tried
}

// segment is where the encrypted data are.
type segment struct {
	offset     uint64 // in the device, bytes
	length     uint64 // bytes; a multiple of sectorSize
	ivOffset   uint64 // in units of 512 bytes
	sectorSize uint64 // unit of encryption in bytes
}

// slot holds a copy of the volume key that a passphrase opens.
type slot struct {
	id       int
	priority uint64 // 0: only when asked for, 1: normal, 2: first
	keySize  int    // of the volume key, bytes
	kdf      kdf
	area     area
	stripes  int
	afHash   string
	digest   digest
}

// area is where the key of a slot is stored, split and encrypted.
type area struct {
	offset  int64
	cipher  string
	keySize int // bytes
}

// kdf is how a passphrase becomes the key of a slot's area.
type kdf struct {
	kind string // pbkdf2, argon2i or argon2id
	salt []byte

	hash       string // of PBKDF2
	iterations uint64 // of PBKDF2; of Argon2 the passes
	memory     uint64 // of Argon2, KiB
	threads    uint64 // of Argon2
}

// needKiB returns the memory that Argon2 takes: no less than 8 blocks of 1 KiB for
// each thread.
func (k *kdf) needKiB() uint64 { return max(k.memory, 8*k.threads) }

// digest reports whether a volume key is the right one.
type digest struct {
	hash       string
	salt       []byte
	iterations uint64
	value      []byte
}

// Open reads the header of the LUKS volume in the size bytes of r, which must
// stay readable until [Header.Unlock] is done. Of LUKS2's two copies of the
// header the newer one counts, and a damaged one is replaced by the other.
//
// The error wraps [ErrNone], [ErrDamaged] or [ErrUnsupported]; anything else is
// a failure to read. Beside ErrUnsupported there is a Header, which can be
// shown and not unlocked.
func Open(r io.ReaderAt, size int64) (*Header, error) {
	start := make([]byte, luks1Size)
	h := &Header{r: r, size: size}
	err := readAt(r, size, start, 0)
	if err == nil && string(start[:8]) == magic+"\x00\x01" {
		err = h.read1(start)
	} else {
		err = h.read2()
	}
	if err != nil && !errors.Is(err, ErrUnsupported) {
		return nil, err
	}
	h.problem = err
	return h, err
}

// readAt fills b from offset off of a device of that size.
func readAt(r io.ReaderAt, size int64, b []byte, off int64) error {
	if off < 0 || off > size-int64(len(b)) {
		return io.ErrUnexpectedEOF
	}
	if n, err := r.ReadAt(b, off); n < len(b) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// check reports whether everything that the slot names is known and possible.
func (s *slot) check(size int64) error {
	switch s.kdf.kind {
	case "pbkdf2":
		if newHash(s.kdf.hash) == nil {
			return unsupported("hash %q", s.kdf.hash)
		}
		if err := checkIterations(s.kdf.iterations); err != nil {
			return err
		}
	case "argon2i", "argon2id":
		if need := s.kdf.needKiB(); need > maxArgonKiB || s.kdf.iterations > maxArgonWork/need {
			return unsupported("%s with %d passes over %s takes too long", s.kdf.kind, s.kdf.iterations, amount(need<<10))
		}
	default:
		return unsupported("key derivation %q", s.kdf.kind)
	}
	if newHash(s.afHash) == nil {
		return unsupported("hash %q", s.afHash)
	}
	if newHash(s.digest.hash) == nil {
		return unsupported("hash %q", s.digest.hash)
	}
	if err := checkIterations(s.digest.iterations); err != nil {
		return err
	}
	if _, err := newDecrypter(s.area.cipher, make([]byte, s.area.keySize)); err != nil {
		return err
	}
	if s.area.offset > size-s.areaSize() {
		return damaged("key slot %d is outside the device", s.id)
	}
	return nil
}

func checkIterations(n uint64) error {
	if n > maxPBKDF2 {
		return unsupported("%d PBKDF2 iterations take too long, %d is the most that is tried", n, maxPBKDF2)
	}
	return nil
}

// areaSize returns the bytes that the key takes up in the slot's area.
func (s *slot) areaSize() int64 {
	n := int64(s.keySize) * int64(s.stripes)
	return (n + sectorSize - 1) / sectorSize * sectorSize
}

// keep takes over a slot that is in use, or notes why it cannot be
// tried. A volume with such slots only cannot be unlocked.
func (h *Header) keep(s slot, err error) {
	if err == nil {
		err = s.check(h.size)
	}
	if err == nil {
		h.slots = append(h.slots, s)
		return
	}
	h.note("Key slot %d is not tried: %v.", s.id, err)
	if h.problem == nil {
		h.problem = err
	}
}

// checkSlots returns the reason why no key slot can be tried, if none can.
func (h *Header) checkSlots() error {
	switch {
	case len(h.slots) > 0:
		return nil
	case h.problem != nil:
		return h.problem
	}
	return unsupported("no key slot is in use, so nothing opens it any more")
}

// checkCipher refuses what must not get into a device-mapper table, and data
// that are not encrypted at all.
func checkCipher(name string) error {
	const cipherRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_:,()"
	if name == "" || len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune(cipherRunes, r) }) {
		return damaged("impossible cipher name")
	}
	if strings.HasPrefix(name, "cipher_null") {
		return unsupported("cipher_null leaves the data readable by everyone")
	}
	return nil
}

func (h *Header) note(format string, args ...any) {
	h.Notes = append(h.Notes, boot.Clean(fmt.Sprintf(format, args...)))
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, boot.Clean(fmt.Sprintf(format, args...)))
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, boot.Clean(fmt.Sprintf(format, args...)))
}

// amount prints a number of bytes for people.
func amount(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
