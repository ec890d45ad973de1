package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest/hostile"
	"github.com/alpboot/alpboot/cmds/lsboot/lsboot"
)

// A directory with ten thousand configuration files that were made to use up time
// and memory is listed all the same, within ten seconds and 64 MiB. Both are those
// of the process. The time is that of the processor: others may use it as well.
func TestHostileDirectory(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds lsboot, and makes twenty thousand files")
	}
	const (
		longest    = 10 * time.Second
		mostMemory = 64 << 10 // KiB
		mostWaited = 2 * time.Minute
	)
	program := filepath.Join(t.TempDir(), "lsboot")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir := hostile.Volume(t)
	hostile.Configurations(t, dir, 10_000)
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"table", []string{dir}},
		{"JSON", []string{"--json", dir}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			cmd := exec.CommandContext(t.Context(), program, tt.args...)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			began := time.Now()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			memory := peakMemory(cmd.Process.Pid)
			err := cmd.Wait()
			waited := time.Since(began)
			used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			t.Logf("%v of the processor, %v in all, %d KiB, %d KiB printed", used, waited, memory, (stdout.Len()+stderr.Len())>>10)
			if used > longest || waited > mostWaited || memory > mostMemory {
				t.Errorf("it took %v of the processor, %v in all and %d KiB", used, waited, memory)
			}
			if waited > lsboot.DeviceLimit && strings.Contains(stdout.String()+stderr.String(), "has not answered") {
				t.Skip("others use the processor: it was given up after ten seconds")
			}
			if err != nil {
				t.Errorf("%v\n%.1000s", err, &stderr)
			}
			var entries []map[string]any
			if tt.name == "JSON" {
				if err := json.Unmarshal(stdout.Bytes(), &entries); err != nil || len(entries) < 300 {
					t.Errorf("%d entries (%v)", len(entries), err)
				}
			}
		})
	}
}

// peakMemory waits for the end of a process, and returns the most memory in KiB
// that it has had. What wait4(2) has for that is at least the memory of the process
// that started it.
func peakMemory(pid int) (most int) {
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, peak, ok := strings.Cut(string(status), "VmHWM:")
		if err != nil || !ok { // it has ended
			return most
		}
		fmt.Sscan(peak, &most)
		time.Sleep(5 * time.Millisecond)
	}
}
