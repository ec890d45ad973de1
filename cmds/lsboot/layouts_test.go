package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/assemble"
	"github.com/alpboot/alpboot/boot/device/luks"
	"github.com/alpboot/alpboot/boot/device/lvm"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/device/superblock/raidtest"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/format/all"
	"github.com/alpboot/alpboot/boot/list"
	"github.com/alpboot/alpboot/cmds/lsboot/layouttest"
	"github.com/alpboot/alpboot/cmds/lsboot/lsboot"
)

const layoutsDir = "testdata/layouts"

// layoutMachine is a machine that has the volumes of a layout.
type layoutMachine struct{ layouttest.Layout }

var (
	_ discover.Machine = layoutMachine{}
	_ discover.Maker   = layoutMachine{}
)

func (m layoutMachine) Devices() ([]device.Block, []error) {
	const size = 1 << 30
	var blocks []device.Block
	at := map[string]int{} // whole disks in blocks
	for _, v := range m.Volumes {
		if _, ok := m.Outside(v); ok {
			continue
		}
		if v.Disk != "" {
			if _, ok := at[v.Disk]; !ok {
				at[v.Disk] = len(blocks)
				blocks = append(blocks, device.Block{Path: v.Disk, Size: size})
			}
			blocks[at[v.Disk]].Partitions++
		}
		blocks = append(blocks, device.Block{Path: v.Device, Disk: v.Disk, Partition: v.Partition, Size: size, PartUUID: v.PartUUID, PartLabel: v.PartLabel})
	}
	return blocks, nil
}

func (m layoutMachine) volume(path string) (boottest.Volume, bool) {
	i := slices.IndexFunc(m.Volumes, func(v boottest.Volume) bool { return v.Device == path })
	if i < 0 {
		return boottest.Volume{}, false
	}
	return m.Volumes[i], true
}

func (m layoutMachine) Probe(path string) (superblock.Superblock, error) {
	v, ok := m.volume(path)
	if !ok {
		return superblock.Superblock{}, superblock.ErrUnknown
	}
	return superblock.Superblock{Type: v.Type, UUID: v.UUID, Label: v.Label}, nil
}

func (m layoutMachine) Mount(_ context.Context, path string, _ superblock.Superblock) (discover.Filesystem, error) {
	v, _ := m.volume(path)
	return mountedTree{v.FS}, nil
}

type mountedTree struct{ fstest.MapFS }

func (mountedTree) Close() error { return nil }

// Member returns what package disk would write on such a device.
func (m layoutMachine) Member(path string, sb superblock.Superblock) (assemble.Member, error) {
	v, _ := m.volume(path)
	member := assemble.Member{Path: path}
	if sb.Type == "LVM2_member" {
		const extents = 10
		member.PV = &lvm.PV{UUID: "pv-" + v.Name}
		if inner := m.Inside(v); len(inner) > 0 {
			group, name, _ := strings.Cut(filepath.Base(inner[0].Device), "-")
			member.PV.VG = &lvm.VG{
				Name: group, UUID: "vg-" + v.Name, Seqno: 1, ExtentSize: 8192,
				PVs: []lvm.VGPV{{Name: "pv0", UUID: member.PV.UUID, Start: 2048, Extents: extents}},
				LVs: []lvm.LV{{Name: name, UUID: "lv-" + v.Name, Visible: true, Segments: []lvm.Segment{
					{Extents: extents, Type: "linear", Areas: []lvm.Area{{Name: "pv0"}}},
				}}},
			}
		}
		return member, nil
	}
	// Where package raidtest has it for devices of these sizes.
	says, _ := m.Layout.Member(v)
	size, at, sb1 := int64(16<<20), int64(4096), raidtest.Version1(4096, 1, raidtest.Change{160: uint32(says.Role)})
	if says.Version == "0.90" {
		size = 14<<20 + 0x10000
		at = size - 0x10000
		sb1 = raidtest.Version0(binary.LittleEndian, 1, raidtest.Change{4 * 992: uint32(says.Role), 4 * 995: uint32(says.Role)})
	}
	b := make([]byte, size)
	copy(b[at:], sb1)
	array, err := superblock.ReadRAID(bytes.NewReader(b), size)
	member.RAID = &array
	return member, err
}

func (m layoutMachine) Map(mapping assemble.Mapping) (discover.Made, error) {
	path := "/dev/mapper/" + mapping.Name
	for _, member := range mapping.Members {
		outer, _ := m.volume(member)
		for _, inner := range m.Inside(outer) {
			if inner.Device == path {
				return made(path), nil
			}
		}
	}
	return discover.Made{}, fmt.Errorf("%s, made of %q, is not in the layout", path, mapping.Members)
}

func (m layoutMachine) Unlock(_ context.Context, path string, passphrase []byte) (discover.Made, error) {
	v, _ := m.volume(path)
	if inner := m.Inside(v); len(inner) == 1 && string(passphrase) == layouttest.Passphrase {
		return made(inner[0].Device), nil
	}
	return discover.Made{}, luks.ErrPassphrase
}

func (m layoutMachine) Image(fsys discover.Filesystem, name string) (discover.Made, error) {
	for _, v := range m.Volumes {
		if outer, ok := m.Outside(v); ok && v.Device == outer.ImageDevice(name) {
			return made(v.Device), nil
		}
	}
	return discover.Made{}, fmt.Errorf("/%s is not in the layout", name)
}

func made(node string) discover.Made {
	return discover.Made{Node: node, Close: func() error { return nil }}
}

// scanLayout returns what is found on a layout, with everything unlocked.
func scanLayout(t *testing.T, l layouttest.Layout) (inv boot.Inventory) {
	t.Helper()
	m := layoutMachine{l}
	s := discover.Scanner{Machine: m, Maker: m, Formats: all.Formats(l.EFIVars), Limit: lsboot.DeviceLimit}
	scan := s.Start(t.Context())
	defer scan.Stop()
	tried := map[string]bool{}
	for inv = range scan.Inventories() {
		if !inv.Settled {
			continue
		}
		i := slices.IndexFunc(inv.Volumes, func(v boot.VolumeStatus) bool {
			at, ok := m.volume(v.Volume.Device)
			return ok && v.Locked && !tried[v.Volume.Device] && len(l.Inside(at)) > 0
		})
		if i < 0 {
			return inv
		}
		dev := inv.Volumes[i].Volume.Device
		tried[dev] = true
		if err := scan.Unlock(t.Context(), dev, []byte(layouttest.Passphrase)); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the scan ended")
	return inv
}

// TestLayouts asserts what lsboot --json prints for each layout, and that
// docs/layouts.md has the same. With -update both are rewritten.
func TestLayouts(t *testing.T) {
	var doc strings.Builder
	doc.WriteString(docHead)
	for _, l := range layouttest.Load(t, layoutsDir) {
		inv := scanLayout(t, l)
		fmt.Fprintf(&doc, "\n## %s\n\n%s\n\nConfiguration: %s.\n\n%s", l.Name, l.About, configurations(inv.Entries), shown(inv))
		t.Run(l.Name, func(t *testing.T) {
			var got bytes.Buffer
			if err := list.JSON(&got, inv.Entries, nil); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join(layoutsDir, l.Name+".json"), got.String())
		})
	}
	golden(t, "../../docs/layouts.md", doc.String())
}

const docHead = `# Layouts

This page is reference: the ways in which installers, media and users of Alpine and other systems lay out a disk, and what
alpboot shows of each.
Each section is a test: NAME.txtar in ` + "`cmds/lsboot/testdata/layouts`" + ` is the tree of files, NAME.json what ` + "`lsboot --json`" + `
prints for it. A virtual machine reads the same trees as disk images. The page is written by
` + "`go test ./cmds/lsboot -run TestLayouts -update`" + `.

Before an entry, * marks the default of its configuration; ? an entry whose command line was made because no configuration
has one; ! an entry that cannot be booted, with the reason. Lines in italics are notes. Encrypted volumes have been unlocked.
`

// golden compares got with a file, or writes it there.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if boottest.Update() {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

// configurations names the files that the entries come from.
func configurations(entries []boot.Entry) string {
	var all []string
	for _, e := range entries {
		name := e.Format + " `/" + e.Source.File + "`"
		if e.Source.File == "" {
			name = "none"
		}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return strings.Join(all, ", ")
}

// shown returns a list with an item for each entry, and one for each note about
// a volume.
func shown(inv boot.Inventory) string {
	var items strings.Builder
	for _, e := range inv.Entries {
		line := boottest.Path(e)
		if mark := list.Mark(e); mark != "" {
			line = `\` + mark + " " + line
		}
		if e.Version != "" {
			line += ", " + e.Version
		}
		if e.Snapshot {
			line += ", a snapshot"
		}
		if e.Problem != "" {
			line += ": " + e.Problem
		}
		fmt.Fprintf(&items, "- %s\n", line)
		for _, n := range e.Notes {
			fmt.Fprintf(&items, "  - *%s*\n", n)
		}
	}
	if items.Len() == 0 {
		items.WriteString("- no entry\n")
	}
	for _, v := range inv.Volumes {
		for _, n := range v.Notes {
			fmt.Fprintf(&items, "- *%s*\n", n)
		}
		if v.Problem != "" {
			fmt.Fprintf(&items, "- *%s*\n", v.Problem)
		}
	}
	return items.String()
}

// TestLayoutDirectories asserts that lsboot finds the same configured entries when
// each volume is a plain directory, copied from a disk. Guessed ones need the UUIDs
// of the volumes, subvolumes a btrfs, and what is in other volumes these.
func TestLayoutDirectories(t *testing.T) {
	for _, l := range layouttest.Load(t, layoutsDir) {
		if !fitForDirectories(l) {
			continue
		}
		t.Run(l.Name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join(layoutsDir, l.Name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			t.Chdir(t.TempDir())
			var dirs []string
			for _, v := range l.Volumes {
				dir := filepath.Base(v.Device)
				dirs = append(dirs, dir)
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				layouttest.PutFiles(t, dir, v.FS)
			}
			_, got, stderr := run(append([]string{"--json"}, dirs...)...)
			if d := cmp.Diff(configured(t, want), configured(t, []byte(got))); d != "" {
				t.Errorf("-golden +directories:\n%s\n%s", d, stderr)
			}
		})
	}
}

// fitForDirectories reports whether nothing in a layout hangs on UUIDs, subvolumes or
// what directories cannot have in them.
func fitForDirectories(l layouttest.Layout) bool {
	uuids := map[string]bool{}
	for _, v := range l.Volumes {
		if len(l.Inside(v)) > 0 || v.UUID != "" && uuids[v.UUID] {
			return false
		}
		uuids[v.UUID] = true
		if stubs, _ := fs.Glob(v.FS, "EFI/*/grub.cfg"); len(stubs) > 0 { // it finds the other volume by its UUID
			return false
		}
	}
	return len(l.Subvolumes) == 0 && l.EFIVars == nil
}

// configured returns the entries that lsboot has printed but for guessed ones, and
// without the volume that they are on.
func configured(t *testing.T, text []byte) (entries []map[string]any) {
	t.Helper()
	if err := json.Unmarshal(text, &entries); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		delete(e, "id")
		delete(e, "volume")
	}
	return slices.DeleteFunc(entries, func(e map[string]any) bool { return e["guessed"] == true })
}
