package menu

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// The machine that most tests have: three disks, one of them broken.

var (
	root  = boot.Volume{Device: "/dev/sda2", UUID: "5f1f3a0e-8a58-4c3c-9c1e-7d3c2ad0f1b2", Label: "root", Type: "ext4"}
	stick = boot.Volume{Device: "/dev/sdb1", UUID: "2E3A-11F0", Label: "ALPINE-EXT", Type: "vfat"}
	vault = boot.Volume{Device: "/dev/sda3", Type: "crypto_LUKS", UUID: "e3c1b0f4-0d4f-4e0e-a9a5-0c6f2a2f1d10"}
	data  = boot.Volume{Device: "/dev/nvme0n1p3", Type: "xfs"}
)

func seconds(n int) *time.Duration { d := time.Duration(n) * time.Second; return &d }

func lts() boot.Entry {
	return boot.Entry{
		ID: "root-lts", Title: "Alpine Linux 3.22, linux-lts", Version: "6.12.63-0-lts", Format: "extlinux",
		Source: boot.Source{File: "boot/extlinux.conf", Line: 12}, Volume: root,
		Kernel: "boot/vmlinuz-lts", Initrds: []string{"boot/intel-ucode.img", "boot/initramfs-lts"},
		Cmdline: "root=UUID=5f1f3a0e-8a58-4c3c-9c1e-7d3c2ad0f1b2 modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4",
		Default: true, Timeout: seconds(3),
	}
}

func virt() boot.Entry {
	e := lts()
	e.ID, e.Title, e.Version = "root-virt", "Alpine Linux 3.22, linux-virt", "6.12.63-0-virt"
	e.Source.Line, e.Default = 18, false
	e.Kernel, e.Initrds = "boot/vmlinuz-virt", []string{"boot/initramfs-virt"}
	return e
}

func guessed() boot.Entry {
	return boot.Entry{
		ID: "stick-lts", Title: "linux-lts on ALPINE-EXT", Version: "6.12.13-0-lts", Format: "files", Volume: stick,
		Source: boot.Source{File: "boot/vmlinuz-lts"},
		Kernel: "boot/vmlinuz-lts", Initrds: []string{"boot/initramfs-lts"},
		Cmdline: "modules=loop,squashfs,sd-mod,usb-storage quiet alpine_dev=UUID=2E3A-11F0", Guessed: true,
	}
}

func broken() boot.Entry {
	return boot.Entry{
		ID: "stick-edge", Title: "Alpine Linux edge", Format: "extlinux", Volume: stick,
		Source:  boot.Source{File: "syslinux.cfg", Line: 7},
		Kernel:  "boot/vmlinuz-edge",
		Initrds: []string{"boot/initramfs-edge"}, Cmdline: "modules=loop,squashfs quiet",
		Problem: "The initrd boot/initramfs-edge, which syslinux.cfg names, is not on sdb1. Put it back, or edit the entry.",
	}
}

// folded returns entries as GRUB's configuration and a btrfs with snapshots have
// them; the default is the second in its submenu.
func folded() []boot.Entry {
	top := virt()
	top.ID, top.Title = "alpine", "Alpine Linux"
	es := []boot.Entry{top}
	for i, name := range []string{"lts", "virt", "lts (recovery mode)"} {
		e := virt()
		e.ID, e.Title = fmt.Sprint("old-", i), "Alpine Linux, linux-"+name
		e.Submenu = []string{"Advanced options for Alpine Linux"}
		if i == 2 {
			e.Submenu = append(e.Submenu, "Recovery")
		}
		es = append(es, e)
	}
	for i := range 12 {
		e := virt()
		e.ID, e.Title, e.Snapshot = fmt.Sprint("snap-", i), fmt.Sprintf("Alpine Linux, snapshot %d", i+1), true
		es = append(es, e)
	}
	last := lts()
	last.ID, last.Title, last.Volume = "other", "Debian GNU/Linux 13 (trixie)", stick
	return append(es, last)
}

// withPassword returns an entry whose own menu asks for a password.
func withPassword(e boot.Entry) boot.Entry {
	e.Lock = &boot.Lock{Asks: true, Start: []boot.Secret{"x"}}
	return e
}

// withLocked adds an encrypted volume to what was found.
func withLocked(msg InventoryMsg) InventoryMsg {
	msg.Inventory.Volumes = append(msg.Inventory.Volumes, boot.VolumeStatus{Volume: vault, Locked: true})
	return msg
}

func inventory(settled bool, es ...boot.Entry) boot.Inventory {
	return boot.Inventory{
		Entries: es, Settled: settled,
		Volumes: []boot.VolumeStatus{
			{Volume: data, Problem: "nvme0n1p3: the filesystem xfs has a version that this kernel does not know."},
			{Volume: root, System: boot.System{Name: "Alpine Linux v3.22", Host: "web1"}, Size: 240_057_409_536, Model: "Samsung SSD 870"},
			{Volume: stick, Busy: !settled, Notes: []boot.Note{{
				Source: boot.Source{File: "syslinux.cfg", Line: 3}, Text: "the command BEEP is unknown and was skipped.",
			}}},
		},
	}
}

func found(def string, es ...boot.Entry) InventoryMsg {
	return InventoryMsg{Inventory: inventory(true, es...), Default: def}
}

func config() Config {
	return Config{Version: "0.1.0", FallbackTimeout: 5 * time.Second, Rearm: 5 * time.Minute, CmdlineLimit: 2047}
}

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func at(s float64) TickMsg { return TickMsg{start.Add(time.Duration(s * float64(time.Second)))} }

func key(k Key) KeyMsg    { return KeyMsg{Key: k, Size: Size{80, 24}} }
func typedKey(r rune) Msg { return KeyMsg{Key: KeyRune, Rune: r, Size: Size{80, 24}} }
func control(r rune) Msg  { return KeyMsg{Key: KeyRune, Rune: r, Mod: ModCtrl, Size: Size{80, 24}} }
func text(s string) []Msg {
	var ms []Msg
	for _, r := range s {
		ms = append(ms, typedKey(r))
	}
	return ms
}

// run feeds messages, each a Msg or a slice of them, and returns the actions that
// were asked for.
func run(m Model, msgs ...any) (Model, []Action) {
	var actions []Action
	send := func(msg Msg) {
		var a Action
		if m, a = m.Update(msg); a != nil {
			actions = append(actions, a)
		}
	}
	for _, x := range msgs {
		switch x := x.(type) {
		case Msg:
			send(x)
		case []Msg:
			for _, msg := range x {
				send(msg)
			}
		default:
			panic(fmt.Sprintf("%T is not a message", x))
		}
	}
	return m, actions
}

func TestLongVersionIsCutOnlyForLackOfRoom(t *testing.T) {
	const long = "6.12.117+deb12-cloud-amd64-with-more"
	for _, tt := range []struct {
		title string
		whole bool
	}{
		{title: "Linux lts", whole: true},
		{title: "A title that takes nearly all of the eighty columns there are", whole: false},
	} {
		m := New(Config{})
		m, _ = m.Update(InventoryMsg{Inventory: boot.Inventory{Entries: []boot.Entry{{ID: "a", Title: tt.title, Version: long, Kernel: "k"}}}})
		s := m.View(Size{80, 24}, ASCII).String()
		if got := strings.Contains(s, long); got != tt.whole {
			t.Errorf("%q: the whole version is shown: %v, want %v\n%s", tt.title, got, tt.whole, s)
		}
	}
}
