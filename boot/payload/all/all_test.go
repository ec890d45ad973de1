package all_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/all"
	"github.com/alpboot/alpboot/boot/payload/linux"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
)

// Made twice, in different directories, all files have the same bytes, and the sums
// are right.
func TestAll(t *testing.T) {
	tree := payloadtest.UKITree(t)
	payloadtest.ROM(t, tree)
	for name, b := range map[string][]byte{"initramfs": payloadtest.Initramfs(t, payloadtest.Release), "minimal": payloadtest.Archive(t)} {
		if err := os.WriteFile(filepath.Join(tree, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(tree, name) }
	every := all.Everything{Arch: "amd64", Kernel: in("vmlinuz"), Initramfs: in("initramfs"), Minimal: in("minimal"), Stub: in("stub"), ROM: in("test.rom"), Flash: in("absent.fd")}
	var dirs [2]string
	for i := range dirs {
		dirs[i] = filepath.Join(t.TempDir(), strings.Repeat("x", i+1))
		e := every
		e.Dir = dirs[i]
		var said strings.Builder
		if err := e.Make(t.Context(), payloadtest.Output(&said)); err != nil || !strings.Contains(said.String(), "leaving out bzImage") {
			t.Fatalf("%v: %s", err, said.String())
		}
	}
	var names []string
	entries, err := os.ReadDir(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
		a, errA := os.ReadFile(filepath.Join(dirs[0], e.Name()))
		b, errB := os.ReadFile(filepath.Join(dirs[1], e.Name()))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs: %v, %v", e.Name(), errA, errB)
		}
	}
	if want := []string{"SHA256SUMS", "alpboot-minimal.efi", "alpboot.efi", "coreboot.rom", "manifest.json"}; !slices.Equal(names, want) {
		t.Errorf("made %q, want %q", names, want)
	}
	payloadtest.NeedTools(t, "sha256sum")
	if _, err := payload.Run(t.Context(), dirs[0], "sha256sum", "-c", "--strict", "SHA256SUMS"); err != nil {
		t.Error(err)
	}

	text, err := os.ReadFile(filepath.Join(dirs[0], "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Arch     string
		Payloads []struct {
			File, Kind, Linux, SHA256 string
			Size                      int64
			Inputs                    []string
		}
		Inputs  []struct{ File, SHA256 string }
		LeftOut []struct{ Name, Why string } `json:"left_out"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	if m.Arch != "x86_64" || len(m.Payloads) != 3 || len(m.Inputs) != 5 || len(m.LeftOut) != 3 {
		t.Errorf("manifest %+v", m)
	}
	if p := m.Payloads[0]; p.File != "alpboot.efi" || p.Kind != "UKI" || p.Linux != payloadtest.Release || len(p.SHA256) != 64 || p.Size == 0 ||
		!slices.Equal(p.Inputs, []string{"vmlinuz", "initramfs", "stub"}) {
		t.Errorf("first payload %+v", p)
	}
	if bytes.Contains(text, []byte(tree)) || bytes.Contains(text, []byte(dirs[0])) {
		t.Error("the manifest holds a path of this machine")
	}

	dry := every
	dry.DryRun, dry.Dir = true, in("absent")
	var said strings.Builder
	if err := dry.Make(t.Context(), payloadtest.Output(&said)); err != nil || !strings.Contains(said.String(), "coreboot.rom of ") {
		t.Errorf("dry run: %v: %s", err, said.String())
	}
	if _, err := os.Stat(in("absent")); err == nil {
		t.Error("a dry run wrote something")
	}

	// Where something is missing, the rest is made.
	for _, tt := range []struct {
		name      string
		e         all.Everything
		made, why string
	}{
		{"kernel", all.Everything{Arch: "riscv64"}, "initramfs.cpio.xz, compiled\n", "leaving out alpboot.efi: alpboot has no kernel of its own for riscv64: name a distribution's with --kernel"},
		{"stub", all.Everything{Arch: "amd64", Kernel: in("vmlinuz"), Stub: in("nowhere")}, "initramfs-minimal.cpio.xz, compiled\n", "leaving out alpboot-minimal.efi: there is no EFI stub "},
	} {
		tt.e.DryRun, tt.e.Dir = true, in("absent")
		said.Reset()
		if err := tt.e.Make(t.Context(), payloadtest.Output(&said)); err != nil ||
			!strings.Contains(said.String(), tt.made) || !strings.Contains(said.String(), tt.why) || strings.Contains(said.String(), "alpboot.efi of") {
			t.Errorf("without a %s: %v: %s", tt.name, err, said.String())
		}
	}
}

// Our own kernel is packed in two ways: what lies on a disk is in zstd, and what goes
// into flash, which has no room for that, in xz.
func TestDiskAndFlash(t *testing.T) {
	tree := payloadtest.UKITree(t)
	for _, compiler := range []string{linux.Compiler("amd64"), linux.Compiler("arm64")} {
		if err := os.WriteFile(filepath.Join(tree, compiler), []byte("#!/bin/sh\n"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", tree)
	in := func(name string) string { return filepath.Join(tree, name) }
	for arch, want := range map[string][]string{
		"amd64": {
			"alpboot.efi of vmlinuz-zstd, initramfs.cpio.zst, ", "alpboot-flash.efi of vmlinuz, initramfs.cpio.xz, ",
			"alpboot-minimal.efi of vmlinuz, initramfs-minimal.cpio.xz, ", "bzImage of initramfs.cpio.zst",
			"coreboot.rom of vmlinuz, initramfs.cpio.xz, ", "linuxboot.rom of " + in("stub") + ", alpboot-flash.efi\n",
		},
		"arm64": {"alpboot.efi of vmlinuz, initramfs.cpio.zst, ", "alpboot-flash.efi of vmlinuz, initramfs.cpio.xz, "},
	} {
		e := all.Everything{Arch: arch, Stub: in("stub"), ROM: in("stub"), Flash: in("stub"), Dir: in("out"), DryRun: true}
		var printed strings.Builder
		if err := e.Make(t.Context(), payloadtest.Output(&printed)); err != nil {
			t.Fatal(err)
		}
		for _, text := range want {
			if !strings.Contains(printed.String(), "  "+text) {
				t.Errorf("%s: %q is not in\n%s", arch, text, printed.String())
			}
		}
	}
}

// A file named without its directory is an input like others, though its name is
// that of one that would be made; and sums of before are gone after a failure.
func TestAllAgain(t *testing.T) {
	tree := payloadtest.UKITree(t)
	if err := os.WriteFile(filepath.Join(tree, "initramfs"), payloadtest.Initramfs(t, payloadtest.Release), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Chdir(tree)
	make := func(kernel string, dryRun bool) error {
		e := all.Everything{Arch: "amd64", Kernel: kernel, Initramfs: "initramfs", Minimal: "initramfs", Stub: "stub", Flash: "absent", Dir: "out", DryRun: dryRun}
		return e.Make(t.Context(), payloadtest.Output(t.Output()))
	}
	if err := make("vmlinuz", false); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("out/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Inputs []struct{ File, SHA256 string }
	}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Inputs) != 3 || m.Inputs[0].File != "vmlinuz" || len(m.Inputs[0].SHA256) != 64 {
		t.Errorf("inputs %+v", m.Inputs)
	}

	if err := make("text", true); err != nil {
		t.Errorf("dry run: %v", err)
	}
	if _, err := os.Stat("out/SHA256SUMS"); err != nil {
		t.Errorf("a dry run took the sums away: %v", err)
	}
	if err := make("text", false); err == nil {
		t.Error("a bad kernel is not refused")
	}
	for _, name := range []string{"out/SHA256SUMS", "out/manifest.json"} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is that of before", name)
		}
	}
}
