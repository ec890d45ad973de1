package kexec

import "encoding/binary"

// jump returns the code at physical address at which enters a kernel by the
// 64-bit boot protocol: flat segments 0x10 and 0x18 from a GDT, interrupts off,
// rsi = boot_params, memory mapped one to one by the page tables at tables (see
// [pageTables]), or as kexec set it up when tables is 0. It notes the moment at the
// address note, which is near at, unless that is 0.
func jump(at, bootParams, entry, tables, note uint64) []byte {
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
	if note != 0 {
		code = append(code,
			0x0f, 0x31, // rdtsc
			0x48, 0xc1, 0xe2, 32, // shl rdx, 32
			0x48, 0x09, 0xd0) // or rax, rdx
		rel([]byte{0x48, 0x89, 0x05}, int(note)-int(at)) // mov [note], rax
	}
	rel([]byte{0x0f, 0x01, 0x15}, gdtAt)     // lgdt [gdt]
	code = append(code, 0x66, 0xb8, 0x18, 0) // mov ax, 0x18
	for _, seg := range []byte{0xd8, 0xc0, 0xd0, 0xe0, 0xe8} {
		code = append(code, 0x8e, seg) // mov ds/es/ss/fs/gs, ax
	}
	rel([]byte{0x48, 0x8d, 0x25}, stackEnd) // lea rsp, [end of the page]
	if tables != 0 {
		code = le.AppendUint64(append(code, 0x48, 0xb9), tables+pageSize) // mov rcx, PML4
		code = le.AppendUint64(append(code, 0x48, 0xba), tables)          // mov rdx, PML5
		code = append(code,
			0x0f, 0x20, 0xe0, // mov rax, cr4
			0x0f, 0xba, 0xe0, 12, // bt eax, CR4.LA57
			0x48, 0x0f, 0x42, 0xca, // cmovc rcx, rdx
			0x0f, 0x22, 0xd9) // mov cr3, rcx
	}
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

// mapped returns what a kernel touches before it has page tables of its own: RAM,
// the firmware's tables, the first MiB.
func (m machine) mapped() ranges {
	const acpiTables, acpiStorage = 3, 4
	r := append(ranges{{0, 1 << 20}}, m.spans(kindRAM, acpiTables, acpiStorage)...)
	if m.efi != nil {
		// map_efi_systab of the kernel does the same.
		r = append(r, span{m.efi.systab, m.efi.systab + pageSize}, span{m.efi.tables, m.efi.tables + 16*pageSize})
	}
	return r
}

// pageTables returns page tables that map spans one to one, for the address at: a
// PML5, behind it its PML4, then the rest. Pages of 2 MiB are used, and of 1 GiB
// where gib has such, but only where all of it is in a span:
// what is beside RAM may not even be read ahead.
func pageTables(at uint64, spans ranges, gib bool) []byte {
	const (
		large, huge      = 2 << 20, 1 << 30
		present          = 1<<0 | 1<<1 | 1<<5 // writable, accessed
		leaf             = present | 1<<6 | 1<<7
		limit            = 1 << 47
		most             = 16 << 20
		pml4        uint = pageSize
	)
	le := binary.LittleEndian
	b := make([]byte, 2*pageSize)
	le.PutUint64(b, at+pageSize|present)
	// below returns the table that entry index of a table points to.
	below := func(table uint, index uint64) uint {
		e := table + uint(index&511)*8
		v := le.Uint64(b[e:])
		if v == 0 {
			v = at + uint64(len(b)) | present
			le.PutUint64(b[e:], v)
			b = append(b, make([]byte, pageSize)...)
		}
		return uint(v&^(pageSize-1) - at)
	}
	for _, s := range spans {
		for a := s.from &^ (large - 1); a < min(s.to, limit); {
			if len(b) > most {
				return nil
			}
			directory := below(pml4, a>>39)
			e := directory + uint(a>>30&511)*8
			v := le.Uint64(b[e:])
			switch {
			case v&(1<<7) != 0:
				a = (a | (huge - 1)) + 1
			case v == 0 && gib && a%huge == 0 && s.to-a >= huge:
				le.PutUint64(b[e:], a|leaf)
				a += huge
			default:
				le.PutUint64(b[below(directory, a>>30)+uint(a>>21&511)*8:], a|leaf)
				a += large
			}
		}
	}
	return b
}
