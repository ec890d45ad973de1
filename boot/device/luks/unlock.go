package luks

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/blake2b"
	//lint:ignore SA1019 LUKS1 volumes have it in their headers
	"golang.org/x/crypto/ripemd160"

	"github.com/alpboot/alpboot/boot/password"
)

// Options are for [Header.Unlock].
type Options struct {
	// Memory is how many bytes one key derivation may take, such as what
	// /proc/meminfo calls MemAvailable less what is needed to go on. A key slot
	// of cryptsetup's own making wants up to 1 GiB. 0 allows PBKDF2 only.
	Memory int64

	// Ignored has those key slots tried too that are marked to be left alone
	// unless asked for.
	Ignored bool
}

// Unlock tries the key slots with the passphrase, those with a high priority
// first, and returns the volume key out of the first that opens. The caller wipes
// it ([Key.Wipe]), and the passphrase.
//
// The error wraps [ErrPassphrase] where at least one key slot was tried and none
// opened; [ErrMemory] where one could not be tried for lack of memory, and both
// where both is so. When ctx is done, its error is returned: a PBKDF2 derivation is
// broken off, while Argon2 cannot be interrupted and is waited for.
//
// Argon2's memory is garbage afterwards, up to the limit of o and not wiped:
// before a further try, or where memory is short, the caller has it returned by
// [runtime/debug.FreeOSMemory].
func (h *Header) Unlock(ctx context.Context, passphrase []byte, o Options) (*Key, error) {
	if h.problem != nil {
		return nil, h.problem
	}
	tried := false
	var skipped error // why a slot could not be tried, the first one
	for _, s := range h.slots {
		if s.priority == 0 && !o.Ignored {
			continue
		}
		volumeKey, err := h.open(ctx, s, passphrase, o.Memory)
		switch {
		case err == nil:
			return &Key{
				Slot:       s.id,
				Cipher:     h.Cipher,
				IVOffset:   h.data.ivOffset,
				Offset:     h.data.offset / sectorSize,
				Length:     h.data.length / sectorSize,
				SectorSize: int(h.data.sectorSize),
				key:        volumeKey,
			}, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, ErrPassphrase):
			tried = true
		case skipped == nil:
			skipped = err
		}
	}
	switch {
	case tried && skipped != nil:
		return nil, fmt.Errorf("%w; %w", ErrPassphrase, skipped)
	case tried:
		return nil, ErrPassphrase
	case skipped != nil:
		return nil, skipped
	}
	return nil, unsupported("all its key slots are marked to be left alone")
}

// open returns the volume key out of one slot.
func (h *Header) open(ctx context.Context, s slot, passphrase []byte, memory int64) ([]byte, error) {
	areaKey, err := s.deriveKey(ctx, passphrase, memory)
	if err != nil {
		return nil, err
	}
	defer clear(areaKey)
	decrypt, err := newDecrypter(s.area.cipher, areaKey)
	if err != nil {
		return nil, err
	}
	split := make([]byte, s.areaSize())
	defer clear(split)
	if err := readAt(h.r, h.size, split, s.area.offset); err != nil {
		return nil, fmt.Errorf("reading key slot %d failed: %w", s.id, err)
	}
	for i := 0; i < len(split); i += sectorSize {
		decrypt(split[i:][:sectorSize], uint64(i/sectorSize))
	}
	key := merge(split, s.keySize, s.stripes, newHash(s.afHash)())
	got, err := password.PBKDF2(ctx, newHash(s.digest.hash), key, s.digest.salt, s.digest.iterations, len(s.digest.value))
	if err == nil && subtle.ConstantTimeCompare(got, s.digest.value) == 1 {
		return key, nil
	}
	clear(key)
	if err == nil {
		err = ErrPassphrase
	}
	return nil, err
}

// deriveKey makes the key of the slot's area out of the passphrase.
func (s *slot) deriveKey(ctx context.Context, passphrase []byte, memory int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k := s.kdf
	if k.kind == "pbkdf2" {
		return password.PBKDF2(ctx, newHash(k.hash), passphrase, k.salt, k.iterations, s.area.keySize)
	}
	need := k.needKiB() << 10
	if need > uint64(max(memory, 0)) || need > math.MaxInt {
		return nil, fmt.Errorf("%w: key slot %d needs %s for %s, and there are %s", ErrMemory, s.id, amount(need), k.kind, amount(uint64(max(memory, 0))))
	}
	derive := argon2.IDKey
	if k.kind == "argon2i" {
		derive = argon2.Key
	}
	return derive(passphrase, k.salt, uint32(k.iterations), uint32(k.memory), uint8(k.threads), uint32(s.area.keySize)), nil
}

// merge undoes the anti-forensic splitting of a key: LUKS1 On-Disk Format,
// section 2.4.
func merge(split []byte, size, stripes int, h hash.Hash) []byte {
	key := make([]byte, size)
	var sum []byte
	for i := range stripes {
		subtle.XORBytes(key, key, split[i*size:][:size])
		if i == stripes-1 {
			break
		}
		for j := 0; j*h.Size() < size; j++ {
			part := key[j*h.Size() : min((j+1)*h.Size(), size)]
			h.Reset()
			h.Write(binary.BigEndian.AppendUint32(sum[:0], uint32(j)))
			h.Write(part)
			sum = h.Sum(sum[:0])
			copy(part, sum)
		}
	}
	clear(sum)
	return key
}

// newHash returns the hash of a name that cryptsetup writes; nil when it is not
// known.
func newHash(name string) func() hash.Hash {
	switch strings.ToLower(name) {
	case "sha1":
		return sha1.New
	case "sha224":
		return sha256.New224
	case "sha256":
		return sha256.New
	case "sha384":
		return sha512.New384
	case "sha512":
		return sha512.New
	case "ripemd160":
		return ripemd160.New
	case "blake2b-512": // costs nothing: Argon2 is made of it
		return func() hash.Hash {
			h, _ := blake2b.New512(nil) // fails only for a key that is too long
			return h
		}
	}
	return nil
}
