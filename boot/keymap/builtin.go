package keymap

import (
	"fmt"
	"slices"
	"unicode"
)

// rows is a keyboard layout as it differs from the kernel's own.
type rows struct{ name, plain, shift, altGr string }

// BuiltIn returns the names of the layouts that need no file.
func BuiltIn() []string {
	var names []string
	for _, l := range builtIn {
		names = append(names, l.name)
	}
	return names
}

// Make returns the layout of that name as a change of base, the kernel's own layout;
// false when there is none.
func Make(name string, base *Map) (*Map, bool) {
	i := slices.IndexFunc(builtIn[:], func(l rows) bool { return l.name == name })
	if i < 0 || base == nil || base[0] == nil {
		return nil, false
	}
	return builtIn[i].on(base), true
}

// typing are the keys that a layout is about, row by row: the first with the key above
// Tab, the last with that beside the left Shift, then the one beside the right Shift.
func typing() []int {
	keys := []int{41}
	for _, row := range [][2]int{{2, 13}, {16, 27}, {30, 40}, {43, 43}, {86, 86}, {44, 53}, {89, 89}} {
		for k := row[0]; k <= row[1]; k++ {
			keys = append(keys, k)
		}
	}
	return keys
}

// Kinds of values of a key (linux/keyboard.h).
const (
	latin  = 0x0000
	noKey  = 0x0200 // K_HOLE
	enter  = 0x0201
	dead   = 0x0400
	down   = 0x0600
	up     = 0x0603
	letter = 0x0b00 // as latin, and Caps Lock means something for it
)

// marks are the dead keys of the kernel, in its order.
var marks = [...]rune{'\u0300', '\u0301', '\u0302', '\u0303', '\u0308', '\u0327'}

// value returns what the kernel takes for a key that types r; other is what the key
// types with Shift, or without.
func value(r, other rune) uint16 {
	if i := slices.Index(marks[:], r); i >= 0 {
		return dead | uint16(i)
	}
	switch {
	case r > 0xff:
		return uint16(r) ^ 0xf000
	case r != other && unicode.ToUpper(r) == unicode.ToUpper(other):
		return letter | uint16(r)
	}
	return latin | uint16(r)
}

// on returns base with the layout: tables 0 to 3 type what it has, and what Ctrl and
// Alt do goes with the letter and not with the place of the key.
func (l rows) on(base *Map) *Map {
	keys := typing()
	m := &Map{}
	for t := range base {
		if base[t] != nil {
			table := *base[t]
			m[t] = &table
		}
	}
	for t := 1; t < 4; t++ {
		if m[t] == nil {
			table := *m[t-1]
			m[t] = &table
		}
	}
	place := map[uint16]int{} // of what a key types in base
	for _, k := range keys {
		if v := base[0][k] & 0xff; v != 0 {
			if _, ok := place[v]; !ok {
				place[v] = k
			}
		}
	}
	plain, shift, altGr := []rune(l.plain), []rune(l.shift), []rune(l.altGr)
	at := func(row []rune, i int) rune {
		if i < len(row) {
			return row[i]
		}
		return ' '
	}
	for i, k := range keys {
		p, s, a := at(plain, i), at(shift, i), at(altGr, i)
		if p != ' ' {
			m[0][k] = value(p, s)
			for t := 4; t < len(m); t++ {
				if m[t] == nil {
					continue
				}
				if from, ok := place[uint16(p)]; ok && p < 0x80 {
					m[t][k] = base[t][from]
				} else {
					m[t][k] = noKey
				}
			}
		}
		if s != ' ' {
			m[1][k] = value(s, p)
		}
		m[2][k], m[3][k] = noKey, noKey
		if a != ' ' {
			upper := unicode.ToUpper(a)
			m[2][k], m[3][k] = value(a, upper), value(upper, a)
		}
	}
	return m
}

// Buttons has the volume buttons of a machine move as arrow keys do, which no layout
// uses otherwise; with power, for a machine without a keyboard, its power button
// chooses as Enter does.
func Buttons(k Keyboard, power bool) error {
	const keyVolumeDown, keyVolumeUp, keyPower = 114, 115, 116
	buttons := map[uint8]uint16{keyVolumeDown: down, keyVolumeUp: up}
	if power {
		buttons[keyPower] = enter
	}
	for key, v := range buttons {
		if err := k.SetEntry(0, key, v); err != nil {
			return fmt.Errorf("the volume buttons: %w", err)
		}
	}
	return nil
}
