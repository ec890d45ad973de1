package kexec

import (
	"encoding/binary"
	"io/fs"
	"strconv"
	"strings"
)

// efi is what a target needs to go on using EFI's runtime services, which can
// learn only once, from the first kernel, where they lie: that kernel hands its
// mappings on (arch/x86/kernel/kexec-bzimage64.c, setup_efi_state).
type efi struct {
	running                []byte // struct efi_info of the running kernel
	vendor, tables, smbios uint64 // physical addresses
	systab                 uint64
	memmap                 []byte // the runtime regions, as efi_memory_desc_t
}

const (
	efiInfo      = 0x20   // bytes of struct efi_info
	efiSetupData = 12 * 8 // bytes of struct efi_setup_data
	efiMemDesc   = 40     // bytes of efi_memory_desc_t
)

// readEFI returns nil where the target cannot use EFI's runtime services: there is
// no EFI, or one of 32 bits, or the running kernel does not show its mappings
// (CONFIG_EFI_RUNTIME_MAP) or has none (efi=noruntime).
func readEFI(root fs.FS, params []byte, smbios uint64) *efi {
	const dir = "sys/firmware/efi/"
	le := binary.LittleEndian
	e := &efi{running: params[offEFIInfo : offEFIInfo+efiInfo], smbios: smbios}
	if string(e.running[:4]) != "EL64" || le.Uint32(e.running[0x14:]) == 0 {
		return nil
	}
	e.systab = uint64(le.Uint32(e.running[4:])) | uint64(le.Uint32(e.running[0x18:]))<<32
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(text(root, dir+name), 0, 64)
		return n
	}
	e.vendor, e.tables = number("fw_vendor"), number("config_table")
	for i := 0; ; i++ {
		file := "runtime-map/" + strconv.Itoa(i) + "/"
		if text(root, dir+file+"type") == "" {
			break
		}
		d := make([]byte, efiMemDesc)
		le.PutUint32(d, uint32(number(file+"type")))
		for j, name := range []string{"phys_addr", "virt_addr", "num_pages", "attribute"} {
			le.PutUint64(d[8+8*j:], number(file+name))
		}
		e.memmap = append(e.memmap, d...)
	}
	if e.vendor == 0 || e.tables == 0 || e.systab == 0 || len(e.memmap) == 0 {
		return nil
	}
	e.memmap = append(e.memmap, make([]byte, -len(e.memmap)&15)...)
	return e
}

// setupData fills struct efi_setup_data (arch/x86/include/asm/efi.h).
func (e *efi) setupData(b []byte) {
	le := binary.LittleEndian
	le.PutUint64(b, e.vendor)
	le.PutUint64(b[16:], e.tables)
	le.PutUint64(b[24:], e.smbios)
}

// info fills struct efi_info for a memory map that is at the address at.
func (e *efi) info(b []byte, at uint64) {
	le := binary.LittleEndian
	copy(b[:efiInfo], e.running)
	le.PutUint32(b[8:], efiMemDesc)
	le.PutUint32(b[0x10:], uint32(at))
	le.PutUint32(b[0x14:], uint32(len(e.memmap)/efiMemDesc*efiMemDesc))
	le.PutUint32(b[0x1c:], uint32(at>>32))
}

// systabAddress finds an address in /sys/firmware/efi/systab by the first of
// names that is there; 0 when none is.
func systabAddress(systab string, names ...string) uint64 {
	for _, name := range names {
		for line := range strings.Lines(systab) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
				if n, err := strconv.ParseUint(v, 0, 64); err == nil {
					return n
				}
			}
		}
	}
	return 0
}
