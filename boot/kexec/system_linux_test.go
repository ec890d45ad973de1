package kexec

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// A kernel without kexec_load, or one that is locked down, forgets what is
// loaded only by kexec_file_load.
func TestUnloadByTheCallThatIsAllowed(t *testing.T) {
	tests := []struct {
		name           string
		load, fileLoad error
		asked          bool // kexec_file_load
		want           error
	}{
		{name: "kexec_load"},
		{name: "no kexec_load", load: unix.ENOSYS, asked: true},
		{name: "lockdown", load: unix.EPERM, asked: true},
		{name: "kexec_load_disabled", load: unix.EPERM, fileLoad: unix.EPERM, asked: true, want: unix.EPERM},
		{name: "no kexec_file_load", load: unix.EPERM, fileLoad: unix.ENOSYS, asked: true, want: unix.EPERM},
		{name: "busy", load: unix.EBUSY, want: unix.EBUSY},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := false
			err := unload(func() error { return tt.load }, func() error { asked = true; return tt.fileLoad })
			if !errors.Is(err, tt.want) || asked != tt.asked {
				t.Errorf("got %v, kexec_file_load asked: %v", err, asked)
			}
		})
	}
}
