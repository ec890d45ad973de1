package zfs

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrWrongKey is the error for a passphrase or a key that does not unlock a dataset.
var ErrWrongKey = errors.New("the passphrase or key is wrong")

const (
	keyBytes   = 32
	hmacBytes  = 64
	macBytes   = 16
	ivBytes    = 12
	maxIters   = 20_000_000 // of PBKDF2: about a minute; ZFS's default is 350,000
	formatRaw  = 1
	formatHex  = 2
	formatText = 3
)

// keys are what a dataset is decrypted by (zio_crypt.h).
type keys struct {
	suite   uint64
	version uint64
	master  []byte
}

// suites returns how long the key of a suite is, and whether it is GCM; else it is CCM.
func suites(suite uint64) (length int, gcm, ok bool) {
	if suite < 3 || suite > 8 {
		return 0, false, false
	}
	return []int{16, 24, 32}[(suite-3)%3], suite >= 6, true
}

// newAEAD returns a cipher by key.
func newAEAD(key []byte, gcm bool) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if gcm {
		return cipher.NewGCM(block)
	}
	return ccm{block}, nil
}

// Unlock makes an encrypted dataset readable, by its passphrase, by the digits of its key
// or by its key itself, and with it its snapshots. Other datasets that have the same
// key need calls of their own. The error for a wrong one wraps [ErrWrongKey]. The dataset
// must not be opened meanwhile.
func (d *Dataset) Unlock(secret []byte) error {
	if err := d.unlock(secret); err != nil {
		return fmt.Errorf("the ZFS dataset %s cannot be unlocked: %w", d.Name, err)
	}
	return nil
}

func (d *Dataset) unlock(secret []byte) error {
	values := map[string]zapEntry{}
	err := d.pool.mos.zap(d.key, func(e zapEntry) bool {
		values[e.name] = e
		return len(values) < 64
	})
	if err != nil {
		return err
	}
	suite, version, guid := values["DSL_CRYPTO_SUITE"].uint(), values["DSL_CRYPTO_VERSION"].uint(), values["DSL_CRYPTO_GUID"].uint()
	length, gcm, ok := suites(suite)
	if !ok || version > 1 {
		return fmt.Errorf("alpboot does not know its encryption (suite %d, version %d)", suite, version)
	}
	var wrapping []byte
	switch values["keyformat"].uint() {
	case formatRaw:
		wrapping = secret
	case formatHex:
		if wrapping, err = hex.DecodeString(string(bytes.TrimSpace(secret))); err != nil {
			return ErrWrongKey
		}
	case formatText:
		iters := values["pbkdf2iters"].uint()
		if iters < 1 || iters > maxIters {
			return fmt.Errorf("its key is derived in %d steps, and more than %d are not done", iters, maxIters)
		}
		salt := binary.LittleEndian.AppendUint64(nil, values["pbkdf2salt"].uint())
		if wrapping, err = pbkdf2.Key(sha1.New, string(secret), salt, int(iters), keyBytes); err != nil {
			return err
		}
	default:
		return errors.New("alpboot does not know the format of its key")
	}
	if len(wrapping) != keyBytes {
		return ErrWrongKey
	}
	iv, mac := values["DSL_CRYPTO_IV"].value, values["DSL_CRYPTO_MAC"].value
	master, hmac := values["DSL_CRYPTO_MASTER_KEY_1"].value, values["DSL_CRYPTO_HMAC_KEY_1"].value
	if len(iv) != ivBytes || len(mac) != macBytes || len(master) < length || len(hmac) != hmacBytes {
		return errZAP
	}
	about := binary.LittleEndian.AppendUint64(nil, guid)
	if version > 0 {
		about = binary.LittleEndian.AppendUint64(about, suite)
		about = binary.LittleEndian.AppendUint64(about, version)
	}
	c, err := newAEAD(wrapping, gcm)
	if err != nil {
		return err
	}
	sealed := bytes.Join([][]byte{master[:length], hmac, mac}, nil)
	opened, err := c.Open(nil, iv, sealed, about)
	if err != nil {
		return ErrWrongKey
	}
	d.keys = &keys{suite: suite, version: version, master: opened[:length]}
	return nil
}

// decrypt returns the plain bytes of a block as it is stored.
func (k *keys) decrypt(bp *blockPointer, b []byte) ([]byte, error) {
	_, gcm, _ := suites(k.suite)
	salt := binary.LittleEndian.AppendUint64(nil, bp.word[4])
	iv := binary.LittleEndian.AppendUint64(nil, bp.word[5])
	iv = binary.LittleEndian.AppendUint32(iv, uint32(bp.word[11]>>32))
	mac := binary.LittleEndian.AppendUint64(nil, bp.word[14])
	mac = binary.LittleEndian.AppendUint64(mac, bp.word[15])
	key, err := hkdf.Key(sha512.New, k.master, nil, string(salt), len(k.master))
	if err != nil {
		return nil, err
	}
	c, err := newAEAD(key, gcm)
	if err != nil {
		return nil, err
	}
	if bp.kind() == typeDnodes {
		return k.decryptDnodes(c, iv, mac, b, bp.order())
	}
	out, err := c.Open(nil, iv, append(b[:len(b):len(b)], mac...), nil)
	if err != nil {
		return nil, errChecksum
	}
	return out, nil
}

// decryptDnodes decrypts a block of dnodes, of which only the bonuses are encrypted. The
// rest is authenticated, without what another pool may have otherwise.
func (k *keys) decryptDnodes(c cipher.AEAD, iv, mac, b []byte, order binary.ByteOrder) ([]byte, error) {
	const flagsAt, usedAt, pointersAt = 7, 24, 64
	out := bytes.Clone(b)
	var sealed, about []byte
	var parts [][]byte // of out, which are encrypted
	for at := 0; at+dnodeSize <= len(out); {
		end := at + dnodeSize*(1+int(out[at+12]))
		count := int(out[at+3])
		if end > len(out) || count > 3 {
			return nil, errDnode
		}
		dn := out[at:end]
		at = end
		bonus := pointersAt + count*pointerSize
		spill := dn[flagsAt]&flagSpill != 0
		last := len(dn)
		if spill {
			last -= pointerSize
		}
		if bonus > last {
			return nil, errDnode
		}
		core := bytes.Clone(dn[:pointersAt])
		core[flagsAt] &= flagSpill
		clear(core[usedAt : usedAt+8])
		about = append(about, core...)
		for i := range count {
			about = k.authenticated(about, parseBlockPointer(dn[pointersAt+i*pointerSize:][:pointerSize], order))
		}
		if spill {
			about = k.authenticated(about, parseBlockPointer(dn[last:], order))
		}
		if dn[0] != typeNone && encryptedKind(dn[4]) && order.Uint16(dn[10:]) != 0 {
			sealed = append(sealed, dn[bonus:last]...)
			parts = append(parts, dn[bonus:last])
		} else {
			about = append(about, dn[bonus:last]...)
		}
	}
	opened, err := c.Open(nil, iv, append(sealed, mac...), about)
	if err != nil {
		return nil, errChecksum
	}
	for _, p := range parts {
		opened = opened[copy(p, opened):]
	}
	return out, nil
}

// authenticated adds what is authenticated of a block pointer.
func (k *keys) authenticated(b []byte, bp blockPointer) []byte {
	const (
		compression = 127 << 32
		physical    = 0xffff << 16
		sum         = 0xff << 40
		dedup       = 1 << 62
		littleEnd   = 1 << 63
	)
	prop := bp.prop() &^ uint64(dedup|sum)
	switch {
	case k.version == 0:
		prop &^= physical
	case bp.hole():
		prop = 0
	case bp.level() != 0:
		prop &^= littleEnd | compression | physical
	}
	b = binary.LittleEndian.AppendUint64(b, prop)
	b = binary.LittleEndian.AppendUint64(b, bp.word[14])
	b = binary.LittleEndian.AppendUint64(b, bp.word[15])
	if k.version > 0 {
		b = append(b, make([]byte, 8)...)
	}
	return b
}

// encryptedKind reports whether what has that type is encrypted in encrypted datasets (dmu.c).
func encryptedKind(kind uint8) bool {
	const newKind, newEncrypted = 0x80, 0x20
	if kind&newKind != 0 {
		return kind&newEncrypted != 0
	}
	return bytes.IndexByte([]byte{9, 10, 18, 19, 20, 22, 23, 25, 26, 33, 34, 35, 39, 40, 44, 45, 46, 47, 49}, kind) >= 0
}

// ccm is AES in counter mode with CBC-MAC (RFC 3610), with nonces of 12 bytes and tags of 16.
type ccm struct{ block cipher.Block }

func (ccm) NonceSize() int { return ivBytes }
func (ccm) Overhead() int  { return macBytes }

// Seal is not needed: nothing is written.
func (ccm) Seal([]byte, []byte, []byte, []byte) []byte { panic("zfs: nothing is encrypted") }

// Open implements [cipher.AEAD] for an empty dst.
func (c ccm) Open(_, nonce, sealed, about []byte) ([]byte, error) {
	const size = aes.BlockSize
	if len(sealed) < macBytes || len(sealed) >= 1<<24 {
		return nil, errChecksum
	}
	text, tag := sealed[:len(sealed)-macBytes], sealed[len(sealed)-macBytes:]
	var counter, first [size]byte
	counter[0] = 15 - ivBytes - 1 // of the length, as its length less one
	copy(counter[1:], nonce)
	stream := cipher.NewCTR(c.block, counter[:])
	stream.XORKeyStream(first[:], first[:])
	out := make([]byte, len(text))
	stream.XORKeyStream(out, text)

	var mac [size]byte
	copy(mac[:], counter[:])
	mac[0] |= (macBytes - 2) / 2 << 3
	if len(about) > 0 {
		mac[0] |= 64
	}
	mac[13], mac[14], mac[15] = byte(len(text)>>16), byte(len(text)>>8), byte(len(text))
	c.block.Encrypt(mac[:], mac[:])
	add := func(b []byte) {
		for len(b) > 0 {
			n := min(len(b), size)
			subtle.XORBytes(mac[:n], mac[:n], b[:n])
			c.block.Encrypt(mac[:], mac[:])
			b = b[n:]
		}
	}
	if n := len(about); n > 0 {
		head := binary.BigEndian.AppendUint16(nil, uint16(n))
		if n >= 0xff00 {
			head = binary.BigEndian.AppendUint32([]byte{0xff, 0xfe}, uint32(n))
		}
		add(append(head, about...))
	}
	add(out)
	subtle.XORBytes(mac[:], mac[:], first[:])
	if subtle.ConstantTimeCompare(mac[:], tag) != 1 {
		return nil, errChecksum
	}
	return out, nil
}
