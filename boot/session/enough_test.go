package session

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The default that was asked for is not kept waiting by what may still come, as any
// other one is. One that is not there yet is waited for, whoever asked.
func TestAskedForIsNotKeptWaiting(t *testing.T) {
	const atLate, virt = 900 * time.Millisecond, "linux-virt-46e9925e" // its ID
	late := bootDisk(t, "/dev/sdb1", "u2", "")
	late.Block.Disk = "/dev/sdb"
	writeFile(t, filepath.Join(late.Dir, "boot/extlinux.conf"), "LABEL l\n MENU LABEL Late\n LINUX vmlinuz-virt\n APPEND root=/dev/sdb1\n")
	fromLate := []string{"load boot/vmlinuz-virt", "hand over", "jump with 0 mounted"}
	onLTS, onVirt := booted, bootedVirt()
	for _, tt := range []struct {
		name, parameters string
		vars             map[string]string // of the firmware
		esp              string            // settings on it
		soon             bool
		cmdline          string // of what is booted
		want             []string
	}{
		{name: "nobody asked", want: onLTS},
		{name: "a kernel parameter asks", parameters: `alpboot.default="Linux virt"`, soon: true, want: onVirt},
		{name: "the menu was asked", vars: map[string]string{"AlpbootDefault": virt}, soon: true, want: onVirt},
		{name: "for this start", vars: map[string]string{"AlpbootNext": virt, "AlpbootDefault": "Late"}, soon: true, want: onVirt},
		{name: "settings of a volume ask", esp: "default = Linux virt\n", soon: true, want: onVirt},
		{name: "by number", parameters: "alpboot.default=2", want: onVirt},
		{name: "somebody wants to wait", parameters: `alpboot.settle=3 alpboot.default="Linux virt"`, want: onVirt},
		{name: "what is asked for comes late", parameters: "alpboot.default=Late", cmdline: "root=/dev/sdb1", want: fromLate},
		{name: "settings ask for what comes late", vars: map[string]string{"AlpbootDefault": virt}, esp: "default = Late\n", cmdline: "root=/dev/sdb1", want: fromLate},
		{name: "this start is for what comes late", parameters: `alpboot.default="Linux virt"`, vars: map[string]string{"AlpbootNext": "Late"}, cmdline: "root=/dev/sdb1", want: fromLate},
		{name: "memory is on what comes late", parameters: `alpboot.default="Linux virt" alpboot.remember=UUID=u2:/state`, want: onVirt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onDisk(t, func(t *testing.T, b *fixture) {
				for name, value := range tt.vars {
					b.vars.Values[name] = value
				}
				if tt.esp != "" {
					b.addESP(map[string]string{"alpboot.conf": tt.esp})
				}
				timer := time.AfterFunc(atLate, func() { b.disks.Plug(late) })
				defer timer.Stop()
				begun, loaded, cmdline := time.Now(), time.Duration(0), ""
				b.hw.always = func(what string) {
					if loaded == 0 && strings.HasPrefix(what, "load ") {
						loaded, cmdline = time.Since(begun), b.hw.cmdline
					}
				}
				b.start("alpboot.timeout=0 " + tt.parameters)
				b.wait(10 * time.Second)
				logged := false
				for _, l := range b.session.Log.all() {
					logged = logged || strings.HasSuffix(l.Text, "no disk is waited for: the default that was asked for is there")
				}

				if first := loaded < time.Second; first != tt.soon || tt.soon && !logged {
					t.Errorf("it was loaded after %v, and the log has why: %v", loaded, logged)
				}
				if tt.cmdline != "" && !strings.Contains(cmdline, tt.cmdline) {
					t.Errorf("booted with %q, want %s", cmdline, tt.cmdline)
				}
				b.didFirst(tt.want...)
			})
		})
	}
}
