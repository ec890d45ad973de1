package coreboot_test

import (
	"os"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/cbfs"
	"github.com/alpboot/alpboot/boot/payload/coreboot"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
)

// image is what goes into the ROM of payloadtest.ROM.
func image() coreboot.ROM {
	return coreboot.ROM{Parts: payload.Parts{Kernel: "vmlinuz", Initramfs: "initramfs"}, ROM: "test.rom"}
}

func TestWrite(t *testing.T) {
	t.Chdir(payloadtest.UKITree(t))
	payloadtest.ROM(t, ".")
	for i, cmdline := range []string{"quiet", "console=tty0 a='b c'"} {
		// The second time what the first one wrote is replaced.
		c := image()
		c.Cmdline, c.Output = cmdline, c.ROM
		var said strings.Builder
		if err := c.Write(t.Context(), payloadtest.Output(&said)); err != nil || !strings.Contains(said.String(), "Linux "+payloadtest.Release) || strings.Contains(said.String(), "replacing") != (i == 1) {
			t.Fatalf("%v: %s", err, said.String())
		}
		b, err := os.ReadFile("test.rom")
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

func TestRefuses(t *testing.T) {
	for _, tt := range []struct {
		name     string
		cbfstool string // a script instead of the real one
		change   func(*coreboot.ROM)
		want     string
	}{
		{name: "no room", change: func(c *coreboot.ROM) { c.Initramfs = "large" }, want: "too many; build coreboot with"},
		{name: "no ROM", change: func(c *coreboot.ROM) { c.ROM = "text" }, want: "not a coreboot ROM"},
		{name: "another program", change: func(c *coreboot.ROM) { c.Kernel = "stub" }, want: "coreboot starts a bzImage"},
		// As "cbfstool add-payload -c lzma" of Debian 12 does with what cannot be compressed.
		{name: "cbfstool writes nonsense and is content", cbfstool: "exit 0", want: "would not boot: there is no fallback/payload"},
		{name: "cbfstool fails", cbfstool: "echo E: no >&2; exit 1", want: "E: no"},
		{name: "cbfstool truncates", cbfstool: `: >"$1"`, want: "its size has changed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := payloadtest.UKITree(t)
			t.Chdir(dir)
			payloadtest.ROM(t, ".")
			if err := os.WriteFile("large", append([]byte("070701"), make([]byte, 300<<10)...), 0o666); err != nil {
				t.Fatal(err)
			}
			if tt.cbfstool != "" {
				if err := os.WriteFile("cbfstool", []byte("#!/bin/sh\n"+tt.cbfstool+"\n"), 0o777); err != nil {
					t.Fatal(err)
				}
				t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			}
			c := image()
			c.Output = "out.rom"
			if tt.change != nil {
				tt.change(&c)
			}
			if err := c.Write(t.Context(), payloadtest.Output(t.Output())); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if _, err := os.Stat("out.rom"); err == nil {
				t.Error("wrote a ROM all the same")
			}
		})
	}
}
