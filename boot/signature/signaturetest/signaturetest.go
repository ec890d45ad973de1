// Package signaturetest signs files for tests, as minisign does.
package signaturetest

import (
	"crypto/ed25519"
	"encoding/base64"
	"slices"

	"golang.org/x/crypto/blake2b"
)

// Key is a key of minisign.
type Key struct {
	id      string
	private ed25519.PrivateKey
}

// New returns a key; another one for another seed.
func New(seed byte) Key {
	return Key{string([]byte{seed, 1, 2, 3, 4, 5, 6, 7}), ed25519.NewKeyFromSeed(slices.Repeat([]byte{seed}, ed25519.SeedSize))}
}

// Public returns the file with the public key.
func (k Key) Public() string {
	return "untrusted comment: minisign public key\n" + encode("Ed", k.id, string(k.private.Public().(ed25519.PublicKey))) + "\n"
}

// Sign returns the file with a signature, which minisign calls like the signed file,
// with .minisig at its end.
func (k Key) Sign(content []byte) string {
	const comment = "timestamp:1"
	hash := blake2b.Sum512(content)
	sig := string(ed25519.Sign(k.private, hash[:]))
	return "untrusted comment: signature\n" + encode("ED", k.id, sig) + "\ntrusted comment: " + comment + "\n" +
		encode(string(ed25519.Sign(k.private, []byte(sig+comment)))) + "\n"
}

func encode(parts ...string) string {
	var all string
	for _, p := range parts {
		all += p
	}
	return base64.StdEncoding.EncodeToString([]byte(all))
}
