package assemble_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/device/assemble"
	"github.com/alpboot/alpboot/boot/device/lvm"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

// raid is a member of a RAID1 of two, altered by change.
func raid(path string, role int, change ...func(*superblock.RAID)) assemble.Member {
	r := superblock.RAID{
		Version: "1.2", UUID: "30313233-3435-3637-3839-616263646566", Name: "alpine:0", Level: 1, Devices: 2, Role: role,
		Events: 20, DataOffset: 1 << 20, DataSize: 15 << 20, Used: 14 << 20,
	}
	for _, c := range change {
		c(&r)
	}
	return assemble.Member{Path: path, RAID: &r}
}

func events(n uint64) func(*superblock.RAID)    { return func(r *superblock.RAID) { r.Events = n } }
func called(name string) func(*superblock.RAID) { return func(r *superblock.RAID) { r.Name = name } }
func id(uuid string) func(*superblock.RAID)     { return func(r *superblock.RAID) { r.UUID = uuid } }
func unusable(why string) func(*superblock.RAID) {
	return func(r *superblock.RAID) { r.Unusable, r.Role = why, -1 }
}

// stripes makes the array one of RAID0 with chunks of 64 KiB.
func stripes(r *superblock.RAID) { r.Level, r.Used, r.Chunk = 0, 0, 64<<10 }

func linear(r *superblock.RAID) { r.Level, r.Used = superblock.LevelLinear, 0 }

func size(bytes int64) func(*superblock.RAID) {
	return func(r *superblock.RAID) { r.DataSize = bytes }
}

func level(l superblock.RAIDLevel) func(*superblock.RAID) {
	return func(r *superblock.RAID) { r.Level = l }
}

// group makes the metadata of a volume group with physical volumes named by
// letters, whose UUIDs they are, and volumes written as "NAME=AREA AREA".
func group(name string, seqno uint64, pvs string, volumes ...string) *lvm.VG {
	vg := &lvm.VG{Name: name, UUID: "uuid-of-" + name, Seqno: seqno, ExtentSize: 8192}
	for _, c := range pvs {
		vg.PVs = append(vg.PVs, lvm.VGPV{Name: string(c), UUID: string(c), Device: "/dev/old" + string(c), Start: 2048, Extents: 100})
	}
	for i, v := range volumes {
		name, on, _ := strings.Cut(v, "=")
		lv := lvm.LV{Name: name, UUID: fmt.Sprint("lv", i), Visible: true}
		for j, pv := range strings.Fields(on) {
			s := lvm.Segment{Start: uint64(j), Extents: 1, Type: "linear", Areas: []lvm.Area{{Name: pv, Extent: uint64(i)}}}
			if len(pv) > 1 {
				s.Type, s.Areas = pv, nil
			}
			lv.Segments = append(lv.Segments, s)
		}
		vg.LVs = append(vg.LVs, lv)
	}
	return vg
}

func pv(path, uuid string, vg *lvm.VG) assemble.Member {
	return assemble.Member{Path: path, PV: &lvm.PV{UUID: uuid, VG: vg}}
}

func on(disk string, m assemble.Member) assemble.Member {
	m.Disk = disk
	return m
}

// stick makes a member one that is not built in.
func stick(m assemble.Member) assemble.Member {
	m.Removable = true
	return m
}

// text writes mappings as lines of a name and a table as dmsetup takes it.
func text(mappings []assemble.Mapping) []string {
	var lines []string
	for _, m := range mappings {
		line := m.Name + ":"
		for _, t := range m.Table {
			line += fmt.Sprintf(" [%d %d %s %s]", t.Start, t.Length, t.Type, t.Params)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestPlan(t *testing.T) {
	const other = "99999999-3435-3637-3839-616263646566"
	vg := group("vg0", 3, "ab", "root=a", "home=b", "wide=a b")
	tests := []struct {
		name     string
		members  []assemble.Member
		waits    bool     // for what may come: nothing is planned or reported until complete
		early    []string // what is planned before that; nil for want
		want     []string
		problems map[string]string // what they contain; "" when there is none
	}{
		// RAID1
		{
			name:    "mirror",
			members: []assemble.Member{raid("/dev/sda1", 0), raid("/dev/sdb1", 1)},
			want:    []string{"md-0: [0 28672 linear /dev/sda1 2048]"},
		}, {
			name:    "mirror of one that is there",
			members: []assemble.Member{raid("/dev/sdb1", 1)},
			waits:   true,
			want:    []string{"md-0: [0 28672 linear /dev/sdb1 2048]"},
		}, {
			name:     "mirror with a member that fell out",
			members:  []assemble.Member{raid("/dev/sda1", 0, events(12)), raid("/dev/sdb1", 1)},
			want:     []string{"md-0: [0 28672 linear /dev/sdb1 2048]"},
			problems: map[string]string{"/dev/sda1": "/dev/sda1 is an older state of the RAID1 array alpine:0 than /dev/sdb1, and left out"},
		}, {
			name:    "mirror that was stopped between two writes",
			members: []assemble.Member{raid("/dev/sda1", 0, events(19)), raid("/dev/sdb1", 1)},
			want:    []string{"md-0: [0 28672 linear /dev/sdb1 2048]"},
		}, {
			name:     "mirror with a spare",
			members:  []assemble.Member{raid("/dev/sda1", 0), raid("/dev/sdb1", 1), raid("/dev/sdc1", 0, unusable("is a spare"))},
			want:     []string{"md-0: [0 28672 linear /dev/sda1 2048]"},
			problems: map[string]string{"/dev/sdc1": "/dev/sdc1 is a spare, in the RAID1 array alpine:0"},
		}, {
			name:     "mirror of which only an old member can be read",
			members:  []assemble.Member{raid("/dev/sda1", 0, events(12)), raid("/dev/sdb1", 1, func(r *superblock.RAID) { r.Unusable = "was still being filled" })},
			want:     []string{"md-0: [0 28672 linear /dev/sda1 2048]"},
			problems: map[string]string{"/dev/sda1": "no newer member can be", "/dev/sdb1": "was still being filled"},
		}, {
			name:     "mirror without a member that can be read",
			members:  []assemble.Member{raid("/dev/sda1", 0, unusable("is a spare"))},
			waits:    true,
			problems: map[string]string{"/dev/sda1": "is a spare"},
		}, {
			name:    "mirror with bad blocks",
			members: []assemble.Member{raid("/dev/sda1", 0, func(r *superblock.RAID) { r.BadBlocks = true }), raid("/dev/sdb1", 1)},
			want:    []string{"md-0: [0 28672 linear /dev/sdb1 2048]"},
		}, {
			name: "mirror of version 0.90",
			members: []assemble.Member{raid("/dev/sda1", 0, called("7"), func(r *superblock.RAID) {
				r.Version, r.DataOffset, r.Used = "0.90", 0, 15<<20-65536
			}), raid("/dev/sdb1", 1, called("7"))},
			want: []string{"md-7: [0 30592 linear /dev/sda1 0]"},
		},
		// what is plugged in
		{
			name:     "mirror with a newer member on a stick",
			members:  []assemble.Member{stick(raid("/dev/sda1", 0, events(90))), raid("/dev/vda1", 1)},
			want:     []string{"md-0: [0 28672 linear /dev/vda1 2048]"},
			problems: map[string]string{"/dev/sda1": "/dev/sda1 is a newer state of the RAID1 array alpine:0 than /dev/vda1, and left out, as it is not built in"},
		}, {
			name:     "mirror whose UUID an array of another level on a stick has",
			members:  []assemble.Member{stick(raid("/dev/sda1", 0, events(90), stripes)), raid("/dev/vda1", 0), raid("/dev/vdb1", 1)},
			want:     []string{"md-0: [0 28672 linear /dev/vda1 2048]"},
			problems: map[string]string{"/dev/sda1": "disagrees with the other members"},
		}, {
			name:    "mirror on sticks only",
			members: []assemble.Member{stick(raid("/dev/sda1", 0)), stick(raid("/dev/sdb1", 1))},
			waits:   true,
			want:    []string{"md-0: [0 28672 linear /dev/sda1 2048]"},
		}, {
			name:     "RAID0 with a copy of a member on a stick",
			members:  []assemble.Member{stick(raid("/dev/sda1", 0, stripes, events(21))), raid("/dev/vda1", 0, stripes), raid("/dev/vdb1", 1, stripes)},
			want:     []string{"md-0: [0 61440 striped 2 128 /dev/vda1 2048 /dev/vdb1 2048]"},
			problems: map[string]string{"/dev/sda1": "is the same member of the RAID0 array alpine:0 as /dev/vda1, and left out, as it is not built in"},
		}, {
			name:    "an array on a stick with the name of one that is built in",
			members: []assemble.Member{stick(raid("/dev/sda1", 0, id(other))), stick(raid("/dev/sdb1", 1, id(other))), raid("/dev/vda1", 0), raid("/dev/vdb1", 1)},
			early:   []string{"md-0: [0 28672 linear /dev/vda1 2048]"},
			want:    []string{"md-0: [0 28672 linear /dev/vda1 2048]", "md-0#99999999: [0 28672 linear /dev/sda1 2048]"},
		}, {
			name:     "a newer copy of a physical volume on a stick",
			members:  []assemble.Member{stick(pv("/dev/sda2", "a", group("vg0", 9, "a", "evil=a"))), pv("/dev/vda2", "a", group("vg0", 3, "a", "root=a"))},
			want:     []string{"vg0-root: [0 8192 linear /dev/vda2 2048]"},
			problems: map[string]string{"/dev/sda2": "/dev/sda2 is a copy of /dev/vda2, which is used instead in volume group vg0"},
		}, {
			name: "a copy of one disk of two on a stick",
			members: []assemble.Member{
				stick(on("/dev/sda", pv("/dev/sda2", "a", vg))), on("/dev/vda", pv("/dev/vda2", "a", vg)), on("/dev/vdb", pv("/dev/vdb2", "b", vg)),
			},
			want: []string{
				"vg0-home: [0 8192 linear /dev/vdb2 10240]",
				"vg0-root: [0 8192 linear /dev/vda2 2048]",
				"vg0-wide: [0 8192 linear /dev/vda2 18432] [8192 8192 linear /dev/vdb2 18432]",
			},
			problems: map[string]string{"/dev/sda2": "copy of /dev/vda2"},
		}, {
			name:     "a physical volume on a stick that claims the group",
			members:  []assemble.Member{stick(pv("/dev/sda2", "b", group("vg0", 9, "ab", "root=b"))), pv("/dev/vda2", "a", group("vg0", 3, "a", "root=a"))},
			want:     []string{"vg0-root: [0 8192 linear /dev/vda2 2048]"},
			problems: map[string]string{"/dev/sda2": "volume group vg0 has no longer"},
		}, {
			name: "a group on a stick that claims a physical volume",
			members: []assemble.Member{
				stick(pv("/dev/sda2", "c", func() *lvm.VG { vg := group("a", 9, "bc", "root=c"); vg.UUID = "first"; return vg }())),
				pv("/dev/vda2", "a", group("vg0", 3, "ab", "root=a b")), pv("/dev/vdb2", "b", nil),
			},
			want:  []string{"a-root: [0 8192 linear /dev/sda2 2048]", "vg0-root: [0 8192 linear /dev/vda2 2048] [8192 8192 linear /dev/vdb2 2048]"},
			early: []string{"vg0-root: [0 8192 linear /dev/vda2 2048] [8192 8192 linear /dev/vdb2 2048]"},
		}, {
			name:    "a group on a disk and a stick",
			members: []assemble.Member{stick(pv("/dev/sda2", "a", vg)), pv("/dev/vda2", "b", vg)},
			early:   []string{"vg0-home: [0 8192 linear /dev/vda2 10240]"},
			want: []string{
				"vg0-home: [0 8192 linear /dev/vda2 10240]",
				"vg0-root: [0 8192 linear /dev/sda2 2048]",
				"vg0-wide: [0 8192 linear /dev/sda2 18432] [8192 8192 linear /dev/vda2 18432]",
			},
		},
		// names
		{
			name:    "two arrays of a name",
			members: []assemble.Member{raid("/dev/sda1", 0), raid("/dev/sdb1", 1), raid("/dev/sdc1", 0, id(other)), raid("/dev/sdd1", 1, id(other))},
			want:    []string{"md-0#30313233: [0 28672 linear /dev/sda1 2048]", "md-0#99999999: [0 28672 linear /dev/sdc1 2048]"},
		}, {
			name:    "a name with all sorts of things in it",
			members: []assemble.Member{raid("/dev/sda1", 0, called("a:b c/d")), raid("/dev/sdb1", 1, called("a:b c/d"))},
			want:    []string{`md-b\x20c\x2fd: [0 28672 linear /dev/sda1 2048]`},
		}, {
			name:    "no name",
			members: []assemble.Member{raid("/dev/sda1", 0, called("")), raid("/dev/sdb1", 1)},
			want:    []string{"md-30313233-3435-3637-3839-616263646566: [0 28672 linear /dev/sda1 2048]"},
		},
		// other levels
		{
			name:    "stripes",
			members: []assemble.Member{raid("/dev/sdb1", 0, stripes), raid("/dev/sda1", 1, stripes)},
			want:    []string{"md-0: [0 61440 striped 2 128 /dev/sdb1 2048 /dev/sda1 2048]"},
		}, {
			name:    "stripes that do not fill their devices",
			members: []assemble.Member{raid("/dev/sda1", 0, stripes, size(1<<20+512)), raid("/dev/sdb1", 1, stripes, size(1<<20+1024))},
			want:    []string{"md-0: [0 4096 striped 2 128 /dev/sda1 2048 /dev/sdb1 2048]"},
		}, {
			name:     "stripes of devices that differ",
			members:  []assemble.Member{raid("/dev/sda1", 0, stripes), raid("/dev/sdb1", 1, stripes, size(16<<20))},
			problems: map[string]string{"/dev/sda1": "differ in size", "/dev/sdb1": "differ in size"},
		}, {
			name:     "stripes without a member",
			members:  []assemble.Member{raid("/dev/sdb1", 1, stripes)},
			waits:    true,
			problems: map[string]string{"/dev/sdb1": "/dev/sdb1 is one of 2 members of the RAID0 array alpine:0, of which 1 cannot be found"},
		}, {
			name:     "stripes and a copy of one",
			members:  []assemble.Member{raid("/dev/sda1", 0, stripes), raid("/dev/sdb1", 1, stripes), raid("/dev/sdc1", 1, stripes)},
			problems: map[string]string{"/dev/sdc1": "is the same member of the RAID0 array alpine:0 as /dev/sdb1"},
		}, {
			name:     "stripes without a size",
			members:  []assemble.Member{raid("/dev/sda1", 0, level(0), size(0)), raid("/dev/sdb1", 1, level(0), size(0))},
			problems: map[string]string{"/dev/sda1": "differ in size"},
		}, {
			name:    "linear",
			members: []assemble.Member{raid("/dev/sda1", 1, linear), raid("/dev/sdb1", 0, linear, size(1<<20))},
			want:    []string{"md-0: [0 2048 linear /dev/sdb1 2048] [2048 30720 linear /dev/sda1 2048]"},
		}, {
			name:     "RAID5",
			members:  []assemble.Member{raid("/dev/sda1", 0, level(5)), raid("/dev/sdb1", 1, level(5))},
			problems: map[string]string{"/dev/sda1": "/dev/sda1 is a member of the RAID5 array alpine:0, and alpboot cannot read arrays of this level", "/dev/sdb1": "RAID5"},
		}, {
			name:     "RAID10",
			members:  []assemble.Member{raid("/dev/sda1", 0, level(10))},
			problems: map[string]string{"/dev/sda1": "RAID10"},
		}, {
			name:     "members that contradict each other",
			members:  []assemble.Member{raid("/dev/sda1", 0, level(5), events(3)), raid("/dev/sdb1", 0), raid("/dev/sdc1", 1)},
			want:     []string{"md-0: [0 28672 linear /dev/sdb1 2048]"},
			problems: map[string]string{"/dev/sda1": "disagrees with the other members"},
		},
		// LVM
		{
			name:    "volume group",
			members: []assemble.Member{pv("/dev/sda2", "a", vg), pv("/dev/sdb2", "b", vg)},
			want: []string{
				"vg0-home: [0 8192 linear /dev/sdb2 10240]",
				"vg0-root: [0 8192 linear /dev/sda2 2048]",
				"vg0-wide: [0 8192 linear /dev/sda2 18432] [8192 8192 linear /dev/sdb2 18432]",
			},
		}, {
			name:    "a physical volume without metadata",
			members: []assemble.Member{pv("/dev/sda2", "a", vg), pv("/dev/sdb2", "b", nil)},
			want: []string{
				"vg0-home: [0 8192 linear /dev/sdb2 10240]",
				"vg0-root: [0 8192 linear /dev/sda2 2048]",
				"vg0-wide: [0 8192 linear /dev/sda2 18432] [8192 8192 linear /dev/sdb2 18432]",
			},
		}, {
			name:     "a physical volume is missing",
			members:  []assemble.Member{pv("/dev/sda2", "a", vg)},
			waits:    true,
			want:     []string{"vg0-root: [0 8192 linear /dev/sda2 2048]"},
			problems: map[string]string{"/dev/sda2": "/dev/sda2 holds a part of volume group vg0, whose logical volume vg0/home needs the physical volume b (b; it was /dev/oldb once), which is not there; logical volume vg0/wide needs"},
		}, {
			name:     "a physical volume of nothing",
			members:  []assemble.Member{pv("/dev/sda2", "z", nil)},
			waits:    true,
			problems: map[string]string{"/dev/sda2": "no volume group"},
		}, {
			name: "the newest metadata count",
			members: []assemble.Member{
				pv("/dev/sda2", "a", group("vg0", 3, "ab", "root=a")), pv("/dev/sdb2", "b", group("vg0", 4, "ab", "root=b")),
			},
			want: []string{"vg0-root: [0 8192 linear /dev/sdb2 2048]"},
		}, {
			name: "a physical volume that was taken out",
			members: []assemble.Member{
				pv("/dev/sda2", "a", group("vg0", 3, "ab", "root=a")), pv("/dev/sdb2", "b", group("vg0", 4, "b", "root=b")),
			},
			want:     []string{"vg0-root: [0 8192 linear /dev/sdb2 2048]"},
			problems: map[string]string{"/dev/sda2": "volume group vg0 has no longer"},
		}, {
			name:     "kinds that cannot be mapped",
			members:  []assemble.Member{pv("/dev/sda2", "a", group("vg0", 3, "a", "root=a", "docker=thin", "pool=thin-pool"))},
			want:     []string{"vg0-root: [0 8192 linear /dev/sda2 2048]"},
			problems: map[string]string{"/dev/sda2": "logical volume vg0/docker is of the type thin"},
		}, {
			name: "two groups of a name",
			members: []assemble.Member{
				pv("/dev/sda2", "a", group("vg0", 3, "a", "my-root=a")),
				pv("/dev/sdb2", "b", func() *lvm.VG { vg := group("vg0", 3, "b", "my-root=b"); vg.UUID = "b23456789"; return vg }()),
			},
			want: []string{"vg0-my--root#b23456: [0 8192 linear /dev/sdb2 2048]", "vg0-my--root#uuid-o: [0 8192 linear /dev/sda2 2048]"},
		},
		// copies
		{
			name:     "a copy of a disk",
			members:  []assemble.Member{pv("/dev/sda2", "a", group("vg0", 3, "a", "root=a")), pv("/dev/sdb2", "a", group("vg0", 3, "a", "root=a"))},
			want:     []string{"vg0-root: [0 8192 linear /dev/sda2 2048]"},
			problems: map[string]string{"/dev/sdb2": "/dev/sdb2 is a copy of /dev/sda2, which is used instead in volume group vg0"},
		}, {
			name:     "a copy of a disk that was changed later",
			members:  []assemble.Member{pv("/dev/sda2", "a", group("vg0", 3, "a", "root=a")), pv("/dev/sdb2", "a", group("vg0", 4, "a", "new=a"))},
			want:     []string{"vg0-new: [0 8192 linear /dev/sdb2 2048]"},
			problems: map[string]string{"/dev/sda2": "is a copy of /dev/sdb2"},
		}, {
			name: "a copy of a disk with two physical volumes",
			members: []assemble.Member{
				on("/dev/sda", pv("/dev/sda2", "b", vg)), on("/dev/sda", pv("/dev/sda3", "a", vg)),
				on("/dev/sdb", pv("/dev/sdb2", "b", vg)), on("/dev/sdb", pv("/dev/sdb3", "a", vg)),
			},
			want: []string{
				"vg0-home: [0 8192 linear /dev/sda2 10240]",
				"vg0-root: [0 8192 linear /dev/sda3 2048]",
				"vg0-wide: [0 8192 linear /dev/sda3 18432] [8192 8192 linear /dev/sda2 18432]",
			},
			problems: map[string]string{"/dev/sdb2": "copy of /dev/sda2", "/dev/sdb3": "copy of /dev/sda3"},
		}, {
			name: "a copy of one disk of two",
			members: []assemble.Member{
				on("/dev/sda", pv("/dev/sda2", "a", vg)), on("/dev/sdb", pv("/dev/sdb2", "b", vg)), on("/dev/sdc", pv("/dev/sdc2", "a", vg)),
			},
			want:     []string{"vg0-home: [0 8192 linear /dev/sdb2 10240]", "vg0-root: [0 8192 linear /dev/sda2 2048]"},
			problems: map[string]string{"/dev/sda2": "vg0/wide lies on several devices, and there are copies of some", "/dev/sdc2": "copy of /dev/sda2"},
		},
		{name: "nothing"},
		{name: "a device that belongs to nothing", members: []assemble.Member{{Path: "/dev/sda"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.early == nil {
				tt.early = tt.want
			}
			if mappings, problems := assemble.Plan(tt.members, false); tt.waits && (len(mappings) > 0 || len(problems) > 0) {
				t.Errorf("it does not wait: %q, %v", text(mappings), problems)
			} else if !tt.waits && !reflect.DeepEqual(text(mappings), tt.early) {
				t.Errorf("incomplete it is %q", text(mappings))
			}
			mappings, problems := assemble.Plan(tt.members, true)
			if got := text(mappings); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			for path, want := range tt.problems {
				if !strings.Contains(problems[path], want) || !strings.HasPrefix(problems[path], path+" ") {
					t.Errorf("of %s it says %q, want %q", path, problems[path], want)
				}
			}
			if tt.problems == nil && len(problems) > 0 {
				t.Errorf("problems: %v", problems)
			}
			checkPlan(t, tt.members, true, mappings, problems)
		})
	}
}

// checkPlan checks what holds of all plans.
func checkPlan(t *testing.T, members []assemble.Member, complete bool, mappings []assemble.Mapping, problems map[string]string) {
	t.Helper()
	known := map[string]bool{}
	for _, m := range members {
		known[m.Path] = true
	}
	for path, problem := range problems {
		if !known[path] || strings.ContainsFunc(problem, func(r rune) bool { return r < ' ' }) {
			t.Errorf("a problem of %s: %q", path, problem)
		}
	}
	names, uuids := map[string]bool{}, map[string]bool{}
	for _, m := range mappings {
		if names[m.Name] || uuids[m.UUID] || len(m.Name) > 127 || m.Name == "" {
			t.Errorf("name %q or UUID %q is not unique or valid", m.Name, m.UUID)
		}
		names[m.Name], uuids[m.UUID] = true, true
		next := uint64(0)
		for _, target := range m.Table {
			if target.Start != next || target.Length == 0 {
				t.Errorf("%s: target %+v", m.Name, target)
			}
			next += target.Length
		}
		if next == 0 || len(m.Members) == 0 || !slices.IsSorted(m.Members) {
			t.Errorf("%s has %d sectors, on %q", m.Name, next, m.Members)
		}
		for _, path := range m.Members {
			if !known[path] {
				t.Errorf("%s is on %s", m.Name, path)
			}
		}
	}
	for range 4 { // the order of devices is that of their discovery
		shuffled := slices.Clone(members)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again, reasons := assemble.Plan(shuffled, complete); !reflect.DeepEqual(again, mappings) || !reflect.DeepEqual(reasons, problems) {
			t.Fatalf("in another order the plan is\n%q, %v\nand not\n%q, %v", text(again), reasons, text(mappings), problems)
		}
	}
}

func TestMembers(t *testing.T) {
	vg := group("vg0", 3, "ab", "wide=b a")
	mappings, _ := assemble.Plan([]assemble.Member{pv("/dev/sdb", "b", vg), pv("/dev/sda", "a", vg), raid("/dev/sdc", 0), raid("/dev/sdd", 1)}, true)
	var got [][]string
	for _, m := range mappings {
		got = append(got, append(m.Members, m.UUID))
	}
	want := [][]string{{"/dev/sdc", "ALPBOOT-MD-30313233-3435-3637-3839-616263646566"}, {"/dev/sda", "/dev/sdb", "LVM-uuidofvg0lv0"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLimits(t *testing.T) {
	var volumes []string
	for i := range 300 {
		volumes = append(volumes, fmt.Sprintf("lv%03d=a", i))
	}
	vg := group("vg0", 1, "a", volumes...)
	for i := range vg.LVs {
		vg.LVs[i].Segments[0].Areas[0].Extent = 0
	}
	mappings, problems := assemble.Plan([]assemble.Member{pv("/dev/sda", "a", vg)}, true)
	if len(mappings) != 256 || !strings.Contains(problems["/dev/sda"], "only 256") {
		t.Errorf("%d mappings, %v", len(mappings), problems)
	}
	for i := range vg.LVs {
		vg.LVs[i].Segments[0].Type = "thin"
	}
	if _, problems = assemble.Plan([]assemble.Member{pv("/dev/sda", "a", vg)}, true); len(problems["/dev/sda"]) > 2000 || !strings.HasSuffix(problems["/dev/sda"], "and 249 more") {
		t.Errorf("%v", problems)
	}
	var many []assemble.Member
	for i := range 1030 {
		many = append(many, raid(fmt.Sprintf("/dev/sd%04d", i), 0, id(fmt.Sprintf("%08d-uuid", i))))
	}
	mappings, problems = assemble.Plan(many, true)
	if len(mappings) != 1024 || len(problems) != 6 || !strings.Contains(problems["/dev/sd1029"], "more than 1024") {
		t.Errorf("%d mappings, %d problems", len(mappings), len(problems))
	}
}

// FuzzPlan makes members of bytes, so few kinds of each that they meet.
func FuzzPlan(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x01\x01\x01\x01\x01"), false)
	f.Add([]byte("\x07\x01\x02\x03\x04\x17\x02\x02\x03\x04\x27\x03\x02\x03\x04"), true)
	f.Fuzz(func(t *testing.T, b []byte, complete bool) {
		var members []assemble.Member
		for i := 0; len(b) >= 5 && i < 40; i, b = i+1, b[5:] {
			m := assemble.Member{Path: fmt.Sprintf("/dev/sd%02d", i), Disk: []string{"", "/dev/x", "/dev/y"}[b[4]%3]}
			if b[0]%2 == 0 {
				m.RAID = &superblock.RAID{
					UUID: fmt.Sprintf("%d-uuid", b[0]>>1%3), Name: []string{"", "0", "host:0", "a\\ b"}[b[0]>>4%4],
					Level: superblock.RAIDLevel(b[1]%4) - 1, Devices: 1 + int(b[1]>>2%4), Role: int(b[2]%5) - 1, Events: uint64(b[2] >> 6),
					DataSize: int64(b[3]) << 12, Used: int64(b[3]&0xf0) << 12, Chunk: int64(b[4]>>2) << 10,
				}
				if m.RAID.Role < 0 || b[2]&32 != 0 {
					m.RAID.Unusable = "is a spare"
				} else {
					m.RAID.Devices = max(m.RAID.Devices, m.RAID.Role+1)
				}
			} else {
				all := []string{"x=a", "y=b", "z=a b", "w=thin", "v=c"}
				vg := group([]string{"vg0", "vg-1"}[b[0]>>1%2], uint64(b[0]>>2%4), []string{"a", "ab", "abc", "c"}[b[1]%4], all[:b[1]>>2%6]...)
				vg.UUID = fmt.Sprintf("%d-vg", b[1]>>5%3)
				m.PV = &lvm.PV{UUID: string("abcd"[b[2]%4])}
				if b[2]&0xf0 != 0 {
					m.PV.VG = vg
				}
			}
			members = append(members, m)
		}
		mappings, problems := assemble.Plan(members, complete)
		checkPlan(t, members, complete, mappings, problems)
	})
}

// Sentences call devices as a user does: also the others that they name.
func TestProblemsCallDevicesByName(t *testing.T) {
	old, best := raid("/dev/dm-1", 0, events(1)), raid("/dev/dm-10", 1)
	old.Name, best.Name = "/dev/mapper/left", "/dev/mapper/right"
	_, problems := assemble.Plan([]assemble.Member{old, best}, true)
	if got, want := problems["/dev/dm-1"], "/dev/mapper/left is an older state of the RAID1 array alpine:0 than /dev/mapper/right, and left out"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
