package kexec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot/kernel"
)

// This file lays a bzImage out in memory for kexec_load(2), as a 64-bit boot
// loader does by Documentation/arch/x86/boot.rst ("64-bit Boot Protocol") and
// zero-page.rst.

const pageSize = 4096

// Offsets in struct boot_params (arch/x86/include/uapi/asm/bootparam.h). Those
// from 0x1f1 on are also those of the setup header in the image.
const (
	offScreenInfo     = 0x000 // to 0x040
	offAcpiRsdp       = 0x070 // u64
	offExtRamdisk     = 0x0c0 // upper 32 bits of the initrd's address
	offExtRamdiskSize = 0x0c4
	offExtCmdline     = 0x0c8
	offEDID           = 0x140 // to 0x1c0
	offE820Entries    = 0x1e8 // u8
	offSetupHeader    = 0x1f1
	offJump           = 0x200 // its second byte gives the end of the header, from 0x202
	offTypeOfLoader   = 0x210
	offCode32Start    = 0x214
	offRamdisk        = 0x218
	offRamdiskSize    = 0x21c
	offCmdline        = 0x228
	offInitrdAddrMax  = 0x22c
	offAlignment      = 0x230
	offXLoadFlags     = 0x236
	offCmdlineSize    = 0x238
	offSetupData      = 0x250
	offPrefAddress    = 0x258
	offInitSize       = 0x260
	offE820Table      = 0x2d0
	setupHeaderMax    = 0x290 // the table of MBR signatures follows

	maxE820 = 128

	xlfAbove4G = 1 << 1 // XLF_CAN_BE_LOADED_ABOVE_4G

	entry64 = 0x200 // startup_64, from the beginning of the protected-mode kernel
)

// bootParamsFile is struct boot_params as the running kernel got it.
const bootParamsFile = "/sys/kernel/boot_params/data"

func segments(kernelFile *os.File, info kernel.Info, initrd *os.File, cmdline string) (entry uint64, segs []Segment, done func(), err error) {
	if info.Format != kernel.BzImage {
		return 0, nil, nil, fmt.Errorf("kexec_load is written for bzImage kernels, and %s is of format %s", kernelFile.Name(), info.Format)
	}
	running, err := os.ReadFile(bootParamsFile)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("finding the memory map: %w", err)
	}
	var unmaps []func()
	done = func() {
		for _, f := range unmaps {
			f()
		}
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	image, unmap, err := mapFile(kernelFile)
	if err != nil {
		return 0, nil, nil, err
	}
	unmaps = append(unmaps, unmap)
	var ramdisk []byte
	if initrd != nil {
		if ramdisk, unmap, err = mapFile(initrd); err != nil {
			return 0, nil, nil, err
		}
		unmaps = append(unmaps, unmap)
	}
	systab, _ := os.ReadFile("/sys/firmware/efi/systab") // absent without EFI
	entry, segs, err = layout(image, ramdisk, cmdline, running, rsdp(string(systab)))
	return entry, segs, done, err
}

// rsdp finds the address of the ACPI root pointer in /sys/firmware/efi/systab:
// under EFI the target cannot find it by itself. 0 when there is none.
func rsdp(systab string) uint64 {
	for _, key := range []string{"ACPI20=", "ACPI="} {
		for line := range strings.Lines(systab) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), key); ok {
				if n, err := strconv.ParseUint(v, 0, 64); err == nil {
					return n
				}
			}
		}
	}
	return 0
}

// layout places the bzImage image, the initrd and what they need in the memory
// that running, the boot_params of the running kernel, describes.
func layout(image, initrd []byte, cmdline string, running []byte, rsdp uint64) (entry uint64, segs []Segment, err error) {
	le := binary.LittleEndian
	if len(running) < offE820Table {
		return 0, nil, errors.New("the boot parameters of the running kernel are too short")
	}
	if len(image) < setupHeaderMax {
		return 0, nil, errors.New("the kernel is truncated")
	}
	setup := kernel.SetupSize(image)
	if setup >= int64(len(image)) {
		return 0, nil, errors.New("the kernel is truncated")
	}
	if n := le.Uint32(image[offCmdlineSize:]); n != 0 && uint64(len(cmdline)) > uint64(n) {
		return 0, nil, fmt.Errorf("the command line has %d characters and this kernel takes %d: shorten it", len(cmdline), n)
	}
	protected := image[setup:]
	align := uint64(le.Uint32(image[offAlignment:]))
	if align < pageSize || align&(align-1) != 0 {
		return 0, nil, fmt.Errorf("the kernel asks for an alignment of %#x bytes", align)
	}
	mem := usable(running)

	// The kernel unpacks itself within init_size bytes from where it is loaded.
	kernelSize := pages(max(uint64(le.Uint32(image[offInitSize:])), uint64(len(protected))))
	kernelAt, ok := mem.lowest(max(le.Uint64(image[offPrefAddress:]), 1<<20), kernelSize, align)
	if !ok {
		return 0, nil, fmt.Errorf("no free piece of memory has the %d MiB that the kernel needs", kernelSize>>20+1)
	}
	mem = mem.without(kernelAt, kernelSize)

	top := uint64(le.Uint32(image[offInitrdAddrMax:]))
	if le.Uint16(image[offXLoadFlags:])&xlfAbove4G != 0 {
		top = 1<<64 - 1
	}
	var initrdAt uint64
	if len(initrd) > 0 {
		size := pages(uint64(len(initrd)))
		if initrdAt, ok = mem.highest(top, size); !ok {
			return 0, nil, fmt.Errorf("no free piece of memory has the %d MiB that the initrd needs", size>>20+1)
		}
		mem = mem.without(initrdAt, size)
		segs = append(segs, Segment{initrd, initrdAt, size})
	}

	// boot_params, the command line and the code that enters the kernel share
	// one segment below 4 GiB: a page, the string in pages of its own, a page.
	lineSize := pages(uint64(len(cmdline) + 1))
	smallSize := pageSize + lineSize + pageSize
	smallAt, ok := mem.highest(1<<32-1, smallSize)
	if !ok {
		return 0, nil, errors.New("no free memory below 4 GiB for the boot parameters")
	}
	cmdlineAt := smallAt + pageSize
	jumpAt := cmdlineAt + lineSize

	small := make([]byte, smallSize)
	params := small[:pageSize]
	copy(params[offScreenInfo:0x40], running)
	copy(params[offEDID:0x1c0], running[offEDID:])
	if rsdp == 0 {
		rsdp = le.Uint64(running[offAcpiRsdp:])
	}
	le.PutUint64(params[offAcpiRsdp:], rsdp)
	headerEnd := min(0x202+int(image[offJump+1]), setupHeaderMax)
	copy(params[offSetupHeader:headerEnd], image[offSetupHeader:])
	params[offTypeOfLoader] = 0xff // a loader without a number of its own
	le.PutUint32(params[offCode32Start:], uint32(kernelAt))
	put64 := func(low, high int, v uint64) {
		le.PutUint32(params[low:], uint32(v))
		le.PutUint32(params[high:], uint32(v>>32))
	}
	put64(offRamdisk, offExtRamdisk, initrdAt)
	put64(offRamdiskSize, offExtRamdiskSize, uint64(len(initrd)))
	put64(offCmdline, offExtCmdline, cmdlineAt)
	le.PutUint64(params[offSetupData:], 0) // lists of the running kernel mean nothing to the next
	params[offE820Entries] = running[offE820Entries]
	copy(params[offE820Table:offE820Table+maxE820*20], running[offE820Table:])

	copy(small[pageSize:], cmdline)
	copy(small[pageSize+lineSize:], jump(jumpAt, smallAt, kernelAt+entry64))

	segs = append(segs,
		Segment{small, smallAt, smallSize},
		Segment{protected, kernelAt, kernelSize})
	return jumpAt, segs, nil
}

func pages(n uint64) uint64 { return (n + pageSize - 1) &^ (pageSize - 1) }

// jump gives the code at physical address at which enters a kernel by the
// 64-bit boot protocol: flat segments 0x10 and 0x18 from a GDT, interrupts off,
// rsi = boot_params, the identity mapping left as kexec set it up.
func jump(at, bootParams, entry uint64) []byte {
	const gdtAt, stackEnd = 0x80, pageSize
	le := binary.LittleEndian
	code := []byte{
		0xfa, // cli
		0xfc, // cld
	}
	rel := func(op []byte, target int) { // an instruction that ends in a rip-relative target
		code = append(code, op...)
		code = le.AppendUint32(code, uint32(int32(target-len(code)-4)))
	}
	rel([]byte{0x0f, 0x01, 0x15}, gdtAt)     // lgdt [gdt]
	code = append(code, 0x66, 0xb8, 0x18, 0) // mov ax, 0x18
	for _, seg := range []byte{0xd8, 0xc0, 0xd0, 0xe0, 0xe8} {
		code = append(code, 0x8e, seg) // mov ds/es/ss/fs/gs, ax
	}
	rel([]byte{0x48, 0x8d, 0x25}, stackEnd)                      // lea rsp, [end of the page]
	code = le.AppendUint64(append(code, 0x48, 0xbe), bootParams) // mov rsi, boot_params
	code = le.AppendUint64(append(code, 0x48, 0xb8), entry)      // mov rax, entry
	code = append(code, 0x31, 0xdb, 0x31, 0xed, 0x31, 0xff)      // xor ebx, ebx; ebp; edi
	code = append(code, 0x6a, 0x10, 0x50, 0x48, 0xcb)            // push 0x10; push rax; lretq

	b := make([]byte, gdtAt+16+4*8)
	copy(b, code)
	const table = gdtAt + 16
	le.PutUint16(b[gdtAt:], 4*8-1)
	le.PutUint64(b[gdtAt+2:], at+table)
	le.PutUint64(b[table+0x10:], 0x00af9a000000ffff) // 64-bit code
	le.PutUint64(b[table+0x18:], 0x00cf92000000ffff) // data
	return b
}

// ranges are pieces of free memory in ascending order, [from, to).
type ranges []struct{ from, to uint64 }

// usable gives the RAM (E820 type 1) above the first MiB, in whole pages.
func usable(bootParams []byte) ranges {
	var r ranges
	for i := range min(int(bootParams[offE820Entries]), maxE820) {
		off := offE820Table + i*20
		if off+20 > len(bootParams) {
			break
		}
		e := bootParams[off:]
		from, size := binary.LittleEndian.Uint64(e), binary.LittleEndian.Uint64(e[8:])
		if binary.LittleEndian.Uint32(e[16:]) != 1 || from+size < from {
			continue
		}
		from, to := max(pages(from), 1<<20), (from+size)&^(pageSize-1)
		if from < to {
			r = append(r, struct{ from, to uint64 }{from, to})
		}
	}
	return r
}

// lowest finds the lowest free place of size bytes at or above from; when
// there is none, the lowest at all.
func (r ranges) lowest(from, size, align uint64) (uint64, bool) {
	for _, floor := range []uint64{from, 0} {
		best, found := uint64(0), false
		for _, x := range r {
			at := (max(x.from, floor) + align - 1) &^ (align - 1)
			if at >= x.from && at < x.to && x.to-at >= size && (!found || at < best) {
				best, found = at, true
			}
		}
		if found {
			return best, true
		}
	}
	return 0, false
}

// highest finds the highest free place of size bytes that ends at or below top.
func (r ranges) highest(top, size uint64) (uint64, bool) {
	best, found := uint64(0), false
	for _, x := range r {
		end := x.to
		if top < end {
			end = (top + 1) &^ (pageSize - 1)
		}
		if end > x.from && end-x.from >= size && (!found || end-size > best) {
			best, found = end-size, true
		}
	}
	return best, found
}

// without takes the piece of size bytes at from out.
func (r ranges) without(from, size uint64) ranges {
	var out ranges
	for _, x := range r {
		if from >= x.to || from+size <= x.from {
			out = append(out, x)
			continue
		}
		if x.from < from {
			out = append(out, struct{ from, to uint64 }{x.from, from})
		}
		if from+size < x.to {
			out = append(out, struct{ from, to uint64 }{from + size, x.to})
		}
	}
	return out
}
