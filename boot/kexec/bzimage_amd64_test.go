package kexec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestLayout(t *testing.T) {
	const gib = 1 << 30
	big := append(slices.Clone(pc), region{4 * gib, 4 * gib, 1})
	many := slices.Clone(pc)
	for i := range uint64(200) {
		many = append(many, region{(8 + i) * gib, mib, 2})
	}
	low := testKernel(mib)
	low[offXLoadFlags] = 1 // its initrd must be low
	fixed := testKernel(mib)
	fixed[offRelocatable] = 0
	before5 := testKernel(mib)
	before5[offProtocol] = 0x0d
	narrow := testKernel(mib)
	narrow[offXLoadFlags] &^= xlf5Level
	odd := testKernel(mib)
	odd[offAlignment] = 3
	encrypted := func(m *machine) { m.encrypted = true }
	tests := []struct {
		name    string
		mem     []region
		change  func(m *machine)
		kernel  []byte
		initrds []int
		cmdline string
		err     string
		line    string // the command line that the target gets, where it is not cmdline
		size    uint64 // of all initrds, as the target reads it
		top     uint64 // the last initrd's last page ends there
		at      uint64 // of the kernel; 16 MiB
		whole   bool   // kexec is to set aside all that the kernel fills while it unpacks itself
	}{
		{name: "small machine", mem: pc, kernel: testKernel(mib), initrds: []int{5*mib + 7}, cmdline: "quiet", size: 5*mib + 7, top: 512 * mib},
		{name: "each initrd in pages of its own", mem: pc, kernel: testKernel(mib), initrds: []int{100, 4096, 5000}, size: 4096 + 4096 + 5000, top: 512 * mib},
		{name: "initrd above 4 GiB", mem: big, kernel: testKernel(mib), initrds: []int{mib}, size: mib, top: 8 * gib},
		{name: "initrd below the kernel's limit", mem: append(slices.Clone(pc[:3]), region{gib, 2 * gib, 1}), kernel: low, initrds: []int{mib}, size: mib, top: 2 * gib},
		{name: "no initrd", mem: pc, kernel: testKernel(mib), cmdline: strings.Repeat("x", 2047)},
		{name: "memory below the preferred address only", mem: []region{{mib, 14 * mib, 1}}, kernel: testKernel(mib), at: 2 * mib},
		{name: "more regions than boot_params has room for", mem: many, kernel: testKernel(mib), initrds: []int{mib}, size: mib, top: 512 * mib},
		{name: "guest with encrypted memory", mem: pc, change: encrypted, kernel: testKernel(mib), whole: true},
		{name: "EFI", mem: pc, change: func(m *machine) {
			e := efiMachine()
			m.efi = readEFI(e, e[bootParamsFile].Data, 0x1f9ca000)
			m.rsdp = 0x1fb7e014
		}, kernel: testKernel(mib), initrds: []int{mib}, size: mib, top: 512 * mib},
		{name: "a note of the menu", mem: many, change: func(m *machine) { m.note = newNote(moment{1, 2}, moment{3, 4}, "0 1 kernel\n") }, kernel: testKernel(mib)},
		{name: "ACPI root pointer for a kernel before 5.0", mem: pc, change: func(m *machine) { m.rsdp = 0xe0000 }, kernel: before5, cmdline: "quiet", line: "quiet acpi_rsdp=0xe0000"},
		{name: "which is there already", mem: pc, change: func(m *machine) { m.rsdp = 0xe0000 }, kernel: before5, cmdline: "acpi_rsdp=0x1", line: "acpi_rsdp=0x1"},
		{name: "five-level paging", mem: pc, change: func(m *machine) { m.fiveLevel = true }, kernel: testKernel(mib)},
		{name: "five-level paging and a kernel that does not know it", mem: pc, change: func(m *machine) { m.fiveLevel = true }, kernel: narrow, err: "no5lvl"},
		{name: "kernel that must lie in one place", mem: pc, kernel: fixed},
		{name: "which is not free", mem: []region{{mib, 14 * mib, 1}, {32 * mib, 64 * mib, 1}}, kernel: fixed, err: "kernel needs"},
		{name: "initrd too large", mem: pc, kernel: testKernel(mib), initrds: []int{512 * mib}, err: "initrd needs"},
		{name: "kernel too large", mem: []region{{mib, mib, 1}}, kernel: testKernel(mib), err: "kernel needs"},
		{name: "no memory at all", kernel: testKernel(mib), err: "kernel needs"},
		{name: "no memory below 4 GiB for the rest", mem: []region{{16 * mib, 2*mib + 4096, 1}}, kernel: testKernel(mib), err: "below 4 GiB"},
		{name: "command line longer than the kernel's own limit", mem: pc, kernel: testKernel(mib), cmdline: strings.Repeat("x", 2048), err: "2047"},
		{name: "odd alignment", mem: pc, kernel: odd, err: "alignment"},
		{name: "truncated", mem: pc, kernel: testKernel(mib)[:2048], err: "truncated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := machine{params: bootParams(pc...), memory: tt.mem, gibPages: true}
			m.free = m.spans(kindRAM)
			if tt.change != nil {
				tt.change(&m)
			}
			var initrds [][]byte
			for _, n := range tt.initrds {
				initrds = append(initrds, make([]byte, n))
			}
			entry, segs, err := layout(m, tt.kernel[:offMBRSignatures], tt.kernel, initrds, tt.cmdline)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error: got %v, want %q", err, tt.err)
			}
			if err != nil {
				return
			}
			checkSegments(t, segs, tt.mem)
			params, small := segmentWith(t, segs, entry)
			le := binary.LittleEndian
			wide := func(low, high int) uint64 {
				return uint64(le.Uint32(params[low:])) | uint64(le.Uint32(params[high:]))<<32
			}

			line := params[wide(offCmdline, offExtCmdline)-small:]
			if got, want := string(line[:bytes.IndexByte(line, 0)]), max(tt.line, tt.cmdline); got != want {
				t.Errorf("command line: got %q, want %q", got, want)
			}
			if string(params[:6]) != "screen" || le.Uint64(params[offAcpiRsdp:]) != m.rsdp {
				t.Error("the screen or the ACPI root pointer is not handed on")
			}
			size, at := wide(offRamdiskSize, offExtRamdiskSize), wide(offRamdisk, offExtRamdisk)
			if size != tt.size || size > 0 && at+pages(size) != tt.top {
				t.Errorf("initrd of %d bytes up to %#x, want %d up to %#x", size, at+pages(size), tt.size, tt.top)
			}
			for i, in := range initrds {
				if segs[i].Phys != at || len(segs[i].Data) != len(in) {
					t.Errorf("initrd %d has %d bytes at %#x, want %d at %#x", i, len(segs[i].Data), segs[i].Phys, len(in), at)
				}
				at += segs[i].Size
			}
			k := segs[len(segs)-1]
			if want := max(tt.at, 16*mib*btou(tt.at == 0)); k.Phys != want || uint64(le.Uint32(params[offCode32Start:])) != want {
				t.Errorf("the kernel lies at %#x, want %#x", k.Phys, want)
			}
			if want := uint64(mib); tt.whole && k.Size != 2*want || !tt.whole && k.Size != want {
				t.Errorf("the kernel's segment has %#x bytes", k.Size)
			}
			checkRoom(t, segs, k.Phys, 2*mib)
			checkNote(t, m.note, params, small, entry)
			if got := targetMap(t, params, params, small); !slices.Equal(got, tt.mem) {
				t.Errorf("memory map of the target: %d regions, want %d", len(got), len(tt.mem))
			}
		})
	}
}

// checkNote checks that the note is in the list of setup_data, and that the code which
// enters the kernel writes the moment to its beginning, and nowhere else.
func checkNote(t *testing.T, note, b []byte, at, entry uint64) {
	t.Helper()
	le := binary.LittleEndian
	store := []byte{0x0f, 0x31, 0x48, 0xc1, 0xe2, 32, 0x48, 0x09, 0xd0, 0x48, 0x89, 0x05}
	code := b[entry-at:]
	if i := bytes.Index(code, store); i >= 0 {
		to := entry + uint64(i+len(store)+4) + uint64(int64(int32(le.Uint32(code[i+len(store):]))))
		if got := b[to-at:][:len(note)]; note == nil || !bytes.Equal(got, note) {
			t.Errorf("the moment is written over %q", got)
		}
	} else if note != nil {
		t.Error("the moment is not written")
	}
	found := 0
	for next := le.Uint64(b[offSetupData:]); next != 0; next = le.Uint64(b[next-at:]) {
		if d := b[next-at:]; le.Uint32(d[8:]) == setupNote {
			if found++; !bytes.Equal(d[setupDataHeader:][:le.Uint32(d[12:])], note) {
				t.Error("the note is not as it was")
			}
		}
	}
	if want := min(len(note), 1); found != want {
		t.Errorf("%d notes", found)
	}
}

func btou(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// targetMap reads the memory map as a target does, and follows the list of
// setup_data to its end.
func targetMap(t *testing.T, params, b []byte, at uint64) (m []region) {
	t.Helper()
	m = e820(params)
	le := binary.LittleEndian
	seen := ""
	for next := le.Uint64(params[offSetupData:]); next != 0; {
		d := b[next-at:]
		kind, data := le.Uint32(d[8:]), d[setupDataHeader:][:le.Uint32(d[12:])]
		seen += fmt.Sprint(kind, " ")
		switch kind {
		case setupE820Ext:
			for ; len(data) >= e820Entry; data = data[e820Entry:] {
				m = append(m, region{le.Uint64(data), le.Uint64(data[8:]), le.Uint32(data[16:])})
			}
		case setupEFI:
			if le.Uint64(data) != 0x1fbeef98 || le.Uint64(data[16:]) != 0x1fb8ef18 || le.Uint64(data[24:]) != 0x1f9ca000 {
				t.Errorf("addresses of EFI's tables: %x", data)
			}
			info := params[offEFIInfo:]
			if string(info[:4]) != "EL64" || le.Uint32(info[4:]) != 0x1fbee018 || le.Uint32(info[8:]) != efiMemDesc || le.Uint32(info[20:]) != 3*efiMemDesc {
				t.Errorf("efi_info: %x", info[:efiInfo])
			}
			second := b[uint64(le.Uint32(info[16:]))-at+efiMemDesc:]
			if le.Uint32(second) != 6 || le.Uint64(second[8:]) != 0x1f9ed000 || le.Uint64(second[16:]) != 0xfffffffefec00000 || le.Uint64(second[24:]) != 0x80 || le.Uint64(second[32:]) != 0x800000000000000f {
				t.Errorf("second region of the runtime map: %x", second[:efiMemDesc])
			}
		case setupRNGSeed:
			if len(data) != rngSeed || len(bytes.Trim(data, "\x00")) == 0 {
				t.Errorf("random numbers: %x", data)
			}
		}
		next = le.Uint64(d)
	}
	if !strings.HasPrefix(seen, "9 ") {
		t.Errorf("setup_data %s", seen)
	}
	return m
}

// checkSegments asserts what kexec_load(2) itself asks for, and that all is in RAM.
func checkSegments(t *testing.T, segs []Segment, mem []region) {
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

// checkRoom asserts that nothing but the last segment, the kernel, is where it
// unpacks itself.
func checkRoom(t *testing.T, segs []Segment, at, room uint64) {
	t.Helper()
	for i, s := range segs[:len(segs)-1] {
		if s.Phys < at+room && at < s.Phys+s.Size {
			t.Errorf("segment %d at %#x lies where the kernel unpacks itself", i, s.Phys)
		}
	}
}

// segmentWith returns the segment that holds the address, which begins with boot_params.
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

// TestPageTables walks the tables as a processor does.
func TestPageTables(t *testing.T) {
	const at, gib = 0x12345000, 1 << 30
	spans := ranges{{0, mib}, {mib, 511 * mib}, {gib, 4 * gib}, {4*gib + 5, 6*gib - 5}, {600 * gib, 602 * gib}}
	for _, gibPages := range []bool{false, true} {
		b := pageTables(at, spans, gibPages)
		le := binary.LittleEndian
		walk := func(a uint64) (uint64, bool) {
			table := uint64(at)
			for level := 4; level >= 0; level-- {
				e := le.Uint64(b[table-at+(a>>(12+9*level)&511)*8:])
				switch {
				case e&1 == 0:
					return 0, false
				case level < 3 && e&(1<<7) != 0:
					page := uint64(1) << (12 + 9*level)
					return e&^0xfff + a&(page-1), true
				}
				table = e &^ 0xfff
			}
			return 0, false
		}
		for _, a := range []uint64{0, 0xb8000, mib, 511*mib - 1, gib, 3*gib + 7, 4*gib - 1, 4*gib + 5, 6*gib - 6, 600 * gib, 602*gib - 1} {
			if got, ok := walk(a); !ok || got != a {
				t.Errorf("pages of 1 GiB %v: %#x is mapped to %#x, %v", gibPages, a, got, ok)
			}
		}
		for _, a := range []uint64{512 * mib, gib - 1, 6 * gib, 599 * gib, 602 * gib} {
			if got, ok := walk(a); ok {
				t.Errorf("pages of 1 GiB %v: %#x is mapped to %#x, and it is no RAM", gibPages, a, got)
			}
		}
		if got, most := len(b), map[bool]int{false: 13, true: 7}[gibPages]*pageSize; got > most {
			t.Errorf("pages of 1 GiB %v: tables of %d bytes", gibPages, got)
		}
	}
}

// On a machine of very much memory the tables are the kernel's business again.
func TestPageTablesLimit(t *testing.T) {
	const tib = 1 << 40
	for _, tt := range []struct {
		memory uint64
		gib    bool
		want   bool
	}{{tib, false, true}, {64 * tib, false, false}, {64 * tib, true, true}} {
		if b := pageTables(0, ranges{{0, tt.memory}}, tt.gib); (b != nil) != tt.want {
			t.Errorf("%d TiB, pages of 1 GiB %v: %d bytes", tt.memory/tib, tt.gib, len(b))
		}
	}
}

func FuzzLayout(f *testing.F) {
	f.Add(testKernel(4096), 4096, bootParams(pc...))
	f.Fuzz(func(t *testing.T, kernel []byte, initrd int, running []byte) {
		if initrd < 0 || initrd > mib || len(kernel) < offMBRSignatures {
			return
		}
		m, err := readMachine(fstest.MapFS{bootParamsFile: {Data: running}})
		if err != nil {
			return
		}
		entry, segs, err := layout(m, kernel[:offMBRSignatures], kernel, [][]byte{make([]byte, initrd)}, "quiet")
		if err == nil {
			checkPlaces(t, entry, segs, m.free, pageSize)
		}
	})
}
