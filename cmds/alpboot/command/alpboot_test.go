package command

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/remember"
)

// ask runs a verb of alpboot that must end with a code.
func (f *fake) ask(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	f.out.Reset()
	f.err.Reset()
	if got := f.alpboot(args); got != code {
		t.Fatalf("alpboot %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, f.out.String(), f.err.String())
	}
	return f.out.String(), f.err.String()
}

// remembers returns what the boot menu has in its file.
func (f *fake) remembers(t *testing.T) remember.State {
	t.Helper()
	state, err := f.file().Load()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// The program is what it is called by, through a link or a copy.
func TestNames(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"/usr/sbin/lsboot", "--version"}, "lsboot "},
		{[]string{"kexec-reboot", "--version"}, "kexec-reboot "},
		{[]string{"./alpboot", "--version"}, "alpboot "},
		{[]string{"anything", "--version"}, "alpboot "},
		{[]string{"alpboot", "lsboot", "--version"}, "lsboot "},
		{[]string{"alpboot", "kexec-reboot", "--help"}, "Usage: kexec-reboot "},
	} {
		var out, errs bytes.Buffer
		if code := Run(tt.args, &out, &errs); code != exitDone || !strings.HasPrefix(out.String(), tt.want) || errs.Len() > 0 {
			t.Errorf("%q: exit code %d, prints %q, %q", tt.args, code, out.String(), errs.String())
		}
	}
}

// Every verb is complete in the table, and is described by --help, which changes
// nothing.
func TestHelp(t *testing.T) {
	f := newFake(t, alpine())
	before := f.all(t)
	for _, p := range []struct {
		name  string
		verbs []verb
		ask   func(t *testing.T, code int, args ...string) (stdout, stderr string)
	}{{"alpboot", verbs(), f.ask}, {"kexec-reboot", kexecVerbs(), f.do}} {
		all, _ := p.ask(t, exitDone, "--help")
		seen := map[string]bool{}
		for _, v := range p.verbs {
			if v.about == "" || strings.HasSuffix(v.about, ".") || !strings.HasSuffix(v.text, ".") || seen[v.name] {
				t.Errorf("%s: its line of the table is not complete, or there twice", v.name)
			}
			seen[v.name] = true
			if !strings.Contains(all, "\n  "+v.name+" ") {
				t.Errorf("--help of %s lacks %s", p.name, v.name)
			}
			out, stderr := p.ask(t, exitDone, v.name, "--help")
			if !strings.HasPrefix(out, "Usage: "+p.name+" "+v.name) || stderr != "" {
				t.Errorf("%s %s --help prints %q, %q", p.name, v.name, out, stderr)
			}
			v.flagSet().VisitAll(func(g *flag.Flag) {
				name := "--" + g.Name
				if len(g.Name) == 1 {
					name = "-" + g.Name
				}
				// Only what kexec-tools calls its flags is another spelling.
				if other := strings.HasPrefix(g.Name, "kexec-"); (g.Usage == "") != other || strings.Contains(out, "\n  "+name+" ") == other {
					t.Errorf("%s %s --help on %s: %s", p.name, v.name, name, out)
				}
			})
			for line := range strings.Lines(all + out) {
				if len(line) > 81 {
					t.Errorf("%s %s --help has a line of %d characters: %s", p.name, v.name, len(line)-1, line)
				}
			}
			if v.most() < 100 {
				words := append([]string{v.name}, slices.Repeat([]string{"x"}, v.most()+1)...)
				if _, stderr := p.ask(t, exitMisuse, words...); !strings.Contains(stderr, p.name+": \"x\" is one word too many\nUsage: "+p.name+" "+v.name) {
					t.Errorf("%s %s with too many words: %s", p.name, v.name, stderr)
				}
			}
		}
	}
	for _, args := range [][]string{{"slot"}, {"defaults"}, {"status", "--quick"}, {"next", "--clear", "1"}, {"reboot", "1", "--firmware"}} {
		if _, stderr := f.ask(t, exitMisuse, args...); !strings.Contains(stderr, "Usage: alpboot") {
			t.Errorf("%q: %s", args, stderr)
		}
	}
	if after := f.all(t); len(after) != len(before) || len(f.ran) > 0 {
		t.Errorf("something was changed or run: %v", f.ran)
	}
}

// What is chosen here is what the menu finds where it remembers, and the words are
// true.
func TestDefault(t *testing.T) {
	f := withMemory(t, remember.State{})
	lts, virt := f.idOf(t, "Linux lts"), f.idOf(t, "Linux virt")
	check := func(args, says, wantDefault, wantNext string) {
		t.Helper()
		out, stderr := f.ask(t, exitDone, strings.Fields(args)...)
		state := f.remembers(t)
		if !strings.Contains(out, says) || stderr != "" || state.Default != wantDefault || state.Next != wantNext {
			t.Errorf("%s prints %q, %q; remembered is %q, once %q", args, out, stderr, state.Default, state.Next)
		}
	}
	check("default", "Linux virt, as it comes first in the list\n", "", "")
	check("default 2", "Linux lts, as it was made the default in the menu\n", lts, "")
	check("next", "Nothing is asked for at the next start only; it boots Linux lts, as", lts, "")
	check("next "+virt, "Linux virt, as it was asked for at this start only\n", lts, virt)
	check("default", "Linux lts, as", lts, virt)
	check("next", "Linux virt, as", lts, virt)
	check("next --clear", "Linux lts", lts, "")
	check("default @last", "Linux virt, as it comes first", "@last", "")
	check("default --clear", "Linux virt, as it comes first", "", "")
	if _, stderr := f.ask(t, exitFailed, "default", "Windows"); !strings.Contains(stderr, `alpboot: there is no entry "Windows"`) {
		t.Errorf("says %q", stderr)
	}
	f = withMemory(t, remember.State{}, "/etc/alpboot.conf", stateConf+"default = Linux lts\n")
	if _, stderr := f.ask(t, exitFailed, "default", "1"); !strings.Contains(stderr, "the setting default = Linux lts decides") || f.remembers(t).Default != "" {
		t.Errorf("says %q, remembers %+v", stderr, f.remembers(t))
	}
	f = newFake(t, alpine())
	if _, stderr := f.ask(t, exitFailed, "next", "1"); !strings.Contains(stderr, "alpboot: the boot menu remembers nothing here (") || strings.Contains(stderr, "alpboot remember") {
		t.Errorf("says %q", stderr)
	}
}

// windows are EFI variables of a machine with other things to start.
func windows() []string {
	const dir = "/sys/firmware/efi/efivars/"
	file := func(name string, value []byte) []string {
		return []string{dir + name + "-" + efivar.Global, "\x07\x00\x00\x00" + string(value)}
	}
	option := func(name string) []byte {
		return efivar.LoadOption{Attributes: efivar.Active, Description: name, File: `\x.efi`}.Bytes()
	}
	return slices.Concat(
		file("BootOrder", efivar.AppendNumbers(nil, []uint16{1, 2, 3})), file("BootCurrent", efivar.AppendNumbers(nil, []uint16{1})),
		file("Boot0001", option("alpboot")), file("Boot0002", option("Windows Boot Manager")), file("Boot0003", option("EFI Shell")),
		file("OsIndicationsSupported", []byte{1, 0, 0, 0, 0, 0, 0, 0}))
}

// A restart ends in what was asked for, by the way that was printed before.
func TestReboot(t *testing.T) {
	needAMD64(t)
	services := []string{"/etc/runlevels/default/kexec-load", "-> /etc/init.d/kexec-load", "/etc/runlevels/shutdown/kexec-exec", "-> /etc/init.d/kexec-exec", "/run/openrc/started/kexec-load", "x"}
	const firmware = "/run/kexec-reboot.failed"
	for _, tt := range []struct {
		name, args string
		changes    []string
		setUp      func(*fake)
		says       string
		loads      string // what is in the command line of what is loaded; "" when nothing is
		variable   string // that is set
		next       string // title of what the menu boots once
		fails      bool
	}{
		{name: "by kexec", changes: services, says: "Restarting by kexec into what is loaded\n", loads: "root=UUID=1 modules=ext4"},
		{name: "what was chosen by hand", changes: slices.Concat(services, []string{choiceFile, `{"Entry":"2"}`}), setUp: func(f *fake) { f.isLoaded = true }, says: "into what is loaded", loads: "-"},
		{name: "through the firmware", says: "Restarting through the firmware into what the boot menu boots\n"},
		{name: "an entry by kexec", args: "2", changes: services, says: "Restarting by kexec into Linux lts\n", loads: "of=lts"},
		{name: "an entry without services", args: "Linux_lts", says: "Not by kexec: the OpenRC services are not in place", next: "Linux lts"},
		{name: "an entry and a kernel that forbids kexec", args: "2", changes: services, setUp: func(f *fake) { f.isDisabled = true }, says: "this kernel forbids kexec", next: "Linux lts"},
		{name: "an entry that is refused", args: "2", changes: services, setUp: func(f *fake) { f.kernel.err = errors.New("no key") }, says: "no key", next: "Linux lts"},
		{name: "not by kexec", args: "--no-kexec 2", changes: services, says: "Restarting through the firmware into Linux lts, by the boot menu, once\n", next: "Linux lts"},
		{name: "what is loaded is not started", args: "--no-kexec", changes: services, setUp: func(f *fake) { f.isLoaded = true }, says: "through the firmware"},
		{name: "the setup", args: "--firmware", changes: slices.Concat(services, windows()), says: "through the firmware into the setup of the firmware\n", variable: "OsIndications"},
		{name: "no setup", args: "--firmware", says: "cannot be asked for its setup", fails: true},
		{name: "Windows", args: "--to windows", changes: slices.Concat(services, windows()), says: "into Windows Boot Manager (Boot0002 of the firmware), once\n", variable: "BootNext"},
		{name: "several", args: "--to e", changes: windows(), says: "fits several", fails: true},
		{name: "none", args: "--to Haiku", changes: windows(), says: `it has "Windows Boot Manager", "EFI Shell"`, fails: true},
		{name: "no entry", args: "3", changes: services, says: `no entry "3"`, fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := withMemory(t, remember.State{}, tt.changes...)
			lts := f.idOf(t, "Linux lts")
			if tt.setUp != nil {
				tt.setUp(f)
			}
			args := []string{"reboot"}
			for _, w := range strings.Fields(tt.args) {
				args = append(args, strings.ReplaceAll(w, "_", " "))
			}
			code := exitDone
			if tt.fails {
				code = exitFailed
			}
			before := f.all(t)
			if !strings.Contains(tt.name, "refused") {
				f.ask(t, code, append(args, "--dry-run")...)
				if len(f.all(t)) != len(before) || len(f.ran) > 0 || f.kernel.loads > 0 || f.remembers(t).Next != "" {
					t.Error("--dry-run has done something")
				}
			}
			f.kernel.loads = 0
			stdout, stderr := f.ask(t, code, args...)
			if !strings.Contains(stdout+stderr, tt.says) {
				t.Errorf("says %q, %q", stdout, stderr)
			}
			if tt.fails {
				if len(f.ran) > 0 || f.kernel.loads > 0 {
					t.Errorf("ran %q", f.ran)
				}
				return
			}
			byKexec := tt.loads != ""
			if !slices.Equal(f.ran, []string{"reboot"}) || f.exists(marker) != byKexec || f.exists(firmware) == byKexec {
				t.Errorf("ran %q; it goes through the firmware: %v", f.ran, f.exists(firmware))
			}
			if tt.loads == "-" {
				tt.loads = "" // nothing is loaded again
			}
			if byKexec && !strings.Contains(f.kernel.cmdline, tt.loads) || !byKexec && f.isLoaded && f.kernel.unloads == 0 {
				t.Errorf("loaded is %q", f.kernel.cmdline)
			}
			if want := map[bool]string{true: lts}[tt.next != ""]; f.remembers(t).Next != want {
				t.Errorf("the menu boots %q once, want %q", f.remembers(t).Next, want)
			}
			for _, name := range []string{"BootNext", "OsIndications"} {
				if f.exists(path.Join("/sys/firmware/efi/efivars", name+"-"+efivar.Global)) != (name == tt.variable) {
					t.Errorf("%s is not as it should be", name)
				}
			}
		})
	}
}

// The disks are read once, whatever comes of it.
func TestScansOnce(t *testing.T) {
	needAMD64(t)
	for _, tt := range []struct {
		args     string
		disabled bool
	}{{args: "reboot 2"}, {args: "reboot 2", disabled: true}, {args: "reboot --no-kexec 2"}, {args: "reboot --dry-run 2"}, {args: "next 2"}, {args: "status"}} {
		f := withMemory(t, remember.State{}, "/etc/runlevels/default/kexec-load", "-> /etc/init.d/kexec-load", "/etc/runlevels/shutdown/kexec-exec", "-> /etc/init.d/kexec-exec", "/run/openrc/started/kexec-load", "x")
		f.isDisabled = tt.disabled
		f.ask(t, exitDone, strings.Fields(tt.args)...)
		if n := f.probes.Load(); n != 1 { // of the one disk
			t.Errorf("%s, kexec is forbidden %v: the disk was read %d times", tt.args, tt.disabled, n)
		}
	}
}

// A restart that did not begin leaves the next one as it would have been.
func TestRebootFails(t *testing.T) {
	f := withMemory(t, remember.State{})
	f.Run = func(string, ...string) error { return errors.New("boom") }
	if _, stderr := f.ask(t, exitFailed, "reboot"); !strings.Contains(stderr, "boom") || f.exists("/run/kexec-reboot.failed") {
		t.Errorf("says %q", stderr)
	}
}

// A log that the menu has saved is shown as a chart, and drawn.
func TestChart(t *testing.T) {
	f := newFake(t, alpine())
	dir := t.TempDir()
	log, picture := filepath.Join(dir, "alpboot-log.txt"), filepath.Join(dir, "start.svg")
	if err := os.WriteFile(log, []byte("Log:\nDEBUG     1.250 kernel: Run /init as init process\nINFO      1.400 alpboot 1.0 starts\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ := f.ask(t, exitDone, "log", "--chart", "--svg", picture, log)
	if !strings.Contains(out, "1.250 s  kernel") || !strings.Contains(out, "0.150 s  first process") {
		t.Errorf("it prints\n%s", out)
	}
	if b, err := os.ReadFile(picture); err != nil || !strings.Contains(string(b), ">first process<") {
		t.Errorf("it draws %q, %v", b, err)
	}
	if _, stderr := f.ask(t, exitFailed, "log", "--chart"); !strings.Contains(stderr, "has handed nothing on") {
		t.Errorf("says %q", stderr)
	}
	// What the menu has handed on: a counter of 1 MHz, and 1.75 s when the kernel was entered.
	var note []byte
	for _, v := range []uint64{1_750_000, 1_000_000, 1e9, 1_500_000, 1.5e9} {
		note = binary.LittleEndian.AppendUint64(note, v)
	}
	note = append(note, "0 1250000 kernel\n1250000 1500000 reading lts\n"...)
	f.Machine = fstest.MapFS{
		"sys/kernel/boot_params/setup_data/0/type": boottest.File("0x62706c61\n"),
		"sys/kernel/boot_params/setup_data/0/data": {Data: note},
	}
	out, _ = f.ask(t, exitDone, "log", "--chart")
	for _, want := range []string{"   0.000   1.250 s  kernel ", "   1.250   0.250 s  reading lts ", "   1.500   0.250 s  loading and jump |"} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
	if err := os.WriteFile(log, []byte("nothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr := f.ask(t, exitFailed, "log", "--chart", log); !strings.Contains(stderr, "nothing about a start") {
		t.Errorf("says %q", stderr)
	}
}

// What is known of the last starts is printed, and that nothing is.
func TestLog(t *testing.T) {
	f := newFake(t, alpine())
	out, _ := f.ask(t, exitDone, "log")
	for _, want := range []string{"The boot menu remembers nothing here", "No kernel and no watchdog has left a record.", "rc_logger"} {
		if !strings.Contains(out, want) {
			t.Errorf("it lacks %q:\n%s", want, out)
		}
	}
	state := remember.State{Last: "gone", Trying: "gone", Attempt: remember.Attempt{Time: 1, Try: 2, Of: 3, Release: "6.1", Title: "Linux gone"},
		Tries: []remember.Try{{ID: "gone", Left: 1}, {ID: "other"}}, Rounds: 2}
	f = withMemory(t, state, slices.Concat(windows(), []string{
		"/sys/firmware/efi/efivars/dump-type0-1-1-60-D-cfc8fc79-be2e-4ddc-97f0-9f98bfe298a0", "\x07\x00\x00\x00Panic#1 Part1\n<0>[ 1.1] Kernel panic - not syncing: \x1b[2J\n",
		"/sys/class/watchdog/watchdog0/identity", "iTCO_wdt\n", "/sys/class/watchdog/watchdog0/bootstatus", "32\n",
		"/var/log/rc.log", "rc boot logging started\n * Mounting local filesystems ...\n"})...)
	out, stderr := f.ask(t, exitDone, "log")
	for _, want := range []string{
		"Started last: gone.\n", "That was try 2 of 3, Linux gone (6.1) at 1970-01-01 00:00 UTC. It has not reported that it is up.\n",
		"other has not reported that it was up: it is passed over.\n", "2 times in a row", "Kernel panic - not syncing",
		"The watchdog (iTCO_wdt) reset the machine.\n", "* Mounting local filesystems ...\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") || stderr != "" {
		t.Errorf("it prints %q, %q", out, stderr)
	}
}

// The doctor sees the running system as it is.
func TestDoctor(t *testing.T) {
	f := newFake(t, with(alpine(), "/etc/mkinitfs/mkinitfs.conf", "x", "/etc/fstab", "UUID=1 / ext4 rw 0 1\n", "/boot/initramfs-lts", "070701", "/boot/initramfs-virt", "070701",
		"/sys/class/block/sda3/size", "2048\n", "/sys/class/block/sda3/uevent", "DEVNAME=sda3\nDEVTYPE=disk\n"))
	f.uuids = map[string]string{"/dev/sda3": "1"}
	out, stderr := f.ask(t, exitBroken, "doctor")
	for _, want := range []string{
		"Linux virt boots now, as it comes first in the list; after it comes Linux lts.\n",
		"broken   initramfs   Linux virt: /boot/initramfs-virt: its initramfs is truncated or damaged after 0 files. Check the features in /etc/mkinitfs/mkinitfs.conf and run mkinitfs 6.12.9-0-virt.\n",
		"This machine would not come back.\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "root= ") || strings.Contains(out, "fstab ") || stderr != "" {
		t.Errorf("it prints\n%s%s", out, stderr)
	}
	out, _ = f.ask(t, exitBroken, "doctor", "--json")
	var r struct {
		State    string
		Findings []struct{ Level, Check, Text, Do string }
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.State != "broken" || len(r.Findings) == 0 || r.Findings[0].Check != "initramfs" {
		t.Errorf("%v: %s", err, out)
	}
	f.uuids = nil
	if out, _ := f.ask(t, exitBroken, "doctor"); !strings.Contains(out, "there is no UUID=1") {
		t.Errorf("it prints\n%s", out)
	}
}

// One screen has what starts the machine, what comes next and how a reboot goes.
func TestOverview(t *testing.T) {
	f := withMemory(t, remember.State{Last: "gone", Trying: "gone", Attempt: remember.Attempt{Time: 1, Try: 2, Of: 3}}, windows()...)
	f.ask(t, exitDone, "next", "2")
	out, stderr := f.ask(t, exitDone)
	for _, want := range []string{
		"firmware  UEFI, Secure Boot is off\n", "alpboot   not among what the firmware starts from a disk\n", "default   Linux virt, as it comes first in the list\n",
		"once      Linux lts, as it was asked for at this start only\n", "timeout   auto (built in)\n",
		"last      gone, try 2 of 3 at 1970-01-01 00:00 UTC, which has not reported that it is up\n",
		"\nA reboot from here:\nkernel    " + release + " can kexec", "\nservices  not in place", "\nEntries (*",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it lacks %q:\n%s", want, out)
		}
	}
	if n := strings.Count(out, "\n"); n > 24 || stderr != "" {
		t.Errorf("%d lines do not fit a screen, %q", n, stderr)
	}
	if again, _ := f.ask(t, exitDone, "status"); again != out {
		t.Errorf("status prints\n%s", again)
	}
}

// The timeout stands in the menu's file of settings, whose other lines stay.
func TestTimeout(t *testing.T) {
	const conf = "/boot/alpboot.conf"
	f := withMemory(t, remember.State{}, "/etc/alpboot.conf", stateConf+"settings-volume = UUID=1234-ABCD:"+conf+"\n", conf, "# mine\ntimeout = 3\nconfirm = 2\n")
	if out, stderr := f.ask(t, exitDone, "timeout"); out != "3 (/dev/sda3: "+conf+":2)\n" || stderr != "" {
		t.Errorf("prints %q, %q", out, stderr)
	}
	if out, _ := f.ask(t, exitDone, "timeout", "0"); !strings.HasPrefix(out, "timeout = 0 is in "+conf+" on /dev/sda3 from now on") || f.read(conf) != "# mine\ntimeout = 0\nconfirm = 2" {
		t.Errorf("prints %q, and has written\n%s", out, f.read(conf))
	}
	for _, value := range []string{"-1", "soon", "1.5"} { // for ever is not for a file
		if _, stderr := f.ask(t, exitFailed, "timeout", "--", value); !strings.Contains(stderr, "it takes whole seconds") || !strings.Contains(f.read(conf), "timeout = 0") {
			t.Errorf("%s: says %q", value, stderr)
		}
	}
	f = newFake(t, alpine())
	if _, stderr := f.ask(t, exitFailed, "timeout", "3"); !strings.Contains(stderr, "there is no file for settings: no disk that is built in") {
		t.Errorf("says %q", stderr)
	}
}
