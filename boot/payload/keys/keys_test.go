package keys_test

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/payload/keys"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
	"github.com/alpboot/alpboot/boot/securekeys"
)

var now = time.Date(2026, 10, 28, 23, 27, 12, 0, time.UTC)

// write makes keys and updates in dir.
func write(t *testing.T, s keys.Setup) string {
	t.Helper()
	var out strings.Builder
	s.Out, s.Now = &out, now
	if err := s.Write(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return out.String()
}

// update returns the entries of an update, and its signature.
func update(t *testing.T, file string) (entries []securekeys.Entry, whole []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if entries, err = securekeys.ParseUpdate(b); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return entries, b
}

// der returns a certificate.
func der(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		t.Fatal(file)
	}
	return block.Bytes
}

// Keys are made once, and taken again; the updates have them and what the firmware has.
func TestWrite(t *testing.T) {
	dir, esp := filepath.Join(t.TempDir(), "keys"), t.TempDir()
	microsoft := filepath.Join(t.TempDir(), "microsoft")
	write(t, keys.Setup{Dir: microsoft})
	theirs := securekeys.Certificate(der(t, microsoft+"/db.crt"))
	hash := securekeys.Entry{Type: [16]byte{1}, Data: bytes.Repeat([]byte{7}, 32)}
	vars := &boottest.Variables{Values: map[string]string{
		"db":         "",
		"dbDefault":  string(securekeys.AppendLists(nil, theirs, hash)),
		"KEK":        string(securekeys.AppendLists(nil, securekeys.Certificate(der(t, microsoft+"/KEK.crt")))),
		"KEKDefault": "not looked at",
	}}
	out := write(t, keys.Setup{Dir: dir, ESP: esp, Vars: vars})
	for _, want := range []string{"Made keys in " + dir, "db   will have alpboot db, alpboot db, and 1 entry that is not a certificate\n", "KEK  will have alpboot KEK, alpboot KEK\n", "PK   will have alpboot PK\n",
		"The updates are in " + dir + " and " + esp + "/loader/keys/alpboot\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("it prints\n%s\nwant %q", out, want)
		}
	}
	if st, err := os.Stat(dir + "/db.key"); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", st, err)
	}
	for name, n := range map[string]int{"db": 3, "KEK": 2, "PK": 1} {
		entries, whole := update(t, filepath.Join(esp, "loader/keys/alpboot", name+".auth"))
		if len(entries) != n || !bytes.Equal(entries[0].Data, der(t, dir+"/"+name+".crt")) {
			t.Errorf("%s has %v", name, entries)
		}
		if _, beside := update(t, filepath.Join(dir, name+".auth")); !bytes.Equal(whole, beside) {
			t.Errorf("%s is another one on the ESP", name)
		}
	}
	before := der(t, dir+"/PK.crt")
	if out := write(t, keys.Setup{Dir: dir, Vars: vars, Own: true}); !strings.HasPrefix(out, "The keys are those in "+dir) || !bytes.Equal(before, der(t, dir+"/PK.crt")) {
		t.Errorf("the second time it prints\n%s", out)
	}
	if entries, _ := update(t, dir+"/db.auth"); len(entries) != 1 {
		t.Errorf("of its own there are %v", entries)
	}
	if out := write(t, keys.Setup{Dir: dir, Vars: &boottest.Variables{}}); !strings.Contains(out, "The firmware has no others to keep: what Microsoft has signed") {
		t.Errorf("of firmware without keys it prints\n%s", out)
	}
}

// sbctl keeps its keys in directories.
func TestSbctl(t *testing.T) {
	from, dir := t.TempDir(), t.TempDir()
	write(t, keys.Setup{Dir: from})
	for _, name := range []string{"PK", "KEK", "db"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		for end, to := range map[string]string{".key": ".key", ".crt": ".pem"} {
			if err := os.Rename(filepath.Join(from, name+end), filepath.Join(dir, name, name+to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out := write(t, keys.Setup{Dir: dir}); !strings.HasPrefix(out, "The keys are those in "+dir) {
		t.Errorf("it prints\n%s", out)
	}
}

// What is not whole is refused, and nothing is overwritten.
func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, keys.Setup{Dir: dir})
	if err := os.Remove(dir + "/KEK.crt"); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := (keys.Setup{Dir: dir, Out: &out, Now: now}).Write(); err == nil || !strings.Contains(err.Error(), dir+" has no key or certificate for KEK") {
		t.Errorf("without a certificate: %v", err)
	}
	if err := os.Rename(dir+"/PK.crt", dir+"/KEK.crt"); err != nil {
		t.Fatal(err)
	}
	if err := (keys.Setup{Dir: dir, Out: &out, Now: now}).Write(); err == nil || !strings.Contains(err.Error(), "it is not for the key") {
		t.Errorf("with another one: %v", err)
	}
	damaged := &boottest.Variables{Values: map[string]string{"db": "damaged"}}
	if err := (keys.Setup{Dir: t.TempDir(), Vars: damaged, Out: &out, Now: now}).Write(); err == nil || !strings.Contains(err.Error(), "the firmware's db: it is truncated or damaged; --own keeps nothing of it") {
		t.Errorf("with a damaged list: %v", err)
	}
}

// The lists are those that sbsigntool makes, byte for byte, what it signs is what is signed
// here, and openssl verifies both signatures.
func TestTools(t *testing.T) {
	boottest.NeedTools(t, "sbsiglist", "sbvarsign", "openssl")
	dir := t.TempDir()
	write(t, keys.Setup{Dir: dir})
	at := func(name string) string { return filepath.Join(dir, name) }
	save := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(at(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ name, by, vendor string }{
		{"PK", "PK", "\x61\xdf\xe4\x8b\xca\x93\xd2\x11\xaa\x0d\x00\xe0\x98\x03\x2b\x8c"}, {"KEK", "PK", "\x61\xdf\xe4\x8b\xca\x93\xd2\x11\xaa\x0d\x00\xe0\x98\x03\x2b\x8c"},
		{"db", "KEK", "\xcb\xb2\x19\xd7\x3a\x3d\x96\x45\xa3\xbc\xda\xd0\x0e\x67\x65\x6f"},
	} {
		save("cert.der", der(t, at(tt.name+".crt")))
		boottest.Tool(t, "sbsiglist", "--owner", "ca794364-4ce4-428a-85d3-57c1e51796db", "--type", "x509", "--output", at("list"), at("cert.der"))
		boottest.Tool(t, "sbvarsign", "--attr", "NON_VOLATILE,BOOTSERVICE_ACCESS,RUNTIME_ACCESS,TIME_BASED_AUTHENTICATED_WRITE_ACCESS", "--key", at(tt.by+".key"), "--cert", at(tt.by+".crt"), "--output", at("theirs.auth"), tt.name, at("list"))
		list, err := os.ReadFile(at("list"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{tt.name + ".auth", "theirs.auth"} {
			_, whole := update(t, at(file))
			if !bytes.HasSuffix(whole, list) {
				t.Fatalf("the list of %s is not that of sbsiglist:\n%x\n%x", file, whole, list)
			}
			// openssl wants the signed data in a wrapper.
			data := whole[16+24 : len(whole)-len(list)]
			save("signature", long(0x30, append([]byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"), long(0xa0, data)...)))
			var content []byte
			for _, c := range tt.name {
				content = append(content, byte(c), 0)
			}
			content = append(append(content, tt.vendor...), 0x27, 0, 0, 0)
			content = append(append(content, whole[:16]...), list...)
			verify := func() error {
				save("content", content)
				return exec.Command("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", at("signature"), "-content", at("content"),
					"-CAfile", at(tt.by+".crt"), "-purpose", "any", "-out", "/dev/null").Run()
			}
			if err := verify(); err != nil {
				t.Errorf("openssl does not verify %s: %v", file, err)
			}
			if content[0] ^= 1; verify() == nil {
				t.Errorf("openssl takes another content for %s", file)
			}
		}
	}
}

// long returns a value in DER of at least 256 bytes.
func long(tag byte, body []byte) []byte {
	return append([]byte{tag, 0x82, byte(len(body) >> 8), byte(len(body))}, body...)
}

// A program that is signed with db.key is one that the updates let start, and another is
// not.
func TestSignedBy(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	write(t, keys.Setup{Dir: dir})
	write(t, keys.Setup{Dir: other})
	p, err := efi.Parse(payloadtest.EFIProgram(nil, payloadtest.MachineAMD64, ""))
	if err != nil {
		t.Fatal(err)
	}
	key, cert, err := efi.ReadIdentity(dir+"/db.key", dir+"/db.crt")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := p.Sign(key, cert)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		program []byte
		keys    string
		want    string
	}{
		{"signed", signed.Bytes(), dir, "alpboot db, <nil>"},
		{"by another key", signed.Bytes(), other, "it is signed by alpboot db, which is not among them"},
		{"not signed", p.Bytes(), dir, "it is not signed"},
		{"not a program", []byte("#!/bin/sh\n"), dir, "it is not an EFI program"},
		{"half", signed.Bytes()[:len(signed.Bytes())-100], dir, "it is truncated or damaged"},
	} {
		entries, _ := update(t, tt.keys+"/db.auth")
		e, err := securekeys.SignedBy(bytes.NewReader(tt.program), int64(len(tt.program)), entries)
		got := fmt.Sprint(err)
		if err == nil {
			got = e.String() + ", <nil>"
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
