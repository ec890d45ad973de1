// Package ukitest makes unified kernel images for tests.
package ukitest

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/alpboot/alpboot/boot/boottest"
)

// Section is a section of a PE file.
type Section struct {
	Name    string // at most 8 bytes
	Data    []byte
	Virtual int // VirtualSize where it is not the size of Data
}

// Image returns a PE file for 64-bit x86 that holds these sections, each padded
// to 512 bytes, and nothing that could run.
func Image(sections ...Section) []byte {
	const pe, optional, align = 0x80, 0xf0, 512
	le := binary.LittleEndian
	b := make([]byte, (pe+24+optional+40*len(sections)+align-1)/align*align)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], pe)
	copy(b[pe:], "PE\x00\x00")
	le.PutUint16(b[pe+4:], 0x8664)
	le.PutUint16(b[pe+6:], uint16(len(sections)))
	le.PutUint16(b[pe+20:], optional)
	le.PutUint16(b[pe+24:], 0x20b) // PE32+
	for i, s := range sections {
		virtual := s.Virtual
		if virtual == 0 {
			virtual = len(s.Data)
		}
		raw := (len(s.Data) + align - 1) / align * align
		h := b[pe+24+optional+40*i:]
		copy(h[:8], s.Name)
		le.PutUint32(h[8:], uint32(virtual))
		le.PutUint32(h[12:], uint32((i+1)<<24))
		le.PutUint32(h[16:], uint32(raw))
		le.PutUint32(h[20:], uint32(len(b)))
		b = append(b, s.Data...)
		b = append(b, make([]byte, raw-len(s.Data))...)
	}
	return b
}

// FromText returns the image that text describes, a section a line: its name and
// its contents with \n for a line break. Of .linux the contents are the release
// of a kernel.
func FromText(text string) ([]byte, error) {
	var sections []Section
	for line := range strings.Lines(text) {
		name, data, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok || len(name) > 8 {
			return nil, fmt.Errorf("%q is not a section", line)
		}
		s := Section{Name: name, Data: []byte(strings.ReplaceAll(data, `\n`, "\n"))}
		if name == ".linux" {
			s.Data = boottest.BzImage(data)
		}
		sections = append(sections, s)
	}
	return Image(sections...), nil
}
