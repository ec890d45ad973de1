package readonly

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot/boottest"
)

// files are what is put into images, by their names there.
func files() map[string]string {
	all := map[string]string{
		"README.TXT":                              "short\n",
		"boot/vmlinuz-lts":                        strings.Repeat("kernel", 50_000),
		"boot/grub/grub.cfg":                      "menu\n",
		"boot/empty":                              "",
		"EFI/Linux/a rather long name, 2026.efi":  "unified",
		"loader/entries/ümlaut and 日本.conf":       "title x\n",
		"loader/entries/exactly-13.cf":            "title y\n",
		"boot/deep/deeper/deepest/still/file.txt": "here\n",
	}
	for i := range 300 { // more than a cluster of entries
		all[fmt.Sprintf("many/file number %03d.txt", i)] = fmt.Sprint(i)
	}
	return all
}

// write puts the files into a directory.
func write(t *testing.T, all map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range all {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// read returns all files of an image.
func read(t *testing.T, image, fstype string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	fsys, err := Open(bytes.NewReader(b), int64(len(b)), fstype)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(fsys, name)
		got[name] = string(text)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := fstest.TestFS(fsys, slices.Collect(maps.Keys(got))...); err != nil {
		t.Error(err)
	}
	return got
}

// What mkfs.fat and mtools have written is read as it is, in all three sizes of
// the table.
func TestFAT(t *testing.T) {
	boottest.NeedTools(t, "mkfs.fat", "mcopy")
	for _, tt := range []struct {
		bits, cluster string
		size          int64
	}{{"12", "4", 4 << 20}, {"16", "4", 64 << 20}, {"32", "1", 64 << 20}, {"32", "8", 300 << 20}} {
		t.Run(tt.bits+" "+tt.cluster, func(t *testing.T) {
			all := files()
			dir := write(t, all)
			image := filepath.Join(t.TempDir(), "image")
			if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, tt.size)); err != nil {
				t.Fatal(err)
			}
			boottest.Tool(t, "mkfs.fat", "-F", tt.bits, "-s", tt.cluster, "-n", "LABEL", image)
			list, err := filepath.Glob(dir + "/*")
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("MTOOLS_SKIP_CHECK", "1")
			boottest.Tool(t, "mcopy", append([]string{"-s", "-i", image}, append(list, "::")...)...)
			if d := cmp.Diff(all, read(t, image, "vfat")); d != "" {
				t.Error(d)
			}
		})
	}
}

// What xorriso has written is read as it is: with Rock Ridge, with Joliet, and with
// neither, where names are short and in lower case.
func TestISO9660(t *testing.T) {
	boottest.NeedTools(t, "xorriso")
	for _, tt := range []struct {
		name string
		args []string
	}{{"Rock Ridge", []string{"-R"}}, {"Rock Ridge and Joliet", []string{"-R", "-J"}}, {"Joliet", []string{"-J"}}} {
		t.Run(tt.name, func(t *testing.T) {
			all := files()
			dir := write(t, all)
			if err := os.Symlink("boot", filepath.Join(dir, "link")); err != nil { // is left out
				t.Fatal(err)
			}
			image := filepath.Join(t.TempDir(), "image.iso")
			args := []string{"-as", "mkisofs", "-quiet", "-input-charset", "utf-8", "-V", "LABEL", "-o", image}
			if tt.args[0] == "-J" {
				os.Remove(filepath.Join(dir, "link"))
				args = append(args, "--norock")
			}
			boottest.Tool(t, "xorriso", append(append(args, tt.args...), dir)...)
			if d := cmp.Diff(all, read(t, image, "iso9660")); d != "" {
				t.Error(d)
			}
		})
	}
	t.Run("plain", func(t *testing.T) {
		all := map[string]string{"readme.txt": "short\n", "boot/grub/grub.cfg": "menu\n", "boot/kernel": strings.Repeat("k", 100_000)}
		dir := write(t, all)
		image := filepath.Join(t.TempDir(), "image.iso")
		boottest.Tool(t, "xorriso", "-as", "mkisofs", "-quiet", "--norock", "-o", image, dir)
		if d := cmp.Diff(all, read(t, image, "iso9660")); d != "" {
			t.Error(d)
		}
	})
}

// A name is found in whatever case a filesystem compares it.
func TestFold(t *testing.T) {
	boottest.NeedTools(t, "mkfs.fat", "mcopy")
	image := filepath.Join(t.TempDir(), "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 1<<20)); err != nil {
		t.Fatal(err)
	}
	dir := write(t, map[string]string{"EFI/Linux/a.efi": "x"})
	boottest.Tool(t, "mkfs.fat", image)
	boottest.Tool(t, "mcopy", "-s", "-i", image, dir+"/EFI", "::")
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	fsys, err := Open(bytes.NewReader(b), int64(len(b)), "vfat")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fs.ReadFile(fsys, "efi/LINUX/A.EFI"); string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := fs.Stat(fsys, "EFI/Linux/b.efi"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Open(bytes.NewReader(b), int64(len(b)), "ext4"); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

// smallFAT is a FAT12 with a directory that holds itself, and a file whose chain
// of clusters goes round.
func smallFAT() []byte {
	b := make([]byte, 64<<10)
	le.PutUint16(b[11:], 512)
	b[13], b[16] = 1, 1
	le.PutUint16(b[14:], 1)
	le.PutUint16(b[17:], 16)
	le.PutUint16(b[19:], uint16(len(b)/512))
	le.PutUint16(b[22:], 1)
	copy(b[512:], "\xf8\xff\xff\x03\x20\x00") // clusters 2 and 3 follow each other
	entry := func(at int, name string, attributes byte, cluster uint16, size uint32) {
		copy(b[at:], name)
		b[at+11] = attributes
		le.PutUint16(b[at+26:], cluster)
		le.PutUint32(b[at+28:], size)
	}
	entry(1024, "DIR        ", 0x10, 2, 0)
	entry(1056, "FILE    TXT", 0x20, 2, 1<<20)
	entry(1536, "DIR        ", 0x10, 2, 0)
	return b
}

// smallISO is an ISO 9660 with one file and a directory that holds itself.
func smallISO() []byte {
	b := make([]byte, 20*2048)
	record := func(at int, lba, size uint32, flags byte, name string) int {
		n := 33 + len(name) + 1 - len(name)%2
		b[at] = byte(n)
		le.PutUint32(b[at+2:], lba)
		le.PutUint32(b[at+10:], size)
		b[at+25], b[at+32] = flags, byte(len(name))
		copy(b[at+33:], name)
		return at + n
	}
	pvd := 16 * 2048
	copy(b[pvd:], "\x01CD001\x01")
	le.PutUint16(b[pvd+128:], 2048)
	record(pvd+156, 18, 2048, 2, "\x00")
	copy(b[17*2048:], "\xffCD001\x01")
	at := record(18*2048, 18, 2048, 2, "\x00")
	at = record(at, 18, 2048, 2, "\x01")
	at = record(at, 19, 5, 0, "FILE.TXT;1")
	record(at, 18, 2048, 2, "DIR")
	copy(b[19*2048:], "hello")
	return b
}

// What goes round in circles comes to an end.
func TestCircles(t *testing.T) {
	for fstype, b := range map[string][]byte{"vfat": smallFAT(), "iso9660": smallISO()} {
		fsys, err := Open(bytes.NewReader(b), int64(len(b)), fstype)
		if err != nil {
			t.Fatal(err)
		}
		list, err := fs.ReadDir(fsys, "dir/dir/dir")
		if err != nil && fstype != "vfat" || fstype == "iso9660" && len(list) != 2 {
			t.Errorf("%s: %v, %v", fstype, list, err)
		}
		f, err := fsys.Open("file.txt")
		if err != nil {
			continue
		}
		if n, err := io.Copy(io.Discard, f); n > 1<<20 {
			t.Errorf("%s: %d bytes, %v", fstype, n, err)
		}
	}
}

// FuzzOpen asserts that no image makes the reader panic, run without an end or
// return more than it says.
func FuzzOpen(f *testing.F) {
	f.Add(smallFAT(), true)
	f.Add(smallISO(), false)
	f.Fuzz(func(t *testing.T, image []byte, isFAT bool) {
		fstype := "iso9660"
		if isFAT {
			fstype = "vfat"
		}
		fsys, err := Open(bytes.NewReader(image), int64(len(image)), fstype)
		if err != nil {
			return
		}
		left := 100
		fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
			if left--; left < 0 || strings.Count(name, "/") > 5 {
				return fs.SkipAll
			}
			if err != nil || d.IsDir() {
				return nil
			}
			if !fs.ValidPath(name) {
				t.Errorf("path %q", name)
			}
			if file, err := fsys.Open(name); err == nil {
				io.Copy(io.Discard, io.LimitReader(file, 1<<16))
				file.Close()
			}
			return nil
		})
	})
}
