package securekeys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// maxTable is more than the signatures of a program have.
const maxTable = 1 << 20

var errProgram = errors.New("it is not an EFI program")

// SignedBy returns the entry by which the firmware would start a program: a certificate
// that the program is signed with, or the one that has issued that. It goes by what is
// in the signatures; whether they hold is not computed. The error says why none is
// found.
func SignedBy(program io.ReaderAt, size int64, trusted []Entry) (Entry, error) {
	table, err := certificateTable(program, size)
	if err != nil {
		return Entry{}, err
	}
	var signers []string
	for len(table) >= 8 {
		const pkcs = 2 // WIN_CERT_TYPE_PKCS_SIGNED_DATA
		n := int64(le.Uint32(table))
		if n < 8 || n > int64(len(table)) {
			break
		}
		if le.Uint16(table[6:]) == pkcs {
			for _, der := range signerCertificates(table[8:n]) {
				c, err := parseCertificate(der)
				if err != nil {
					continue
				}
				for _, e := range trusted {
					if !e.IsCertificate() {
						continue
					}
					ca, err := parseCertificate(e.Data)
					if bytes.Equal(e.Data, der) || err == nil && bytes.Equal(ca.subject, c.issuer) && !bytes.Equal(c.subject, c.issuer) {
						return e, nil
					}
				}
				signers = append(signers, nameOf(c.subject))
			}
		}
		table = table[min(int64(len(table)), (n+7)&^7):]
	}
	if len(signers) == 0 {
		return Entry{}, errors.New("it is not signed")
	}
	return Entry{}, fmt.Errorf("it is signed by %s, which is not among them", strings.Join(signers, ", "))
}

// certificateTable returns the signatures of a program.
func certificateTable(program io.ReaderAt, size int64) ([]byte, error) {
	read := func(at, n int64) []byte {
		if at < 0 || n < 0 || at > size-n {
			return nil
		}
		b := make([]byte, n)
		if _, err := program.ReadAt(b, at); err != nil {
			return nil
		}
		return b
	}
	const (
		headers   = 24 // PE\0\0 and the COFF header
		directory = 4  // of the certificates
	)
	dos := read(0, 64)
	if dos == nil || string(dos[:2]) != "MZ" {
		return nil, errProgram
	}
	at := int64(le.Uint32(dos[60:]))
	pe := read(at, headers+2)
	if pe == nil || string(pe[:4]) != "PE\x00\x00" {
		return nil, errProgram
	}
	optional := int64(112) // PE32+
	switch le.Uint16(pe[headers:]) {
	case 0x20b:
	case 0x10b:
		optional = 96
	default:
		return nil, errProgram
	}
	entry := read(at+headers+optional+8*directory, 8)
	n := read(at+headers+optional-4, 4)
	if entry == nil {
		return nil, errProgram
	}
	where, length := int64(le.Uint32(entry)), int64(le.Uint32(entry[4:]))
	if le.Uint32(n) <= directory || length == 0 {
		return nil, nil
	}
	if length > maxTable {
		return nil, errDamaged
	}
	table := read(where, length)
	if table == nil {
		return nil, errDamaged
	}
	return table, nil
}

// Tags of DER.
const (
	tagInteger  = 0x02
	tagOID      = 0x06
	tagBMP      = 0x1e
	tagSequence = 0x30
	tagSet      = 0x31
	tagZero     = 0xa0 // [0]
)

// element is one value in DER, with and without its tag and length.
type element struct {
	tag        byte
	full, body []byte
}

// next reads the first value of b.
func next(b []byte) (e element, rest []byte, ok bool) {
	if len(b) < 2 {
		return e, nil, false
	}
	n, at := int64(b[1]), int64(2)
	if n >= 0x80 {
		more := n & 0x7f
		if more == 0 || more > 4 || int64(len(b)) < 2+more {
			return e, nil, false
		}
		n = 0
		for _, c := range b[2 : 2+more] {
			n = n<<8 | int64(c)
		}
		at += more
	}
	if n > int64(len(b))-at {
		return e, nil, false
	}
	return element{b[0], b[:at+n], b[at : at+n]}, b[at+n:], true
}

// fields reads values that follow one another, of which there are no more than most.
func fields(b []byte, most int) (list []element) {
	for len(list) < most {
		e, rest, ok := next(b)
		if !ok {
			break
		}
		list, b = append(list, e), rest
	}
	return list
}

// names are those in a certificate, as it has them.
type names struct{ issuer, subject []byte }

// parseCertificate reads the names in a certificate (RFC 5280).
func parseCertificate(der []byte) (n names, err error) {
	outer, _, ok := next(der)
	if !ok || outer.tag != tagSequence {
		return n, errDamaged
	}
	inner, _, ok := next(outer.body)
	if !ok || inner.tag != tagSequence {
		return n, errDamaged
	}
	list := fields(inner.body, 6)
	if len(list) > 0 && list[0].tag == tagZero { // its version
		list = list[1:]
	}
	if len(list) < 5 || list[0].tag != tagInteger || list[2].tag != tagSequence || list[4].tag != tagSequence {
		return n, errDamaged
	}
	return names{issuer: list[2].full, subject: list[4].full}, nil
}

// nameOf returns the common name in a name, or what else it has.
func nameOf(name []byte) string {
	const common = "\x55\x04\x03"
	text := "a certificate without a name"
	whole, _, _ := next(name)
	for _, set := range fields(whole.body, 32) {
		pair, _, _ := next(set.body)
		list := fields(pair.body, 2)
		if set.tag != tagSet || len(list) < 2 || list[0].tag != tagOID {
			continue
		}
		value := string(list[1].body)
		if list[1].tag == tagBMP {
			var units []uint16
			for b := list[1].body; len(b) >= 2; b = b[2:] {
				units = append(units, uint16(b[0])<<8|uint16(b[1]))
			}
			value = string(utf16.Decode(units))
		}
		if text = value; string(list[0].body) == common {
			break
		}
	}
	return text
}

// signerCertificates returns the certificates in a PKCS #7 message.
func signerCertificates(der []byte) (list [][]byte) {
	outer, _, _ := next(der)
	info := fields(outer.body, 2)
	if len(info) < 2 || info[1].tag != tagZero {
		return nil
	}
	signed, _, _ := next(info[1].body)
	for _, e := range fields(signed.body, 5) {
		if e.tag == tagZero {
			for _, c := range fields(e.body, 16) {
				list = append(list, c.full)
			}
		}
	}
	return list
}
