package command

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/remember"
)

// TestRemember makes the files in which the menu remembers without EFI variables,
// which good then finds, and removes exactly these.
func TestRemember(t *testing.T) {
	const conf = "settings-volume = UUID=1234-ABCD:/boot/alpboot.conf\nconfirm = yes\n"
	f := newFake(t, with(alpine(), "/etc/alpboot.conf", conf))
	f.uuids = map[string]string{"/dev/sda3": "1234-ABCD"}
	before := f.all(t)
	// Whatever needs the memory says so in the same words, with what to do.
	for _, args := range [][]string{{"good"}, {"slot", "get-primary"}, {"default", "1"}, {"next", "1"}} {
		_, stderr := f.ask(t, exitFailed, args...)
		if !strings.Contains(stderr, "\nalpboot: the boot menu remembers nothing here (") || !strings.Contains(stderr, "no file was made for it") ||
			!strings.HasSuffix(stderr, "): alpboot remember makes a file for it\n") {
			t.Errorf("%q: %q", args, stderr)
		}
	}
	if out, _ := f.ask(t, exitDone, "log"); !strings.HasPrefix(out, "The boot menu remembers nothing here (") || !strings.Contains(out, "): alpboot remember makes a file for it.\n") {
		t.Errorf("log: %q", out)
	}
	if out, _ := f.do(t, exitDone, "remember", "--dry-run"); out != "Would make /boot/alpboot.state on /dev/sda3\n" || !maps.Equal(before, f.all(t)) {
		t.Errorf("says %q, or something has changed", out)
	}
	if out, _ := f.do(t, exitDone, "remember"); !strings.Contains(out, "remembers in /boot/alpboot.state on /dev/sda3") {
		t.Errorf("says %q", out)
	}
	made := maps.Clone(f.all(t))
	maps.DeleteFunc(made, func(name, _ string) bool { _, ok := before[name]; return ok })
	if names := slices.Sorted(maps.Keys(made)); !slices.Equal(names, []string{"/boot/alpboot.state.0", "/boot/alpboot.state.1"}) {
		t.Fatalf("made %q", names)
	}

	// The menu writes to them, and a system that is up finds them.
	if err := f.file().Save(remember.State{Last: "lts", Trying: "lts"}); err != nil {
		t.Fatal(err)
	}
	if out, _ := f.do(t, exitDone, "good"); !strings.Contains(out, "know that lts is up") {
		t.Errorf("says %q", out)
	}
	state, err := f.file().Load()
	if err != nil || state.Trying != "" || state.Last != "lts" {
		t.Errorf("it remembers %+v, %v", state, err)
	}
	if out, _ := f.do(t, exitDone, "remember"); !strings.Contains(out, "already") {
		t.Errorf("says %q", out)
	}
	if state, _ := f.file().Load(); state.Last != "lts" {
		t.Errorf("it remembers %+v", state)
	}

	// A setting that wants EFI variables, on a machine without them.
	f.write(t, map[string]string{"/etc/alpboot.conf": conf + "remember = efi\n"})
	if _, stderr := f.do(t, exitFailed, "good"); !strings.Contains(stderr, "the boot menu remembers nothing") {
		t.Errorf("good with remember = efi: %q", stderr)
	}
	f.write(t, map[string]string{"/etc/alpboot.conf": conf})

	f.do(t, exitDone, "remember", "--remove", "--dry-run")
	if out, _ := f.do(t, exitDone, "remember", "--remove"); out != "Removed /boot/alpboot.state on /dev/sda3\n" || !maps.Equal(before, f.all(t)) {
		t.Errorf("says %q; there is %q", out, slices.Sorted(maps.Keys(f.all(t))))
	}
	if out, _ := f.do(t, exitDone, "remember", "--remove"); !strings.Contains(out, "no file to remove") {
		t.Errorf("says %q", out)
	}
}

// What remember refuses leaves everything as it was.
func TestRememberRefuses(t *testing.T) {
	for _, tt := range []struct{ name, conf, file, says string }{
		{"nowhere to look", "", "", "would look nowhere"},
		{"the settings name a place", "remember = UUID=1234-ABCD:/alpboot.state\n", "", "says already where"},
		{"nothing is to be remembered", "remember = off\n", "", "says already where"},
		{"a link", "settings-volume = UUID=1234-ABCD:/boot/alpboot.conf\n", "-> extlinux.conf", "not a regular file"},
		{"a file of somebody else", "settings-volume = UUID=1234-ABCD:/boot/alpboot.conf\n", strings.Repeat("x", 5000), "not alpboot's"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := with(alpine(), "/etc/alpboot.conf", tt.conf)
			if tt.file != "" {
				files["/boot/alpboot.state.0"] = tt.file
			}
			f := newFake(t, files)
			f.uuids = map[string]string{"/dev/sda3": "1234-ABCD"}
			before := f.all(t)
			if _, stderr := f.do(t, exitFailed, "remember"); !strings.Contains(stderr, tt.says) {
				t.Errorf("says %q, want %q", stderr, tt.says)
			}
			if !maps.Equal(before, f.all(t)) {
				t.Error("something has changed")
			}
		})
	}
}
