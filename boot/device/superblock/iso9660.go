package superblock

import (
	"encoding/binary"
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const isoDescriptors = 32 << 10

// isISO9660 recognises an image of a disc by its primary volume descriptor.
func isISO9660(d *disk) bool { return d.has(isoDescriptors, "\x01CD001") }

// probeISO9660 follows ECMA-119 section 8, and the Joliet specification for
// labels that it cannot hold.
func probeISO9660(d *disk) (Superblock, error) {
	const descriptor = 2048
	if !isISO9660(d) {
		return Superblock{}, nil
	}
	primary := d.bytes(isoDescriptors, descriptor)
	if primary == nil {
		return Superblock{}, nil
	}
	label := primary[40:72]
	sb := Superblock{Type: ISO9660, UUID: isoDate(primary[830:847]), Label: text(label)}
	if sb.UUID == "" {
		sb.UUID = isoDate(primary[813:830])
	}
	for i := range int64(16) {
		v := d.bytes(isoDescriptors+(i+1)*descriptor, descriptor)
		if v == nil || v[0] == 255 || string(v[1:6]) != "CD001" {
			break
		}
		if escape := string(v[88:91]); v[0] == 2 && (escape == "%/@" || escape == "%/C" || escape == "%/E") {
			sb.Label = mergeLabels(label, v[40:72])
			break
		}
	}
	return sb, nil
}

// mergeLabels makes one label of that in the primary descriptor and its copy in
// the Joliet descriptor, which has room for half as many characters but more of
// them to choose from. Where one is not the beginning of the other, the Joliet
// label is the answer.
func mergeLabels(primary, joliet []byte) string {
	be := binary.BigEndian
	var merged []byte
	rest := joliet
	for _, c := range primary {
		unit := uint16(c)
		if len(rest) >= 2 {
			j := be.Uint16(rest)
			rest = rest[2:]
			if utf16.IsSurrogate(rune(j)) && len(rest) >= 2 { // two units for one underscore
				merged = be.AppendUint16(merged, j)
				j = be.Uint16(rest)
				rest = rest[2:]
			}
			switch {
			case c == '_':
				unit = j
			case j == '_', j == unit:
			case j < utf8.RuneSelf && unicode.ToLower(rune(j)) == unicode.ToLower(rune(c)):
				unit = max(unit, j) // the lower-case one
			default:
				return text16(joliet, be.Uint16)
			}
		}
		merged = be.AppendUint16(merged, unit)
	}
	return text16(merged, be.Uint16)
}

// isoDate makes blkid's UUID of a date; "" when the date is not set.
func isoDate(b []byte) string {
	d, offset := string(b[:16]), b[16]
	zeros := 0
	for i := range len(d) {
		if d[i] == '0' {
			zeros++
		}
		if d[i] < '0' || d[i] > '9' {
			return ""
		}
	}
	if zeros == len(d) && offset == 0 {
		return ""
	}
	return fmt.Sprintf("%s-%s-%s-%s-%s-%s-%s", d[:4], d[4:6], d[6:8], d[8:10], d[10:12], d[12:14], d[14:16])
}
