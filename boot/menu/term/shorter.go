package term

import "bytes"

// shorter is a line on which a look is set by one sequence, where tcell sends one that
// resets all and one for each colour and attribute.
type shorter struct{ line }

func (l shorter) Write(b []byte) (int, error) {
	if _, err := l.line.Write(shorten(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// shorten makes one sequence of each that resets the look and those right behind it. A
// cursor that stays hidden is hidden once.
func shorten(b []byte) []byte {
	const reset, intro, hide, show = "\x1b[m", "\x1b[", "\x1b[?25l", "\x1b[?25h"
	if rest, ok := bytes.CutSuffix(b, []byte(hide)); ok && bytes.HasPrefix(rest, []byte(hide)) && !bytes.Contains(rest, []byte(show)) {
		b = rest
	}
	if !bytes.Contains(b, []byte(reset+intro)) {
		return b
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		i := bytes.Index(b, []byte(reset))
		if i < 0 {
			return append(out, b...)
		}
		out, b = append(out, b[:i]...), b[i+len(reset):]
		look := []byte(intro)
		for {
			rest, ok := bytes.CutPrefix(b, []byte(intro))
			n := bytes.IndexFunc(rest, func(r rune) bool { return r != ';' && (r < '0' || r > '9') })
			if !ok || n <= 0 || rest[n] != 'm' {
				break
			}
			if len(look) == len(intro) {
				look = append(look, '0') // some emulators take an empty one for none
			}
			look = append(append(look, ';'), rest[:n]...)
			b = rest[n+1:]
		}
		out = append(append(out, look...), 'm')
	}
	return out
}
