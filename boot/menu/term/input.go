package term

import (
	"bytes"
	"time"
	"unicode/utf8"
)

// input is what is read from a line before it comes to tcell. It
//
//   - leaves out bytes that are not UTF-8: noise on a serial line is not a key, and
//     tcell v2.13 never returns from such a byte;
//   - makes one Esc of several at once: tcell takes the first for Alt, and waits
//     for what is held with it;
//   - takes cursor reports out, which answer our question for the size;
//   - ends a control string, which noise may have begun and which would swallow
//     all keys, when the line was quiet for a while.
type input struct {
	held []byte    // incomplete rune or report
	last time.Time // when something came
	// until is how long reports are taken for the answer to our question.
	until  time.Time
	report func(rows, columns int)
}

// quiet is after how long a control string is taken for noise.
const quiet = time.Second

// feed returns what tcell shall see of b, read at the time now.
func (in *input) feed(b []byte, now time.Time) []byte {
	var out []byte
	if !in.last.IsZero() && now.Sub(in.last) > quiet {
		out = append(out, "\x1b\\"...)
		in.held = nil
	}
	in.last = now
	b = append(in.held, b...)
	in.held = nil
	for len(b) > 0 {
		if bytes.HasPrefix(b, []byte("\x1b\x1b")) {
			b = b[1:]
			continue
		}
		if now.Before(in.until) {
			n, rows, columns, ok := parseReport(b)
			if ok {
				in.until = time.Time{}
				in.report(rows, columns)
				b = b[n:]
				continue
			}
			if n == len(b) && n > 1 { // a lone Esc is not held up
				in.held = bytes.Clone(b)
				break
			}
		}
		r, n := utf8.DecodeRune(b)
		switch {
		case r != utf8.RuneError || n > 1:
			out = append(out, b[:n]...)
		case !utf8.FullRune(b):
			in.held = bytes.Clone(b)
			return out
		}
		b = b[n:]
	}
	return out
}

// parseReport reads CSI row ; column R at the beginning of b. It returns how many
// bytes belong to it so far; ok reports whether it is complete.
func parseReport(b []byte) (n, rows, columns int, ok bool) {
	numbers := [2]int{}
	field := 0
	for n < len(b) {
		c := b[n]
		switch {
		case n == 0 && c == 0x1b, n == 1 && c == '[':
		case n > 1 && c >= '0' && c <= '9' && numbers[field] < 10000:
			numbers[field] = numbers[field]*10 + int(c-'0')
		case n > 1 && c == ';' && field == 0:
			field = 1
		case n > 1 && c == 'R' && field == 1:
			return n + 1, numbers[0], numbers[1], true
		default:
			return 0, 0, 0, false
		}
		n++
	}
	return n, 0, 0, false
}
