package lvm_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/device/lvm"
	"github.com/alpboot/alpboot/boot/device/mapper"
)

const mib = 1 << 20

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fixture returns the first MiB of a physical volume that LVM has written, in
// testdata: the volume group of kinds.vg, after so many changes that its ring
// of metadata has wrapped.
func fixture(t testing.TB, number int) []byte {
	t.Helper()
	packed, err := os.Open(filepath.Join("testdata", fmt.Sprintf("kinds.pv%d.gz", number)))
	must(t, err)
	defer packed.Close()
	z, err := gzip.NewReader(packed)
	must(t, err)
	b, err := io.ReadAll(z)
	must(t, err)
	return b
}

// describe writes volume group and volumes as lvs does with the options of
// [lvsOptions]; path returns what stands for a physical volume.
func describe(vg *lvm.VG, path func(lvm.VGPV) string) []string {
	var lines []string
	for _, lv := range vg.LVs {
		name := lv.Name
		if !lv.Visible {
			name = "[" + name + "]"
		}
		for _, s := range lv.Segments {
			var areas []string
			for _, a := range s.Areas {
				on := a.Name
				for _, pv := range vg.PVs {
					if pv.Name == a.Name {
						on = path(pv)
					}
				}
				areas = append(areas, fmt.Sprintf("%s(%d)", on, a.Extent))
			}
			lines = append(lines, fmt.Sprintf("%s|%s|%s|%d|%d|%d|%d|%s", name, lv.UUID, s.Type, s.Start, s.Extents, len(areas), s.Chunk, strings.Join(areas, ",")))
		}
	}
	slices.Sort(lines)
	return lines
}

// comparable takes from the lines of lvs those that describe cannot know: of
// kinds that are not read, and of hidden volumes, which alone are in brackets.
func comparable(lines []string) []string {
	var out []string
	for _, line := range lines {
		f := strings.Split(line, "|")
		switch f[2] {
		case "linear", "striped", "raid0", "mirror", "raid1":
			out = append(out, line)
		case "raid0_meta":
			f[2] = "raid0"
			out = append(out, strings.Join(f, "|"))
		}
	}
	slices.Sort(out)
	return out
}

func TestRead(t *testing.T) {
	says, err := os.ReadFile("testdata/kinds.lvs")
	must(t, err)
	want := comparable(strings.Split(strings.TrimSpace(string(says)), "\n"))
	uuids := []string{"wGWMqI-CPFT-xkrD-6srC-SPFo-xlNi-UBBtAR", "QGoFiE-Axhc-wXM8-QMAt-B46I-eBWv-bNvyf8", "7Ymzaz-MC9b-nmbI-oveE-rzAK-XL3u-pHlRHO"}
	for i, uuid := range uuids {
		pv, err := lvm.Read(bytes.NewReader(fixture(t, i)), mib)
		must(t, err)
		if pv.UUID != uuid || pv.Size != 32*mib || pv.VG == nil {
			t.Fatalf("%+v", pv)
		}
		vg := *pv.VG
		if vg.Name != "kinds" || vg.UUID != "73P7jk-TwQk-9Xj7-iD9B-qW9d-GYeB-oRchV1" || vg.Seqno < 7 || vg.ExtentSize != 2048 {
			t.Errorf("%+v", vg)
		}
		got := comparable(describe(&vg, func(pv lvm.VGPV) string { return pv.Name }))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("we read\n%s\nlvs says\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if len(vg.PVs) != 3 || vg.PVs[i].UUID != uuid || vg.PVs[i].Start != 2048 || vg.PVs[i].Extents != 31 || vg.PVs[i].Missing {
			t.Errorf("%+v", vg.PVs)
		}
	}
}

// finder finds the physical volumes of kinds.vg that are not among missing, by
// their names.
func finder(vg *lvm.VG, missing ...string) func(string) (string, bool) {
	return func(uuid string) (string, bool) {
		for _, pv := range vg.PVs {
			if pv.UUID == uuid {
				return pv.Name, !slices.Contains(missing, pv.Name)
			}
		}
		return "", false
	}
}

func dump(table mapper.Table) string {
	var lines []string
	for _, t := range table {
		lines = append(lines, fmt.Sprintf("%d %d %s %s", t.Start, t.Length, t.Type, t.Params))
	}
	return strings.Join(lines, "; ")
}

func TestTable(t *testing.T) {
	pv, err := lvm.Read(bytes.NewReader(fixture(t, 0)), mib)
	must(t, err)
	tests := []struct {
		lv      string
		missing []string
		want    string // table
		err     string
	}{
		{lv: "root", want: "0 8192 linear pv0 2048; 8192 4096 linear pv1 2048"},
		{lv: "root", missing: []string{"pv2"}, want: "0 8192 linear pv0 2048; 8192 4096 linear pv1 2048"},
		{lv: "root", missing: []string{"pv1"}, err: "volume kinds/root needs the physical volume QGoFiE-Axhc-wXM8-QMAt-B46I-eBWv-bNvyf8 (pv1; it was /dev/"},
		{lv: "stripes", want: "0 4096 striped 2 128 pv1 47104 pv2 43008; 4096 2048 linear pv2 45056"},
		{lv: "r1", want: "0 8192 linear pv0 10240"},
		{lv: "r1", missing: []string{"pv0"}, want: "0 8192 linear pv1 10240"},
		{lv: "r1", missing: []string{"pv0", "pv1"}, err: "needs the physical volume"},
		{lv: "mir", want: "0 8192 linear pv0 20480"},
		{lv: "mir", missing: []string{"pv0", "pv2"}, want: "0 8192 linear pv1 20480"},
		{lv: "mirc", missing: []string{"pv1"}, want: "0 4096 linear pv2 2048"},
		{lv: "r0", want: "0 4096 striped 2 128 pv0 30720 pv1 30720; 4096 4096 striped 2 128 pv0 32768 pv1 34816"},
		{lv: "r0m", want: "0 4096 striped 2 128 pv1 51200 pv2 51200"},
		{lv: "r5", err: "is of the type raid5, which alpboot cannot map"},
		{lv: "thin1", err: "is of the type thin,"},
		{lv: "cached", err: "is of the type cache,"},
		{lv: "snap", err: "is a snapshot,"},
		{lv: "pool", err: "is of the type thin-pool,"},
		{lv: "nonesuch", err: "kinds/nonesuch is not in the metadata"},
	}
	for _, tt := range tests {
		t.Run(tt.lv+" without "+strings.Join(tt.missing, " and "), func(t *testing.T) {
			table, err := pv.VG.Table(tt.lv, finder(pv.VG, tt.missing...))
			if got := dump(table); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			var missing *lvm.MissingError
			if errors.As(err, &missing) != strings.Contains(tt.err, "needs") {
				t.Errorf("%v is of the type %T", err, err)
			}
		})
	}
	var visible, pools []string
	for _, lv := range pv.VG.LVs {
		if lv.Visible {
			visible = append(visible, lv.Name)
		}
		if lv.Pool() {
			pools = append(pools, lv.Name)
		}
	}
	if got, want := strings.Join(visible, " "), "root stripes r1 mir mirc r0 r0m r5 pool thin1 snap cached"; got != want {
		t.Errorf("visible are %s, want %s", got, want)
	}
	if got, want := strings.Join(pools, " "), "pool cpool"; got != want {
		t.Errorf("pools are %s, want %s", got, want)
	}
	if got, want := pv.VG.MappingUUID(pv.VG.LVs[0]), "LVM-"+strings.ReplaceAll(pv.VG.UUID+pv.VG.LVs[0].UUID, "-", ""); got != want || len(got) != 68 {
		t.Errorf("its mapping has the UUID %s, want %s", got, want)
	}
}

func crc(b []byte) uint32 { return ^crc32.Update(^uint32(0xf597a6cf), crc32.IEEETable, b) }

// image is a physical volume of 32 KiB with two metadata areas, of 4 KiB from
// 4 KiB on and of 16 KiB from 8 KiB on, as LVM writes them.
func image(texts ...string) []byte {
	le := binary.LittleEndian
	b := make([]byte, 32<<10)
	s := b[512:1024]
	copy(s, "LABELONE")
	le.PutUint64(s[8:], 1)
	le.PutUint32(s[20:], 32)
	copy(s[24:], "LVM2 001")
	copy(s[32:], strings.Repeat("p", 32))
	le.PutUint64(s[64:], 32<<20)
	at := 72
	for _, n := range []uint64{24 << 10, 0, 0, 0, 4 << 10, 4 << 10, 8 << 10, 16 << 10} {
		le.PutUint64(s[at:], n)
		at += 8
	}
	for i, text := range texts {
		metadata(b, []int{4 << 10, 8 << 10}[i], []int{4 << 10, 16 << 10}[i], text, 512)
	}
	seal(b)
	return b
}

// seal makes the checksum of the label.
func seal(b []byte) { binary.LittleEndian.PutUint32(b[512+16:], crc(b[512+20:1024])) }

// metadata writes text into the metadata area at of size bytes, from bytes
// into it.
func metadata(b []byte, at, size int, text string, from int) {
	le := binary.LittleEndian
	h := b[at:][:512]
	copy(h[4:], " LVM2 x[5A%r0N*>")
	le.PutUint32(h[20:], 1)
	le.PutUint64(h[24:], uint64(at))
	le.PutUint64(h[32:], uint64(size))
	if text != "" {
		text += "\x00"
		le.PutUint64(h[40:], uint64(from))
		le.PutUint64(h[48:], uint64(len(text)))
		le.PutUint32(h[56:], crc([]byte(text)))
		n := copy(b[at+from:at+size], text)
		copy(b[at+512:at+size], text[n:])
	}
	le.PutUint32(h, crc(h[4:]))
}

// id makes a UUID of one letter.
func id(c string) string { return strings.Repeat(c, 32) }

// group is the text of a volume group of two physical volumes p and q of 100
// extents of 8 sectors.
func group(seqno int, lvs string) string {
	return fmt.Sprintf(`vg {
id = %q
seqno = %d
status = ["RESIZEABLE", "READ", "WRITE"]
extent_size = 8
physical_volumes {
p {
id = %q
device = "/dev/sda"
pe_start = 64
pe_count = 100
}
q {
id = %q
status = ["ALLOCATABLE"]
pe_start = 64
pe_count = 100
}
}
logical_volumes {
%s
}
}
# Generated by a test
contents = "Text Format Volume Group"
version = 1
`, id("v"), seqno, id("p"), id("q"), lvs)
}

// volume is the text of a logical volume, whose UUID is of its first letter;
// more is a status.
func volume(name, more string, segments ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s {\nid = %q\nstatus = [\"READ\", \"VISIBLE\"%s]\n", name, id(name[:1]), more)
	for i, s := range segments {
		fmt.Fprintf(&b, "segment%d {\n%s\n}\n", i+1, s)
	}
	return b.String() + "}\n"
}

// linear is the text of a segment.
func linear(start, count int, on string, extent int) string {
	return fmt.Sprintf("start_extent = %d\nextent_count = %d\ntype = \"striped\"\nstripe_count = 1\nstripes = [%q, %d]", start, count, on, extent)
}

func TestReadNewest(t *testing.T) {
	tests := []struct {
		name  string
		image []byte
		want  uint64 // seqno; 0 for no volume group
	}{
		{"the second is newer", image(group(3, ""), group(4, "")), 4},
		{"the first is newer", image(group(5, ""), group(4, "")), 5},
		{"the second is damaged", damage(image(group(3, ""), group(4, "")), 8<<10+600), 3},
		{"the first has no header", damage(image(group(5, ""), group(4, "")), 4<<10+10), 4},
		{"only one", image("", group(4, "")), 4},
		{"none", image("", ""), 0},
		{"of no group, as pvcreate leaves it", image(), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pv, err := lvm.Read(bytes.NewReader(tt.image), int64(len(tt.image)))
			if tt.want == 0 {
				if pv.VG != nil {
					t.Errorf("%+v", pv.VG)
				}
				return
			}
			must(t, err)
			if pv.VG == nil || pv.VG.Seqno != tt.want {
				t.Errorf("%+v", pv.VG)
			}
		})
	}
}

func damage(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 0x20
	return b
}

// TestReadRing has metadata that begin near the end of their area.
func TestReadRing(t *testing.T) {
	text := group(9, "")
	for from := 512; from < 4096; from += 512 {
		b := image("", "")
		metadata(b, 4<<10, 4<<10, text, from)
		pv, err := lvm.Read(bytes.NewReader(b), int64(len(b)))
		if err != nil || pv.VG == nil || pv.VG.Seqno != 9 {
			t.Errorf("from %d on: %+v, %v", from, pv.VG, err)
		}
	}
}

func TestReadDamaged(t *testing.T) {
	le := binary.LittleEndian
	change := func(f func(b []byte)) []byte {
		b := image(group(3, ""), "")
		f(b)
		return b
	}
	header := func(f func(h []byte)) []byte {
		return change(func(b []byte) {
			h := b[4<<10:][:512]
			f(h)
			le.PutUint32(h, crc(h[4:]))
		})
	}
	tests := []struct {
		name  string
		image []byte
		want  string
	}{
		{"label", damage(image(), 600), "checksum of the label"},
		{"its UUID", change(func(b []byte) { b[512+32] = 0x1b; seal(b) }), "UUID is not readable"},
		{"header", change(func(b []byte) { b[4<<10+60]++ }), "checksum of a metadata area"},
		{"text", damage(change(func([]byte) {}), 4<<10+600), "checksum of the metadata"},
		{"area outside", change(func(b []byte) { le.PutUint64(b[512+72+48:], 1<<63); le.PutUint64(b[512+72+32:], 1<<63); seal(b) }), "outside its device"},
		{"text outside", header(func(h []byte) { le.PutUint64(h[40:], 5000) }), "outside their area"},
		{"text in the header", header(func(h []byte) { le.PutUint64(h[40:], 100) }), "outside their area"},
		{"text longer than the ring", header(func(h []byte) { le.PutUint64(h[48:], 3585) }), "outside their area"},
		{"text without end", header(func(h []byte) { le.PutUint64(h[48:], 1<<40) }), "more than 2097152"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pv, err := lvm.Read(bytes.NewReader(tt.image), int64(len(tt.image)))
			if !errors.Is(err, lvm.ErrDamaged) || !strings.Contains(err.Error(), tt.want) || pv.VG != nil {
				t.Errorf("%+v, %v; want %q", pv, err, tt.want)
			}
		})
	}
}

func TestReadNone(t *testing.T) {
	for _, size := range []int64{0, 1, 511, 1023, 4096} {
		if pv, err := lvm.Read(bytes.NewReader(make([]byte, size)), size); !errors.Is(err, lvm.ErrNone) {
			t.Errorf("%d bytes of zeros: %+v, %v", size, pv, err)
		}
	}
	if _, err := lvm.Read(bytes.NewReader(nil), 1<<20); err == nil || errors.Is(err, lvm.ErrNone) || errors.Is(err, lvm.ErrDamaged) {
		t.Errorf("a device that cannot be read: %v", err)
	}
}

// read returns the volume group with those volumes.
func read(t *testing.T, text string) (*lvm.VG, error) {
	t.Helper()
	b := make([]byte, 32<<10+len(text)+8<<10)
	copy(b, image())
	size := len(b) - 8<<10
	metadata(b, 8<<10, size, text, 512)
	binary.LittleEndian.PutUint64(b[512+72+56:], uint64(size))
	seal(b)
	pv, err := lvm.Read(bytes.NewReader(b), int64(len(b)))
	return pv.VG, err
}

// TestTableOfOddVolumes has what LVM's tools make in the middle of something,
// and what they never make.
func TestTableOfOddVolumes(t *testing.T) {
	mirror := func(names string) string {
		return "start_extent = 0\nextent_count = 4\ntype = \"mirror\"\nmirrors = [" + names + "]"
	}
	striped := func(count, size int, names string) string {
		return fmt.Sprintf("start_extent = 0\nextent_count = %d\ntype = \"striped\"\nstripe_size = %d\nstripes = [%s]", count, size, names)
	}
	raid1 := "start_extent = 0\nextent_count = 4\ntype = \"raid1\"\nraids = [\"m\", \"b\", \"n\", \"c\"]"
	parts := volume("b", "", linear(0, 4, "p", 0)) + volume("c", "", linear(0, 4, "q", 0))
	tests := []struct {
		name, lvs string
		want      string
		err       string
	}{
		{name: "an image that is being rebuilt", lvs: volume("a", "", raid1) + volume("b", `, "REBUILD"`, linear(0, 4, "p", 0)) + volume("c", "", linear(0, 4, "q", 0)), want: "0 32 linear q 64"},
		{name: "all images being rebuilt", lvs: volume("a", "", raid1) + volume("b", `, "REBUILD"`, linear(0, 4, "p", 0)) + volume("c", `, "REBUILD"`, linear(0, 4, "q", 0)), err: "no image that is complete"},
		{name: "an image that was given up", lvs: volume("a", "", raid1) + volume("b", "", "start_extent = 0\nextent_count = 4\ntype = \"error\"") + volume("c", "", linear(0, 4, "q", 0)), want: "0 32 linear q 64"},
		{name: "a mirror of plain areas", lvs: volume("a", "", mirror(`"q", 3, "p", 5`)), want: "0 32 linear q 88"},
		{name: "on what is being moved", lvs: volume("a", "", linear(0, 2, "d", 1)) + volume("d", `, "PVMOVE"`, mirror(`"p", 3, "q", 5`)), want: "0 16 linear p 96"},
		{name: "being merged into", lvs: volume("a", "", linear(0, 4, "p", 0)) + volume("b", "", linear(0, 4, "p", 4)) + volume("s", "", "start_extent = 0\nextent_count = 4\ntype = \"snapshot\"\norigin = \"a\"\nmerging_store = \"b\""), err: "has a snapshot being merged into it"},
		{name: "mirrored stripes", lvs: volume("a", "", mirror(`"b", 0, "c", 0`)) + volume("b", "", striped(4, 8, `"p", 0, "q", 0`)) + volume("c", "", striped(4, 8, `"p", 4, "q", 4`)), want: "0 32 striped 2 8 p 64 q 64"},
		{name: "a part of stripes", lvs: volume("a", "", linear(0, 2, "b", 2)) + volume("b", "", striped(4, 8, `"p", 0, "q", 0`)), want: "0 16 striped 2 8 p 72 q 72"},
		{name: "a part of stripes that cuts them", lvs: volume("a", "", linear(0, 2, "b", 1)) + volume("b", "", striped(4, 8, `"p", 0, "q", 0`)), err: "do not fit"},
		{name: "stripes of volumes", lvs: volume("a", "", striped(4, 4, `"b", 0, "c", 2`)) + parts, want: "0 32 striped 2 4 p 64 q 80"},
		{name: "stripes of stripes", lvs: volume("a", "", striped(4, 4, `"b", 0, "p", 0`)) + volume("b", "", striped(4, 4, `"p", 0, "q", 0`)), err: "stripes of stripes"},
		{name: "stripes of no size", lvs: volume("a", "", striped(4, 0, `"b", 0, "p", 0`)), err: "stripes have no size"},
		{name: "on itself", lvs: volume("a", "", linear(0, 4, "a", 0)), err: "more than 8 deep"},
		{name: "on itself twice", lvs: volume("a", "", striped(4, 8, `"a", 0, "a", 0`)), err: ""},
		{name: "beyond a physical volume", lvs: volume("a", "", linear(0, 4, "p", 97)), err: "beyond the end of the physical volume p"},
		{name: "beyond a volume", lvs: volume("a", "", linear(0, 4, "b", 1)) + parts, err: "does not fit on b"},
		{name: "on nothing", lvs: volume("a", "", linear(0, 4, "x", 0)), err: `"x", which is not in the metadata`},
		{name: "without segments", lvs: volume("a", ""), err: "does not fit"},
		{name: "a gap", lvs: volume("a", "", linear(1, 4, "p", 0)), err: "segment1 does not fit"},
		{name: "segments that overlap", lvs: volume("a", "", linear(0, 4, "p", 0), linear(3, 4, "p", 0)), err: "segment2 does not fit"},
		{name: "far away", lvs: volume("a", "", linear(0, 4, "p", 1<<32)), err: "no usable list of stripes"},
		{name: "two of a name", lvs: volume("a", "") + volume("a", ""), err: "not valid"},
		{name: "a name with a slash", lvs: volume("a/b", ""), err: "not valid"},
		{name: "a kind with control characters", lvs: volume("a", "", "start_extent = 0\nextent_count = 1\ntype = \"x\x1b[2J\n\""), err: "type x?[2J?,"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			vg, err := read(t, group(1, tt.lvs))
			var table mapper.Table
			if err == nil {
				table, err = vg.Table("a", finder(vg))
			}
			if got := dump(table); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if tt.want == "" && (err == nil || !strings.Contains(err.Error(), tt.err)) || tt.want != "" && err != nil {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// TestStale has a physical volume that came back after its group was changed.
func TestStale(t *testing.T) {
	text := strings.Replace(group(1, volume("a", "", linear(0, 4, "q", 0))), `"ALLOCATABLE"`, `"ALLOCATABLE", "MISSING"`, 1)
	vg, err := read(t, text)
	must(t, err)
	_, err = vg.Table("a", finder(vg))
	if missing := (*lvm.MissingError)(nil); !errors.As(err, &missing) || !strings.Contains(err.Error(), "changed without") {
		t.Errorf("%v", err)
	}
}

func TestLimits(t *testing.T) {
	many := func(n int, f func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(f(i))
		}
		return b.String()
	}
	uuid := func(i int) string { return fmt.Sprintf("%032d", i) }
	tests := []struct{ name, text, want string }{
		{"physical volumes", strings.Replace(group(1, ""), "q {", many(300, func(i int) string { return fmt.Sprintf("r%d {\nid = %q\npe_start=0\npe_count=1\n}\n", i, uuid(i)) })+"q {", 1), "more than 256 physical volumes"},
		{"logical volumes", group(1, many(4097, func(i int) string { return fmt.Sprintf("l%d {\nid = %q\n}\n", i, uuid(i)) })), "more than 4096 logical volumes"},
		{"segments", group(1, "a {\nid = "+id("a")+"\n"+many(10_001, func(i int) string { return "s {\n" + linear(i, 1, "p", 0) + "\n}\n" })+"}\n"), "more than 10000 segments"},
		{"names", group(1, many(100_001, func(i int) string { return "x=1\n" })), "more than 100000 names"},
		{"values", group(1, "x = ["+strings.Repeat("1,", 100_001)+"]\n"), "more than 100000 values"},
		{"depth", group(1, strings.Repeat("x {", 100)), "more than 8 deep"},
		{"extents", strings.Replace(group(1, ""), "pe_count = 100", "pe_count = 4294967295", 1), ""},
		{"sectors", strings.NewReplacer("pe_count = 100", "pe_count = 4294967295", "extent_size = 8", "extent_size = 4294967295").Replace(group(1, "")), "too large"},
		{"no extents", strings.Replace(group(1, ""), "extent_size = 8", "extent_size = 0", 1), "no size"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := read(t, tt.text)
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestWorkIsBounded has volumes that refer to each other so that following
// them takes for ever.
func TestWorkIsBounded(t *testing.T) {
	var segments []string
	for i := range 3000 {
		segments = append(segments, linear(i, 1, "b", i))
	}
	b := volume("b", "", slices.Collect(func(yield func(string) bool) {
		for i := range 3000 {
			if !yield(linear(i, 1, "p", 0)) {
				return
			}
		}
	})...)
	vg, err := read(t, group(1, volume("a", "", segments...)+b))
	must(t, err)
	if _, err := vg.Table("a", finder(vg)); err == nil || !strings.Contains(err.Error(), "too many parts") {
		t.Errorf("error %v", err)
	}
	if table, err := vg.Table("b", finder(vg)); err != nil || len(table) != 3000 {
		t.Errorf("%d targets, %v", len(table), err)
	}
}

// FuzzRead puts bytes into a physical volume, mends checksums, and maps all
// that is found.
func FuzzRead(f *testing.F) {
	kinds, err := os.ReadFile("testdata/kinds.vg")
	must(f, err)
	f.Add(kinds, uint16(512))
	f.Add([]byte(group(1, volume("a", "", linear(0, 4, "p", 0)))), uint16(4000))
	f.Add([]byte("x { y = [ \"a\\\"\", 1 ]"), uint16(600))
	f.Fuzz(func(t *testing.T, text []byte, from uint16) {
		b := make([]byte, 48<<10)
		copy(b, image())
		size := 40 << 10
		from = max(512, from%uint16(size))
		metadata(b, 8<<10, size, string(text[:min(len(text), size-600)]), int(from))
		binary.LittleEndian.PutUint64(b[512+72+56:], uint64(size))
		seal(b)
		pv, err := lvm.Read(bytes.NewReader(b), int64(len(b)))
		if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("control characters in %+q", err)
		}
		if pv.VG == nil {
			return
		}
		vg := pv.VG
		for _, lv := range vg.LVs {
			table, err := vg.Table(lv.Name, func(string) (string, bool) { return "/dev/x", true })
			if err != nil {
				continue
			}
			last := lv.Segments[len(lv.Segments)-1]
			if got, want := table.Sectors(), (last.Start+last.Extents)*vg.ExtentSize; got != want {
				t.Errorf("%s of %d sectors is mapped to %d", lv.Name, want, got)
			}
		}
	})
}

// FuzzLabel changes bytes of label and header.
func FuzzLabel(f *testing.F) {
	f.Add(uint16(20), []byte{200})
	f.Add(uint16(72), bytes.Repeat([]byte{0xff}, 40))
	f.Add(uint16(600), []byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint16, change []byte) {
		b := image(group(1, ""), group(2, ""))
		copy(b[512+int(at)%512:1024], change)
		h := b[4<<10:][:512]
		copy(h[int(at)%512:], change)
		binary.LittleEndian.PutUint32(h, crc(h[4:]))
		seal(b)
		pv, err := lvm.Read(bytes.NewReader(b), int64(len(b)))
		if err != nil && !errors.Is(err, lvm.ErrNone) && !errors.Is(err, lvm.ErrDamaged) || err != nil && pv.VG != nil || err == nil && len(pv.UUID) != 38 {
			t.Errorf("got %+v, %v", pv, err)
		}
	})
}
