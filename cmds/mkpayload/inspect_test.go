package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/mkuimage/cpio"

	"github.com/alpboot/alpboot/boot/payload/inspect"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
)

func TestInspect(t *testing.T) {
	dir := payloadtest.UKITree(t)
	microcode := payloadtest.Archive(t, cpio.StaticFile("kernel/x86/microcode/AuthenticAMD.bin", "code", 0o644))
	good := payloadtest.Initramfs(t, payloadtest.Release)
	for name, b := range map[string][]byte{
		"initramfs.xz": payloadtest.Compressed(t, ".xz", good),
		"with-ucode":   slices.Concat(microcode, make([]byte, 4), payloadtest.Compressed(t, ".zst", good)),
		"cut-off":      good[:1200],
		"half-xz":      payloadtest.Compressed(t, ".xz", good)[:100],
		"other-kernel": payloadtest.Initramfs(t, "5.15.0"),
		// As mkpayload uki --modules leaves them.
		"xz-xz":  slices.Concat(payloadtest.Compressed(t, ".xz", good), payloadtest.Compressed(t, ".xz", payloadtest.Initramfs(t, "more"))),
		"zst-xz": slices.Concat(payloadtest.Compressed(t, ".zst", good), []byte{0, 0}, payloadtest.Compressed(t, ".xz", payloadtest.Initramfs(t, "more"))),
		"gz-xz":  slices.Concat(payloadtest.Compressed(t, ".gz", good), []byte{0, 0, 0}, payloadtest.Compressed(t, ".xz", payloadtest.Initramfs(t, "more"))),
		"escape": payloadtest.Archive(t, cpio.StaticFile("a\x1b[2Jb", "x", 0o644)),
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
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	uki := func(initramfs, output string, more ...string) {
		t.Helper()
		var stderr strings.Builder
		args := append([]string{"uki", "--kernel", "@vmlinuz", "--initramfs", "@" + initramfs, "--stub", "@stub", "-o", "@" + output}, more...)
		if code := run(in(dir, args), &stderr, &stderr); code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr.String())
		}
	}
	key, cert := writeIdentity(t)
	uki("initramfs.xz", "good.efi", "--sign", key+","+cert, "--cmdline", "quiet  splash")
	uki("other-kernel", "other-kernel.efi")
	uki("initramfs.xz", "plain.efi")
	change := func(from, to string, do func(b []byte)) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			t.Fatal(err)
		}
		do(b)
		if err := os.WriteFile(filepath.Join(dir, to), b, 0o666); err != nil {
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
			want: []string{"Linux         " + payloadtest.Release, "name          alpboot ", "command line  quiet  splash\n", "signed by     CN=test: holds", "xz, ", "4 files, 2 commands"},
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
			file := filepath.Join(dir, tt.file)
			var stdout, stderr strings.Builder
			wantCode := 0
			if tt.problem != "" {
				wantCode = 1
			}
			if code := run([]string{"inspect", file}, &stdout, &stderr); code != wantCode {
				t.Fatalf("exit code %d: %s", code, stderr.String())
			}
			for _, w := range tt.want {
				if !strings.Contains(stdout.String(), w) {
					t.Errorf("lacks %q:\n%s", w, stdout.String())
				}
			}
			if tt.lacks != "" && strings.Contains(stdout.String(), tt.lacks) {
				t.Errorf("has %q:\n%s", tt.lacks, stdout.String())
			}
			if tt.problem != "" && !strings.Contains(stdout.String(), "PROBLEM") {
				t.Errorf("no problem is shown:\n%s", stdout.String())
			}

			stdout.Reset()
			run([]string{"inspect", "--json", file}, &stdout, &stderr)
			var r inspect.Report
			if err := json.Unmarshal([]byte(stdout.String()), &r); err != nil {
				t.Fatal(err)
			}
			if r.Kind != tt.kind || strings.Join(r.Commands, " ") != tt.commands {
				t.Errorf("kind %q, commands %q", r.Kind, r.Commands)
			}
			if got := strings.Join(r.Problems, "\n"); (got == "") != (tt.problem == "") || !strings.Contains(got, tt.problem) {
				t.Errorf("problems %q, want %q", got, tt.problem)
			}
		})
	}

	var stdout, stderr strings.Builder
	if err := os.WriteFile(filepath.Join(dir, "disk"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "disk"), 1<<30+1); err != nil {
		t.Fatal(err)
	}
	// One that cannot be read does not hide the others.
	if code := run(in(dir, []string{"inspect", "@text", "@absent", "@disk", "/dev/zero", "@good.efi"}), &stdout, &stderr); code != 1 || !strings.Contains(stdout.String(), "good.efi: UKI") {
		t.Errorf("exit code %d: %s", code, stdout.String())
	}
	for _, want := range []string{"none of the payloads", "no such file", "no payload has more than 1024.00 MiB", "/dev/zero: it is not a file"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q lacks %q", stderr.String(), want)
		}
	}
	if code := run([]string{"inspect"}, &stdout, &stderr); code != 2 {
		t.Errorf("no file: exit code %d", code)
	}
}

func TestInspectROM(t *testing.T) {
	dir := payloadtest.UKITree(t)
	corebootROM(t, dir, "256K")
	var stdout, stderr strings.Builder
	if code := run(in(dir, []string{"inspect", "@test.rom"}), &stdout, &stderr); code != 1 || !strings.Contains(stdout.String(), "it has no fallback/payload") {
		t.Errorf("an empty ROM: exit code %d: %s", code, stdout.String())
	}
	if err := os.WriteFile(filepath.Join(dir, "initramfs"), payloadtest.Initramfs(t, payloadtest.Release), 0o666); err != nil {
		t.Fatal(err)
	}
	if code := run(in(dir, []string{"coreboot", "--rom", "@test.rom", "--kernel", "@vmlinuz", "--initramfs", "@initramfs", "--cmdline", "a=b c", "-o", "@out.rom"}), &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	stdout.Reset()
	if code := run(in(dir, []string{"inspect", "@out.rom"}), &stdout, &stderr); code != 0 {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	for _, want := range []string{"coreboot ROM, 0.25 MiB", "command line  a=b c\n", "initramfs: cpio", "4 files, 2 commands", "  kernel\n"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("lacks %q:\n%s", want, stdout.String())
		}
	}
}
