package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/cbfs"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
)

// corebootROM makes an empty ROM of a size as cbfstool takes it.
func corebootROM(t *testing.T, dir, size string) {
	t.Helper()
	payloadtest.NeedTools(t, "cbfstool")
	if err := os.WriteFile(filepath.Join(dir, "bootblock"), bytes.Repeat([]byte("boot"), 128), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := payload.Run(t.Context(), dir, "cbfstool", "test.rom", "create", "-m", "x86", "-s", size, "-B", "bootblock"); err != nil {
		t.Fatal(err)
	}
}

func TestCoreboot(t *testing.T) {
	dir := payloadtest.UKITree(t)
	corebootROM(t, dir, "256K")
	for i, cmdline := range []string{"quiet", "console=tty0 a='b c'"} {
		// The second time what the first one wrote is replaced.
		args := []string{"coreboot", "--rom", "@test.rom", "--kernel", "@vmlinuz", "--initramfs", "@initramfs", "--cmdline", cmdline, "-o", "@test.rom"}
		var stdout, stderr strings.Builder
		if code := run(in(dir, args), &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "Linux "+payloadtest.Release) || strings.Contains(stderr.String(), "replacing") != (i == 1) {
			t.Fatalf("exit code %d: %s%s", code, stdout.String(), stderr.String())
		}
		b, err := os.ReadFile(filepath.Join(dir, "test.rom"))
		if err != nil {
			t.Fatal(err)
		}
		rom, err := cbfs.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		segments, err := rom.Find(cbfs.FallbackPayload).Segments()
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, s := range segments {
			all = append(all, string(s.Data))
		}
		if got := strings.Join(all, "|"); !strings.Contains(got, "|"+cmdline+"\x00|070701 the initramfs|") {
			t.Errorf("the payload holds %q", got)
		}
		used := 0
		for _, s := range segments {
			used += len(s.Data)
		}
		if limit := 0x8000 - 5*512 + len("070701 the initramfs") + len(cmdline) + 5<<10; used > limit {
			t.Errorf("it takes %d bytes, more than the %d that are reckoned with", used, limit)
		}
	}
}

func TestCorebootRefuses(t *testing.T) {
	for _, tt := range []struct {
		name     string
		cbfstool string // a script instead of the real one
		args     []string
		want     string
	}{
		{name: "no room", args: []string{"--initramfs", "@large"}, want: "too many; build coreboot with"},
		{name: "no ROM", args: []string{"--rom", "@text"}, want: "not a coreboot ROM"},
		{name: "another program", args: []string{"--kernel", "@stub"}, want: "coreboot starts a bzImage"},
		// As "cbfstool add-payload -c lzma" of Debian 12 does with what cannot be compressed.
		{name: "cbfstool writes nonsense and is content", cbfstool: "exit 0", want: "would not boot: there is no fallback/payload"},
		{name: "cbfstool fails", cbfstool: "echo E: no >&2; exit 1", want: "E: no"},
		{name: "cbfstool truncates", cbfstool: `: >"$1"`, want: "its size has changed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := payloadtest.UKITree(t)
			corebootROM(t, dir, "256K")
			if err := os.WriteFile(filepath.Join(dir, "large"), append([]byte("070701"), make([]byte, 300<<10)...), 0o666); err != nil {
				t.Fatal(err)
			}
			if tt.cbfstool != "" {
				if err := os.WriteFile(filepath.Join(dir, "cbfstool"), []byte("#!/bin/sh\n"+tt.cbfstool+"\n"), 0o777); err != nil {
					t.Fatal(err)
				}
				t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			}
			args := append([]string{"coreboot", "--rom", "@test.rom", "--kernel", "@vmlinuz", "--initramfs", "@initramfs", "-o", "@out.rom"}, tt.args...)
			var stdout, stderr strings.Builder
			if code := run(in(dir, args), &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("exit code %d: %s\nwant 1 and %q", code, stderr.String(), tt.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "out.rom")); err == nil {
				t.Error("wrote a ROM all the same")
			}
		})
	}
}
