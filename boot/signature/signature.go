// Package signature verifies detached signatures of files, by keys that the owner of a
// machine has put into its image: those of minisign, of ssh-keygen -Y sign, and of
// Alpine's abuild-sign. Nothing that it reads is trusted before a signature of it holds.
//
// It takes the place of crypto/x509, x/crypto/ssh and a library for minisign, which
// would be most of a megabyte in flash: see docs/architecture.md.
package signature

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Namespace is what signatures of SSH must be made for: ssh-keygen -Y sign -n alpboot.
const Namespace = "alpboot"

// Dir is where an image has the keys of the machine's owner.
const Dir = "etc/alpboot/keys"

// MaxKey and MaxSignature are how many bytes of a file of either kind are looked at:
// an RSA key of 16384 bits has less.
const (
	MaxKey       = 16 << 10
	MaxSignature = 16 << 10
)

// Key is a public key.
type Key struct {
	Name string // what a person calls it: its file, or its comment

	form    form
	id      [8]byte // of minisign
	ed25519 ed25519.PublicKey
	rsa     rsaKey // nil for others
	blob    []byte // of SSH: the key as a signature repeats it
	app     string // of SSH: what a key on a token is for; "" when it is on none
}

// form is where a key comes from, and so what its signatures look like.
type form uint8

const (
	minisign form = iota
	sshEd25519
	sshToken // sk-ssh-ed25519@openssh.com: a touch is asked for
	sshRSA
	abuild
)

// Equal reports whether both are one key, whatever their names.
func (k Key) Equal(o Key) bool {
	return k.form == o.form && k.id == o.id && bytes.Equal(k.ed25519, o.ed25519) && bytes.Equal(k.blob, o.blob) &&
		(k.rsa == nil) == (o.rsa == nil) && (k.rsa == nil || k.rsa.equal(o.rsa))
}

// IsMinisign reports whether it is one of minisign: minimal images take no other.
func (k Key) IsMinisign() bool { return k.form == minisign }

// rsaKey is a public key of RSA.
type rsaKey interface {
	// holds reports whether sig is a signature of a hash, by PKCS #1 v1.5.
	holds(kind crypto.Hash, hash, sig []byte) bool
	equal(rsaKey) bool
}

// ParseKey reads a public key: a file of minisign (or its second line), a line as
// ssh-keygen writes it, or an RSA key of abuild-keygen. Name is that of its file; for
// abuild it must be the file's name, as signatures are named after it.
func ParseKey(name string, b []byte) (Key, error) {
	fail := func(err error) (Key, error) { return Key{}, fmt.Errorf("the key %s: %w", name, err) }
	if len(b) > MaxKey {
		return fail(fmt.Errorf("it is longer than %d bytes", MaxKey))
	}
	text := strings.TrimSpace(string(b))
	switch {
	case strings.HasPrefix(text, "-----BEGIN PUBLIC KEY-----"):
		key, err := parsePEM(text)
		if err != nil {
			return fail(err)
		}
		return Key{Name: name, form: abuild, rsa: key}, nil
	case strings.HasPrefix(text, "ssh-") || strings.HasPrefix(text, "sk-"):
		k, err := parseSSHKey(text)
		if err != nil {
			return fail(err)
		}
		if k.Name == "" {
			k.Name = name
		}
		return k, nil
	}
	k, err := parseMinisignKey(text)
	if err != nil {
		return fail(err)
	}
	k.Name = name
	return k, nil
}

// Forms of signatures, by the end of the name of the file beside what is signed. That of
// abuild is .SIGN.RSA256. and the name of the key.
const (
	Minisig = ".minisig"
	SSHSig  = ".sig"
	RSA256  = ".SIGN.RSA256."
)

var (
	errNoKey   = errors.New("it is by a key that is not among those of this image")
	errInvalid = errors.New("it is not a signature of this content")
)

// Verify reports whose signature of content is in the file sig, whose name ends in
// suffix: [Minisig], [SSHSig], or [RSA256] and the name of a key. An error is a reason
// that follows "the signature": a key is unknown, or the content or the signature has
// been changed.
func Verify(content []byte, suffix string, sig []byte, keys []Key) (Key, error) {
	if len(sig) > MaxSignature {
		return Key{}, fmt.Errorf("it is longer than %d bytes", MaxSignature)
	}
	switch name, isRSA := strings.CutPrefix(suffix, RSA256); {
	case suffix == Minisig:
		return verifyMinisign(content, sig, keys)
	case suffix == SSHSig:
		return verifySSH(content, sig, keys)
	case isRSA:
		return verifyAbuild(content, name, sig, keys)
	}
	return Key{}, fmt.Errorf("files called *%s are not known", suffix)
}

// verifyAbuild checks what abuild-sign makes: PKCS #1 v1.5 of SHA-256.
func verifyAbuild(content []byte, name string, sig []byte, keys []Key) (Key, error) {
	hash := sha256.Sum256(content)
	for _, k := range keys {
		if k.form != abuild || k.Name != name {
			continue
		}
		if !k.rsa.holds(crypto.SHA256, hash[:], sig) {
			return Key{}, errInvalid
		}
		return k, nil
	}
	return Key{}, errNoKey
}

// decode reads base64 as these programs write it, in lines or in one.
func decode(text string) ([]byte, error) { return base64.StdEncoding.Strict().DecodeString(text) }
