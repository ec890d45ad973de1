package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	tests := []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string // what they contain
	}{
		{name: "version", args: []string{"--version"}, stdout: "bootmenu "},
		{name: "help", args: []string{"--help"}, stderr: "Usage: bootmenu"},
		{name: "settings", args: []string{"--settings"}, stdout: "rearm = 300                              # built in\n"},
		{name: "unknown flag", args: []string{"--fast"}, code: 2, stderr: "Usage: bootmenu"},
		{name: "an argument", args: []string{"/dev/sda"}, code: 2, stderr: "Usage: bootmenu"},
		{name: "no such console", args: []string{"--console", "/dev/nowhere"}, code: 1, stderr: "/dev/nowhere"},
		{name: "a console that is not a terminal", args: []string{"--console", "/dev/null"}, code: 1, stderr: "not a terminal"},
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
