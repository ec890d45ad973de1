package subvolume_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/subvolume"
)

var btrfs = boot.Volume{Device: "/dev/sda2", Type: "btrfs"}

// list writes out roots, snapshots in brackets.
func list(roots []subvolume.Root) string {
	var all []string
	for _, r := range roots {
		if r.Snapshot {
			r.Dir = "[" + r.Dir + "]"
		}
		all = append(all, r.Dir)
	}
	return strings.Join(all, " ")
}

// volume is a btrfs volume that knows which of its directories are subvolumes.
type volume struct {
	fstest.MapFS
	subvolumes []string
}

type info struct {
	fs.FileInfo
	ino uint64
}

func (i info) Sys() any { return &syscall.Stat_t{Ino: i.ino} }

func (v volume) info(name string, st fs.FileInfo) fs.FileInfo {
	if slices.Contains(v.subvolumes, name) {
		return info{st, 256}
	}
	return info{st, 300}
}

func (v volume) Lstat(name string) (fs.FileInfo, error) {
	st, err := v.MapFS.Lstat(name)
	if err != nil {
		return nil, err
	}
	return v.info(name, st), nil
}

func (v volume) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := v.MapFS.ReadDir(name)
	for i, d := range list {
		st, err := d.Info()
		if err != nil {
			return nil, err
		}
		path := strings.TrimPrefix(name+"/"+d.Name(), "./")
		list[i] = fs.FileInfoToDirEntry(v.info(path, st))
	}
	return list, err
}

func TestRoots(t *testing.T) {
	for _, tt := range []struct {
		name       string
		files      string // with spaces between
		subvolumes string // the same; "" when it is not known which are
		want       string
	}{
		{name: "usual names", files: "@/boot/k @home/user/x @var/log/x", want: ". @ @home @var"},
		{name: "@ first", files: "!/etc/x @/etc/x", want: ". @ !"},
		{name: "root at the top", files: "boot/k etc/fstab home/x", want: ". boot etc home"},
		{name: "nested", files: "pool/alpine/@/boot/k pool/data/x", want: ". pool pool/alpine/@"},
		{name: "too deep", files: "a/b/c/d/boot/k", want: ". a"},
		{name: "snapper", files: "@/etc/x @/.snapshots/9/snapshot/boot/k @/.snapshots/10/snapshot/boot/k @/.snapshots/10/info.xml", want: ". @ [@/.snapshots/10/snapshot] [@/.snapshots/9/snapshot]"},
		{name: "snapper with a subvolume of its own", files: "@/etc/x @snapshots/1/snapshot/boot/k", want: ". @ [@snapshots/1/snapshot]"},
		{name: "timeshift", files: "@/etc/x timeshift-btrfs/snapshots/2026-01-02_10-00-01/@/boot/k timeshift-btrfs/snapshots/2026-01-02_10-00-01/@home/x timeshift-btrfs/snapshots-daily/2026-01-02_10-00-01/x", want: ". @ [timeshift-btrfs/snapshots/2026-01-02_10-00-01/@]"},
		{name: "btrbk", files: "@/etc/x btrbk_snapshots/@.20260102/etc/x btrbk_snapshots/@.20260103/etc/x", want: ". @ [btrbk_snapshots/@.20260103] [btrbk_snapshots/@.20260102]"},
		{name: "by name", files: "@/etc/x @-2026-01-02/etc/x root-backup/etc/x", want: ". @ [@-2026-01-02] [root-backup]"},
		{name: "nothing", want: "."},

		{name: "known: only subvolumes", files: "@/boot/k directory/boot/k", subvolumes: "@", want: ". @"},
		{name: "known: without a system in it", files: "@boot/k @/etc/x", subvolumes: "@ @boot", want: ". @ @boot"},
		{name: "known: nested", files: "pool/alpine/@/x pool/y/x", subvolumes: "pool/alpine pool/alpine/@", want: ". pool/alpine pool/alpine/@"},
		{name: "known: a directory in the snapshots", files: "@/.snapshots/1/snapshot/boot/k @/.snapshots/1/@/x", subvolumes: "@ @/.snapshots @/.snapshots/1/@", want: ". @ [@/.snapshots/1/@]"},
		{name: "known: root at the top", files: "etc/x var/lib/machines/boot/k arch/etc/x", subvolumes: "var/lib/machines arch", want: ". arch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			for name := range strings.FieldsSeq(tt.files) {
				fsys[name] = boottest.File("x")
			}
			var v fs.FS = fsys
			if tt.subvolumes != "" {
				v = volume{fsys, strings.Fields(tt.subvolumes)}
			}
			got, older := subvolume.Roots(v, btrfs)
			if list(got) != tt.want || older != 0 {
				t.Errorf("got  %s (%d older)\nwant %s", list(got), older, tt.want)
			}
			if got, _ := subvolume.Roots(v, boot.Volume{Type: "ext4"}); list(got) != "." {
				t.Errorf("not on btrfs: got %s", list(got))
			}
		})
	}
}

// TestLimits asserts that neither many snapshots nor many directories are all
// read, and that the newest snapshots are.
func TestLimits(t *testing.T) {
	fsys := fstest.MapFS{"@/etc/x": boottest.File("")}
	for i := range 300 {
		fsys[fmt.Sprintf("@/.snapshots/%d/snapshot/boot/k", i+1)] = boottest.File("")
		fsys[fmt.Sprintf("@snapshots/%d/snapshot/boot/k", i+1)] = boottest.File("")
	}
	roots, older := subvolume.Roots(fsys, btrfs)
	if len(roots) != 2+64 || older != 600-64 || roots[2].Dir != "@/.snapshots/300/snapshot" || roots[3].Dir != "@/.snapshots/299/snapshot" {
		t.Errorf("%d older, %s", older, list(roots))
	}
	wide := fstest.MapFS{}
	for i := range 100 {
		for j := range 100 {
			wide[fmt.Sprintf("%d/%d/boot/k", i, j)] = boottest.File("")
		}
	}
	// A subvolume after more directories than are listed.
	full := volume{fstest.MapFS{"zroot/etc/x": boottest.File("")}, []string{"zroot"}}
	for i := range 1000 {
		full.MapFS[fmt.Sprintf("data/%d/x", i)] = boottest.File("")
		full.MapFS[fmt.Sprintf("%d/x", i)] = boottest.File("")
	}
	if roots, _ := subvolume.Roots(full, btrfs); list(roots) != ". zroot" {
		t.Errorf("behind many directories: %s", list(roots))
	}
	start := boottest.ProcessorTime(t)
	if roots, _ := subvolume.Roots(wide, btrfs); len(roots) > 101 || boottest.ProcessorTime(t)-start > 10*time.Second {
		t.Errorf("%d roots in %v", len(roots), boottest.ProcessorTime(t)-start)
	}
}

func TestIsSnapshot(t *testing.T) {
	for dir, want := range map[string]bool{
		"@": false, "@home": false, "alpine/@": false, "root-3.22": false, "@20": false, "v2024010": false,
		"@/.snapshots/1/snapshot": true, "@snap1": true, "timeshift-btrfs/snapshots/x/@": true, "@.20260102T1000": true,
		"@_2026-01-02": true, "old/2026_01_02": true, "@BACKUP": true,
	} {
		if got := subvolume.IsSnapshot(dir); got != want {
			t.Errorf("%s: got %t", dir, got)
		}
	}
}

func TestMark(t *testing.T) {
	at := func(kernel, cmdline, config string) boot.Entry {
		return boot.Entry{Kernel: kernel, Cmdline: cmdline, Source: boot.Source{File: config}}
	}
	elsewhere := at("snap/k", "quiet", "limine.conf")
	elsewhere.Volume = boot.Volume{Device: "/dev/sda1", Type: "vfat"}
	for _, tt := range []struct {
		name  string
		entry boot.Entry
		want  bool
	}{
		{"by its root", at("k", "root=x rootflags=compress,subvol=/@/.snapshots/1/snapshot quiet", "grub.cfg"), true},
		{"the system itself", at("@/.snapshots/1/snapshot/k", "rootflags=subvol=@", "grub.cfg"), false},
		{"the last rootflags count", at("k", "rootflags=subvol=@snap rootflags=subvol=@", "grub.cfg"), false},
		{"by its kernel", at("@/.snapshots/1/snapshot/boot/k", "quiet", "@/boot/grub.cfg"), true},
		{"with its own configuration", at("@/.snapshots/1/snapshot/boot/k", "quiet", "@/.snapshots/1/snapshot/boot/grub.cfg"), false},
		{"not on btrfs", elsewhere, false},
	} {
		entries := []boot.Entry{tt.entry}
		if subvolume.Mark(entries, btrfs); entries[0].Snapshot != tt.want {
			t.Errorf("%s: got %t", tt.name, entries[0].Snapshot)
		}
	}
}

// TestFlag asserts what a kernel would make of its command line.
func TestFlag(t *testing.T) {
	got := map[string]string{}
	want := map[string]string{
		"":                                "",
		"rootflags=ro":                    "",
		"rootflags=subvol=@":              "@",
		"rootflags=subvolid=5,subvol=/a/": "a",
		`rootflags="subvol=a b" quiet`:    "a b",
		"xrootflags=subvol=@":             "",
	}
	for in := range want {
		got[in] = subvolume.Flag(in)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// FuzzRoots asserts that names of any kind lead to directories that are there, and
// each once.
func FuzzRoots(f *testing.F) {
	f.Add("@/boot/k", "@/.snapshots/1/snapshot/boot/k", "a/b/c/@/etc/x", "@")
	f.Add("timeshift-btrfs/snapshots/2026/@/boot/k", "@snapshots/x/boot/k", "20260102/etc/x", "")
	f.Fuzz(func(t *testing.T, a, b, c, known string) {
		fsys := fstest.MapFS{}
		for _, name := range []string{a, b, c} {
			if fs.ValidPath(name) && name != "." {
				fsys[name] = boottest.File("")
			}
		}
		var v fs.FS = fsys
		if known != "" {
			v = volume{fsys, []string{known}}
		}
		roots, _ := subvolume.Roots(v, btrfs)
		seen := map[string]bool{}
		for _, r := range roots {
			if st, err := fs.Stat(fsys, r.Dir); err != nil || !st.IsDir() || seen[r.Dir] {
				t.Errorf("%q: %v", r.Dir, err)
			}
			seen[r.Dir] = true
		}
	})
}
