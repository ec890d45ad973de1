package efivars

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// option is an EFI_LOAD_OPTION.
type option struct {
	attributes  uint32
	description string
	path        devicePath
	data        []byte
}

// devicePath names the file that an option starts.
type devicePath struct {
	partUUID string // as in root=PARTUUID=; "" when no partition is named
	file     string // with backslashes
}

var errShort = errors.New("it is cut short")

// parseOption reads the value of a variable Boot####.
func parseOption(b []byte) (o option, err error) {
	le := binary.LittleEndian
	if len(b) < 6 {
		return o, errShort
	}
	o.attributes = le.Uint32(b)
	pathLen := int(le.Uint16(b[4:]))
	b = b[6:]
	for n := 0; ; n += 2 {
		if n+2 > len(b) {
			return o, errShort
		}
		if le.Uint16(b[n:]) == 0 {
			o.description, b = ucs2(b[:n]), b[n+2:]
			break
		}
	}
	if pathLen > len(b) {
		return o, errShort
	}
	o.data = b[pathLen:]
	o.path, err = parsePath(b[:pathLen])
	return o, err
}

// Types of nodes in a device path, with the subtype in the low byte.
const (
	nodeHD          = 0x0401
	nodeFile        = 0x0404
	nodeEnd         = 0x7fff
	nodeEndInstance = 0x7f01
)

// parsePath reads the first of the device paths in b.
func parsePath(b []byte) (p devicePath, err error) {
	le := binary.LittleEndian
	for len(b) > 0 {
		if len(b) < 4 {
			return p, errShort
		}
		n := int(le.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			return p, errors.New("its device path is damaged")
		}
		body := b[4:n]
		switch int(b[0])<<8 | int(b[1]) {
		case nodeHD:
			if len(body) < 38 {
				return p, errShort
			}
			p.partUUID = partUUID(le.Uint32(body), body[20:36], body[37])
		case nodeFile:
			// A path may be cut into several nodes.
			name, _, _ := strings.Cut(ucs2(body), "\x00")
			p.file += `\` + name
		case nodeEnd, nodeEndInstance:
			return p, nil
		}
		b = b[n:]
	}
	return p, nil
}

// partUUID returns the UUID of a partition as Linux has it, for the signature of
// its disk (MBR) or its own (GPT); "" for a disk with neither.
func partUUID(number uint32, sig []byte, kind byte) string {
	le := binary.LittleEndian
	switch kind {
	case 1:
		return fmt.Sprintf("%08x-%02x", le.Uint32(sig), number)
	case 2:
		return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(sig), le.Uint16(sig[4:]), le.Uint16(sig[6:]), sig[8:10], sig[10:16])
	}
	return ""
}

// ucs2 returns the text in b, two bytes a character.
func ucs2(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}

// text returns the optional data of an option as text, in UCS-2 or ASCII; false
// when it is neither.
func text(b []byte) (string, bool) {
	if len(b)%2 == 0 {
		// Two bytes of ASCII look like a Chinese character: that is no option
		// of a kernel.
		s := strings.TrimRight(ucs2(b), "\x00")
		if isText(s, 0x2000) {
			return s, true
		}
	}
	s := strings.TrimRight(string(b), "\x00")
	return s, isText(s, unicode.MaxASCII)
}

// isText reports whether s is text of characters up to last.
func isText(s string, last rune) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r > last || !unicode.IsPrint(r) && !unicode.IsSpace(r)
	})
}
