package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
)

// Made twice, in different directories, all files have the same bytes, and the sums
// are right.
func TestAll(t *testing.T) {
	tree := payloadtest.UKITree(t)
	corebootROM(t, tree, "256K")
	for name, b := range map[string][]byte{"initramfs": payloadtest.Initramfs(t, payloadtest.Release), "minimal": payloadtest.Archive(t)} {
		if err := os.WriteFile(filepath.Join(tree, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"all", "--kernel", "@vmlinuz", "--initramfs", "@initramfs", "--initramfs-minimal", "@minimal", "--stub", "@stub", "--rom", "@test.rom", "--flash", "@absent.fd"}
	var dirs [2]string
	for i := range dirs {
		dirs[i] = filepath.Join(t.TempDir(), strings.Repeat("x", i+1))
		var stdout, stderr strings.Builder
		if code := run(in(tree, append(args, "-o", dirs[i])), &stdout, &stderr); code != 0 || !strings.Contains(stderr.String(), "leaving out bzImage") {
			t.Fatalf("exit code %d: %s%s", code, stdout.String(), stderr.String())
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

	var stdout, stderr strings.Builder
	if code := run(in(tree, append(args, "--dry-run", "-o", "@absent")), &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "coreboot.rom of ") {
		t.Errorf("dry run: exit code %d: %s", code, stdout.String())
	}
	if _, err := os.Stat(filepath.Join(tree, "absent")); err == nil {
		t.Error("a dry run wrote something")
	}

	// Where something is missing, the rest is made.
	for _, tt := range []struct {
		name      string
		args      []string
		made, why string
	}{
		{"kernel", []string{"--arch", "riscv64"}, "initramfs.cpio.xz, compiled\n", "leaving out alpboot.efi: alpboot has no kernel of its own for riscv64: name a distribution's with --kernel"},
		{"stub", []string{"--kernel", "@vmlinuz", "--stub", "@nowhere"}, "initramfs-minimal.cpio.xz, compiled\n", "leaving out alpboot-minimal.efi: there is no EFI stub "},
	} {
		stdout.Reset()
		stderr.Reset()
		if code := run(in(tree, append([]string{"all", "-o", "@absent", "--dry-run"}, tt.args...)), &stdout, &stderr); code != 0 ||
			!strings.Contains(stdout.String(), tt.made) || !strings.Contains(stderr.String(), tt.why) || strings.Contains(stdout.String(), "alpboot.efi of") {
			t.Errorf("without a %s: exit code %d: %s%s", tt.name, code, stdout.String(), stderr.String())
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
	args := []string{"all", "--initramfs", "initramfs", "--initramfs-minimal", "initramfs", "--stub", "stub", "--flash", "absent", "-o", "out", "--kernel"}
	var stdout, stderr strings.Builder
	if code := run(append(args, "vmlinuz"), &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
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

	if code := run(append(args, "text", "--dry-run"), &stdout, &stderr); code != 0 {
		t.Errorf("dry run: exit code %d: %s", code, stderr.String())
	}
	if _, err := os.Stat("out/SHA256SUMS"); err != nil {
		t.Errorf("a dry run took the sums away: %v", err)
	}
	if code := run(append(args, "text"), &stdout, &stderr); code != 1 {
		t.Errorf("with a bad kernel: exit code %d", code)
	}
	for _, name := range []string{"out/SHA256SUMS", "out/manifest.json"} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is that of before", name)
		}
	}
}
