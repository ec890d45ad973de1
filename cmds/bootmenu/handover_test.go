package main

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/watchdog"
)

// A watchdog that the firmware has started must not reset a system that knows
// nothing of it, as this kernel leaves it running.
func TestStopWatchdogs(t *testing.T) {
	const dir, stays = "sys/class/watchdog/", "sys/module/watchdog/parameters/stop_on_reboot"
	for _, tt := range []struct {
		name    string
		files   map[string]string
		endless bool
		fail    error
		want    string // what was done to it
		warning bool
	}{
		{name: "none", files: map[string]string{stays: "0\n"}},
		{name: "one", files: map[string]string{stays: "0\n", dir + "watchdog0/state": "inactive\n"}, want: "stop"},
		{name: "the kernel stops it", files: map[string]string{stays: "-1\n", dir + "watchdog0/state": "inactive\n"}},
		{name: "in use", files: map[string]string{stays: "0\n", dir + "watchdog0/state": "active\n"}},
		{name: "for ever once started", files: map[string]string{stays: "0\n", dir + "watchdog0/nowayout": "1\n"}},
		{name: "not to be opened", files: map[string]string{stays: "0\n", dir + "watchdog0/state": "inactive\n"}, fail: errors.New("busy"), warning: true},
		{
			name: "not to be stopped", files: map[string]string{stays: "0\n", dir + "watchdog0/state": "inactive\n"},
			endless: true, want: "set 300 feed", warning: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range tt.files {
				root[name] = boottest.File(text)
			}
			dog := &boottest.Watchdog{Unstoppable: tt.endless}
			var opened []string
			var log strings.Builder
			stopWatchdogs(root, func(name string) (watchdog.Running, error) {
				opened = append(opened, name)
				return dog, tt.fail
			}, slog.New(slog.NewTextHandler(&log, nil)))
			if got := strings.Join(dog.Done(), " "); got != tt.want {
				t.Errorf("done: %q, want %q", got, tt.want)
			}
			if slices.Contains(opened, "watchdog0") != (tt.want != "" || tt.fail != nil) {
				t.Errorf("opened %q", opened)
			}
			if strings.Contains(log.String(), "may run on") != tt.warning {
				t.Errorf("logged %q", log.String())
			}
		})
	}
}
