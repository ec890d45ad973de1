package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/assets"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target/report"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// subject is one initramfs under test.
type subject struct {
	name       string
	build      func() (string, error) // makes initrd
	initrd     string
	parameters string   // for its kernel
	frame      string   // the first text that it draws
	list       string   // on its screen when it shows all entries
	choose     []vm.Key // what boots the first entry

	complete func(entries int) vm.Condition // that the list shows so many

	// When it is counted.
	counts     bool
	kernel     string                                 // "" for that of the others
	unattended string                                 // parameters with which the default starts by itself
	handed     string                                 // what it writes when it gives the console to the target
	waits      time.Duration                          // how long it counts down all the same
	loads      bool                                   // loading is counted too
	completeOn func(entries int) func(vm.Screen) bool // nil where no list is counted
}

// mark is a moment on the way.
type mark struct {
	Key, About string
}

// The moments, in order.
var marks = []mark{
	{"banner", "QEMU start to the menu kernel's banner"},
	{"init", "banner to init"},
	{"frame", "init to first frame"},
	{"list", "init to list complete"},
	{"target", "choice to the target's banner"},
	{"total", "QEMU start to the target's banner, less the wait for the choice"},
}

// Result is what was measured of one subject; times in milliseconds.
type Result struct {
	Name      string             `json:"name"`
	Initramfs int64              `json:"initramfs_bytes"`
	Median    map[string]int64   `json:"median_ms"`
	Runs      []map[string]int64 `json:"runs_ms"`
	Memory    int                `json:"smallest_memory_mib,omitempty"`
}

// Report is the content of bench.json.
type Report struct {
	Machine Machine  `json:"machine"`
	Kernel  int64    `json:"kernel_bytes"`
	Results []Result `json:"results"`

	Partitions []Partitions `json:"partitions"`
	Handovers  []Handover   `json:"handovers"`
	Loads      []Load       `json:"loads"`
	Lines      []Line       `json:"lines"`
	Payloads   []Way        `json:"payloads"`
	Counted    []Counted    `json:"counted"`
}

// plan is what is measured.
type plan struct {
	runs    int
	memory  bool
	all     bool   // what takes an hour too
	only    string // what is measured has this in its name
	against string // directory of another checkout, that is counted too
	keep    bool   // the counts for the next release
	lists   bool   // only what lists of many partitions take
	output  string
}

// keptFile is where they are, in the checkout.
const keptFile = "qemu-tests/bench/release.json"

func bench(a *assets.Assets, p plan, stdout, progress io.Writer) error {
	subjects, kernel, err := prepare(a, p.only)
	if err != nil {
		return err
	}
	r := Report{Machine: thisMachine(), Kernel: size(kernel)}
	err = r.count(a, kernel, subjects, p, progress)
	r.countedTable(stdout)
	if err != nil || p.lists {
		return err
	}
	if p.runs > 0 && len(subjects) > 0 {
		if err := r.time(a, kernel, subjects, p, stdout, progress); err != nil {
			return err
		}
	}
	if err := writeJSON(p.output, r); err != nil {
		return err
	}
	file := filepath.Join(a.Root(), keptFile)
	if p.keep {
		return r.keep(file)
	}
	if err = r.compare(file, stdout); err == nil {
		return nil
	}
	// When a disk answers is the host's doing: what is slower both times, is.
	fmt.Fprintf(progress, "%v\nCounting once more ...\n", err)
	var again Report
	if err := again.count(a, kernel, subjects, p, progress); err != nil {
		return err
	}
	r.least(again.Counted)
	return r.compare(file, stdout)
}

// time measures by the clock, beside what was counted.
func (r *Report) time(a *assets.Assets, kernel string, subjects []subject, p plan, stdout, progress io.Writer) error {
	runs, memory := p.runs, p.memory && p.all
	drive, err := benchDisk(a)
	if err != nil {
		return err
	}
	options := func(s subject) vm.Options {
		return vm.Options{Kernel: kernel, Initrd: s.initrd, Cmdline: "console=ttyS0,115200 " + s.parameters,
			CPUs: 2, Drives: []vm.Drive{{File: drive}}, Dir: a.Path("bench", "logs", filepath.Base(s.initrd))}
	}
	for _, s := range subjects {
		r.Results = append(r.Results, Result{Name: s.name, Initramfs: size(s.initrd), Median: map[string]int64{}})
	}
	for n := range runs {
		for i, s := range subjects {
			fmt.Fprintf(progress, "run %d of %d: %s ...\n", n+1, runs, s.name)
			times, err := measure(options(s), s, 5*time.Minute)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			r.Results[i].Runs = append(r.Results[i].Runs, times)
		}
	}
	for i := range r.Results {
		res := &r.Results[i]
		for _, m := range marks {
			var all []int64
			for _, run := range res.Runs {
				all = append(all, run[m.Key])
			}
			res.Median[m.Key] = median(all)
		}
		if memory {
			fmt.Fprintf(progress, "smallest memory: %s ...\n", res.Name)
			limit := 20*time.Second + 4*time.Duration(res.Median["total"])*time.Millisecond
			res.Memory = smallest(func(mib int) bool {
				o := options(subjects[i])
				o.Memory = mib
				_, err := measure(o, subjects[i], limit)
				fmt.Fprintf(progress, "  %d MiB: %v\n", mib, err == nil)
				return err == nil
			})
		}
	}
	if r.Lines, err = benchLine(a, kernel, subjects, progress); err != nil {
		return err
	}
	if p.all {
		if r.Partitions, err = benchPartitions(a, kernel, subjects, min(runs, 3), progress); err != nil {
			return err
		}
		if err := r.handovers(a, runs, progress); err != nil {
			return err
		}
		if r.Payloads, err = benchPayloads(a, runs, progress); err != nil {
			return err
		}
	}
	r.table(stdout)
	r.lineTable(stdout)
	if p.all {
		r.handoverTables(stdout)
		fmt.Fprintln(stdout)
		r.waysTable(stdout, runs)
	}
	return nil
}

// writeJSON writes figures to a file.
func writeJSON(file string, figures any) error {
	b, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// prepare builds what is compared, of which the name has only in it.
func prepare(a *assets.Assets, only string) ([]subject, string, error) {
	kernel, err := a.Kernel()
	if err != nil {
		return nil, "", err
	}
	// " alpboot " stands in the menu's header, and not on any command line.
	alpboot := subject{parameters: "alpboot.timeout=-1", frame: " alpboot ", list: "Linux lts", choose: []vm.Key{vm.Enter}, complete: entryCount,
		unattended: "alpboot.timeout=0", handed: "Starting ", completeOn: entriesOn}
	ours, oursFull := alpboot, alpboot
	ours.name, ours.build, ours.counts, ours.loads = "alpboot, minimal", a.MinimalInitramfs, true, true
	oursFull.name, oursFull.build = "alpboot, with shell", a.Initramfs
	uroot := subject{
		name: "u-root v0.16.0 boot", build: func() (string, error) { return urootInitramfs(a) }, choose: []vm.Key{"1", vm.Enter},
		// It prints the configuration before, so that the title alone means nothing.
		frame: "Enter a number to boot", list: "01. Linux lts",
		complete: func(int) vm.Condition { return vm.InLog("Enter a number to boot") }, // it draws nothing before
		counts:   true, waits: 10 * time.Second,
	}
	var subjects []subject
	for _, s := range []subject{ours, oursFull, uroot} {
		if !strings.Contains(s.name, only) {
			continue
		}
		if s.initrd, err = s.build(); err != nil {
			return nil, "", err
		}
		subjects = append(subjects, s)
	}
	return subjects, kernel, nil
}

// urootInitramfs builds u-root's init and boot with u-root's own builder, which
// is the one that mkpayload uses, and compresses them as mkpayload does.
func urootInitramfs(a *assets.Assets) (string, error) {
	file := a.Path("bench", "u-root-boot.cpio")
	cmd := exec.Command("go", "tool", "u-root", "-o", file, "-initcmd=init", "-uinitcmd=boot", "-defaultsh=",
		"github.com/u-root/u-root/cmds/boot/boot", "github.com/u-root/u-root/cmds/core/init")
	cmd.Dir = a.Root()
	cmd.Env = append(os.Environ(), "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building u-root's boot: %w\n%s", err, out)
	}
	if out, err := exec.Command("xz", "--check=crc32", "-T1", "--force", "--x86", "--lzma2=preset=9e,lc=4", file).CombinedOutput(); err != nil {
		return "", fmt.Errorf("compressing u-root's boot: %w\n%s", err, out)
	}
	return file + ".xz", nil
}

// benchDisk has a /boot of its own with extlinux.conf: a layout that u-root's
// boot finds too.
func benchDisk(a *assets.Assets) (string, error) { return diskWith(a, "disk.img", "") }

// diskWith is that with more on the target's command line.
func diskWith(a *assets.Assets, name, parameters string) (string, error) {
	kernel, initramfs, err := theTarget(a)
	if err != nil {
		return "", err
	}
	file := a.Path("bench", name)
	return file, disk.SeparateBoot(disk.Install{
		Options: targetOptions(parameters),
		Kernels: []disk.Kernel{{Flavour: "lts", Image: kernel, Initramfs: initramfs}},
	}).Write(file)
}

// measure boots a subject and its target once, and returns the milliseconds of
// each mark. Each step may take limit.
func measure(o vm.Options, s subject, limit time.Duration) (map[string]int64, error) {
	m, err := vm.Launch(o)
	if err != nil {
		return nil, err
	}
	defer m.Stop()
	c := m.Serial(0)
	const banner = "Linux version "
	watches := []*vm.Wait{
		c.Watch(vm.InLog(banner)),
		c.Watch(vm.InLog("Run /init as init process")),
		c.Watch(vm.InLog(s.frame)),
		c.Watch(vm.OnScreen(s.list)),
	}
	var at [4]time.Duration
	for i, w := range watches {
		if at[i], err = w.Result(limit); err != nil {
			return nil, err
		}
	}
	before := len(c.Log())
	chosen := m.Since()
	c.Type(s.choose...)
	reached, err := c.Await(limit, vm.LogAfter(before, banner))
	if err != nil {
		return nil, err
	}
	if _, err := c.Await(limit, vm.InLog(report.LastLine)); err != nil {
		return nil, err
	}
	return map[string]int64{
		"banner": at[0].Milliseconds(),
		"init":   (at[1] - at[0]).Milliseconds(),
		"frame":  (at[2] - at[1]).Milliseconds(),
		"list":   (at[3] - at[1]).Milliseconds(),
		"target": (reached - chosen).Milliseconds(),
		"total":  (at[3] + reached - chosen).Milliseconds(),
	}, nil
}

// smallest returns the least multiple of 8, up to 512, for which boots is true;
// 0 when there is none. Whoever boots with some memory does so with more.
func smallest(boots func(mib int) bool) int {
	const step, limit = 8, 512
	low, high := 4, limit/step // 32 MiB do for no Linux with an initramfs of Go
	for low < high {
		mid := (low + high) / 2
		if boots(mid * step) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	if high == limit/step && !boots(limit) {
		return 0
	}
	return high * step
}

func size(file string) int64 {
	st, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return st.Size()
}
