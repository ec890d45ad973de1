package signature

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
)

var content = []byte("sha256 of something  boot/vmlinuz-lts\n")

// signed is a file that a real program has signed.
type signed struct {
	name, suffix string
	key, sig     []byte
	keyName      string
}

// made has each program sign the content.
func made(t *testing.T) (all []signed) {
	t.Helper()
	boottest.NeedTools(t, "minisign", "ssh-keygen", "openssl")
	dir := t.TempDir()
	file := filepath.Join(dir, "manifest")
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	tool := func(args ...string) {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join(dir, name))
		return b
	}
	tool("minisign", "-G", "-W", "-p", "mini.pub", "-s", "mini.key")
	tool("minisign", "-S", "-s", "mini.key", "-m", "manifest")
	sig, pub := read("manifest.minisig"), read("mini.pub")
	all = append(all, signed{"minisign", Minisig, pub, sig, "mini.pub"})
	all = append(all, signed{"minisign, the key's second line", Minisig, []byte(strings.Split(string(pub), "\n")[1]), sig, "mini.pub"})
	tool("minisign", "-S", "-l", "-s", "mini.key", "-m", "manifest")
	all = append(all, signed{"minisign, not hashed", Minisig, pub, read("manifest.minisig"), "mini.pub"})
	for _, args := range [][]string{{"ed25519"}, {"rsa", "-b", "2048"}} {
		key := "ssh-" + strings.Join(args, "")
		tool(append([]string{"ssh-keygen", "-q", "-N", "", "-C", "owner@home", "-f", key, "-t"}, args...)...)
		for _, hash := range []string{"sha512", "sha256"} {
			tool("ssh-keygen", "-Y", "sign", "-O", "hashalg="+hash, "-n", Namespace, "-f", key, "manifest")
			b, err := os.ReadFile(filepath.Join(dir, key+".pub"))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, signed{key + " " + hash, SSHSig, b, read("manifest.sig"), "owner@home"})
		}
	}
	const name = "owner-1234.rsa.pub"
	tool("openssl", "genrsa", "-out", "owner.rsa", "2048")
	tool("openssl", "rsa", "-in", "owner.rsa", "-pubout", "-out", name)
	tool("openssl", "dgst", "-sha256", "-sign", "owner.rsa", "-out", "rsa.sig", "manifest")
	return append(all, signed{"abuild", RSA256 + name, read(name), read("rsa.sig"), name})
}

// What the real programs have signed holds, by its key alone, and not when anything of
// it is another.
func TestVerify(t *testing.T) {
	all := made(t)
	var keys []Key
	for _, s := range all {
		k, err := ParseKey(s.keyName, s.key)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(keys, k.Equal) {
			keys = append(keys, k)
		}
	}
	if len(keys) != 4 {
		t.Errorf("%d keys", len(keys))
	}
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			own, err := ParseKey(s.keyName, s.key)
			if err != nil {
				t.Fatal(err)
			}
			if k, err := Verify(content, s.suffix, s.sig, keys); err != nil || !k.Equal(own) || k.Name != s.keyName {
				t.Fatalf("by %q: %v", k.Name, err)
			}
			others := slices.DeleteFunc(slices.Clone(keys), own.Equal)
			if _, err := Verify(content, s.suffix, s.sig, others); err != errNoKey {
				t.Errorf("with other keys: %v", err)
			}
			if _, err := Verify(content, s.suffix, s.sig, nil); err != errNoKey {
				t.Errorf("without keys: %v", err)
			}
			for i := range content {
				changed := slices.Clone(content)
				changed[i] ^= 0x20
				if _, err := Verify(changed, s.suffix, s.sig, keys); err != errInvalid {
					t.Fatalf("with byte %d changed: %v", i, err)
				}
			}
			if _, err := Verify(content[:len(content)-1], s.suffix, s.sig, keys); err != errInvalid {
				t.Errorf("cut short: %v", err)
			}
			for i := range s.sig {
				changed := slices.Clone(s.sig)
				changed[i] ^= 1
				if _, err := Verify(content, s.suffix, changed, keys); err == nil && !free(s.sig, i) {
					t.Errorf("with byte %d of the signature changed to %q: it holds", i, changed[i])
				}
				if _, err := Verify(content, s.suffix, s.sig[:i], keys); err == nil && strings.TrimSpace(string(s.sig[i:])) != "" {
					t.Errorf("with %d bytes of the signature: it holds", i)
				}
			}
		})
	}
}

// free reports whether a byte of a signature says nothing: one of the comment that
// minisign does not trust, and the end of the last line.
func free(sig []byte, i int) bool {
	return strings.HasPrefix(string(sig), "untrusted") && i < strings.Index(string(sig), "\n") || i == len(sig)-1 && sig[i] == '\n'
}

// A key on a token signs only what it was touched for. The bytes are those of
// PROTOCOL.u2f of OpenSSH, as no token is at hand.
func TestToken(t *testing.T) {
	field := func(fields ...string) (b string) {
		for _, f := range fields {
			b += string(binary.BigEndian.AppendUint32(nil, uint32(len(f)))) + f
		}
		return b
	}
	private := ed25519.NewKeyFromSeed(make([]byte, 32))
	blob := field(algToken, string(private.Public().(ed25519.PublicKey)), "ssh:")
	key, err := ParseKey("token.pub", []byte(algToken+" "+base64.StdEncoding.EncodeToString([]byte(blob))+" at hand\n"))
	if err != nil || key.Name != "at hand" {
		t.Fatal(key.Name, err)
	}
	hash := sha512.Sum512(content)
	sign := func(flags byte) []byte {
		toSign := sshMagic + field(Namespace, "", "sha512", string(hash[:]))
		app, message := sha256.Sum256([]byte("ssh:")), sha256.Sum256([]byte(toSign))
		rest := string([]byte{flags, 0, 0, 0, 7})
		sig := ed25519.Sign(private, slices.Concat(app[:], []byte(rest), message[:]))
		all := sshMagic + "\x00\x00\x00\x01" + field(blob, Namespace, "", "sha512", field(algToken, string(sig))+rest)
		return []byte("-----BEGIN SSH SIGNATURE-----\n" + base64.StdEncoding.EncodeToString([]byte(all)) + "\n-----END SSH SIGNATURE-----\n")
	}
	if _, err := Verify(content, SSHSig, sign(1), []Key{key}); err != nil {
		t.Error(err)
	}
	if _, err := Verify(content, SSHSig, sign(5), []Key{key}); err != nil {
		t.Error("touched, and with a PIN:", err)
	}
	if _, err := Verify(content, SSHSig, sign(0), []Key{key}); err == nil {
		t.Error("not touched: it holds")
	}
	changed := []byte(strings.Replace(string(content), "lts", "alt", 1))
	if _, err := Verify(changed, SSHSig, sign(1), []Key{key}); err == nil {
		t.Error("changed: it holds")
	}
}

func TestRefused(t *testing.T) {
	boottest.NeedTools(t, "ssh-keygen", "openssl")
	dir := t.TempDir()
	tool := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", strings.Join(args, " "), err)
		}
		return string(out)
	}
	public := func(args ...string) string {
		t.Helper()
		name := strings.Join(args, "-")
		tool(append([]string{"ssh-keygen", "-q", "-N", "", "-f", name, "-t"}, args...)...)
		b, err := os.ReadFile(filepath.Join(dir, name+".pub"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	tool("openssl", "genrsa", "-out", "short", "1024")
	tool("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", "ec")
	good := public("ed25519")
	for _, tt := range []struct{ name, key, want string }{
		{"ecdsa", public("ecdsa"), `keys of type "ecdsa-sha2-nistp256" are not known: take ssh-ed25519 or ssh-rsa`},
		{"a short RSA key", tool("openssl", "rsa", "-in", "short", "-pubout"), "it has 1024 bits, and 2048 to 16384 are taken"},
		{"an elliptic one of openssl", tool("openssl", "ec", "-in", "ec", "-pubout"), "it is not a key of RSA"},
		{"a private key", tool("cat", "ed25519"), "it is none of minisign, SSH or abuild"},
		{"cut off", good[:40], "it is not a key of SSH"},
		{"two at once", good + good, "it is not a key of SSH"},
		{"empty", "", "it is none of minisign, SSH or abuild"},
		{"long", strings.Repeat("x", MaxKey+1), "it is longer than 16384 bytes"},
	} {
		if tt.name == "ecdsa" {
			tt.key = strings.Replace(tt.key, "ecdsa-sha2", "ssh-ecdsa-sha2", 1) // its first word does not count
		}
		if _, err := ParseKey("k", []byte(tt.key)); err == nil || err.Error() != "the key k: "+tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	key, err := ParseKey("k", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	tool("ssh-keygen", "-Y", "sign", "-n", "file", "-f", "ed25519", "f")
	sig, err := os.ReadFile(filepath.Join(dir, "f.sig"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(content, SSHSig, sig, []Key{key}); err == nil || !strings.Contains(err.Error(), `it is for "file"`) {
		t.Errorf("of another namespace: %v", err)
	}
	if _, err := Verify(content, ".asc", sig, []Key{key}); err == nil {
		t.Error("of an unknown form: it holds")
	}
}

func FuzzVerify(f *testing.F) {
	private := ed25519.NewKeyFromSeed(make([]byte, 32))
	public := private.Public().(ed25519.PublicKey)
	blob := binary.BigEndian.AppendUint32(nil, uint32(len(algEd25519)))
	blob = append(binary.BigEndian.AppendUint32(append(blob, algEd25519...), 32), public...)
	line := algEd25519 + " " + base64.StdEncoding.EncodeToString(blob)
	mini := base64.StdEncoding.EncodeToString(append([]byte("Ed12345678"), public...))
	f.Add(SSHSig, []byte(line), []byte("-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ==\n-----END SSH SIGNATURE-----"))
	f.Add(Minisig, []byte(mini), []byte("untrusted comment: x\n"+base64.StdEncoding.EncodeToString(make([]byte, 74))+"\ntrusted comment: y\n"+base64.StdEncoding.EncodeToString(make([]byte, 64))))
	f.Add(RSA256+"k", []byte("-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----"), make([]byte, 256))
	f.Fuzz(func(t *testing.T, suffix string, key, sig []byte) {
		k, err := ParseKey("k", key)
		if err != nil {
			k = Key{form: minisign, ed25519: public}
		}
		if k, err := Verify(content, suffix, sig, []Key{k}); err == nil {
			t.Errorf("a signature by nobody holds: %+v", k)
		}
	})
}
