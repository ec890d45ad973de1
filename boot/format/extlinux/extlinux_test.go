package extlinux_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/extlinux"
)

func parse(t *testing.T, fsys fs.FS) boot.Listing {
	t.Helper()
	l, err := extlinux.Parse(fsys, boot.Volume{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestPlaces asserts that a configuration is found wherever one of the loaders
// looks, in the case that a CD or FAT may have the names in.
func TestPlaces(t *testing.T) {
	for _, name := range []string{
		"extlinux.conf", "boot/extlinux.conf", "extlinux/extlinux.conf", "boot/extlinux/extlinux.conf",
		"syslinux.cfg", "syslinux/syslinux.cfg", "boot/syslinux/syslinux.cfg",
		"boot/syslinux/extlinux.conf", "boot/extlinux/syslinux.cfg",
		"isolinux.cfg", "isolinux/isolinux.cfg", "boot/isolinux/isolinux.cfg", "ISOLINUX/ISOLINUX.CFG",
		"EFI/syslinux/syslinux.cfg", "EFI/BOOT/syslinux.cfg", "efi/boot/syslx64.cfg",
	} {
		l := parse(t, fstest.MapFS{name: boottest.File("LABEL a\nLINUX k\n")})
		if len(l.Entries) != 1 || l.Entries[0].Source != (boot.Source{File: name, Line: 1}) {
			t.Errorf("%s: got %s", name, boottest.Text(l, nil))
		}
	}
}

// TestLabel asserts what one label turns into; the configuration is
// boot/syslinux/syslinux.cfg on a volume with a few files.
func TestLabel(t *testing.T) {
	const none = "(no entry)"
	tests := []struct {
		name    string
		config  string
		title   string // of the first entry; none for no entry at all
		kernel  string
		initrds string // with spaces between
		cmdline string
		problem string // what it contains
		note    string // what a note of the entry or the listing contains
	}{
		{name: "relative paths", config: "LABEL a\nLINUX k\nINITRD i\n", title: "a", kernel: "boot/syslinux/k", initrds: "boot/syslinux/i"},
		{name: "parent directory", config: "LABEL a\nLINUX ../vmlinuz\n", title: "a", kernel: "boot/vmlinuz"},
		{name: "no way out", config: "LABEL a\nLINUX ../../../../etc/k\nINITRD /../i\n", title: "a", kernel: "etc/k", initrds: "i"},
		{name: "absolute path", config: "LABEL a\nLINUX /boot/vmlinuz\n", title: "a", kernel: "boot/vmlinuz"},
		{name: "absolute path below /boot", config: "LABEL a\nLINUX /vmlinuz\n", title: "a", kernel: "boot/vmlinuz"},
		{name: "absolute path that is nowhere", config: "LABEL a\nLINUX /gone\n", title: "a", kernel: "gone"},
		{name: "of this volume", config: "LABEL a\nLINUX ::/boot/vmlinuz\nINITRD ::boot/initrd\n", title: "a", kernel: "boot/vmlinuz", initrds: "boot/initrd"},
		{name: "backslashes", config: "LABEL a\nLINUX \\boot\\vmlinuz\nAPPEND initrd=..\\initrd\n", title: "a", kernel: "boot/vmlinuz", initrds: "boot/initrd"},
		{name: "through a linked directory", config: "LABEL a\nLINUX /kernels/vmlinuz\n", title: "a", kernel: "boot/vmlinuz"},
		{name: "network", config: "LABEL a\nLINUX http://host/vmlinuz\n", title: "a", problem: "network"},
		{name: "empty path", config: "LABEL a\nLINUX\n", title: "a", problem: "names no kernel"},

		{name: "root directory", config: "LABEL a\nLINUX /\n", title: "a", problem: `"/" is not a file`},
		{name: "module without a kernel", config: "LABEL a\nCOM32 linux.c32\n", title: "a", problem: `"" is not a file`},

		{name: "comma list", config: "LABEL a\nLINUX k\nINITRD /u, ,/i,\n", title: "a", kernel: "boot/syslinux/k", initrds: "u i"},
		{name: "initrd in APPEND", config: "LABEL a\nLINUX k\nAPPEND root=x initrd=/u,/i quiet\n", title: "a", kernel: "boot/syslinux/k", initrds: "u i", cmdline: "root=x quiet"},
		{name: "initrd twice in APPEND", config: "LABEL a\nLINUX k\nAPPEND initrd=/u initrd=/i\n", title: "a", kernel: "boot/syslinux/k", initrds: "u i"},
		{name: "initrd in both", config: "LABEL a\nLINUX k\nINITRD /u,/i\nAPPEND initrd=/u quiet\n", title: "a", kernel: "boot/syslinux/k", initrds: "u i", cmdline: "quiet"},
		{name: "last INITRD counts", config: "LABEL a\nLINUX k\nINITRD /u\nINITRD /i\n", title: "a", kernel: "boot/syslinux/k", initrds: "i"},
		{name: "too many initrds", config: "LABEL a\nLINUX k\nINITRD " + strings.Repeat("i,", 40) + "\n", title: "a", kernel: "boot/syslinux/k", initrds: "boot/syslinux/i", problem: "40 initrds"},

		{name: "global APPEND", config: "APPEND quiet\nLABEL a\nLINUX k\n", title: "a", kernel: "boot/syslinux/k", cmdline: "quiet"},
		{name: "own APPEND wins", config: "APPEND quiet\nLABEL a\nLINUX k\nAPPEND debug\n", title: "a", kernel: "boot/syslinux/k", cmdline: "debug"},
		{name: "APPEND -", config: "APPEND quiet\nLABEL a\nLINUX k\nAPPEND -\n", title: "a", kernel: "boot/syslinux/k"},
		{name: "APPEND after a separator is global", config: "MENU SEPARATOR\nAPPEND quiet\nLABEL a\nLINUX k\nMENU SEPARATOR\nAPPEND debug\n", title: "a", kernel: "boot/syslinux/k", cmdline: "quiet"},
		{name: "options beside the kernel", config: "LABEL a\nKERNEL k single\nAPPEND quiet\n", title: "a", kernel: "boot/syslinux/k", cmdline: "single quiet"},
		{name: "BOOT_IMAGE and SYSAPPEND", config: "SYSAPPEND 3\nLABEL a\nLINUX k\nIPAPPEND 2\nAPPEND BOOT_IMAGE=/k  ro\tquiet \n", title: "a", kernel: "boot/syslinux/k", cmdline: "ro quiet", note: "adds BOOTIF= to the command line"},
		{name: "SYSAPPEND for all", config: "SYSAPPEND 0x10003\nLABEL a\nLINUX k\n", title: "a", kernel: "boot/syslinux/k", note: "adds ip=, BOOTIF=, BIOSVERSION= to the command line"},
		{name: "SYSAPPEND taken back", config: "SYSAPPEND 3\nLABEL a\nSYSAPPEND 0\nLINUX k\n", title: "a", kernel: "boot/syslinux/k"},
		{name: "quotes in the command line", config: "LABEL a\nLINUX k\nAPPEND dyndbg=\"file a.c  +p\"  initrd=/i x\n", title: "a", kernel: "boot/syslinux/k", initrds: "i", cmdline: `dyndbg="file a.c  +p" x`},
		{name: "open quote", config: "LABEL a\nLINUX k\nAPPEND a=\" initrd=/i x\n", title: "a", kernel: "boot/syslinux/k", initrds: "i", cmdline: `a=" x`},
		{name: "u-boot variable", config: "LABEL a\nLINUX k\nAPPEND root=${rootdev}\n", title: "a", kernel: "boot/syslinux/k", cmdline: "root=${rootdev}", note: "u-boot would replace"},

		{name: "keywords in any case", config: "lAbEl a\nmEnU lAbEl T\nlInUx k\naPpEnD Q\n", title: "T", kernel: "boot/syslinux/k", cmdline: "Q"},
		{name: "hotkey", config: "LABEL a\nMENU LABEL Boot ^Linux\nLINUX k\n", title: "Boot Linux", kernel: "boot/syslinux/k"},
		{name: "hostile title", config: "LABEL a\nMENU LABEL \x1b[2Jx\u202ey\xff " + strings.Repeat("w", 300) + "\nLINUX k\n", title: "[2Jx y " + strings.Repeat("w", 193) + "...", kernel: "boot/syslinux/k"},
		{name: "CRLF, tabs, no final newline", config: "LABEL a\r\n\tLINUX\tk\r\n\tAPPEND\tq", title: "a", kernel: "boot/syslinux/k", cmdline: "q"},
		{name: "byte order mark", config: "\ufeffLABEL a\nLINUX k\n", title: "a", kernel: "boot/syslinux/k"},
		{name: "comments", config: "# LABEL x\n#LABEL y\nLABEL a\n# LINUX n\nLINUX k\n", title: "a", kernel: "boot/syslinux/k"},
		{name: "zero bytes", config: "LABEL a\nLINUX k\x00\x00\x00\nAPPEND q\n", title: "a", kernel: "boot/syslinux/k", cmdline: "q", note: "syslinux.cfg:2: The line holds zero bytes"},
		{name: "unknown keyword", config: "LABEL a\nFOO bar\nLINUX k\n", title: "a", kernel: "boot/syslinux/k", note: `syslinux.cfg:2: "FOO" is not a keyword`},
		{name: "line too long", config: "LABEL a\nLINUX k\nAPPEND " + strings.Repeat("x", 5000) + "\nINITRD i\n", title: "a", kernel: "boot/syslinux/k", initrds: "boot/syslinux/i", problem: "Line 3", note: "5007 bytes"},
		{name: "help text", config: "LABEL a\nTEXT HELP\nLINUX wrong\nendtext\nLINUX k\n", title: "a", kernel: "boot/syslinux/k"},
		{name: "help text without end", config: "LABEL a\nLINUX k\nTEXT HELP\nLABEL b\n", title: "a", kernel: "boot/syslinux/k", note: "syslinux.cfg:3: TEXT has no ENDTEXT"},

		{name: "label is the kernel", config: "LABEL ../vmlinuz\nAPPEND q\n", title: "../vmlinuz", kernel: "boot/vmlinuz", cmdline: "q"},
		{name: "label without a kernel", config: "LABEL head\n", title: none, note: "names no kernel"},
		{name: "label without a name", config: "LABEL\nLINUX k\n", title: none, note: "has no name"},
		{name: "heading", config: "LABEL -\nMENU LABEL Linux:\nMENU DISABLE\nLINUX k\n", title: none},
		{name: "hidden", config: "LABEL a\nMENU HIDE\nLINUX k\n", title: none},
		{name: "hidden default", config: "DEFAULT a\nLABEL a\nMENU HIDE\nLINUX k\n", title: "a", kernel: "boot/syslinux/k", note: "MENU HIDE"},
		{name: "password in a submenu", config: "MENU BEGIN s\nLABEL a\nLINUX k\nMENU PASSWD x\nMENU END\n", title: "s / a", kernel: "boot/syslinux/k", note: "asks for a password"},
		{name: "password", config: "LABEL a\nLINUX k\nMENU PASSWD x\n", title: "a", kernel: "boot/syslinux/k", note: "password"},
		{name: "menu password", config: "MENU MASTER PASSWD x\nLABEL a\nLINUX k\n", title: "a", kernel: "boot/syslinux/k"},
		{name: "KASLRSEED", config: "LABEL a\nLINUX k\nKASLRSEED\n", title: "a", kernel: "boot/syslinux/k"},
		{name: "FDT", config: "LABEL a\nLINUX k\nFDT /a.dtb\n", title: "a", kernel: "boot/syslinux/k", note: "/a.dtb is not passed on"},
		{name: "FDTDIR", config: "LABEL a\nLINUX k\nDEVICETREEDIR /boot/dtbs\n", title: "a", kernel: "boot/syslinux/k", note: "/boot/dtbs"},

		{name: "Xen", config: "LABEL a\nKERNEL /boot/syslinux/mboot.c32\nAPPEND /boot/xen.gz --- /boot/vmlinuz q\n", title: "a", kernel: "boot/xen.gz", cmdline: "/boot/xen.gz --- /boot/vmlinuz q", problem: "Xen"},
		{name: "multiboot", config: "LABEL a\nCOM32 mboot\nAPPEND /tboot.gz\n", title: "a", kernel: "tboot.gz", cmdline: "/tboot.gz", problem: "multiboot"},
		{name: "linux.c32", config: "LABEL a\nCOM32 linux.c32\nAPPEND /boot/vmlinuz initrd=/i q\n", title: "a", kernel: "boot/vmlinuz", initrds: "i", cmdline: "q"},
		{name: "another module", config: "LABEL a\nCOM32 cmd.c32 x\n", title: "a", kernel: "boot/syslinux/cmd.c32", cmdline: "x", problem: "module cmd.c32"},
		{name: "module by KERNEL", config: "LABEL a\nKERNEL Chain.C32\nAPPEND hd0 1\n", title: "a", kernel: "boot/syslinux/Chain.C32", cmdline: "hd0 1", problem: "another boot loader"},
		{name: "boot sector", config: "LABEL a\nKERNEL win.bss\n", title: "a", kernel: "boot/syslinux/win.bss", problem: "boot sector"},
		{name: "boot sector by BOOT", config: "LABEL a\nBOOT win\n", title: "a", kernel: "boot/syslinux/win", problem: "boot sector"},
		{name: "network boot program", config: "LABEL a\nPXE x.0\n", title: "a", kernel: "boot/syslinux/x.0", problem: "network boot program"},
		{name: "version that ends like one", config: "LABEL a\nKERNEL vmlinuz-6.1.0\n", title: "a", kernel: "boot/syslinux/vmlinuz-6.1.0"},
		{name: "LINUX forces the type", config: "LABEL a\nLINUX k.bin\n", title: "a", kernel: "boot/syslinux/k.bin"},
		{name: "LOCALBOOT", config: "LABEL a\nLOCALBOOT 0x80\n", title: "a", problem: "firmware"},
		{name: "memdisk", config: "LABEL a\nLINUX memdisk\nINITRD /dos.img\n", title: "a", kernel: "boot/syslinux/memdisk", initrds: "dos.img", problem: "memdisk"},
		{name: "iPXE", config: "LABEL a\nLINUX ipxe.lkrn\n", title: "a", kernel: "boot/syslinux/ipxe.lkrn", problem: "ipxe.lkrn"},
		{name: "reboot", config: "LABEL a\nCOM32 reboot\n", title: none},
		{name: "power off", config: "LABEL a\nKERNEL poweroff.com\n", title: none},
		{name: "hdt", config: "LABEL a\nCOM32 /boot/hdt.c32\n", title: none},
		{name: "memtest", config: "LABEL a\nLINUX /boot/memtest86+.bin\n", title: none},
		{name: "back to the menu", config: "LABEL a\nMENU EXIT\n", title: none},

		{name: "submenu by tag", config: "MENU BEGIN sub\nLABEL a\nLINUX k\nMENU END\n", title: "sub / a", kernel: "boot/syslinux/k"},
		{name: "submenu by title", config: "MENU BEGIN sub\nMENU TITLE The ^Sub\nLABEL a\nLINUX k\n", title: "The Sub / a", kernel: "boot/syslinux/k"},
		{name: "submenu by label", config: "MENU BEGIN\nMENU LABEL The ^Sub\nMENU TITLE not this\nLABEL a\nLINUX k\n", title: "The Sub / a", kernel: "boot/syslinux/k"},
		{name: "submenu in a submenu", config: "MENU BEGIN x\nMENU BEGIN y\nLABEL a\nLINUX k\n", title: "x / y / a", kernel: "boot/syslinux/k"},
		{name: "too many ends", config: "MENU END\nMENU END\nLABEL a\nLINUX k\n", title: "a", kernel: "boot/syslinux/k"},
		{name: "MENU INCLUDE", config: "APPEND q\nMENU INCLUDE inc.cfg\n", title: "included", kernel: "boot/syslinux/inc", cmdline: "q"},
		{name: "MENU INCLUDE in a submenu", config: "MENU BEGIN s\nMENU INCLUDE /boot/syslinux/inc.cfg\nMENU END\n", title: "s / included", kernel: "boot/syslinux/inc"},
		{name: "MENU INCLUDE of itself", config: "MENU INCLUDE syslinux.cfg again\nLABEL a\nLINUX k\n", title: "a", kernel: "boot/syslinux/k", note: "includes itself"},
		{name: "MENU INCLUDE of nothing", config: "MENU INCLUDE gone.cfg\nLABEL a\nLINUX k\n", title: "a", kernel: "boot/syslinux/k", note: `"gone.cfg" does not exist`},
		{name: "MENU INCLUDE with a tag", config: "MENU INCLUDE inc.cfg Sub menu\n", title: "Sub menu / included", kernel: "boot/syslinux/inc"},
		{name: "INCLUDE", config: "APPEND q\nINCLUDE /boot/syslinux/inc.cfg\n", title: "included", kernel: "boot/syslinux/inc", cmdline: "q"},
		{name: "INCLUDE ends inside a label", config: "INCLUDE inc.cfg\nAPPEND q\n", title: "included", kernel: "boot/syslinux/inc", cmdline: "q"},
		{name: "INCLUDE of nothing", config: "INCLUDE\nINCLUDE gone.cfg\nLABEL a\nLINUX k\n", title: "a", kernel: "boot/syslinux/k", note: `syslinux.cfg:2: The included file "gone.cfg" does not exist`},
		{name: "CONFIG", config: "LABEL x\nMENU LABEL Other\nCONFIG other/o.cfg\n", title: "Other / o", kernel: "boot/syslinux/ok"},
		{name: "CONFIG with a directory", config: "LABEL x\nCONFIG other/o.cfg\nAPPEND other\n", title: "o", kernel: "boot/syslinux/other/ok"},
		{name: "menu module as a label", config: "APPEND q\nLABEL x\nMENU LABEL Other\nKERNEL vesamenu.c32\nAPPEND other/o.cfg\n", title: "Other / o", kernel: "boot/syslinux/ok"},
		{name: "menu module without a file", config: "APPEND q\nLABEL x\nKERNEL menu.c32\n", title: none},
		{name: "UI with a file", config: "UI menu.c32 ~ other/o.cfg\n", title: "o", kernel: "boot/syslinux/ok"},
		{name: "CONFIG of nothing", config: "LABEL x\nCONFIG gone.cfg\n", title: none, note: "does not exist"},

		{name: "DEFAULT is a kernel", config: "APPEND q\nDEFAULT ../vmlinuz initrd=/i single\n", title: "vmlinuz", kernel: "boot/vmlinuz", initrds: "i", cmdline: "q single"},
		{name: "DEFAULT is nothing", config: "DEFAULT gone\nLABEL a\nLINUX k\n", title: "a", kernel: "boot/syslinux/k", note: `"gone" is neither`},
		{name: "IMPLICIT 0", config: "IMPLICIT 0\nDEFAULT ../vmlinuz\n", title: none, note: "neither"},
		{name: "no entry at all", config: "PROMPT 0\n", title: none, note: "holds no entry"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := parse(t, fstest.MapFS{
				"boot/syslinux/syslinux.cfg": boottest.File(tt.config),
				"boot/syslinux/inc.cfg":      boottest.File("LABEL included\nLINUX inc\n"),
				"boot/syslinux/other/o.cfg":  boottest.File("LABEL o\nLINUX ok\n"),
				"boot/syslinux/other/ok":     boottest.File("kernel"),
				"boot/vmlinuz":               boottest.File("kernel"),
				"boot/initrd":                boottest.File("initrd"),
				"boot/syslinux/ok":           boottest.File("kernel"),
				"boot/dtbs/a.dtb":            boottest.File("tree"),
				"boot/xen.gz":                boottest.File("xen"),
				"kernels":                    boottest.Link("boot"),
			})
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
				want := [...]string{tt.title, tt.kernel, tt.initrds, tt.cmdline}
				if got != want {
					t.Errorf("got  %q\nwant %q", got, want)
				}
				if !strings.Contains(e.Problem, tt.problem) || (e.Problem == "") != (tt.problem == "") {
					t.Errorf("problem %q, want one with %q", e.Problem, tt.problem)
				}
			}
			if !strings.Contains(all, tt.note) || (all == "") != (tt.note == "") {
				t.Errorf("notes %q, want %q among them", all, tt.note)
			}
		})
	}
}

// TestDefault asserts which label is the default, by its title.
func TestDefault(t *testing.T) {
	const labels = "LABEL a\nLINUX a\nLABEL b\nMENU LABEL B\nLINUX b\n"
	tests := []struct {
		name   string
		config string
		want   string
	}{
		{"none named", labels, ""},
		{"DEFAULT label", "DEFAULT b\n" + labels, "B"},
		{"DEFAULT after the labels", labels + "DEFAULT b\n", "B"},
		{"DEFAULT in another case", "DEFAULT B\n" + labels, "B"},
		{"DEFAULT module", "DEFAULT menu.c32\n" + labels, ""},
		{"MENU DEFAULT", labels + "MENU DEFAULT\n", "B"},
		{"MENU DEFAULT beside a module", "DEFAULT menu.c32\n" + labels + "MENU DEFAULT\n", "B"},
		{"last MENU DEFAULT", "LABEL c\nLINUX c\nMENU DEFAULT\n" + labels + "MENU DEFAULT\n", "B"},
		{"DEFAULT before MENU DEFAULT", "DEFAULT a\n" + labels + "MENU DEFAULT\n", "a"},
		{"DEFAULT of a gone label", "DEFAULT gone\n" + labels + "MENU DEFAULT\n", "B"},
		{"ONTIMEOUT first", "ONTIMEOUT b\nDEFAULT a\n" + labels, "B"},
		{"ONTIMEOUT may be hidden", "UI menu.c32\nONTIMEOUT c\n" + labels + "LABEL c\nMENU HIDE\nLINUX c\n", "c"},
		{"DEFAULT hidden from a menu", "UI menu.c32\nDEFAULT c\n" + labels + "MENU DEFAULT\nLABEL c\nMENU HIDE\nLINUX c\n", "B"},
		{"MENU DEFAULT of a submenu alone", "MENU BEGIN s\n" + labels + "MENU DEFAULT\n", ""},
		{"submenu that is the default", "MENU BEGIN s\nMENU DEFAULT\n" + labels + "MENU DEFAULT\n", "s / B"},
		{"MENU START", "MENU BEGIN s\nMENU START\n" + labels + "MENU DEFAULT\n", "s / B"},
		{"DEFAULT inside a submenu", "DEFAULT b\nMENU BEGIN s\n" + labels, "s / B"},
		{"twice the same name", "DEFAULT a\n" + labels + "LABEL a\nMENU LABEL second\nLINUX c\n", "a"},
		{"whichsys", "DEFAULT w\nLABEL w\nCOM32 whichsys.c32\nAPPEND -pxe- x -sys- a -iso- b\n" + labels, "a"},
		{"ifcpu64 to hidden labels", "DEFAULT w\nLABEL w\nMENU LABEL Auto\nKERNEL ifcpu64.c32\nAPPEND c -- d\n" + labels + "LABEL c\nMENU HIDE\nLINUX c\nLABEL d\nMENU HIDE\nLINUX d\n", "Auto"},
		{"another configuration's default", "DEFAULT c\n" + labels + "LABEL c\nCONFIG c.cfg\n", "inner"},
		{"another configuration that is not the default", "DEFAULT b\nLABEL c\nCONFIG c.cfg\n" + labels, "B"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := parse(t, fstest.MapFS{
				"extlinux.conf": boottest.File(tt.config),
				"c.cfg":         boottest.File("DEFAULT inner\nLABEL first\nLINUX f\nLABEL inner\nLINUX i\n"),
			})
			got := ""
			for _, e := range l.Entries {
				if e.Default {
					got += boottest.Path(e)
				}
			}
			if got != tt.want {
				t.Errorf("default %q, want %q\n%s", got, tt.want, boottest.Text(l, nil))
			}
		})
	}
}

func TestDefaultWithOptions(t *testing.T) {
	l := parse(t, fstest.MapFS{"extlinux.conf": boottest.File("DEFAULT a single\nLABEL a\nLINUX k\nAPPEND q\n")})
	e := l.Entries[0]
	if e.Cmdline != "q" || len(e.Notes) != 1 || !strings.Contains(e.Notes[0], `"single"`) {
		t.Errorf("got %s", boottest.EntryText(e))
	}
}

func TestTimeout(t *testing.T) {
	const forever, none = -1, -2
	tests := []struct {
		config string
		want   time.Duration
	}{
		{"", none},
		{"TIMEOUT 10\n", time.Second},
		{"timeout 5 # comment\n", 500 * time.Millisecond},
		{"TIMEOUT 0\n", forever},
		{"TIMEOUT\n", none},
		{"TIMEOUT ten\n", none},
		{"TIMEOUT -1\n", none},
		{"TIMEOUT 99999999999999999999999\n", 1 << 31 * time.Second / 10},
		{"TOTALTIMEOUT 9000\n", 15 * time.Minute},
		{"TIMEOUT 50\nTOTALTIMEOUT 9000\n", 5 * time.Second},
		{"TIMEOUT 0\nTOTALTIMEOUT 9000\n", 15 * time.Minute},
		{"TIMEOUT 50\nTOTALTIMEOUT 30\n", 3 * time.Second},
		{"TOTALTIMEOUT 0\n", none},
	}
	for _, tt := range tests {
		l := parse(t, fstest.MapFS{"extlinux.conf": boottest.File(tt.config + "LABEL a\nLINUX k\n")})
		got := time.Duration(none)
		if d := l.Entries[0].Timeout; d != nil {
			if got = *d; got < 0 {
				got = forever
			}
		}
		if got != tt.want {
			t.Errorf("%q: %v, want %v", tt.config, got, tt.want)
		}
	}
}

// TestOnce asserts what is one entry, and what is two.
func TestOnce(t *testing.T) {
	const config = "LABEL a\nLINUX /boot/k\n"
	tests := []struct {
		name string
		fsys fstest.MapFS
		want int
	}{
		{"link to the directory itself", fstest.MapFS{"extlinux.conf": boottest.File("LABEL a\nLINUX k\n"), "boot": boottest.Link(".")}, 1},
		{"link back to the root", fstest.MapFS{"boot/extlinux.conf": boottest.File("LABEL a\nLINUX k\n"), "boot/boot": boottest.Link("..")}, 1},
		{"linked file", fstest.MapFS{"boot/extlinux/extlinux.conf": boottest.File(config), "extlinux.conf": boottest.Link("boot/extlinux/extlinux.conf")}, 1},
		{"absolute link stays on the volume", fstest.MapFS{"boot/extlinux/extlinux.conf": boottest.File(config), "extlinux.conf": boottest.Link("/boot/extlinux/extlinux.conf")}, 1},
		{"same entry in two files", fstest.MapFS{"extlinux.conf": boottest.File(config), "syslinux.cfg": boottest.File("TIMEOUT 5\n" + config)}, 1},
		{"different command line", fstest.MapFS{"extlinux.conf": boottest.File(config), "syslinux.cfg": boottest.File(config + "APPEND q\n")}, 2},
		{"different title", fstest.MapFS{"extlinux.conf": boottest.File(config + "LABEL b\nLINUX /boot/k\n")}, 2},
		{"CONFIG of a file that is read anyhow", fstest.MapFS{"extlinux.conf": boottest.File("LABEL x\nMENU LABEL X\nCONFIG syslinux.cfg\n"), "syslinux.cfg": boottest.File(config)}, 1},
		{"CONFIG back to the first", fstest.MapFS{"extlinux.conf": boottest.File(config + "LABEL x\nCONFIG o.cfg\n"), "o.cfg": boottest.File("LABEL y\nCONFIG extlinux.conf\n")}, 1},
		{"file that includes itself", fstest.MapFS{"extlinux.conf": boottest.File(config + "INCLUDE extlinux.conf\n")}, 1},
		{"files that include each other", fstest.MapFS{"extlinux.conf": boottest.File("INCLUDE o.cfg\n"), "o.cfg": boottest.File(config + "INCLUDE extlinux.conf\nINCLUDE o.cfg\n")}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if l := parse(t, tt.fsys); len(l.Entries) != tt.want {
				t.Errorf("%d entries, want %d\n%s", len(l.Entries), tt.want, boottest.Text(l, nil))
			}
		})
	}
}

func TestOnceKeepsTheDefault(t *testing.T) {
	const config = "LABEL a\nLINUX /boot/k\n"
	l := parse(t, fstest.MapFS{"extlinux.conf": boottest.File(config), "syslinux.cfg": boottest.File(config + "MENU DEFAULT\n")})
	if len(l.Entries) != 1 || !l.Entries[0].Default {
		t.Errorf("got %s", boottest.Text(l, nil))
	}
}

// TestBroken asserts that what cannot be read leaves a sentence that names it,
// and does not take the rest along.
func TestBroken(t *testing.T) {
	const good = "LABEL a\nLINUX k\n"
	huge := boottest.File(strings.Repeat("garbage \x01\xff\n", 1<<20))
	boottest.RunHostile(t, func(fsys fs.FS) (boot.Listing, error) { return extlinux.Parse(fsys, boot.Volume{}) }, []boottest.Hostile{
		{Name: "10 MiB of garbage", FS: fstest.MapFS{"boot/extlinux.conf": huge}, Err: boot.ErrTooLarge},
		{Name: "beside a good one", FS: fstest.MapFS{"boot/extlinux.conf": huge, "extlinux.conf": boottest.File(good)}, Entries: 1, Notes: []string{"/boot/extlinux.conf cannot be used", "too large"}},
		{Name: "included", FS: fstest.MapFS{"h.cfg": huge, "extlinux.conf": boottest.File("INCLUDE h.cfg\n" + good)}, Entries: 1, Notes: []string{"extlinux.conf:1: The included file /h.cfg cannot be used", "too large"}},
		{Name: "1 MiB of garbage", FS: fstest.MapFS{"extlinux.conf": boottest.File(strings.Repeat("ga\x01rbage \xff\n", 90000))}, Notes: []string{"extlinux.conf:1: ", "89980 more notes", "holds no entry"}},
		{Name: "dangling link", FS: fstest.MapFS{"extlinux.conf": boottest.Link("gone"), "syslinux.cfg": boottest.File(good)}, Entries: 1, Notes: []string{"leads nowhere"}},
		{Name: "link loop", FS: fstest.MapFS{"extlinux.conf": boottest.Link("boot"), "boot": boottest.Link("extlinux.conf")}, Notes: []string{"leads nowhere"}},
		{Name: "device node", FS: fstest.MapFS{"extlinux.conf": {Mode: fs.ModeDevice}, "syslinux.cfg": boottest.File(good)}, Entries: 1, Notes: []string{"not a regular file"}},
		{Name: "too many labels", FS: fstest.MapFS{"extlinux.conf": boottest.File(many(5000))}, Entries: 1000, Notes: []string{"more than 1000 labels"}},
		{Name: "too many submenus", FS: fstest.MapFS{"extlinux.conf": boottest.File(good + strings.Repeat("MENU BEGIN x\n", 40000) + strings.Repeat("MENU END\n", 40000))}, Entries: 1},
		{Name: "chain of includes", FS: includeChain(30, "INCLUDE"), Entries: 1, Notes: []string{"more than 16 deep"}},
		{Name: "chain of configurations", FS: includeChain(30, "LABEL x\nCONFIG"), Entries: 1, Notes: []string{"more than 16 deep"}},
		{Name: "tree of includes", FS: includeTree(), Entries: 1, Notes: []string{"more than 256 configuration files"}},
	})
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "LABEL l%d\nLINUX k\n", i)
	}
	return b.String()
}

func includeChain(n int, how string) fstest.MapFS {
	fsys := fstest.MapFS{"extlinux.conf": boottest.File("LABEL a\nLINUX k\n" + how + " 0\n")}
	for i := range n {
		fsys[fmt.Sprint(i)] = boottest.File(fmt.Sprintf("%s %d\n", how, i+1))
	}
	return fsys
}

// includeTree has 2^12 ways from the first file to the last ones.
func includeTree() fstest.MapFS {
	fsys := fstest.MapFS{"extlinux.conf": boottest.File("LABEL a\nLINUX k\nMENU SEPARATOR\nINCLUDE 0\n")}
	for i := range 12 {
		fsys[fmt.Sprint(i)] = boottest.File(fmt.Sprintf("INCLUDE %d\nINCLUDE %d\n", i+1, i+1))
	}
	return fsys
}

// failing returns an error for every directory but the root.
type failing struct{ fstest.MapFS }

func (f failing) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("input/output error")}
	}
	return f.MapFS.ReadDir(name)
}

func TestUnreadableDirectory(t *testing.T) {
	fsys := failing{fstest.MapFS{"boot/extlinux.conf": boottest.File("LABEL a\nLINUX k\n")}}
	if _, err := extlinux.Parse(fsys, boot.Volume{}); err == nil || !strings.Contains(err.Error(), "/boot cannot be read") {
		t.Errorf("error %v", err)
	}
	fsys.MapFS["extlinux.conf"] = boottest.File("LABEL a\nLINUX k\n")
	l, err := extlinux.Parse(fsys, boot.Volume{})
	if err != nil || len(l.Entries) != 1 || !strings.Contains(boottest.Notes(l), "/boot cannot be read") {
		t.Errorf("got %s", boottest.Text(l, err))
	}
}

// FuzzParse asserts what holds for any configuration: it ends without a panic,
// paths stay on the volume, and titles and notes are fit to be printed.
func FuzzParse(f *testing.F) {
	f.Add("DEFAULT menu.c32\nTIMEOUT 10\nLABEL lts\n  MENU DEFAULT\n  MENU LABEL Linux ^lts\n  LINUX vmlinuz-lts\n  INITRD u,i\n  APPEND root=UUID=x initrd=\\a,b quiet\n\nMENU SEPARATOR\n", "")
	f.Add("UI vesamenu.c32 inc.cfg\nMENU BEGIN s\nMENU INCLUDE inc.cfg tag\nMENU END\nLABEL c\nCONFIG inc.cfg\nAPPEND ..\n", "LABEL x\nCOM32 mboot.c32\nAPPEND xen.gz --- k\nINCLUDE extlinux.conf\n")
	f.Add("DEFAULT k single\r\nONTIMEOUT l\x00\nTEXT HELP\nENDTEXT\nLABEL l\nCOM32 ifcpu64.c32\nAPPEND k -- l\n", "\ufeffTOTALTIMEOUT 9\n")
	boottest.Seeds(f, func(_, text string) { f.Add(text, "") }, "*.conf", "*.cfg")
	f.Fuzz(func(t *testing.T, config, included string) {
		l, err := extlinux.Parse(fstest.MapFS{
			"boot/extlinux.conf": boottest.File(config),
			"boot/inc.cfg":       boottest.File(included),
			"boot/k":             boottest.File("kernel"),
			"boot/boot":          boottest.Link("."),
		}, boot.Volume{})
		boottest.Check(t, l, err)
	})
}
