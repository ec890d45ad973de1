package luks

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"strings"

	"golang.org/x/crypto/xts"
)

// decrypter decrypts one sector in place; numbers count from the start of a key
// slot's area.
type decrypter func(sector []byte, number uint64)

// newDecrypter returns the decrypter for a cipher in the words of dm-crypt:
// cipher-mode-iv[:options]. It knows AES in XTS and CBC mode, with the numbers of
// sectors as they are, or encrypted (ESSIV), as initialisation vectors.
func newDecrypter(name string, key []byte) (decrypter, error) {
	algorithm, rest, _ := strings.Cut(name, "-")
	mode, iv, _ := strings.Cut(rest, "-")
	iv, ivHash, _ := strings.Cut(iv, ":")
	plain := ivHash == "" && (iv == "plain" || iv == "plain64") // alike for so few sectors
	switch {
	case algorithm == "aes" && mode == "xts" && plain:
		c, err := xts.NewCipher(aes.NewCipher, key)
		if err != nil {
			return nil, damaged("%s with a key of %d bytes", name, len(key))
		}
		return func(sector []byte, number uint64) { c.Decrypt(sector, sector, number) }, nil
	case algorithm == "aes" && mode == "cbc" && (plain || iv == "essiv"):
		data, err := aes.NewCipher(key)
		if err != nil {
			return nil, damaged("%s with a key of %d bytes", name, len(key))
		}
		salted, err := newESSIV(key, iv, ivHash)
		if err != nil {
			return nil, err
		}
		return func(sector []byte, number uint64) {
			var iv [aes.BlockSize]byte
			binary.LittleEndian.PutUint64(iv[:], number)
			if salted != nil {
				salted.Encrypt(iv[:], iv[:])
			}
			cipher.NewCBCDecrypter(data, iv[:]).CryptBlocks(sector, sector)
		}, nil
	}
	return nil, unsupported("cipher %q for its key slots", name)
}

// newESSIV returns what encrypts the sector numbers; nil when they stay plain.
func newESSIV(key []byte, iv, hash string) (cipher.Block, error) {
	if iv != "essiv" {
		return nil, nil
	}
	newHash := newHash(hash)
	if newHash == nil {
		return nil, unsupported("hash %q", hash)
	}
	h := newHash()
	h.Write(key)
	c, err := aes.NewCipher(h.Sum(nil))
	if err != nil {
		return nil, unsupported("ESSIV with hash %q", hash)
	}
	return c, nil
}
