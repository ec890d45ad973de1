package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTail(t *testing.T) {
	long := strings.Repeat("some words on a line\n", 20_000)
	for _, tt := range []struct {
		text string
		n    int
		want string
	}{
		{text: "", n: 2, want: ""},
		{text: "a\nb\nc\n", n: 2, want: "b\nc\n"},
		{text: "a\nb\nc", n: 2, want: "b\nc"},
		{text: "a\n", n: 2, want: "a\n"},
		{text: "\nabc\n", n: 2, want: "\nabc\n"}, // u-root's v0.16.0 panics
		{text: "a\n\n\n", n: 2, want: "\n\n"},
		{text: "a\nb\n", n: 0, want: ""},
		{text: long + "end\n", n: 1, want: "end\n"},
		{text: "start\n" + long, n: 20_001, want: "start\n" + long},
		{text: long, n: 19_999, want: long[21:]},
	} {
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, []byte(tt.text), 0o666); err != nil {
			t.Fatal(err)
		}
		// From a file, and from a pipe that cannot seek.
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() { w.WriteString(tt.text); w.Close() }()
		for _, files := range [][]string{{name}, {"-"}} {
			var stdout, stderr bytes.Buffer
			code := run(files, tt.n, false, r, &stdout, &stderr)
			if stdout.String() != tt.want || code != 0 {
				t.Errorf("the last %d of %.20q of %s: got %.50q, code %d, %s; want %.50q", tt.n, tt.text, files, stdout.String(), code, &stderr, tt.want)
			}
		}
		r.Close()
	}
}

func TestSeveralFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("a\nb\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run([]string{name, name + "2", name}, 1, false, nil, &stdout, &stderr); code != 1 {
		t.Errorf("code %d, want 1", code)
	}
	want := "==> " + name + " <==\nb\n==> " + name + " <==\nb\n"
	if stdout.String() != want || !strings.Contains(stderr.String(), "no such file") {
		t.Errorf("got %q, %q; want %q", stdout.String(), stderr.String(), want)
	}
}
