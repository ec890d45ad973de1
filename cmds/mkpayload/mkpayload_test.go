package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload/payloadtest"
)

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name       string
		args       []string
		wantCode   int
		wantStdout string
		wantStderr string
	}{
		{name: "version", args: []string{"--version"}, wantStdout: "mkpayload "},
		{name: "help", args: []string{"--help"}, wantStdout: "usage: mkpayload"},
		{name: "help of a verb", args: []string{"kernel", "--help"}, wantStderr: "-source"},
		{name: "unknown verb", args: []string{"rom"}, wantCode: 2, wantStderr: `no verb "rom"`},
		{name: "unknown flag of the verb that is meant", args: []string{"--nope"}, wantCode: 2, wantStderr: "-nope"},
		{name: "stray argument", args: []string{"initramfs", "out.cpio"}, wantCode: 2, wantStderr: `"out.cpio"`},
		{name: "modules of what", args: []string{"--modules", "/lib/modules"}, wantCode: 2, wantStderr: "needs --kernel"},
		{name: "arch", args: []string{"--arch", "vax"}, wantCode: 1, wantStderr: `unknown --arch "vax"`},
		{name: "compress", args: []string{"--compress", "arj"}, wantCode: 1, wantStderr: `unknown --compress "arj"`},
		{name: "kernel that is none", args: []string{"--kernel", "main.go", "-o", "/nonexistent/x"}, wantCode: 1, wantStderr: "not a kernel image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if code := run(tt.args, &stdout, &stderr); code != tt.wantCode {
				t.Errorf("exit code %d, want %d", code, tt.wantCode)
			}
			if !strings.Contains(stdout.String(), tt.wantStdout) || !strings.Contains(stderr.String(), tt.wantStderr) {
				t.Errorf("stdout %q\nstderr %q", stdout.String(), stderr.String())
			}
		})
	}
}

// What is compiled can be asked for without being compiled.
func TestDryRunOfBuilds(t *testing.T) {
	payloadtest.NeedTools(t, "xz")
	dir := t.TempDir()
	file := filepath.Join(dir, "made")
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"initramfs", []string{"initramfs", "--minimal", "--arch", "arm64", "--files", "main.go:etc/main.go"}, []string{"go build for arm64: bootmenu\n", "  main.go as etc/main.go\n", "  xz "}},
		{"kernel", []string{"kernel", "--source", dir, "--cache", dir, "--jobs", "3"}, []string{"  Linux for x86_64 from " + dir + ", by 3 compilers: make bzImage"}},
	} {
		var stdout, stderr strings.Builder
		if code := run(append(tt.args, "--dry-run", "-o", file), &stdout, &stderr); code != 0 {
			t.Errorf("%s: exit code %d: %s", tt.name, code, stderr.String())
		}
		for _, want := range append(tt.want, "would write "+file+"\n") {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("%s: %q lacks %q", tt.name, stdout.String(), want)
			}
		}
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%s: wrote the file", tt.name)
		}
	}
}
