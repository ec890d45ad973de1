// Bench measures how fast the menu appears and boots, beside u-root's own boot
// command in an initramfs built the same way, with the same kernel and the same
// disk. It prints tables for docs/benchmarks.md and writes the
// figures to build/x86_64/bench.json. It is what make bench calls.
//
// First it counts: the time in a machine follows from the instructions that it
// executes, so that each run has the same figures however busy the host is. GRUB and
// systemd-boot, as their installers leave them, and kexec-tools are counted beside. They are
// compared with those of the last release, and fail when one is worse by a
// twentieth. Then it measures by the clock, outside of the machine, when a line or a
// screen arrives on its serial port: read the ratios.
//
// With --all come the smallest memory that boots, in steps of 8 MiB, lists of up
// to 256 partitions on two disks, what loading a kernel and jumping to it takes,
// beside u-root's kexec command and kexec-tools, and the ways from firmware to the
// menu, beside GRUB and systemd-boot, for docs/payloads.md. Only when it is asked for, the tests that
// boot a target on all kinds of machines and firmware are timed, one machine at a time.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/alpboot/alpboot/qemu-tests/assets"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	runs := fs.Int("runs", 3, "how often each is started, to be measured by the clock; 0 only counts")
	output := fs.String("o", "", "`FILE` for the figures (default build/x86_64/bench.json, of the checkout)")
	memory := fs.Bool("memory", true, "with --all, find the smallest memory too")
	everything := fs.Bool("all", false, "measure what takes an hour, too")
	against := fs.String("against", "", "count the image of the checkout in `DIRECTORY`, too")
	only := fs.String("only", "", "measure only what has `TEXT` in its name")
	keep := fs.Bool("keep", false, "keep what was counted, for the next release to be compared with")
	lists := fs.Bool("partitions", false, "count only how long lists of 1, 64 and 256 partitions take, and write no file")
	handover := fs.Bool("handover", false, "measure only loading a kernel and jumping to it, and write no file")
	ways := fs.Bool("payloads", false, "measure only the ways from firmware to the menu, and write build/x86_64/payloads.json")
	tests := fs.Bool("machines", false, "measure only how long the tests take from power on to menu and target, and write build/x86_64/machines.json")
	line := fs.Bool("line", false, "measure only the menus on a line of 9600 baud, and write no file")
	if err := fs.Parse(args); err != nil || fs.NArg() > 0 || *runs < 0 {
		return 2
	}
	a, err := assets.Open(stderr)
	if err == nil {
		if *output == "" {
			*output = a.Path("bench.json")
			switch {
			case *ways:
				*output = a.Path("payloads.json")
			case *tests:
				*output = a.Path("machines.json")
			}
		}
		switch {
		case *handover:
			var r Report
			if err = r.handovers(a, *runs, stderr); err == nil {
				r.handoverTables(stdout)
			}
		case *line:
			var r Report
			if err = r.lines(a, stderr); err == nil {
				r.lineTable(stdout)
			}
		case *tests:
			err = machines(a, *output, stdout, stderr)
		case *ways:
			err = payloads(a, *runs, *output, stdout, stderr)
		default:
			err = bench(a, plan{*runs, *memory, *everything, *only, *against, *keep, *lists, *output}, stdout, stderr)
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}
