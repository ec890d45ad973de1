package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/payload/inspect"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
	"github.com/alpboot/alpboot/boot/payload/uki"
)

// in makes the arguments that name files of a directory paths.
func in(dir string, args []string) []string {
	var list []string
	for _, a := range args {
		if name, ok := strings.CutPrefix(a, "@"); ok {
			a = filepath.Join(dir, name)
		}
		list = append(list, a)
	}
	return list
}

func TestUKI(t *testing.T) {
	for _, tt := range []struct {
		name       string
		args       []string
		wantOrder  string // of the sections
		wantInitrd string // all of them, in the order in which they are unpacked
		wantCmd    string
		wantID     string
	}{
		{
			name:      "defaults",
			args:      []string{"--stub", "@stub"},
			wantOrder: ".text .osrel .cmdline .uname .initrd .linux", wantInitrd: "070701 the initramfs",
			wantCmd: payload.DefaultCmdline("amd64"), wantID: "ID=alpboot\n",
		},
		{
			name:      "all, with a stub that knows microcode",
			args:      []string{"--stub", "@new-stub", "--microcode", "@microcode", "--splash", "@splash", "--os-release", "@release", "--cmdline", "quiet a=b"},
			wantOrder: ".text .osrel .cmdline .uname .splash .ucode .initrd .linux", wantInitrd: "070701 kernel/x86/microcode/GenuineIntel.bin 12345\x00\x00070701 the initramfs",
			wantCmd: "quiet a=b", wantID: "ID=mine\n",
		},
		{
			name:      "microcode with an older stub",
			args:      []string{"--stub", "@stub", "--microcode", "@microcode", "--cmdline", ""},
			wantOrder: ".text .osrel .uname .initrd .linux", wantInitrd: "070701 kernel/x86/microcode/GenuineIntel.bin 12345\x00\x00070701 the initramfs",
			wantID: "ID=alpboot\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := payloadtest.UKITree(t)
			var images [][]byte
			for _, o := range []string{"first.efi", "second.efi"} {
				args := append([]string{"uki", "--kernel", "@vmlinuz", "--initramfs", "@initramfs", "-o", "@" + o}, tt.args...)
				var stdout, stderr strings.Builder
				if code := run(in(dir, args), &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "Linux "+payloadtest.Release) {
					t.Fatalf("exit code %d: %s%s", code, stdout.String(), stderr.String())
				}
				b, err := os.ReadFile(filepath.Join(dir, o))
				if err != nil {
					t.Fatal(err)
				}
				images = append(images, b)
			}
			if !bytes.Equal(images[0], images[1]) {
				t.Error("the same input makes other bytes")
			}
			p, err := efi.Parse(images[0])
			if err != nil {
				t.Fatal(err)
			}
			var order []string
			for _, s := range p.Sections() {
				order = append(order, s.Name)
			}
			if got := strings.Join(order, " "); got != tt.wantOrder {
				t.Errorf("sections %s, want %s", got, tt.wantOrder)
			}
			u, err := kernel.OpenUKI(bytes.NewReader(images[0]), int64(len(images[0])))
			if err != nil {
				t.Fatal(err)
			}
			if u.Cmdline != tt.wantCmd || u.Version != payloadtest.Release || !strings.Contains(u.OSRelease+"\n", tt.wantID) {
				t.Errorf("command line %q, version %q, os-release %q", u.Cmdline, u.Version, u.OSRelease)
			}
			var initrds bytes.Buffer
			for _, r := range u.Initrds {
				initrds.ReadFrom(r)
			}
			if initrds.String() != tt.wantInitrd {
				t.Errorf("initrds %q, want %q", initrds.String(), tt.wantInitrd)
			}
		})
	}
}

// A distribution's kernel gets its modules as a second archive.
func TestUKIWithModules(t *testing.T) {
	payloadtest.NeedTools(t, "xz")
	dir := payloadtest.Tree(t, payloadtest.ModuleTree())
	for name, b := range map[string][]byte{"vmlinuz": payloadtest.EFIProgram(payloadtest.BzImage(payloadtest.Release), payloadtest.MachineAMD64, ""), "stub": payloadtest.EFIProgram(nil, payloadtest.MachineAMD64, ""), "initramfs": append(payloadtest.Initramfs(t, payloadtest.Release), 0)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr strings.Builder
	args := []string{"uki", "--kernel", "@vmlinuz", "--initramfs", "@initramfs", "--modules", "@lib/modules", "--stub", "@stub", "-o", "@out.efi"}
	if code := run(in(dir, args), &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	stdout.Reset()
	if code := run(in(dir, []string{"inspect", "@out.efi"}), &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "cpio and xz") {
		t.Errorf("exit code %d: %s", code, stdout.String())
	}
	b, err := os.ReadFile(filepath.Join(dir, "out.efi"))
	if err != nil {
		t.Fatal(err)
	}
	var initrd []byte
	p, err := efi.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Sections() {
		if s.Name == ".initrd" {
			initrd = s.Data
		}
	}
	want := "lib/modules/" + payloadtest.Release + "/kernel/fs/ext4/ext4.ko"
	r, err := inspect.Bytes("initrd", initrd)
	if err != nil || r.Problems != nil || !slices.ContainsFunc(r.Parts, func(p inspect.Part) bool { return p.Name == want }) {
		t.Errorf("problems %q; %s is not among %v", r.Problems, want, r.Parts)
	}
}

// The defaults are those for the processor of the kernel.
func TestUKIForArm64(t *testing.T) {
	dir := payloadtest.UKITree(t)
	image := payloadtest.EFIProgram(nil, payloadtest.MachineARM64, "")
	copy(image[0x38:], "ARM\x64")
	if err := os.WriteFile(filepath.Join(dir, "Image"), image, 0o666); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	args := []string{"uki", "--kernel", "@Image", "--initramfs", "@initramfs", "--stub", "@arm-stub", "-o", "@out.efi"}
	if code := run(in(dir, args), &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	stdout.Reset()
	run(in(dir, []string{"inspect", "@out.efi"}), &stdout, &stderr) // its initramfs is none
	if !strings.Contains(stdout.String(), "for arm64\n") || !strings.Contains(stdout.String(), "command line  quiet watchdog.stop_on_reboot=0\n") {
		t.Error(stdout.String())
	}
}

func TestUKIRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{name: "kernel", args: []string{"--kernel", "@text"}, want: "not a kernel image"},
		{name: "kernel without a stub of its own", args: []string{"--kernel", "@no-stub"}, want: "CONFIG_EFI_STUB"},
		{name: "no kernel there", args: []string{"--kernel", "@absent"}, want: "or make it with mkpayload kernel"},
		{name: "initramfs", args: []string{"--initramfs", "@text"}, want: "is not an initramfs"},
		{name: "stub", args: []string{"--stub", "@text"}, want: "not an EFI program"},
		{name: "no stub there", args: []string{"--stub", "@absent"}, want: "install systemd-boot-efi"},
		{name: "stub for another processor", args: []string{"--stub", "@arm-stub"}, want: "is for arm64, but the kernel"},
		{name: "long command line", args: []string{"--cmdline", strings.Repeat("x", 2048)}, want: "the kernel takes 2047"},
		{name: "microcode", args: []string{"--microcode", "@initramfs"}, want: "is not microcode"},
		{name: "long os-release", args: []string{"--os-release", "@long"}, want: "its section .osrel has 65537 bytes"},
		{name: "picture", args: []string{"--splash", "@text"}, want: "is not a BMP"},
		{name: "half a key", args: []string{"--sign", "key.pem"}, want: "KEY,CERT"},
		{name: "key", args: []string{"--sign", "@text,@text"}, want: "no PEM block"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := payloadtest.UKITree(t)
			args := append([]string{"uki", "--kernel", "@vmlinuz", "--initramfs", "@initramfs", "--stub", "@stub", "-o", "@out.efi"}, tt.args...)
			var stdout, stderr strings.Builder
			if code := run(in(dir, args), &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("exit code %d: %s\nwant 1 and %q", code, stderr.String(), tt.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "out.efi")); err == nil {
				t.Error("wrote an image all the same")
			}
		})
	}
}

func TestUKIDryRun(t *testing.T) {
	dir := payloadtest.UKITree(t)
	var stdout, stderr strings.Builder
	args := []string{"uki", "--kernel", "@vmlinuz", "--initramfs", "@initramfs", "--stub", "@stub", "-o", "@out.efi", "--dry-run"}
	if code := run(in(dir, args), &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), ".initrd   20 bytes\n") {
		t.Errorf("exit code %d: %s%s", code, stdout.String(), stderr.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "out.efi")); err == nil {
		t.Error("wrote the image")
	}
}

// writeIdentity writes a key and a certificate for it.
func writeIdentity(t *testing.T) (keyFile, certFile string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Unix(1<<33, 0)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := payloadtest.Tree(t, map[string][]byte{
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
	})
	return filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
}

func TestUKISigned(t *testing.T) {
	key, cert := writeIdentity(t)
	dir := payloadtest.UKITree(t)
	var stderr strings.Builder
	args := []string{"uki", "--kernel", "@vmlinuz", "--initramfs", "@initramfs", "--stub", "@stub", "-o", "@out.efi", "--sign", key + "," + cert}
	if code := run(in(dir, args), &stderr, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	b, err := os.ReadFile(filepath.Join(dir, "out.efi"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := efi.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := p.Signatures(); err != nil || len(s) != 1 || s[0].Subject != "CN=test" || s[0].Problem != "" {
		t.Errorf("signatures %+v, %v", s, err)
	}

	locked := filepath.Join(dir, "locked.pem")
	if err := os.WriteFile(locked, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), 0o600); err != nil {
		t.Fatal(err)
	}
	stderr.Reset()
	args[len(args)-1] = locked + "," + cert
	if code := run(in(dir, args), &stderr, &stderr); code != 1 || !strings.Contains(stderr.String(), "openssl pkey") {
		t.Errorf("an encrypted key: exit code %d: %s", code, stderr.String())
	}
}

func TestNoStub(t *testing.T) {
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	if s := uki.NoStub("/x", other); !strings.Contains(s, "make payloads ARCH="+other) || !strings.Contains(s, "STUB=") {
		t.Errorf("for another processor: %s", s)
	}
	if s := uki.NoStub("/x", runtime.GOARCH); !strings.Contains(s, "install systemd-boot-efi (Debian)") {
		t.Errorf("for this one: %s", s)
	}
}
