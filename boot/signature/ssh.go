//go:build !alpboot_minimal

package signature

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Algorithms of keys, as SSH names them.
const (
	algEd25519 = "ssh-ed25519"
	algToken   = "sk-ssh-ed25519@openssh.com"
	algRSA     = "ssh-rsa"
)

var errKey = errors.New("it is not a key of SSH")

// parseSSHKey reads a line such as ssh-keygen writes: algorithm, base64, comment.
func parseSSHKey(line string) (Key, error) {
	f := strings.Fields(line)
	if len(f) < 2 || strings.Contains(line, "\n") {
		return Key{}, errKey
	}
	blob, err := decode(f[1])
	if err != nil {
		return Key{}, errKey
	}
	k, err := parseSSHBlob(blob)
	if err != nil {
		return Key{}, err
	}
	k.Name = strings.Join(f[2:], " ")
	return k, nil
}

// parseSSHBlob reads a key as RFC 4253 and RFC 8709 encode it, and PROTOCOL.u2f of
// OpenSSH for keys on tokens.
func parseSSHBlob(blob []byte) (Key, error) {
	in := wire(blob)
	k := Key{blob: blob}
	switch alg := string(in.field()); alg {
	case algEd25519, algToken:
		k.form, k.ed25519 = sshEd25519, in.field()
		if alg == algToken {
			k.form, k.app = sshToken, string(in.field())
		}
		if len(k.ed25519) != ed25519.PublicKeySize {
			return Key{}, errKey
		}
	case algRSA:
		e, n := in.field(), in.field()
		var err error
		if k.rsa, err = newRSA(n, e); err != nil {
			return Key{}, err
		}
		k.form = sshRSA
	case "":
		return Key{}, errKey
	default:
		return Key{}, fmt.Errorf("keys of type %.40q are not known: take ssh-ed25519 or ssh-rsa", alg)
	}
	if !in.ended() {
		return Key{}, errKey
	}
	return k, nil
}

// wire is what is left of fields that each begin with their length.
type wire []byte

// field returns the next one; it is empty where there is none, and then ended is false
// for ever.
func (w *wire) field() []byte {
	if len(*w) < 4 || int64(binary.BigEndian.Uint32(*w)) > int64(len(*w)-4) {
		*w = wire{0}
		return nil
	}
	n := 4 + int(binary.BigEndian.Uint32(*w))
	f := (*w)[4:n:n]
	*w = (*w)[n:]
	return f
}

// take returns the next n bytes, or none.
func (w *wire) take(n int) []byte {
	if len(*w) < n {
		*w = wire{0}
		return nil
	}
	b := (*w)[:n:n]
	*w = (*w)[n:]
	return b
}

func (w wire) ended() bool { return len(w) == 0 }

const sshMagic = "SSHSIG"

// verifySSH checks what ssh-keygen -Y sign makes: PROTOCOL.sshsig of OpenSSH.
func verifySSH(content, sig []byte, keys []Key) (Key, error) {
	none := errors.New("it is not one of ssh-keygen")
	const begin, end = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
	body, ok := strings.CutPrefix(strings.TrimSpace(string(sig)), begin)
	body, ok2 := strings.CutSuffix(body, end)
	b, err := decode(body)
	if !ok || !ok2 || err != nil || !bytes.HasPrefix(b, []byte(sshMagic+"\x00\x00\x00\x01")) {
		return Key{}, none
	}
	in := wire(b[len(sshMagic)+4:])
	public, namespace, reserved, hashName, signature := in.field(), in.field(), in.field(), in.field(), in.field()
	if !in.ended() {
		return Key{}, none
	}
	if string(namespace) != Namespace {
		return Key{}, fmt.Errorf("it is for %.40q: sign with ssh-keygen -Y sign -n %s", namespace, Namespace)
	}
	hash, _, ok := sshHash(string(hashName), content)
	if !ok || strings.HasPrefix(string(hashName), "rsa-") {
		return Key{}, fmt.Errorf("its hash %.40q is not known", hashName)
	}
	i := slices.IndexFunc(keys, func(k Key) bool { return k.blob != nil && bytes.Equal(k.blob, public) })
	if i < 0 {
		return Key{}, errNoKey
	}
	signed := []byte(sshMagic)
	for _, f := range [][]byte{namespace, reserved, hashName, hash} {
		signed = append(binary.BigEndian.AppendUint32(signed, uint32(len(f))), f...)
	}
	if !keys[i].verifySSH(signed, signature) {
		return Key{}, errInvalid
	}
	return keys[i], nil
}

// verifySSH reports whether a signature of SSH by k holds. Of a token, it must have been
// touched.
func (k Key) verifySSH(signed, signature []byte) bool {
	in := wire(signature)
	alg, sig := string(in.field()), in.field()
	switch {
	case k.form == sshEd25519 && alg == algEd25519:
		return in.ended() && ed25519.Verify(k.ed25519, signed, sig)
	case k.form == sshToken && alg == algToken:
		rest := in.take(1 + 4) // flags and counter
		const touched = 1
		if !in.ended() || len(rest) != 5 || rest[0]&touched == 0 {
			return false
		}
		app, message := sha256.Sum256([]byte(k.app)), sha256.Sum256(signed)
		return ed25519.Verify(k.ed25519, slices.Concat(app[:], rest, message[:]), sig)
	case k.form == sshRSA && alg != "ssh-rsa":
		hash, kind, ok := sshHash(alg, signed)
		return ok && strings.HasPrefix(alg, "rsa-") && in.ended() && k.rsa.holds(kind, hash, sig)
	}
	return false
}

// sshHash returns the hash that a name of SSH asks for.
func sshHash(name string, content []byte) ([]byte, crypto.Hash, bool) {
	switch name {
	case "sha256", "rsa-sha2-256":
		h := sha256.Sum256(content)
		return h[:], crypto.SHA256, true
	case "sha512", "rsa-sha2-512":
		h := sha512.Sum512(content)
		return h[:], crypto.SHA512, true
	}
	return nil, 0, false
}
