package zfs

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
)

// checksum is the 256 bits of a checksum, as the words that a block pointer has.
type checksum [4]uint64

// The checksums of zio_checksum.h, as a block pointer names them.
const (
	checksumOff       = 2
	checksumLabel     = 3
	checksumGang      = 4
	checksumFletcher2 = 6
	checksumFletcher4 = 7
	checksumSHA256    = 8
	checksumNoParity  = 10
	checksumSHA512    = 11
	checksumSkein     = 12
	checksumEdonR     = 13
	checksumBlake3    = 14
)

// sum returns the checksum of b, which was written in that byte order. salt is the pool's.
func sum(kind uint8, b, salt []byte, order binary.ByteOrder) (checksum, error) {
	switch kind {
	case checksumFletcher2:
		return fletcher2(b, order), nil
	case checksumFletcher4:
		return fletcher4(b, order), nil
	case checksumSHA256, checksumLabel, checksumGang:
		return words(sha256.Sum256(b), binary.BigEndian), nil
	case checksumSHA512: // its bytes are stored as they are
		return words(sha512.Sum512_256(b), order), nil
	case checksumSkein:
		return words(skein(salt, b), order), nil
	case checksumEdonR:
		return checksum{}, fmt.Errorf("alpboot does not know the checksum edonr")
	case checksumBlake3:
		return checksum{}, fmt.Errorf("alpboot does not know the checksum blake3")
	}
	return checksum{}, fmt.Errorf("alpboot does not know the checksum number %d", kind)
}

// isDigest reports whether a checksum is one that deduplication may rely on.
func isDigest(kind uint8) bool { return kind == checksumSHA256 || kind >= checksumSHA512 }

func words(digest [32]byte, order binary.ByteOrder) (c checksum) {
	for i := range c {
		c[i] = order.Uint64(digest[8*i:])
	}
	return c
}

// folded returns a checksum of half the length.
func (c checksum) folded() checksum { return checksum{c[0] ^ c[2], c[1] ^ c[3]} }

func fletcher2(b []byte, order binary.ByteOrder) (c checksum) {
	for ; len(b) >= 16; b = b[16:] {
		c[0] += order.Uint64(b)
		c[1] += order.Uint64(b[8:])
		c[2] += c[0]
		c[3] += c[1]
	}
	return c
}

func fletcher4(data []byte, order binary.ByteOrder) checksum {
	var a, b, c, d uint64
	if order == binary.LittleEndian { // calls through the interface would take most of the time
		for ; len(data) >= 4; data = data[4:] {
			a += uint64(binary.LittleEndian.Uint32(data))
			b += a
			c += b
			d += c
		}
	}
	for ; len(data) >= 4; data = data[4:] {
		a += uint64(order.Uint32(data))
		b += a
		c += b
		d += c
	}
	return checksum{a, b, c, d}
}

// trailerSize is how long the checksum at the end of a block is that no pointer
// points to: a magic number, which has the byte order, and the checksum.
const trailerSize = 40

// verifyTrailer verifies a block that has its checksum at its end. Its checksum is
// computed with where the block belongs in the place of the checksum. That of a gang
// header of an encrypted block is folded.
func verifyTrailer(b []byte, place checksum, folded bool) (binary.ByteOrder, bool) {
	const magic = 0x210da7ab10c7a11
	if len(b) < trailerSize {
		return nil, false
	}
	trailer := b[len(b)-trailerSize:]
	var order binary.ByteOrder = binary.LittleEndian
	if order.Uint64(trailer) != magic {
		if order = binary.BigEndian; order.Uint64(trailer) != magic {
			return nil, false
		}
	}
	var stored checksum
	h := sha256.New()
	h.Write(b[:len(b)-trailerSize+8])
	for i := range stored {
		stored[i] = order.Uint64(trailer[8+8*i:])
		var word [8]byte
		order.PutUint64(word[:], place[i])
		h.Write(word[:])
	}
	got := words([32]byte(h.Sum(nil)), binary.BigEndian)
	if folded {
		got = got.folded()
	}
	return order, got == stored
}
