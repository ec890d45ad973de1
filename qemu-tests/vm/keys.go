package vm

// Key is a key of the keyboard by name, or plain text to type.
type Key string

const (
	Up        Key = "<up>"
	Down      Key = "<down>"
	Left      Key = "<left>"
	Right     Key = "<right>"
	Home      Key = "<home>"
	End       Key = "<end>"
	PageUp    Key = "<pgup>"
	PageDown  Key = "<pgdn>"
	Delete    Key = "<delete>"
	Backspace Key = "<backspace>"
	Tab       Key = "<tab>"
	Enter     Key = "<ret>"
	Escape    Key = "<esc>"
	F1        Key = "<f1>"
	F2        Key = "<f2>"
	F5        Key = "<f5>"
	F10       Key = "<f10>"
	CtrlC     Key = "<ctrl-c>"
	CtrlL     Key = "<ctrl-l>"
)

// terminal returns the bytes that a terminal of type linux sends for a key.
func (k Key) terminal() string {
	switch k {
	case Up:
		return "\x1b[A"
	case Down:
		return "\x1b[B"
	case Right:
		return "\x1b[C"
	case Left:
		return "\x1b[D"
	case Home:
		return "\x1b[1~"
	case End:
		return "\x1b[4~"
	case PageUp:
		return "\x1b[5~"
	case PageDown:
		return "\x1b[6~"
	case Delete:
		return "\x1b[3~"
	case Backspace:
		return "\x7f"
	case Tab:
		return "\t"
	case Enter:
		return "\r"
	case Escape:
		return "\x1b"
	case F1:
		return "\x1b[[A"
	case F2:
		return "\x1b[[B"
	case F5:
		return "\x1b[[E"
	case F10:
		return "\x1b[21~"
	case CtrlC:
		return "\x03"
	case CtrlL:
		return "\x0c"
	}
	return string(k)
}

// qcodes returns the keys of a PC keyboard to press for a key, each a chord of
// QEMU's names; nil for text with a character that is not on the list.
func (k Key) qcodes() [][]string {
	if len(k) > 2 && k[0] == '<' && k[len(k)-1] == '>' {
		name := string(k[1 : len(k)-1])
		if len(name) > 5 && name[:5] == "ctrl-" {
			return [][]string{{"ctrl", name[5:]}}
		}
		return [][]string{{name}}
	}
	symbols := map[rune]string{
		' ': "spc", '-': "minus", '=': "equal", '.': "dot", ',': "comma", '/': "slash",
		'\n': "ret", '\r': "ret", ';': "semicolon", '\'': "apostrophe",
	}
	shifted := map[rune]string{'_': "minus", '+': "equal", ':': "semicolon", '"': "apostrophe", '?': "slash"}
	var chords [][]string
	for _, r := range k {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			chords = append(chords, []string{string(r)})
		case r >= 'A' && r <= 'Z':
			chords = append(chords, []string{"shift", string(r + 'a' - 'A')})
		case symbols[r] != "":
			chords = append(chords, []string{symbols[r]})
		case shifted[r] != "":
			chords = append(chords, []string{"shift", shifted[r]})
		default:
			return nil
		}
	}
	return chords
}
