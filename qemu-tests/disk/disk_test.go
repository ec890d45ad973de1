package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// need skips a test when a program is missing; in CI that is a failure.
func need(t *testing.T, programs ...string) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, &stderr)
	}
	return string(out)
}

// Each filesystem is what blkid sees, and holds the file that was put there.
func TestFilesystems(t *testing.T) {
	const uuid = "11223344-5566-4788-99aa-bbccddeeff00"
	for _, tt := range []struct {
		fs       FS
		size     int
		programs []string
		uuid     string
		cat      func(file string) []string // command that prints /boot/x of the filesystem
	}{
		{fs: FS{Type: "ext4", Label: "/", UUID: uuid}, size: 16, programs: []string{"mkfs.ext4", "debugfs"}, uuid: uuid,
			cat: func(f string) []string { return []string{"debugfs", "-R", "cat /boot/x", f} }},
		{fs: FS{Type: "vfat", Label: "EFI", UUID: "1234abcd"}, size: 16, programs: []string{"mkfs.vfat", "mcopy"}, uuid: "1234-ABCD",
			cat: func(f string) []string { return []string{"mtype", "-i", f, "::/boot/x"} }},
		{fs: FS{Type: "iso9660", Label: "alpine-std"}, programs: []string{"xorriso"},
			cat: func(f string) []string {
				return []string{"xorriso", "-osirrox", "on", "-report_about", "FAILURE", "-indev", f, "-concat", "pipe", "+", "/bin/cat", "+", "/boot/x", "--"}
			}},
		{fs: FS{Type: "btrfs", UUID: uuid}, size: 128, programs: []string{"mkfs.btrfs"}, uuid: uuid},
		{fs: FS{Type: "xfs", UUID: uuid}, size: 300, programs: []string{"mkfs.xfs", "xfs_db"}, uuid: uuid},
		{fs: FS{Type: "swap", UUID: uuid}, size: 1, programs: []string{"mkswap"}, uuid: uuid},
	} {
		t.Run(tt.fs.Type, func(t *testing.T) {
			need(t, append(tt.programs, "blkid")...)
			if tt.fs.Type != "swap" {
				tt.fs.Files = []File{{Path: "boot/x", Data: []byte("content\n")}}
				if tt.fs.Type != "vfat" && tt.fs.Type != "iso9660" {
					tt.fs.Files = append(tt.fs.Files, File{Path: "boot/boot", Link: "."})
				}
			}
			file := filepath.Join(t.TempDir(), "disk")
			l := Layout{Partitions: []Partition{{Size: tt.size, FS: tt.fs}}}
			if err := l.Write(file); err != nil {
				t.Fatal(err)
			}
			got := output(t, "blkid", "-p", "-o", "export", file)
			for _, want := range []string{"TYPE=" + tt.fs.Type, "UUID=" + tt.uuid, "LABEL=" + tt.fs.Label} {
				if !strings.HasSuffix(want, "=") && !strings.Contains(got, want+"\n") {
					t.Errorf("blkid does not say %s:\n%s", want, got)
				}
			}
			if tt.cat != nil {
				args := tt.cat(file)
				if got, want := output(t, args[0], args[1:]...), "content\n"; !strings.Contains(got, want) {
					t.Errorf("boot/x is %q, want %q", got, want)
				}
			}
			if tt.fs.Type == "xfs" {
				got := output(t, "xfs_db", "-r", "-c", "ls /boot", file)
				if !strings.Contains(got, "x") || !strings.Contains(got, "boot") {
					t.Errorf("/boot holds:\n%s", got)
				}
			}
		})
	}
}

// sfdisk and blkid find each partition where the layout has it.
func TestPartitionTables(t *testing.T) {
	need(t, "sfdisk", "blkid", "mkfs.ext4", "mkfs.vfat")
	const first, second = "aaaaaaaa", "bbbbbbbb-0000-4000-8000-000000000000"
	for _, table := range []Table{GPT, MBR} {
		t.Run(string(table), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "disk")
			l := Layout{Table: table, Partitions: []Partition{
				{Size: 8, FS: FS{Type: "vfat", UUID: first}, Type: "U", Bootable: true},
				{Size: 2},
				{Size: 16, FS: FS{Type: "ext4", UUID: second}},
			}}
			if err := l.Write(file); err != nil {
				t.Fatal(err)
			}
			if got, want := strings.Count(output(t, "sfdisk", "--dump", file), "start="), 3; got != want {
				t.Errorf("%d partitions, want %d", got, want)
			}
			for offset, want := range map[string]string{"1048576": "UUID=AAAA-AAAA", "11534336": "UUID=" + second} {
				if got := output(t, "blkid", "-p", "-O", offset, "-o", "export", file); !strings.Contains(got, want+"\n") {
					t.Errorf("at %s blkid does not find %s:\n%s", offset, want, got)
				}
			}
		})
	}
}

// A patch damages the filesystem and nothing else does.
func TestPatch(t *testing.T) {
	need(t, "mkfs.ext4")
	file := filepath.Join(t.TempDir(), "disk")
	l := Layout{Partitions: []Partition{{Size: 8, FS: FS{Type: "ext4", Patches: []Patch{{Offset: 1024 + 24, Data: []byte{9, 8, 7, 6}}}}}}}
	if err := l.Write(file); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := b[1024+24 : 1024+28]; !bytes.Equal(got, []byte{9, 8, 7, 6}) {
		t.Errorf("the bytes are % x", got)
	}
	if len(b) != 8*mebibyte {
		t.Errorf("the image has %d bytes, want %d", len(b), 8*mebibyte)
	}
}

func TestErrorsNameWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		name   string
		layout Layout
		want   string
	}{
		{"unknown filesystem", Layout{Partitions: []Partition{{Size: 1, FS: FS{Type: "hpfs"}}}}, "making hpfs"},
		{"two without a table", Layout{Partitions: make([]Partition, 2)}, "one filesystem"},
		{"missing source", Layout{Partitions: []Partition{{Size: 1, FS: FS{Type: "ext4", Files: []File{{Path: "a", From: "/nonexistent"}}}}}}, "/nonexistent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.layout.Write(filepath.Join(t.TempDir(), "disk"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// What a filesystem is in is what the tools of these volumes see, and the
// filesystem is where they point.
func TestVolumes(t *testing.T) {
	need(t, "mkfs.ext4", "blkid")
	fs := FS{Type: "ext4", UUID: RootUUID}
	in := func(v ...Volume) FS { fs := fs; fs.In = v; return fs }
	for _, tt := range []struct {
		name  string
		fs    FS
		kind  string // as blkid has it
		at    int64  // where the filesystem begins; negative when it is encrypted
		check []string
		says  string
	}{
		{"LUKS2", in(LUKS2("open sesame")), "crypto_LUKS", -1, []string{"cryptsetup", "luksDump", "FILE"}, "aes-xts-plain64"},
		{"RAID1 0.90", in(RAID1("0.90", 1)), "linux_raid_member", 0, []string{"mdadm", "--examine", "FILE"}, "correct"},
		{"RAID1 1.2", in(RAID1("1.2", 1)), "linux_raid_member", mebibyte, []string{"mdadm", "--examine", "FILE"}, "Device Role : Active device 1"},
		{"LVM", in(LVM("vg0", "lv_root")), "LVM2_member", mebibyte, []string{"lvm", "pvck", "--driverloaded", "n", "--dump", "headers", "FILE"}, "metadata text at 4608 crc"},
		{"LVM on LUKS", in(LVM("vg0", "lv_root"), LUKS2("open sesame")), "crypto_LUKS", -1, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.check != nil {
				need(t, tt.check[0])
			}
			dir := t.TempDir()
			file := filepath.Join(dir, "image")
			if err := tt.fs.write(file, 48, dir); err != nil {
				t.Fatal(err)
			}
			if size, _ := sizeOf(file); size != 48*mebibyte {
				t.Errorf("it has %d bytes, want 48 MiB", size)
			}
			if got := strings.TrimSpace(output(t, "blkid", "-p", "-o", "value", "-s", "TYPE", file)); got != tt.kind {
				t.Errorf("blkid says %q, want %q", got, tt.kind)
			}
			if tt.at >= 0 {
				if got := strings.TrimSpace(output(t, "blkid", "-p", "-O", fmt.Sprint(tt.at), "-o", "value", "-s", "UUID", file)); tt.at > 0 && got != RootUUID {
					t.Errorf("at %d blkid finds %q", tt.at, got)
				}
			}
			if tt.check != nil {
				args := strings.Split(strings.ReplaceAll(strings.Join(tt.check[1:], "\x00"), "FILE", file), "\x00")
				if got := output(t, tt.check[0], args...); !strings.Contains(got, tt.says) {
					t.Errorf("%s says\n%s\nwithout %q", tt.check[0], got, tt.says)
				}
			}
		})
	}
}

// Two runs of the tests on one machine make filesystems of the same UUIDs, and
// mount them. One waits for the other: mkfs.btrfs makes none whose UUID is on a
// loop device.
func TestMadeWhileMounted(t *testing.T) {
	need(t, "mkfs.btrfs", "mount", "umount")
	if os.Getuid() != 0 || !CanMount("btrfs") {
		t.Skip("needs root, and a kernel that mounts btrfs")
	}
	dir := t.TempDir()
	write := func(name string) error {
		l := Layout{Partitions: []Partition{{Size: 128, FS: FS{Type: "btrfs", UUID: "2e6b3f0c-5f1d-4f0e-9d55-7a0c1b6d9e42"}}}}
		return l.Write(filepath.Join(dir, name))
	}
	if err := write("first"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	if err := Mounted(filepath.Join(dir, "first"), "", dir, func(string) error {
		go func() { done <- write("second") }()
		select {
		case err := <-done:
			done <- err
			return errors.New("it did not wait")
		case <-time.After(time.Second):
			return nil
		}
	}); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
