package kexec

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestFingerprint(t *testing.T) {
	dir := t.TempDir()
	file := func(content []byte) *os.File {
		name := filepath.Join(dir, "f")
		os.Remove(name)
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	large := func(at int) []byte {
		b := bytes.Repeat([]byte("abcdefgh"), 1<<17) // 1 MiB
		if at >= 0 {
			b[at] ^= 1
		}
		return b
	}
	is := func(release, cmdline string, kernel []byte, initrds ...[]byte) string {
		t.Helper()
		target := Target{Kernel: file(kernel), Cmdline: cmdline}
		for _, b := range initrds {
			target.Initrds = append(target.Initrds, file(b))
		}
		got, err := Fingerprint(t.Context(), target, release)
		if err != nil || len(got) != 32 {
			t.Fatalf("got %q, %v", got, err)
		}
		return got
	}
	base := is("6.1", "quiet", large(-1), large(-1))
	for name, tt := range map[string]struct {
		got  string
		same bool
	}{
		"the same":                          {is("6.1", "quiet", large(-1), large(-1)), true},
		"another release":                   {is("6.2", "quiet", large(-1), large(-1)), false},
		"another command line":              {is("6.1", "", large(-1), large(-1)), false},
		"a byte in the kernel":              {is("6.1", "quiet", large(1<<19), large(-1)), false},
		"a byte at the end of the kernel":   {is("6.1", "quiet", large(1<<20-1), large(-1)), false},
		"a byte at the start of the initrd": {is("6.1", "quiet", large(-1), large(0)), false},
		"a byte at the end of the initrd":   {is("6.1", "quiet", large(-1), large(1<<20-1)), false},
		"a longer initrd":                   {is("6.1", "quiet", large(-1), append(large(-1), 0)), false},
		"a second initrd":                   {is("6.1", "quiet", large(-1), large(-1), []byte("x")), false},
		"no initrd":                         {is("6.1", "quiet", large(-1)), false},
	} {
		if (tt.got == base) != tt.same {
			t.Errorf("%s: %s, and before %s", name, tt.got, base)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Fingerprint(ctx, Target{Kernel: file(make([]byte, 4<<20))}, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := Fingerprint(t.Context(), Target{Kernel: file(nil), Initrds: []*os.File{os.Stdin}}, ""); err == nil {
		t.Error("what is not a regular file has a fingerprint")
	}
}
