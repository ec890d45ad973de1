package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/assets"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/payload"
	"github.com/alpboot/alpboot/qemu-tests/target/report"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// Way is what it takes from the machine's start by some firmware to a menu, and
// from there to a target. Times are medians in milliseconds.
type Way struct {
	Name   string `json:"name"`
	Size   int64  `json:"bytes"`     // of what the firmware reads
	Menu   int64  `json:"menu_ms"`   // QEMU start to the entry being selected
	Target int64  `json:"target_ms"` // Enter to the target's banner
}

// total is from QEMU start to the target's banner, less the wait for Enter.
func (w Way) total() int64 { return w.Menu + w.Target }

// way is a machine of the comparison.
type way struct {
	name    string
	size    int64
	machine vm.Options // without the disk with the target
	vars    bool       // it wants OVMF's variables, new ones each time
	marks   bool       // its menu marks the target with a character
}

const (
	ovmfCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	ovmfVars = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

// waysCmdline is that of all payloads.
const waysCmdline = "quiet console=tty0 console=ttyS0,115200 alpboot.timeout=-1"

// benchPayloads measures all ways in turns, with the same disk and target.
func benchPayloads(a *assets.Assets, runs int, progress io.Writer) ([]Way, error) {
	ways, err := prepareWays(a, progress)
	if err != nil {
		return nil, err
	}
	drive, err := benchDisk(a)
	if err != nil {
		return nil, err
	}
	menu, target := make([][]int64, len(ways)), make([][]int64, len(ways))
	for run := range runs {
		for i, w := range ways {
			fmt.Fprintf(progress, "payloads, run %d of %d: %s ...\n", run+1, runs, w.name)
			o := w.machine
			o.Dir = a.Path("bench", "logs", fmt.Sprintf("payload-%d", i))
			// QEMU takes minutes where a kernel unpacks itself over code that has run.
			o.Memory = 2048
			o.Drives = append(o.Drives[:len(o.Drives):len(o.Drives)], vm.Drive{File: drive})
			if w.vars {
				o.Flash.Vars = a.Path("bench", "vars.fd")
				if err := payload.Copy(o.Flash.Vars, ovmfVars); err != nil {
					return nil, err
				}
			}
			ready := shown
			if w.marks {
				ready = selected
			}
			m, t, err := measureWay(o, ready)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			menu[i], target[i] = append(menu[i], m), append(target[i], t)
		}
	}
	var all []Way
	for i, w := range ways {
		all = append(all, Way{w.name, w.size, median(menu[i]), median(target[i])})
	}
	return all, nil
}

// prepareWays makes what is compared.
func prepareWays(a *assets.Assets, progress io.Writer) ([]way, error) {
	kernel, err := a.Kernel()
	if err != nil {
		return nil, err
	}
	full, err := a.Initramfs()
	if err != nil {
		return nil, err
	}
	maker := payload.New(a)
	build := func(name, verb string, args ...string) string {
		if err != nil {
			return ""
		}
		fmt.Fprintf(progress, "Making %s ...\n", name)
		var file string
		file, err = maker.Make(name, verb, args...)
		return file
	}
	uki := build("alpboot.efi", "uki", "--cmdline", waysCmdline)
	stick := build("stick.img", "stick", "--uki", uki, "--cmdline", waysCmdline)
	if err != nil {
		return nil, err
	}
	esp, err := espWith(a, "esp.img", uki)
	if err != nil {
		return nil, err
	}
	flash := func(mib string, args ...string) string {
		file := a.Path("payload", "linuxboot-"+mib+".rom")
		if err == nil {
			_, err = maker.Run(append([]string{"linuxboot", "--flash", ovmfCode, "--uki", uki, "--size", mib, "-o", file}, args...)...)
		}
		return file
	}
	ten := flash("10", "--remove", "network")
	eight := flash("8", "--slim")
	if err != nil {
		return nil, err
	}
	empty, err := payload.Coreboot(filepath.Join(a.Root(), "build", "cache", "coreboot"))
	if err != nil {
		return nil, err
	}
	rom := build("coreboot.rom", "coreboot", "--rom", empty, "--cmdline", waysCmdline)
	if err != nil {
		return nil, err
	}
	grub, err := grubDisk(a, "grub.img", "-1", "")
	if err != nil {
		return nil, err
	}
	systemdBoot, err := systemdBootDisk(a, "systemd-boot.img", "menu-force", "")
	if err != nil {
		return nil, err
	}
	code := vm.Flash{Code: ovmfCode}
	ways := []way{
		{"QEMU's `-kernel`, SeaBIOS", size(kernel) + size(full), vm.Options{Kernel: kernel, Initrd: full, Cmdline: waysCmdline}, false, true},
		{"coreboot ROM of 8 MiB", size(rom), vm.Options{Firmware: rom}, false, true},
		{"stick, SeaBIOS", size(stick), vm.Options{Drives: []vm.Drive{{File: stick}}}, false, true},
		{"GRUB, SeaBIOS", size(grub), vm.Options{Drives: []vm.Drive{{File: grub}}}, false, true},
		{"LinuxBoot flash, slim", size(eight), vm.Options{Flash: vm.Flash{Code: eight}}, false, true},
		{"LinuxBoot flash", size(ten), vm.Options{Firmware: ten}, false, true},
		{"UKI on an EFI system partition, OVMF", size(uki), vm.Options{Flash: code, Drives: []vm.Drive{{File: esp}}}, true, true},
		{"GRUB, OVMF", size(grub), vm.Options{Flash: code, Drives: []vm.Drive{{File: grub}}}, true, true},
		{"systemd-boot, OVMF", size(systemdBoot), vm.Options{Flash: code, Drives: []vm.Drive{{File: systemdBoot}}}, true, false},
	}
	return ways, nil
}

// espWith makes a disk with an EFI system partition, whose loader is the file image.
func espWith(a *assets.Assets, name, image string) (string, error) {
	file := a.Path("bench", name)
	return file, disk.Layout{Table: disk.GPT, Partitions: []disk.Partition{
		{Size: 64, Type: "U", FS: disk.FS{Type: "vfat", Files: []disk.File{{Path: "EFI/BOOT/BOOTX64.EFI", From: image}}}},
	}}.Write(file)
}

// measureWay boots a machine and its target once, when its menu is ready.
func measureWay(o vm.Options, ready func(vm.Screen) bool) (menu, target int64, err error) {
	m, err := vm.Launch(o)
	if err != nil {
		return 0, 0, err
	}
	defer m.Stop()
	const limit = 5 * time.Minute
	c := m.Serial(0)
	at, err := c.Await(limit, vm.ScreenIs(listed+" in the menu", ready))
	if err != nil {
		return 0, 0, err
	}
	before := len(c.Log())
	chosen := m.Since()
	c.Type(vm.Enter)
	reached, err := c.Await(limit, vm.LogAfter(before, "Linux version "))
	if err != nil {
		return 0, 0, err
	}
	_, err = c.Await(limit, vm.InLog(report.LastLine))
	return at.Milliseconds(), (reached - chosen).Milliseconds(), err
}

// shown reports whether a menu shows the target. That of systemd-boot marks it by a colour alone.
func shown(s vm.Screen) bool { return s.Contains(listed) }

// selected reports whether a menu marks the target, in our way or in GRUB's.
func selected(s vm.Screen) bool {
	for _, line := range s.Lines() {
		if before, _, ok := strings.Cut(line, listed); ok && strings.ContainsAny(before, "►>*") {
			return true
		}
	}
	return false
}

func seconds(ms int64) string { return fmt.Sprintf("%.1f", float64(ms)/1000) }

// waysTable prints the comparison for docs/payloads.md.
func (r Report) waysTable(w io.Writer, runs int) {
	fmt.Fprintln(w, "| way | size, MiB | start to menu, s | choice to the target's banner, s | together, s |\n|---|---:|---:|---:|---:|")
	for _, p := range r.Payloads {
		fmt.Fprintf(w, "| %s | %.1f | %s | %s | %s |\n", p.Name, float64(p.Size)/(1<<20), seconds(p.Menu), seconds(p.Target), seconds(p.total()))
	}
	fmt.Fprintf(w, "\nMedians of %d runs in turns, %s, %d cores, Linux %s, QEMU %s emulating (TCG), q35 with one processor, %s.\n",
		runs, r.Machine.Processor, r.Machine.Cores, r.Machine.Linux, r.Machine.QEMU, r.Machine.Date)
}

// payloads measures only this, prints the table and writes the figures to a file.
func payloads(a *assets.Assets, runs int, output string, stdout, progress io.Writer) error {
	r := Report{Machine: thisMachine()}
	var err error
	if r.Payloads, err = benchPayloads(a, runs, progress); err != nil {
		return err
	}
	r.waysTable(stdout, runs)
	return writeJSON(output, struct {
		Machine  Machine `json:"machine"`
		Runs     int     `json:"runs"`
		Payloads []Way   `json:"payloads"`
	}{r.Machine, runs, r.Payloads})
}
