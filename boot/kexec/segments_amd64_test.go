package kexec

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

type e820 struct {
	from, size uint64
	kind       uint32
}

// bootParams makes the boot_params of a running kernel with the given map.
func bootParams(m ...e820) []byte {
	b := make([]byte, pageSize)
	b[offE820Entries] = byte(len(m))
	for i, e := range m {
		p := b[offE820Table+i*20:]
		binary.LittleEndian.PutUint64(p, e.from)
		binary.LittleEndian.PutUint64(p[8:], e.size)
		binary.LittleEndian.PutUint32(p[16:], e.kind)
	}
	copy(b[offScreenInfo:], "screen")
	return b
}

const mib = 1 << 20

var pc = []e820{{0, 0x9f000, 1}, {0x9f000, 0x1000, 2}, {mib, 511 * mib, 1}, {512 * mib, mib, 2}}

func TestLayout(t *testing.T) {
	big := append(pc[:len(pc):len(pc)], e820{4096 * mib, 4096 * mib, 1})
	old := testKernel(mib)
	old[offXLoadFlags] = 1 // its initrd must lie low
	tests := []struct {
		name      string
		mem       []e820
		kernel    []byte
		initrd    int
		cmdline   string
		err       string
		initrdTop uint64 // the initrd ends there
	}{
		{name: "small machine", mem: pc, kernel: testKernel(mib), initrd: 5*mib + 7, cmdline: "quiet", initrdTop: 512 * mib},
		{name: "initrd above 4 GiB", mem: big, kernel: testKernel(mib), initrd: mib, initrdTop: 8192 * mib},
		{name: "initrd below the kernel's limit", mem: append(pc[:3:3], e820{1024 * mib, 2048 * mib, 1}), kernel: old, initrd: mib, initrdTop: 2048 * mib},
		{name: "no initrd", mem: pc, kernel: testKernel(mib), cmdline: strings.Repeat("x", 2047)},
		{name: "memory below the preferred address only", mem: []e820{{mib, 14 * mib, 1}}, kernel: testKernel(mib)},
		{name: "initrd too large", mem: pc, kernel: testKernel(mib), initrd: 512 * mib, err: "initrd needs"},
		{name: "kernel too large", mem: []e820{{mib, mib, 1}}, kernel: testKernel(mib), err: "kernel needs"},
		{name: "no memory at all", kernel: testKernel(mib), err: "kernel needs"},
		{name: "command line longer than the kernel's own limit", mem: pc, kernel: testKernel(mib), cmdline: strings.Repeat("x", 2048), err: "2047"},
		{name: "absurd alignment", mem: pc, kernel: append(testKernel(mib)[:offAlignment:offAlignment], make([]byte, mib)...), err: "alignment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			entry, segs, err := layout(tt.kernel, make([]byte, tt.initrd), tt.cmdline, bootParams(tt.mem...), 0xe0000)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error: got %v, want %q", err, tt.err)
			}
			if err != nil {
				return
			}
			checkSegments(t, segs, tt.mem)
			params, small := segmentWith(t, segs, entry)
			le := binary.LittleEndian

			at := le.Uint32(params[offCmdline:])
			line := params[uint64(at)-small:]
			if got := string(line[:bytes.IndexByte(line, 0)]); got != tt.cmdline {
				t.Errorf("command line: got %q, want %q", got, tt.cmdline)
			}
			if string(params[:6]) != "screen" || le.Uint64(params[offAcpiRsdp:]) != 0xe0000 {
				t.Error("the screen or the ACPI root pointer is not handed on")
			}
			size := uint64(le.Uint32(params[offRamdiskSize:])) | uint64(le.Uint32(params[offExtRamdiskSize:]))<<32
			if size != uint64(tt.initrd) {
				t.Errorf("size of the initrd: got %d, want %d", size, tt.initrd)
			}
			initrd := uint64(le.Uint32(params[offRamdisk:])) | uint64(le.Uint32(params[offExtRamdisk:]))<<32
			if tt.initrd > 0 && initrd+pages(size) != tt.initrdTop {
				t.Errorf("the initrd ends at %#x, want %#x", initrd+pages(size), tt.initrdTop)
			}
			if got := usable(params); len(got) != len(usable(bootParams(tt.mem...))) {
				t.Errorf("memory map of the target: got %v", got)
			}
		})
	}
}

// checkSegments asserts what kexec_load(2) itself asks for, and that all lies in RAM.
func checkSegments(t *testing.T, segs []Segment, mem []e820) {
	t.Helper()
	for i, s := range segs {
		if s.Phys%pageSize != 0 || s.Size%pageSize != 0 || uint64(len(s.Data)) > s.Size {
			t.Errorf("segment %d is not whole pages: %#x + %#x with %#x bytes", i, s.Phys, s.Size, len(s.Data))
		}
		inRAM := false
		for _, m := range mem {
			inRAM = inRAM || m.kind == 1 && s.Phys >= m.from && s.Phys+s.Size <= m.from+m.size
		}
		if !inRAM {
			t.Errorf("segment %d at %#x + %#x does not lie in RAM", i, s.Phys, s.Size)
		}
		for j, o := range segs[:i] {
			if s.Phys < o.Phys+o.Size && o.Phys < s.Phys+s.Size {
				t.Errorf("segments %d and %d overlap", i, j)
			}
		}
	}
}

// segmentWith gives the segment that holds the address, which begins with boot_params.
func segmentWith(t *testing.T, segs []Segment, addr uint64) ([]byte, uint64) {
	t.Helper()
	for _, s := range segs {
		if addr >= s.Phys && addr < s.Phys+s.Size {
			return s.Data, s.Phys
		}
	}
	t.Fatalf("no segment holds the entry point %#x", addr)
	return nil, 0
}

func TestRSDP(t *testing.T) {
	if got := rsdp("ACPI20=0x7fb7e014\nACPI=0x7fb7e000\n"); got != 0x7fb7e014 {
		t.Errorf("got %#x", got)
	}
	if got := rsdp(""); got != 0 {
		t.Errorf("got %#x without EFI", got)
	}
}

func FuzzLayout(f *testing.F) {
	f.Add(testKernel(4096), 4096, bootParams(pc...))
	f.Fuzz(func(t *testing.T, kernel []byte, initrd int, running []byte) {
		if initrd < 0 || initrd > mib {
			return
		}
		layout(kernel, make([]byte, initrd), "quiet", running, 0)
	})
}
