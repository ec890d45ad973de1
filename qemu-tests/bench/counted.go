package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/assets"
	"github.com/alpboot/alpboot/qemu-tests/payload"
	"github.com/alpboot/alpboot/qemu-tests/target/report"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// Counted is what was counted of one subject: the time in the machine that
// follows from the instructions it executes, in microseconds, by step. A step that a
// subject does not have is missing.
type Counted struct {
	Name  string           `json:"name"`
	Steps map[string]int64 `json:"us"`
}

// The steps, in order.
var countedSteps = []mark{
	{"banner", "reset to the kernel's banner"},
	{"init", "banner to init"},
	{"frame", "init to first frame"},
	{"handed", "first frame to the consoles given back, timeout 0"},
	{"shown", "- init to the consoles given back"},
	{"target", "that to the target's banner"},
	{"userland", "reset to the target's userland"},
	{"over", "- of it more than starting the target directly"},
	{"load", "countdown's end to the target's first instruction"},
	{"list1", "init to list complete, 1 partition"},
	{"list64", "64 partitions"},
	{"list256", "256 partitions"},
	{"menu", "reset to a menu with the target"},
	{"start", "reset to the target's banner, less a countdown of 1 s"},
	{"fileload", "loading by kexec_file_load, files in memory"},
}

const theTargetAlone = "the target alone"

// forDisks is what make payloads packs for a disk: only the way to the target is counted.
var forDisks = subject{name: "alpboot, for disks", frame: " alpboot ", unattended: "alpboot.timeout=0", handed: "Starting ", counts: true}

const (
	kernelBanner = "Linux version "
	initStarts   = "Run /init as init process"
)

// counter counts in machines.
type counter struct {
	a        *assets.Assets
	kernel   string
	clock    string // of vm.BuildClock
	scratch  string // directory on a tmpfs
	progress io.Writer
}

// newCounter returns one that is to be closed.
func newCounter(a *assets.Assets, kernel string, progress io.Writer) (*counter, error) {
	c := &counter{a: a, kernel: kernel, clock: a.Path("bench", "clock.so"), progress: progress}
	if err := vm.BuildClock(c.clock); err != nil {
		return nil, err
	}
	var err error
	c.scratch, err = os.MkdirTemp("/dev/shm", "alpboot-bench-")
	return c, err
}

func (c *counter) close() { os.RemoveAll(c.scratch) }

// drive brings an image to where a counted machine can read it.
func (c *counter) drive(image string) (vm.Drive, error) {
	file := filepath.Join(c.scratch, filepath.Base(image))
	if _, err := os.Stat(file); err == nil {
		return vm.Drive{File: file, Format: "raw"}, nil
	}
	b, err := os.ReadFile(image)
	if err == nil {
		err = os.WriteFile(file, b, 0o644)
	}
	return vm.Drive{File: file, Format: "raw"}, err
}

// linux is a machine whose kernel is started without firmware.
func linux(kernel, initrd, parameters string) vm.Options {
	return vm.Options{Kernel: kernel, Initrd: initrd, Cmdline: strings.TrimSpace("console=ttyS0,115200 nokaslr " + parameters)}
}

// run starts a machine, has do wait in it, and returns what it has written and when.
func (c *counter) run(name string, o vm.Options, do func(*vm.Console) error, images ...string) (*vm.Console, []vm.Moment, error) {
	fmt.Fprintf(c.progress, "counting: %s ...\n", name)
	o.Clock = c.clock
	o.Dir = c.a.Path("bench", "logs", "counted-"+strings.NewReplacer(" ", "-", ",", "", "/", "-").Replace(name))
	for _, image := range images {
		d, err := c.drive(image)
		if err != nil {
			return nil, nil, err
		}
		o.Drives = append(o.Drives, d)
	}
	m, err := vm.Launch(o)
	if err != nil {
		return nil, nil, err
	}
	defer m.Stop()
	console := m.Serial(0)
	if err := do(console); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	m.Stop()
	moments, err := m.Moments()
	return console, moments, err
}

// until waits for something in the log or on the screen.
func until(end vm.Condition) func(*vm.Console) error {
	const limit = time.Hour // on a host that is busy
	return func(c *vm.Console) error {
		_, err := c.Await(limit, end)
		return err
	}
}

// when returns when text was first written after the first from bytes, in
// microseconds, and how many bytes there were then.
func when(c *vm.Console, moments []vm.Moment, from int, text string) (us int64, bytes int, err error) {
	i := -1
	if log := c.Log(); from <= len(log) {
		i = strings.Index(log[from:], text)
	}
	at, ok := vm.When(moments, from+i+len(text)-1)
	if i < 0 || !ok {
		return 0, 0, fmt.Errorf("the machine has not written %q", text)
	}
	return at.At.Microseconds(), at.Bytes, nil
}

// start counts a start of the default without a wait, up to the target's userland.
func (c *counter) start(s subject, image string) (map[string]int64, error) {
	console, moments, err := c.run(s.name, linux(cmp.Or(s.kernel, c.kernel), s.initrd, s.unattended), until(vm.InLog(report.LastLine)), image)
	if err != nil {
		return nil, err
	}
	steps, before, bytes := map[string]int64{}, int64(0), 0
	for _, step := range []struct{ key, text string }{
		{"banner", kernelBanner}, {"init", initStarts}, {"frame", s.frame}, {"handed", s.handed}, {"target", kernelBanner}, {"", report.LastLine},
	} {
		if step.text == "" {
			continue
		}
		var us int64
		if us, bytes, err = when(console, moments, bytes, step.text); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		steps[step.key] = us - before
		before = us
	}
	if s.handed == "" { // the wait is in it
		delete(steps, "target")
	}
	delete(steps, "")
	if s.handed != "" {
		steps["shown"] = steps["frame"] + steps["handed"]
	}
	steps["userland"] = before - s.waits.Microseconds()
	return steps, nil
}

// load counts from the end of a countdown to the first instruction of a target of
// 17.5 MB.
func (c *counter) load(s subject, image string) (int64, error) {
	console, moments, err := c.run(s.name+" loading", linux(c.kernel, s.initrd, "loglevel=4 alpboot.timeout=3 alpboot.default=\"Linux stub\""), until(vm.InLog(firstByte)), image)
	if err != nil {
		return 0, err
	}
	begin, ok := console.Replay(moments, 0, func(s vm.Screen) bool { return s.Contains("Loading vmlinuz") || s.Contains("Reading vmlinuz") })
	end, _, err := when(console, moments, 0, firstByte)
	if err == nil && !ok {
		err = errors.New("the menu does not show that it loads something")
	}
	return end - begin.At.Microseconds(), err
}

// list counts from init until the list of n partitions is complete.
func (c *counter) list(s subject, n int) (int64, error) {
	drives, err := manyPartitions(c.a, n)
	if err != nil {
		return 0, err
	}
	var images []string
	for _, d := range drives {
		images = append(images, d.File)
	}
	console, moments, err := c.run(fmt.Sprintf("%s %d partitions", s.name, n), linux(c.kernel, s.initrd, s.parameters), until(s.complete(n)), images...)
	if err != nil {
		return 0, err
	}
	begin, bytes, err := when(console, moments, 0, initStarts)
	if err != nil {
		return 0, err
	}
	end, ok := console.Replay(moments, bytes, s.completeOn(n))
	if !ok {
		return 0, fmt.Errorf("the list of %d partitions is not complete", n)
	}
	return end.At.Microseconds() - begin, nil
}

// direct counts how long the target takes without a menu.
func (c *counter) direct() (map[string]int64, error) {
	kernel, initramfs, err := theTarget(c.a)
	if err != nil {
		return nil, err
	}
	initrd := c.a.Path("bench", "target.cpio.gz")
	if err := os.WriteFile(initrd, initramfs, 0o644); err != nil {
		return nil, err
	}
	console, moments, err := c.run(theTargetAlone, linux(kernel, initrd, ""), until(vm.InLog(report.LastLine)))
	if err != nil {
		return nil, err
	}
	banner, bytes, err := when(console, moments, 0, kernelBanner)
	if err != nil {
		return nil, err
	}
	userland, _, err := when(console, moments, bytes, report.LastLine)
	return map[string]int64{"banner": banner, "userland": userland}, err
}

// way counts from reset by OVMF to a menu that shows the target, and to the target's
// banner. The menu counts a second down, which is not counted.
func (c *counter) way(name string, images ...string) (map[string]int64, error) {
	vars := filepath.Join(c.scratch, "vars.fd")
	if err := payload.Copy(vars, ovmfVars); err != nil {
		return nil, err
	}
	o := vm.Options{Flash: vm.Flash{Code: ovmfCode, Vars: vars}, Memory: 1024}
	console, moments, err := c.run(name, o, until(vm.InLog(kernelBanner)), images...)
	if err != nil {
		return nil, err
	}
	menu, ok := console.Replay(moments, 0, shown)
	if !ok {
		return nil, fmt.Errorf("%s: the menu does not show the target", name)
	}
	banner, _, err := when(console, moments, 0, kernelBanner)
	return map[string]int64{"menu": menu.At.Microseconds(), "start": banner - time.Second.Microseconds()}, err
}

// ways counts those from OVMF: alpboot, GRUB and systemd-boot.
func (r *Report) ways(c *counter) error {
	const wait = "1"
	target, err := diskWith(c.a, "counted.img", "nokaslr")
	if err != nil {
		return err
	}
	kernel, initrd, err := c.a.ForDisks()
	if err != nil {
		return err
	}
	uki := c.a.Path("bench", "counted.efi")
	if _, err := payload.New(c.a).Run("uki", "--kernel", kernel, "--initramfs", initrd, "-o", uki,
		"--cmdline", "quiet nokaslr console=ttyS0,115200 alpboot.timeout="+wait); err != nil {
		return err
	}
	esp, err := espWith(c.a, "counted-esp.img", uki)
	if err != nil {
		return err
	}
	grub, err := grubDisk(c.a, "counted-grub.img", wait, "nokaslr")
	if err != nil {
		return err
	}
	systemdBoot, err := systemdBootDisk(c.a, "counted-systemd-boot.img", wait, "nokaslr")
	if err != nil {
		return err
	}
	for _, w := range []struct {
		name   string
		images []string
	}{
		{"alpboot's UKI, OVMF", []string{esp, target}},
		{"GRUB, OVMF", []string{grub, target}},
		{"systemd-boot, OVMF", []string{systemdBoot}},
	} {
		steps, err := c.way(w.name, w.images...)
		if err != nil {
			return err
		}
		r.Counted = append(r.Counted, Counted{w.name, steps})
	}
	return nil
}

// count counts what r has of all subjects, of other boot loaders, and of another checkout.
func (r *Report) count(a *assets.Assets, kernel string, subjects []subject, p plan, progress io.Writer) error {
	c, err := newCounter(a, kernel, progress)
	if err != nil {
		return err
	}
	defer c.close()
	wanted := func(name string) bool { return !p.lists && strings.Contains(name, p.only) }
	if p.against != "" && len(subjects) > 0 {
		before, err := other(a, p.against, subjects[0], progress)
		if err != nil {
			return err
		}
		subjects = slices.Insert(slices.Clone(subjects), 1, before)
	}
	if packed := forDisks; wanted(packed.name) {
		if packed.kernel, packed.initrd, err = a.ForDisks(); err != nil {
			return err
		}
		subjects = append(slices.Clone(subjects), packed)
	}
	var alone map[string]int64
	if wanted(theTargetAlone) {
		if alone, err = c.direct(); err != nil {
			return err
		}
		r.Counted = []Counted{{theTargetAlone, alone}}
	}
	for _, s := range subjects {
		if !s.counts || p.lists && s.completeOn == nil {
			continue
		}
		steps := map[string]int64{}
		r.Counted = append(r.Counted, Counted{s.name, steps}) // what has been counted is kept where a machine fails
		if err := c.steps(s, p, alone, steps); err != nil {
			return err
		}
	}
	if wanted("OVMF") {
		if err := r.ways(c); err != nil {
			return err
		}
	}
	if wanted("kexec -s") {
		return r.fileLoads(c)
	}
	return nil
}

// steps counts the steps of s. The target alone takes what alone has.
func (c *counter) steps(s subject, p plan, alone, steps map[string]int64) error {
	if !p.lists {
		// A target at a random place takes more or less.
		image, err := diskWith(c.a, "counted.img", "nokaslr")
		if err != nil {
			return err
		}
		started, err := c.start(s, image)
		if err != nil {
			return err
		}
		maps.Copy(steps, started)
		if alone != nil {
			steps["over"] = steps["userland"] - alone["userland"]
		}
	}
	if s.loads && !p.lists {
		large, err := handoverDisk(c.a)
		if err != nil {
			return err
		}
		if steps["load"], err = c.load(s, large); err != nil {
			return err
		}
	}
	if s.completeOn == nil {
		return nil
	}
	partitions := []int{1, 64}
	if p.all || p.lists {
		partitions = append(partitions, 256)
	}
	for _, n := range partitions {
		var err error
		if steps[fmt.Sprint("list", n)], err = c.list(s, n); err != nil {
			return err
		}
	}
	return nil
}

// other returns the minimal image of another checkout, which is built, as like.
func other(a *assets.Assets, dir string, like subject, progress io.Writer) (subject, error) {
	fmt.Fprintf(progress, "building the image of %s ...\n", dir)
	like.initrd = a.Path("bench", "against.cpio.xz")
	cmd := exec.Command("go", "run", "./cmds/mkpayload", "initramfs", "--arch", "amd64", "--minimal", "-o", like.initrd)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return like, fmt.Errorf("building the image of %s: %w\n%s", dir, err, out)
	}
	like.name = "against, minimal"
	commit := exec.Command("git", "rev-parse", "--short=7", "HEAD")
	commit.Dir = dir
	if out, err := commit.Output(); err == nil {
		like.name = strings.TrimSpace(string(out)) + ", minimal"
	}
	return like, nil
}

// countedTable prints that for docs/benchmarks.md.
func (r Report) countedTable(w io.Writer) {
	fmt.Fprint(w, "\n| counted, s |")
	for _, c := range r.Counted {
		fmt.Fprintf(w, " %s |", c.Name)
	}
	fmt.Fprintln(w, "\n|---"+strings.Repeat("|---:", len(r.Counted))+"|")
	for _, s := range countedSteps {
		var cells string
		some := false
		for _, c := range r.Counted {
			if us, ok := c.Steps[s.Key]; ok {
				cells += fmt.Sprintf(" %.3f |", float64(us)/1e6)
				some = true
			} else {
				cells += " - |"
			}
		}
		if some {
			fmt.Fprintf(w, "| %s |%s\n", s.About, cells)
		}
	}
}

// kept is what a release had.
type kept struct {
	QEMU    string    `json:"qemu"`
	Counted []Counted `json:"counted"`
}

// keep writes the figures for the next release to be compared with. What was not counted
// this time stays as it was.
func (r Report) keep(file string) error {
	now := r.Counted
	var before kept
	if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &before) == nil && before.QEMU == r.Machine.QEMU {
		for _, old := range before.Counted {
			if i := slices.IndexFunc(now, func(c Counted) bool { return c.Name == old.Name }); i < 0 {
				now = append(now[:len(now):len(now)], old)
			}
		}
	}
	slices.SortStableFunc(now, func(a, b Counted) int { return cmp.Compare(a.Name, b.Name) })
	return writeJSON(file, kept{r.Machine.QEMU, now})
}

// tolerance is how much more a step may take than in the last release.
const tolerance = 0.05

// loose are steps that are not the same each time, as the host decides when a disk and
// the terminal answer, and with it whether the screen or the scan is first. Together they are.
var loose = []string{"frame", "handed"}

// compare returns what has become slower since the figures in a file were kept. Other
// versions of QEMU count otherwise, so that nothing can be compared.
func (r Report) compare(file string, w io.Writer) error {
	b, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(w, "\nNo figures of a release are kept to be compared with: --keep writes %s.\n", keptFile)
		return nil
	case err != nil:
		return err
	}
	var before kept
	if err := json.Unmarshal(b, &before); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if before.QEMU != r.Machine.QEMU {
		fmt.Fprintf(w, "\nThe figures kept are of QEMU %s, and this is %s: they are not compared.\n", before.QEMU, r.Machine.QEMU)
		return nil
	}
	return errors.Join(slower(before.Counted, r.Counted)...)
}

// least has each step of r take what it takes there or in again, whichever is less.
func (r *Report) least(again []Counted) {
	for _, c := range r.Counted {
		i := slices.IndexFunc(again, func(a Counted) bool { return a.Name == c.Name })
		if i < 0 {
			continue
		}
		for key, us := range again[i].Steps {
			if old, ok := c.Steps[key]; ok {
				c.Steps[key] = min(old, us)
			}
		}
	}
}

// slower returns an error for each step of now that takes longer than it did.
func slower(before, now []Counted) (errs []error) {
	for _, n := range now {
		i := slices.IndexFunc(before, func(b Counted) bool { return b.Name == n.Name })
		if i < 0 {
			continue
		}
		for _, key := range slices.SortedFunc(maps.Keys(n.Steps), cmp.Compare) {
			old, ok := before[i].Steps[key]
			ok = ok && !slices.Contains(loose, key)
			if us := n.Steps[key]; ok && float64(us) > float64(old)*(1+tolerance) {
				errs = append(errs, fmt.Errorf("%s: %s took %.3f s in the last release, and takes %.3f s", n.Name, about(key), float64(old)/1e6, float64(us)/1e6))
			}
		}
	}
	return errs
}

func about(key string) string {
	i := slices.IndexFunc(countedSteps, func(m mark) bool { return m.Key == key })
	if i < 0 {
		return key
	}
	return countedSteps[i].About
}
