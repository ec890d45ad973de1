package boot

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"Linux lts":                   "Linux lts",
		" a\tb\n\x1b[2Jc\x00d\u202e ": "a b [2Jc d",
		"\xff\xfeé":                   "é",
		strings.Repeat("x", 300):      strings.Repeat("x", 200) + "...",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"root=/dev/sda1  quiet":  "root=/dev/sda1  quiet",
		"a\tb\nc\x1b[2J\x7f":     "a b c?[2J?",
		"\u009b31m \u0085 é 漢":   "?31m ? é 漢",
		"\u202eevil\u2069\u061c": "?evil??",
		"\xff\u00a0\u200b":       "???",
	} {
		if got := Visible(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzSafe: whatever comes from a disk, what is printed of it does nothing to a terminal.
func FuzzSafe(f *testing.F) {
	f.Add("quiet \u009b2J\u202e\x1b]0;x\x07\xff")
	f.Fuzz(func(t *testing.T, s string) {
		var n Notes
		n.Add(Source{File: "a"}, s)
		for what, got := range map[string]string{"Visible": Visible(s), "Clean": Clean(s), "Quote": Quote(s), "a note": n.All()[0].Text} {
			bad := strings.ContainsFunc(got, func(r rune) bool {
				return r < ' ' || r >= 0x7f && r < 0xa0 || strings.ContainsRune("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", r)
			})
			if bad || !utf8.ValidString(got) {
				t.Errorf("%s of %q is %q", what, s, got)
			}
		}
	})
}

// JSON on a terminal holds nothing that steers it, and reads back unchanged.
func TestWriteJSON(t *testing.T) {
	want := map[string]string{"a\u009b": "quiet \u0080\u009b2J \u202e\u2066 \x1b[2J \x7f \ufffd \u00a0 \U000e0001 <&> \u00fc \u2028 \"\\"}
	var b bytes.Buffer
	if err := WriteJSON(&b, want); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(b.String(), func(r rune) bool { return r != '\n' && !Printable(r) }); i >= 0 {
		t.Errorf("unprintable at byte %d: %q", i, b.String())
	}
	got := map[string]string{}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || !maps.Equal(got, want) {
		t.Errorf("reads back as %q (%v), want %q", got, err, want)
	}
}
