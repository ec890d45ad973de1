package settings

import (
	"strings"
	"testing"
	"time"
)

func TestFromCmdline(t *testing.T) {
	sec := func(n int) *time.Duration { d := time.Duration(n) * time.Second; return &d }
	tests := []struct {
		name, cmdline string
		timeout       *time.Duration
		def           string
		note          string // what the only note must contain
	}{
		{name: "nothing said", cmdline: "console=ttyS0 quiet"},
		{name: "both", cmdline: "quiet alpboot.timeout=3 alpboot.default=lts-0a1b2c3d", timeout: sec(3), def: "lts-0a1b2c3d"},
		{name: "at once", cmdline: "alpboot.timeout=0", timeout: sec(0)},
		{name: "for ever", cmdline: "alpboot.timeout=-1", timeout: sec(-1)},
		{name: "the last one counts", cmdline: "alpboot.timeout=9 alpboot.timeout=2", timeout: sec(2)},
		{name: "title in quotes", cmdline: `alpboot.default="Linux lts" quiet`, def: "Linux lts"},
		{name: "quotes around the whole word", cmdline: `"alpboot.default=Linux lts"`, def: "Linux lts"},
		{name: "newline at the end, as in /proc/cmdline", cmdline: "alpboot.timeout=4\n", timeout: sec(4)},
		{name: "no number", cmdline: "alpboot.timeout=soon", note: "alpboot.timeout=soon"},
		{name: "too large", cmdline: "alpboot.timeout=99999999999", note: "whole seconds"},
		{name: "unknown", cmdline: "alpboot.tiemout=3", note: "alpboot.tiemout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := FromCmdline(tt.cmdline)
			if (got.Timeout == nil) != (tt.timeout == nil) || got.Timeout != nil && *got.Timeout != *tt.timeout {
				t.Errorf("timeout: got %v, want %v", got.Timeout, tt.timeout)
			}
			if got.Default != tt.def {
				t.Errorf("default: got %q, want %q", got.Default, tt.def)
			}
			if tt.note == "" && len(got.Notes) > 0 || tt.note != "" && (len(got.Notes) != 1 || !strings.Contains(got.Notes[0], tt.note)) {
				t.Errorf("notes: got %q, want one with %q", got.Notes, tt.note)
			}
		})
	}
}

func TestForTarget(t *testing.T) {
	got := ForTarget(`BOOT_IMAGE=/boot/vmlinuz-lts root=UUID=1 alpboot.default="Linux lts" initrd=\boot\initramfs-lts opt="a  b" quiet` + "\n")
	if want := `root=UUID=1 opt="a  b" quiet`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
