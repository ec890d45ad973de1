package zfs

import (
	"encoding/binary"
	"math/bits"
)

// skein returns Skein-512-256 of data with a key, by "The Skein Hash Function Family",
// version 1.3.
func skein(key, data []byte) (digest [32]byte) {
	const (
		typeKey     = 0
		typeConfig  = 4
		typeMessage = 48
		typeOutput  = 63
	)
	var config [32]byte
	copy(config[:], "SHA3\x01\x00")
	binary.LittleEndian.PutUint64(config[8:], uint64(8*len(digest)))
	var s skeinState
	s.add(typeKey, key)
	s.add(typeConfig, config[:])
	s.add(typeMessage, data)
	s.add(typeOutput, make([]byte, 8)) // the number of the block of output
	for i := range len(digest) / 8 {
		binary.LittleEndian.PutUint64(digest[8*i:], s[i])
	}
	return digest
}

// skeinState is what is chained from one block to the next.
type skeinState [8]uint64

// add chains b in, as one message of that type.
func (s *skeinState) add(kind uint64, b []byte) {
	const size, first, final = 64, 1 << 62, 1 << 63
	flags := kind<<56 | first
	for done := uint64(0); ; flags &^= first {
		var block [size]byte
		n := copy(block[:], b)
		done += uint64(n)
		if b = b[n:]; len(b) == 0 {
			flags |= final
		}
		var words [8]uint64
		for i := range words {
			words[i] = binary.LittleEndian.Uint64(block[8*i:])
		}
		out := s.threefish(words, done, flags)
		for i := range s {
			s[i] = out[i] ^ words[i]
		}
		if len(b) == 0 {
			return
		}
	}
}

// threefish encrypts a block by Threefish-512 with the state as the key.
func (s *skeinState) threefish(x [8]uint64, t0, t1 uint64) [8]uint64 {
	rotate := [8][4]int{
		{46, 36, 19, 37}, {33, 27, 14, 42}, {17, 49, 36, 39}, {44, 9, 54, 56},
		{39, 30, 34, 24}, {13, 50, 10, 17}, {25, 29, 39, 43}, {8, 35, 56, 22},
	}
	key, tweak := [9]uint64{8: 0x1bd11bdaa9fc1a22}, [3]uint64{t0, t1, t0 ^ t1}
	for i, k := range s {
		key[i] = k
		key[8] ^= k
	}
	for round := 0; ; round++ {
		if round%4 == 0 {
			n := round / 4
			for i := range x {
				x[i] += key[(n+i)%9]
			}
			x[5] += tweak[n%3]
			x[6] += tweak[(n+1)%3]
			x[7] += uint64(n)
			if round == 72 {
				return x
			}
		}
		for i := 0; i < 8; i += 2 {
			x[i] += x[i+1]
			x[i+1] = bits.RotateLeft64(x[i+1], rotate[round%8][i/2]) ^ x[i]
		}
		x = [8]uint64{x[2], x[1], x[4], x[7], x[6], x[5], x[0], x[3]}
	}
}
