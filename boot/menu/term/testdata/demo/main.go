// Command demo shows the menu with invented disks on the terminal that it is
// started on, to look at its screens: go run ./boot/menu/term/testdata/demo.
// Nothing is booted. With --line it shows the line mode.
package main

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/menu/line"
	"github.com/alpboot/alpboot/boot/menu/term"
)

type console interface {
	Events() <-chan menu.Msg
	Draw(menu.Model)
	Redraw()
	Close() error
}

func main() {
	lines := flag.Bool("line", false, "line mode")
	hidden := flag.Bool("hidden", false, "hidden until a key")
	theme := flag.String("theme", "", "theme")
	flag.Parse()
	if err := run(*lines, *hidden, *theme); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(lines, hidden bool, theme string) error {
	tty, err := os.Readlink("/proc/self/fd/0")
	if err != nil {
		return err
	}
	look, err := menu.ParseTheme(theme)
	if err != nil {
		return err
	}
	var c console
	if lines {
		c, err = line.Open(tty, line.Options{})
	} else {
		c, err = term.Open(tty, term.Options{Charset: term.UTF8, Theme: look})
	}
	if err != nil {
		return err
	}
	defer c.Close()
	m := menu.New(menu.Config{
		Version: "demo", FallbackTimeout: 20 * time.Second, Rearm: 5 * time.Minute, CmdlineLimit: 2047, Hidden: hidden,
		Firmware: true, Relaunch: true, Keymaps: []string{"us/us", "de/de", "de/de-latin1", "fr/fr"},
	})
	later := make(chan menu.Msg, 64)
	after := func(d time.Duration, msgs ...menu.Msg) {
		go func() {
			for _, msg := range msgs {
				time.Sleep(d)
				later <- msg
			}
		}()
	}
	inv := disks()
	found := menu.InventoryMsg{Inventory: inv, Default: "alpine-lts", Last: "alpine-virt", Memory: "It is kept in EFI variables."}
	early := found
	early.Inventory.Settled, early.Inventory.Entries = false, inv.Entries[:2]
	after(500*time.Millisecond, menu.InventoryMsg{}, early, found)
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		var msg menu.Msg
		select {
		case now := <-ticker.C:
			msg = menu.TickMsg{Now: now}
		case msg = <-later:
		case k, ok := <-c.Events():
			if !ok {
				return nil
			}
			if k, ok := k.(menu.KeyMsg); ok && k.Mod == menu.ModCtrl && k.Rune == 'q' {
				return nil
			}
			msg = k
		}
		var action menu.Action
		m, action = m.Update(msg)
		switch a := action.(type) {
		case menu.Boot:
			var msgs []menu.Msg
			for n := range int64(20) {
				msgs = append(msgs, menu.ProgressMsg{ID: a.Entry.ID, Stage: "Loading initramfs-lts", Done: n * 2e6, Total: 40e6})
			}
			after(100*time.Millisecond, append(msgs, menu.FailedMsg{ID: a.Entry.ID, Reason: "This is only a demonstration: nothing is booted, whatever is chosen."})...)
		case menu.Cancel:
			after(time.Second, menu.CancelledMsg{})
		case menu.Unlock:
			clear(a.Passphrase)
			after(2*time.Second, menu.UnlockedMsg{Device: a.Device, Wrong: true})
		case menu.Complete:
			after(100*time.Millisecond, menu.CompletionMsg{Seq: a.Seq, Names: []string{"boot/vmlinuz-lts", "boot/vmlinuz-virt"}})
		case menu.System:
			after(100*time.Millisecond, menu.SystemMsg{Lines: []string{"Firmware:", "UEFI 2.70 by EDK II", "Secure Boot is off", "Memory:", "2048 MB"}})
		case menu.Inspect:
			after(100*time.Millisecond, menu.InspectedMsg{ID: a.Entry.ID, Files: []menu.File{{Path: a.Entry.Kernel, Size: 11.4e6, About: "bzImage for x86_64"}}})
		case menu.Rescan:
			after(time.Second, early, found)
		case menu.Shell:
			after(time.Second, menu.ShellDoneMsg{Error: "This is only a demonstration."})
		case menu.Redraw:
			c.Redraw()
		case nil:
		default:
			after(300*time.Millisecond, menu.ResultMsg{Text: fmt.Sprintf("This is only a demonstration: %T%+v.", a, a)})
		}
		if msg, ok := msg.(menu.InventoryMsg); ok && msg.Inventory.Settled {
			m, _ = m.Update(menu.LogMsg{Lines: []menu.LogLine{
				{Level: slog.LevelDebug, Text: "[    1.20] sda: GPT with 3 partitions"},
				{Level: slog.LevelInfo, Text: "[    1.50] sda2: 2 entries in /boot/extlinux.conf"},
				{Level: slog.LevelError, Text: "[    2.01] nvme0n1p3: bad superblock"},
			}})
		}
		c.Draw(m)
	}
}

func disks() boot.Inventory {
	root := boot.Volume{Device: "/dev/sda2", UUID: "5f1f3a0e-8a58-4c3c-9c1e-7d3c2ad0f1b2", Label: "root", Type: "btrfs"}
	stick := boot.Volume{Device: "/dev/sdb1", UUID: "2E3A-11F0", Label: "ALPINE-EXT", Type: "vfat"}
	entry := func(id, title, kernel string, v boot.Volume) boot.Entry {
		return boot.Entry{
			ID: id, Title: title, Version: "6.12.63-0-" + kernel, Format: "grub", Source: boot.Source{File: "boot/grub/grub.cfg", Line: 12}, Volume: v,
			Kernel: "boot/vmlinuz-" + kernel, Initrds: []string{"boot/intel-ucode.img", "boot/initramfs-" + kernel},
			Cmdline: "root=UUID=5f1f3a0e-8a58-4c3c-9c1e-7d3c2ad0f1b2 modules=sd-mod,usb-storage,btrfs quiet rootfstype=btrfs",
		}
	}
	es := []boot.Entry{entry("alpine-lts", "Alpine Linux 3.22, linux-lts", "lts", root), entry("alpine-virt", "Alpine Linux 3.22, linux-virt", "virt", root)}
	for i := range 4 {
		e := entry(fmt.Sprint("old-", i), fmt.Sprintf("Alpine Linux 3.22, older kernel %d", i+1), "lts", root)
		e.Submenu = []string{"Advanced options for Alpine Linux"}
		es = append(es, e)
	}
	for i := range 12 {
		e := entry(fmt.Sprint("snap-", i), fmt.Sprintf("Alpine Linux, snapshot of 2026-11-%02d", i+1), "lts", root)
		e.Snapshot = true
		es = append(es, e)
	}
	guess := entry("guess", "linux-lts on ALPINE-EXT", "lts", stick)
	guess.Guessed = true
	bad := entry("bad", "Alpine Linux edge", "edge", stick)
	bad.Problem = "The initrd boot/initramfs-edge, which grub.cfg names, is not on sdb1. Put it back, or edit the entry."
	return boot.Inventory{
		Settled: true, Entries: append(es, guess, bad),
		Volumes: []boot.VolumeStatus{
			{Volume: boot.Volume{Device: "/dev/nvme0n1p3", Type: "xfs"}, Problem: "nvme0n1p3: the filesystem xfs has a version that this kernel does not know."},
			{Volume: root},
			{Volume: boot.Volume{Device: "/dev/sda3", Type: "crypto_LUKS", UUID: "0c1f8c3e-74b8-4a62-8a3c-52f9d7f0e6a1"}, Locked: true},
			{Volume: stick},
			{Volume: boot.Volume{Device: "/dev/sdc"}, Busy: true},
		},
	}
}
