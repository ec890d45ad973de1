package bls_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/bls"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
)

func parse(t *testing.T, fsys fs.FS) boot.Listing {
	t.Helper()
	l, err := bls.Parse(fsys, boot.Volume{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// image returns a unified kernel image.
func image(t testing.TB, text string) *fstest.MapFile {
	t.Helper()
	b, err := ukitest.FromText(text)
	if err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: b}
}

func titles(l boot.Listing) string {
	var all []string
	for _, e := range l.Entries {
		all = append(all, e.Title)
	}
	return strings.Join(all, ", ")
}

// TestPlaces asserts that entries are found wherever a $BOOT may lie, in the
// case that a FAT may have the names in, and that links do not list them twice.
func TestPlaces(t *testing.T) {
	for _, name := range []string{
		"loader/entries/a.conf", "boot/loader/entries/a.conf", "efi/loader/entries/a.conf", "boot/efi/loader/entries/a.conf",
		"LOADER/ENTRIES/A.CONF", "EFI/loader/entries/a.conf",
	} {
		l := parse(t, fstest.MapFS{
			name:   boottest.File("linux k\n"),
			"link": {Data: []byte("boot"), Mode: fs.ModeSymlink}, "boot/boot": {Data: []byte("."), Mode: fs.ModeSymlink},
		})
		if len(l.Entries) != 1 || l.Entries[0].Source != (boot.Source{File: name}) {
			t.Errorf("%s: got %s", name, boottest.Text(l, nil))
		}
	}
	if l := parse(t, fstest.MapFS{"@/boot/loader/entries/a.conf": boottest.File("linux k\n")}); len(l.Entries) != 0 {
		t.Errorf("a directory that is not a subvolume: %s", boottest.Text(l, nil))
	}
}

// TestEntry asserts what one file turns into.
func TestEntry(t *testing.T) {
	const none = "(no entry)"
	here, foreign := "x64", "aa64"
	switch runtime.GOARCH {
	case "amd64":
	case "arm64":
		here, foreign = foreign, here
	default:
		t.Skip("the test knows no name of the EFI specification for", runtime.GOARCH)
	}
	tests := []struct {
		name    string
		conf    string
		title   string // none for no entry at all
		kernel  string
		initrds string // with spaces between
		cmdline string
		uki     bool
		problem string // what it contains
		note    string // what a note of the entry or the listing contains
	}{
		{name: "plain", conf: "title T\nlinux /k\ninitrd /i\noptions root=x quiet\n", title: "T", kernel: "k", initrds: "i", cmdline: "root=x quiet"},
		{name: "no title", conf: "linux k\n", title: "e", kernel: "k"},
		{name: "tabs, blanks and CRLF", conf: "  title \t T \r\n\tlinux\tk\r\noptions\t a  b \r\n", title: "T", kernel: "k", cmdline: "a b"},
		{name: "byte order mark", conf: "\ufefftitle T\nlinux k\n", title: "T", kernel: "k"},
		{name: "comments and unknown keys", conf: "#linux x\n # linux y\nlinux k\nlinuxx z\ngrub_class alpine\nid a\n", title: "e", kernel: "k"},
		{name: "no final newline", conf: "linux k", title: "e", kernel: "k"},
		{name: "zero bytes", conf: "linux k\noptions q\x00\x00\x00\x00", title: "e", kernel: "k", cmdline: "q"},
		{name: "quotes around the value", conf: "title \"A B\"\nlinux k\noptions \"root=x quiet\"\n", title: "A B", kernel: "k", cmdline: "root=x quiet"},
		{name: "quotes in the value", conf: "linux k\noptions \"a=b c\" d=\"e  f\"\n", title: "e", kernel: "k", cmdline: `"a=b c" d="e  f"`},
		{name: "last title and linux count", conf: "title A\ntitle B\nlinux x\nlinux k\n", title: "B", kernel: "k"},
		{name: "lists", conf: "options a\ninitrd /u\nlinux k\ninitrd /i\noptions b\n", title: "e", kernel: "k", initrds: "u i", cmdline: "a b"},
		{name: "an initrd twice", conf: "linux k\ninitrd /i\ninitrd i\n", title: "e", kernel: "k", initrds: "i"},
		{name: "several initrds in a line", conf: "linux k\ninitrd /u /i\n", title: "e", kernel: "k", initrds: "u i"},
		{name: "a blank in a name", conf: "linux k\ninitrd /my initrd\n", title: "e", kernel: "k", initrds: "my initrd"},
		{name: "initrd in options", conf: "linux k\ninitrd /u\noptions a initrd=\\i,\\boot\\j b BOOT_IMAGE=/k\n", title: "e", kernel: "k", initrds: "u i boot/j", cmdline: "a b"},
		{name: "too many initrds", conf: "linux k\n" + strings.Repeat("initrd x\n", 40), title: "e", kernel: "k", initrds: "x", problem: "more than the 32 initrds"},
		{name: "backslashes", conf: "linux \\d\\k2\n", title: "e", kernel: "d/k2"},
		{name: "no way out", conf: "linux ../../etc/k\ninitrd /../i\n", title: "e", kernel: "etc/k", initrds: "i"},
		{name: "below boot", conf: "linux /k3\ninitrd /i3\n", title: "e", kernel: "boot/k3", initrds: "boot/i3"},
		{name: "missing", conf: "linux /gone\n", title: "e", kernel: "gone"},
		{name: "the root", conf: "linux /\n", title: "e", problem: `"/" is not a file`},
		{name: "no file as initrd", conf: "linux k\ninitrd /.\n", title: "e", kernel: "k", problem: `"/." is not a file`},
		{name: "hostile title", conf: "title \x1b[2Jx\u202ey\xff\nlinux k\n", title: "[2Jx y", kernel: "k"},
		{name: "hostile options", conf: "linux k\noptions a\x1b[2J\tb\x07c\n", title: "e", kernel: "k", cmdline: "a [2J b c"},
		{name: "empty", conf: "", title: none, note: "e.conf: The file names nothing to boot"},
		{name: "empty value", conf: "linux\ntitle T\n", title: none, note: "names nothing to boot"},

		{name: "this processor", conf: "linux k\narchitecture " + strings.ToUpper(here) + "\n", title: "e", kernel: "k"},
		{name: "another processor", conf: "linux k\narchitecture " + foreign + "\n", title: "e", kernel: "k", problem: "It is for " + foreign},
		{name: "an unknown processor", conf: "linux k\narchitecture ia64\n", title: "e", kernel: "k", problem: "It is for ia64"},

		{name: "device tree", conf: "linux k\ndevicetree /a.dtb\n", title: "e", kernel: "k", note: "not passed on (/a.dtb)"},
		{name: "overlay", conf: "linux k\ndevicetree-overlay /a.dtbo\n", title: "e", kernel: "k", note: "not passed on (/a.dtbo)"},
		{name: "extra files", conf: "uki u.efi\nextra /a.raw\nextra /b.raw\n", title: "e", kernel: "u.efi", uki: true, cmdline: "own", note: "/a.raw, /b.raw"},
		{name: "profile that is not there", conf: "uki u.efi\nprofile 1\n", title: "e", kernel: "u.efi", uki: true, problem: "no profile 1"},
		{name: "profile", conf: "uki p.efi\nprofile 1\n", title: "e", kernel: "p.efi", uki: true, cmdline: "second"},
		{name: "profile that is not a number", conf: "uki p.efi\nprofile x\n", title: "e", kernel: "p.efi", uki: true, cmdline: "other", problem: "no profile x"},

		{name: "EFI program", conf: "efi /shell.efi\n", title: "e", kernel: "shell.efi", problem: "starts the EFI shell"},
		{name: "EFI program that is text", conf: "efi /text.efi\n", title: "e", kernel: "text.efi", problem: "EFI program text.efi"},
		{name: "EFI program that is missing", conf: "efi /gone.efi\n", title: "e", kernel: "gone.efi", problem: "EFI program gone.efi"},
		{name: "EFI program that is a kernel", conf: "efi /bzImage\noptions a\n", title: "e", kernel: "bzImage", cmdline: "a"},
		{name: "EFI program that is an image", conf: "efi /u.efi\n", title: "e", kernel: "u.efi", uki: true, cmdline: "own"},
		{name: "EFI program that is a damaged image", conf: "efi /bad.efi\n", title: "e", kernel: "bad.efi", uki: true},
		{name: "linux before efi", conf: "efi /shell.efi\nlinux k\n", title: "e", kernel: "k"},
		{name: "linux is an image", conf: "linux /u.efi\n", title: "e", kernel: "u.efi", uki: true, cmdline: "own"},
		{name: "uki is a kernel", conf: "uki /bzImage\n", title: "e", kernel: "bzImage"},
		{name: "image with options", conf: "uki u.efi\noptions other\ninitrd i\n", title: "e", kernel: "u.efi", uki: true, cmdline: "other", initrds: "i"},
		{name: "image with profiles", conf: "uki p.efi\n", title: "e", kernel: "p.efi", uki: true, cmdline: "other"},
		{name: "network", conf: "uki-url http://x/y.efi\n", title: "e", problem: "on the network: http://x/y.efi"},

		{name: "variables", conf: "linux /$dir/k2\ninitrd /$dir/i2 $tuned_initrd\noptions $kernelopts ${dir}x $tuned_params\n", title: "e", kernel: "d/k2", initrds: "d/i2", cmdline: "root=y ro dx"},
		{name: "unset variables", conf: "linux k\noptions a $b${c}$b d\n", title: "e", kernel: "k", cmdline: "a d", note: "left out: $b, $c."},
		{name: "dollars that are none", conf: "linux k\noptions a$ $1 ${x $\n", title: "e", kernel: "k", cmdline: "a$ $1 ${x $"},
		{name: "a variable holds no variables", conf: "linux k\noptions $nested\n", title: "e", kernel: "k", cmdline: "$dir"},
		{name: "escapes in the environment block", conf: "linux k\noptions $escaped\n", title: "e", kernel: "k", cmdline: `a\b c`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := parse(t, fstest.MapFS{
				"loader/entries/e.conf": boottest.File(tt.conf),
				"grub2/grubenv":         boottest.File("# GRUB Environment Block\n#x=y\nkernelopts=root=y ro\ndir=d\nnested=$dir\nescaped=a\\\\b\\\nc\nno value\n####"),
				"k":                     boottest.File("kernel"), "d/k2": boottest.File("kernel"), "boot/k3": boottest.File("kernel"), "bzImage": {Data: boottest.BzImage("6.1")},
				"i": boottest.File("initrd"), "u": boottest.File("microcode"), "d/i2": boottest.File("initrd"), "boot/i3": boottest.File("initrd"), "my initrd": boottest.File("initrd"),
				"u.efi":     image(t, ".cmdline own\n.linux 6.1\n"),
				"p.efi":     image(t, ".cmdline base\n.linux 6.1\n.profile ID=x\n.cmdline other\n.profile ID=y\n.cmdline second\n"),
				"shell.efi": image(t, ".text code\n"),
				"bad.efi":   {Data: ukitest.Image(ukitest.Section{Name: ".linux", Data: []byte("hello")})},
				"text.efi":  boottest.File("hello"),
			})
			if tt.title == none {
				if len(l.Entries) != 0 {
					t.Errorf("got an entry:\n%s", boottest.Text(l, nil))
				}
			} else if len(l.Entries) != 1 {
				t.Fatalf("%d entries; notes: %s", len(l.Entries), boottest.AllNotes(l))
			} else {
				e := l.Entries[0]
				got := [...]string{e.Title, e.Kernel, strings.Join(e.Initrds, " "), e.Cmdline, fmt.Sprint(e.UKI)}
				want := [...]string{tt.title, tt.kernel, tt.initrds, tt.cmdline, fmt.Sprint(tt.uki)}
				if got != want {
					t.Errorf("got  %q\nwant %q", got, want)
				}
				if !strings.Contains(e.Problem, tt.problem) || (e.Problem == "") != (tt.problem == "") {
					t.Errorf("problem %q, want one with %q", e.Problem, tt.problem)
				}
			}
			if all := boottest.AllNotes(l); !strings.Contains(all, tt.note) || (all == "") != (tt.note == "") {
				t.Errorf("notes %q, want one with %q", all, tt.note)
			}
		})
	}
}

// TestOrder asserts the order of the specification: files and the keys that
// decide, as they must come out.
func TestOrder(t *testing.T) {
	fsys := fstest.MapFS{}
	var want []string
	for _, f := range []struct{ name, keys string }{
		{"b1.conf", "sort-key a\nmachine-id 1\nversion 6.9\n"},
		{"b2.conf", "sort-key a\nmachine-id 2\nversion 6.10\n"},
		{"b3+2.conf", "sort-key a\nmachine-id 2\nversion 6.9\n"},
		{"b4.conf", "sort-key a\nmachine-id 2\nversion 6.9~rc1\n"},
		{"b5.conf", "sort-key a\nmachine-id 2\n"},
		{"c9.conf", "sort-key b\nversion 1\n"},
		{"c8.conf", "sort-key b\nversion 1\n"},
		{"Z.conf", "sort-key b2\nversion 1\n"},
		{"x-6.10.conf", "machine-id 9\nversion 1\n"}, // without sort-key the name alone counts
		{"x-6.9+3.conf", ""},
		{"x-6.9+2-1.conf", ""},
		{"x-6.9+1-1.conf", ""},
		{"x-6.9+1-2.conf", ""},
		{"x-6.9.conf", ""},
		{"x-6.8+x.conf", ""},           // no counter
		{"a+0-1.conf", "sort-key 0\n"}, // the rest have failed
		{"y+0.conf", ""},
		{"x-6.11+0-3.conf", ""},
		{"x-6.8++0.conf", "version 9\n"},
	} {
		fsys["loader/entries/"+f.name] = boottest.File("title " + f.name + "\nlinux k\n" + f.keys)
		want = append(want, f.name)
	}
	if got := titles(parse(t, fsys)); got != strings.Join(want, ", ") {
		t.Errorf("got  %s\nwant %s", got, strings.Join(want, ", "))
	}
}

// TestTitles asserts that no two entries have the same title.
func TestTitles(t *testing.T) {
	l := parse(t, fstest.MapFS{
		"loader/entries/a.conf": boottest.File("linux k\ntitle T\nversion 1\nsort-key 1\nmachine-id 0123456789abcdef\n"),
		"loader/entries/b.conf": boottest.File("linux k\ntitle T\nversion 1\nsort-key 2\nmachine-id fedcba9876543210\n"),
		"loader/entries/c.conf": boottest.File("linux k\ntitle T\nversion 2\nsort-key 3\nmachine-id 0123456789abcdef\n"),
		"loader/entries/d.conf": boottest.File("linux k\ntitle T\nsort-key 4\n"),
		"loader/entries/e.conf": boottest.File("linux k\ntitle T\nsort-key 5\n"),
		"loader/entries/f.conf": boottest.File("linux k\ntitle U\nversion 1\nsort-key 6\nmachine-id 9\n"),
		"loader/entries/g.conf": boottest.File("linux k\ntitle V\nmachine-id 9\nsort-key 7\n"),
		"loader/entries/h.conf": boottest.File("linux k\ntitle V\nmachine-id 8\nsort-key 8\n"),
	})
	if got, want := titles(l), "T (1) (01234567), T (1) (fedcba98), T (2), T (d.conf), T (e.conf), U, V (9), V (8)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestLoaderConf asserts what the settings of systemd-boot mean.
func TestLoaderConf(t *testing.T) {
	wait := func(d time.Duration) *time.Duration { return &d }
	tests := []struct {
		name    string
		conf    string
		def     string // title of the default
		timeout *time.Duration
		note    string
	}{
		{name: "nothing"},
		{name: "file name", conf: "default b.conf\n", def: "b"},
		{name: "without the ending", conf: "default b\n", def: "b"},
		{name: "case", conf: "default B.conf\n", def: "b"},
		{name: "without the counter", conf: "default c.conf\n", def: "c"},
		{name: "star", conf: "default *\n", def: "c"}, // it sorts first
		{name: "question mark", conf: "default ?.conf\n", def: "c"},
		{name: "set", conf: "default [a-b].conf\n", def: "b"},
		{name: "negated set", conf: "default [!c-z].conf\n", def: "b"},
		{name: "failed", conf: "default d.conf\n"},
		{name: "the next one that has not failed", conf: "default [d-e]*\n", def: "e 2"},
		{name: "none", conf: "default x*\n", note: `loader.conf:1: The default "x*" is none`},
		{name: "bad pattern", conf: "default [\n", note: "is none"},
		{name: "saved", conf: "#\ndefault @saved\n", note: "loader.conf:2: The default"},
		{name: "last line counts", conf: "default a.conf\ndefault b.conf\n", def: "b"},
		{name: "seconds", conf: "timeout 10\n", timeout: wait(10 * time.Second)},
		{name: "at once", conf: "timeout\t0\r\n", timeout: wait(0)},
		{name: "no menu", conf: "timeout menu-hidden\n", timeout: wait(0)},
		{name: "never a menu", conf: "timeout menu-disabled\n", timeout: wait(0)},
		{name: "menu", conf: "timeout menu-force\n", timeout: wait(-1)},
		{name: "no number", conf: "timeout -3\n", note: `timeout "-3" is not a number`},
		{name: "too large a number", conf: "timeout 99999999999\n", note: "is not a number"},
		{name: "other settings", conf: "editor no\nauto-entries 1\nconsole-mode max\n"},
		{name: "too large", conf: strings.Repeat("# \n", 50000), note: "loader.conf: The settings cannot be used"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := parse(t, fstest.MapFS{
				"loader/loader.conf":         boottest.File(tt.conf),
				"loader/entries/a.conf":      boottest.File("linux k\ntitle a\n"),
				"loader/entries/b.conf":      boottest.File("linux k\ntitle b\n"),
				"loader/entries/c+3.conf":    boottest.File("linux k\ntitle c\nsort-key x\n"),
				"loader/entries/d+0-3.conf":  boottest.File("linux k\ntitle d\nsort-key x\n"),
				"loader/entries/e-1.conf":    boottest.File("linux k\ntitle e 1\n"),
				"loader/entries/e-2.conf":    boottest.File("linux k\ntitle e 2\n"),
				"loader/entries.conf":        boottest.File("linux k\n"),
				"boot/loader/entries/x.conf": boottest.File("linux k\ntitle elsewhere\n"), // loader.conf is not about it
			})
			got := ""
			for _, e := range l.Entries {
				if e.Default {
					got += e.Title
				}
				if e.Title == "elsewhere" {
					if e.Timeout != nil {
						t.Errorf("elsewhere the timeout is %v", *e.Timeout)
					}
				} else if (e.Timeout == nil) != (tt.timeout == nil) || e.Timeout != nil && *e.Timeout != *tt.timeout {
					t.Errorf("%s: timeout %v", e.Title, e.Timeout)
				}
			}
			if got != tt.def {
				t.Errorf("default %q, want %q", got, tt.def)
			}
			l.Entries = nil
			if all := boottest.AllNotes(l); !strings.Contains(all, tt.note) || (all == "") != (tt.note == "") {
				t.Errorf("notes %q, want one with %q", all, tt.note)
			}
		})
	}
}

// TestLimits asserts that what is too much is left out and noted.
func TestLimits(t *testing.T) {
	huge := strings.Repeat("x", 70000)
	if _, err := bls.Parse(fstest.MapFS{"loader/entries/a.conf": boottest.File(huge)}, boot.Volume{}); !errors.Is(err, boot.ErrTooLarge) {
		t.Errorf("a huge file alone: %v", err)
	}
	l := parse(t, fstest.MapFS{"loader/entries/a.conf": boottest.File(huge), "loader/entries/b.conf": boottest.File("linux k\n")})
	if len(l.Entries) != 1 || !strings.Contains(boottest.AllNotes(l), "/loader/entries/a.conf cannot be used") {
		t.Errorf("a huge file and another: %s", boottest.Text(l, nil))
	}

	many := fstest.MapFS{}
	for i := range 1100 {
		many[fmt.Sprintf("loader/entries/%04d.conf", i)] = boottest.File("linux k\n")
	}
	if l := parse(t, many); len(l.Entries) != 1000 || !strings.Contains(boottest.AllNotes(l), "more than the 1000 entries") {
		t.Errorf("1100 files made %d entries and %s", len(l.Entries), boottest.AllNotes(l))
	}
	for name := range many {
		many[name] = boottest.File("linux k\n" + strings.Repeat("#", 60000))
	}
	if l := parse(t, many); len(l.Entries) != 4<<20/60008 || !strings.Contains(boottest.AllNotes(l), "more than 4 MiB") {
		t.Errorf("66 MB of files made %d entries and %s", len(l.Entries), boottest.AllNotes(l))
	}
	for name := range many {
		many[name] = boottest.File("title T\n")
	}
	many["loader/entries/0000.conf"] = boottest.File("linux k\n")
	if l := parse(t, many); len(l.Entries) != 1 || len(l.Notes) != 21 || !strings.HasPrefix(l.Notes[20].Text, "980 more") {
		t.Errorf("useless files made %d entries and %d notes", len(l.Entries), len(l.Notes))
	}
}

// TestHostile asserts that a small file cannot mean much work.
func TestHostile(t *testing.T) {
	fsys := fstest.MapFS{
		"grub2/grubenv":                boottest.File("# GRUB Environment Block\nx=" + strings.Repeat("y", 60000) + "\n"),
		"loader/entries/bomb.conf":     boottest.File("linux k\noptions " + strings.Repeat("$x", 30000) + "\n"),
		"loader/entries/initrds.conf":  boottest.File("linux k\n" + strings.Repeat("initrd $x\n", 6000)),
		"loader/entries/unset.conf":    boottest.File("linux k\noptions " + variables(10000) + "\n"),
		"loader/entries/trees.conf":    boottest.File("linux k\n" + strings.Repeat("devicetree x\n", 5000)),
		"loader/entries/sort-key.conf": boottest.File("linux k\nsort-key " + strings.Repeat("x", 60000) + "\n"),
	}
	start := boottest.ProcessorTime(t)
	l := parse(t, fsys)
	if took := boottest.ProcessorTime(t) - start; took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	for _, e := range l.Entries {
		if len(e.Cmdline) > 1<<16 || len(strings.Join(e.Initrds, "")) > 1<<22 || len(strings.Join(e.Notes, "")) > 1000 {
			t.Errorf("%s: %d bytes of command line, %d initrds, notes %.2000q", e.Title, len(e.Cmdline), len(e.Initrds), e.Notes)
		}
		if want := e.Title == "bomb" || e.Title == "initrds" || e.Title == "unset"; want != (e.Problem != "") {
			t.Errorf("%s: problem %q", e.Title, e.Problem)
		}
	}
	if len(l.Entries) != 5 {
		t.Errorf("%d entries", len(l.Entries))
	}
}

// variables returns the names of n variables, as in a command line.
func variables(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "$v%d ", i)
	}
	return b.String()[:min(b.Len(), 60000)]
}

// TestUnreadable asserts that a file which cannot be read costs that file.
func TestUnreadable(t *testing.T) {
	l := parse(t, fstest.MapFS{
		"loader/entries/a.conf": {Mode: fs.ModeNamedPipe},
		"loader/entries/b.conf": {Data: []byte("gone"), Mode: fs.ModeSymlink},
		"loader/entries/c.conf": {Mode: fs.ModeDir},
		"loader/entries/d.conf": boottest.File("linux k\n"),
		"loader/entries.srel":   boottest.File("type2\n"),
	})
	if got := titles(l); got != "d" {
		t.Errorf("entries %s", got)
	}
	all := boottest.AllNotes(l)
	for _, want := range []string{"/loader/entries/a.conf cannot", "/loader/entries/b.conf cannot", `/loader/entries.srel: It declares that the entries follow other rules ("type2")`} {
		if !strings.Contains(all, want) {
			t.Errorf("no note with %q in %s", want, all)
		}
	}
	if strings.Contains(all, "c.conf") {
		t.Errorf("a directory is not a file: %s", all)
	}
}

// broken is a volume whose root cannot be read.
type broken struct{}

func (broken) Open(string) (fs.File, error) { return nil, fs.ErrPermission }

func TestBroken(t *testing.T) {
	if l, err := bls.Parse(broken{}, boot.Volume{}); !errors.Is(err, fs.ErrPermission) || len(l.Entries) != 0 {
		t.Errorf("got %s", boottest.Text(l, err))
	}
}

// FuzzParse asserts what holds for any configuration: it ends without a panic,
// paths stay on the volume, and titles and notes are fit to be printed.
func FuzzParse(f *testing.F) {
	f.Add("title T\nversion 1\nlinux /k\ninitrd \\u \\i\noptions $a ${b} initrd=x,y quiet\n", "default [!a]*\ntimeout menu-force\n", "# GRUB Environment Block\na=b\\\nc\n###", "e+3-1")
	f.Add("efi /u.efi\narchitecture aa64\n", "default @saved", "", "e+0")
	f.Add("linux k\n", "default *", "", "+3")
	f.Add("uki u.efi\noptions \"a\"\nextra x\nprofile 9\n", "timeout 9", "# GRUB Environment Block\n\\", "\xff")
	boottest.Seeds(f, func(_, text string) { f.Add(text, text, "", "e") }, "*.conf")
	unified := image(f, ".cmdline own\n.linux 6.1\n.profile ID=x\n")
	f.Fuzz(func(t *testing.T, conf, loader, grubenv, name string) {
		fsys := fstest.MapFS{
			"loader/entries/e-1.conf": boottest.File(conf),
			"loader/loader.conf":      boottest.File(loader),
			"grub2/grubenv":           boottest.File(grubenv),
			"u.efi":                   unified,
			"boot/k":                  boottest.File("kernel"),
		}
		if second := "loader/entries/" + name + ".conf"; fs.ValidPath(second) && path.Dir(second) == "loader/entries" {
			fsys[second] = boottest.File(conf)
		}
		l, err := bls.Parse(fsys, boot.Volume{})
		boottest.Check(t, l, err)
		isDefault := func(e boot.Entry) bool { return e.Default }
		if i := slices.IndexFunc(l.Entries, isDefault); i >= 0 && slices.ContainsFunc(l.Entries[i+1:], isDefault) {
			t.Errorf("two defaults: %s", boottest.Text(l, nil))
		}
	})
}
