package boot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Printable reports whether r is safe for a terminal: a sign or letter that is
// shown and does nothing else. Control characters are not, those from U+0080 to
// U+009F among them, nor what changes the direction of text or has no width,
// nor white space but for the space itself, nor what stands for broken UTF-8.
// Every text from a disk goes through it before it is printed.
func Printable(r rune) bool { return r != unicode.ReplacementChar && unicode.IsPrint(r) }

// Visible returns s, such as a command line, as one line that is safe for a
// terminal and shows where something is that is not [Printable]: white space
// becomes a space, anything else a question mark.
func Visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case Printable(r):
			return r
		case unicode.IsSpace(r) && r < 0x80:
			return ' '
		}
		return '?'
	}, s)
}

// Counted returns a number with the word for what is counted.
func Counted(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Clean returns text such as a title without what is not [Printable]: that and
// white space become single spaces, and what is longer than 200 characters ends
// in "...".
func Clean(s string) string {
	const most = 200
	s = singleLine(s)
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// singleLine returns s without anything unprintable, and with single spaces.
func singleLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if !Printable(r) {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// Quote returns text for use in a sentence: in double quotes, with escapes for
// what is not [Printable], and with "..." behind it where it was cut to 40 bytes.
func Quote(s string) string {
	const most = 40
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	end := most
	for end > most-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%q...", s[:end])
}

// WriteJSON writes v as indented JSON that is safe for a terminal: what is not
// [Printable] is escaped in its strings, which read back as they are.
func WriteJSON(w io.Writer, v any) error {
	var raw bytes.Buffer
	enc := json.NewEncoder(&raw)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	var safe strings.Builder
	for _, r := range raw.String() { // outside of strings JSON is ASCII
		if r == '\n' || Printable(r) {
			safe.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&safe, `\u%04x`, unit)
		}
	}
	_, err := io.WriteString(w, safe.String())
	return err
}

// Plain returns s, a line of a file, as it is booted: with a space for each of
// the control characters that end or break a line, and nothing else changed. It
// is not safe for a terminal: see [Visible].
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
