package efiprogram_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/efiprogram"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
)

func image(t testing.TB, text string) *fstest.MapFile {
	t.Helper()
	b, err := ukitest.FromText(text)
	if err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: b}
}

// TestComplete asserts what is booted of an EFI program, and what is noted of one
// that cannot be.
func TestComplete(t *testing.T) {
	fsys := fstest.MapFS{
		"EFI/Linux/a.efi":                     image(t, ".cmdline root=/dev/sda2\n.linux 6.1\n"),
		"EFI/Linux/b.efi":                     image(t, ".cmdline root=/dev/sda2\n.linux 6.1\n"),
		"EFI/Linux/b.efi.extra.d/x.Addon.efi": image(t, ".cmdline more\n"),
		"EFI/Linux/c+2-1.efi":                 image(t, ".cmdline root=/dev/sda2\n.linux 6.1\n"),
		"EFI/Linux/c.efi.extra.d/x.addon.efi": image(t, ".cmdline more\n"),
		"vmlinuz":                             {Data: boottest.BzImage("6.1")},
		"EFI/Microsoft/Boot/bootmgfw.efi":     image(t, ".text code\n"),
		"EFI/tools/x.efi":                     image(t, ".text code\n"),
		"memtest86+x64.efi":                   boottest.File("code"),
	}
	for _, tt := range []struct {
		file, options             string
		cmdline, initrds, problem string
		uki                       bool
	}{
		{file: "EFI/Linux/a.efi", cmdline: "root=/dev/sda2", uki: true},
		{file: "EFI/Linux/a.efi", options: "root=LABEL=x quiet", cmdline: "root=LABEL=x quiet", uki: true},
		{file: "EFI/Linux/b.efi", cmdline: "root=/dev/sda2 more", uki: true},
		{file: "EFI/Linux/c+2-1.efi", cmdline: "root=/dev/sda2 more", uki: true},
		{file: "vmlinuz", options: `root=/dev/sda2 initrd=\EFI\initramfs`, cmdline: "root=/dev/sda2", initrds: "EFI/initramfs"},
		{file: "EFI/Microsoft/Boot/bootmgfw.efi", problem: "starts Windows through"},
		{file: "EFI/tools/x.efi", problem: "starts the EFI program x.efi through"},
		{file: "memtest86+x64.efi", problem: "starts a memory test through"},
		{file: "EFI/tools/shellx64.efi", problem: "starts the EFI shell through"},
	} {
		e := boot.Entry{Kernel: tt.file}
		efiprogram.Complete(&e, fsys, ".", tt.options)
		if e.Cmdline != tt.cmdline || strings.Join(e.Initrds, " ") != tt.initrds || e.UKI != tt.uki ||
			!strings.Contains(e.Problem, tt.problem) || (e.Problem == "") != (tt.problem == "") {
			t.Errorf("%s %s: got %s", tt.file, tt.options, boottest.EntryText(e))
		}
	}
}
