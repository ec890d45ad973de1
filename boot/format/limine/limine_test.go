package limine_test

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/limine"
)

func parse(t *testing.T, fsys fs.FS) boot.Listing {
	t.Helper()
	l, err := limine.Parse(fsys, boot.Volume{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestPlaces asserts that a configuration is found wherever Limine looks, in
// any case.
func TestPlaces(t *testing.T) {
	for _, name := range []string{
		"limine.conf", "limine/limine.conf", "boot/limine.conf", "boot/limine/limine.conf",
		"EFI/BOOT/limine.conf", "EFI/limine/limine.conf", "efi/alpine/LIMINE.CONF",
	} {
		l := parse(t, fstest.MapFS{name: boottest.File("/a\nprotocol: linux\npath: boot():/k\n")})
		if len(l.Entries) != 1 || l.Entries[0].Source != (boot.Source{File: name, Line: 1}) {
			t.Errorf("%s: got %s", name, boottest.Text(l, nil))
		}
	}
}

// TestEntry asserts what the first entry of a configuration turns into.
func TestEntry(t *testing.T) {
	const none = "(no entry)"
	const linux = "/a\nprotocol: linux\n"
	const hash = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
	arch := runtime.GOARCH // where Limine sets nothing else
	if a, ok := map[string]string{"amd64": "x86-64", "386": "ia-32", "arm64": "aarch64", "loong64": "loongarch64"}[arch]; ok {
		arch = a
	}
	tests := []struct {
		name    string
		config  string
		title   string // none for no entry at all
		kernel  string
		initrds string
		cmdline string
		problem string // what it contains
		note    string // what a note of the entry or the listing contains
	}{
		{name: "all", config: linux + "path: boot():/k\nmodule_path: boot():/u\nmodule_path: boot():/i\ncmdline: quiet\n", title: "a", kernel: "k", initrds: "u i", cmdline: "quiet"},
		{name: "aliases", config: linux + "kernel_path: boot():/k\nkernel_cmdline: quiet\n", title: "a", kernel: "k", cmdline: "quiet"},
		{name: "path before kernel_path", config: linux + "kernel_path: boot():/no\npath: boot():/k\n", title: "a", kernel: "k"},
		{name: "kernel_cmdline before cmdline", config: linux + "path: boot():/k\ncmdline: no\nkernel_cmdline: q\n", title: "a", kernel: "k", cmdline: "q"},
		{name: "the first one counts", config: linux + "path: boot():/k\npath: boot():/no\ncmdline: q\ncmdline: no\n", title: "a", kernel: "k", cmdline: "q"},
		{name: "any case, indented, CRLF", config: "\t/a \r\n\tPROTOCOL: linux\r\n  Path:\tboot():/k  \r\n", title: "a", kernel: "k"},
		{name: "no space behind the colon", config: "/a\nprotocol:linux\npath:boot():/k\ncmdline:a=b:c\n", title: "a", kernel: "k", cmdline: "a=b:c"},
		{name: "byte order mark", config: "\ufeff" + linux + "path: boot():/k\n", title: "a", kernel: "k"},
		{name: "comments", config: "# /x\n#/y\n" + linux + "# path: boot():/no\npath: boot():/k\n", title: "a", kernel: "k"},
		{name: "space before the name", config: "/ a\nprotocol: linux\npath: boot():/k\n", title: "a", kernel: "k"},
		{name: "directory", config: "/+Dir\ncomment: x\n//a\nprotocol: linux\npath: boot():/k\n", title: "Dir / a", kernel: "k"},
		{name: "child without a parent", config: "///a\nprotocol: linux\npath: boot():/k\n", title: "a", kernel: "k", note: "directory that does not exist"},
		{name: "no name", config: "/\nprotocol: linux\npath: boot():/k\n", title: "Entry without a name", kernel: "k"},
		{name: "hostile name", config: "/\x1b[2Jx\u202ey\nprotocol: linux\npath: boot():/k\ncmdline: a\x1bb\n", title: "[2Jx y", kernel: "k", cmdline: "a b"},
		{name: "no kernel", config: linux, title: "a", problem: "names no kernel"},
		{name: "no protocol", config: "/a\npath: boot():/k\n", title: "a", problem: "no protocol"},
		{name: "device tree", config: linux + "path: boot():/k\ndtb_path: boot():/x.dtb\n", title: "a", kernel: "k", note: "device tree boot():/x.dtb is not passed on"},
		{name: "device tree for all", config: "global_dtb: boot():/y.dtb\n" + linux + "path: boot():/k\n", title: "a", kernel: "k", note: "device tree boot():/y.dtb is not passed on"},
		{name: "remember_last_entry", config: "remember_last_entry: yes\n" + linux + "path: boot():/k\n", title: "a", kernel: "k", note: "limine.conf:1: Limine boots by default what it booted last"},
		{name: "too many modules", config: linux + "path: boot():/k\n" + strings.Repeat("module_path: boot():/i\n", 40), title: "a", kernel: "k", initrds: strings.TrimSpace(strings.Repeat("i ", 32)), problem: "40 modules"},
		{name: "no option", config: linux + "path: boot():/k\nquiet\n", title: "a", kernel: "k", note: `limine.conf:4: "quiet" is neither`},
		{name: "zero bytes", config: linux + "path: boot():/k\n\x00\x00cmdline: q\n", title: "a", kernel: "k", note: "limine.conf:4: The file holds zero bytes"},
		{name: "line too long", config: linux + "path: boot():/k\ncmdline: " + strings.Repeat("x", 5000) + "\n", title: "a", kernel: "k", problem: "Line 4", note: "5009 bytes"},
		{name: "empty file", config: "timeout: 3\n", title: none, note: "holds no entry"},
		{name: "another processor's", config: "/b\nif_arch: m68k vax\nprotocol: linux\npath: boot():/no\n" + linux + "path: boot():/k\n", title: "a", kernel: "k"},
		{name: "this processor's", config: linux + "if_arch: m68k " + strings.ToUpper(arch) + "\npath: boot():/k\n", title: "a", kernel: "k"},
		{name: "another firmware's", config: linux + "if_fw_type: uefi\npath: boot():/k\n", title: "a", kernel: "k", note: "started by uefi firmware"},

		{name: "limine's protocol", config: "/a\nprotocol: limine\npath: boot():/k\n", title: "a", problem: "protocol limine"},
		{name: "multiboot", config: "/a\nprotocol: multiboot2\npath: boot():/k\n", title: "a", problem: "protocol multiboot2"},
		{name: "EFI program", config: "/a\nprotocol: efi\npath: boot():/x.efi\n", title: "a", kernel: "x.efi", problem: "EFI program x.efi through the firmware"},
		{name: "boot sector", config: "/a\nprotocol: bios_chainload\ndrive: 1\n", title: "a", problem: "protocol bios_chainload"},
		{name: "unknown protocol", config: "/a\nprotocol: x\x1b\n", title: "a", problem: `protocol "x\x1b"`},

		{name: "no way out", config: linux + "path: boot():/../../etc/k\nmodule_path: boot():/a/../../i\n", title: "a", kernel: "etc/k", initrds: "i"},
		{name: "path without a resource", config: linux + "path: /k\n", title: "a", problem: `"/k" is not a path`},
		{name: "path without a file", config: linux + "path: boot():/\n", title: "a", problem: "is not a path"},
		{name: "resource that does not exist", config: linux + "path: floppy(1):/k\n", title: "a", kernel: "k", problem: "is not a path"},
		{name: "URI of version 7", config: linux + "path: boot:///k\n", title: "a", problem: "is not a path"},
		{name: "module that is not a path", config: linux + "path: boot():/k\nmodule_path: i\n", title: "a", kernel: "k", problem: `"i" is not a path`},
		{name: "compressed", config: linux + "path: boot():/k\nmodule_path: $boot():/i.gz\n", title: "a", kernel: "k", initrds: "i.gz", note: "uncompress /i.gz first"},
		{name: "hash", config: linux + "path: boot():/k#" + hash + "\n", title: "a", kernel: "k", note: "hash of /k; alpboot does not"},
		{name: "bad hash", config: linux + "path: boot():/k#12\n", title: "a", kernel: "k", problem: "is not a hash"},
		{name: "partition that is not a number", config: linux + "path: boot(x):/k\n", title: "a", kernel: "k", problem: "volume boot(x), which it names, has not been found"},
		{name: "drive without a partition", config: linux + "path: hdd(1):/k\n", title: "a", kernel: "k", problem: "volume hdd(1)"},
		{name: "empty label", config: linux + "path: fslabel():/k\n", title: "a", kernel: "k", problem: "volume fslabel()"},
		{name: "network", config: linux + "path: tftp():/k\n", title: "a", kernel: "k", problem: "network"},

		{name: "macros", config: "${A}=k\n" + linux + "path: boot():/${A}-${B}\n${B}=2\n${B}=3\n", title: "a", kernel: "k-3"},
		{name: "macro in a macro", config: "${A}=${B}\n${B}=x\n" + linux + "path: boot():/k\ncmdline: ${A}\n", title: "a", kernel: "k", cmdline: "${B}"},
		{name: "macro for a name", config: "${A}=path\n" + linux + "${A}: boot():/k\n", title: "a", kernel: "k"},
		{name: "unknown macro", config: linux + "path: boot():/k${X}\n", title: "a", kernel: "k", note: `No macro is called "X"`},
		{name: "open macro", config: linux + "path: boot():/k\ncmdline: ${x\n", title: "a", kernel: "k", cmdline: "${x"},
		{name: "macros that are there", config: linux + "path: boot():/k\ncmdline: ${ARCH} ${FW_TYPE}\n", title: "a", kernel: "k", cmdline: arch + " BIOS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := parse(t, fstest.MapFS{"limine.conf": boottest.File(tt.config)})
			all := boottest.Notes(l)
			if tt.title == none {
				if len(l.Entries) != 0 {
					t.Errorf("got an entry:\n%s", boottest.Text(l, nil))
				}
			} else if len(l.Entries) == 0 {
				t.Fatalf("no entry; notes: %s", all)
			} else {
				e := l.Entries[0]
				all += strings.Join(e.Notes, "\n")
				got := [...]string{boottest.Path(e), e.Kernel, strings.Join(e.Initrds, " "), e.Cmdline}
				if want := [...]string{tt.title, tt.kernel, tt.initrds, tt.cmdline}; got != want {
					t.Errorf("got  %q\nwant %q", got, want)
				}
				if !strings.Contains(e.Problem, tt.problem) || (e.Problem == "") != (tt.problem == "") {
					t.Errorf("problem %q, want one with %q", e.Problem, tt.problem)
				}
				if want := strings.Contains(tt.problem, "volume"); l.Unresolved != want {
					t.Errorf("unresolved %v, want %v", l.Unresolved, want)
				}
			}
			if !strings.Contains(all, tt.note) || (all == "") != (tt.note == "") {
				t.Errorf("notes %q, want %q among them", all, tt.note)
			}
		})
	}
}

// TestDefault asserts which entry is the default, by its title.
func TestDefault(t *testing.T) {
	linux := func(line string) string { return line + "\nprotocol: linux\npath: boot():/k\n" }
	two := linux("/a") + linux("/b")
	open := linux("/a") + "/+d\n" + linux("//b") + linux("//c") + linux("/e")
	closed := strings.ReplaceAll(open, "+", "")
	tests := []struct {
		name   string
		config string
		want   string
		note   bool
	}{
		{"nothing set", two, "a", false},
		{"by number", "default_entry: 2\n" + two, "b", false},
		{"0 is the first", "default_entry: 0\n" + two, "a", false},
		{"number too high", "default_entry: 3\n" + two, "a", true},
		{"endless number", "default_entry: 99999999999999999999999\n" + two, "a", true},
		{"an open directory counts with what is in it", "default_entry: 4\n" + open, "d / c", false},
		{"a closed one counts once", "default_entry: 3\n" + closed, "e", false},
		{"directory", "default_entry: 2\n" + open, "", false},
		{"first is a directory", "/d\n" + linux("//b"), "", false},
		{"by path", "default_entry: d/c\n" + closed, "d / c", false},
		{"by the path of a directory", "default_entry: d\n" + closed, "a", true},
		{"by a path that does not exist", "default_entry: d/x\n" + closed, "a", true},
		{"second of a name", "default_entry: x#1\n" + linux("/x") + "/y\n" + linux("//z") + strings.Replace(linux("/x"), "/k", "/k2", 1), "x", false},
		{"escaped path", `default_entry: x\/y\#1\\` + "\n" + two + linux(`/x/y#1\`), `x/y#1\`, false},
		{"# that is not a number", "default_entry: x#y\n" + two + linux("/x#y"), "x#y", false},
		{"in an entry it means nothing", two + "default_entry: 2\n", "a", false},
		{"hidden entries do not count", "default_entry: 2\n/w\nprotocol: efi\n" + linux("/x\nif_arch: vax") + two, "b", false},
		{"nothing at all", "/w\nif_arch: vax\n", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := parse(t, fstest.MapFS{"limine.conf": boottest.File(tt.config)})
			got := ""
			for _, e := range l.Entries {
				if e.Default {
					got += boottest.Path(e)
				}
			}
			if got != tt.want {
				t.Errorf("default %q, want %q\n%s", got, tt.want, boottest.Text(l, nil))
			}
			if noted := strings.Contains(boottest.Notes(l), "default_entry"); noted != tt.note {
				t.Errorf("notes %q", boottest.Notes(l))
			}
		})
	}
}

// TestFirmware asserts that a volume with a directory EFI is taken for one that
// UEFI boots.
func TestFirmware(t *testing.T) {
	const config = "default_entry: 2\n/a\nprotocol: bios\n/b\nprotocol: linux\npath: boot():/${FW_TYPE}\n/c\nprotocol: linux\npath: boot():/k\n"
	for _, tt := range []struct {
		dir, kernel, title string
	}{{"x", "BIOS", "b"}, {"Efi", "UEFI", "c"}} {
		l := parse(t, fstest.MapFS{"limine.conf": boottest.File(config), tt.dir: {Mode: fs.ModeDir}})
		if len(l.Entries) != 3 || l.Entries[1].Kernel != tt.kernel {
			t.Fatalf("with %s: got %s", tt.dir, boottest.Text(l, nil))
		}
		for _, e := range l.Entries {
			if e.Default != (e.Title == tt.title) {
				t.Errorf("with %s: default %s", tt.dir, e.Title)
			}
		}
	}
}

func TestTimeout(t *testing.T) {
	const never, none = -1, -2
	for value, want := range map[string]time.Duration{
		"": none, "timeout: 10": 10 * time.Second, "TIMEOUT:0": 0, "timeout: no": never, "timeout: .25": 250 * time.Millisecond,
		"timeout: 1.5x": 1500 * time.Millisecond, "timeout: 1.2.3": 1200 * time.Millisecond, "timeout: soon": 0, "timeout: -4": 0, "timeout:": 0,
		"timeout: 99999": 9999 * time.Second, "timeout: " + strings.Repeat("9", 400): 9999 * time.Second,
		"timeout: 1\ntimeout: 2": time.Second,
	} {
		l := parse(t, fstest.MapFS{"limine.conf": boottest.File(value + "\n/a\nprotocol: linux\npath: boot():/k\n")})
		got := time.Duration(none)
		if d := l.Entries[0].Timeout; d != nil {
			got = max(*d, never)
		}
		if got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// TestFirstVolume asserts which of several volumes a path means.
func TestFirstVolume(t *testing.T) {
	const uuid = "0f0f0f0f-1111-2222-3333-444444444444"
	volume := func(device, disk string, partition int, files ...string) boot.MountedVolume {
		m := boot.MountedVolume{Volume: boot.Volume{Device: device, Disk: disk, Partition: partition, UUID: uuid, Label: "L", Type: "ext4"}, FS: fstest.MapFS{}}
		for _, f := range files {
			m.FS.(fstest.MapFS)[f] = boottest.File("x")
		}
		return m
	}
	tests := []struct {
		name, path string
		others     boot.Volumes
		want       string
	}{
		{"one with the file before one without", "guid(" + uuid + ")", boot.Volumes{volume("a1", "a", 1), volume("b1", "b", 1, "k")}, "b1"},
		{"none with the file", "fslabel(L)", boot.Volumes{volume("a1", "a", 1), volume("b1", "b", 1)}, "a1"},
		{"own disk", "fslabel(L)", boot.Volumes{volume("a1", "a", 1, "k"), volume("own2", "own", 2, "k")}, "own2"},
		{"number on the own disk only", "boot(2)", boot.Volumes{volume("a2", "a", 2, "k")}, ""},
		{"whole own disk", "boot(0)", boot.Volumes{volume("own2", "own", 2, "k"), volume("own", "", 0, "k")}, "own"},
		{"drive of another order", "hdd(1:3)", boot.Volumes{volume("a3", "a", 3, "k")}, "a3"},
		{"drive, own disk first", "hdd(1:3)", boot.Volumes{volume("a3", "a", 3, "k"), volume("own3", "own", 3, "k")}, "own3"},
		{"further drive, own disk last", "hdd(3:3)", boot.Volumes{volume("own3", "own", 3, "k"), volume("a3", "a", 3, "k")}, "a3"},
		{"further drive, there is but the own", "hdd(3:3)", boot.Volumes{volume("own3", "own", 3, "k")}, "own3"},
		{"drive without the file", "hdd(1:3)", boot.Volumes{volume("own3", "own", 3)}, ""},
		{"drive 0", "hdd(0:3)", boot.Volumes{volume("own3", "own", 3, "k")}, ""},
		{"no optical drive", "odd(1:3)", boot.Volumes{volume("own3", "own", 3, "k")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := fstest.MapFS{"limine.conf": boottest.File("/a\nprotocol: linux\npath: " + tt.path + ":/k\n")}
			l, err := limine.Parse(fsys, boot.Volume{Device: "own1", Disk: "own", Partition: 1}, tt.others)
			if err != nil {
				t.Fatal(err)
			}
			e := l.Entries[0]
			if e.Volume.Device != tt.want || l.Unresolved != (tt.want == "") || (e.Problem == "") != (tt.want != "") {
				t.Errorf("want %q, unresolved %v, got %s", tt.want, l.Unresolved, boottest.EntryText(e))
			}
		})
	}
}

// TestBroken asserts that what cannot be read leaves a sentence that names it,
// and does not take the rest along.
func TestBroken(t *testing.T) {
	const good = "/a\nprotocol: linux\npath: boot():/k\n"
	huge := boottest.File(strings.Repeat("/garbage \x01\xff\n", 1<<20))
	boottest.RunHostile(t, func(fsys fs.FS) (boot.Listing, error) { return limine.Parse(fsys, boot.Volume{}, nil) }, []boottest.Hostile{
		{Name: "10 MiB of garbage", FS: fstest.MapFS{"limine.conf": huge}, Err: boot.ErrTooLarge},
		{Name: "beside a good one", FS: fstest.MapFS{"boot/limine.conf": huge, "limine.conf": boottest.File(good)}, Entries: 1, Notes: []string{"/boot/limine.conf cannot be used", "too large"}},
		{Name: "1 MiB of garbage", FS: fstest.MapFS{"limine.conf": boottest.File(strings.Repeat("ga\x01rbage \xff\n", 90000))}, Notes: []string{"limine.conf:1: ", "more notes", "holds no entry"}},
		{Name: "macros that grow", FS: fstest.MapFS{"limine.conf": boottest.File("${A}=" + strings.Repeat("x", 400_000) + "\n" + strings.Repeat("${A}${A}\n", 60_000))}, Err: boot.ErrTooLarge},
		{Name: "macros that grow together", FS: fstest.MapFS{"limine.conf": boottest.File(good + "${A}=" + strings.Repeat("x", 4000) + "\n" + strings.Repeat("a:${A}\n", 100_000))}, Err: boot.ErrTooLarge},
		{Name: "too many entries", FS: fstest.MapFS{"limine.conf": boottest.File(strings.Repeat(good, 5000))}, Entries: 1, Notes: []string{"more than 1000 entries"}},
		{Name: "one inside the other", FS: fstest.MapFS{"limine.conf": boottest.File(deep(3000))}, Entries: 1, Notes: []string{"more than 1000 entries"}},
		{Name: "a line of slashes", FS: fstest.MapFS{"limine.conf": boottest.File(strings.Repeat("/", 4000) + "a\nprotocol: linux\npath: boot():/k\n")}, Entries: 1, Notes: []string{"does not exist"}},
		{Name: "directory in its place", FS: fstest.MapFS{"limine.conf/x": boottest.File(good), "boot/limine.conf": boottest.File(good)}, Entries: 1},
		{Name: "device node", FS: fstest.MapFS{"limine.conf": {Mode: fs.ModeDevice}, "boot/limine.conf": boottest.File(good)}, Entries: 1},
		{Name: "directory that cannot be read", FS: failing{fstest.MapFS{"limine.conf": boottest.File(good), "boot/limine.conf": boottest.File(good)}}, Entries: 1},
	})
	if _, err := limine.Parse(failing{}, boot.Volume{}, nil); err == nil {
		t.Error("no error from a volume that cannot be read")
	}
}

func TestLookups(t *testing.T) {
	config := strings.Repeat("/a\nprotocol: linux\npath: fslabel(L):/k\n"+strings.Repeat("module_path: fslabel(L):/i\n", 20), 100)
	fsys := fstest.MapFS{"limine.conf": boottest.File(config)}
	l, err := limine.Parse(fsys, boot.Volume{}, boot.Volumes{{Volume: boot.Volume{Device: "d", Label: "L"}, FS: fsys}})
	if err != nil || len(l.Entries) != 2 { // all are alike, but for those whose volume was not looked for
		t.Fatalf("got %s", boottest.Text(l, err))
	}
	if e := l.Entries[1]; !strings.Contains(e.Problem, "more than 1000 paths") {
		t.Errorf("got %s", boottest.EntryText(e))
	}
}

// deep returns n directories inside each other.
func deep(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%sd\n", strings.Repeat("/", i+1))
		if b.Len() > 900_000 {
			break
		}
	}
	return b.String()
}

// failing returns an error for every directory but the root, and for that when it
// is empty.
type failing struct{ fstest.MapFS }

func (f failing) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." || len(f.MapFS) == 0 {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("input/output error")}
	}
	return f.MapFS.ReadDir(name)
}

// FuzzParse asserts what holds for any configuration: it ends without a panic,
// paths stay on the volume, and titles and notes are fit to be printed.
func FuzzParse(f *testing.F) {
	boottest.Seeds(f, func(name, text string) { f.Add(text, name == "limine.cfg") }, "limine.conf", "limine.cfg")
	f.Add("default_entry: d\\//x#2/#1\n${A}=${B}\n/+d\n//x\n///y\n/z\nif_arch: x86-64\nprotocol: linux\npath: $hdd(1:1):/../${A}#00\nmodule_path: guid(u):/i\nglobal_dtb: x\n", false)
	f.Fuzz(func(t *testing.T, config string, old bool) {
		name := "boot/limine/limine.conf"
		if old {
			name = "limine.cfg"
		}
		own := boot.Volume{Device: "/dev/sda1", Disk: "/dev/sda", Partition: 1, UUID: "u", Label: "L", Type: "vfat"}
		fsys := fstest.MapFS{name: boottest.File(config), "k": boottest.File("kernel")}
		l, err := limine.Parse(fsys, own, boot.Volumes{{Volume: own, FS: fsys}, {Volume: boot.Volume{Device: "/dev/sdb", Label: "M", Type: "iso9660"}, FS: fsys}})
		boottest.Check(t, l, err)
	})
}
