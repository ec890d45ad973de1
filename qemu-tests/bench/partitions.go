package main

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/qemu-tests/assets"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// Partitions is how long the list takes on disks with many partitions, each of
// them a small ext4 with a kernel and an extlinux.conf.
type Partitions struct {
	Count  int              `json:"count"`
	Median map[string]int64 `json:"list_ms"` // by name of the subject: "init to list complete"
}

// counts are the numbers of partitions that are compared.
var counts = [...]int{1, 16, 64, 256}

// perDisk is how many partitions a GPT holds that sfdisk makes.
const perDisk = 128

func benchPartitions(a *assets.Assets, kernel string, subjects []subject, runs int, progress io.Writer) ([]Partitions, error) {
	var all []Partitions
	for _, n := range counts {
		drives, err := manyPartitions(a, n)
		if err != nil {
			return nil, err
		}
		p := Partitions{Count: n, Median: map[string]int64{}}
		times := map[string][]int64{}
		for run := range runs {
			for _, s := range subjects {
				fmt.Fprintf(progress, "%d partitions, run %d of %d: %s ...\n", n, run+1, runs, s.name)
				ms, err := measureList(vm.Options{
					Kernel: kernel, Initrd: s.initrd, Cmdline: "console=ttyS0,115200 " + s.parameters,
					CPUs: 2, Drives: drives, Dir: a.Path("bench", "logs", fmt.Sprintf("%s-%d", filepath.Base(s.initrd), n)),
				}, s.complete(n))
				if err != nil {
					return nil, fmt.Errorf("%s, %d partitions: %w", s.name, n, err)
				}
				times[s.name] = append(times[s.name], ms)
			}
		}
		for name, ms := range times {
			p.Median[name] = median(ms)
		}
		all = append(all, p)
	}
	return all, nil
}

// manyPartitions makes disks with n partitions in all.
func manyPartitions(a *assets.Assets, n int) ([]vm.Drive, error) {
	initramfs, err := target.Initramfs(target.Image{Files: map[string]string{"small": "yes"}})
	if err != nil {
		return nil, err
	}
	var drives []vm.Drive
	for first := 1; first <= n; first += perDisk {
		l := disk.Layout{Table: disk.GPT}
		for i := first; i <= min(n, first+perDisk-1); i++ {
			l.Partitions = append(l.Partitions, disk.Partition{Size: 2, FS: disk.FS{Type: "ext4", Files: []disk.File{
				{Path: "vmlinuz-lts", Data: boottest.BzImage(fmt.Sprintf("6.12.%d-0-lts", i))},
				{Path: "initramfs-lts", Data: initramfs},
				{Path: "extlinux.conf", Data: fmt.Appendf(nil, "LABEL p%d\n  MENU LABEL Linux %d\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND quiet p=%d\n", i, i, i)},
			}}})
		}
		file := a.Path("bench", fmt.Sprintf("partitions-%d-%d.img", n, first))
		if err := l.Write(file); err != nil {
			return nil, err
		}
		drives = append(drives, vm.Drive{File: file})
	}
	return drives, nil
}

// measureList returns the milliseconds from init until the list is complete.
func measureList(o vm.Options, complete vm.Condition) (int64, error) {
	m, err := vm.Launch(o)
	if err != nil {
		return 0, err
	}
	defer m.Stop()
	const limit = 10 * time.Minute
	c := m.Serial(0)
	begin, done := c.Watch(vm.InLog("Run /init as init process")), c.Watch(complete)
	from, err := begin.Result(limit)
	if err != nil {
		return 0, err
	}
	to, err := done.Result(limit)
	return (to - from).Milliseconds(), err
}

// entryCount is that the menu shows so many entries.
func entryCount(n int) vm.Condition { return vm.ScreenIs(fmt.Sprintf("%d entries", n), entriesOn(n)) }

// entriesOn returns what finds that on a screen.
func entriesOn(n int) func(vm.Screen) bool {
	text := fmt.Sprintf("%d entries", n)
	if n == 1 {
		text = "1 entry"
	}
	return func(s vm.Screen) bool { return s.Contains(text) }
}
