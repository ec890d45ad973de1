package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/qemu-tests/assets"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// Handover is what loading a kernel from a disk and jumping to it takes, by one
// command and system call. Times are medians in milliseconds.
type Handover struct {
	Name string `json:"name"`
	usage
	Reading int64 `json:"reading_ms,omitempty"`     // of Took, where the command prints it
	Call    int64 `json:"system_call_ms,omitempty"` // of Took, where the command prints it
	Entered int64 `json:"entered_ms,omitempty"`     // jump to the target's first instruction, where it unpacks itself
	Banner  int64 `json:"banner_ms"`                // jump to the target's banner
}

// usage is what peak has printed: milliseconds and KiB.
type usage struct {
	Took int64 `json:"load_ms"`
	Most int64 `json:"memory_kib"`
	Kept int64 `json:"kept_kib"`
	RSS  int64 `json:"resident_kib"`
}

// kexecs are the commands that are compared in the menu's machine.
var kexecs = []struct {
	name, load string
	unpacks    bool // the kernel, when it loads: a stub is no use
}{
	{name: "alpboot's kexec", load: "kexec -d -l --command-line console=ttyS0 --initrd initramfs-lts"},
	{name: "alpboot's kexec -s", load: "kexec -d -l -s --command-line console=ttyS0 --initrd initramfs-lts"},
	{name: "u-root's kexec", load: "uroot-kexec -l -c console=ttyS0 -i initramfs-lts"},
	{name: "u-root's kexec -L", load: "uroot-kexec -l -L -c console=ttyS0 -i initramfs-lts", unpacks: true},
}

// handovers measures what r has about loading a kernel and jumping to it.
func (r *Report) handovers(a *assets.Assets, runs int, progress io.Writer) error {
	kernel, err := a.Kernel()
	if err != nil {
		return err
	}
	if r.Handovers, err = benchHandover(a, kernel, min(runs, 3), progress); err != nil {
		return err
	}
	r.Loads, err = benchLoad(a, kernel, runs, progress)
	return err
}

// handoverTables prints that for docs/benchmarks.md.
func (r Report) handoverTables(w io.Writer) {
	r.handoverTable(w)
	r.loadTable(w)
}

// benchHandover compares them on the same kernel and initrd, each time in a new
// machine that has not read the files yet.
func benchHandover(a *assets.Assets, menuKernel string, runs int, progress io.Writer) ([]Handover, error) {
	initrd, err := handoverInitramfs(a)
	if err != nil {
		return nil, err
	}
	drive, err := handoverDisk(a)
	if err != nil {
		return nil, err
	}
	o := vm.Options{Kernel: menuKernel, Initrd: initrd, Cmdline: "console=ttyS0,115200 loglevel=4 alpboot.timeout=-1 no_timer_check",
		// QEMU takes minutes where a kernel unpacks itself over code that has run.
		Memory: 2048, Drives: []vm.Drive{{File: drive}}}
	var all []Handover
	for i, k := range kexecs {
		all = append(all, Handover{Name: k.name})
		h := &all[i]
		var loads []usage
		var reading, call, entered, banner []int64
		for run := range runs {
			for _, flavour := range []string{"lts", "stub"} {
				if k.unpacks && flavour == "stub" {
					continue
				}
				fmt.Fprintf(progress, "handover by %s, run %d of %d, %s ...\n", k.name, run+1, runs, flavour)
				o.Dir = a.Path("bench", "logs", fmt.Sprintf("handover-%d-%s", i, flavour))
				got, err := handOver(o, k.load, flavour)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", k.name, err)
				}
				loads = append(loads, got.usage)
				reading = append(reading, got.Reading)
				call = append(call, got.Call)
				if flavour == "lts" {
					banner = append(banner, got.Banner)
				} else {
					entered = append(entered, got.Entered)
				}
			}
		}
		h.usage = middle(loads)
		h.Reading, h.Call, h.Entered, h.Banner = median(reading), median(call), median(entered), median(banner)
	}
	return all, nil
}

// firstByte is what the stub writes to the serial port.
const firstByte = "\x01"

// stub returns the kernel image with other first instructions, 32-bit and 64-bit
// ones alike: they write a byte to the first serial port and stop.
func stub(image []byte) []byte {
	b := bytes.Clone(image)
	code := []byte{
		0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xb0, firstByte[0], // mov al, firstByte
		0xee,       // out dx, al
		0xf4,       // hlt
		0xeb, 0xfd, // jmp to the hlt
	}
	start := kernel.SetupSize(b)
	copy(b[start:], code)
	copy(b[start+0x200:], code)
	return b
}

// ballast returns a target's initramfs of at least so many bytes.
func ballast(a *assets.Assets, size int) ([]byte, error) {
	init, err := a.TargetInit()
	if err != nil {
		return nil, err
	}
	return target.Initramfs(target.Image{Init: init, Files: map[string]string{"ballast": noise(size)}, Compression: target.Gzip})
}

// handoverDisk has the files of u-root's issue: a kernel of 12 MB and an initrd
// of 6 MB.
func handoverDisk(a *assets.Assets) (string, error) {
	k, err := a.Debian(debian.Newer)
	if err != nil {
		return "", err
	}
	image, err := os.ReadFile(k.Image)
	if err != nil {
		return "", err
	}
	initrd, err := ballast(a, 5<<20)
	if err != nil {
		return "", err
	}
	stubFile := a.Path("bench", "vmlinuz-stub")
	if err := os.WriteFile(stubFile, stub(image), 0o644); err != nil {
		return "", err
	}
	file := a.Path("bench", "handover.img")
	return file, disk.SeparateBoot(disk.Install{Kernels: []disk.Kernel{
		{Flavour: "lts", Image: k.Image, Initramfs: initrd},
		{Flavour: "stub", Image: stubFile, Initramfs: initrd}, // an entry without its initrd cannot be booted
	}}).Write(file)
}

// handoverInitramfs is the menu's, with u-root's kexec command and peak.
func handoverInitramfs(a *assets.Assets) (string, error) {
	full, err := a.Initramfs()
	if err != nil {
		return "", err
	}
	// u-root's kexec needs a module that alpboot does without.
	modfile := a.Path("bench", "uroot-kexec.mod")
	for _, ending := range []string{"mod", "sum"} {
		b, err := os.ReadFile(filepath.Join(a.Root(), "go."+ending))
		if err == nil {
			err = os.WriteFile(strings.TrimSuffix(modfile, "mod")+ending, b, 0o644)
		}
		if err != nil {
			return "", err
		}
	}
	var records []cpio.Record
	for name, args := range map[string][]string{
		"uroot-kexec": {"-modfile=" + modfile, "-mod=mod", "github.com/u-root/u-root/cmds/core/kexec"},
		"peak":        {"./qemu-tests/bench/peak"},
	} {
		program := a.Path("bench", name)
		if err := build(a, program, args...); err != nil {
			return "", err
		}
		b, err := os.ReadFile(program)
		if err != nil {
			return "", err
		}
		records = append(records, cpio.StaticRecord(b, cpio.Info{Name: "bin/" + name, Mode: cpio.S_IFREG | 0o755}))
	}
	slices.SortFunc(records, func(a, b cpio.Record) int { return cmp.Compare(a.Name, b.Name) })
	file := a.Path("bench", "handover.cpio")
	return file, withRecords(file, full, records)
}

// withRecords makes a file of an initramfs and what records have besides.
func withRecords(file, initrd string, records []cpio.Record) error {
	cpio.MakeAllReproducible(records)
	b, err := os.ReadFile(initrd)
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	archive.Write(b)
	archive.Write(make([]byte, -len(b)&3))
	w := cpio.Newc.Writer(&archive)
	if err := errors.Join(cpio.WriteRecords(w, records), cpio.WriteTrailer(w)); err != nil {
		return err
	}
	return os.WriteFile(file, archive.Bytes(), 0o644)
}

// build compiles a static program.
func build(a *assets.Assets, program string, args ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", program}, args...)...)
	cmd.Dir, cmd.Env = a.Root(), append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", args[len(args)-1], err, out)
	}
	return nil
}

// handOver loads and starts a kernel once.
func handOver(o vm.Options, load, flavour string) (h Handover, err error) {
	const limit = 5 * time.Minute
	m, err := vm.Launch(o)
	if err != nil {
		return h, err
	}
	defer m.Stop()
	c := m.Serial(0)
	if _, err := c.Await(limit, vm.OnScreen("Linux lts")); err != nil {
		return h, err
	}
	c.Type("s")
	if _, err := c.Await(limit, vm.OnScreen("$")); err != nil {
		return h, err
	}
	if _, err := command(c, "mkdir /m && mount -r -t ext4 /dev/vda1 /m && cd /m"); err != nil {
		return h, err
	}
	before := len(c.Log())
	var stages [3]*vm.Wait
	for i, text := range []string{"\nReading: 0 of", "\nLoading: 0 of", "\npeak: "} {
		stages[i] = c.Watch(vm.LogAfter(before, text))
	}
	if h.usage, err = loadOnce(c, load+" vmlinuz-"+flavour); err != nil {
		return h, err
	}
	if strings.Contains(c.Log()[before:], "\nLoading: 0 of") {
		var at [3]time.Duration
		for i, w := range stages {
			if at[i], err = w.Result(limit); err != nil {
				return h, err
			}
		}
		h.Reading, h.Call = (at[1] - at[0]).Milliseconds(), (at[2] - at[1]).Milliseconds()
	}
	before = len(c.Log())
	until := vm.LogAfter(before, "Linux version ")
	if flavour == "stub" {
		until = vm.LogAfter(before, firstByte)
	}
	jumped := m.Since()
	c.Type(vm.Key(strings.Fields(load)[0] + " -e\r"))
	reached, err := c.Await(limit, until)
	h.Banner = (reached - jumped).Milliseconds()
	h.Entered = h.Banner
	return h, err
}

// peakLine is what peak prints at its end.
var peakLine = regexp.MustCompile(`\npeak: ([0-9.]+) s, (-?[0-9]+) KiB at most, (-?[0-9]+) KiB kept, ([0-9]+) KiB`)

// loadOnce runs a command under peak.
func loadOnce(c *vm.Console, line string) (u usage, err error) {
	out, err := command(c, "peak "+line)
	if err != nil {
		return u, err
	}
	f := peakLine.FindStringSubmatch(out)
	if f == nil {
		return u, fmt.Errorf("peak has printed nothing:\n%s", out)
	}
	seconds, err := strconv.ParseFloat(f[1], 64)
	u.Took = int64(seconds * 1000)
	for i, p := range []*int64{&u.Most, &u.Kept, &u.RSS} {
		n, e := strconv.ParseInt(f[i+2], 10, 64)
		*p, err = n, errors.Join(err, e)
	}
	return u, err
}

// command runs a command in the shell of the machine, and returns what it prints.
func command(c *vm.Console, line string) (string, error) {
	before := len(c.Log())
	// What is typed is echoed, and must not be taken for the answer.
	c.Type(vm.Key(line + "; echo e''nd=$?.\r"))
	if _, err := c.Await(5*time.Minute, vm.LogAfter(before, "\r\nend=")); err != nil {
		return "", err
	}
	at := before + strings.Index(c.Log()[before:], "\r\nend=")
	if _, err := c.Await(time.Minute, vm.LogAfter(at, ".")); err != nil {
		return "", err
	}
	out, code := c.Log()[before:at], c.Log()[at+len("\r\nend="):]
	if !strings.HasPrefix(code, "0.") {
		return "", errors.New(out)
	}
	return out, nil
}

// noise returns n bytes that do not compress.
func noise(n int) string {
	b := make([]byte, n)
	x := uint64(1)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x >> 32)
	}
	return string(b)
}

// median returns the middle one of values, the upper of two; 0 for none.
func median(values []int64) int64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// middle returns the medians of all fields.
func middle(all []usage) (u usage) {
	for _, f := range []func(*usage) *int64{
		func(u *usage) *int64 { return &u.Took }, func(u *usage) *int64 { return &u.Most },
		func(u *usage) *int64 { return &u.Kept }, func(u *usage) *int64 { return &u.RSS },
	} {
		var values []int64
		for i := range all {
			values = append(values, *f(&all[i]))
		}
		*f(&u) = median(values)
	}
	return u
}

func mib(kib int64) float64 { return float64(kib) / 1024 }

func (r Report) handoverTable(w io.Writer) {
	row := func(name, format string, value func(Handover) (float64, bool)) {
		fmt.Fprintf(w, "| %s |", name)
		for _, h := range r.Handovers {
			if v, ok := value(h); ok {
				fmt.Fprintf(w, " "+format+" |", v)
			} else {
				fmt.Fprint(w, " |")
			}
		}
		fmt.Fprintln(w)
	}
	seconds := func(name string, value func(Handover) int64) {
		row(name, "%.2f", func(h Handover) (float64, bool) { v := value(h); return float64(v) / 1000, v != 0 })
	}
	fmt.Fprint(w, "\n|  |")
	for _, h := range r.Handovers {
		fmt.Fprintf(w, " %s |", h.Name)
	}
	fmt.Fprintln(w, "\n|---"+strings.Repeat("|---:", len(r.Handovers))+"|")
	seconds("load, s", func(h Handover) int64 { return h.Took })
	seconds("- of it reading the files", func(h Handover) int64 { return h.Reading })
	seconds("- of it the system call", func(h Handover) int64 { return h.Call })
	seconds("jump to the target's first instruction, s", func(h Handover) int64 { return h.Entered })
	seconds("jump to its banner, s: the rest is decompression", func(h Handover) int64 { return h.Banner })
	seconds("load and jump to banner, s", func(h Handover) int64 { return h.Took + h.Banner })
	memory := func(name string, value func(Handover) int64) {
		row(name, "%.1f", func(h Handover) (float64, bool) { return mib(value(h)), true })
	}
	memory("memory taken while loading, MiB", func(h Handover) int64 { return h.Most })
	memory("- of it kept until the jump", func(h Handover) int64 { return h.Kept })
}
