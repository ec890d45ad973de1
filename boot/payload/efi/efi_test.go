package efi

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"debug/pe"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/kernel"
)

// stub makes a program with one section .text, and a debug directory in it that
// points at 16 bytes of the section.
func stub() []byte {
	const at, headers, va = 0x40, 0x200, 0x1000
	b := make([]byte, headers+0x400)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], at)
	copy(b[at:], "PE\x00\x00")
	le.PutUint16(b[at+4:], pe.IMAGE_FILE_MACHINE_AMD64)
	le.PutUint16(b[at+6:], 1)
	le.PutUint16(b[at+20:], optionalSize)
	o := b[at+coffSize:]
	le.PutUint16(o, 0x20b)
	le.PutUint32(o[offSectionAlignment:], 0x200)
	le.PutUint32(o[offFileAlignment:], 0x200)
	le.PutUint32(o[offSizeOfImage:], va+0x400)
	le.PutUint32(o[offSizeOfHeaders:], headers)
	le.PutUint32(o[108:], 16)
	le.PutUint32(o[offDebug:], va+0x80)
	le.PutUint32(o[offDebug+4:], 28)
	s := o[optionalSize:]
	copy(s, ".text")
	le.PutUint32(s[8:], 0x3f0)
	le.PutUint32(s[12:], va)
	le.PutUint32(s[16:], 0x400)
	le.PutUint32(s[20:], headers)
	le.PutUint32(s[36:], pe.IMAGE_SCN_CNT_CODE|pe.IMAGE_SCN_MEM_EXECUTE|pe.IMAGE_SCN_MEM_READ)
	text := b[headers:]
	for i := range text {
		text[i] = byte(i)
	}
	le.PutUint32(text[0x80+24:], headers+0x100) // where the debug data lie
	setCheckSum(b, at+coffSize+offCheckSum)
	return b
}

func parse(t *testing.T, b []byte) *Program {
	t.Helper()
	p, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAppend(t *testing.T) {
	// Eight headers do not fit in the stub's 512 bytes: all data move.
	var add []Section
	for i, name := range []string{".a", ".b", ".c", ".d", ".e", ".f", ".osrel", ".linux"} {
		add = append(add, Section{Name: name, Data: bytes.Repeat([]byte{byte('a' + i)}, 1+i*1000), Code: name == ".linux"})
	}
	p, err := parse(t, stub()).Append(add...)
	if err != nil {
		t.Fatal(err)
	}
	got := p.Sections()
	if len(got) != 9 {
		t.Fatalf("%d sections, want 9", len(got))
	}
	text := stub()[0x200:]
	le.PutUint32(text[0x80+24:], uint32(p.sections[0].Offset)+0x100)
	if !bytes.Equal(got[0].Data, text[:0x3f0]) {
		t.Error("the code has changed, or the debug directory does not point at its data any more")
	}
	end := p.sections[0].VirtualAddress + 0x400
	at := le.Uint32(p.raw[p.header+offSizeOfHeaders:])
	for i, s := range p.sections {
		if i > 0 {
			if g := got[i]; g.Name != add[i-1].Name || !bytes.Equal(g.Data, add[i-1].Data) || g.Code != add[i-1].Code {
				t.Errorf("section %d is %s of %d bytes", i, g.Name, len(g.Data))
			}
			if s.VirtualAddress%page != 0 || s.VirtualAddress < end {
				t.Errorf("%s lies at %#x in memory, and what is before it ends at %#x", s.Name, s.VirtualAddress, end)
			}
		}
		if s.Offset != at {
			t.Errorf("%s lies at %#x of the file, and what is before it ends at %#x", s.Name, s.Offset, at)
		}
		end, at = s.VirtualAddress+s.VirtualSize, s.Offset+s.Size
	}
	if int(at) != len(p.raw) {
		t.Errorf("the file has %d bytes, and its last section ends at %d", len(p.raw), at)
	}
	if size := le.Uint32(p.raw[p.header+offSizeOfImage:]); size < end || size >= end+0x200 || size%0x200 != 0 {
		t.Errorf("SizeOfImage is %#x, and the last section ends at %#x", size, end)
	}
	again, err := parse(t, stub()).Append(add...)
	if err != nil || !bytes.Equal(again.Bytes(), p.Bytes()) {
		t.Errorf("the same input makes other bytes; %v", err)
	}
}

// A stub that asks for more than pages gets it.
func TestAppendAligned(t *testing.T) {
	const align = 0x10000
	b := stub()
	le.PutUint32(b[0x40+coffSize+offSectionAlignment:], align)
	le.PutUint32(b[0x40+coffSize+optionalSize+12:], align)
	p, err := parse(t, b).Append(Section{Name: ".a", Data: []byte("a")}, Section{Name: ".b", Data: []byte("b")})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range p.sections {
		if s.VirtualAddress != uint32(align*(i+1)) {
			t.Errorf("%s lies at %#x", s.Name, s.VirtualAddress)
		}
	}
	if why := p.Misplaced(); why != "" {
		t.Error(why)
	}
}

func TestMisplaced(t *testing.T) {
	p, err := parse(t, stub()).Append(Section{Name: ".initrd", Data: make([]byte, 5000)}, Section{Name: ".linux", Data: make([]byte, 5000)})
	if err != nil {
		t.Fatal(err)
	}
	last := p.table + 2*sectionHeaderSize
	for _, tt := range []struct {
		name   string
		change func(b []byte)
		want   string
	}{
		{name: "as it is", change: func([]byte) {}},
		{name: "over another", change: func(b []byte) { le.PutUint32(b[last+12:], p.sections[1].VirtualAddress+page) }, want: "sections .initrd and .linux overlap"},
		{name: "over another that says no size", change: func(b []byte) {
			le.PutUint32(b[last-sectionHeaderSize+8:], 0)
			le.PutUint32(b[last+12:], p.sections[1].VirtualAddress)
		}, want: "overlap"},
		{name: "larger than the whole", change: func(b []byte) { le.PutUint32(b[last+8:], 1<<30) }, want: "section .linux ends at byte"},
	} {
		b := bytes.Clone(p.Bytes())
		tt.change(b)
		if got := parse(t, b).Misplaced(); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Names of more than eight bytes lie among the symbols, which are not read: so
// it is with shim.
func TestParseLongName(t *testing.T) {
	b := stub()
	copy(b[0x40+coffSize+optionalSize:], "/26\x00\x00")
	if _, err := Parse(b); err != nil {
		t.Error(err)
	}
}

func TestAppendRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		add  []Section
		want string
	}{
		{name: "long name", add: []Section{{Name: ".ninechar", Data: []byte("x")}}, want: "1 to 8 bytes"},
		{name: "empty", add: []Section{{Name: ".x"}}, want: "at least one"},
		{name: "there already", add: []Section{{Name: ".text", Data: []byte("x")}}, want: "a section .text already"},
		{name: "twice", add: []Section{{Name: ".x", Data: []byte("x")}, {Name: ".x", Data: []byte("y")}}, want: "a section .x already"},
		{name: "headers reach the first section", add: many(95), want: "no room for the headers of 95 sections"},
	} {
		if _, err := parse(t, stub()).Append(tt.add...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func many(n int) []Section {
	var list []Section
	for i := range n {
		list = append(list, Section{Name: "." + string(rune('a'+i/26)) + string(rune('a'+i%26)), Data: []byte("x")})
	}
	return list
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(b []byte) []byte
		want   string
	}{
		{name: "text", change: func([]byte) []byte { return bytes.Repeat([]byte("text "), 100) }, want: ErrNotProgram.Error()},
		{name: "DOS program", change: func(b []byte) []byte { b[0x40] = 'N'; return b }, want: ErrNotProgram.Error()},
		{name: "32 bits", change: func(b []byte) []byte {
			le.PutUint16(b[0x40+coffSize:], 0x10b)
			le.PutUint16(b[0x40+20:], 0x60)
			return b
		}, want: "64-bit"},
		{name: "cut off", change: func(b []byte) []byte { return b[:0x500] }, want: "truncated"},
		{name: "alignment", change: func(b []byte) []byte { le.PutUint32(b[0x40+coffSize+offFileAlignment:], 3); return b }, want: "aligned to 3"},
		{name: "signatures elsewhere", change: func(b []byte) []byte { le.PutUint32(b[0x40+coffSize+offSecurity+4:], 8); return b }, want: "its signatures are at"},
	} {
		if _, err := Parse(tt.change(stub())); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// identity makes a key and a certificate for it.
func identity(t testing.TB, name string) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(42), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func TestSign(t *testing.T) {
	key, cert := identity(t, "first")
	p, err := parse(t, append(stub(), "odd"...)).Sign(key, cert)
	if err != nil {
		t.Fatal(err)
	}
	again, err := parse(t, append(stub(), "odd"...)).Sign(key, cert)
	if err != nil || !bytes.Equal(again.Bytes(), p.Bytes()) {
		t.Errorf("signing again makes other bytes; %v", err)
	}
	key2, cert2 := identity(t, "second")
	if _, err := p.Sign(key, cert2); err == nil || !strings.Contains(err.Error(), "not for this key") {
		t.Errorf("a key with another's certificate: %v", err)
	}
	if p, err = p.Sign(key2, cert2); err != nil {
		t.Fatal(err)
	}
	list, err := p.Signatures()
	if err != nil || len(list) != 2 {
		t.Fatalf("%d signatures, %v", len(list), err)
	}
	for i, want := range []string{"CN=first", "CN=second"} {
		if s := list[i]; s.Subject != want || s.Problem != "" {
			t.Errorf("signature %d: %+v", i, s)
		}
	}

	// Any byte that is changed is noticed, but for the checksum.
	for _, tt := range []struct {
		name string
		at   int
		want string
	}{
		{name: "header", at: p.header + 4, want: "changed after it was signed"},
		{name: "code", at: 0x300, want: "changed after it was signed"},
		{name: "what follows the sections", at: 0x601, want: "changed after it was signed"},
		{name: "end of the signature", at: len(p.raw) - 12, want: "not made with the key"},
		{name: "checksum", at: p.header + offCheckSum},
	} {
		b := bytes.Clone(p.Bytes())
		b[tt.at] ^= 1
		list, err := parse(t, b).Signatures()
		if err != nil || len(list) != 2 {
			t.Fatalf("%s: %d signatures, %v", tt.name, len(list), err)
		}
		if got := list[1].Problem; (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}

	// Adding a section makes it another program.
	if p, err = p.Append(Section{Name: ".x", Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if list, err := p.Signatures(); list != nil || err != nil {
		t.Errorf("signatures %v, %v", list, err)
	}
}

// A file cannot be made that takes hours to read.
func TestSignaturesBounded(t *testing.T) {
	key, cert := identity(t, "one")
	template := &x509.Certificate{SerialNumber: big.NewInt(43), NotAfter: time.Unix(1<<33, 0)}
	modulus := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), maxKeyBits+8), big.NewInt(1))
	raw, err := x509.CreateCertificate(rand.Reader, template, cert, &rsa.PublicKey{N: modulus, E: 1<<31 - 1}, key)
	if err != nil {
		t.Fatal(err)
	}
	large, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	digest := parse(t, stub()).Digest(crypto.SHA256)
	der, err := signature(digest, key, large)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		der     []byte
		n, want int
		problem string // of the first
	}{
		{name: "large key", der: der, n: 1, want: 1, problem: "its key has 16392 bits"},
		{name: "as many as are read", n: maxSignatures, want: maxSignatures, problem: "cannot be read"},
		{name: "one more", n: maxSignatures + 1, want: maxSignatures, problem: "cannot be read"},
	} {
		b := stub()
		at := len(b)
		for range tt.n {
			b = le.AppendUint32(b, uint32(certHeaderSize+len(tt.der)))
			b = le.AppendUint16(le.AppendUint16(b, certRevision), certPKCS7)
			b = append(b, tt.der...)
			b = append(b, make([]byte, -len(b)&7)...)
		}
		le.PutUint32(b[0x40+coffSize+offSecurity:], uint32(at))
		le.PutUint32(b[0x40+coffSize+offSecurity+4:], uint32(len(b)-at))
		list, err := parse(t, b).Signatures()
		if len(list) != tt.want || (err != nil) != (tt.n > tt.want) || !strings.Contains(list[0].Problem, tt.problem) {
			t.Errorf("%s: %d signatures, %v, the first: %+v", tt.name, len(list), err, list[0])
		}
	}
}

// need returns the path of a program or file of another project to compare with.
func need(t *testing.T, name string) string {
	t.Helper()
	var err error
	if filepath.IsAbs(name) {
		_, err = os.Stat(name)
	} else {
		name, err = exec.LookPath(name)
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return name
}

// What we sign is what sbverify takes, and the other way round.
func TestSbsigntool(t *testing.T) {
	sbsign, sbverify := need(t, "sbsign"), need(t, "sbverify")
	original, err := os.ReadFile(need(t, "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"))
	if err != nil {
		t.Fatal(err)
	}
	stub := parse(t, original)
	checksum := bytes.Clone(original)
	setCheckSum(checksum, stub.header+offCheckSum)
	if !bytes.Equal(checksum, original) {
		t.Error("the checksum is not what its linker computed")
	}
	p, err := stub.Append(Section{Name: ".osrel", Data: []byte("ID=x\n")}, Section{Name: ".linux", Data: bytes.Repeat([]byte("kernel"), 3001), Code: true})
	if err != nil {
		t.Fatal(err)
	}
	key, cert := identity(t, "ours")
	signed, err := p.Sign(key, cert)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	certFile := file("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	keyFile := file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	if out, err := exec.Command(sbverify, "--cert", certFile, file("signed.efi", signed.Bytes())).CombinedOutput(); err != nil || bytes.Contains(out, []byte("warning")) {
		t.Errorf("sbverify: %v: %s", err, out)
	}
	broken := bytes.Clone(signed.Bytes())
	broken[0x600] ^= 1
	if out, err := exec.Command(sbverify, "--cert", certFile, file("broken.efi", broken)).CombinedOutput(); err == nil {
		t.Errorf("sbverify takes a changed program: %s", out)
	}

	theirs := filepath.Join(dir, "theirs.efi")
	if out, err := exec.Command(sbsign, "--key", keyFile, "--cert", certFile, "--output", theirs, file("plain.efi", p.Bytes())).CombinedOutput(); err != nil {
		t.Fatalf("sbsign: %v: %s", err, out)
	}
	b, err := os.ReadFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	list, err := parse(t, b).Signatures()
	if err != nil || len(list) != 1 || list[0].Subject != "CN=ours" || list[0].Problem != "" {
		t.Errorf("sbsign's signature: %+v, %v", list, err)
	}
}

func TestReadableAsUKI(t *testing.T) {
	p, err := parse(t, stub()).Append(Section{Name: ".cmdline", Data: []byte("quiet")}, Section{Name: ".linux", Data: stub(), Code: true})
	if err != nil {
		t.Fatal(err)
	}
	// Its "kernel" is none, which is as far as it can be read.
	_, err = kernel.OpenUKI(bytes.NewReader(p.Bytes()), int64(len(p.Bytes())))
	if !errors.Is(err, kernel.ErrNotKernel) {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(stub())
	key, cert := identity(f, "fuzz")
	p, err := Parse(stub())
	if err != nil {
		f.Fatal(err)
	}
	if p, err = p.Sign(key, cert); err != nil {
		f.Fatal(err)
	}
	f.Add(p.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		p, err := Parse(b)
		if err != nil {
			return
		}
		for _, s := range p.Sections() {
			if !bytes.Contains(b, s.Data) {
				t.Errorf("the section %q holds what is not in the file", s.Name)
			}
		}
		if text := p.Misplaced(); text != "" && !strings.HasPrefix(text, "its section") {
			t.Errorf("misplaced: %q", text)
		}
		if list, err := p.Signatures(); err != nil && len(list) > 0 {
			t.Errorf("signatures %v beside %v", list, err)
		}
		if d := p.Digest(crypto.SHA256); len(d) != crypto.SHA256.Size() || !bytes.Equal(d, p.Digest(crypto.SHA256)) {
			t.Errorf("digest %x", d)
		}
		if q, err := p.Append(Section{Name: ".new", Data: []byte("new")}); err == nil {
			if s := q.Sections(); string(s[len(s)-1].Data) != "new" {
				t.Errorf("the new section holds %q", s[len(s)-1].Data)
			}
		}
		if !bytes.Equal(b, before) {
			t.Error("the input was changed")
		}
	})
}

func TestReplace(t *testing.T) {
	p, err := parse(t, stub()).Append(Section{Name: ".cmdline", Data: []byte("quiet")}, Section{Name: ".linux", Data: []byte("kernel")})
	if err != nil {
		t.Fatal(err)
	}
	data := func(p *Program, name string) string {
		for _, s := range p.Sections() {
			if s.Name == name {
				return string(s.Data)
			}
		}
		return "none"
	}
	for _, line := range []string{"a longer command line", "x", ""} {
		next, err := p.Replace(".cmdline", []byte(line))
		if err != nil || data(next, ".cmdline") != line || data(next, ".linux") != "kernel" || len(next.Bytes()) != len(p.Bytes()) {
			t.Errorf("%q: got %v, %q", line, err, data(next, ".cmdline"))
		}
	}
	if data(p, ".cmdline") != "quiet" {
		t.Error("the program that was replaced in has changed")
	}
	if _, err := p.Replace(".cmdline", make([]byte, 1<<20)); err == nil {
		t.Error("more data than there is room for")
	}
	if _, err := p.Replace(".other", nil); err == nil {
		t.Error("a section that is not there")
	}
	key, cert := identity(t, "key")
	signed, err := p.Sign(key, cert)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed.Replace(".cmdline", []byte("x")); err == nil || !strings.Contains(err.Error(), "signed") {
		t.Errorf("in a signed program: %v", err)
	}
}
