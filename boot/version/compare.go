package version

import (
	"cmp"
	"strings"
)

// Compare compares two version strings, or names with numbers in them, by the
// UAPI Version Format Specification. It returns -1 when a is older than b, 1 when it is newer,
// and 0 when they are equal, as 1 and 01 are.
func Compare(a, b string) int {
	for {
		a, b = strings.TrimLeftFunc(a, isIgnored), strings.TrimLeftFunc(b, isIgnored)
		for _, mark := range []string{"~", "-", "^", "."} {
			x, y, r := cutMark(a, b, mark)
			if r != 0 {
				return r
			}
			a, b = x, y
			if mark == "~" && (a == "" || b == "") { // even the end is newer than ~
				return cmp.Compare(len(a), len(b))
			}
		}
		if isDigit(first(a)) || isDigit(first(b)) {
			var x, y string
			x, a = cutWhile(a, isDigit)
			y, b = cutWhile(b, isDigit)
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if r := cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y)); r != 0 {
				return r
			}
			continue
		}
		var x, y string
		x, a = cutWhile(a, isLetter)
		y, b = cutWhile(b, isLetter)
		if r := strings.Compare(x, y); r != 0 {
			return r
		}
	}
}

// cutMark takes mark off both strings. If only one of them begins with it,
// that one is the older.
func cutMark(a, b, mark string) (x, y string, r int) {
	x, inA := strings.CutPrefix(a, mark)
	y, inB := strings.CutPrefix(b, mark)
	switch {
	case inA && !inB:
		return a, b, -1
	case inB && !inA:
		return a, b, 1
	}
	return x, y, 0
}

// cutWhile cuts s behind the bytes that is holds for.
func cutWhile(s string, is func(byte) bool) (before, after string) {
	i := 0
	for i < len(s) && is(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

// first returns the first byte of s, 0 if there is none.
func first(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// isIgnored reports whether a character only separates.
func isIgnored(r rune) bool {
	return r >= 0x80 || !(isDigit(byte(r)) || isLetter(byte(r)) || strings.ContainsRune("-.~^", r))
}
