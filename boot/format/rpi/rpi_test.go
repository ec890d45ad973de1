package rpi_test

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
	"github.com/alpboot/alpboot/boot/format/rpi"
)

// summary returns the kernels with their initrds, command lines and models in
// one line, and the notes.
func summary(l boot.Listing) (entries, notes string) {
	var list []string
	var b strings.Builder
	for _, e := range l.Entries {
		s := strings.Join(append([]string{e.Kernel}, e.Initrds...), "+")
		if _, models, ok := strings.Cut(e.Title, " for "); ok {
			s += " for " + strings.TrimSuffix(models, ")")
		}
		if e.Cmdline != "" {
			s += " [" + e.Cmdline + "]"
		}
		if e.Problem != "" {
			s += " !"
		}
		list = append(list, s)
		for _, n := range append(e.Notes, e.Problem) {
			fmt.Fprintln(&b, n)
		}
	}
	for _, n := range l.Notes {
		fmt.Fprintln(&b, n)
	}
	return strings.Join(list, "; "), b.String()
}

// TestConfig asserts what a configuration turns into, on a volume with the
// kernels that the firmware knows and a few files more.
func TestConfig(t *testing.T) {
	tests := []struct {
		name   string
		config string
		want   string // as summary returns it
		note   string // what a note or problem contains
	}{
		{name: "kernel and initramfs", config: "kernel=k\ninitramfs i\n", want: "k+i [q]"},
		{name: "address", config: "kernel=k\ninitramfs i 0x08000000\n", want: "k+i [q]"},
		{name: "several files", config: "kernel=k\ninitramfs u,,i followkernel\n", want: "k+u+i [q]"},
		{name: "ramfsfile", config: "kernel=k\nramfsfile=u,i\nramfsaddr=0\n", want: "k+u+i [q]"},
		{name: "initramfs with =", config: "kernel=k\ninitramfs=i\n", want: "k [q]", note: "A space and no ="},
		{name: "the last one counts", config: "kernel=no\ninitramfs no\nkernel=k\ninitramfs i\n", want: "k+i [q]"},
		{name: "case counts", config: "kernel=k\nKERNEL=no\n[ALL]\nkernel=no\n", want: "k [q]", note: `under the condition "[ALL]"`},
		{name: "comments, CRLF, indented", config: "\ufeff# kernel=no\r\n  kernel=k\r\n#initramfs no\r\n", want: "k [q]"},
		{name: "another command line", config: "kernel=k\ncmdline=other.txt\n", want: "k [other]"},
		{name: "command line that is not there", config: "kernel=k\ncmdline=gone.txt\n", want: "k", note: "no /gone.txt: its command line is empty"},
		{name: "command line that is a directory", config: "kernel=k\ncmdline=dir\n", want: "k", note: "no /dir"},
		{name: "huge command line", config: "kernel=k\ncmdline=huge\n", want: "k !", note: "/huge cannot be read: read huge: file is too large"},
		{name: "control characters", config: "kernel=k\ncmdline=control.txt\n", want: "k [a b]"},
		{name: "backslashes and no way out", config: "kernel=..\\..\\dir\\k\ninitramfs ../../i\n", want: "dir/k+i [q]"},
		{name: "kernel that is not a file", config: "kernel=/\n", want: " [q] !", note: `"/" is not a file`},
		{name: "device tree", config: "kernel=k\ndtoverlay=a\ndtoverlay=b\ndevice_tree=c.dtb\n", want: "k [q]", note: "(dtoverlay, device_tree) is not acted on"},
		{name: "too many initrds", config: "kernel=k\ninitramfs " + strings.Repeat("i,", 40) + "\n", want: "k" + strings.Repeat("+i", 32) + " [q] !", note: "more than the 32 initrds"},

		{name: "the firmware's own kernels", config: "", want: "kernel_2712.img [q]; kernel8.img [q]; kernel7.img [q]; kernel.img [q]"},
		{name: "64 bits", config: "arm_64bit=1\n", want: "kernel_2712.img [q]; kernel8.img [q]"},
		{name: "32 bits", config: "arm_64bit=0\n", want: "kernel7.img [q]; kernel.img [q]"},
		{name: "32 bits on one model", config: "arm_64bit=1\n[pi3]\narm_64bit=0\n", want: "kernel_2712.img [q]; kernel8.img [q]; kernel7.img for pi3 [q]; kernel.img for pi3 [q]"},
		{name: "empty kernel", config: "kernel=\narm_64bit=0\n", want: "kernel7.img [q]; kernel.img [q]"},
		{name: "initramfs by name", config: "auto_initramfs=1\narm_64bit=1\n", want: "kernel_2712.img [q]; kernel8.img+initramfs8 [q]"},
		{name: "initramfs by the name of a named kernel", config: "auto_initramfs=1\nkernel=kernel8.img\n", want: "kernel8.img+initramfs8 [q]"},
		{name: "initramfs of another name", config: "auto_initramfs=1\nkernel=k\n", want: "k [q]"},
		{name: "named initramfs first", config: "auto_initramfs=1\nkernel=kernel8.img\ninitramfs i\n", want: "kernel8.img+i [q]"},
		{name: "no initramfs by name", config: "auto_initramfs=0\nkernel=kernel8.img\n", want: "kernel8.img [q]"},

		{name: "prefix", config: "kernel=k\ninitramfs i\nos_prefix=dir/\n", want: "dir/k+dir/i [dir]"},
		{name: "prefix that is not a directory", config: "kernel=k\nos_prefix=dir/x-\n", want: "dir/x-k", note: "no /dir/x-cmdline.txt"},
		{name: "past the prefix", config: "kernel=k\ninitramfs /i\ncmdline=/cmdline.txt\nos_prefix=dir/\n", want: "dir/k+i [q]"},
		{name: "prefix without a kernel", config: "kernel=k\ninitramfs i\nos_prefix=no/\n", want: "k+i [q]", note: `prefix "no/" is left out`},
		{name: "upstream", config: "kernel=k\nupstream_kernel=1\n", want: "upstream/k", note: "no /upstream/cmdline.txt"},
		{name: "upstream with a prefix", config: "kernel=k\nupstream_kernel=1\nos_prefix=dir/\n", want: "dir/k [dir]"},

		{name: "model", config: "kernel=k\n[pi4]\nkernel=k4\n[all]\ninitramfs i\n", want: "k+i [q]; k4+i for pi4 [q]"},
		{name: "model that changes nothing", config: "kernel=k\n[cm4]\notg_mode=1\n[pi4]\nkernel=k\n", want: "k [q]"},
		{name: "models alike", config: "[pi2]\nkernel=k2\n[pi3]\nkernel=k2\n[pi4]\nkernel=k4\n[all]\narm_64bit=1\n[pi1]\n", want: "kernel_2712.img [q]; kernel8.img [q]; k2 for pi2, pi3 [q]; k4 for pi4 [q]"},
		{name: "a model is also another", config: "kernel=k\n[pi4]\nkernel=k4\n[cm4]\ninitramfs i\n", want: "k [q]; k4 for pi4 [q]; k4+i for cm4 [q]"},
		{name: "models replace each other", config: "kernel=k\n[pi3]\n[board-type=0x14]\ncmdline=other.txt\n", want: "k [q]; k for board-type=0x14 [other]"},
		{name: "none", config: "kernel=k\n[none]\nkernel=no\n[pi3]\ninitramfs i\n", want: "k [q]; k+i for pi3 [q]"},
		{name: "other conditions", config: "kernel=k\n[gpio4=1]\nkernel=no\n[all]\ninitramfs i\n", want: "k+i [q]", note: `config.txt:3: "kernel" holds only under the condition "[gpio4=1]"`},
		{name: "conditions add up", config: "kernel=k\n[0x12345678]\n[pi4]\nkernel=no\n", want: "k [q]", note: "taken as not met"},
		{name: "open section", config: "kernel=k\n[pi4\ninitramfs i\n", want: "k+i [q]", note: "has no ]"},

		{name: "include", config: "include inc.txt\ninitramfs i\n", want: "inc+i [q]"},
		{name: "sections go on in included files", config: "kernel=k\n[pi4]\ninclude inc.txt\ninitramfs i\n", want: "k [q]; inc+i for pi4 [q]"},
		{name: "included file that is not there", config: "include usercfg.txt\nkernel=k\n", want: "k [q]"},
		{name: "include of a directory", config: "include dir\nkernel=k\n", want: "k [q]", note: `included file "dir" cannot be used`},
		{name: "include without a file", config: "include\nkernel=k\n", want: "k [q]", note: "cannot be used"},
		{name: "file that includes itself", config: "include ../config.txt\nkernel=k\n", want: "k [q]", note: "includes itself"},
		{name: "included file that is huge", config: "include huge\nkernel=k\n", want: "k [q]", note: "too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := rpi.Parse(fstest.MapFS{
				"config.txt":      boottest.File(tt.config),
				"cmdline.txt":     boottest.File("\n q \n"),
				"other.txt":       boottest.File("other"),
				"control.txt":     boottest.File("a\x1bb\r\n"),
				"huge":            boottest.File(strings.Repeat("x=y\n", 1<<18)),
				"inc.txt":         boottest.File("kernel=inc"),
				"kernel_2712.img": boottest.File("kernel"),
				"kernel8.img":     boottest.File("kernel"),
				"kernel7.img":     boottest.File("kernel"),
				"kernel.img":      boottest.File("kernel"),
				"initramfs8":      boottest.File("initramfs"),
				"dir/k":           boottest.File("kernel"),
				"dir/x-k":         boottest.File("kernel"),
				"dir/cmdline.txt": boottest.File("dir"),
				"upstream/k":      boottest.File("kernel"),
			})
			if err != nil {
				t.Fatal(err)
			}
			got, notes := summary(l)
			if got != tt.want {
				t.Errorf("got  %s\nwant %s\n%s", got, tt.want, boottest.Text(l, nil))
			}
			if notes = strings.TrimSpace(notes); !strings.Contains(notes, tt.note) || (notes == "") != (tt.note == "") {
				t.Errorf("notes %q, want %q among them", notes, tt.note)
			}
			for _, e := range l.Entries {
				if e.Default != (len(l.Entries) == 1) {
					t.Errorf("default %v of %s", e.Default, e.Title)
				}
			}
		})
	}
}

// TestIsPi asserts which volumes count as those of a Raspberry Pi.
func TestIsPi(t *testing.T) {
	kernel := boottest.File("kernel")
	tests := []struct {
		name    string
		fsys    fstest.MapFS
		entries int
		note    bool
	}{
		{"nothing", fstest.MapFS{"kernel8.img": kernel}, 0, false},
		{"command line alone", fstest.MapFS{"cmdline.txt": boottest.File("q"), "kernel8.img": kernel}, 0, false},
		{"somebody else's config.txt", fstest.MapFS{"config.txt": boottest.File("initramfs x\n[pi4]\n"), "kernel8.img": kernel}, 0, false},
		{"one in a directory", fstest.MapFS{"boot/config.txt": boottest.File("kernel=k\n")}, 0, false},
		{"huge one that is somebody else's", fstest.MapFS{"config.txt": boottest.File(strings.Repeat("kernel=x\n", 1<<16))}, 0, false},
		{"kernel named", fstest.MapFS{"config.txt": boottest.File("kernel=k\n")}, 1, false},
		{"beside a command line", fstest.MapFS{"config.txt": boottest.File(""), "cmdline.txt": boottest.File("q"), "kernel8.img": kernel}, 1, false},
		{"firmware of a Pi 4", fstest.MapFS{"config.txt": boottest.File(""), "START4.ELF": boottest.File(""), "kernel8.img": kernel}, 1, false},
		{"firmware of a Pi 3", fstest.MapFS{"config.txt": boottest.File(""), "bootcode.bin": boottest.File(""), "kernel8.img": kernel}, 1, false},
		{"firmware without a configuration", fstest.MapFS{"start.elf": boottest.File(""), "kernel8.img": kernel}, 1, false},
		{"no kernel", fstest.MapFS{"config.txt": boottest.File(""), "start.elf": boottest.File("")}, 0, true},
		{"not the firmware", fstest.MapFS{"config.txt": boottest.File(""), "restart.elf": boottest.File(""), "start.elf/x": boottest.File(""), "kernel8.img": kernel}, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := rpi.Parse(tt.fsys)
			if err != nil || len(l.Entries) != tt.entries || (len(l.Notes) > 0) != tt.note {
				t.Errorf("got %s", boottest.Text(l, err))
			}
		})
	}
	if _, err := rpi.Parse(fstest.MapFS{"start.elf": boottest.File(""), "config.txt": boottest.File(strings.Repeat("x", 1<<20))}); !errors.Is(err, boot.ErrTooLarge) {
		t.Errorf("error %v", err)
	}
	if _, err := rpi.Parse(failing{}); err == nil {
		t.Error("no error from a volume that cannot be read")
	}
}

// failing is a volume that cannot be read.
type failing struct{ fstest.MapFS }

func (failing) ReadDir(string) ([]fs.DirEntry, error) { return nil, errors.New("input/output error") }

// TestLimits asserts that what is made to take long does not.
func TestLimits(t *testing.T) {
	chain := fstest.MapFS{"config.txt": boottest.File("kernel=k\ninclude 0\n")}
	for i := range 100 {
		chain[fmt.Sprint(i)] = boottest.File(fmt.Sprintf("include %d\ninclude %d\n", i+1, i+1))
	}
	var models strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&models, "[pi%d]\nkernel=k%d\n", i, i)
	}
	tests := []struct {
		name    string
		fsys    fstest.MapFS
		entries int
		note    string
	}{
		{"chain of includes", chain, 1, "more than 32 files"},
		{"deep includes", chain, 1, "more than 8 deep"},
		{"many models", fstest.MapFS{"config.txt": boottest.File("kernel=k\n" + models.String())}, 33, "more than 1000 settings"},
		{"garbage", fstest.MapFS{"config.txt": boottest.File("kernel=k\n" + strings.Repeat("[\xff\x01\n", 50_000))}, 1, "more notes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			began := boottest.ProcessorTime(t)
			l, err := rpi.Parse(tt.fsys)
			if _, notes := summary(l); err != nil || len(l.Entries) != tt.entries || !strings.Contains(notes, tt.note) || len(l.Notes) > 25 {
				t.Errorf("%d entries, notes %s, error %v", len(l.Entries), notes, err)
			}
			if d := boottest.ProcessorTime(t) - began; d > 10*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// FuzzParse asserts what holds for any configuration: it ends without a panic,
// paths stay on the volume, and what is shown is fit to be printed.
func FuzzParse(f *testing.F) {
	boottest.Seeds(f, func(_, text string) { f.Add(text, "kernel=x", "q") }, "config.txt")
	f.Add("include inc.txt\n[pi4]\n[none]\n[gpio1=1]\n[all]\nkernel=/../k\nos_prefix=../\ninitramfs ,..,i 0\nauto_initramfs=1\narm_64bit=0\n", "include config.txt\n[board-type=1]\nupstream_kernel=1\n", "a\x00b\nc")
	f.Fuzz(func(t *testing.T, config, included, cmdline string) {
		l, err := rpi.Parse(fstest.MapFS{
			"config.txt":  boottest.File(config),
			"usercfg.txt": boottest.File(included),
			"inc.txt":     boottest.File(included),
			"cmdline.txt": boottest.File(cmdline),
			"kernel8.img": boottest.File("kernel"),
			"initramfs8":  boottest.File("initramfs"),
		})
		boottest.Check(t, l, err)
	})
}
