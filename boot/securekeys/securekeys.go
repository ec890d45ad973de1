// Package securekeys reads and makes what UEFI's Secure Boot has its keys in: lists of
// certificates (UEFI specification 2.10, section 32.4.1), and signed updates of the
// variables that hold these lists (section 8.2.2).
//
// It verifies no signature, which the firmware does. It takes the place of crypto/x509,
// which would be 280 kB in the image of the menu.
package securekeys

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf16"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/efivar"
)

// Dir is where the menu finds updates on an EFI system partition, a file for each
// variable. systemd-boot offers what is in the directories beside it, too.
const Dir = "loader/keys/alpboot"

// Suffix is how the files there end, after the name of the variable.
const Suffix = ".auth"

// MaxSize is how many bytes an update may have.
const MaxSize = 64 << 10

// security is the vendor of db: EFI_IMAGE_SECURITY_DATABASE_GUID.
const security = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"

// Variable is one that holds keys.
type Variable struct{ Name, Vendor string }

// Variables returns them in the order in which they are written: once there is a PK,
// nothing can be written any more that is not signed.
func Variables() []Variable {
	return []Variable{{"db", security}, {"KEK", efivar.Global}, {"PK", efivar.Global}}
}

// Entry is an entry of a list: a certificate, or something else, such as the hash of a
// program.
type Entry struct {
	Type  [16]byte // as it stands there
	Owner [16]byte // who has put it there
	Data  []byte
}

// x509 is EFI_CERT_X509_GUID, as it stands in a list.
var x509 = [16]byte([]byte("\xa1\x59\xc0\xa5\xe4\x94\xa7\x4a\x87\xb5\xab\x15\x5c\x2b\xf0\x72"))

// pkcs7 is EFI_CERT_TYPE_PKCS7_GUID, as it stands in an update.
const pkcs7 = "\x9d\xd2\xaf\x4a\xdf\x68\xee\x49\x8a\xa9\x34\x7d\x37\x56\x65\xa7"

// Certificate returns an entry with a certificate in DER.
func Certificate(der []byte) Entry {
	// The one that boot/remember has for variables of alpboot.
	owner := [16]byte([]byte("\x64\x43\x79\xca\xe4\x4c\x8a\x42\x85\xd3\x57\xc1\xe5\x17\x96\xdb"))
	return Entry{x509, owner, der}
}

// IsCertificate reports whether it is one.
func (e Entry) IsCertificate() bool { return e.Type == x509 }

// String returns what a person calls it: the name of a certificate's subject.
func (e Entry) String() string {
	if !e.IsCertificate() {
		return fmt.Sprintf("an entry of %d bytes, which is not a certificate", len(e.Data))
	}
	c, err := parseCertificate(e.Data)
	if err != nil {
		return "a certificate that cannot be read"
	}
	return nameOf(c.subject)
}

const (
	listHeader = 28 // of a list
	ownerSize  = 16 // of an entry

	timeSize   = 16      // EFI_TIME
	certHeader = 24      // WIN_CERTIFICATE_UEFI_GUID
	certKind   = 0x0ef1  // WIN_CERT_TYPE_EFI_GUID
	revision   = 0x0200  // of WIN_CERTIFICATE
	maxEntries = 1 << 10 // more than any firmware keeps
)

// Attributes are those that an update is signed and written with:
// EFI_VARIABLE_NON_VOLATILE, _BOOTSERVICE_ACCESS, _RUNTIME_ACCESS and
// _TIME_BASED_AUTHENTICATED_WRITE_ACCESS.
const Attributes = 0x27

var (
	le         = binary.LittleEndian
	errDamaged = errors.New("it is truncated or damaged")
)

// ParseLists reads lists, one after the other.
func ParseLists(b []byte) (all []Entry, err error) {
	for len(b) > 0 {
		if len(b) < listHeader {
			return all, errDamaged
		}
		size, skip, each := int64(le.Uint32(b[16:])), int64(le.Uint32(b[20:])), int64(le.Uint32(b[24:]))
		if size < listHeader || size > int64(len(b)) || skip > size-listHeader || each <= ownerSize || (size-listHeader-skip)%each != 0 {
			return all, errDamaged
		}
		for list := b[listHeader+skip : size]; len(list) > 0; list = list[each:] {
			if len(all) == maxEntries {
				return all, fmt.Errorf("it has more than %d entries", maxEntries)
			}
			all = append(all, Entry{[16]byte(b), [16]byte(list), list[ownerSize:each]})
		}
		b = b[size:]
	}
	return all, nil
}

// AppendLists appends entries, each as a list.
func AppendLists(b []byte, entries ...Entry) []byte {
	for _, e := range entries {
		b = append(b, e.Type[:]...)
		b = le.AppendUint32(b, uint32(listHeader+ownerSize+len(e.Data)))
		b = le.AppendUint32(b, 0) // no header of its own
		b = le.AppendUint32(b, uint32(ownerSize+len(e.Data)))
		b = append(append(b, e.Owner[:]...), e.Data...)
	}
	return b
}

// ParseUpdate returns the entries of a signed update.
func ParseUpdate(b []byte) ([]Entry, error) {
	const least = timeSize + certHeader
	switch {
	case len(b) > MaxSize:
		return nil, fmt.Errorf("it is longer than %d bytes", MaxSize)
	case len(b) < least:
		return nil, errDamaged
	}
	size := int64(le.Uint32(b[timeSize:]))
	if le.Uint16(b[timeSize+4:]) != revision || le.Uint16(b[timeSize+6:]) != certKind || string(b[timeSize+8:least]) != pkcs7 {
		return nil, errors.New("it is not a signed update of a variable")
	}
	if size < certHeader || size > int64(len(b)-timeSize) {
		return nil, errDamaged
	}
	all, err := ParseLists(b[timeSize+size:])
	if err == nil && len(all) == 0 {
		err = errors.New("it has no keys: it would remove those that are there")
	}
	return all, err
}

// NewUpdate returns a signed update of a variable: sign returns a detached PKCS #7
// signature of what it is called with. The firmware takes no update with a time that is not
// after that of the one before.
func NewUpdate(v Variable, when time.Time, lists []byte, sign func(content []byte) ([]byte, error)) ([]byte, error) {
	when = when.UTC()
	stamp := le.AppendUint16(nil, uint16(when.Year()))
	stamp = append(stamp, byte(when.Month()), byte(when.Day()), byte(when.Hour()), byte(when.Minute()), byte(when.Second()))
	stamp = append(stamp, make([]byte, timeSize-len(stamp))...)
	vendor, err := guid(v.Vendor)
	if err != nil {
		return nil, err
	}
	var content []byte
	for _, u := range utf16.Encode([]rune(v.Name)) { // without a NUL
		content = le.AppendUint16(content, u)
	}
	content = append(content, vendor...)
	content = le.AppendUint32(content, Attributes)
	content = append(append(content, stamp...), lists...)
	sig, err := sign(content)
	if err != nil {
		return nil, err
	}
	b := le.AppendUint32(stamp, uint32(certHeader+len(sig)))
	b = le.AppendUint16(b, revision)
	b = le.AppendUint16(b, certKind)
	b = append(append(b, pkcs7...), sig...)
	return append(b, lists...), nil
}

// guid returns a GUID as it stands in structures of UEFI.
func guid(text string) ([]byte, error) {
	var a uint32
	var b, c, d uint16
	var e uint64
	if _, err := fmt.Sscanf(text, "%08x-%04x-%04x-%04x-%012x", &a, &b, &c, &d, &e); err != nil {
		return nil, fmt.Errorf("%q is not a GUID: %w", text, err)
	}
	g := le.AppendUint16(le.AppendUint16(le.AppendUint32(nil, a), b), c)
	g = binary.BigEndian.AppendUint16(g, d)
	return append(g, binary.BigEndian.AppendUint64(nil, e)[2:]...), nil
}

// Contains reports whether an entry is among others, whoever has put it there.
func Contains(all []Entry, e Entry) bool {
	for _, o := range all {
		if o.Type == e.Type && bytes.Equal(o.Data, e.Data) {
			return true
		}
	}
	return false
}

// Names returns what the certificates among entries are called, fit to be shown, and how
// many others there are, in words; "" for none.
func Names(entries []Entry) (names []string, others string) {
	n := 0
	for _, e := range entries {
		if e.IsCertificate() {
			names = append(names, boot.Clean(e.String()))
		} else {
			n++
		}
	}
	if n > 0 {
		others = boot.Counted(n, "entry that is not a certificate", "entries that are not certificates")
	}
	return names, others
}
