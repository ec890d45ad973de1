package tpm

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
)

// Algorithm is a hash algorithm, by its number in the registry of the Trusted
// Computing Group.
type Algorithm uint16

// The algorithms that are computed here.
const (
	SHA1   Algorithm = 0x04
	SHA256 Algorithm = 0x0b
	SHA384 Algorithm = 0x0c
	SHA512 Algorithm = 0x0d
)

// Algorithms returns the algorithms that are computed here.
func Algorithms() []Algorithm { return []Algorithm{SHA1, SHA256, SHA384, SHA512} }

// String returns the name that Linux and systemd have for it.
func (a Algorithm) String() string {
	switch a {
	case SHA1:
		return "sha1"
	case SHA256:
		return "sha256"
	case SHA384:
		return "sha384"
	case SHA512:
		return "sha512"
	case 0x12:
		return "sm3-256"
	}
	return fmt.Sprintf("algorithm %#x", uint16(a))
}

// New returns a hash; nil for an algorithm that is not computed here.
func (a Algorithm) New() hash.Hash {
	switch a {
	case SHA1:
		return sha1.New()
	case SHA256:
		return sha256.New()
	case SHA384:
		return sha512.New384()
	case SHA512:
		return sha512.New()
	}
	return nil
}
