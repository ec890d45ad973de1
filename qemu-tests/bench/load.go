package main

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/assets"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/openrc"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// kexecTools is Debian's package, and the libraries that it was linked with.
var kexecTools = []string{
	"kexec-tools", "libxenmisc4.17", "libxencall1", "libxentoolcore1", "libxentoollog1", "libxenevtchn1",
	"libxengnttab1", "libxenforeignmemory1", "libxendevicemodel1", "zlib1g",
}

// Load is what loading a kernel on a running system costs.
type Load struct {
	Name string `json:"name"`
	usage
}

// loaders are the commands that are compared on a running system. They go by
// the same flags.
var loaders = []struct{ name, command string }{
	{"kexec-reboot", "kexec-reboot -a"},
	{"kexec-reboot -c", "kexec-reboot -c"},
	{"kexec-reboot -s", "kexec-reboot -s"},
	{"kexec-tools -c", "kexec -c"},
	{"kexec-tools -s", "kexec -s"},
}

// benchLoad measures them in one machine, in turns, with the files in memory.
func benchLoad(a *assets.Assets, kernel string, runs int, progress io.Writer) ([]Load, error) {
	k, err := a.Debian(debian.Newer)
	if err != nil {
		return nil, err
	}
	initrd, err := ballast(a, 16<<20) // as large as Alpine's
	if err != nil {
		return nil, err
	}
	system, err := openrc.Get(filepath.Join(a.Root(), "build", "cache", "openrc"), kexecTools...)
	if err != nil {
		return nil, err
	}
	files := map[string]openrc.File{}
	for name, pkg := range map[string]string{"sbin/kexec-reboot": "./cmds/kexec-reboot", "sbin/peak": "./qemu-tests/bench/peak"} {
		program := a.Path("bench", filepath.Base(name))
		if err := build(a, program, pkg); err != nil {
			return nil, err
		}
		files[name] = openrc.File{From: program, Mode: 0o755}
	}
	root, boot := a.Path("bench", "load-root.img"), a.Path("bench", "load-boot.img")
	err = system.Write(openrc.Disks{
		Root: files,
		Boot: map[string]openrc.File{"vmlinuz": {From: k.Image}, "initrd": {Data: initrd}},
	}, root, boot)
	if err != nil {
		return nil, err
	}
	m, err := vm.Launch(vm.Options{
		Kernel: kernel, Cmdline: "console=ttyS0 root=/dev/vda loglevel=1 no_timer_check",
		Drives: []vm.Drive{{File: root}, {File: boot}}, Memory: 1024, Dir: a.Path("bench", "logs", "load"),
	})
	if err != nil {
		return nil, err
	}
	defer m.Stop()
	c := m.Serial(0)
	if _, err := c.Await(5*time.Minute, vm.OnScreen("console#")); err != nil {
		return nil, err
	}
	all := make([][]usage, len(loaders))
	for run := range runs + 1 { // the first brings the files into memory and does not count
		fmt.Fprintf(progress, "loading, run %d of %d ...\n", run, runs)
		for i, l := range loaders {
			// No root=, so that nobody asks for modules.
			u, err := loadOnce(c, l.command+" -l /boot/vmlinuz --initrd=/boot/initrd --command-line=console=ttyS0")
			if err == nil {
				_, err = command(c, "kexec-reboot -u")
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", l.name, err)
			}
			if run > 0 {
				all[i] = append(all[i], u)
			}
		}
	}
	var loads []Load
	for i, l := range loaders {
		loads = append(loads, Load{l.name, middle(all[i])})
	}
	return loads, nil
}

func (r Report) loadTable(w io.Writer) {
	fmt.Fprintln(w, "\n| on a running system | load, s | memory taken while loading, MiB | kept, MiB | resident in the process, MiB |\n|---|---:|---:|---:|---:|")
	for _, l := range r.Loads {
		fmt.Fprintf(w, "| %s | %.2f | %.1f | %.1f | %.1f |\n", l.Name, float64(l.Took)/1000, mib(l.Most), mib(l.Kept), mib(l.RSS))
	}
}
