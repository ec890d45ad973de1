package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/list"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/cmds/lsboot/lsboot"
	"github.com/alpboot/alpboot/qemu-tests/disk"
)

// write puts a tree of files into the directory dir.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// alpine is one root filesystem with two good entries and a broken one.
func alpine() map[string]string {
	return map[string]string{
		"boot/vmlinuz-lts":     string(boottest.BzImage("6.12.1-0-lts")),
		"boot/vmlinuz-virt":    string(boottest.BzImage("6.12.1-0-virt")),
		"boot/initramfs-lts":   "\x1f\x8b\x08\x00",
		"boot/initramfs-virt":  "\x1f\x8b\x08\x00",
		"boot/intel-ucode.img": "070701",
		"boot/extlinux.conf": `DEFAULT menu.c32
LABEL lts
  MENU DEFAULT
  MENU LABEL Linux lts
  LINUX vmlinuz-lts
  INITRD intel-ucode.img,initramfs-lts
  APPEND root=UUID=1 quiet
LABEL virt
  MENU LABEL A title that is longer than the column which is there for it, ` + "\x1b[2J" + `
  LINUX vmlinuz-virt
  INITRD initramfs-virt
  APPEND root=UUID=1
LABEL edge
  MENU LABEL Linux edge
  LINUX vmlinuz-edge
  INITRD initramfs-edge
  APPEND root=UUID=1
`,
	}
}

func run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = lsboot.Run(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestTable(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "disk", alpine())
	code, got, stderr := run("disk")
	want := `      TITLE                                                 VERSION       VOLUME
*   1 Linux lts                                             6.12.1-0-lts  disk
    2 A title that is longer than the column which is th... 6.12.1-0-virt disk
!   3 Linux edge                                                          disk
      Its kernel /boot/vmlinuz-edge is missing.
*  default of its configuration
!  cannot be booted
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if code != lsboot.Found || stderr != "" {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	for line := range strings.Lines(got) {
		if len(line) > 81 {
			t.Errorf("more than 80 columns: %q", line)
		}
	}
}

// Entries of submenus and snapshots stand below a line with what they are,
// again for each volume, and problems of volumes below the table.
func TestTableOfGroups(t *testing.T) {
	sda, sdb := boot.Volume{Device: "/dev/sda1"}, boot.Volume{Device: "/dev/sdb1"}
	advanced := []string{"Advanced options for Alpine"}
	inv := boot.Inventory{
		Entries: []boot.Entry{
			{Title: "Alpine", Volume: sda, Default: true},
			{Title: "Alpine, with Linux lts", Submenu: advanced, Volume: sda},
			{Title: "Alpine, with a title that is as long as only GRUB makes them (recovery mode)", Submenu: advanced, Volume: sda, Version: "6.18.32-0-lts"},
			{Title: "deeper", Submenu: append(advanced, strings.Repeat("old ", 20)), Volume: sda},
			{Title: "Alpine", Volume: sdb},
			{Title: "Alpine, with Linux virt", Submenu: advanced, Volume: sdb, Problem: "It does not work."},
			{Title: "Alpine, snapshot 2", Snapshot: true, Guessed: true, Volume: sdb},
			{Title: "Alpine, snapshot 1", Snapshot: true, Guessed: true, Volume: sdb},
		},
		Volumes: []boot.VolumeStatus{{Locked: true, Problem: "/dev/sdc1 is encrypted (LUKS), and its passphrase has not been given."}},
	}
	var got bytes.Buffer
	if err := errors.Join(list.Table(&got, inv.Entries, nil), list.Problems(&got, inv.Volumes)); err != nil {
		t.Fatal(err)
	}
	want := `      TITLE                                              VERSION       VOLUME
*   1 Alpine                                                           /dev/sda1
      Advanced options for Alpine:
    2   Alpine, with Linux lts                                         /dev/sda1
    3   Alpine, with a title that is as long as only ... 6.18.32-0-lts /dev/sda1
      Advanced options for Alpine / old old old old old old old old old old o...
    4   deeper                                                         /dev/sda1
    5 Alpine                                                           /dev/sdb1
      Advanced options for Alpine:
!   6   Alpine, with Linux virt                                        /dev/sdb1
      It does not work.
      Snapshots:
?   7   Alpine, snapshot 2                                             /dev/sdb1
?   8   Alpine, snapshot 1                                             /dev/sdb1
*  default of its configuration
?  guessed: no configuration has its command line
!  cannot be booted
/dev/sdc1 is encrypted (LUKS), and its passphrase has not been given.
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestJSON(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "disk", alpine())
	code, stdout, stderr := run("--json", "disk")
	if code != lsboot.Found || stderr != "" {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	var got []map[string]any
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 {
		t.Fatalf("got %d entries, want 3", len(got))
	}
	id, _ := got[0]["id"].(string)
	want := map[string]any{
		"id": id, "title": "Linux lts", "submenu": []any{}, "version": "6.12.1-0-lts", "format": "extlinux", "source": "/boot/extlinux.conf:2",
		"volume": map[string]any{"device": "disk", "uuid": "", "label": "", "type": ""},
		"kernel": "/boot/vmlinuz-lts", "initrds": []any{"/boot/intel-ucode.img", "/boot/initramfs-lts"},
		"cmdline": "root=UUID=1 quiet", "default": true, "guessed": false, "snapshot": false, "problem": "",
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !strings.HasPrefix(id, "linux-lts-") {
		t.Errorf("id: got %q", id)
	}
	if p, _ := got[2]["problem"].(string); !strings.Contains(p, "missing") {
		t.Errorf("problem of the third: got %q", p)
	}
}

// Nothing from a disk steers the terminal, and --json keeps it all the same.
func TestTerminalIsSafe(t *testing.T) {
	t.Chdir(t.TempDir())
	files := alpine()
	evil := "root=UUID=1 a=\u009b2J b=\u202equiet c=\U000e0001"
	files["boot/extlinux.conf"] = "LABEL \u202elts\nLINUX vmlinuz-lts\nAPPEND " + evil + "\nLABEL x\nLINUX \u009bvmlinuz\n"
	write(t, "disk", files)
	for _, args := range [][]string{{"disk"}, {"--json", "disk"}} {
		_, stdout, stderr := run(args...)
		for _, out := range []string{stdout, stderr} {
			if i := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && !boot.Printable(r) }); i >= 0 {
				t.Errorf("lsboot %q prints %q", args, out[i:])
			}
		}
		if len(args) == 1 {
			continue
		}
		var got []struct{ Cmdline string }
		if err := json.Unmarshal([]byte(stdout), &got); err != nil || len(got) == 0 || got[0].Cmdline != evil {
			t.Errorf("got %q (%v), want the command line %q", got, err, evil)
		}
	}
}

func TestExitCodes(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "disk", alpine())
	write(t, "empty", map[string]string{"etc/motd": "hello"})
	tests := []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string // what they contain; "" for nothing at all
	}{
		{name: "entries", args: []string{"disk"}, code: 0, stdout: "Linux lts"},
		{name: "none", args: []string{"empty"}, code: 1, stderr: "nothing was found"},
		{name: "none, as JSON", args: []string{"--json", "empty"}, code: 1, stdout: "[]\n", stderr: "nothing was found"},
		{name: "two directories", args: []string{"empty", "disk"}, code: 0, stdout: "Linux lts"},
		{name: "no such file", args: []string{"nowhere"}, code: 2, stderr: "nowhere: no such file"},
		{name: "neither directory nor disk", args: []string{"/dev/null"}, code: 2, stderr: "/dev/null is neither"},
		{name: "unknown flag", args: []string{"--yaml"}, code: 2, stderr: "Usage: lsboot"},
		{name: "help", args: []string{"--help"}, code: 0, stderr: "Usage: lsboot"},
		{name: "version", args: []string{"--version"}, code: 0, stdout: "lsboot "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := run(tt.args...)
			if code != tt.code {
				t.Errorf("exit code: got %d, want %d", code, tt.code)
			}
			for _, s := range []struct{ name, got, want string }{{"stdout", stdout, tt.stdout}, {"stderr", stderr, tt.stderr}} {
				if (s.got == "") != (s.want == "") || !strings.Contains(s.got, s.want) {
					t.Errorf("%s: got %q, want %q", s.name, s.got, s.want)
				}
			}
		})
	}
}

func TestDirectoryCannotBeLeft(t *testing.T) {
	t.Chdir(t.TempDir())
	files := alpine()
	kernel := files["boot/vmlinuz-lts"]
	delete(files, "boot/vmlinuz-lts")
	write(t, "disk", files)
	write(t, "outside", map[string]string{"vmlinuz": kernel})
	if err := os.Symlink("../../outside/vmlinuz", "disk/boot/vmlinuz-lts"); err != nil {
		t.Fatal(err)
	}
	_, stdout, _ := run("disk")
	if !strings.Contains(stdout, "!   1 Linux lts") {
		t.Errorf("a symlink out of the directory was followed:\n%s", stdout)
	}
}

// An image file is read through loop devices, whole or with partitions,
// and stays as it was.
func TestImage(t *testing.T) {
	boottest.NeedTools(t, "sfdisk")
	boottest.NeedRoot(t)
	t.Chdir(t.TempDir())
	write(t, "tree", alpine())
	const start, size = 1 << 20, 16 << 20
	truncate := func(name string, n int64) {
		t.Helper()
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, n); err != nil {
			t.Fatal(err)
		}
	}
	truncate("whole.img", size)
	boottest.Tool(t, "mkfs.ext4", "-q", "-L", "/", "-d", "tree", "whole.img")
	truncate("parts.img", start+size+start)
	c := exec.Command("sfdisk", "-q", "parts.img")
	c.Stdin = strings.NewReader("label: gpt\nstart=2048, size=32768\n")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v\n%s", err, out)
	}
	boottest.Tool(t, "dd", "if=whole.img", "of=parts.img", "bs=1M", "seek=1", "conv=notrunc", "status=none")

	for _, tt := range []struct{ image, device string }{{"whole.img", "whole.img"}, {"parts.img", "parts.img#1"}} {
		t.Run(tt.image, func(t *testing.T) {
			before, err := os.ReadFile(tt.image)
			if err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := run("--json", tt.image)
			var got []struct {
				Volume struct{ Device, Label, Type string }
			}
			if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 || len(got) != 3 {
				t.Fatalf("exit code %d, %d entries, %v, stderr %q", code, len(got), err, stderr)
			}
			if v := got[0].Volume; v.Device != tt.device || v.Label != "/" || v.Type != "ext4" {
				t.Errorf("volume: got %+v", v)
			}
			if after, err := os.ReadFile(tt.image); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the image was changed (%v)", err)
			}
		})
	}
}

// A btrfs on two devices is read when the images of both are named, listed once,
// and no copy of itself.
func TestImagesOfOneBtrfs(t *testing.T) {
	boottest.NeedRoot(t)
	if b, _ := os.ReadFile("/proc/filesystems"); !bytes.Contains(b, []byte("\tbtrfs\n")) {
		boottest.Skip(t, "this kernel has no btrfs")
	}
	t.Chdir(t.TempDir())
	write(t, "tree", alpine())
	var loops []string
	for _, name := range []string{"a.img", "b.img"} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, 128<<20); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("losetup", "--find", "--show", name).Output()
		if err != nil {
			boottest.Skip(t, "losetup: ", err)
		}
		loop := strings.TrimSpace(string(out))
		loops = append(loops, loop)
		t.Cleanup(func() { exec.Command("losetup", "--detach", loop).Run() }) // again, where the test has failed
	}
	boottest.Tool(t, "mkfs.btrfs", append([]string{"-q", "-m", "raid1", "-d", "raid0"}, loops...)...)
	if err := os.Mkdir("mnt", 0o755); err != nil {
		t.Fatal(err)
	}
	boottest.Tool(t, "mount", loops[0], "mnt")
	boottest.Tool(t, "cp", "-r", "tree/boot", "mnt/")
	boottest.Tool(t, "umount", "mnt")
	boottest.Tool(t, "btrfs", append([]string{"-q", "device", "scan", "--forget"}, loops...)...)
	boottest.Tool(t, "losetup", append([]string{"--detach"}, loops...)...)

	code, stdout, stderr := run("--json", "a.img", "b.img")
	var got []struct{ Volume struct{ Type string } }
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 || len(got) != 3 || got[0].Volume.Type != "btrfs" {
		t.Errorf("exit code %d, %v, %v:\n%s", code, got, err, stderr)
	}
	for _, unwanted := range []string{"same UUID", "not all of them"} {
		if strings.Contains(stderr, unwanted) {
			t.Errorf("says %q:\n%s", unwanted, stderr)
		}
	}
	exec.Command("btrfs", "-q", "device", "scan", "--forget").Run()
	if code, stdout, stderr := run("a.img"); code != 1 || !strings.Contains(stdout, "belongs to a btrfs on 2 devices, which is read when all of them are named") {
		t.Errorf("one of two: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// Images of filesystems that were not unmounted stay as they were: no journal is
// replayed, though what is listed may need it.
func TestUncleanImageIsLeftAsItWas(t *testing.T) {
	for _, tt := range []struct {
		fstype string
		size   int64
	}{{"ext4", 16 << 20}, {"xfs", 320 << 20}, {"btrfs", 128 << 20}} {
		t.Run(tt.fstype, func(t *testing.T) {
			boottest.NeedFilesystem(t, tt.fstype)
			boottest.NeedTools(t, "mkfs."+tt.fstype, "fsfreeze")
			t.Chdir(t.TempDir())
			if err := os.WriteFile("mounted.img", nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate("mounted.img", tt.size); err != nil {
				t.Fatal(err)
			}
			boottest.Tool(t, "mkfs."+tt.fstype, "-q", "mounted.img")
			if err := os.Mkdir("mnt", 0o755); err != nil {
				t.Fatal(err)
			}
			boottest.Tool(t, "mount", "-o", "loop", "mounted.img", "mnt")
			defer boottest.Tool(t, "umount", "mnt")
			write(t, "mnt", alpine())
			// All so far goes to its place, and what follows only to the journal.
			boottest.Tool(t, "fsfreeze", "-f", "mnt")
			boottest.Tool(t, "fsfreeze", "-u", "mnt")
			late, err := os.Create("mnt/late")
			if err != nil {
				t.Fatal(err)
			}
			defer late.Close()
			if err := late.Sync(); err != nil {
				t.Fatal(err)
			}
			boottest.Tool(t, "cp", "--sparse=always", "mounted.img", "disk.img")
			before := checksum(t, "disk.img")
			code, stdout, stderr := run("--json", "disk.img")
			if code != lsboot.Found || !strings.Contains(stdout, `"title": "Linux lts"`) {
				t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
			}
			if checksum(t, "disk.img") != before {
				t.Error("the image was changed")
			}
		})
	}
}

func checksum(t *testing.T, file string) [sha256.Size]byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// What the menu remembers on an image is known: an entry that has used up its tries is
// marked, until it starts something else.
func TestFailedEntries(t *testing.T) {
	boottest.NeedTools(t, "mkfs.ext4", "sfdisk")
	boottest.NeedFilesystem(t, "ext4")
	t.Chdir(t.TempDir())
	listed := func(label string, state remember.State) (table, json string) {
		t.Helper()
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		const name = "alpboot.state"
		store := remember.File{Path: name, FS: root.FS(), Write: func(do func(*os.Root) error) error { return do(root) }}
		if err := errors.Join(remember.Prepare(root, name), store.Save(state)); err != nil {
			t.Fatal(err)
		}
		fs := disk.FS{Type: "ext4", UUID: "00000000-1111-4222-8333-000000000001", Label: label}
		for _, slot := range []string{name + ".0", name + ".1"} {
			fs.Files = append(fs.Files, disk.File{Path: slot, From: filepath.Join(root.Name(), slot)})
		}
		for path, text := range alpine() {
			fs.Files = append(fs.Files, disk.File{Path: path, Data: []byte(text)})
		}
		if err := (disk.Layout{Table: disk.MBR, Partitions: []disk.Partition{{Size: 16, FS: fs}}}).Write("disk.img"); err != nil {
			t.Fatal(err)
		}
		_, table, stderr := run("disk.img")
		_, json, _ = run("--json", "disk.img")
		if stderr != "" {
			t.Error(stderr)
		}
		return table, json
	}
	const label = "ALPBOOT"
	_, text := listed(label, remember.State{})
	var entries []struct{ ID string }
	if err := json.Unmarshal([]byte(text), &entries); err != nil || len(entries) == 0 {
		t.Fatal(err, text)
	}
	for _, tt := range []struct {
		name, label, fingerprint string
		left                     int
		failed                   bool
	}{
		{name: "no tries left", label: label, failed: true},
		{name: "tries left", label: label, left: 1},
		{name: "something else by now", label: label, fingerprint: "0123456789abcdef"},
		{name: "where the menu would not look", label: "root"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := entries[0].ID
			table, text := listed(tt.label, remember.State{Trying: id, Tries: []remember.Try{{ID: id, Fingerprint: tt.fingerprint, Left: tt.left}}})
			if got := strings.Contains(table, "x   1 Linux lts "); got != tt.failed || strings.Contains(table, "x  has failed") != tt.failed {
				t.Errorf("marked: %t, want %t\n%s", got, tt.failed, table)
			}
			if got := strings.Contains(text, `"failed": true`); got != tt.failed {
				t.Errorf("in JSON: %t\n%s", got, text)
			}
		})
	}
}

// What a grub.cfg finds on another volume by its UUID is found in another one of
// the directories that are named.
func TestDirectoriesOfOneSystem(t *testing.T) {
	t.Chdir(t.TempDir())
	root := alpine()
	delete(root, "boot/extlinux.conf")
	delete(root, "boot/vmlinuz-virt")
	root["boot/grub/grub.cfg"] = "menuentry 'Alpine' { linux /boot/vmlinuz-lts root=UUID=1; initrd /boot/initramfs-lts }\n"
	write(t, "root", root)
	write(t, "esp", map[string]string{"EFI/alpine/grub.cfg": "search --fs-uuid --set=dev 8f3f0a52-0000\nset prefix=($dev)/boot/grub\nconfigfile $prefix/grub.cfg\n"})
	code, got, stderr := run("esp", "root")
	if code != lsboot.Found || stderr != "" || !strings.Contains(got, "Alpine") || strings.Contains(got, "cannot") {
		t.Errorf("exit code %d, stderr %q\n%s", code, stderr, got)
	}
}

// A FAT image and an ISO file on it are read, with or without the kernel's drivers
// and the right to mount.
func TestMedia(t *testing.T) {
	boottest.NeedTools(t, "mkfs.fat", "mcopy", "xorriso")
	t.Chdir(t.TempDir())
	live := map[string]string{
		"live/vmlinuz":           string(boottest.BzImage("6.12.43+deb13-amd64")),
		"live/initrd.img":        "\x1f\x8b\x08\x00",
		"boot/grub/loopback.cfg": "menuentry 'Live system' { linux /live/vmlinuz boot=live findiso=${iso_path}; initrd /live/initrd.img }\n",
	}
	write(t, "live", live)
	boottest.Tool(t, "xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", "LIVE", "-o", "live.iso", "live")
	stick := alpine()
	stick["boot/extlinux.conf"] = strings.ReplaceAll(stick["boot/extlinux.conf"], "\x1b[2J", "")
	write(t, "stick", stick)
	if err := errors.Join(os.Rename("live.iso", "stick/live.iso"), os.WriteFile("stick.img", nil, 0o600), os.Truncate("stick.img", 32<<20)); err != nil {
		t.Fatal(err)
	}
	boottest.Tool(t, "mkfs.fat", "-n", "STICK", "stick.img")
	boottest.Tool(t, "mcopy", "-s", "-i", "stick.img", "stick/boot", "stick/live.iso", "::")
	code, got, stderr := run("stick.img")
	for _, want := range []string{"Linux lts", "6.12.1-0-lts", "Live system", "6.12.43+deb", "/boot/vmlinuz-edge is missing"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
	if code != lsboot.Found || stderr != "" || t.Failed() {
		t.Errorf("exit code %d, stderr %q\n%s", code, stderr, got)
	}
}
