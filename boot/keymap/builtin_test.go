package keymap

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// kernelMap is the kernel's own layout, as far as it bears on a test.
func kernelMap() *Map {
	m := &Map{}
	for _, t := range []int{0, 1, 2, 4, 8} {
		m[t] = new([Keys]uint16)
	}
	for i, k := range typing() {
		p, s := rune("`1234567890-=qwertyuiop[]asdfghjkl;'\\<zxcvbnm,./ "[i]), rune("~!@#$%^&*()_+QWERTYUIOP{}ASDFGHJKL:\"|>ZXCVBNM<>? "[i])
		m[0][k], m[1][k], m[4][k], m[8][k] = value(p, s), value(s, p), noKey, 0x0800|uint16(p)
		if unicode.IsLower(p) {
			m[4][k] = uint16(p) & 0x1f
		}
	}
	m[0][28], m[1][28] = 0x0201, 0x0201 // Enter
	return m
}

// Every layout types all of ASCII, so that any command line can be written, and each
// rune in it is one that the kernel can type.
func TestBuiltInLayouts(t *testing.T) {
	for _, l := range builtIn {
		for _, row := range []string{l.plain, l.shift, l.altGr} {
			if n := utf8.RuneCountInString(row); n > len(typing()) {
				t.Errorf("%s: %d keys in %q", l.name, n, row)
			}
			for _, r := range row {
				if r > 0xff && r != '€' && !slices.Contains(marks[:], r) && !unicode.IsLetter(r) && !strings.ContainsRune("ˇ˘˛˝˙", r) {
					t.Errorf("%s has %q", l.name, r)
				}
			}
		}
		m, ok := Make(l.name, kernelMap())
		if !ok {
			t.Fatal(l.name)
		}
		types := map[rune]bool{}
		for table := range 4 {
			for _, k := range typing() {
				switch v := m[table][k]; {
				case v == noKey:
				case v&0xff00 == dead:
					// With a blank after it the kernel types the mark itself.
					types[[]rune("`'^~\",")[v&0xff]] = true
				case v&0xff00 == latin, v&0xff00 == letter:
					types[rune(v&0xff)] = true
				}
			}
		}
		for r := rune('!'); r <= '~'; r++ {
			if !types[r] {
				t.Errorf("%s: no key types %q", l.name, r)
			}
		}
	}
}

func TestMake(t *testing.T) {
	base := kernelMap()
	de, _ := Make("de", base)
	for _, tt := range []struct {
		what       string
		table, key int
		want       uint16
	}{
		{"y and z have changed places", 0, 21, letter | 'z'},
		{"with Shift", 1, 21, letter | 'Z'},
		{"Ctrl-Z goes with the letter", 4, 21, 'z' & 0x1f},
		{"Alt-z, too", 8, 21, 0x0800 | 'z'},
		{"an umlaut has Caps Lock", 0, 40, letter | 0xe4},
		{"and nothing with Ctrl", 4, 40, noKey},
		{"a digit has none", 0, 3, latin | '2'},
		{"AltGr", 2, 16, latin | '@'},
		{"beyond Latin-1", 2, 18, 0x20ac ^ 0xf000},
		{"a dead key", 0, 41, 0x0402}, // K_DCIRCM
		{"other keys stay", 0, 28, 0x0201},
	} {
		if got := de[tt.table][tt.key]; got != tt.want {
			t.Errorf("%s: %#04x, want %#04x", tt.what, got, tt.want)
		}
	}
	if base[0][21] != letter|'y' || base[3] != nil {
		t.Error("the kernel's layout was changed")
	}
	if fr, _ := Make("fr", base); fr[0][3] != latin|0xe9 || fr[1][3] != latin|'2' {
		t.Errorf("with Caps Lock, the key é of fr types 2: %#04x, %#04x", fr[0][3], fr[1][3])
	}
	if _, ok := Make("xx", base); ok {
		t.Error("there is a layout xx")
	}
}
