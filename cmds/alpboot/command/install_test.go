package command

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// do runs a command that must end with a code.
func (f *fake) do(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	f.out.Reset()
	f.err.Reset()
	if got := f.kexecReboot(args); got != code {
		t.Fatalf("kexec-reboot %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, f.out.String(), f.err.String())
	}
	return f.out.String(), f.err.String()
}

// On whatever system, install and uninstall leave every byte, mode and link as
// it was, and a second install changes nothing.
func TestUninstallLeavesWhatWasThere(t *testing.T) {
	wiki := "#!/sbin/openrc-run\n# of the wiki\n"
	const newTab = "added" // inittabText with the line in its place
	tests := []struct {
		name    string
		files   map[string]string
		inittab string // after install
		shows   []string
	}{
		{name: "Alpine", files: alpine(),
			inittab: newTab,
			shows:   []string{"created   /etc/init.d/kexec-load", "created   /etc/conf.d/kexec-load", "kexec-exec to the runlevel shutdown", "created   /etc/apk/commit_hooks.d/alpboot-keep", "alpboot-health to the runlevel boot", "::reboot:/sbin/openrc reboot to /etc/inittab"}},
		{name: "no newline at the end", files: with(alpine(), "/etc/inittab", strings.TrimSpace(inittabText)),
			inittab: strings.TrimSpace(inittabText) + "\n::reboot:/sbin/openrc reboot"},
		{name: "no shutdown action", files: with(alpine(), "/etc/inittab", "::sysinit:/sbin/openrc sysinit\n"),
			inittab: "::sysinit:/sbin/openrc sysinit\n::reboot:/sbin/openrc reboot\n"},
		{name: "an older busybox", files: with(alpine(), "/bin/busybox", oldBusybox),
			shows: []string{"left out  ::reboot:/sbin/openrc reboot in /etc/inittab", `"Bad inittab entry"`, "once busybox is upgraded"}},
		{name: "a reboot action of its own", files: with(alpine(), "/etc/inittab", inittabText+"::reboot:/sbin/openrc -q reboot\n"), shows: []string{"kept      the reboot action"}},
		{name: "our line by hand", files: with(alpine(), "/etc/inittab", inittabText+rebootLine+"\n")},
		{name: "inittab of sysvinit", files: with(alpine(), "/etc/inittab", "id:3:initdefault:\nl6:6:wait:/sbin/openrc reboot\n")},
		{name: "no inittab", files: with(alpine(), "/etc/inittab", "")},
		{name: "the services of the wiki", files: with(alpine(), "/etc/init.d/kexec-load", wiki, "/etc/init.d/kexec-exec", wiki,
			"/etc/runlevels/default/kexec-load", "-> /etc/init.d/kexec-load", "/etc/runlevels/shutdown/kexec-exec", "-> /etc/init.d/kexec-exec",
			"/etc/conf.d/kexec-load", "KERNEL=vmlinuz-edge\n"),
			inittab: newTab,
			shows:   []string{"replaced  /etc/init.d/kexec-load", "replaced  /etc/init.d/kexec-exec", "kept      /etc/conf.d/kexec-load"}},
		{name: "the program in /usr/sbin", files: with(alpine(), "/usr/sbin/kexec-reboot", "program"), inittab: newTab},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.files)
			before := f.all(t)
			switch tt.inittab {
			case "": // it stays
				tt.inittab = tt.files["/etc/inittab"]
			case newTab:
				tt.inittab = strings.Replace(inittabText, "::shutdown:/sbin/openrc shutdown\n", "::shutdown:/sbin/openrc shutdown\n"+rebootLine+"\n", 1)
			}

			f.do(t, exitDone, "install", "--dry-run", "--root", f.root)
			if diff := cmp.Diff(before, f.all(t)); diff != "" {
				t.Fatalf("--dry-run changed something:\n%s", diff)
			}
			out, _ := f.do(t, exitDone, "install", "--root", f.root)
			for _, s := range tt.shows {
				if !strings.Contains(out, s) {
					t.Errorf("install does not say %q:\n%s", s, out)
				}
			}
			if b, _ := os.ReadFile(f.path("/etc/inittab")); string(b) != tt.inittab {
				t.Errorf("inittab is %q, want %q", b, tt.inittab)
			}
			for name, want := range map[string]string{"/etc/init.d/kexec-load": kexecLoad(t), "/etc/init.d/kexec-exec": kexecExec(t)} {
				st, err := os.Stat(f.path(name))
				if b, _ := os.ReadFile(f.path(name)); string(b) != want || err != nil || st.Mode().Perm() != 0o755 {
					t.Errorf("%s is not what was to be installed", name)
				}
			}
			for service, level := range runlevels {
				if target, err := os.Readlink(f.path("/etc/runlevels/" + level + "/" + service)); target != "/etc/init.d/"+service {
					t.Errorf("%s in %s leads to %q (%v)", service, level, target, err)
				}
			}
			installed := f.all(t)
			if out, _ := f.do(t, exitDone, "install", "--root", f.root); !strings.Contains(out, "in place already") {
				t.Errorf("the second install says\n%s", out)
			}
			if diff := cmp.Diff(installed, f.all(t)); diff != "" {
				t.Errorf("the second install changed something:\n%s", diff)
			}
			f.do(t, exitDone, "uninstall", "--root", f.root)
			if diff := cmp.Diff(before, f.all(t)); diff != "" {
				t.Errorf("-before +after uninstall:\n%s", diff)
			}
			for _, dir := range []string{"/etc/apk/commit_hooks.d", "/etc/kexec-reboot"} {
				if f.exists(dir) {
					t.Errorf("the directory %s was left", dir)
				}
			}
			f.do(t, exitDone, "uninstall", "--root", f.root)
		})
	}
}

// What the user has changed since is the user's.
func TestUninstallKeepsWhatWasChanged(t *testing.T) {
	f := newFake(t, alpine())
	f.do(t, exitDone, "install", "--root", f.root)
	settings, other := "KERNEL=vmlinuz-virt\n", "::respawn:/sbin/agetty\n"
	f.write(t, map[string]string{"/etc/conf.d/kexec-load": settings})
	tab, _ := os.ReadFile(f.path("/etc/inittab"))
	f.write(t, map[string]string{"/etc/inittab": other + string(tab) + other})
	out, _ := f.do(t, exitDone, "uninstall", "--root", f.root)
	if !strings.Contains(out, "kept      /etc/conf.d/kexec-load") {
		t.Errorf("uninstall says\n%s", out)
	}
	files := f.all(t)
	if got := files["/etc/conf.d/kexec-load"]; !strings.HasSuffix(got, settings) {
		t.Errorf("the settings are %q", got)
	}
	if b, _ := os.ReadFile(f.path("/etc/inittab")); string(b) != other+inittabText+other {
		t.Errorf("inittab is %q", b)
	}
	for name := range files {
		if strings.Contains(name, "kexec") && name != "/etc/conf.d/kexec-load" {
			t.Errorf("%s is left", name)
		}
	}
}

// A newer kexec-reboot brings newer services, and the older ones do not come
// back on uninstall.
func TestInstallUpdates(t *testing.T) {
	f := newFake(t, alpine())
	before := f.all(t)
	f.do(t, exitDone, "install", "--root", f.root)
	old := "#!/sbin/openrc-run\n# of an older version\n"
	f.write(t, map[string]string{"/etc/init.d/kexec-load": old})
	journal, _ := os.ReadFile(f.path(journalFile))
	f.write(t, map[string]string{journalFile: strings.Replace(string(journal), sum(kexecLoad(t)), sum(old), 1)})
	if out, _ := f.do(t, exitDone, "install", "--root", f.root); !strings.Contains(out, "updated   /etc/init.d/kexec-load") {
		t.Errorf("install says\n%s", out)
	}
	f.do(t, exitDone, "uninstall", "--root", f.root)
	if diff := cmp.Diff(before, f.all(t)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

func TestInstallRefuses(t *testing.T) {
	outside := t.TempDir()
	tests := []struct {
		name  string
		files map[string]string
		says  string
	}{
		{"no OpenRC", map[string]string{"/etc/hostname": "x"}, "no OpenRC"},
		{"a link that leads out", with(alpine(), "/etc/init.d/killprocs", "", "/etc/init.d", "-> "+outside), "escapes"},
		{"a journal of something else", with(alpine(), journalFile, "rm -rf /\n"), "none of kexec-reboot's"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.files)
			_, stderr := f.do(t, exitFailed, "install", "--root", f.root)
			if !strings.Contains(stderr, tt.says) {
				t.Errorf("says %q, want %q", stderr, tt.says)
			}
			if left, _ := os.ReadDir(outside); len(left) > 0 {
				t.Errorf("%v was written outside", left)
			}
		})
	}
}

// On the running system init reads its inittab again and the service is
// started, and uninstall stops it.
func TestInstallOnTheRunningSystem(t *testing.T) {
	f := newFake(t, with(alpine(), "/run/openrc/softlevel", "default", "/proc/1/root", "-> ../.."))
	f.installLive(t)
	if want := []string{"rc-service kexec-load start"}; !slices.Equal(f.ran, want) || f.hangups != 1 {
		t.Errorf("ran %q and %d hangups, want %q and one", f.ran, f.hangups, want)
	}
	f.write(t, map[string]string{"/run/openrc/started/kexec-load": ""})
	f.installLive(t)
	if len(f.ran) != 1 || f.hangups != 1 {
		t.Errorf("the second install ran %q with %d hangups", f.ran, f.hangups)
	}
	if err := f.Uninstall("", false); err != nil {
		t.Fatal(err)
	}
	if f.ran[len(f.ran)-1] != "rc-service kexec-load stop" || f.hangups != 2 {
		t.Errorf("uninstall ran %q with %d hangups", f.ran, f.hangups)
	}
}

func (f *fake) installLive(t *testing.T) {
	t.Helper()
	if err := f.Install("", nil, false); err != nil {
		t.Fatal(err)
	}
}

// What was running before is running again after uninstall, as its own script
// has it by then.
func TestUninstallStartsWhatWasRunning(t *testing.T) {
	wiki := "#!/sbin/openrc-run\n# of the wiki\n"
	started := "/run/openrc/started/kexec-load"
	for _, running := range []bool{false, true} {
		f := newFake(t, with(alpine(), "/run/openrc/softlevel", "default", "/etc/init.d/kexec-load", wiki))
		if err := os.MkdirAll(f.path("/run/openrc/started"), 0o755); err != nil {
			t.Fatal(err)
		}
		if running {
			f.write(t, map[string]string{started: ""})
		}
		before := f.all(t)
		script := ""
		f.Run = func(name string, args ...string) error {
			line := strings.Join(append([]string{name}, args...), " ")
			f.ran = append(f.ran, line)
			script = f.read("/etc/init.d/kexec-load")
			if strings.HasSuffix(line, "stop") {
				return os.Remove(f.path(started))
			}
			return os.WriteFile(f.path(started), nil, 0o644)
		}
		f.installLive(t)
		f.installLive(t)
		if err := f.Uninstall("", false); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, f.all(t)); diff != "" {
			t.Errorf("running before: %v: -before +after:\n%s", running, diff)
		}
		if last := f.ran[len(f.ran)-1]; running && (last != "rc-service kexec-load start" || script != strings.TrimSpace(wiki)) {
			t.Errorf("the last command is %q, with %q in place", last, script)
		}
	}
}

// In a chroot PID 1 is another system's, and is left alone.
func TestInstallInAChroot(t *testing.T) {
	f := newFake(t, with(alpine(), "/proc/1/root", "-> /"))
	f.installLive(t)
	if f.hangups != 0 || len(f.ran) != 0 {
		t.Errorf("ran %q with %d hangups", f.ran, f.hangups)
	}
}

// A power cut at any moment of install leaves a system from which uninstall, and
// also another install and then uninstall, lead back to what was there.
func TestInstallCutOffIsUndone(t *testing.T) {
	wiki := "#!/sbin/openrc-run\n# of the wiki\n"
	for _, again := range []bool{false, true} {
		for writes := range 64 {
			f := newFake(t, with(alpine(), "/etc/init.d/kexec-load", wiki, "/etc/init.d/kexec-exec", wiki))
			before := f.all(t)
			f.cutAfter(t, writes)
			if again {
				f.do(t, exitDone, "install", "--root", f.root)
				if got := f.read("/etc/init.d/kexec-load"); got != strings.TrimSpace(kexecLoad(t)) {
					t.Errorf("cut after %d writes: install leaves kexec-load as %q", writes, got)
				}
			}
			f.do(t, exitDone, "uninstall", "--root", f.root)
			after := f.all(t)
			for name := range after { // a copy that no journal names yet is in nobody's way
				if strings.HasPrefix(name, savedDir) {
					delete(after, name)
				}
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("cut after %d writes, installed again: %v: -before +after uninstall:\n%s", writes, again, diff)
			}
		}
	}
}

// cutAfter installs until a number of files and links were written, and no
// further.
func (f *fake) cutAfter(t *testing.T, writes int) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil && r != "power cut" {
			panic(r)
		}
	}()
	f.BeforeWrite = func() {
		if writes--; writes < 0 {
			panic("power cut")
		}
	}
	defer func() { f.BeforeWrite = nil }()
	if err := f.Install(f.root, nil, false); err != nil {
		t.Fatal(err)
	}
}
