package uki_test

import (
	"bytes"
	"encoding/pem"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/mkuimage/cpio"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/payload/initramfs"
	"github.com/alpboot/alpboot/boot/payload/inspect"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
	"github.com/alpboot/alpboot/boot/payload/uki"
)

// image is what a UKI is made of in the directory of payloadtest.UKITree.
func image() uki.Image {
	return uki.Image{Parts: payloadtest.Parts(), Stub: "stub", Output: "out.efi"}
}

func TestWrite(t *testing.T) {
	for _, tt := range []struct {
		name       string
		change     func(*uki.Image)
		wantOrder  string // of the sections
		wantInitrd string // all of them, in the order in which they are unpacked
		wantCmd    string
		wantID     string
	}{
		{
			name:      "defaults",
			wantOrder: ".text .osrel .cmdline .uname .initrd .linux", wantInitrd: "070701 the initramfs",
			wantCmd: "a=b c", wantID: "ID=alpboot\n",
		},
		{
			name: "all, with a stub that knows microcode",
			change: func(u *uki.Image) {
				u.Stub, u.Microcode, u.Splash, u.OSRelease = "new-stub", "microcode", "splash", "release"
			},
			wantOrder: ".text .osrel .cmdline .uname .splash .ucode .initrd .linux", wantInitrd: "070701 kernel/x86/microcode/GenuineIntel.bin 12345\x00\x00070701 the initramfs",
			wantCmd: "a=b c", wantID: "ID=mine\n",
		},
		{
			name:      "microcode with an older stub",
			change:    func(u *uki.Image) { u.Microcode, u.Cmdline = "microcode", "" },
			wantOrder: ".text .osrel .uname .initrd .linux", wantInitrd: "070701 kernel/x86/microcode/GenuineIntel.bin 12345\x00\x00070701 the initramfs",
			wantID: "ID=alpboot\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(payloadtest.UKITree(t))
			u := image()
			if tt.change != nil {
				tt.change(&u)
			}
			var images [][]byte
			for range 2 {
				var said strings.Builder
				if err := u.Write(t.Context(), payloadtest.Output(&said)); err != nil || !strings.Contains(said.String(), "Linux "+payloadtest.Release) {
					t.Fatalf("%v: %s", err, said.String())
				}
				b, err := os.ReadFile("out.efi")
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
			made, err := kernel.OpenUKI(bytes.NewReader(images[0]), int64(len(images[0])))
			if err != nil {
				t.Fatal(err)
			}
			if made.Cmdline != tt.wantCmd || made.Version != payloadtest.Release || !strings.Contains(made.OSRelease+"\n", tt.wantID) {
				t.Errorf("command line %q, version %q, os-release %q", made.Cmdline, made.Version, made.OSRelease)
			}
			var initrds bytes.Buffer
			for _, r := range made.Initrds {
				initrds.ReadFrom(r)
			}
			if initrds.String() != tt.wantInitrd {
				t.Errorf("initrds %q, want %q", initrds.String(), tt.wantInitrd)
			}
		})
	}
}

// What the owner adds follows as an archive of its own, from a multiple of four on.
func TestFiles(t *testing.T) {
	t.Chdir(payloadtest.UKITree(t))
	if err := os.WriteFile("initramfs", []byte("070701 an odd initramfs"), 0o666); err != nil {
		t.Fatal(err)
	}
	u := image()
	u.Files = []initramfs.ExtraFile{{Source: "release", Path: "etc/alpboot/keys/a.pub"}}
	var said strings.Builder
	if err := u.Write(t.Context(), payloadtest.Output(&said)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("out.efi")
	if err != nil {
		t.Fatal(err)
	}
	made, err := kernel.OpenUKI(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var initrd bytes.Buffer
	for _, r := range made.Initrds {
		initrd.ReadFrom(r)
	}
	own, ok := strings.CutPrefix(initrd.String(), "070701 an odd initramfs\x00")
	if !ok {
		t.Fatalf("the initramfs is %q", initrd.String())
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(strings.NewReader(own)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range records {
		names = append(names, r.Name)
	}
	if got, want := strings.Join(names, " "), "etc etc/alpboot etc/alpboot/keys etc/alpboot/keys/a.pub"; got != want {
		t.Errorf("added %s, want %s", got, want)
	}
	if got := string(payloadtest.RecordsFS(t, records)["etc/alpboot/keys/a.pub"].Data); got != "ID=mine\n" {
		t.Errorf("the key has %q", got)
	}
}

// A distribution's kernel gets its modules as a second archive.
func TestModules(t *testing.T) {
	payloadtest.NeedTools(t, "xz")
	t.Chdir(payloadtest.Tree(t, payloadtest.ModuleTree()))
	for name, b := range map[string][]byte{"vmlinuz": payloadtest.EFIProgram(payloadtest.BzImage(payloadtest.Release), payloadtest.MachineAMD64, ""), "stub": payloadtest.EFIProgram(nil, payloadtest.MachineAMD64, ""), "initramfs": append(payloadtest.Initramfs(t, payloadtest.Release), 0)} {
		if err := os.WriteFile(name, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	u := image()
	u.Modules = "lib/modules"
	if err := u.Write(t.Context(), payloadtest.Output(t.Output())); err != nil {
		t.Fatal(err)
	}
	if r, err := inspect.File("out.efi"); err != nil || !strings.Contains(r.String(), "cpio and xz") {
		t.Error(err, r)
	}
	b, err := os.ReadFile("out.efi")
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

func TestRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*uki.Image)
		want   string
	}{
		{"kernel", func(u *uki.Image) { u.Kernel = "text" }, "not a kernel image"},
		{"kernel without a stub of its own", func(u *uki.Image) { u.Kernel = "no-stub" }, "CONFIG_EFI_STUB"},
		{"initramfs", func(u *uki.Image) { u.Initramfs = "text" }, "is not an initramfs"},
		{"stub", func(u *uki.Image) { u.Stub = "text" }, "not an EFI program"},
		{"no stub there", func(u *uki.Image) { u.Stub = "absent" }, "install systemd-boot-efi"},
		{"stub for another processor", func(u *uki.Image) { u.Stub = "arm-stub" }, "is for arm64, but the kernel"},
		{"long command line", func(u *uki.Image) { u.Cmdline = strings.Repeat("x", 2048) }, "the kernel takes 2047"},
		{"microcode", func(u *uki.Image) { u.Microcode = "initramfs" }, "is not microcode"},
		{"long os-release", func(u *uki.Image) { u.OSRelease = "long" }, "its section .osrel has 65537 bytes"},
		{"picture", func(u *uki.Image) { u.Splash = "text" }, "is not a BMP"},
		{"half a key", func(u *uki.Image) { u.Sign = "key.pem" }, "KEY,CERT"},
		{"key", func(u *uki.Image) { u.Sign = "text,text" }, "no PEM block"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(payloadtest.UKITree(t))
			u := image()
			tt.change(&u)
			if err := u.Write(t.Context(), payloadtest.Output(t.Output())); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if _, err := os.Stat("out.efi"); err == nil {
				t.Error("wrote an image all the same")
			}
		})
	}
}

func TestDryRun(t *testing.T) {
	t.Chdir(payloadtest.UKITree(t))
	u := image()
	u.DryRun = true
	var said strings.Builder
	if err := u.Write(t.Context(), payloadtest.Output(&said)); err != nil || !strings.Contains(said.String(), ".initrd   20 bytes\n") {
		t.Errorf("%v: %s", err, said.String())
	}
	if _, err := os.Stat("out.efi"); err == nil {
		t.Error("wrote the image")
	}
}

func TestSigned(t *testing.T) {
	t.Chdir(payloadtest.UKITree(t))
	payloadtest.Identity(t, ".")
	u := image()
	u.Sign = "key.pem,cert.pem"
	if err := u.Write(t.Context(), payloadtest.Output(t.Output())); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("out.efi")
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

	if err := os.WriteFile("locked.pem", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), 0o600); err != nil {
		t.Fatal(err)
	}
	u.Sign = "locked.pem,cert.pem"
	if err := u.Write(t.Context(), payloadtest.Output(t.Output())); err == nil || !strings.Contains(err.Error(), "openssl pkey") {
		t.Errorf("an encrypted key: %v", err)
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
