package qemutests

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/target/report"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// Command lines of the system that is built in and of the one on the stick. They
// name no UUID: what a copy has besides is another test's concern.
const (
	optionsInside = targetOptions + " root=/dev/vda1 from=inside"
	optionsStick  = targetOptions + " root=/dev/sda1 from=stick"
)

// unattended is a countdown that nobody stops, short but seen.
const unattended = "alpboot.timeout=3"

// pluggedIn is a set-up in which a stick beside an installed system once decided
// what was booted.
type pluggedIn struct {
	name       string
	again      bool // it has another one's meaning, but for a detail
	uefi       bool
	defaultTo  string // systemd-boot's LoaderEntryDefault
	parameters string
	bus        vm.Bus // of the disk that is built in
	inside     disk.Layout
	stick      disk.Layout
}

// one is a disk with one partition.
func one(table disk.Table, size int, fs disk.FS) disk.Layout {
	return disk.Layout{Table: table, Partitions: []disk.Partition{{Size: size, FS: fs}}}
}

// idOf returns the ID of an entry: what somebody has written into the setting
// default when only the disk was there.
func idOf(slug, uuid, format, source, title, kernel string) string {
	h := sha256.Sum256([]byte(strings.Join([]string{uuid, format, source, title, kernel}, "\x00")))
	return slug + "-" + hex.EncodeToString(h[:4])
}

// pluggedInSetups are set-ups with the system s on both disks.
func pluggedInSetups(t *testing.T, s system) []pluggedIn {
	t.Helper()
	const uuid, other = "00000000-1111-4222-8333-000000000021", "00000000-1111-4222-8333-000000000022"
	ext4 := func(id string, files []disk.File, in ...disk.Volume) disk.FS {
		return disk.FS{Type: "ext4", UUID: id, Files: files, In: in}
	}
	conf := func(title, options string) []disk.File {
		return s.in("", disk.File{Path: "extlinux.conf", Data: extlinux(title, options)})
	}
	configured := func(title string) disk.Layout { return one(disk.MBR, 84, ext4(other, conf(title, optionsStick))) }
	onStick := idOf("on-the-stick", other, "extlinux", "extlinux.conf", "On the stick", "vmlinuz-lts")
	bls := func(id, title, options string) disk.FS {
		return disk.FS{Type: "vfat", UUID: id, Files: s.in("", disk.File{Path: "loader/entries/alpine.conf",
			Data: fmt.Appendf(nil, "title %s\nlinux /vmlinuz-lts\ninitrd /intel-ucode.img\ninitrd /initramfs-lts\noptions %s\n", title, options)})}
	}
	image := func(options string) []byte {
		return ukitest.Image(
			ukitest.Section{Name: ".osrel", Data: []byte("PRETTY_NAME=\"Image inside\"\nID=alpine\n")},
			ukitest.Section{Name: ".cmdline", Data: []byte(options)},
			ukitest.Section{Name: ".ucode", Data: s.first},
			ukitest.Section{Name: ".initrd", Data: s.main},
			ukitest.Section{Name: ".linux", Data: s.kernel})
	}
	env := "# GRUB Environment Block\nnext_entry=stick\nsaved_entry=stick\n"
	env += strings.Repeat("#", 1024-len(env))
	entry := func(title, id string) string {
		return fmt.Sprintf("menuentry %q --id %s {\nlinux /vmlinuz-lts %s\ninitrd /intel-ucode.img /initramfs-lts\n}\n", title, id, optionsStick)
	}
	return []pluggedIn{
		{
			// Its default outranked an entry that is no default, and so did one by which its
			// configuration starts the kernel inside.
			name: "BLS inside, and a GRUB that names it", bus: vm.Virtio,
			inside: one(disk.GPT, 84, bls("0000AB21", "Entry inside", optionsInside)),
			stick: one(disk.MBR, 84, ext4(other, append(conf("On the stick", optionsStick), disk.File{Path: "grub/grub.cfg", Data: []byte(
				"search --no-floppy --fs-uuid --set=root 0000-AB21\nset timeout=1\nset default=0\n" + entry("Inside, by the stick", "stick"))}))),
		}, {
			// What it asked for once came before the setting default, and so did a title
			// that is the number there.
			name: "UKI inside, GRUB's next_entry", uefi: true, bus: vm.NVMe, parameters: "alpboot.default=1",
			inside: disk.Layout{Table: disk.GPT, Partitions: []disk.Partition{{Size: 84, Type: "U", Name: "EFI", FS: disk.FS{Type: "vfat", UUID: "0000AB22",
				Files: []disk.File{{Path: "EFI/Linux/alpine.efi", Data: image(optionsInside)}}}}}},
			stick: one(disk.MBR, 84, ext4(other, s.in("", disk.File{Path: "grub/grubenv", Data: []byte(env)}, disk.File{Path: "grub/grub.cfg", Data: []byte(
				"load_env\nset timeout=1\nif [ \"$next_entry\" ]; then\nset default=\"$next_entry\"\nset next_entry=\nsave_env next_entry\nelse\nset default=\"$saved_entry\"\nfi\n" +
					entry("Other", "other") + entry("1", "stick"))}))),
		}, {
			// Its configuration outranked a system that is only guessed.
			name: "guessed inside", bus: vm.SATA,
			inside: one(disk.MBR, 84, ext4(uuid, s.in("boot/",
				disk.File{Path: "etc/update-extlinux.conf", Data: []byte("root=/dev/vda1\ndefault_kernel_opts=\"from=inside\"\nmodules=ext4\n")},
				disk.File{Path: "etc/fstab", Data: []byte("/dev/vda1\t/\text4\trw,relatime\t0 1\n")},
				disk.File{Path: "etc/os-release", Data: []byte("ID=alpine\nPRETTY_NAME=\"Guessed inside\"\n")}))),
			stick: configured("On the stick"),
		}, {
			// Its member of the array has the higher count, and another system on it the title
			// that is the default.
			name: "array, and its title", bus: vm.Virtio, parameters: "alpboot.default=Array",
			inside: one(disk.MBR, 84, ext4(uuid, conf("array", optionsInside), disk.RAID1("1.2", 1))),
			stick: disk.Layout{Table: disk.MBR, Partitions: []disk.Partition{
				{Size: 84, FS: ext4(uuid, conf("array", optionsStick), disk.RAID1("1.2", 0, 90))},
				{Size: 84, FS: ext4(other, conf("Array", optionsStick))},
			}},
		}, {
			// Its copy of the physical volume has newer metadata.
			name: "volume group", again: true, bus: vm.SATA,
			inside: one(disk.GPT, 84, ext4(uuid, conf("Group", optionsInside), disk.LVM("vg0", "lv_root"))),
			stick:  one(disk.GPT, 84, ext4(uuid, conf("Group", optionsStick), disk.LVM("vg0", "lv_root", 9))),
		}, {
			// It has the UUID of the disk, and with it the ID of its entry.
			name: "copy", uefi: true, bus: vm.Virtio, parameters: "alpboot.default=" + idOf("system", uuid, "extlinux", "extlinux.conf", "System", "vmlinuz-lts"),
			inside: one(disk.MBR, 84, ext4(uuid, conf("System", optionsInside))),
			stick:  one(disk.MBR, 84, ext4(uuid, conf("System", optionsStick))),
		}, {
			// Both have a default, and its device comes first; it was booted last, and is what
			// somebody has made the default.
			name: "booted last and remembered", bus: vm.SATA, parameters: "alpboot.remember-last alpboot.remember=UUID=" + uuid + ":/alpboot.state",
			inside: one(disk.MBR, 84, ext4(uuid, append(conf("Inside", optionsInside), remembered(t, "alpboot.state", remember.State{Default: onStick, Last: onStick})...))),
			stick:  configured("On the stick"),
		}, {
			// A file of its has the name that systemd-boot's variable has.
			name: "name of a file", again: true, uefi: true, bus: vm.SATA, defaultTo: "alpine.conf",
			inside: one(disk.GPT, 84, bls("0000AB25", "Entry inside", optionsInside)),
			stick:  one(disk.GPT, 84, bls("0000AB26", "On the stick", optionsStick)),
		},
	}
}

// remembered returns the two files in which the menu remembers, with a state.
func remembered(t *testing.T, name string, s remember.State) (files []disk.File) {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	store := remember.File{Path: name, FS: root.FS(), Write: func(do func(*os.Root) error) error { return do(root) }}
	if err := errors.Join(remember.Prepare(root, name), store.Save(s)); err != nil {
		t.Fatal(err)
	}
	for _, half := range []string{name + ".0", name + ".1"} {
		files = append(files, disk.File{Path: half, From: filepath.Join(root.Name(), half)})
	}
	return files
}

// wholeSystem is a system that can be booted, and its kernel.
func wholeSystem(t *testing.T) (system, debian.Kernel) {
	t.Helper()
	lts := kernelOf(t, debian.Newer)
	image, err := os.ReadFile(lts.Image)
	if err != nil {
		t.Fatal(err)
	}
	first, err := target.Initramfs(target.Image{Files: map[string]string{"first": "yes"}})
	if err != nil {
		t.Fatal(err)
	}
	return system{kernel: image, main: initramfs(t, target.Gzip, map[string]string{"main": "yes"}), first: first}, lts
}

// drive makes the image of a disk.
func drive(t *testing.T, name string, l disk.Layout, bus vm.Bus) vm.Drive {
	t.Helper()
	return vm.Drive{File: writeAs(t, name, l), Bus: bus}
}

// reportsFrom waits for a target and checks which one it is.
func (m machine) reportsFrom(kernel debian.Kernel, from string) {
	m.t.Helper()
	m.Await(menuLimit+targetLimit, vm.InLog(report.LastLine))
	m.AwaitEnd(time.Minute)
	r, err := report.Parse(m.Serial(0).Log())
	if err != nil {
		m.t.Fatal(err)
	}
	if r.Release != kernel.Release || !strings.Contains(r.Cmdline, from) {
		m.t.Errorf("%s was booted with %q, want %s with %s", r.Release, r.Cmdline, kernel.Release, from)
	}
}

// A stick beside an installed system does not decide what boots when nobody types,
// whatever is on it.
func TestStickDoesNotDecide(t *testing.T) {
	needOwnKernel(t, "Debian's kernel for virtual machines has no USB")
	t.Parallel()
	s, lts := wholeSystem(t)
	for _, set := range pluggedInSetups(t, s) {
		t.Run(set.name, func(t *testing.T) {
			t.Parallel()
			if set.again {
				needEverything(t)
			}
			flash := func(*vm.Options) {}
			if set.uefi {
				needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
				of := vm.Flash{Code: ovmf + "OVMF_CODE_4M.fd", Vars: vars(t, ovmf+"OVMF_VARS_4M.fd")}
				flash = func(o *vm.Options) { o.Flash = of }
			}
			if set.defaultTo != "" {
				t.Run("first start", func(t *testing.T) {
					m := startWith(t, "alpboot.timeout=-1", flash)
					m.text(menuLimit, "s shell")
					m.shell()
					value := strings.Join(strings.Split(set.defaultTo, ""), `\000`)
					m.run(fmt.Sprintf(`printf '\007\000\000\000%s\000\000\000' >/sys/firmware/efi/efivars/LoaderEntryDefault-%s && echo written$((6 * 7))`, value, efivar.Loader), "written42")
				})
			}
			m := startWith(t, unattended+" "+set.parameters, flash, drive(t, "stick.img", set.stick, vm.USB), drive(t, "inside.img", set.inside, set.bus))
			m.reportsFrom(lts, "from=inside")
		})
	}
}

// While a disk that is built in does not answer, a stick is not booted in its
// place, and the screen says so; when it answers, it is.
func TestStickBesideASlowDisk(t *testing.T) {
	needOwnKernel(t, "Debian's kernel for virtual machines has no USB")
	t.Parallel()
	s, lts := wholeSystem(t)
	set := pluggedInSetups(t, s)[0]
	inside := drive(t, "inside.img", set.inside, vm.Virtio)
	m := startWith(t, unattended+" alpboot.device-limit=2", func(o *vm.Options) {
		// So many reads at once, with which the kernel finds its partitions, and then one in
		// a second.
		o.Extra = []string{"-drive", "if=none,id=slow,format=raw,snapshot=on,throttling.iops-total=1,throttling.iops-total-max=16,file=" + inside.File, "-device", "virtio-blk-pci,drive=slow"}
	}, drive(t, "stick.img", set.stick, vm.USB))
	m.Await(menuLimit, vm.ScreenIs("why it is to restart", func(s vm.Screen) bool { return rowOf(s, "Restarting in ", " has not answered") >= 0 }))
	m.row(drawLimit, "On the stick")
	if err := m.QMP("block_set_io_throttle", map[string]any{"device": "slow", "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0}, nil); err != nil {
		t.Fatal(err)
	}
	m.reportsFrom(lts, "from=inside")
}

// An entry whose command line names a UUID that two disks have is not booted by
// itself, and the screen says why; by hand it is.
func TestCopyIsNotBootedByItself(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	s, lts := wholeSystem(t)
	const uuid = "00000000-1111-4222-8333-000000000023"
	layout := one(disk.MBR, 84, disk.FS{Type: "ext4", UUID: uuid, Files: s.in("", disk.File{Path: "extlinux.conf", Data: extlinux("System", optionsInside+" root=UUID="+uuid)})})
	a := drive(t, "disk.img", layout, vm.Virtio)
	m := startWith(t, unattended, func(*vm.Options) {}, a, a)
	m.text(menuLimit, "System is not booted by itself: 2 volumes have the UUID")
	m.selected("System")
	m.Type(vm.Enter)
	m.reportsFrom(lts, "from=inside")
}

// The stick from which firmware started the menu counts as built in: the system on
// it is booted by itself beside one that is only guessed.
func TestOwnStickIsBuiltIn(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	needOwnKernel(t, "Debian's kernel for virtual machines has no USB")
	t.Parallel()
	s, lts := wholeSystem(t)
	uki := makePayload(t, "own.efi", "uki", "--cmdline", targetOptions+" "+unattended)
	stick := disk.Layout{Table: disk.GPT, Partitions: []disk.Partition{
		{Size: 34, Type: "U", FS: disk.FS{Type: "vfat", UUID: "0000AB23", Files: []disk.File{{Path: "EFI/BOOT/BOOTX64.EFI", From: uki}}}},
		{Size: 84, FS: disk.FS{Type: "ext4", UUID: "00000000-1111-4222-8333-000000000024", Files: s.in("", disk.File{Path: "extlinux.conf", Data: extlinux("On the stick", optionsStick)})}},
	}}
	m := startPayload(t, vm.Options{
		Flash:  vm.Flash{Code: ovmf + "OVMF_CODE_4M.fd", Vars: vars(t, ovmf+"OVMF_VARS_4M.fd")},
		Drives: []vm.Drive{drive(t, "stick.img", stick, vm.USB), drive(t, "inside.img", pluggedInSetups(t, s)[2].inside, vm.SATA)},
	})
	m.reportsFrom(lts, "from=stick")
}
