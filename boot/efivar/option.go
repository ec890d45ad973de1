package efivar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Attributes of a [LoadOption].
const (
	Active   = 0x0001
	Hidden   = 0x0008
	Category = 0x1f00 // the bits of the category: 0 is what is started by itself
)

// LoadOption is the value of a variable Boot####: what firmware can start.
type LoadOption struct {
	Attributes  uint32
	Description string
	Partition   Partition // the zero Partition when the device path names none
	File        string    // with backslashes; "" when the device path names none
	Data        []byte    // what the program is started with
}

// Partition is a partition as device paths name it.
type Partition struct {
	Number      uint32 // from 1
	Start, Size uint64 // in blocks of the disk
	Signature   [16]byte
	GPT         bool // else Signature is that of an MBR, in its first four bytes
}

// UUID returns the UUID of the partition as Linux has it in root=PARTUUID=, ""
// for one without a signature.
func (p Partition) UUID() string {
	le, sig := binary.LittleEndian, p.Signature[:]
	switch {
	case p.Signature == [16]byte{}:
		return ""
	case p.GPT:
		return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(sig), le.Uint16(sig[4:]), le.Uint16(sig[6:]), sig[8:10], sig[10:])
	}
	return fmt.Sprintf("%08x-%02x", le.Uint32(sig), p.Number)
}

// OptionName returns the name of the variable of a boot option.
func OptionName(number uint16) string { return fmt.Sprintf("Boot%04X", number) }

// BootOption is a load option with its number.
type BootOption struct {
	Number uint16
	LoadOption
}

// BootOrder returns the numbers of the boot options in the order in which the
// firmware tries them; none where there is no such variable.
func BootOrder(vars Variables) ([]uint16, error) {
	b, err := vars.Get("BootOrder", Global)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return Numbers(b), nil
}

// Option returns the boot option with that number.
func Option(vars Variables, number uint16) (LoadOption, error) {
	b, err := vars.Get(OptionName(number), Global)
	if err != nil {
		return LoadOption{}, err
	}
	return ParseLoadOption(b)
}

// numberIn returns the number of a boot option that a variable has: BootCurrent, that
// of the one by which this system was started, or BootNext. Either may be missing.
func numberIn(vars Variables, name string) (uint16, bool) {
	b, err := vars.Get(name, Global)
	if err != nil || len(b) != 2 {
		return 0, false
	}
	return Numbers(b)[0], true
}

// OptionIn returns the boot option whose number the variable BootCurrent or BootNext
// has, if there is one.
func OptionIn(vars Variables, name string) (LoadOption, bool) {
	n, ok := numberIn(vars, name)
	if !ok {
		return LoadOption{}, false
	}
	o, err := Option(vars, n)
	return o, err == nil
}

// Others returns the boot options that a user can choose in the firmware's own
// menu, in its order, without the one that this system was started by. One that
// cannot be read is left out.
func Others(vars Variables) ([]BootOption, error) {
	order, err := BootOrder(vars)
	if err != nil {
		return nil, err
	}
	current, isKnown := numberIn(vars, "BootCurrent")
	var all []BootOption
	for _, n := range order {
		if isKnown && n == current {
			continue
		}
		o, err := Option(vars, n)
		if err == nil && o.Attributes&(Active|Hidden|Category) == Active {
			all = append(all, BootOption{n, o})
		}
	}
	return all, nil
}

// SetNext has the firmware try the boot option with this number first at its
// next start, once. The boot order stays as it is.
func SetNext(vars Variables, number uint16) error {
	return vars.Set("BootNext", Global, AppendNumbers(nil, []uint16{number}))
}

var errShort = errors.New("it is cut short")

// ParseLoadOption reads the value of a variable Boot####.
func ParseLoadOption(b []byte) (o LoadOption, err error) {
	le := binary.LittleEndian
	if len(b) < 6 {
		return o, errShort
	}
	o.Attributes = le.Uint32(b)
	pathLen := int(le.Uint16(b[4:]))
	b = b[6:]
	for n := 0; ; n += 2 {
		if n+2 > len(b) {
			return o, errShort
		}
		if le.Uint16(b[n:]) == 0 {
			o.Description, b = Text(b[:n]), b[n+2:]
			break
		}
	}
	if pathLen > len(b) {
		return o, errShort
	}
	o.Data = b[pathLen:]
	return o, o.parsePath(b[:pathLen])
}

// Types of nodes in a device path, with the subtype in the low byte.
const (
	nodeHD          = 0x0401
	nodeFile        = 0x0404
	nodeEnd         = 0x7fff
	nodeEndInstance = 0x7f01

	signatureMBR, signatureGPT = 1, 2
)

// parsePath reads the first of the device paths in b.
func (o *LoadOption) parsePath(b []byte) error {
	le := binary.LittleEndian
	for len(b) > 0 {
		if len(b) < 4 {
			return errShort
		}
		n := int(le.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			return errors.New("its device path is damaged")
		}
		body := b[4:n]
		switch int(b[0])<<8 | int(b[1]) {
		case nodeHD:
			if len(body) < 38 {
				return errShort
			}
			p := Partition{Number: le.Uint32(body), Start: le.Uint64(body[4:]), Size: le.Uint64(body[12:])}
			switch body[37] {
			case signatureMBR:
				copy(p.Signature[:4], body[20:])
			case signatureGPT:
				copy(p.Signature[:], body[20:])
				p.GPT = true
			}
			o.Partition = p
		case nodeFile: // a path may be cut into several nodes
			name := Text(body)
			if o.File != "" && !strings.HasSuffix(o.File, `\`) && !strings.HasPrefix(name, `\`) {
				o.File += `\`
			}
			o.File += name
		case nodeEnd, nodeEndInstance:
			return nil
		}
		b = b[n:]
	}
	return nil
}

// Bytes returns the value of a variable Boot####.
func (o LoadOption) Bytes() []byte {
	le := binary.LittleEndian
	var path []byte
	if p := o.Partition; p != (Partition{}) {
		kind := byte(signatureMBR)
		if p.GPT {
			kind = signatureGPT
		}
		path = append(path, 4, 1, 42, 0)
		path = le.AppendUint32(path, p.Number)
		path = le.AppendUint64(path, p.Start)
		path = le.AppendUint64(path, p.Size)
		path = append(path, p.Signature[:]...)
		path = append(path, kind, kind)
	}
	if o.File != "" {
		name := AppendText(nil, o.File)
		path = le.AppendUint16(append(path, 4, 4), uint16(len(name)+4))
		path = append(path, name...)
	}
	path = append(path, 0x7f, 0xff, 4, 0)
	b := le.AppendUint32(nil, o.Attributes)
	b = le.AppendUint16(b, uint16(len(path)))
	return slices.Concat(AppendText(b, o.Description), path, o.Data)
}

// Text returns Data as text, in UCS-2 or ASCII; false when it is neither.
func (o LoadOption) Text() (string, bool) {
	if len(o.Data)%2 == 0 {
		// Two bytes of ASCII look like a Chinese character: that is not an option
		// of a kernel.
		text := strings.TrimRight(string(utf16.Decode(Numbers(o.Data))), "\x00")
		if isText(text, 0x2000) {
			return text, true
		}
	}
	text := strings.TrimRight(string(o.Data), "\x00")
	return text, isText(text, unicode.MaxASCII)
}

// isText reports whether s is text of characters up to last.
func isText(s string, last rune) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r > last || !unicode.IsPrint(r) && !unicode.IsSpace(r)
	})
}

// StartedFrom returns the PARTUUID of the partition that the running program was
// started from: as its stub or a boot loader has left it, else that of the boot
// option which the firmware took. It is "" when neither names one.
func StartedFrom(vars Variables) string {
	if b, err := vars.Get("LoaderDevicePartUUID", Loader); err == nil {
		if uuid := strings.ToLower(Text(b)); uuid != "" {
			return uuid
		}
	}
	if o, ok := OptionIn(vars, "BootCurrent"); ok {
		return o.Partition.UUID()
	}
	return ""
}
