package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"regexp"

	"github.com/alpboot/alpboot/qemu-tests/assets"
)

// Boot is how long one of the tests took from the start of QEMU, in
// milliseconds.
type Boot struct {
	Test   string `json:"test"`
	Menu   int64  `json:"menu_ms"`
	Target int64  `json:"target_ms"` // to the target's banner
}

// bootTests are the tests that go from power on to a target.
const bootTests = "^Test(Machines|ManyDisks|TPM|Payload.*|EveryPayload|ARM64Firmware)$"

// reached is what these log.
var reached = regexp.MustCompile(`: menu after ([0-9]+[.][0-9]) s, target's banner after ([0-9]+[.][0-9]) s\n$`)

// machines runs the tests that boot a target, one machine at a time, prints how
// long each took, and writes the figures to a file.
func machines(a *assets.Assets, output string, stdout, progress io.Writer) error {
	cmd := exec.Command("go", "test", "-json", "-count=1", "-timeout=80m", "-run="+bootTests, "./qemu-tests")
	cmd.Dir, cmd.Env, cmd.Stderr = a.Root(), append(os.Environ(), "ALPBOOT_TEST_ALONE=1"), progress
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	boots, failed := readBoots(out, progress)
	if err := errors.Join(failed, cmd.Wait()); err != nil {
		return fmt.Errorf("the tests of %s: %w", bootTests, err)
	}
	m := thisMachine()
	fmt.Fprintln(stdout, "| test | start to menu, s | start to the target's banner, s |\n|---|---:|---:|")
	for _, b := range boots {
		fmt.Fprintf(stdout, "| %s | %s | %s |\n", b.Test, seconds(b.Menu), seconds(b.Target))
	}
	fmt.Fprintf(stdout, "\nOne run, one machine at a time, %s, %d cores, Linux %s, QEMU %s emulating (TCG), %s.\n", m.Processor, m.Cores, m.Linux, m.QEMU, m.Date)
	return writeJSON(output, struct {
		Machine Machine `json:"machine"`
		Boots   []Boot  `json:"boots"`
	}{m, boots})
}

// readBoots reads what go test -json prints. Its error names the tests that
// failed.
func readBoots(r io.Reader, progress io.Writer) (boots []Boot, err error) {
	for in := json.NewDecoder(r); ; {
		var e struct{ Action, Test, Output string }
		if err := in.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		if e.Action == "fail" && e.Test != "" {
			err = errors.Join(err, fmt.Errorf("%s failed", e.Test))
		}
		if m := reached.FindStringSubmatch(e.Output); m != nil {
			fmt.Fprintf(progress, "%s%s", e.Test, m[0])
			var menu, target float64 // s
			if _, err := fmt.Sscan(m[1], &menu); err != nil {
				return nil, err
			}
			if _, err := fmt.Sscan(m[2], &target); err != nil {
				return nil, err
			}
			boots = append(boots, Boot{e.Test, int64(math.Round(menu * 1000)), int64(math.Round(target * 1000))})
		}
	}
	return boots, err
}
