package signature

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// https://jedisct1.github.io/minisign/ describes both files: a comment, and base64 of
// two bytes for the algorithm, eight that number the key, and the key or signature.
const (
	minisignKey    = 2 + 8 + ed25519.PublicKeySize
	minisignSig    = 2 + 8 + ed25519.SignatureSize
	trustedComment = "trusted comment: "
)

func parseMinisignKey(text string) (Key, error) {
	if _, second, ok := strings.Cut(text, "\n"); ok && strings.HasPrefix(text, "untrusted comment:") {
		text = second
	}
	b, err := decode(text)
	if err != nil || len(b) != minisignKey || string(b[:2]) != "Ed" {
		return Key{}, errors.New("it is none of minisign, SSH or abuild")
	}
	return Key{form: minisign, id: [8]byte(b[2:]), ed25519: b[10:]}, nil
}

// verifyMinisign checks the signature, and that of the comment, which covers the first.
func verifyMinisign(content, sig []byte, keys []Key) (Key, error) {
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(sig), "\r\n", "\n")), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[2], trustedComment) {
		return Key{}, errors.New("it is not one of minisign")
	}
	b, err := decode(lines[1])
	global, gerr := decode(lines[3])
	if err != nil || gerr != nil || len(b) != minisignSig || len(global) != ed25519.SignatureSize {
		return Key{}, errors.New("it is not one of minisign")
	}
	signed := content
	switch string(b[:2]) {
	case "ED": // since 0.10
		h := blake2b.Sum512(content)
		signed = h[:]
	case "Ed":
	default:
		return Key{}, fmt.Errorf("its algorithm %q is not known", b[:2])
	}
	for _, k := range keys {
		if k.form != minisign || !bytes.Equal(k.id[:], b[2:10]) {
			continue
		}
		comment := strings.TrimPrefix(lines[2], trustedComment)
		if !ed25519.Verify(k.ed25519, signed, b[10:]) || !ed25519.Verify(k.ed25519, append(bytes.Clone(b[10:]), comment...), global) {
			return Key{}, errInvalid
		}
		return k, nil
	}
	return Key{}, errNoKey
}
