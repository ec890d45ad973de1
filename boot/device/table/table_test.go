package table_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device/table"
	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// sfdisk partitions an image of size bytes by a script and returns the image, and
// what sfdisk itself then reads from it.
func sfdisk(t *testing.T, size int64, script string) (image []byte, want []table.Partition) {
	t.Helper()
	boottest.NeedTools(t, "sfdisk")
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sfdisk", "-q", name)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v\n%s", err, out)
	}
	out, err := exec.Command("sfdisk", "-J", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	var dump struct {
		Table struct {
			ID         string
			SectorSize int64
			Partitions []struct {
				Node, Type  string
				UUID        string
				Start, Size int64
			}
		} `json:"partitiontable"`
	}
	if err := json.Unmarshal(out, &dump); err != nil {
		t.Fatal(err)
	}
	for _, p := range dump.Table.Partitions {
		number, err := strconv.Atoi(strings.TrimPrefix(p.Node, name))
		if err != nil {
			t.Fatal(err)
		}
		if p.Type == "5" || p.Type == "f" || p.Type == "85" {
			continue
		}
		want = append(want, table.Partition{Number: number, Start: p.Start * dump.Table.SectorSize, Size: p.Size * dump.Table.SectorSize, Type: p.Type, UUID: strings.ToLower(p.UUID)})
		if p.UUID == "" { // those of an MBR are made of its own
			want[len(want)-1].UUID = fmt.Sprintf("%s-%02x", strings.TrimPrefix(dump.Table.ID, "0x"), number)
		}
	}
	slices.SortFunc(want, func(a, b table.Partition) int { return a.Number - b.Number })
	image, err = os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return image, want
}

const (
	gptScript = "label: gpt\nsize=4M, type=uefi\nsize=2M, type=21686148-6449-6E6F-744E-656564454649\nsize=8M, type=swap\n"
	dosScript = "label: dos\nsize=4M, type=83, bootable\nsize=2M, type=c\nsize=20M, type=f\nsize=3M, type=83\nsize=2M, type=82\nsize=5M, type=8e\nsize=4M, type=fd\n"
)

func TestReadAgreesWithSfdisk(t *testing.T) {
	tests := []struct {
		name   string
		size   int64
		script string
		count  int
	}{
		{"gpt", 64 * mib, gptScript, 3},
		{"gpt with gaps in the numbers", 64 * mib, "label: gpt\n2: size=4M\n7: size=4M\n128: size=1M\n", 3},
		{"gpt without a partition", 64 * mib, "label: gpt\n", 0},
		{"gpt of many", 64 * mib, "label: gpt\ntable-length: 256\n200: size=4M\n", 1},
		{"dos with logical partitions", 64 * mib, dosScript, 6},
		{"dos, four primary ones", 64 * mib, "label: dos\n" + strings.Repeat("size=1M\n", 4), 4},
		{"dos, the second alone", 64 * mib, "label: dos\n2: size=4M\n", 1},
		{"dos with the extended partition first", 64 * mib, "label: dos\n1: size=20M, type=5\n2: size=4M\n5: size=1M\n6: size=1M\n", 3},
		{"dos without a partition", 64 * mib, "label: dos\n", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			image, want := sfdisk(t, tt.size, tt.script)
			if len(want) != tt.count {
				t.Fatalf("sfdisk made %d partitions, want %d", len(want), tt.count)
			}
			got, err := table.Read(bytes.NewReader(image), int64(len(image)))
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
			}
			for _, p := range want {
				if uuid, err := table.UUID(bytes.NewReader(image), int64(len(image)), p.Number); err != nil || uuid != p.UUID {
					t.Errorf("partition %d: UUID %q, %v; want %q", p.Number, uuid, err, p.UUID)
				}
			}
			if uuid, err := table.UUID(bytes.NewReader(image), int64(len(image)), 300); err != nil || uuid != "" {
				t.Errorf("a partition that is not there has the UUID %q, %v", uuid, err)
			}
		})
	}
}

func TestDamagedGPT(t *testing.T) {
	image, want := sfdisk(t, 64*mib, gptScript)
	const header, entries = 512, 1024
	backup := len(image) - 512
	backupEntries := backup - 32*512
	tests := []struct {
		name   string
		breaks []int // offsets of bytes
		ok     bool
	}{
		{"header", []int{header + 60}, true},
		{"header's name", []int{header}, true},
		{"entries", []int{entries + 33}, true},
		{"backup", []int{backup + 60, backupEntries + 33}, true},
		{"header and the backup's entries", []int{header + 60, backupEntries + 33}, false},
		{"both headers", []int{header + 60, backup + 60}, false},
		{"both headers are gone", []int{header, backup}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := slices.Clone(image)
			for _, at := range tt.breaks {
				b[at] ^= 0x40
			}
			got, err := table.Read(bytes.NewReader(b), int64(len(b)))
			if tt.ok && (err != nil || !slices.Equal(got, want)) {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
			if !tt.ok && (err == nil || len(got) != 0 || !strings.Contains(err.Error(), "damaged")) {
				t.Errorf("got %+v, %v; want an error", got, err)
			}
		})
	}
}

// TestGPT4096 takes a disk with sectors of 4096 bytes, which sfdisk makes only
// of a block device: here a loop device.
func TestGPT4096(t *testing.T) {
	boottest.NeedTools(t, "sfdisk", "losetup")
	if os.Getuid() != 0 {
		t.Skip("needs root for a loop device")
	}
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 64*mib); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "-f", "--show", "-b", "4096", name).Output()
	if err != nil {
		t.Skipf("no loop device can be had: %v", err)
	}
	loop := strings.TrimSpace(string(out))
	cmd := exec.Command("sfdisk", "-q", "--no-reread", "--no-tell-kernel", loop)
	cmd.Stdin = strings.NewReader(gptScript)
	out, err = cmd.CombinedOutput()
	if err2 := exec.Command("losetup", "-d", loop).Run(); err2 != nil {
		t.Error(err2)
	}
	if err != nil {
		t.Fatalf("sfdisk: %v\n%s", err, out)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := table.Read(f, 64*mib)
	for i := range got {
		got[i].UUID = "" // it is random
	}
	want := []table.Partition{
		{Number: 1, Start: 1 * mib, Size: 4 * mib, Type: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"},
		{Number: 2, Start: 5 * mib, Size: 2 * mib, Type: "21686148-6449-6E6F-744E-656564454649"},
		{Number: 3, Start: 7 * mib, Size: 8 * mib, Type: "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

// entry is an entry of an MBR.
type entry struct {
	flag, kind     byte
	start, sectors uint32
}

// disk makes the sectors of boot records, by their number.
func disk(sectors int, records map[int][]entry) []byte {
	b := make([]byte, sectors*512)
	for at, entries := range records {
		s := b[at*512:][:512]
		s[510], s[511] = 0x55, 0xaa
		for i, e := range entries {
			p := s[446+16*i:][:16]
			p[0], p[4] = e.flag, e.kind
			for j := range 4 {
				p[8+j], p[12+j] = byte(e.start>>(8*j)), byte(e.sectors>>(8*j))
			}
		}
	}
	return b
}

func TestMBR(t *testing.T) {
	tests := []struct {
		name    string
		records map[int][]entry
		want    []table.Partition
		err     string
	}{
		{
			name:    "boot code instead of a table",
			records: map[int][]entry{0: {{0x41, 0x42, 0x43444546, 0x4748}}},
		}, {
			name:    "an image of a disc that is a disk too begins with its partition",
			records: map[int][]entry{0: {{0x80, 0x17, 0, 100}}},
			want:    []table.Partition{{Number: 1, Start: 0, Size: 100 * 512, Type: "17"}},
		}, {
			name:    "one partition of two is outside",
			records: map[int][]entry{0: {{0, 0x83, 90, 20}, {0, 0x83, 10, 20}}},
			want:    []table.Partition{{Number: 2, Start: 10 * 512, Size: 20 * 512, Type: "83"}},
			err:     "partition 1 is beyond the end of the disk",
		}, {
			name:    "the chain comes back to itself",
			records: map[int][]entry{0: {{0, 5, 10, 80}}, 10: {{0, 0x83, 1, 5}, {0, 5, 20, 10}}, 30: {{0, 0x83, 1, 6}, {0, 5, 0, 10}}},
			want:    []table.Partition{{Number: 5, Start: 11 * 512, Size: 5 * 512, Type: "83"}, {Number: 6, Start: 31 * 512, Size: 6 * 512, Type: "83"}},
			err:     "is a loop",
		}, {
			name:    "the chain leaves the disk",
			records: map[int][]entry{0: {{0, 5, 10, 80}}, 10: {{0, 0x83, 1, 5}, {0, 5, 0xfffffff0, 10}}},
			want:    []table.Partition{{Number: 5, Start: 11 * 512, Size: 5 * 512, Type: "83"}},
			err:     "breaks off",
		}, {
			name:    "the chain ends in data",
			records: map[int][]entry{0: {{0, 0xf, 10, 80}}},
			err:     "breaks off at sector 10",
		}, {
			name:    "a GPT is promised and missing",
			records: map[int][]entry{0: {{0, 0xee, 1, 0xffffffff}}},
			err:     "the GPT and its backup are damaged: no header",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := disk(100, tt.records)
			got, err := table.Read(bytes.NewReader(b), int64(len(b)))
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, unix.EIO }

func TestUnreadable(t *testing.T) {
	if got, err := table.Read(broken{}, mib); err == nil || got != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := table.Read(broken{}, 100); err != nil || got != nil {
		t.Errorf("too small for a table: got %+v, %v", got, err)
	}
}

// FuzzRead changes what makes a table: its first sectors, and the last.
func FuzzRead(f *testing.F) {
	const size = 64 << 10 // the tail is at its end
	f.Add(disk(4, map[int][]entry{0: {{0, 0x83, 10, 20}, {0, 5, 2, 30}}, 2: {{0, 0x83, 1, 5}, {0, 5, 1, 5}}, 3: {{0, 0x83, 1, 5}}}), []byte{})
	f.Add(disk(4, map[int][]entry{0: {{0, 5, 1, 30}}, 1: {{0, 0x83, 1, 5}, {0, 5, 0, 5}}}), []byte{})
	// Tables of one entry, so that few bytes make them.
	gpt := disk(1, map[int][]entry{0: {{0, 0xee, 1, 0xffffffff}}})
	f.Add(slices.Concat(gpt, gptHeader(1, 2, gptEntry(10, 20), 512), gptEntry(10, 20)), []byte{})
	f.Add(gpt, slices.Concat(gptEntry(10, 20), gptHeader(size/512-1, size/512-2, gptEntry(10, 20), 512)))
	f.Fuzz(func(t *testing.T, head, tail []byte) {
		b := make([]byte, size)
		copy(b[max(0, size-len(tail)):], tail)
		copy(b, head)
		checkPartitions(t, b)
	})
}

// FuzzGPTEntries changes the entries below an intact header.
func FuzzGPTEntries(f *testing.F) {
	f.Add(gptEntry(10, 20)[:128])
	f.Add(slices.Concat(gptEntry(10, 20)[:128], gptEntry(20, 10)[:128], gptEntry(0, 1<<64-1)[:128]))
	f.Fuzz(func(t *testing.T, entries []byte) {
		entries = entries[:min(len(entries), 16<<10)/128*128]
		protective := disk(1, map[int][]entry{0: {{0, 0xee, 1, 0xffffffff}}})
		b := slices.Concat(protective, gptHeader(1, 2, entries, 128), entries, make([]byte, 32<<10))
		checkPartitions(t, b[:len(b)/512*512])
	})
}

func checkPartitions(t *testing.T, b []byte) {
	size := int64(len(b))
	partitions, _ := table.Read(bytes.NewReader(b), size)
	if len(partitions) > 4096 {
		t.Errorf("%d partitions", len(partitions))
	}
	for i, p := range partitions {
		if p.Start < 0 || p.Size < 0 || p.Start > size || p.Size > size-p.Start {
			t.Errorf("%+v is outside", p)
		}
		if p.Type == "" || p.Number < 1 || i > 0 && p.Number <= partitions[i-1].Number {
			t.Errorf("%+v after %+v", p, partitions[max(0, i-1)])
		}
	}
}

// TestGPTSeeds keeps the seeds of FuzzRead valid.
func TestGPTSeeds(t *testing.T) {
	const size = 64 << 10
	b := make([]byte, size)
	copy(b, slices.Concat(disk(1, map[int][]entry{0: {{0, 0xee, 1, 0xffffffff}}}), gptHeader(1, 2, gptEntry(10, 20), 512), gptEntry(10, 20)))
	got, err := table.Read(bytes.NewReader(b), size)
	if fmt.Sprint(got) != "[{1 5120 5632 01010101-0101-0101-0101-010101010101 }]" || err != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}
