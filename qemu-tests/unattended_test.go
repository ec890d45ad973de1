package qemutests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/target/report"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// stateOnRoot lets the menu of [disk.OneRoot] remember what it has started, and
// boot without waiting for a key.
const stateOnRoot = "alpboot.timeout=0 alpboot.remember=UUID=" + disk.RootUUID + ":/alpboot.state "

// resets lets a machine go on after a reset.
func resets(o *vm.Options) { o.Resets = true }

// unattendedDisk returns a disk with two kernels that write to its ext4
// filesystem, the first partition. What they do after their report is in ends.
func unattendedDisk(t *testing.T, options string, ends ...target.Image) (vm.Drive, disk.Install) {
	t.Helper()
	in := disk.Install{Options: targetOptions + options}
	for i, line := range []debian.Line{debian.Newer, debian.Older}[:len(ends)] {
		flavour := []string{"lts", "virt"}[i]
		im := ends[i]
		im.Files, im.Compression = map[string]string{"flavour": flavour}, target.Gzip
		in.Kernels = append(in.Kernels, disk.Kernel{Flavour: flavour, Image: kernelOf(t, line).Image, Initramfs: targetImage(t, im)})
	}
	layout := disk.OneRoot(in)
	layout.Partitions[0].FS.Label = "ALPBOOT" // where lsboot looks for what is remembered
	return vm.Drive{File: write(t, layout), Access: vm.Writeable}, in
}

// replace writes another file over one in /boot of a disk that no machine uses.
func replace(t *testing.T, d vm.Drive, name string, content []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"rm /boot/" + name, fmt.Sprintf("write %s /boot/%s", file, name)} {
		if out, err := exec.Command("debugfs", "-w", "-R", command, d.File+"?offset=1048576").CombinedOutput(); err != nil {
			t.Fatalf("debugfs %s: %v\n%s", command, err, out)
		}
	}
}

// reports waits until so many targets have reported since the machine's start,
// and returns the last report.
func (m machine) reports(n int) report.Report {
	m.t.Helper()
	m.Await(time.Duration(n)*(menuLimit+targetLimit), vm.LogMatches(regexp.MustCompile(fmt.Sprintf("(?s)(.*?%s){%d}", report.LastLine, n))))
	r, err := report.Parse(m.Serial(0).Log())
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

// A kernel that panics is started three times, then the other one. When its
// initramfs has been repaired it is started again, by itself.
func TestUnattendedTries(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	d, in := unattendedDisk(t, " panic=1", target.Image{End: report.Exit}, target.Image{})
	cmdline := in.Cmdline("UUID=" + disk.RootUUID)
	const settings = stateOnRoot + "alpboot.confirm=3"
	t.Run("bad, three times, then good", func(t *testing.T) {
		m := startWith(t, settings, resets, d)
		for n := range 3 {
			if r := m.reports(n + 1); r.Files["flavour"] != "lts" {
				t.Fatalf("start %d is that of %s", n+1, r.Files["flavour"])
			}
		}
		if r := m.reports(4); r.Files["flavour"] != "virt" || r.Cmdline != cmdline {
			t.Errorf("the fourth start is that of %s, with %q", r.Files["flavour"], r.Cmdline)
		}
		m.AwaitEnd(time.Minute)
	})
	t.Run("marked", func(t *testing.T) {
		m := startWith(t, strings.Replace(settings, "timeout=0", "timeout=600", 1), func(*vm.Options) {}, d)
		m.row(menuLimit, "Linux lts", "failed")
		m.row(drawLimit, "Linux virt", "default")
		if os.Geteuid() == 0 { // it is to be mounted
			out, err := exec.Command("go", "run", "../cmds/lsboot", d.File).CombinedOutput()
			if rows := string(out); err != nil || !strings.Contains(rows, "x   1 Linux lts ") || !strings.Contains(rows, "    2 Linux virt") {
				t.Errorf("lsboot: %v\n%s", err, rows)
			}
		}
	})
	t.Run("repaired", func(t *testing.T) {
		replace(t, d, "initramfs-lts", initramfs(t, target.Gzip, map[string]string{"flavour": "lts", "repaired": "yes"}))
		m := startWith(t, settings, resets, d)
		if r := m.reports(1); r.Files["repaired"] != "yes" {
			t.Errorf("what was started is %v", r.Files)
		}
	})
}

// With nothing left to start the machine resets, with growing pauses, and tries
// what there is once more each time.
func TestUnattendedExhausted(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	d, _ := unattendedDisk(t, " panic=1", target.Image{End: report.Exit})
	m := startWith(t, stateOnRoot+"alpboot.confirm=1 alpboot.exhausted-pause=3,13", resets, d)
	m.reports(1)
	for n, least := range []int{0, 3} {
		m.Await(menuLimit, vm.ScreenIs(fmt.Sprintf("a pause of more than %d s", least), func(s vm.Screen) bool {
			_, after, found := strings.Cut(flowing(s), "Restarting in ")
			seconds := 0
			fmt.Sscanf(after, "%d s:", &seconds)
			return found && seconds > least && seconds <= least+10
		}))
		m.reports(n + 2)
	}
}

// The power fails three times just after the jump: the entry is started again
// twice, then it counts as failed.
func TestUnattendedPowerCut(t *testing.T) {
	needQEMU(t)
	needEverything(t) // the starts of TestUnattendedManyStarts are cut off too
	t.Parallel()
	d, _ := unattendedDisk(t, "", target.Image{End: report.Hang}, target.Image{End: report.Hang})
	for n, flavour := range []string{"lts", "lts", "lts", "virt"} {
		t.Run(fmt.Sprint(n+1), func(t *testing.T) {
			m := startWith(t, stateOnRoot+"alpboot.confirm=yes", resets, d)
			if r := m.reports(1); r.Files["flavour"] != flavour {
				t.Errorf("what was started is %s, want %s", r.Files["flavour"], flavour)
			}
		})
	}
}

// Two machines side by side are started again and again, and the power is cut at
// a random moment of each start. What they remember is what was seen: a start that
// reached the target has used up one of its tries, one that the target confirmed
// none, and what was cut off before the jump at most one.
func TestUnattendedManyStarts(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	starts := 10
	if everything() {
		starts = 100
	}
	const tries = 9
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const state = "alpboot.state"
			kernel := kernelOf(t, debian.Newer)
			im := targetImage(t, target.Image{Compression: target.Gzip, Confirm: "/dev/vda1 ext4 " + state, End: report.Hang, Programs: modulesOf(t, kernel, "virtio_blk")})
			in := disk.Install{Options: targetOptions, Kernels: []disk.Kernel{{Flavour: "lts", Image: kernel.Image, Initramfs: im}}}
			d := vm.Drive{File: write(t, disk.OneRoot(in)), Access: vm.Writeable}
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			whole := time.Duration(0) // of a start until it is confirmed
			left := tries
			for n := range starts {
				ok := t.Run(fmt.Sprint(n+1), func(t *testing.T) {
					m := startWith(t, stateOnRoot+fmt.Sprintf("alpboot.confirm=%d", tries), resets, d)
					const up = "alpboot target: confirmed"
					confirmed := m.Serial(0).Watch(vm.InLog(up))
					if whole == 0 || left <= 2 { // else none would be left one day
						at, err := confirmed.Result(menuLimit + targetLimit)
						if err != nil {
							t.Fatal(err)
						}
						whole = at
						if r, err := report.Parse(m.Serial(0).Log()); err != nil || r.Cmdline != in.Cmdline("UUID="+disk.RootUUID)+" panic=30" {
							t.Errorf("the command line of an unattended start is %q, %v", r.Cmdline, err)
						}
					} else {
						if at, err := confirmed.Result(time.Duration(random.Int64N(int64(whole * 3 / 2)))); err == nil {
							whole = min(whole, at) // the first one may have been slow
						}
					}
					m.Stop()
					log := m.Serial(0).Log()
					s := rememberedOn(t, d, state)
					before := left
					left = tries
					if s.Trying != "" {
						try, _ := s.Try(s.Trying)
						left = try.Left
					}
					ok, seen := false, ""
					switch {
					case strings.Contains(log, up):
						seen, ok = "confirmed", s.Trying == ""
					case strings.Contains(log, report.FirstLine): // it may have written, and not said so
						seen, ok = "reached the target", left == before-1 || s.Trying == ""
					case strings.Count(log, "Linux version ") > 1:
						seen, ok = "jumped", left == before-1
					default:
						seen, ok = "was in the menu", left == before || left == before-1
					}
					t.Logf("it %s: %d of %d left, %d before", seen, left, tries, before)
					if !ok {
						t.Errorf("remembered is %+v", s)
					}
				})
				if !ok {
					return
				}
			}
		})
	}
}

// rememberedOn reads what the menu has saved on a disk that no machine uses.
func rememberedOn(t *testing.T, d vm.Drive, name string) remember.State {
	t.Helper()
	dir := t.TempDir()
	for _, slot := range []string{".0", ".1"} {
		file := name + slot
		if out, err := exec.Command("debugfs", "-R", fmt.Sprintf("dump /%s %s", file, filepath.Join(dir, file)), d.File+"?offset=1048576").CombinedOutput(); err != nil {
			t.Fatalf("debugfs: %v\n%s", err, out)
		}
		if st, err := os.Stat(filepath.Join(dir, file)); err == nil && st.Size() == 0 {
			os.Remove(filepath.Join(dir, file)) // that is how debugfs dumps what is not there
		}
	}
	s, err := (&remember.File{Path: name, Volume: d.File, FS: os.DirFS(dir)}).Load()
	if err != nil {
		t.Fatal(err)
	}
	return s
}
