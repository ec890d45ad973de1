package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMore(t *testing.T) {
	const ask = "-- Enter: more; q and Enter: end -- "
	for _, tt := range []struct {
		text, keys string
		rows       int
		want       string
	}{
		{text: "1\n2\n3\n", rows: 0, want: "1\n2\n3\n"},
		{text: "1\n2\n3\n", rows: 4, want: "1\n2\n3\n"},
		{text: "1\n2\n3\n4", keys: "\n", rows: 3, want: "1\n2\n" + ask + "3\n4"},
		{text: "1\n2\n3\n4\n5\n", keys: "\nq\n", rows: 3, want: "1\n2\n" + ask + "3\n4\n" + ask},
		{text: "1\n2\n3\n", keys: "", rows: 3, want: "1\n2\n" + ask},
		{text: strings.Repeat("x", 10_000) + "\n2\n", rows: 3, want: strings.Repeat("x", 10_000) + "\n2\n"},
	} {
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, []byte(tt.text), 0o666); err != nil {
			t.Fatal(err)
		}
		for _, files := range [][]string{nil, {name}} {
			var stdout bytes.Buffer
			code := run(files, strings.NewReader(tt.text), strings.NewReader(tt.keys), &stdout, io.Discard, tt.rows)
			if stdout.String() != tt.want || code != 0 {
				t.Errorf("%.20q with keys %q on %d rows: got %.80q, code %d", tt.text, tt.keys, tt.rows, stdout.String(), code)
			}
		}
	}
	if code := run([]string{"/nowhere"}, nil, strings.NewReader(""), io.Discard, io.Discard, 9); code != 1 {
		t.Errorf("a file that is not there: code %d, want 1", code)
	}
}
