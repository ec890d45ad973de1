package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Machine is what the figures were measured on.
type Machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	Linux     string `json:"linux"`
	QEMU      string `json:"qemu"`
	Go        string `json:"go"`
	Date      string `json:"date"`
}

func thisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Date: time.Now().UTC().Format(time.DateOnly), Processor: "unknown"}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			m.Processor = strings.TrimSpace(value)
			break
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Linux = strings.TrimSpace(string(release))
	out, _ := exec.Command("qemu-system-x86_64", "--version").Output()
	m.QEMU, _, _ = strings.Cut(strings.TrimPrefix(string(out), "QEMU emulator version "), "\n")
	return m
}

// table prints the report for docs/benchmarks.md.
func (r Report) table(w io.Writer) {
	row := func(name string, value func(Result) string) {
		fmt.Fprintf(w, "| %s |", name)
		for _, res := range r.Results {
			fmt.Fprintf(w, " %s |", value(res))
		}
		fmt.Fprintln(w)
	}
	row("", func(res Result) string { return res.Name })
	fmt.Fprintln(w, "|---"+strings.Repeat("|---:", len(r.Results))+"|")
	for _, m := range marks {
		row(m.About+", s", func(res Result) string { return fmt.Sprintf("%.2f", float64(res.Median[m.Key])/1000) })
	}
	row("initramfs, KiB", func(res Result) string { return fmt.Sprint((res.Initramfs + 1023) / 1024) })
	row("kernel, KiB", func(Result) string { return fmt.Sprint((r.Kernel + 1023) / 1024) })
	row("smallest memory that boots, MiB", func(res Result) string {
		if res.Memory == 0 {
			return "-"
		}
		return fmt.Sprint(res.Memory)
	})
	for _, p := range r.Partitions {
		row(fmt.Sprintf("%d partitions: init to list complete, s", p.Count), func(res Result) string {
			return fmt.Sprintf("%.2f", float64(p.Median[res.Name])/1000)
		})
	}
	fmt.Fprintf(w, "\nMedians of %d runs in turns, %s, %d cores, Linux %s, QEMU %s emulating (TCG), 2 processors and 512 MiB, %s, %s.\n",
		len(r.Results[0].Runs), r.Machine.Processor, r.Machine.Cores, r.Machine.Linux, r.Machine.QEMU, r.Machine.Go, r.Machine.Date)
}
