package kexec

import "encoding/binary"

// testKernel makes a 64-bit bzImage with size bytes of protected-mode kernel:
// right as far as the boot protocol goes, and empty.
func testKernel(size int) []byte {
	const setup = 4 * 512
	b := make([]byte, setup+size)
	le := binary.LittleEndian
	b[0x1f1] = 3
	le.PutUint32(b[0x1f4:], uint32(size/16))
	copy(b[0x1fe:], "\x55\xaa\xeb\x6aHdrS")
	le.PutUint16(b[0x206:], 0x20f)
	le.PutUint16(b[0x20e:], 0x300) // where its release is
	copy(b[0x500:], "6.12.1")
	b[0x234] = 1                  // it may be anywhere
	le.PutUint16(b[0x236:], 0x23) // 64-bit entry, initrd may be above 4 GiB, five-level paging
	le.PutUint32(b[0x22c:], 0x7fffffff)
	le.PutUint32(b[0x230:], 0x200000)
	le.PutUint32(b[0x238:], 2047)
	le.PutUint64(b[0x258:], 0x1000000)
	le.PutUint32(b[0x260:], uint32(size)+1<<20)
	for i := setup; i < len(b); i++ {
		b[i] = 0xcc
	}
	return b
}
