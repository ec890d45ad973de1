package main

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/payload/esp"
)

// fakeVariables are EFI variables in memory.
type fakeVariables struct {
	values map[string][]byte
	err    error // why they cannot be written
}

func (f fakeVariables) Writable() error { return f.err }

func (f fakeVariables) Get(name, _ string) ([]byte, error) {
	if v, ok := f.values[name]; ok {
		return v, nil
	}
	return nil, fs.ErrNotExist
}

func (f fakeVariables) Set(name, _ string, value []byte) error {
	f.values[name] = value
	return nil
}

func (f fakeVariables) Delete(name, _ string) error {
	delete(f.values, name)
	return nil
}

func TestInstallOnFolder(t *testing.T) {
	tree := ukiTree(t)
	makeUKI := func(name string) {
		t.Helper()
		var stderr strings.Builder
		args := []string{"uki", "--kernel", "@vmlinuz", "--initramfs", "@initramfs", "--stub", "@stub", "--cmdline", name, "-o", "@" + name}
		if code := run(in(tree, args), &stderr, &stderr); code != 0 {
			t.Fatal(stderr.String())
		}
	}
	makeUKI("one.efi")
	makeUKI("two.efi")
	dir := t.TempDir()
	vars := fakeVariables{values: map[string][]byte{}}
	m := machine{
		arch:      "amd64",
		partition: func(esp.Mounted) (efivar.Partition, error) { return efivar.Partition{Number: 1, GPT: true}, nil },
		variables: func(string) variables { return vars },
	}
	present := func() string {
		var list []string
		filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if !d.IsDir() {
				rel, _ := filepath.Rel(dir, name)
				list = append(list, rel)
			}
			return err
		})
		return strings.Join(list, " ")
	}
	names := func() string { return strings.Join(slices.Sorted(maps.Keys(vars.values)), " ") }
	do := func(f func(machine, output) error) (string, error) {
		var b strings.Builder
		err := f(m, output{&b, &b})
		return b.String(), err
	}

	i := installation{dir: dir, uki: filepath.Join(tree, "one.efi"), dryRun: true}
	said, err := do(i.install)
	if err != nil || present() != "" || names() != "" || !strings.Contains(said, "rename EFI/alpboot/new0.efi to EFI/alpboot/alpboot.efi") {
		t.Errorf("a rehearsal: %v, %q, left %q and %q", err, said, present(), names())
	}
	i.dryRun = false
	m.arch = "arm64"
	if _, err := do(i.install); err == nil || !strings.Contains(err.Error(), "one.efi is for amd64, and this machine is arm64") || present() != "" || names() != "" {
		t.Errorf("a UKI for another processor: %v, left %q and %q", err, present(), names())
	}
	m.arch = "amd64"
	for _, name := range []string{"vmlinuz", "stub"} {
		i.uki = filepath.Join(tree, name)
		if _, err := do(i.install); err == nil || !strings.Contains(err.Error(), "lacks .linux") || present() != "" || names() != "" {
			t.Errorf("a program without a menu, %s: %v, left %q and %q", name, err, present(), names())
		}
	}
	for _, step := range []struct{ uki, said, files, variables string }{
		{"one.efi", "is installed as EFI/alpboot/alpboot.efi\n", "EFI/alpboot/alpboot.efi", "Boot0000 BootOrder"},
		{"one.efi", "was there already", "EFI/alpboot/alpboot.efi", "Boot0000 BootOrder"},
		{"two.efi", "the former one is EFI/alpboot/former.efi", "EFI/alpboot/alpboot.efi EFI/alpboot/former.efi", "Boot0000 Boot0001 BootOrder"},
	} {
		i.uki = filepath.Join(tree, step.uki)
		said, err := do(i.install)
		if errors.Is(err, esp.ErrNoExchange) {
			t.Skip(err)
		}
		if err != nil || !strings.Contains(said, step.said) || present() != step.files || names() != step.variables {
			t.Errorf("%s: %v, %q, files %s, variables %s", step.uki, err, said, present(), names())
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, esp.Current)); err != nil || !strings.Contains(string(b), "two.efi") {
		t.Errorf("the new one is not in its place: %v", err)
	}

	if _, err := do(i.uninstall); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("uninstalling what alone could be booted: %v", err)
	}
	vars.values["Boot0005"] = []byte("another system")
	vars.values["BootOrder"] = append(vars.values["BootOrder"], 5, 0)
	if said, err := do(i.uninstall); err != nil || present() != "" || names() != "Boot0005 BootOrder" {
		t.Errorf("uninstalling: %v, %q, left %q and %q", err, said, present(), names())
	}

	vars.err = errors.New("this machine has no EFI variables")
	if _, err := do(i.install); err == nil || !strings.Contains(err.Error(), "use --removable") || present() != "" {
		t.Errorf("without variables: %v, left %q", err, present())
	}
	i.removable = true
	if said, err := do(i.install); err != nil || present() != "EFI/BOOT/BOOTX64.EFI" {
		t.Errorf("removable: %v, %q, left %q", err, said, present())
	}
	i.force = true
	other := filepath.Join(dir, "EFI/BOOT/BOOTAA64.EFI") // which must not be taken for ours
	if err := os.WriteFile(other, []byte("another's loader, for another processor"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if arch, err := i.arch(esp.Mounted(dir)); arch != "amd64" || err != nil {
			t.Fatalf("installed for %q, %v", arch, err)
		}
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if said, err := do(i.uninstall); err != nil || present() != "" {
		t.Errorf("removable, gone: %v, %q, left %q", err, said, present())
	}
}
