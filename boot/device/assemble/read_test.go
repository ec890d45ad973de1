package assemble_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/assemble"
	"github.com/alpboot/alpboot/boot/device/lvm"
	"github.com/alpboot/alpboot/boot/device/mapper"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

const mib = 1 << 20

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// disk makes a block device of n MiB that begins with head and goes on with
// random bytes.
func disk(t *testing.T, n int, head []byte) (path string, content []byte) {
	t.Helper()
	content = make([]byte, n*mib)
	var seed [32]byte
	binary.NativeEndian.PutUint64(seed[:], rand.Uint64())
	_, _ = rand.NewChaCha8(seed).Read(content)
	copy(content, head)
	image := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(image, content, 0o600))
	loop, err := device.Loop(image, 0, 0)
	must(t, err)
	t.Cleanup(func() { loop.Close() })
	return loop.Path, content
}

// interleave returns the chunks of columns in turn.
func interleave(chunk int, columns ...[]byte) []byte {
	var out []byte
	for at := 0; at < len(columns[0]); at += chunk {
		for _, c := range columns {
			out = append(out, c[at:at+chunk]...)
		}
	}
	return out
}

// TestReadThrough makes what is planned and reads through it. It needs a
// kernel with device-mapper.
func TestReadThrough(t *testing.T) {
	boottest.NeedRoot(t)
	if f, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0); err != nil {
		t.Skip("this kernel has no device-mapper: ", err)
	} else {
		f.Close()
	}
	var members []assemble.Member
	want := map[string][]byte{}

	// The volume group of package lvm's tests, as lvs describes it.
	var pvs [3][]byte
	for i := range pvs {
		f, err := os.Open(fmt.Sprintf("../lvm/testdata/kinds.pv%d.gz", i))
		must(t, err)
		z, err := gzip.NewReader(f)
		must(t, err)
		head, err := io.ReadAll(z)
		must(t, err)
		must(t, f.Close())
		path, content := disk(t, 32, head)
		pvs[i] = content
		pv, err := lvm.Read(bytes.NewReader(content), int64(len(content)))
		must(t, err)
		members = append(members, assemble.Member{Path: path, PV: &pv})
	}
	extents := func(pv, first, n int) []byte { return pvs[pv][(1+first)*mib : (1+first+n)*mib] }
	const chunk = 64 << 10
	want["kinds-root"] = slices.Concat(extents(0, 0, 4), extents(1, 0, 2))
	want["kinds-stripes"] = slices.Concat(interleave(chunk, extents(1, 22, 1), extents(2, 20, 1)), extents(2, 21, 1))
	want["kinds-r1"] = extents(0, 4, 4)
	want["kinds-mir"] = extents(0, 9, 4)
	want["kinds-mirc"] = extents(1, 17, 2)
	want["kinds-r0"] = interleave(chunk, extents(0, 14, 2), slices.Concat(extents(1, 14, 1), extents(1, 16, 1)))
	want["kinds-r0m"] = interleave(chunk, extents(1, 24, 1), extents(2, 24, 1))

	// Arrays.
	first, inFirst := disk(t, 16, nil)
	second, _ := disk(t, 16, nil)
	members = append(members, raid(first, 1), raid(second, 0, events(7)))
	want["md-0"] = inFirst[mib : 15*mib]
	striped := func(r *superblock.RAID) { stripes(r); r.UUID, r.Name = "stripes", "a:stripes" }
	third, inThird := disk(t, 16, nil)
	fourth, inFourth := disk(t, 16, nil)
	members = append(members, raid(third, 1, striped), raid(fourth, 0, striped))
	want["md-stripes"] = interleave(chunk, inFourth[mib:], inThird[mib:])

	mappings, problems := assemble.Plan(members, true)
	if len(problems) != 2 { // the kinds that cannot be mapped, the stale member
		t.Errorf("problems: %v", problems)
	}
	for _, m := range mappings {
		d, err := new(mapper.Mapper).Create(m.Name, m.UUID, m.Table)
		must(t, err)
		f, err := device.Open(d.Path)
		must(t, err)
		got, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size))
		must(t, err)
		if !bytes.Equal(got, want[m.Name]) {
			t.Errorf("%s holds %d bytes, want %d others", m.Name, len(got), len(want[m.Name]))
		}
		delete(want, m.Name)
		must(t, f.Close())
		must(t, d.Close())
	}
	for name := range want {
		t.Errorf("%s is not planned", name)
	}
}
