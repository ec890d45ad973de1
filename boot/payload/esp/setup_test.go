package esp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
	"github.com/alpboot/alpboot/boot/payload/uki"
	"github.com/alpboot/alpboot/boot/remember"
)

func TestSetup(t *testing.T) {
	tree := payloadtest.UKITree(t)
	makeUKI := func(name string) {
		t.Helper()
		u := uki.Image{Parts: payload.Parts{Arch: "amd64", Kernel: filepath.Join(tree, "vmlinuz"), Initramfs: filepath.Join(tree, "initramfs"), Cmdline: name}, Stub: filepath.Join(tree, "stub"), Output: filepath.Join(tree, name)}
		if err := u.Write(t.Context(), payload.Output{Stdout: io.Discard}); err != nil {
			t.Fatal(err)
		}
	}
	makeUKI("one.efi")
	makeUKI("two.efi")
	dir := t.TempDir()
	vars := &boottest.Variables{Values: map[string]string{}}
	here := efivar.Partition{Number: 1, GPT: true, Signature: [16]byte{1}}
	elsewhere := efivar.Partition{Number: 1, GPT: true, Signature: [16]byte{2}}
	second := t.TempDir()
	m := Machine{
		Arch: "amd64",
		Partition: func(m Mounted) (efivar.Partition, error) {
			switch string(m) {
			case dir:
				return here, nil
			case second:
				return elsewhere, nil
			}
			return efivar.Partition{}, errors.New("not on a disk")
		},
		Variables: func(string) Variables { return vars },
		Mounts:    func() []Mounted { return []Mounted{"/", Mounted(dir), Mounted(second)} },
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
	names := func() string { return strings.Join(slices.Sorted(maps.Keys(vars.Values)), " ") }
	do := func(f func(Machine, payload.Output) error) (string, error) {
		var b strings.Builder
		err := f(m, payload.Output{Stdout: &b, Progress: func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }})
		return b.String(), err
	}

	i := Setup{Dir: dir, UKI: filepath.Join(tree, "one.efi"), DryRun: true}
	said, err := do(i.Install)
	if err != nil || present() != "" || names() != "" || !strings.Contains(said, "rename EFI/alpboot/new0.efi to EFI/alpboot/alpboot.efi") {
		t.Errorf("a rehearsal: %v, %q, left %q and %q", err, said, present(), names())
	}
	i.DryRun = false
	m.Arch = "arm64"
	if _, err := do(i.Install); err == nil || !strings.Contains(err.Error(), "one.efi is for amd64, and this machine is arm64") || present() != "" || names() != "" {
		t.Errorf("a UKI for another processor: %v, left %q and %q", err, present(), names())
	}
	m.Arch = "amd64"
	for _, name := range []string{"vmlinuz", "stub"} {
		i.UKI = filepath.Join(tree, name)
		if _, err := do(i.Install); err == nil || !strings.Contains(err.Error(), "lacks .linux") || present() != "" || names() != "" {
			t.Errorf("a program without a menu, %s: %v, left %q and %q", name, err, present(), names())
		}
	}
	for _, step := range []struct{ uki, said, files, variables string }{
		{"one.efi", "is installed as EFI/alpboot/alpboot.efi\n", "EFI/alpboot/alpboot.efi", "Boot0000 BootOrder"},
		{"one.efi", "was there already", "EFI/alpboot/alpboot.efi", "Boot0000 BootOrder"},
		{"two.efi", "the previous image is EFI/alpboot/former.efi", "EFI/alpboot/alpboot.efi EFI/alpboot/former.efi", "Boot0000 Boot0001 BootOrder"},
	} {
		i.UKI = filepath.Join(tree, step.uki)
		said, err := do(i.Install)
		if errors.Is(err, ErrNoExchange) {
			t.Skip(err)
		}
		if err != nil || !strings.Contains(said, step.said) || present() != step.files || names() != step.variables {
			t.Errorf("%s: %v, %q, files %s, variables %s", step.uki, err, said, present(), names())
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, Current)); err != nil || !strings.Contains(string(b), "two.efi") {
		t.Errorf("the new one is not in its place: %v", err)
	}

	if _, err := do(i.Uninstall); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("uninstalling what alone could be booted: %v", err)
	}
	// What the firmware has in itself, a whole device, a file that is not there or
	// is not a program, and one that is not started by itself are not something to boot.
	option := func(p efivar.Partition, file string) []byte {
		return efivar.LoadOption{Attributes: efivar.Active, Description: "another", Partition: p, File: file}.Bytes()
	}
	if err := os.WriteFile(filepath.Join(second, "text.efi"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	order := vars.Values["BootOrder"]
	grub := `\efi\grub.efi`
	for name, o := range map[string][]byte{
		"shell":                    efivar.LoadOption{Attributes: efivar.Active, Description: "EFI Internal Shell"}.Bytes(),
		"device":                   option(here, ""),
		"file that is gone":        option(here, `\EFI\gone\grubx64.efi`),
		"what is uninstalled":      option(here, `\efi\ALPBOOT\former.efi`),
		"text":                     option(elsewhere, `\text.efi`),
		"file elsewhere":           option(efivar.Partition{Number: 1, GPT: true, Signature: [16]byte{3}}, grub),
		"network":                  option(efivar.Partition{}, grub),
		"one that is switched off": efivar.LoadOption{Description: "off", Partition: elsewhere, File: grub}.Bytes(),
	} {
		vars.Values["Boot0005"] = string(o)
		vars.Values["BootOrder"] = order + string(efivar.AppendNumbers(nil, []uint16{5}))
		if said, err := do(i.Uninstall); err == nil || present() != "EFI/alpboot/alpboot.efi EFI/alpboot/former.efi" {
			t.Errorf("%s is something to boot: %q, left %q", name, said, present())
		}
	}
	vars.Values["Boot0005"] = string(option(elsewhere, grub))
	if err := (Mounted(second)).Write("efi/grub.efi", theirs); err != nil {
		t.Fatal(err)
	}
	said, err = do(i.Uninstall)
	if err != nil || present() != "" || names() != "Boot0005 BootOrder" || said != "removed EFI/alpboot/alpboot.efi, EFI/alpboot/former.efi\nremoved 2 boot entries of alpboot\n" {
		t.Errorf("uninstalling: %v, %q, left %q and %q", err, said, present(), names())
	}
	if _, err := os.Stat(filepath.Join(dir, Directory)); err == nil {
		t.Error("its empty directory is left")
	}
	said, err = do(i.Uninstall)
	if err != nil || said != "there was no EFI/alpboot/alpboot.efi\nthe firmware had no boot entry of alpboot\n" {
		t.Errorf("uninstalling what is not there: %v, %q", err, said)
	}

	vars.Fail = errors.New("this machine has no EFI variables")
	if _, err := do(i.Install); err == nil || !strings.Contains(err.Error(), "use --removable") || present() != "" {
		t.Errorf("without variables: %v, left %q", err, present())
	}
	i.Removable = true
	said, err = do(i.Install)
	if err != nil || present() != "EFI/BOOT/BOOTX64.EFI" || !strings.Contains(said, "the menu can remember nothing (this machine has no EFI variables): --remember makes a file for it") {
		t.Errorf("removable: %v, %q, left %q", err, said, present())
	}
	i.Remember = true
	said, err = do(i.Install)
	if err != nil || !strings.Contains(said, "the menu remembers in EFI/alpboot/alpboot.state.0 and .1\n") || !remember.Prepared(os.DirFS(dir), "EFI/alpboot/alpboot.state") {
		t.Errorf("with a file: %v, %q, left %q", err, said, present())
	}
	for _, slot := range []string{".0", ".1"} {
		if err := os.Remove(filepath.Join(dir, Directory, "alpboot.state"+slot)); err != nil {
			t.Fatal(err)
		}
	}
	i.DryRun = true
	if said, err = do(i.Install); err != nil || !strings.Contains(said, "would make EFI/alpboot/alpboot.state") || present() != "EFI/BOOT/BOOTX64.EFI" {
		t.Errorf("a rehearsal with a file: %v, %q, left %q", err, said, present())
	}
	i.DryRun, i.Remember = false, false
	i.Force = true
	other := filepath.Join(dir, "EFI/BOOT/BOOTAA64.EFI") // which must not be taken for ours
	if err := os.WriteFile(other, []byte("another's loader, for another processor"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if arch, err := i.arch(Mounted(dir)); arch != "amd64" || err != nil {
			t.Fatalf("installed for %q, %v", arch, err)
		}
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, Directory), 0o755); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(dir, Directory, "notes.txt")
	if err := os.WriteFile(mine, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if said, err := do(i.Uninstall); err != nil || present() != "EFI/alpboot/notes.txt" || said != "removed EFI/BOOT/BOOTX64.EFI\nEFI/alpboot stays, with notes.txt\n" {
		t.Errorf("removable, gone: %v, %q, left %q", err, said, present())
	}
}
