package lvm_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/lvm"
)

// tools runs LVM's commands on loop devices of its own, without the kernel's
// device-mapper and without touching what the host has.
type tools struct {
	t     *testing.T
	loops []string
	dir   string
}

func newTools(t *testing.T, devices int) *tools {
	t.Helper()
	boottest.NeedRoot(t)
	boottest.NeedTools(t, "lvm", "losetup")
	l := &tools{t: t, dir: t.TempDir()}
	for i := range devices {
		image := filepath.Join(l.dir, fmt.Sprint("pv", i))
		must(t, os.WriteFile(image, nil, 0o600))
		must(t, os.Truncate(image, 32*mib))
		out, err := exec.Command("losetup", "--find", "--show", image).Output()
		if err != nil {
			t.Fatalf("losetup: %v", err)
		}
		loop := strings.TrimSpace(string(out))
		t.Cleanup(func() { boottest.Tool(t, "losetup", "--detach", loop) })
		l.loops = append(l.loops, loop)
	}
	return l
}

// run returns what a command prints.
func (l *tools) run(command string, args ...string) string {
	l.t.Helper()
	config := fmt.Sprintf(`activation { udev_sync=0 udev_rules=0 verify_udev_operations=0 }
backup { backup=0 archive=0 }
devices { use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none" filter=["a:^(%s)$:", "r:.*:"] }
global { use_lvmpolld=0 locking_dir=%q }
`, strings.Join(l.loops, "|"), l.dir)
	cmd := exec.Command("lvm", append([]string{command, "--driverloaded", "n", "--config", config}, args...)...)
	cmd.Env = append(os.Environ(), "LVM_SUPPRESS_FD_WARNINGS=1", "LVM_SYSTEM_DIR="+l.dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		l.t.Fatalf("lvm %s %q: %v\n%s", command, args, err, &stderr)
	}
	return string(out)
}

// report returns the lines of a report, sorted.
func (l *tools) report(command, fields string, args ...string) []string {
	l.t.Helper()
	out := l.run(command, append([]string{"--noheadings", "--separator", "|", "--units", "s", "--nosuffix", "-o", fields}, args...)...)
	var lines []string
	for line := range strings.Lines(out) {
		lines = append(lines, strings.TrimSpace(line))
	}
	slices.Sort(lines)
	return lines
}

// lvs returns the segments of all volumes, hidden ones too.
func (l *tools) lvs() []string {
	l.t.Helper()
	return l.report("lvs", "lv_name,lv_uuid,segtype,seg_start_pe,seg_size_pe,stripes,stripe_size,devices", "--all")
}

// check compares what LVM says with what we read.
func (l *tools) check() {
	l.t.Helper()
	var pvs []string
	for _, loop := range l.loops {
		f, err := device.Open(loop)
		must(l.t, err)
		pv, err := lvm.Read(f, f.Size)
		f.Close()
		must(l.t, err)
		if pv.VG == nil {
			l.t.Fatalf("%s is of no volume group", loop)
		}
		i := slices.IndexFunc(pv.VG.PVs, func(p lvm.VGPV) bool { return p.UUID == pv.UUID })
		if i < 0 {
			l.t.Fatalf("%s is not in its volume group", loop)
		}
		in := pv.VG.PVs[i]
		pvs = append(pvs, fmt.Sprintf("%s|%s|%d|%d|%d|%s|%s|%d|%d", loop, pv.UUID, pv.Size/512, in.Start, in.Extents, pv.VG.Name, pv.VG.UUID, pv.VG.Seqno, pv.VG.ExtentSize))
		got := comparable(describe(pv.VG, func(p lvm.VGPV) string { return p.Device }))
		if want := comparable(l.lvs()); !reflect.DeepEqual(got, want) {
			l.t.Errorf("on %s we read\n%s\nlvs says\n%s", loop, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	slices.Sort(pvs)
	if want := l.report("pvs", "pv_name,pv_uuid,dev_size,pe_start,pv_pe_count,vg_name,vg_uuid,vg_seqno,vg_extent_size"); !reflect.DeepEqual(pvs, want) {
		l.t.Errorf("we read\n%s\npvs says\n%s", strings.Join(pvs, "\n"), strings.Join(want, "\n"))
	}
}

// TestAgreesWithLVM makes volume groups with LVM's tools and asks these about
// them.
func TestAgreesWithLVM(t *testing.T) {
	l := newTools(t, 3)
	l.run("pvcreate", l.loops[0])
	l.run("pvcreate", "--metadatacopies", "2", l.loops[1])
	l.run("pvcreate", "--dataalignment", "64k", l.loops[2])
	l.run("vgcreate", append([]string{"--physicalextentsize", "512k", "my-vg.0"}, l.loops...)...)
	create := func(name string, args ...string) {
		l.run("lvcreate", append([]string{"-an", "-Zn", "-Wn", "-n", name, "my-vg.0"}, args...)...)
	}
	create("lv_root", "-L", "4M")
	create("lv-swap", "-L", "2M", l.loops[1])
	create("wide", "-L", "6M", "--stripes", "3", "--stripesize", "16k")
	create("raid0", "-L", "6M", "--type", "raid0", "--stripes", "2")
	l.run("lvextend", "-L", "40M", "my-vg.0/lv_root")
	l.check()
	l.run("lvremove", "--yes", "my-vg.0/lv-swap")
	l.run("lvrename", "my-vg.0/wide", "my-vg.0/wider_than-before")
	l.check()
}

// TestKinds has LVM take over the volume group of testdata/kinds.vg, which has
// what its tools only make together with the kernel. With -update it makes
// the other files of testdata from that.
func TestKinds(t *testing.T) {
	l := newTools(t, 3)
	text, err := os.ReadFile("testdata/kinds.vg")
	must(t, err)
	for i, found := range regexp.MustCompile(`pv\d \{\nid = "(.*)"`).FindAllSubmatch(text, -1) {
		l.run("pvcreate", "--uuid", string(found[1]), "--restorefile", "testdata/kinds.vg", l.loops[i])
	}
	l.run("vgcfgrestore", "--force", "--file", "testdata/kinds.vg", "kinds")
	l.check()
	if !boottest.Update() {
		return
	}
	for i := 0; !wrapped(t, l.loops[0]); i++ {
		l.run("vgchange", "--addtag", fmt.Sprint("tag", i), "kinds")
		l.run("vgchange", "--deltag", fmt.Sprint("tag", i), "kinds")
	}
	lines := strings.Join(l.lvs(), "\n") + "\n"
	for i, loop := range l.loops {
		lines = strings.ReplaceAll(lines, loop+"(", fmt.Sprintf("pv%d(", i))
		b, err := os.ReadFile(loop)
		must(t, err)
		b = b[:mib]
		var packed bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		must(t, err)
		_, err = z.Write(b)
		must(t, err)
		must(t, z.Close())
		must(t, os.WriteFile(fmt.Sprintf("testdata/kinds.pv%d.gz", i), packed.Bytes(), 0o644))
	}
	must(t, os.WriteFile("testdata/kinds.lvs", []byte(lines), 0o644))
}

// wrapped reports whether the metadata of a device begin at the end of their
// ring and end at its beginning.
func wrapped(t *testing.T, path string) bool {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	number := func(at int) uint64 { return binary.LittleEndian.Uint64(b[4096+at:]) }
	return number(40)+number(48) > number(32)
}
