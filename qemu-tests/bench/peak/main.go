// Peak runs a command, and then prints how long that took and how much memory
// of the machine could at most not be used by others while it ran:
//
//	peak COMMAND [ARGUMENT]...
//
// That counts the memory of processes, files that are in memory and all that
// the kernel itself has taken, over what there was before. It does not count
// cached files. It begins when that has stayed the same for a while, and the
// machine should do nothing else meanwhile. It must be root, in a machine that
// is thrown away: the kernel no longer keeps freed pages back for a processor.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// every is how long it sleeps between two looks.
const every = time.Millisecond

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprintln(stderr, "peak: a command is needed")
		return 2
	}
	meminfo, err := os.Open("/proc/meminfo")
	if err != nil {
		fmt.Fprintln(stderr, "peak:", err)
		return 1
	}
	// Since Linux 6.7 many megabytes that were freed are in lists of the processors
	// for seconds, and count as taken. A large fraction keeps these lists short.
	if err := os.WriteFile("/proc/sys/vm/percpu_pagelist_high_fraction", []byte("100000"), 0); err != nil {
		fmt.Fprintln(stderr, "peak:", err)
		return 1
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	buf := make([]byte, 4096)
	before := settled(meminfo, buf)
	most := before
	start := time.Now()
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(stderr, "peak:", err)
		return 1
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err = <-done:
			took := time.Since(start)
			rss := int64(0)
			if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
				rss = u.Maxrss
			}
			fmt.Fprintf(stdout, "peak: %.3f s, %d KiB at most, %d KiB kept, %d KiB in the process\n",
				took.Seconds(), most-before, taken(meminfo, buf)-before, rss)
			if err != nil {
				return 1
			}
			return 0
		case <-time.After(every):
			most = max(most, taken(meminfo, buf))
		}
	}
}

// settled waits until what is taken has hardly changed for half a second, not
// longer than a quarter of a minute.
func settled(meminfo *os.File, buf []byte) (kib int64) {
	const step, calm, patience, noise = 50 * time.Millisecond, 10, 300, 128
	same := 0
	for range patience {
		now := taken(meminfo, buf)
		if now-kib > noise || kib-now > noise {
			kib, same = now, 0
		} else if same++; same == calm {
			break
		}
		time.Sleep(step)
	}
	return kib
}

// taken returns the KiB that are neither free nor cached files.
func taken(meminfo *os.File, buf []byte) (kib int64) {
	n, _ := meminfo.ReadAt(buf, 0)
	for line := range bytes.Lines(buf[:n]) {
		f := bytes.Fields(line)
		if len(f) < 2 {
			continue
		}
		v, _ := strconv.ParseInt(string(f[1]), 10, 64)
		switch string(f[0]) {
		case "MemTotal:", "Shmem:": // the latter counts as cached, and is a file in memory
			kib += v
		case "MemFree:", "Buffers:", "Cached:", "SReclaimable:":
			kib -= v
		}
	}
	return kib
}
