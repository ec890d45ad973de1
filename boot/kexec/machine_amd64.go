package kexec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// machine is what a target must know of the machine, and where it may lie.
type machine struct {
	params []byte   // boot_params of the running kernel, whole
	memory []region // the firmware's memory map
	free   ranges   // what may be overwritten
	rsdp   uint64   // address of the ACPI root pointer; 0 when the target finds it by itself
	efi    *efi     // nil: the target shall do without EFI's runtime services
	note   []byte   // of ours for the target; nil for none

	fiveLevel bool // the processor runs with five-level paging
	gibPages  bool // it knows pages of 1 GiB
	encrypted bool // we are a guest with encrypted memory: page tables are the kernel's business
}

// region is an entry of the firmware's memory map.
type region struct {
	from, size uint64
	kind       uint32 // E820_TYPE_*
}

// bootParamsFile is struct boot_params of x86 as the running kernel got it.
const bootParamsFile = "sys/kernel/boot_params/data"

// readMachine examines the machine through /proc and /sys.
func readMachine(root fs.FS) (machine, error) {
	params, err := fs.ReadFile(root, bootParamsFile)
	if err != nil {
		return machine{}, fmt.Errorf("finding the boot parameters of the running kernel: %w", err)
	}
	if len(params) < pageSize {
		return machine{}, errors.New("the boot parameters of the running kernel are too short")
	}
	m := machine{params: params}
	if m.memory = firmwareMap(root); len(m.memory) == 0 {
		m.memory = e820(params)
	}
	if m.free = systemRAM(root); len(m.free.wholePages(pageSize, 1<<20)) == 0 {
		m.free = m.spans(kindRAM)
	}
	systab := text(root, "sys/firmware/efi/systab") // absent without EFI
	if m.rsdp = systabAddress(systab, "ACPI20", "ACPI"); m.rsdp == 0 {
		m.rsdp = binary.LittleEndian.Uint64(params[offAcpiRsdp:])
	}
	m.efi = readEFI(root, params, systabAddress(systab, "SMBIOS"))
	flags := " " + cpuFlags(root) + " "
	has := func(flag string) bool { return strings.Contains(flags, " "+flag+" ") }
	m.fiveLevel = has("la57")
	m.gibPages = has("pdpe1gb")
	m.encrypted = has("tdx_guest") || has("hypervisor") && (has("sev") || has("sev_es"))
	return m, nil
}

// e820 returns the memory map in boot_params.
func e820(params []byte) []region {
	var m []region
	for i := range min(int(params[offE820Entries]), maxE820) {
		e := params[offE820Table+i*e820Entry:]
		m = append(m, region{binary.LittleEndian.Uint64(e), binary.LittleEndian.Uint64(e[8:]), binary.LittleEndian.Uint32(e[16:])})
	}
	return m
}

// memoryKinds are the types in /sys/firmware/memmap (e820_type_to_string) as
// E820_TYPE_*.
var memoryKinds = [...]struct {
	name string
	kind uint32
}{
	{"System RAM", kindRAM}, {"Reserved", 2}, {"ACPI Tables", 3}, {"ACPI Non-volatile Storage", 4},
	{"Unusable memory", 5}, {"Persistent Memory", 7}, {"Persistent Memory (legacy)", 12}, {"Soft Reserved", 0xefffffff},
}

// firmwareMap returns the memory map in /sys/firmware/memmap, which has no limit
// on the number of entries; nil when the running kernel does not show it.
func firmwareMap(root fs.FS) (m []region) {
	const dir = "sys/firmware/memmap/"
entries:
	for i := 0; ; i++ {
		file := dir + strconv.Itoa(i)
		kind := text(root, file+"/type")
		from, err1 := strconv.ParseUint(text(root, file+"/start"), 0, 64)
		last, err2 := strconv.ParseUint(text(root, file+"/end"), 0, 64)
		if kind == "" || err1 != nil || err2 != nil || last < from {
			return m
		}
		for _, k := range memoryKinds {
			if k.name == kind {
				m = append(m, region{from, last - from + 1, k.kind})
				continue entries
			}
		}
		m = append(m, region{from, last - from + 1, 2})
	}
}

// spans returns the pieces of memory of these kinds.
func (m machine) spans(kinds ...uint32) (r ranges) {
	for _, e := range m.memory {
		for _, k := range kinds {
			if e.kind == k && e.from+e.size > e.from {
				r = append(r, span{e.from, e.from + e.size})
			}
		}
	}
	return r
}

// cpuFlags returns the flags of the first processor.
func cpuFlags(root fs.FS) string {
	for line := range strings.Lines(text(root, "proc/cpuinfo")) {
		if name, flags, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "flags" {
			return strings.TrimSpace(flags)
		}
	}
	return ""
}
