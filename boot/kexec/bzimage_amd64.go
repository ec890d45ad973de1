package kexec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/alpboot/alpboot/boot/kernel"
)

// This file lays a bzImage out in memory for kexec_load(2), as a 64-bit boot
// loader does by Documentation/arch/x86/boot.rst ("64-bit Boot Protocol") and
// zero-page.rst.

// layoutFormat is the format of kernels that layOut takes.
const layoutFormat = kernel.BzImage

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
	offEFIInfo        = 0x1c0 // to 0x1e0; see efi_amd64.go
	offAltMem         = 0x1e0 // u32
	offE820Entries    = 0x1e8 // u8
	offEDDEntries     = 0x1e9 // u8, then the number of MBR signatures, u8
	offSecureBoot     = 0x1ec // u8
	offSetupHeader    = 0x1f1
	offJump           = 0x200 // its second byte is the length of the header after 0x202
	offProtocol       = 0x206
	offTypeOfLoader   = 0x210
	offCode32Start    = 0x214
	offRamdisk        = 0x218
	offRamdiskSize    = 0x21c
	offCmdline        = 0x228
	offInitrdAddrMax  = 0x22c
	offAlignment      = 0x230
	offRelocatable    = 0x234
	offXLoadFlags     = 0x236
	offCmdlineSize    = 0x238
	offSubarch        = 0x23c // to 0x248, with its data
	offSetupData      = 0x250
	offPrefAddress    = 0x258
	offInitSize       = 0x260
	offMBRSignatures  = 0x290 // to 0x2d0; the setup header ends here at the latest
	offE820Table      = 0x2d0
	offEDD            = 0xd00 // to 0xeec

	maxE820 = 128

	xlfAbove4G = 1 << 1 // XLF_CAN_BE_LOADED_ABOVE_4G
	xlf5Level  = 1 << 5 // XLF_5LEVEL: it can be entered with five-level paging

	entry64 = 0x200 // startup_64, from the beginning of the protected-mode kernel

	kindRAM = 1 // E820_TYPE_RAM
)

// Types of struct setup_data, and the size of its header: next, type, length.
const (
	setupE820Ext = 1
	setupEFI     = 4
	setupRNGSeed = 9

	setupDataHeader = 16
)

// layOut places the bzImage p, mapped as image, and the initrds on this machine.
func layOut(root fs.FS, p *plan, image []byte, initrds [][]byte) (entry uint64, segs []Segment, err error) {
	m, err := readMachine(root)
	if err != nil {
		return 0, nil, err
	}
	m.note = p.note
	header := make([]byte, offMBRSignatures)
	if _, err := p.kernel.reader().ReadAt(header, 0); err != nil {
		return 0, nil, fmt.Errorf("kernel %s: %w", p.kernel.name(), err)
	}
	return layout(m, header, image, initrds, p.cmdline)
}

// layout places a bzImage in the memory of m. Header is its beginning, up to
// offMBRSignatures; of image and initrds only the sizes count.
func layout(m machine, header, image []byte, initrds [][]byte, cmdline string) (entry uint64, segs []Segment, err error) {
	le := binary.LittleEndian
	setup := uint64(kernel.SetupSize(header))
	if setup >= uint64(len(image)) {
		return 0, nil, errors.New("the kernel is truncated")
	}
	if rsdp := m.rsdp; rsdp != 0 && le.Uint16(header[offProtocol:]) < 0x20e && !strings.Contains(" "+cmdline, " acpi_rsdp=") {
		// A kernel before 5.0 does not look into boot_params for it.
		cmdline = strings.TrimSpace(fmt.Sprintf("%s acpi_rsdp=%#x", cmdline, rsdp))
	}
	if n := le.Uint32(header[offCmdlineSize:]); n != 0 && uint64(len(cmdline)) > uint64(n) {
		return 0, nil, fmt.Errorf("the command line has %d characters and this kernel takes %d: shorten it", len(cmdline), n)
	}
	if m.fiveLevel && le.Uint16(header[offXLoadFlags:])&xlf5Level == 0 {
		return 0, nil, errors.New("this kernel cannot be started while five-level paging is on: start the running kernel with no5lvl on its command line")
	}
	protected := image[setup:]
	align := uint64(le.Uint32(header[offAlignment:]))
	if align < pageSize || align&(align-1) != 0 {
		return 0, nil, fmt.Errorf("the kernel asks for an alignment of %#x bytes", align)
	}
	mem := m.free.wholePages(pageSize, 1<<20)

	// The kernel unpacks itself within init_size bytes from where it is loaded.
	room := pages(max(uint64(le.Uint32(header[offInitSize:])), uint64(len(protected))))
	preferred := max(le.Uint64(header[offPrefAddress:]), 1<<20)
	at, ok := mem.lowest(preferred, room, align, 0)
	if !ok && header[offRelocatable] != 0 {
		at, ok = mem.lowest(0, room, align, 0)
	}
	if !ok || header[offRelocatable] == 0 && at != preferred {
		return 0, nil, fmt.Errorf("no free piece of memory has the %d MiB that the kernel needs while it unpacks itself", room/mib+1)
	}
	mem = mem.without(at, room)

	// With page tables of our own nothing that kexec left in that room is needed
	// when the kernel begins to fill it, so that there is no need to have kexec
	// set it aside, which would mean to clear it and then to copy zeros there.
	var tables []byte
	size := room
	if !m.encrypted {
		tables = pageTables(0, m.mapped(), m.gibPages)
	}
	if tables != nil {
		size = pages(uint64(len(protected)))
	}

	// One after the other: between two archives the kernel skips zeros.
	var initrdSize, total uint64
	for _, in := range initrds {
		initrdSize = total + uint64(len(in))
		total += pages(uint64(len(in)))
	}
	var initrdAt uint64
	if initrdSize > 0 {
		top := uint64(le.Uint32(header[offInitrdAddrMax:])) + 1
		if le.Uint16(header[offXLoadFlags:])&xlfAbove4G != 0 {
			top = 1<<64 - 1
		}
		if initrdAt, ok = mem.highest(top, total, pageSize); !ok {
			return 0, nil, fmt.Errorf("no free piece of memory has the %d MiB that the initrd needs", total/mib+1)
		}
		mem = mem.without(initrdAt, total)
		next := initrdAt
		for _, in := range initrds {
			segs = append(segs, Segment{in, next, pages(uint64(len(in)))})
			next += pages(uint64(len(in)))
		}
	}

	// boot_params, the command line, what boot_params points to, the code that
	// enters the kernel and its page tables share one segment below 4 GiB.
	line := pages(uint64(len(cmdline) + 1))
	more := pages(uint64(m.setupDataSize()))
	smallSize := pageSize + line + more + pageSize + uint64(len(tables))
	smallAt, ok := mem.highest(1<<32, smallSize, pageSize)
	if !ok {
		return 0, nil, errors.New("no free memory below 4 GiB for the boot parameters")
	}
	lineAt := smallAt + pageSize
	jumpAt := lineAt + line + more

	small := make([]byte, smallSize)
	params := small[:pageSize]
	m.handOn(params)
	headerEnd := min(0x202+int(header[offJump+1]), offMBRSignatures)
	copy(params[offSetupHeader:headerEnd], header[offSetupHeader:])
	copy(params[offSubarch:offSubarch+12], m.params[offSubarch:])
	params[offTypeOfLoader] = 0xff // a loader without a number of its own
	le.PutUint32(params[offCode32Start:], uint32(at))
	put64 := func(low, high int, v uint64) {
		le.PutUint32(params[low:], uint32(v))
		le.PutUint32(params[high:], uint32(v>>32))
	}
	put64(offRamdisk, offExtRamdisk, initrdAt)
	put64(offRamdiskSize, offExtRamdiskSize, initrdSize)
	put64(offCmdline, offExtCmdline, lineAt)
	copy(small[pageSize:], cmdline)
	noteAt := m.setupData(params, small[pageSize+line:pageSize+line+more], lineAt+line)

	var tablesAt uint64
	if tables != nil {
		tablesAt = jumpAt + pageSize
		copy(small[tablesAt-smallAt:], pageTables(tablesAt, m.mapped(), m.gibPages))
	}
	copy(small[jumpAt-smallAt:], jump(jumpAt, smallAt, at+entry64, tablesAt, noteAt))
	return jumpAt, append(segs, Segment{small, smallAt, smallSize}, Segment{protected, at, size}), nil
}

func pages(n uint64) uint64 { return alignUp(n, pageSize) }

// handOn fills in what boot_params of the target takes from those of the
// running kernel: the screen as it is, the firmware's tables, the memory map.
func (m machine) handOn(params []byte) {
	for _, f := range []struct{ from, to int }{
		{offScreenInfo, 0x40}, {offEDID, offEFIInfo}, {offAltMem, offAltMem + 4},
		{offEDDEntries, offEDDEntries + 2}, {offMBRSignatures, offE820Table}, {offEDD, 0xeec},
	} {
		copy(params[f.from:f.to], m.params[f.from:])
	}
	le := binary.LittleEndian
	le.PutUint64(params[offAcpiRsdp:], m.rsdp)
	n := min(len(m.memory), maxE820)
	params[offE820Entries] = byte(n)
	putE820(params[offE820Table:], m.memory[:n])
}

const e820Entry = 20 // bytes of struct boot_e820_entry

func putE820(b []byte, regions []region) {
	le := binary.LittleEndian
	for i, r := range regions {
		le.PutUint64(b[i*e820Entry:], r.from)
		le.PutUint64(b[i*e820Entry+8:], r.size)
		le.PutUint32(b[i*e820Entry+16:], r.kind)
	}
}

// setupDataSize is how many bytes setupData fills.
func (m machine) setupDataSize() int {
	n := setupDataHeader + rngSeed
	if more := len(m.memory) - maxE820; more > 0 {
		n += setupDataHeader + alignUp(more*e820Entry, 16)
	}
	if m.efi != nil {
		n += setupDataHeader + efiSetupData + len(m.efi.memmap)
	}
	if m.note != nil {
		n += setupDataHeader + alignUp(len(m.note), 16)
	}
	return n
}

const rngSeed = 32 // bytes that the target's random numbers start from

// setupData fills b, which will be at the address at, with what boot_params
// points to, and makes params point there. It returns the address of the note, 0 when
// there is none.
func (m machine) setupData(params, b []byte, at uint64) (noteAt uint64) {
	le := binary.LittleEndian
	add := func(kind uint32, n int) []byte {
		le.PutUint64(b, le.Uint64(params[offSetupData:]))
		le.PutUint32(b[8:], kind)
		le.PutUint32(b[12:], uint32(n))
		le.PutUint64(params[offSetupData:], at)
		data := b[setupDataHeader : setupDataHeader+n]
		used := setupDataHeader + alignUp(n, 16)
		b, at = b[used:], at+uint64(used)
		return data
	}
	le.PutUint64(params[offSetupData:], 0)
	if len(m.memory) > maxE820 {
		putE820(add(setupE820Ext, (len(m.memory)-maxE820)*e820Entry), m.memory[maxE820:])
	}
	if m.efi != nil {
		m.efi.setupData(add(setupEFI, efiSetupData))
		m.efi.info(params[offEFIInfo:], at)
		params[offSecureBoot] = m.params[offSecureBoot]
		n := copy(b, m.efi.memmap)
		b, at = b[n:], at+uint64(n)
	}
	if m.note != nil {
		noteAt = at + setupDataHeader
		copy(add(setupNote, len(m.note)), m.note)
	}
	if seed := random(rngSeed); seed != nil {
		copy(add(setupRNGSeed, rngSeed), seed)
	}
	return noteAt
}
