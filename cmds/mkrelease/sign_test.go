package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
)

// newKey makes a key with ssh-keygen, as a maintainer does.
func newKey(t *testing.T, kind string) string {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	boottest.Tool(t, "ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "release", "-f", key)
	return key
}

// What is signed is accepted by the programs that users have, and refused by them
// once a byte has changed.
func TestSign(t *testing.T) {
	boottest.NeedTools(t, "minisign", "ssh-keygen")
	key := newKey(t, "ed25519")
	content := []byte("0123  alpboot-1.0.0-x86_64.efi\n")
	when := time.Unix(1764288000, 0)
	list, err := sign(key, "SHA256SUMS", content, when)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range list {
		write(s.name, s.content)
	}
	public := strings.Fields(list[0].public) // as it is typed
	for _, tt := range []struct {
		name    string
		content []byte
		good    bool
	}{{"whole", content, true}, {"changed", append([]byte("1"), content[1:]...), false}} {
		t.Run(tt.name, func(t *testing.T) {
			write("SHA256SUMS", tt.content)
			for _, args := range [][]string{
				{"minisign", "-V", "-p", "alpboot.pub", "-m", "SHA256SUMS"},
				append(public, "-V", "-m", "SHA256SUMS"),
				{"ssh-keygen", "-Y", "verify", "-f", "alpboot.allowed_signers", "-I", "release@alpboot", "-n", "file", "-s", "SHA256SUMS.sig"},
			} {
				cmd := exec.Command(args[0], args[1:]...)
				cmd.Dir = dir
				cmd.Stdin = bytes.NewReader(tt.content)
				if out, err := cmd.CombinedOutput(); (err == nil) != tt.good {
					t.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
				}
			}
		})
	}
	again, err := sign(key, "SHA256SUMS", content, when)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range again {
		if !bytes.Equal(s.content, list[i].content) {
			t.Errorf("%s differs when it is made twice", s.name)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	locked := filepath.Join(t.TempDir(), "locked")
	boottest.Tool(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", locked)
	for _, tt := range []struct{ name, key, passphrase, want string }{
		{"another type", newKey(t, "ecdsa"), "", "is not of type ed25519"},
		{"not a key", "sign.go", "", "sign.go"},
		{"no passphrase", locked, "", "$RELEASE_PASSPHRASE"},
		{"the passphrase", locked, "secret", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("RELEASE_PASSPHRASE", tt.passphrase)
			_, err := sign(tt.key, "x", nil, time.Unix(0, 0))
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
