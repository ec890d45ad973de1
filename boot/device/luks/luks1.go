package luks

import (
	"bytes"
	"encoding/binary"

	"github.com/alpboot/alpboot/boot"
)

// LUKS1 On-Disk Format 1.2.3, figures 1 and 2.
const (
	luks1Size    = 592 // of the header
	luks1Slots   = 8
	slotEnabled  = 0x00AC71F3
	slotDisabled = 0x0000DEAD
)

// read1 takes in a LUKS1 header.
func (h *Header) read1(b []byte) error {
	be := binary.BigEndian
	name, mode, hash := cString(b[8:40]), cString(b[40:72]), cString(b[72:104])
	payload, keySize := uint64(be.Uint32(b[104:]))*sectorSize, be.Uint32(b[108:])
	h.Version = 1
	h.UUID = boot.Clean(cString(b[168:208]))
	h.Cipher = name + "-" + mode
	if err := checkCipher(h.Cipher); err != nil {
		return err
	}
	if keySize == 0 || keySize > maxKey {
		return damaged("a key of %d bytes", keySize)
	}
	d := digest{
		hash:       hash,
		salt:       bytes.Clone(b[132:164]),
		iterations: uint64(be.Uint32(b[164:])),
		value:      bytes.Clone(b[112:132]),
	}
	for i := range luks1Slots {
		e := b[208+48*i:][:48]
		stripes := be.Uint32(e[44:])
		switch state := be.Uint32(e); {
		case state == slotDisabled:
			continue
		case state != slotEnabled:
			h.note("Key slot %d is not tried: it is neither in use nor free.", i)
			continue
		case stripes == 0 || stripes > maxStripes:
			h.keep(slot{id: i}, damaged("a key in %d stripes", stripes))
			continue
		}
		h.keep(slot{
			id:       i,
			priority: 1,
			keySize:  int(keySize),
			kdf: kdf{
				kind:       "pbkdf2",
				hash:       hash,
				salt:       bytes.Clone(e[8:40]),
				iterations: uint64(be.Uint32(e[4:])),
			},
			area:    area{offset: int64(be.Uint32(e[40:])) * sectorSize, cipher: h.Cipher, keySize: int(keySize)},
			stripes: int(stripes),
			afHash:  hash,
			digest:  d,
		}, nil)
	}
	if payload == 0 {
		return unsupported("this is a detached header; the data are elsewhere")
	}
	if err := h.setData(segment{offset: payload, sectorSize: sectorSize}, true); err != nil {
		return err
	}
	return h.checkSlots()
}

// setData checks and takes over where the data are; rest means that they go on
// to the end of the device.
func (h *Header) setData(s segment, rest bool) error {
	size := uint64(h.size)
	if s.offset >= size {
		return damaged("the data would begin %s into a device of %s: it was cut short, or this is a detached header", amount(s.offset), amount(size))
	}
	if rest {
		s.length = (size - s.offset) / s.sectorSize * s.sectorSize
	}
	if s.length == 0 || s.length > size-s.offset {
		return damaged("%s of data do not fit on the device", amount(s.length))
	}
	if s.offset%sectorSize != 0 || s.length%s.sectorSize != 0 {
		return damaged("the data do not begin or end with a sector")
	}
	h.data = s
	return nil
}

// cString returns a field up to its first NUL.
func cString(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}
