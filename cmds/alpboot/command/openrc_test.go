package command

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A kernel that was loaded before is not started when the one to reboot into
// could not be loaded, as when its disk does not answer in time: it may be the
// one that an upgrade has replaced.
func TestServicesDoNotStartWhatWasLoadedBefore(t *testing.T) {
	tests := []struct {
		name  string
		fails bool // kexec-reboot load
		jumps bool
	}{
		{name: "loaded", jumps: true},
		{name: "load fails", fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, map[string]string{"/sys/kernel/kexec_loaded": "1\n", "/proc/sys/kernel/kexec_load_disabled": "0\n"})
			f.write(t, map[string]string{"/bin/kexec-reboot": `#!/bin/sh
echo "$*" >>"` + f.root + `/run/asked"
[ "$1" != load ] || [ -z "$FAILS" ]
`})
			if err := os.Chmod(f.path("/bin/kexec-reboot"), 0o755); err != nil {
				t.Fatal(err)
			}
			service := func(text, call string) {
				script := `yesno() { [ "$1" = YES ]; }; eerror() { :; }; einfo() { :; }; ewarn() { :; }; ebegin() { :; }; eend() { return $1; }
` + text + "\n" + call
				for _, dir := range []string{"/run/", "/sys/", "/proc/"} {
					script = strings.ReplaceAll(script, " "+dir, " "+f.root+dir)
				}
				cmd := exec.Command("/bin/sh", "-c", script)
				cmd.Env = append(os.Environ(), "PATH="+f.root+"/bin:"+os.Getenv("PATH"), "RC_GOINGDOWN=YES", "RC_REBOOT=YES")
				if tt.fails {
					cmd.Env = append(cmd.Env, "FAILS=1")
				}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", call, err, out)
				}
			}
			service(kexecLoad(t), "start")
			service(kexecLoad(t), "stop")
			service(kexecExec(t), "start")
			if got := strings.Contains(f.read("/run/asked"), "exec --now"); got != tt.jumps {
				t.Errorf("jumps: %v, want %v; asked for\n%s", got, tt.jumps, f.read("/run/asked"))
			}
		})
	}
}
