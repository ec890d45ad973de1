package kexec

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot/boottest"
)

// pc is the memory map of a small machine.
var pc = []region{{0, 0x9f000, 1}, {0x9f000, 0x1000, 2}, {mib, 511 * mib, 1}, {512 * mib, mib, 2}}

// bootParams makes the boot_params of a running kernel with the given map.
func bootParams(m ...region) []byte {
	b := make([]byte, pageSize)
	b[offE820Entries] = byte(len(m))
	putE820(b[offE820Table:], m)
	copy(b[offScreenInfo:], "screen")
	return b
}

// machineFiles is a machine that shows no more than its boot_params.
func machineFiles(m ...region) fstest.MapFS {
	return fstest.MapFS{bootParamsFile: {Data: bootParams(m...)}}
}

// efiMachine is one that was started by EFI.
func efiMachine() fstest.MapFS {
	fsys := machineFiles(pc...)
	params := fsys[bootParamsFile].Data
	le := binary.LittleEndian
	copy(params[offEFIInfo:], "EL64")
	le.PutUint32(params[offEFIInfo+4:], 0x1fbee018)
	le.PutUint32(params[offEFIInfo+8:], 48)
	le.PutUint32(params[offEFIInfo+12:], 1)
	le.PutUint32(params[offEFIInfo+20:], 4800)
	for name, content := range map[string]string{
		"systab": "ACPI20=0x1fb7e014\nACPI=0x1fb7e000\nSMBIOS3=0x1f9c8000\nSMBIOS=0x1f9ca000\n", "fw_vendor": "0x1fbeef98\n", "config_table": "0x1fb8ef18\n",
		"runtime-map/0/type": "0x5\n", "runtime-map/0/phys_addr": "0x1f8ed000\n", "runtime-map/0/virt_addr": "0xfffffffefee00000\n", "runtime-map/0/num_pages": "0x100\n", "runtime-map/0/attribute": "0x800000000000000f\n",
		"runtime-map/1/type": "0x6\n", "runtime-map/1/phys_addr": "0x1f9ed000\n", "runtime-map/1/virt_addr": "0xfffffffefec00000\n", "runtime-map/1/num_pages": "0x80\n", "runtime-map/1/attribute": "0x800000000000000f\n",
		"runtime-map/2/type": "0x5\n", "runtime-map/2/phys_addr": "0x1fa00000\n", "runtime-map/2/virt_addr": "0xfffffffefea00000\n", "runtime-map/2/num_pages": "0x1\n", "runtime-map/2/attribute": "0xf\n",
	} {
		fsys["sys/firmware/efi/"+name] = boottest.File(content)
	}
	return fsys
}

func TestReadMachine(t *testing.T) {
	with := func(fsys fstest.MapFS, files map[string]string) fstest.MapFS {
		for name, content := range files {
			fsys[name] = boottest.File(content)
		}
		return fsys
	}
	memmap := map[string]string{}
	for i, r := range []struct{ from, to, kind string }{
		{"0x0", "0x9fbff", "System RAM"}, {"0x100000", "0x1fffffff", "System RAM"}, {"0x20000000", "0x2000ffff", "ACPI Tables"},
		{"0x20010000", "0x2001ffff", "ACPI Non-volatile Storage"}, {"0xfeffc000", "0xfeffffff", "Reserved"}, {"0x100000000", "0x10000ffff", "news"},
	} {
		dir := fmt.Sprintf("sys/firmware/memmap/%d/", i)
		memmap[dir+"start"], memmap[dir+"end"], memmap[dir+"type"] = r.from+"\n", r.to+"\n", r.kind+"\n"
	}
	tests := []struct {
		name  string
		files fstest.MapFS
		check func(m machine) bool
		err   string
	}{
		{name: "boot_params alone", files: machineFiles(pc...), check: func(m machine) bool {
			return slices.Equal(m.memory, pc) && slices.Equal(m.free, ranges{{0, 0x9f000}, {mib, 512 * mib}}) && m.efi == nil && m.rsdp == 0 && !m.encrypted
		}},
		{name: "the firmware's map", files: with(machineFiles(pc...), memmap), check: func(m machine) bool {
			kinds := ""
			for _, r := range m.memory {
				kinds += fmt.Sprint(r.kind)
			}
			return kinds == "113422" && m.memory[1] == region{mib, 511 * mib, 1}
		}},
		{name: "iomem", files: with(machineFiles(pc...), map[string]string{"proc/iomem": "00001000-0009fbff : System RAM\n00100000-1fffffff : System RAM\n  01000000-01ffffff : Kernel code\n  1e000000-1effffff : Crash kernel\n  1f000000-1f000fff : Reserved\n"}), check: func(m machine) bool {
			return slices.Equal(m.free, ranges{{0x1000, 0x9fc00}, {mib, 0x1e000000}, {0x1f001000, 0x20000000}})
		}},
		{name: "iomem without its addresses", files: with(machineFiles(pc...), map[string]string{"proc/iomem": "00000000-00000000 : System RAM\n"}), check: func(m machine) bool {
			return slices.Equal(m.free, ranges{{0, 0x9f000}, {mib, 512 * mib}})
		}},
		{name: "EFI", files: efiMachine(), check: func(m machine) bool {
			return m.rsdp == 0x1fb7e014 && m.efi != nil && m.efi.smbios == 0x1f9ca000 && len(m.efi.memmap) == 128
		}},
		{name: "EFI without its runtime map", files: with(efiMachine(), map[string]string{"sys/firmware/efi/runtime-map/0/type": ""}), check: func(m machine) bool { return m.rsdp == 0x1fb7e014 && m.efi == nil }},
		{name: "processor", files: with(machineFiles(pc...), map[string]string{"proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu pdpe1gb la57 sev\n\nprocessor\t: 1\nflags\t\t: hypervisor\n"}), check: func(m machine) bool { return m.fiveLevel && m.gibPages && !m.encrypted }},
		{name: "guest with encrypted memory", files: with(machineFiles(pc...), map[string]string{"proc/cpuinfo": "flags\t\t: fpu sev hypervisor\n"}), check: func(m machine) bool { return m.encrypted && !m.fiveLevel && !m.gibPages }},
		{name: "nothing", files: fstest.MapFS{}, err: "boot parameters"},
		{name: "short boot_params", files: fstest.MapFS{bootParamsFile: {Data: make([]byte, 100)}}, err: "too short"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := readMachine(tt.files)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if err == nil && !tt.check(m) {
				m.params = nil
				t.Errorf("%+v, %+v", m, m.efi)
			}
		})
	}
}
