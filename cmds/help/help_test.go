package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestHelp(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string // a line
		not  string
		code int
	}{
		{want: "mount      mount a filesystem\n", not: "kB"},
		{args: []string{"DHCP"}, want: "dhclient   get an address by DHCP\n", not: "mount"},
		{args: []string{"no such"}, not: "mount", code: 1},
	} {
		var stdout bytes.Buffer
		if code := run(tt.args, &stdout); code != tt.code {
			t.Errorf("help %q: code %d, want %d", tt.args, code, tt.code)
		}
		if got := stdout.String(); !strings.Contains(got, tt.want) || strings.Contains(got, tt.not) {
			t.Errorf("help %q: %s", tt.args, got)
		}
	}
}
