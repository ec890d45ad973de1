package inspect_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/mkuimage/cpio"

	"github.com/alpboot/alpboot/boot/payload/coreboot"
	"github.com/alpboot/alpboot/boot/payload/inspect"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
	"github.com/alpboot/alpboot/boot/payload/uki"
)

func TestFile(t *testing.T) {
	t.Chdir(payloadtest.UKITree(t))
	microcode := payloadtest.Archive(t, cpio.StaticFile("kernel/x86/microcode/AuthenticAMD.bin", "code", 0o644))
	good := payloadtest.Initramfs(t, payloadtest.Release)
	for name, b := range map[string][]byte{
		"initramfs.xz": payloadtest.Compressed(t, ".xz", good),
		"with-ucode":   slices.Concat(microcode, make([]byte, 4), payloadtest.Compressed(t, ".zst", good)),
		"cut-off":      good[:1200],
		"half-xz":      payloadtest.Compressed(t, ".xz", good)[:100],
		"other-kernel": payloadtest.Initramfs(t, "5.15.0"),
		// As mkpayload uki --modules leaves them.
		"xz-xz":    slices.Concat(payloadtest.Compressed(t, ".xz", good), payloadtest.Compressed(t, ".xz", payloadtest.Initramfs(t, "more"))),
		"zst-xz":   slices.Concat(payloadtest.Compressed(t, ".zst", good), []byte{0, 0}, payloadtest.Compressed(t, ".xz", payloadtest.Initramfs(t, "more"))),
		"gz-xz":    slices.Concat(payloadtest.Compressed(t, ".gz", good), []byte{0, 0, 0}, payloadtest.Compressed(t, ".xz", payloadtest.Initramfs(t, "more"))),
		"gz-cpio":  slices.Concat(payloadtest.Compressed(t, ".gz", good), []byte{0, 0, 0}, payloadtest.Initramfs(t, "more")),
		"zst-cpio": slices.Concat(payloadtest.Compressed(t, ".zst", good), payloadtest.Initramfs(t, "more")),
		"xz-cpio":  slices.Concat(payloadtest.Compressed(t, ".xz", good), []byte{0}, payloadtest.Initramfs(t, "more")),
		"escape":   payloadtest.Archive(t, cpio.StaticFile("a\x1b[2Jb", "x", 0o644)),
		"cut-kernel": func() []byte {
			b := payloadtest.EFIProgram(payloadtest.BzImage(payloadtest.Release), payloadtest.MachineAMD64, "")
			binary.LittleEndian.PutUint32(b[0x40+24+144:], 0x8000) // signatures
			binary.LittleEndian.PutUint32(b[0x40+24+148:], 0x800)
			return append(b, make([]byte, 0x400)...)
		}(),
		"pe32": func() []byte {
			b := payloadtest.EFIProgram(nil, 0x14c, "")
			binary.LittleEndian.PutUint16(b[0x40+24:], 0x10b)
			return b
		}(),
	} {
		if err := os.WriteFile(name, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	unified := func(initramfs, output, sign string) {
		t.Helper()
		u := uki.Image{Parts: payloadtest.Parts(), Stub: "stub", Sign: sign, Output: output}
		u.Initramfs = initramfs
		if err := u.Write(t.Context(), payloadtest.Output(t.Output())); err != nil {
			t.Fatal(err)
		}
	}
	payloadtest.Identity(t, ".")
	unified("initramfs.xz", "good.efi", "key.pem,cert.pem")
	unified("other-kernel", "other-kernel.efi", "")
	unified("initramfs.xz", "plain.efi", "")
	change := func(from, to string, do func(b []byte)) {
		t.Helper()
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		do(b)
		if err := os.WriteFile(to, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	change("good.efi", "changed.efi", func(b []byte) { b[0x2100] ^= 1 })
	change("plain.efi", "overlap.efi", func(b []byte) {
		at := bytes.LastIndex(b[:0x1000], []byte(".linux\x00"))
		binary.LittleEndian.PutUint32(b[at+12:], 0x1000)
	})
	change("plain.efi", "no-stub-inside.efi", func(b []byte) {
		at := bytes.LastIndex(b[:0x1000], []byte(".linux\x00"))
		b[binary.LittleEndian.Uint32(b[at+20:])] = 'X'
	})

	for _, tt := range []struct {
		file     string
		kind     string
		want     []string // texts of what people read
		lacks    string
		problem  string
		commands string
	}{
		{
			file: "good.efi", kind: "UKI", commands: "bootmenu init",
			want: []string{"Linux         " + payloadtest.Release, "name          alpboot ", "command line  a=b c\n", "signed by     CN=test: holds", "xz, ", "4 files, 2 commands"},
		},
		{file: "changed.efi", kind: "UKI", commands: "bootmenu init", problem: `its signature by "CN=test" does not hold: the program was changed after it was signed`},
		{file: "other-kernel.efi", kind: "UKI", commands: "bootmenu init", problem: "its initramfs has modules for Linux 5.15.0, and its kernel is Linux " + payloadtest.Release},
		{file: "overlap.efi", kind: "UKI", commands: "bootmenu init", problem: "its sections .text and .linux overlap in memory"},
		{file: "no-stub-inside.efi", kind: "UKI", commands: "bootmenu init", problem: "its stub could not start its kernel"},
		{file: "cut-kernel", kind: "bzImage", problem: "firmware would not start it: its signatures are at"},
		{file: "pe32", kind: "PE", want: []string{"PE, 32768 bytes, for 386\n"}, lacks: "EFI stub"},
		{file: "xz-xz", kind: "initramfs", commands: "bootmenu init bootmenu init", want: []string{"xz, ", "8 files", "lib/modules/more/"}},
		{file: "zst-xz", kind: "initramfs", commands: "bootmenu init bootmenu init", want: []string{"zstd and xz, ", "8 files", "lib/modules/more/"}},
		{file: "gz-xz", kind: "initramfs", commands: "bootmenu init bootmenu init", want: []string{"gzip and xz, ", "8 files", "lib/modules/more/"}},
		{file: "gz-cpio", kind: "initramfs", commands: "bootmenu init bootmenu init", want: []string{"gzip and cpio, ", "8 files", "lib/modules/more/"}},
		{file: "zst-cpio", kind: "initramfs", commands: "bootmenu init bootmenu init", want: []string{"zstd and cpio, ", "8 files", "lib/modules/more/"}},
		{file: "xz-cpio", kind: "initramfs", commands: "bootmenu init bootmenu init", want: []string{"xz and cpio, ", "8 files", "lib/modules/more/"}},
		{file: "escape", kind: "initramfs", want: []string{"a?[2Jb"}, lacks: "\x1b"},
		{file: "initramfs.xz", kind: "initramfs", commands: "bootmenu init", want: []string{"bbin/bb", "1001 bytes"}},
		{file: "with-ucode", kind: "initramfs", commands: "bootmenu init", want: []string{"cpio and zstd", "5 files", "AuthenticAMD.bin"}},
		{file: "cut-off", kind: "initramfs", problem: "its initramfs is truncated or damaged after 1 files"},
		{file: "half-xz", kind: "initramfs", problem: "cannot be unpacked (xz)"},
		{file: "vmlinuz", kind: "bzImage", want: []string{payloadtest.Release, "setup    2560 bytes"}},
		{file: "no-stub", kind: "bzImage", want: []string{"only a boot loader can start it"}},
		{file: "stub", kind: "PE"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			r, err := inspect.File(tt.file)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range tt.want {
				if !strings.Contains(r.String(), w) {
					t.Errorf("lacks %q:\n%s", w, r)
				}
			}
			if tt.lacks != "" && strings.Contains(r.String(), tt.lacks) {
				t.Errorf("has %q:\n%s", tt.lacks, r)
			}
			if tt.problem != "" && !strings.Contains(r.String(), "PROBLEM") {
				t.Errorf("no problem is shown:\n%s", r)
			}
			if r.Kind != tt.kind || strings.Join(r.Commands, " ") != tt.commands {
				t.Errorf("kind %q, commands %q", r.Kind, r.Commands)
			}
			if got := strings.Join(r.Problems, "\n"); (got == "") != (tt.problem == "") || !strings.Contains(got, tt.problem) {
				t.Errorf("problems %q, want %q", got, tt.problem)
			}
		})
	}

	if err := os.WriteFile("disk", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate("disk", 1<<30+1); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"text": "none of the payloads", "absent": "no such file", "disk": "no payload has more than 1024.00 MiB", "/dev/zero": "/dev/zero: it is not a file"} {
		if _, err := inspect.File(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", file, err, want)
		}
	}
}

func TestROM(t *testing.T) {
	t.Chdir(payloadtest.UKITree(t))
	payloadtest.ROM(t, ".")
	r, err := inspect.File("test.rom")
	if err != nil || !strings.Contains(strings.Join(r.Problems, "\n"), "it has no fallback/payload") {
		t.Errorf("an empty ROM: %v: %v", err, r)
	}
	if err := os.WriteFile("initramfs", payloadtest.Initramfs(t, payloadtest.Release), 0o666); err != nil {
		t.Fatal(err)
	}
	c := coreboot.ROM{Parts: payloadtest.Parts(), ROM: "test.rom", Output: "out.rom"}
	if err := c.Write(t.Context(), payloadtest.Output(t.Output())); err != nil {
		t.Fatal(err)
	}
	if r, err = inspect.File("out.rom"); err != nil || r.Problems != nil {
		t.Fatal(err, r)
	}
	for _, want := range []string{"coreboot ROM, 0.25 MiB", "command line  a=b c\n", "initramfs: cpio", "4 files, 2 commands", "  kernel\n"} {
		if !strings.Contains(r.String(), want) {
			t.Errorf("lacks %q:\n%s", want, r)
		}
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(payloadtest.Initramfs(f, payloadtest.Release))
	f.Add(payloadtest.EFIProgram(payloadtest.BzImage(payloadtest.Release), payloadtest.MachineAMD64, ""))
	f.Add([]byte("070701" + strings.Repeat("0", 104)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.HasPrefix(b, []byte("\x28\xb5\x2f\xfd")) || bytes.HasPrefix(b, []byte("\xfd7zXZ")) {
			return // decompressors are slow, and have fuzz targets of their own
		}
		if r, err := inspect.Bytes("x", b); err == nil && (r.Kind == "" || r.String() == "") {
			t.Errorf("neither an error nor a kind")
		}
	})
}
