package reboot

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/device/mountinfo"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/version"
)

func TestPick(t *testing.T) {
	lts := boot.Entry{ID: "lts", Title: "lts", Version: "6.12.1-0-lts", Kernel: "boot/vmlinuz-lts"}
	virt := boot.Entry{ID: "virt", Title: "virt", Kernel: "boot/vmlinuz-virt"} // an image that does not tell its version
	def := boot.Entry{ID: "def", Title: "def", Default: true, Kernel: "boot/vmlinuz-edge"}
	broken := boot.Entry{ID: "broken", Title: "broken", Version: "6.12.1-0-virt", Problem: "Its kernel is missing."}
	guess := boot.Entry{ID: "guess", Title: "guess", Version: "6.12.1-0-virt", Guessed: true}
	stick := boot.Entry{ID: "stick", Title: "stick", Version: "6.12.1-0-virt", Default: true, Removable: true}
	twin := boot.Entry{ID: "twin", Title: "twin", Suspect: "2 volumes have the UUID u1."}
	tests := []struct {
		name    string
		entries []boot.Entry
		want    string
		wants   choice.Wants
		id      string // "" for an error
	}{
		{name: "the running flavour", entries: []boot.Entry{lts, virt}, id: "virt"},
		{name: "the default", entries: []boot.Entry{lts, virt, def}, id: "def"},
		{name: "what the menu remembers", entries: []boot.Entry{lts, virt, def}, wants: choice.Wants{State: remember.State{Default: "lts"}}, id: "lts"},
		{name: "what the menu's settings say", entries: []boot.Entry{lts, virt, def}, wants: choice.Wants{Default: "lts", State: remember.State{Default: "virt"}}, id: "lts"},
		{name: "not what never came up", entries: []boot.Entry{lts, virt, def}, wants: choice.Wants{Confirm: 1, State: remember.State{Tries: []remember.Try{{ID: "def"}}}}, id: "lts"},
		{name: "unless nothing ever came up", entries: []boot.Entry{def}, wants: choice.Wants{Confirm: 1, State: remember.State{Tries: []remember.Try{{ID: "def"}}}}, id: "def"},
		{name: "what was booted last", entries: []boot.Entry{lts, virt}, wants: choice.Wants{State: remember.State{Last: "lts"}}, id: "lts"},
		{name: "none of the running flavour", entries: []boot.Entry{lts}, id: "lts"},
		{name: "not a broken one", entries: []boot.Entry{lts, broken}, id: "lts"},
		{name: "not a guess", entries: []boot.Entry{lts, guess}, id: "lts"},
		{name: "an entry by name", entries: []boot.Entry{lts, virt, def}, want: "lts", id: "lts"},
		{name: "an entry that cannot be booted", entries: []boot.Entry{lts, broken}, want: "broken"},
		{name: "not from a stick", entries: []boot.Entry{stick, lts}, id: "lts"},
		{name: "from a stick by name", entries: []boot.Entry{stick, lts}, want: "stick", id: "stick"},
		{name: "not what may start another system", entries: []boot.Entry{twin}},
		{name: "nothing", entries: []boot.Entry{broken}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := pick(boot.Inventory{Entries: tt.entries, Settled: true}, tt.want, tt.wants, "6.12.3-0-virt")
			if e.ID != tt.id || (err != nil) != (tt.id == "") {
				t.Errorf("got %q, %v", e.ID, err)
			}
		})
	}
}

func TestFlavour(t *testing.T) {
	for release, want := range map[string]string{
		"6.12.1-0-lts": "lts", "6.18.32-0-virt": "virt", "6.1.0-56-cloud-amd64": "cloud-amd64",
		"6.12.117-alpboot": "alpboot", "6.6.0-rc1-0-edge": "edge", "5.10.0": "5.10.0", "": "",
	} {
		if got := version.Flavour(release); got != want {
			t.Errorf("%q: got %q, want %q", release, got, want)
		}
	}
}

// mountinfoText is of a real machine, with an image on a disk, a bind mount, a
// space in a path, and filesystems that are on no disk.
const mountinfoText = `21 1 8:3 / / rw,noatime shared:1 - ext4 /dev/sda3 rw,errors=remount-ro
22 21 0:5 / /dev rw,nosuid - devtmpfs devtmpfs rw,size=1k
23 21 8:1 / /boot rw,nosuid,nodev - ext4 /dev/sda1 rw
24 21 8:2 / /boot/efi ro - vfat /dev/sda2 ro
25 21 7:0 / /mnt/an\040image rw - ext4 /dev/loop0 rw
26 21 8:3 /srv /export rw - ext4 /dev/sda3 rw
27 21 0:40 / /home rw - nfs4 server:/home rw,vers=4.2
28 21 0:31 /@ /media/btrfs rw,relatime - btrfs /dev/sdb1 rw,subvolid=256,subvol=/@
`

func TestToSettle(t *testing.T) {
	mounts := mountinfo.Parse(mountinfoText)
	var settled []string
	for _, m := range toSettle(mounts) {
		settled = append(settled, m.Point)
	}
	// Later ones first, each filesystem once, nothing that is read-only already.
	if want := []string{"/media/btrfs", "/export", "/mnt/an image", "/boot"}; !slices.Equal(settled, want) {
		t.Errorf("to be made read-only: %q, want %q", settled, want)
	}
	if got := flags(mounts[2]); got != unix.MS_NOSUID|unix.MS_NODEV {
		t.Errorf("flags %#x", got)
	}
}

func TestChangesAreReadBack(t *testing.T) {
	for _, c := range []change{
		{kind: "file", name: "/etc/x", sum: "0123", saved: true},
		{kind: "started", name: "kexec-load"},
		{kind: "link", name: "/etc/runlevels/default/x"},
		{kind: "insert", name: "/etc/inittab", text: "\n::reboot:/sbin/openrc reboot"},
	} {
		if got, err := parseChange(c.String()); err != nil || got != c {
			t.Errorf("%q was read as %+v (%v)", c.String(), got, err)
		}
	}
	for _, line := range []string{"", "file /x 12 maybe", "insert /x text", `insert /x ""`, "run /x"} {
		if c, err := parseChange(line); err == nil {
			t.Errorf("%q was read as %+v", line, c)
		}
	}
}

// Whatever an inittab looks like, the reboot action is in effect once it was
// added, and taken out again leaves every byte as it was.
func FuzzInittab(f *testing.F) {
	for _, text := range []string{
		"", "::sysinit:x\n::shutdown:y\n\n", "::sysinit:x\n::shutdown:y", "::sysinit:x\n", "#" + rebootLine + "\n::shutdown:y\n::ctrlaltdel:z\n",
		"::shutdown:x\n" + rebootLine + "x\n", "x\n#" + rebootLine, "\n\n", "::shutdown:x\r\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if hasAction(text, "reboot") {
			return
		}
		added, insert := addReboot(text)
		if !hasAction(added, "reboot") {
			t.Errorf("%q has no reboot action", added)
		}
		if back, ok := cut(added, insert); !ok || back != text {
			t.Errorf("%q became %q and %q", text, added, back)
		}
	})
}

// The journal may have been damaged: a line is understood as it was written, or
// refused.
func FuzzParseChange(f *testing.F) {
	f.Add("file /etc/x 0123 true")
	f.Add("link /etc/runlevels/default/x")
	f.Add(`insert /etc/inittab "\n::reboot:/sbin/openrc reboot"`)
	f.Fuzz(func(t *testing.T, line string) {
		c, err := parseChange(line)
		if err != nil {
			return
		}
		if again, err := parseChange(c.String()); err != nil || again != c {
			t.Errorf("%q is %+v, and written again %+v (%v)", line, c, again, err)
		}
	})
}

// What a shell finds wrong in the services would show only at a start or a shutdown.
func TestServicesAreShell(t *testing.T) {
	list, err := fs.Glob(files, "openrc/*")
	if err != nil || len(list) < 8 {
		t.Fatal(list, err)
	}
	for _, name := range list {
		b, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), filepath.Base(name))
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("/bin/sh", "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
