package qemutests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// Starts of entries with a boot counter are counted in the names of their files, on
// the EFI system partition, as systemd-boot does; nothing else there changes.
// What has no starts left comes last. A system with systemd takes the counter off.
func TestBootCounters(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	needFirmware(t, "systemd-boot-efi", "/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
	needOwnKernel(t, "the target of systemd-bless-boot needs drivers for FAT and EFI variables built in")
	t.Parallel()
	own, err := made.Kernel()
	if err != nil {
		t.Fatal(err)
	}
	k := kernelOf(t, debian.Newer)
	files := map[string]string{"flavour": "arch"}
	initrd := initramfs(t, target.Gzip, files)
	const cmdline = targetOptions

	dir := t.TempDir()
	release, archive := filepath.Join(dir, "os-release"), filepath.Join(dir, "initramfs")
	for file, b := range map[string][]byte{release: []byte("ID=debian\nPRETTY_NAME=\"Debian image\"\n"), archive: initrd} {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	image := makePayload(t, "counted.efi", "uki", "--kernel", k.Image, "--initramfs", archive, "--cmdline", cmdline, "--os-release", release)
	entry := func(title, kernel, initrd string) []byte {
		return fmt.Appendf(nil, "title %s\nlinux %s\ninitrd %s\noptions %s\n", title, kernel, initrd, cmdline)
	}
	drive := vm.Drive{Access: vm.Writeable, File: write(t, disk.Layout{Table: disk.GPT, Partitions: []disk.Partition{
		{Size: 80, Type: "U", Name: "EFI", FS: disk.FS{Type: "vfat", UUID: "1A2B3C4D", Files: []disk.File{
			{Path: "arch/vmlinuz", From: k.Image}, {Path: "arch/initramfs", Data: initrd},
			{Path: "own/vmlinuz", From: own}, {Path: "own/initramfs", Data: targetImage(t, target.Image{Confirm: "bless /dev/vda1", Programs: blessBoot(t)})},
			{Path: "loader/entries/zz-bad+0-3.conf", Data: entry("No starts left", "/arch/vmlinuz", "/arch/initramfs")},
			{Path: "loader/entries/arch+3-00.conf", Data: entry("Arch", "/arch/vmlinuz", "/arch/initramfs")},
			{Path: "loader/entries/own+2-0.conf", Data: entry("Own", "/own/vmlinuz", "/own/initramfs")},
			{Path: "EFI/Linux/uki+2-0.efi", From: image},
		}}},
	}})}
	variables := vars(t, ovmf+"OVMF_VARS_4M.fd")
	uefi := func(o *vm.Options) { o.Flash = vm.Flash{Code: ovmf + "OVMF_CODE_4M.fd", Vars: variables} }

	before := readFile(t, drive.File)
	t.Run("unattended", func(t *testing.T) {
		m := startWith(t, "alpboot.timeout=2 alpboot.default=Arch", uefi, drive)
		m.target(want{k, cmdline, files})
		before = renamed(t, drive.File, before, "arch+3-00.conf", "arch+2-01.conf")
	})
	t.Run("by hand", func(t *testing.T) {
		m := startWith(t, "alpboot.timeout=-1", uefi, drive)
		m.row(menuLimit, "Debian image")
		m.Await(drawLimit, vm.ScreenIs("what has no starts left behind the other entries of its kind", func(s vm.Screen) bool {
			return rowOf(s, "No starts left") > max(rowOf(s, "Arch"), rowOf(s, "Own"))
		}))
		m.choose("Debian image")
		m.target(want{k, cmdline, files})
		before = renamed(t, drive.File, before, "uki+2-0.efi", "uki+1-1.efi")
	})
	t.Run("systemd-bless-boot", func(t *testing.T) {
		m := startWith(t, "alpboot.timeout=-1", uefi, drive)
		m.row(menuLimit, "Own")
		m.choose("Own")
		m.Await(targetLimit, vm.InLog("alpboot target: confirmed"))
		m.AwaitEnd(drawLimit)
		if got := names(t, drive.File, "loader/entries"); !slices.Equal(got, []string{"arch+2-01.conf", "own.conf", "zz-bad+0-3.conf"}) {
			t.Errorf("there is %q", got)
		}
	})
}

// choose starts the entry of a title.
func (m machine) choose(title string) {
	m.t.Helper()
	m.Type("/"+vm.Key(title), vm.Enter)
	m.selected(title)
	m.Type(vm.Enter)
}

// blessBoot returns Debian's systemd-bless-boot with the libraries that it needs.
func blessBoot(t *testing.T) map[string][]byte {
	t.Helper()
	cache := filepath.Join(made.Root(), "build", "cache", "debian")
	var program string
	var libraries []string
	// The last two are what else a Debian without systemd lacks.
	for _, name := range []string{"systemd-boot", "libsystemd-shared", "libip4tc2", "libkmod2"} {
		tree, err := debian.Unpack(cache, name)
		if err != nil {
			missing(t, err)
		}
		if program == "" {
			program = filepath.Join(tree, "lib/systemd/systemd-bless-boot")
		}
		for _, dir := range []string{"usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"} {
			libraries = append(libraries, filepath.Join(tree, dir), filepath.Join(tree, dir, "systemd"))
		}
	}
	cmd := exec.Command("ldd", program)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	out, err := cmd.CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("not found")) {
		missing(t, fmt.Errorf("systemd-bless-boot does not run here (Debian: package libsystemd-shared): %v\n%s", err, out))
	}
	list := map[string][]byte{"lib/systemd/systemd-bless-boot": readFile(t, program)}
	for _, m := range regexp.MustCompile(`(?m)(?:^|=>)\s*(/\S+)`).FindAllStringSubmatch(string(out), -1) {
		name := "lib/" + filepath.Base(m[1])
		if strings.HasPrefix(filepath.Base(m[1]), "ld-linux") {
			name = "lib64/" + filepath.Base(m[1])
		}
		list[name] = readFile(t, m[1])
	}
	return list
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// names returns the names in a directory of the first partition, which begins at
// 1 MiB.
func names(t *testing.T, image, dir string) []string {
	t.Helper()
	out, err := exec.Command("mdir", "-b", "-i", image+"@@1M", "::"+dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(string(out)) {
		list = append(list, filepath.Base(strings.TrimSpace(line)))
	}
	slices.Sort(list)
	return list
}

// renamed asserts that a disk has changed from before by nothing but the renaming of
// a file: of the slots of 32 bytes that a FAT directory is made of, those of the old
// name are free now, as many others have the new one, and the directory has
// another time of change. It returns the disk as it is now.
func renamed(t *testing.T, file string, before []byte, from, to string) (after []byte) {
	t.Helper()
	const slot = 32
	after = readFile(t, file)
	if len(after) != len(before) {
		t.Fatalf("the disk has %d bytes, and had %d", len(after), len(before))
	}
	var freed, taken, times int
	for i := 0; i < len(before); i += slot {
		was, is := before[i:i+slot], after[i:i+slot]
		if bytes.Equal(was, is) {
			continue
		}
		switch {
		case is[0] == 0xe5 && bytes.Equal(was[1:], is[1:]) && was[0] != 0:
			freed++
		case was[0] == 0 || was[0] == 0xe5:
			taken++
		case was[11]&0x10 != 0 && bytes.Equal(was[:18], is[:18]) && bytes.Equal(was[26:], is[26:]):
			times++ // of a directory
		default:
			t.Errorf("at byte %d there was\n  %q and is\n  %q", i, was, is)
		}
	}
	if slots := 1 + (len(from)+12)/13; freed != slots || taken != slots || times > 1 {
		t.Errorf("%d slots of the directory were freed and %d taken, want %d; %d directories have another time", freed, taken, slots, times)
	}
	for name, there := range map[string]bool{from: false, to: true} {
		dir := "loader/entries"
		if strings.HasSuffix(name, ".efi") {
			dir = "EFI/Linux"
		}
		if got := names(t, file, dir); slices.Contains(got, name) != there {
			t.Errorf("there is %q", got)
		}
	}
	return after
}
