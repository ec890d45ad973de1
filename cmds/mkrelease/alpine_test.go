package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload"
)

// All scripts are understood by a POSIX shell.
func TestSyntax(t *testing.T) {
	shell := []string{"sh"}
	if _, err := exec.LookPath("busybox"); err == nil {
		shell = []string{"busybox", "sh"}
	}
	files, err := filepath.Glob("alpine/*")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "package/changed", "package/kernel-hook")
	if len(files) != 8 {
		t.Errorf("%d scripts", len(files))
	}
	for _, f := range files {
		if _, err := payload.Run(t.Context(), "", shell[0], append(shell[1:], "-n", f)...); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// The defaults in the settings' comments are those of the program that reads them.
func TestAlpineSettings(t *testing.T) {
	program, err := os.ReadFile("package/changed")
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile("alpine/alpboot.conf")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(program)) {
		if !strings.HasPrefix(line, "flavor=lts ") {
			continue
		}
		for _, setting := range strings.Fields(line) {
			n++
			name, value, _ := strings.Cut(setting, "=")
			if !strings.Contains(string(config), "\n#"+name+"=") || value != "''" && !strings.Contains(string(config), "\n#"+setting+"\n") {
				t.Errorf("alpboot.conf does not have %s", setting)
			}
		}
	}
	if n != 6 {
		t.Errorf("there are %d settings", n)
	}
}
