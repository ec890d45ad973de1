package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What is refused before the kernel is asked for anything.
func TestRun(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string // what they contain
	}{
		{name: "version", args: []string{"--version"}, stdout: "kexec "},
		{name: "help", args: []string{"-h"}, stderr: "Usage: kexec"},
		{name: "nothing to do", code: 2, stderr: "one KERNEL is needed"},
		{name: "two kernels", args: []string{"-l", text, text}, code: 2, stderr: "2 were given"},
		{name: "both calls", args: []string{"-s", "-c", text}, code: 2, stderr: "exclude each other"},
		{name: "all three calls, behind one dash", args: []string{"-lsca", text}, code: 2, stderr: "exclude each other"},
		{name: "crash kernel", args: []string{"-p", text}, code: 2, stderr: "kexec-tools"},
		{name: "flags of kexec-tools that change nothing", args: []string{"-l", "-f", "-x", "-y", "-t", "bzImage", "--reset-vga", "--append", "quiet", text}, code: 1, stderr: "not a kernel image"},
		{name: "letters behind one dash", args: []string{"-lsd", text}, code: 1, stderr: "not a kernel image"},
		{name: "initrds by comma", args: []string{"-l", text, "--ramdisk=" + text + "," + text + "-not"}, code: 1, stderr: text + "-not"},
		{name: "unknown flag", args: []string{"--fast"}, code: 2, stderr: "-fast"},
		{name: "kernel missing", args: []string{"-l", text + "-not"}, code: 1, stderr: "no such file"},
		{name: "no kernel", args: []string{"-l", text}, code: 1, stderr: "not a kernel image"},
		{name: "flags after the kernel", args: []string{text, "-l", "--initrd", text + "-not"}, code: 1, stderr: text + "-not"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(tt.args, &stdout, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("stdout %q, stderr %q; want %q, %q", stdout.String(), stderr.String(), tt.stdout, tt.stderr)
			}
		})
	}
}

func TestApart(t *testing.T) {
	got := apart([]string{"-le", "-l", "--load", "-load", "vmlinuz", "-d", "--", "-le"})
	if want := []string{"-l", "-e", "-l", "--load", "-load", "vmlinuz", "-d", "--", "-le"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTextIsJoined(t *testing.T) {
	var x text
	for _, s := range []string{"quiet", "", "console=ttyS0"} {
		x.Set(s)
	}
	if x.String() != "quiet console=ttyS0" {
		t.Errorf("got %q", x)
	}
}
