package kexec

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// What was checked is what is loaded, whatever the file is by then; and a copy that
// anybody could still change would not be worth checking.
func TestSealed(t *testing.T) {
	name := filepath.Join(t.TempDir(), strings.Repeat("k", 250)) // longer than a name of memfd_create
	content := []byte(strings.Repeat("kernel ", copyStep/4))
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var stages []string
	l := &Loader{Progress: func(stage string, done, total int64) {
		if done == 0 && total == int64(len(content)) {
			stages = append(stages, stage)
		}
	}}
	sum := sha256.Sum256(content)
	size := int64(len(content))
	c, err := l.Sealed(t.Context(), f, size, sum)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := os.WriteFile(name, []byte("another kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(io.NewSectionReader(c, 0, size+1)); err != nil || !bytes.Equal(b, content) {
		t.Errorf("the copy has %d bytes that are not those of the file, or %v", len(b), err)
	}
	if c.Name() != name || !slices.Equal(stages, []string{"Reading", "Checking"}) {
		t.Errorf("it is called %.20s, after %q", c.Name(), stages)
	}
	_, werr := c.WriteAt([]byte("x"), 0)
	for what, err := range map[string]error{"write": werr, "shorter": c.Truncate(1), "longer": c.Truncate(size + 1)} {
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: %v, want EPERM", what, err)
		}
	}

	// Now it is not what was signed any more.
	const other = int64(len("another kernel"))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		size int64
		want error
	}{
		{"another size", t.Context(), size, ErrChanged},
		{"the size, and not the content", t.Context(), other, ErrChanged},
		{"stopped", ended, other, context.Canceled},
	} {
		if c, err := l.Sealed(tt.ctx, f, tt.size, sum); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, %v, want %v", tt.name, c, err, tt.want)
		}
	}
	if n := memfiles(t); n != size {
		t.Errorf("files in memory have %d bytes, want the %d of the copy", n, size)
	}
}
