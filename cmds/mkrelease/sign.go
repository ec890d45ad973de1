package main

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/ssh"
)

// signature is a file that signs another one, or the public key to check one by.
type signature struct {
	name    string
	content []byte
	public  string // the public key, as it is typed to verify
}

// sign signs a file in the forms of minisign and of ssh-keygen -Y, by one key, and
// returns the public keys as well. Ed25519 makes the same signature each time. What
// is signed begins differently in both, so that none can pass for the other.
func sign(keyFile, name string, content []byte, when time.Time) ([]signature, error) {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	raw, err := ssh.ParseRawPrivateKey(text)
	if missing := new(ssh.PassphraseMissingError); errors.As(err, &missing) {
		raw, err = ssh.ParseRawPrivateKeyWithPassphrase(text, []byte(os.Getenv("RELEASE_PASSPHRASE")))
		if err != nil {
			err = fmt.Errorf("%w; $RELEASE_PASSPHRASE is the passphrase", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	key, ok := raw.(*ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is not of type ed25519: ssh-keygen -t ed25519 makes one that is", keyFile)
	}
	public := key.Public().(ed25519.PublicKey)
	mini, miniPublic, err := minisign(*key, name, content, when)
	if err != nil {
		return nil, err
	}
	sshPublic, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	signed, err := sshSign(*key, sshPublic, content)
	if err != nil {
		return nil, err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshPublic)))
	return []signature{
		{name + ".minisig", mini, "minisign -P " + miniPublic},
		{name + ".sig", signed, ""},
		{"alpboot.pub", []byte("untrusted comment: alpboot's releases, for minisign\n" + miniPublic + "\n"), ""},
		{"alpboot.allowed_signers", []byte("release@alpboot namespaces=\"file\" " + line + "\n"), ""},
	}, nil
}

// minisign returns the signature of minisign for content, and the public key. The
// content is hashed first, as minisign does since 0.10.
func minisign(key ed25519.PrivateKey, name string, content []byte, when time.Time) (signature []byte, public string, err error) {
	pub := key.Public().(ed25519.PublicKey)
	id := blake2b.Sum256(pub) // any eight bytes that stay the same
	hash := blake2b.Sum512(content)
	sig := ed25519.Sign(key, hash[:])
	comment := fmt.Sprintf("timestamp:%d\tfile:%s\thashed", when.Unix(), name)
	global := ed25519.Sign(key, append(bytes.Clone(sig), comment...))
	encode := func(kind string, rest []byte) string {
		return base64.StdEncoding.EncodeToString(append(append([]byte(kind), id[:8]...), rest...))
	}
	text := fmt.Sprintf("untrusted comment: signature of alpboot's releases\n%s\ntrusted comment: %s\n%s\n",
		encode("ED", sig), comment, base64.StdEncoding.EncodeToString(global))
	return []byte(text), encode("Ed", pub), nil
}

// sshNamespace is what the signature is for, as ssh-keygen -Y verify -n takes it.
const sshNamespace = "file"

// sshSign returns the signature of ssh-keygen -Y sign for content.
func sshSign(key ed25519.PrivateKey, public ssh.PublicKey, content []byte) ([]byte, error) {
	const magic, hashName = "SSHSIG", "sha512"
	hash := sha512.Sum512(content)
	field := func(b *bytes.Buffer, s []byte) {
		binary.Write(b, binary.BigEndian, uint32(len(s)))
		b.Write(s)
	}
	var toSign bytes.Buffer
	toSign.WriteString(magic)
	for _, s := range [][]byte{[]byte(sshNamespace), nil, []byte(hashName), hash[:]} {
		field(&toSign, s)
	}
	sig, err := key.Sign(nil, toSign.Bytes(), crypto.Hash(0))
	if err != nil {
		return nil, err
	}
	var blob bytes.Buffer
	blob.WriteString(magic)
	binary.Write(&blob, binary.BigEndian, uint32(1)) // version
	for _, s := range [][]byte{public.Marshal(), []byte(sshNamespace), nil, []byte(hashName),
		ssh.Marshal(ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: sig})} {
		field(&blob, s)
	}
	const width = 70
	text := base64.StdEncoding.EncodeToString(blob.Bytes())
	var b strings.Builder
	b.WriteString("-----BEGIN SSH SIGNATURE-----\n")
	for len(text) > 0 {
		n := min(width, len(text))
		b.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	b.WriteString("-----END SSH SIGNATURE-----\n")
	return []byte(b.String()), nil
}
