package watchdog_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/watchdog"
)

func TestList(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"sys/class/watchdog/watchdog0/identity":   "i6300ESB timer\n",
		"sys/class/watchdog/watchdog0/bootstatus": "32\n",
		"sys/class/watchdog/watchdog0/state":      "inactive\n",
		"sys/class/watchdog/watchdog0/nowayout":   "0\n",
		"sys/class/watchdog/watchdog2/identity":   "Some Timer\n",
		"sys/class/watchdog/watchdog2/state":      "active\n",
		"sys/class/watchdog/watchdog2/nowayout":   "1\n",
		"sys/class/watchdog/watchdog3/bootstatus": "nonsense\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	driver := filepath.Join(dir, "sys/class/watchdog/watchdog2/device/driver")
	if err := os.MkdirAll(driver, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../../module/some_wdt", filepath.Join(driver, "module")); err != nil {
		t.Fatal(err)
	}
	want := []watchdog.Device{
		{Name: "watchdog0", Driver: "i6300esb", Identity: "i6300ESB timer", Last: watchdog.Reset},
		{Name: "watchdog2", Driver: "some_wdt", Identity: "Some Timer", Active: true, NoWayOut: true},
		{Name: "watchdog3"},
	}
	if got := watchdog.List(os.DirFS(dir)); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := watchdog.List(fstest.MapFS{}); got != nil {
		t.Errorf("a machine without one has %+v", got)
	}
}

func TestCause(t *testing.T) {
	for c, want := range map[watchdog.Cause]string{
		0: "", 0x8000: "",
		watchdog.Reset:                     "reset the machine",
		watchdog.Reset | watchdog.Overheat: "reset the machine",
		watchdog.Fan:                       "reports that a fan failed",
	} {
		if got := c.String(); got != want {
			t.Errorf("%#x is %q, want %q", uint32(c), got, want)
		}
	}
}

func TestSurvives(t *testing.T) {
	const file = "sys/module/watchdog/parameters/stop_on_reboot"
	for text, want := range map[string]bool{"0\n": true, "-1\n": false, "1\n": false} {
		if got := watchdog.Survives(fstest.MapFS{file: {Data: []byte(text)}}); got != want {
			t.Errorf("with %q: %t", text, got)
		}
	}
	if watchdog.Survives(fstest.MapFS{}) {
		t.Error("a kernel without watchdogs keeps them running")
	}
}

func TestArm(t *testing.T) {
	for _, tt := range []struct {
		longest, asked, want int
	}{
		{0, 300, 300}, {300, 300, 300}, {76, 300, 75}, {76, 30, 30}, {5, 300, 0}, {5, 5, 5},
	} {
		w := &boottest.Watchdog{Longest: tt.longest}
		got, err := watchdog.Arm(w, tt.asked)
		if got != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%d of at most %d seconds: %d, %v", tt.asked, tt.longest, got, err)
		}
		if fed := slices.Contains(w.Done(), "feed"); fed != (err == nil) {
			t.Errorf("%d of at most %d seconds: %q", tt.asked, tt.longest, w.Done())
		}
	}
}

// A file that is not a watchdog is refused in words that name what was tried.
func TestNoWatchdog(t *testing.T) {
	name := filepath.Join(t.TempDir(), "watchdog0")
	if _, err := watchdog.Open(name); err == nil || !strings.Contains(err.Error(), "starting the watchdog") {
		t.Errorf("absent: %v", err)
	}
	if err := os.WriteFile(name, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	w, err := watchdog.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watchdog.Arm(w, 60); err == nil || !strings.Contains(err.Error(), "setting the watchdog to 60 seconds") {
		t.Errorf("armed: %v", err)
	}
	if err := w.Stop(); err == nil || !strings.Contains(err.Error(), "stopping the watchdog") {
		t.Errorf("stopped: %v", err)
	}
}
