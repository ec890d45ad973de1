package doctor_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/u-root/mkuimage/cpio"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/doctor"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/format/all"
	"github.com/alpboot/alpboot/boot/manifest"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/signature"
	"github.com/alpboot/alpboot/boot/signature/signaturetest"
)

const (
	lts, virt = "6.12.1-0-lts", "6.12.9-0-virt"
	rootUUID  = "11111111-2222-3333-4444-555555555555"
	espUUID   = "33221100-5544-7766-8899-aabbccddeeff"
)

// machine is a UEFI machine that runs Alpine from a virtio disk: /dev/vda1 is its ESP,
// /dev/vda2 its root filesystem with /boot.
type machine struct {
	t         *testing.T
	root, esp fstest.MapFS
	vars      *boottest.Variables
	settings  settings.Settings
	state     remember.State
	nowhere   string
	free      map[string]int64
	devices   []doctor.Device
	bios      bool
	noESP     bool // it is not mounted
	epoch     uint64
}

// verify has the image of the menu ask for signatures by a key, and signs what is there.
func (m *machine) verify(how string, key signaturetest.Key) {
	m.t.Helper()
	m.esp["EFI/alpboot/alpboot.efi"] = boottest.File(string(uki(m.t, cpio.StaticFile("etc/alpboot.conf", "verify = "+how+"\n", 0o644),
		cpio.StaticFile("etc/alpboot/keys/owner.pub", key.Public(), 0o644)).Bytes()))
	list := &manifest.Manifest{Epoch: 3}
	for _, flavour := range []string{"lts", "virt"} {
		for _, name := range []string{"vmlinuz-" + flavour, "initramfs-" + flavour} {
			b := m.root["boot/"+name].Data
			list.Files = append(list.Files, manifest.File{Path: name, Size: int64(len(b)), SHA256: sha256.Sum256(b)})
		}
		list.Entries = append(list.Entries, manifest.Entry{Kernel: "vmlinuz-" + flavour, Initrds: []string{"initramfs-" + flavour}, Cmdline: "root=UUID=" + rootUUID + " rootfstype=ext4"})
	}
	m.root["boot/"+manifest.Name] = boottest.File(string(list.Bytes()))
	m.root["boot/"+manifest.Name+signature.Minisig] = boottest.File(key.Sign(list.Bytes()))
}

// initramfs makes one with the modules of a release, but for some.
func initramfs(t *testing.T, release string, without ...string) []byte {
	var records []cpio.Record
	for _, m := range []string{"virtio/virtio", "virtio/virtio_ring", "block/virtio_blk", "fs/ext4/ext4", "fs/jbd2/jbd2"} {
		if !slices.Contains(without, m[strings.LastIndex(m, "/")+1:]) {
			records = append(records, cpio.StaticFile("lib/modules/"+release+"/kernel/"+m+".ko.gz", "module", 0o644))
		}
	}
	return payloadtest.Compressed(t, ".gz", payloadtest.Archive(t, append(records, cpio.StaticFile("init", strings.Repeat("#!/bin/sh\n", 500), 0o755))...))
}

// uki makes alpboot's image, with files in its initramfs.
func uki(t *testing.T, files ...cpio.Record) *efi.Program {
	t.Helper()
	p, err := efi.Parse(payloadtest.EFIProgram(nil, payloadtest.MachineAMD64, ""))
	if err == nil {
		p, err = p.Append(
			efi.Section{Name: ".osrel", Data: []byte("ID=alpboot\nPRETTY_NAME=\"alpboot 1.0\"\n")}, efi.Section{Name: ".cmdline", Data: []byte("quiet")},
			efi.Section{Name: ".initrd", Data: payloadtest.Compressed(t, ".gz", payloadtest.Archive(t, append(files, cpio.StaticFile("init", "x", 0o755))...))},
			efi.Section{Name: ".linux", Data: payloadtest.EFIProgram(payloadtest.BzImage("6.12.1-alpboot"), payloadtest.MachineAMD64, "")})
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const dep = `kernel/virtio/virtio.ko.gz:
kernel/virtio/virtio_ring.ko.gz: kernel/virtio/virtio.ko.gz
kernel/block/virtio_blk.ko.gz: kernel/virtio/virtio_ring.ko.gz kernel/virtio/virtio.ko.gz
kernel/fs/jbd2/jbd2.ko.gz:
kernel/fs/ext4/ext4.ko.gz: kernel/fs/jbd2/jbd2.ko.gz
`

func extlinux(root string) string {
	text := "DEFAULT menu.c32\n"
	for _, flavour := range []string{"lts", "virt"} {
		text += fmt.Sprintf("LABEL %[1]s\n  MENU LABEL Linux %[1]s\n  LINUX vmlinuz-%[1]s\n  INITRD initramfs-%[1]s\n  APPEND %[2]s rootfstype=ext4\n", flavour, root)
		if flavour == "lts" {
			text += "  MENU DEFAULT\n"
		}
	}
	return text
}

// newMachine returns a machine that is well.
func newMachine(t *testing.T) *machine {
	m := &machine{t: t, root: fstest.MapFS{}, esp: fstest.MapFS{}, settings: settings.Default(), free: map[string]int64{"/dev/vda1": 1 << 30, "/dev/vda2": 1 << 30}}
	for name, text := range map[string]string{
		"proc/cmdline": "root=UUID=" + rootUUID + " quiet\n", "etc/apk/world": "", "etc/mkinitfs/mkinitfs.conf": "", "etc/os-release": "ID=alpine\n",
		"etc/fstab":         "UUID=" + rootUUID + " / ext4 rw 0 1\nUUID=AAAA-BBBB /boot/efi vfat rw 0 2\n/dev/cdrom /media/cdrom iso9660 noauto 0 0\ntmpfs /tmp tmpfs nosuid 0 0\nUUID=9 /backup ext4 nofail 0 0\n",
		"boot/vmlinuz-lts":  string(payloadtest.EFIProgram(payloadtest.BzImage(lts), payloadtest.MachineAMD64, "")),
		"boot/vmlinuz-virt": string(payloadtest.EFIProgram(payloadtest.BzImage(virt), payloadtest.MachineAMD64, "")), "boot/extlinux.conf": extlinux("root=UUID=" + rootUUID),
		"boot/initramfs-lts": string(initramfs(t, lts)), "boot/initramfs-virt": string(initramfs(t, virt)),
		"sbin/kexec-reboot": "", "proc/modules": "virtio_blk 1 2 - Live 0x0\next4 1 2 - Live 0x0\n", "sys/class/watchdog/watchdog0/identity": "iTCO_wdt\n",
	} {
		m.root[name] = boottest.File(text)
	}
	for _, release := range []string{lts, virt} {
		m.root["lib/modules/"+release+"/modules.dep"] = boottest.File(dep)
		m.root["lib/modules/"+release+"/modules.builtin"] = boottest.File("kernel/drivers/virtio/virtio_pci.ko\n")
	}
	const disk = "sys/devices/pci0000:00/0000:00:04.0/virtio1"
	for link, to := range map[string]string{
		"sys/class/block/vda1": "../../devices/pci0000:00/0000:00:04.0/virtio1/block/vda/vda1",
		"sys/class/block/vda2": "../../devices/pci0000:00/0000:00:04.0/virtio1/block/vda/vda2",
		disk + "/driver":       "../../../../bus/virtio/drivers/virtio_blk", "sys/bus/virtio/drivers/virtio_blk/module": "../../../../module/virtio_blk",
		"sys/devices/pci0000:00/0000:00:04.0/driver": "../../../bus/pci/drivers/virtio-pci", "sys/bus/pci/drivers/virtio-pci/module": "../../../../module/virtio_pci",
	} {
		m.root[link] = boottest.Link(to)
	}
	m.root[disk+"/block/vda/vda2/size"] = boottest.File("1\n")
	m.services("kexec-load", "kexec-exec", "alpboot-keep", "alpboot-watchdog", "alpboot-health")
	m.esp["EFI/alpboot/alpboot.efi"] = boottest.File(string(uki(t).Bytes()))
	m.esp["EFI/Microsoft/Boot/bootmgfw.efi"] = boottest.File("MZ")
	m.vars = &boottest.Variables{Values: map[string]string{}}
	m.option(1, "alpboot", `\EFI\alpboot\alpboot.efi`)
	m.option(2, "Windows Boot Manager", `\EFI\Microsoft\Boot\bootmgfw.efi`)
	m.order(1, 2)
	m.devices = []doctor.Device{
		{Name: "vda", Path: "/dev/vda"}, {Name: "vda1", Path: "/dev/vda1", UUID: "AAAA-BBBB", Type: "vfat", PartUUID: espUUID},
		{Name: "vda2", Path: "/dev/vda2", UUID: rootUUID, Label: "root", Type: "ext4", PartUUID: "p2"},
	}
	return m
}

func (m *machine) services(names ...string) {
	for _, name := range names {
		m.root["etc/init.d/"+name] = boottest.File("")
		m.root["etc/runlevels/default/"+name] = boottest.Link("/etc/init.d/" + name)
	}
}

func (m *machine) option(number uint16, title, file string) {
	sig := [16]byte{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	o := efivar.LoadOption{Attributes: efivar.Active, Description: title, File: file, Partition: efivar.Partition{Number: 1, Signature: sig, GPT: true}}
	m.vars.Values[efivar.OptionName(number)] = string(o.Bytes())
}

func (m *machine) order(numbers ...uint16) {
	m.vars.Values["BootOrder"] = string(efivar.AppendNumbers(nil, numbers))
}

// The machine as discovery sees it.

func (m *machine) Devices() ([]device.Block, []error) {
	list := []device.Block{
		{Name: "vda1", Path: "/dev/vda1", Disk: "/dev/vda", Partition: 1, PartUUID: espUUID},
		{Name: "vda2", Path: "/dev/vda2", Disk: "/dev/vda", Partition: 2, PartUUID: "p2"},
	}
	if m.noESP {
		list = list[1:]
	}
	return list, nil
}

func (m *machine) Probe(node string) (superblock.Superblock, error) {
	if node == "/dev/vda1" {
		return superblock.Superblock{Type: "vfat", UUID: "AAAA-BBBB"}, nil
	}
	return superblock.Superblock{Type: "ext4", UUID: rootUUID}, nil
}

type volume struct{ fstest.MapFS }

func (volume) Close() error { return nil }

func (m *machine) Mount(_ context.Context, node string, _ superblock.Superblock) (discover.Filesystem, error) {
	if node == "/dev/vda1" {
		return volume{m.esp}, nil
	}
	return volume{m.root}, nil
}

func (m *machine) examine() (r doctor.Report) {
	m.gather(func(in doctor.Machine) { r = doctor.Examine(in) })
	return r
}

func (m *machine) gather(do func(doctor.Machine)) {
	scan := (&discover.Scanner{Machine: m, Formats: all.Formats(nil), Limit: time.Minute}).Start(m.t.Context())
	defer scan.Stop()
	inv := scan.Settled()
	in := doctor.Machine{
		Root: m.root, Arch: "amd64", Inventory: inv, Settings: m.settings, Nowhere: m.nowhere, Devices: m.devices, Vars: m.vars,
		Services: []string{"kexec-load", "kexec-exec", "alpboot-keep", "alpboot-watchdog", "alpboot-health"},
		Wants:    choice.Wants{Default: m.settings.Default, State: m.state, Confirm: m.settings.Confirm, Removable: settings.Yes},
		Open:     func(v boot.Volume, name string) (fs.File, error) { return scan.Open(v, name) },
		Free:     func(v boot.Volume) (int64, bool) { free, ok := m.free[v.Device]; return free, ok },
		Epoch:    m.epoch,
	}
	if m.bios {
		in.Vars = nil
	}
	do(in)
}

// change replaces a file of the root volume by what f makes of it; nil removes it.
func (m *machine) change(name string, f func(text string) string) {
	if f == nil {
		delete(m.root, name)
		return
	}
	m.root[name] = boottest.File(f(string(m.root[name].Data)))
}

// without is for a machine that has no other entry.
func (m *machine) onlyLTS() {
	m.change("boot/vmlinuz-virt", nil)
	m.change("boot/extlinux.conf", func(text string) string { return text[:strings.Index(text, "LABEL virt")] })
}

func half(text string) string { return text[:len(text)/2] }

// identity makes a key with its certificate.
func identity(t *testing.T, name string) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(1, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// database returns the value of db with certificates.
func database(certs ...*x509.Certificate) string {
	var b []byte
	for _, c := range certs {
		b = append(b, "\xa1\x59\xc0\xa5\xe4\x94\xa7\x4a\x87\xb5\xab\x15\x5c\x2b\xf0\x72"...)
		for _, n := range []int{28 + 16 + len(c.Raw), 0, 16 + len(c.Raw)} {
			b = binary.LittleEndian.AppendUint32(b, uint32(n))
		}
		b = append(append(b, make([]byte, 16)...), c.Raw...)
	}
	return string(b)
}

// secure switches Secure Boot on, with a key that the firmware trusts, and signs all
// but what is named.
func (m *machine) secure(key *rsa.PrivateKey, by, trusted *x509.Certificate, unsigned ...string) {
	m.t.Helper()
	m.vars.Values["SecureBoot"] = "\x01"
	m.vars.Values["db"] = database(trusted)
	for _, on := range []fstest.MapFS{m.root, m.esp} {
		for _, name := range []string{"boot/vmlinuz-lts", "boot/vmlinuz-virt", "EFI/alpboot/alpboot.efi"} {
			if on[name] == nil || slices.Contains(unsigned, name) {
				continue
			}
			p, err := efi.Parse(on[name].Data)
			if err == nil {
				p, err = p.Sign(key, by)
			}
			if err != nil {
				m.t.Fatal(err)
			}
			on[name] = boottest.File(string(p.Bytes()))
		}
	}
}

// Machines that are well, each in its way: there is no word of complaint.
func TestHealthy(t *testing.T) {
	key, cert := identity(t, "owner")
	for name, change := range map[string]func(m *machine){
		"UEFI": func(*machine) {},
		"BIOS": func(m *machine) { m.bios = true },
		"Secure Boot": func(m *machine) {
			m.secure(key, cert, cert)
		},
		"all settings": func(m *machine) {
			m.settings.Confirm, m.settings.Watchdog = 3, time.Minute
		},
		"drivers that are built in": func(m *machine) {
			for _, release := range []string{lts, virt} {
				m.change("lib/modules/"+release+"/modules.builtin", func(string) string { return "kernel/virtio_pci.ko\nkernel/virtio_blk.ko\nkernel/ext4.ko\n" })
			}
			m.change("boot/initramfs-lts", func(string) string {
				return string(initramfs(t, lts, "virtio_blk", "ext4", "jbd2", "virtio", "virtio_ring"))
			})
		},
		"one entry": func(m *machine) { m.onlyLTS() },
		"signed": func(m *machine) {
			m.verify("enforce", signaturetest.New(1))
			m.epoch = 3
		},
		"nobody asks for signatures": func(m *machine) {
			m.verify("off", signaturetest.New(1))
			m.change("boot/alpboot.manifest", nil)
		},
		"at the path for removable media": func(m *machine) {
			m.esp["EFI/BOOT/BOOTX64.EFI"] = m.esp["EFI/alpboot/alpboot.efi"]
			m.order(2)
		},
		"booted once": func(m *machine) { m.state.Next = "2" },
		"microcode first": func(m *machine) {
			m.change("boot/initramfs-lts", func(text string) string {
				return string(payloadtest.Archive(t, cpio.StaticFile("kernel/x86/microcode/GenuineIntel.bin", "code", 0o644))) + text
			})
		},
		"on trial": func(m *machine) {
			m.option(3, "alpboot (trial)", `\EFI\alpboot\trial.efi`)
			m.order(2)
			m.vars.Values["BootNext"] = string(efivar.AppendNumbers(nil, []uint16{3}))
		},
		"a start on trial": func(m *machine) {
			m.option(3, "alpboot (trial)", `\EFI\alpboot\trial.efi`)
			m.order(2)
			m.vars.Values["BootCurrent"] = string(efivar.AppendNumbers(nil, []uint16{3}))
		},
		"files added to what is packed": func(m *machine) {
			m.change("boot/initramfs-lts", func(text string) string {
				return text + strings.Repeat("\x00", -len(text)&3) + string(payloadtest.Archive(t, cpio.StaticFile("etc/added", "x", 0o644)))
			})
		},
		"packed by lz4, which is not unpacked here": func(m *machine) {
			m.change("boot/initramfs-lts", func(string) string { return "\x02\x21\x4c\x18 all of it" })
		},
		"by label": func(m *machine) {
			m.change("boot/extlinux.conf", func(string) string { return extlinux("root=LABEL=root") })
		},
		"by partition": func(m *machine) {
			m.change("boot/extlinux.conf", func(string) string { return extlinux("root=PARTUUID=p2") })
		},
		"of ZFS, which nothing is known of": func(m *machine) {
			m.change("boot/extlinux.conf", func(string) string {
				return strings.ReplaceAll(extlinux("root=ZFS=pool/root"), " rootfstype=ext4", "")
			})
		},
		"drivers that no module has": func(m *machine) {
			m.change("proc/modules", func(string) string { return "" })
			for _, release := range []string{lts, virt} {
				m.change("lib/modules/"+release+"/modules.dep", func(string) string { return "kernel/x.ko:\n" })
			}
		},
		"btrfs on two disks, and two ways to each": func(m *machine) {
			m.change("boot/extlinux.conf", func(text string) string { return strings.ReplaceAll(text, "rootfstype=ext4", "") })
			for _, release := range []string{lts, virt} {
				m.change("lib/modules/"+release+"/modules.builtin", func(text string) string { return text + "kernel/fs/btrfs.ko\n" })
			}
			m.devices[2].Type = superblock.Btrfs
			m.devices = append(m.devices, doctor.Device{Name: "sda1", Path: "/dev/sda1", UUID: rootUUID, Type: superblock.Btrfs}, doctor.Device{Name: "dm-0", Path: "/dev/mapper/a", UUID: rootUUID, Type: "ext4"})
			m.root["sys/class/block/dm-0/holders/x"] = boottest.File("")
		},
		"a script reports that it is up": func(m *machine) {
			m.settings.Confirm = 3
			delete(m.root, "etc/runlevels/default/alpboot-health")
			m.root["etc/local.d/up.start"] = boottest.File("#!/bin/sh\nalpboot good\n")
		},
		"a boot option of a disk that was removed": func(m *machine) {
			o := efivar.LoadOption{Attributes: efivar.Active, Description: "old", File: `\x.efi`, Partition: efivar.Partition{Number: 1, Signature: [16]byte{9}, GPT: true}}
			m.vars.Values["Boot0003"] = string(o.Bytes())
			m.order(3, 1)
		},
		"what comes over the network": func(m *machine) {
			m.change("etc/fstab", func(text string) string { return text + "UUID=5 /var ext4 _netdev 0 2\n" })
		},
		"an array": func(m *machine) {
			m.devices = append(m.devices, doctor.Device{Name: "sda1", Path: "/dev/sda1", UUID: "M", Type: superblock.RAIDMember}, doctor.Device{Name: "sdb1", Path: "/dev/sdb1", UUID: "M", Type: superblock.RAIDMember})
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			change(m)
			r := m.examine()
			if r.State != doctor.Healthy || len(r.Findings) > 0 || r.Boots != "Linux lts" {
				var b bytes.Buffer
				r.Print(&b)
				t.Errorf("%s boots, %s:\n%s", r.Boots, r.State, b.String())
			}
			var b bytes.Buffer
			if r.Print(&b); !strings.HasSuffix(b.String(), "\nThis machine would come back.\n") || strings.Count(b.String(), "\n") != 2 {
				t.Errorf("it prints\n%s", b.String())
			}
		})
	}
}

// Broken machines, one a row: what is broken is named, with what to do, and nothing
// else is.
func TestBroken(t *testing.T) {
	key, cert := identity(t, "owner")
	_, other := identity(t, "Microsoft")
	for _, tt := range []struct {
		name   string
		change func(m *machine)
		level  string
		check  string
		text   []string
		do     string
		more   bool // there are further findings, which follow from it
	}{
		{"the initramfs lacks the driver of the disk", func(m *machine) {
			m.change("boot/initramfs-lts", func(string) string { return string(initramfs(t, lts, "virtio_blk")) })
		}, doctor.Broken, "initramfs", []string{"Linux lts: its initramfs lacks the module virtio_blk, which drives /dev/vda2, the root filesystem."}, "run mkinitfs " + lts, false},
		{"it lacks what that needs", func(m *machine) {
			m.change("boot/initramfs-lts", func(string) string { return string(initramfs(t, lts, "virtio_ring")) })
		}, doctor.Broken, "initramfs", []string{"lacks the module virtio_ring, which is needed by virtio_blk, which drives /dev/vda2"}, "run mkinitfs " + lts, false},
		{"it lacks the filesystem", func(m *machine) {
			m.change("boot/initramfs-lts", func(string) string { return string(initramfs(t, lts, "ext4")) })
		}, doctor.Broken, "initramfs", []string{"lacks the module ext4, which reads ext4, which /dev/vda2 holds"}, "mkinitfs", false},
		{"no driver at all", func(m *machine) {
			m.change("lib/modules/"+lts+"/modules.dep", func(text string) string { return strings.ReplaceAll(text, "virtio_blk", "other") })
			m.change("boot/initramfs-lts", func(string) string { return string(initramfs(t, lts, "virtio_blk")) })
		}, doctor.Broken, "modules", []string{"Linux " + lts + " has no module virtio_blk"}, "apk fix linux-lts", false},
		{"the initramfs is cut", func(m *machine) { m.change("boot/initramfs-lts", half) },
			doctor.Broken, "initramfs", []string{"/boot/initramfs-lts", "cannot be unpacked"}, "mkinitfs", false},
		{"the archive in it is cut", func(m *machine) {
			m.change("boot/initramfs-lts", func(string) string {
				b := payloadtest.Archive(t, cpio.StaticFile("init", strings.Repeat("x", 1000), 0o755))
				return string(payloadtest.Compressed(t, ".gz", b[:600]))
			})
		}, doctor.Broken, "initramfs", []string{"truncated or damaged after 0 files"}, "mkinitfs", false},
		{"it was made for another kernel", func(m *machine) {
			m.change("boot/initramfs-lts", func(string) string { return string(initramfs(t, "6.12.0-0-lts")) })
		}, doctor.Broken, "initramfs", []string{"it is Linux " + lts + ", and its initramfs has modules of 6.12.0-0-lts"}, "mkinitfs " + lts, false},
		{"half an upgrade", func(m *machine) {
			m.change("lib/modules/"+lts+"/modules.dep", nil)
			m.change("lib/modules/"+lts+"/modules.builtin", nil)
		}, doctor.Broken, "modules", []string{"there is no directory /lib/modules/" + lts}, "apk fix linux-lts", false},
		{"half a kernel, and nothing else", func(m *machine) { m.onlyLTS(); m.change("boot/vmlinuz-lts", half) },
			doctor.Broken, "kernel", []string{"Linux lts cannot be booted", "truncated"}, "apk fix", true},
		{"half a kernel, and another one", func(m *machine) { m.change("boot/vmlinuz-lts", half) },
			doctor.Warning, "kernel", []string{"Linux lts cannot be booted", "truncated"}, "apk fix", false},
		{"a kernel that is gone", func(m *machine) { m.change("boot/vmlinuz-lts", nil) },
			doctor.Warning, "kernel", []string{"Linux lts cannot be booted", "vmlinuz-lts"}, "apk fix", false},
		{"a kernel for another processor", func(m *machine) {
			m.onlyLTS()
			m.change("boot/vmlinuz-lts", func(text string) string {
				return text[:0x236] + "\x02" + text[0x237:] // no 64-bit entry point
			})
		}, doctor.Broken, "kernel", []string{"for 386, and this machine is amd64", "Linux lts cannot be booted"}, "apk fix linux-lts", true},
		{"the root filesystem is another one", func(m *machine) {
			m.change("boot/extlinux.conf", func(string) string { return extlinux("root=UUID=1") })
		}, doctor.Broken, "root", []string{"Linux lts: there is no UUID=1"}, "blkid", true},
		{"no root filesystem is named", func(m *machine) { m.change("boot/extlinux.conf", func(string) string { return extlinux("quiet") }) },
			doctor.Broken, "root", []string{"Linux lts: its command line has no root="}, "configuration of the boot loader", true},
		{"two of one UUID", func(m *machine) {
			m.devices = append(m.devices, doctor.Device{Name: "sda1", Path: "/dev/sda1", UUID: rootUUID, Type: "ext4"})
		}, doctor.Broken, "root", []string{"is /dev/vda2 and /dev/sda1"}, "tune2fs", true},
		{"another type of filesystem", func(m *machine) {
			m.change("boot/extlinux.conf", func(text string) string { return strings.Replace(text, "rootfstype=ext4", "rootfstype=xfs", 1) })
		}, doctor.Broken, "root", []string{"rootfstype=xfs, and /dev/vda2 holds ext4"}, "configuration", false},
		{"fstab names what is gone", func(m *machine) {
			m.change("etc/fstab", func(text string) string { return text + "UUID=5 /var ext4 rw 0 2\n" })
		}, doctor.Broken, "fstab", []string{"/etc/fstab names UUID=5 for /var, which is not there"}, "nofail", false},
		{"on systemd whatever it is", func(m *machine) {
			m.root["run/systemd/system/x"] = boottest.File("")
			m.change("etc/fstab", func(text string) string { return text + "LABEL=data /srv ext4 defaults 0 2\n" })
		}, doctor.Broken, "fstab", []string{"LABEL=data for /srv"}, "nofail", false},
		{"a mount that the start can do without", func(m *machine) {
			m.change("etc/fstab", func(text string) string { return text + "UUID=5 /srv ext4 rw 0 2\n" })
		}, doctor.Warning, "fstab", []string{"UUID=5 for /srv"}, "nofail", false},
		{"the ESP is full", func(m *machine) { m.free["/dev/vda1"] = 1000 },
			doctor.Warning, "room", []string{"/dev/vda1 has 0.0 MB left, and an update of alpboot takes"}, "Remove", false},
		{"/boot is full", func(m *machine) { m.free["/dev/vda2"] = 0 },
			doctor.Warning, "room", []string{"/dev/vda2 has 0.0 MB left, and an update of the kernel takes"}, "Remove", false},
		{"the boot option is gone", func(m *machine) { m.order(2) },
			doctor.Warning, "firmware", []string{`The firmware's boot order has no alpboot: it starts "Windows Boot Manager"`}, "alpboot install", false},
		{"the firmware has nothing to start", func(m *machine) { m.order() },
			doctor.Broken, "firmware", []string{"nothing to start"}, "alpboot install", false},
		{"another one comes first", func(m *machine) { m.order(2, 1) },
			doctor.Warning, "firmware", []string{`starts "Windows Boot Manager" before alpboot`}, "efibootmgr -o", false},
		{"it is switched off", func(m *machine) {
			m.vars.Values["Boot0001"] = "\x00" + m.vars.Values["Boot0001"][1:]
		}, doctor.Warning, "firmware", []string{"switched off"}, "efibootmgr -a -b 0001", false},
		{"alpboot is gone", func(m *machine) { delete(m.esp, "EFI/alpboot/alpboot.efi") },
			doctor.Broken, "firmware", []string{"/EFI/alpboot/alpboot.efi on /dev/vda1 is gone"}, "alpboot install", false},
		{"the disk with alpboot is gone", func(m *machine) { m.devices[1].PartUUID = "another"; m.esp = fstest.MapFS{}; m.noESP = true },
			doctor.Broken, "firmware", []string{`boot option "alpboot" names a partition that is not there`}, "alpboot install", true},
		{"the ESP is not mounted", func(m *machine) { m.noESP = true },
			doctor.Warning, "firmware", []string{"is not mounted, so that it was not checked"}, "Mount it", false},
		{"alpboot is cut", func(m *machine) {
			m.esp["EFI/alpboot/alpboot.efi"] = boottest.File(half(string(m.esp["EFI/alpboot/alpboot.efi"].Data)))
		}, doctor.Broken, "firmware", []string{"/EFI/alpboot/alpboot.efi on /dev/vda1: "}, "alpboot install", true},
		{"alpboot is not signed", func(m *machine) { m.secure(key, cert, cert, "EFI/alpboot/alpboot.efi") },
			doctor.Broken, "secure-boot", []string{"/EFI/alpboot/alpboot.efi on /dev/vda1 is not signed, and Secure Boot is on"}, "mkpayload uki --sign", false},
		{"it is signed by a key that nobody knows", func(m *machine) { m.secure(key, cert, other) },
			doctor.Broken, "secure-boot", []string{`is signed by "CN=owner", which is not in the firmware's db`}, "Sign it", false},
		{"the kernel is not signed", func(m *machine) { m.secure(key, cert, cert, "boot/vmlinuz-lts", "boot/vmlinuz-virt") },
			doctor.Broken, "secure-boot", []string{"Linux lts: /boot/vmlinuz-lts is not signed"}, "sbsign", true},
		{"an initramfs that was made again", func(m *machine) {
			m.verify("enforce", signaturetest.New(1))
			m.change("boot/initramfs-lts", func(string) string { return string(initramfs(t, lts, "ext4", "jbd2")) })
			m.change("lib/modules/"+lts+"/modules.builtin", func(text string) string { return text + "kernel/fs/ext4/ext4.ko\n" })
		}, doctor.Warning, "signed", []string{"Linux lts is not signed as it is (verify = enforce): /boot/initramfs-lts on /dev/vda2 was changed after it was signed. Linux virt is booted in its place."}, "alpboot sign", false},
		{"and nothing else that is signed", func(m *machine) {
			m.verify("enforce", signaturetest.New(1))
			m.change("boot/alpboot.manifest", nil)
		}, doctor.Broken, "signed", []string{"Linux lts is not signed as it is (verify = enforce): /dev/vda2 has no alpboot.manifest for /boot/vmlinuz-lts."}, "alpboot sign", true},
		{"an entry that is not listed", func(m *machine) {
			m.verify("enforce", signaturetest.New(1))
			m.change("boot/extlinux.conf", func(text string) string {
				return text + "LABEL single\n  MENU LABEL Linux single\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND single root=UUID=" + rootUUID + "\n"
			})
		}, doctor.Warning, "signed", []string{"Linux single is not signed as it is (verify = enforce): /boot/alpboot.manifest on /dev/vda2 has another command line for these files."}, "alpboot sign", false},
		{"by a key that the image does not have", func(m *machine) {
			m.verify("warn", signaturetest.New(1))
			list := string(m.root["boot/alpboot.manifest"].Data)
			m.change("boot/alpboot.manifest.minisig", func(string) string { return signaturetest.New(2).Sign([]byte(list)) })
		}, doctor.Warning, "signed", []string{"(verify = warn): the signature .minisig of /boot/alpboot.manifest on /dev/vda2 does not hold: it is by a key that is not among those of this image."}, "public half is in alpboot's image", true},
		{"what was revoked", func(m *machine) {
			m.verify("enforce", signaturetest.New(1))
			m.epoch = 4
		}, doctor.Broken, "signed", []string{"/boot/alpboot.manifest on /dev/vda2 has epoch 3, and the counter of this machine's TPM is at 4"}, "alpboot sign", true},
		{"a key that cannot be used", func(m *machine) {
			m.verify("warn", signaturetest.New(1))
			m.esp["EFI/alpboot/alpboot.efi"] = boottest.File(string(uki(t, cpio.StaticFile("etc/alpboot.conf", "verify = warn\n", 0o644),
				cpio.StaticFile("etc/alpboot/keys/a.pub", signaturetest.New(1).Public(), 0o644), cpio.StaticFile("etc/alpboot/keys/b.pub", "ssh-ed25519 AAAA\n", 0o644)).Bytes()))
		}, doctor.Warning, "signed", []string{"Of alpboot's image: the key b.pub: it is not a key of SSH."}, "Make the image again", false},
		{"nobody feeds the watchdog", func(m *machine) {
			m.settings.Watchdog = time.Minute
			delete(m.root, "etc/runlevels/default/alpboot-watchdog")
		}, doctor.Broken, "watchdog", []string{"watchdog = 60", "nothing here takes it over"}, "kexec-reboot install", false},
		{"there is no watchdog", func(m *machine) {
			m.settings.Watchdog = time.Minute
			delete(m.root, "sys/class/watchdog/watchdog0/identity")
		}, doctor.Warning, "watchdog", []string{"drives none"}, "driver", false},
		{"nobody reports that it is up", func(m *machine) {
			m.settings.Confirm = 3
			delete(m.root, "etc/runlevels/default/alpboot-health")
		}, doctor.Warning, "counters", []string{"no service reports it: after 3 starts"}, "kexec-reboot install", false},
		{"nothing is remembered", func(m *machine) { m.settings.Confirm, m.nowhere = 3, "no EFI variables" },
			doctor.Warning, "counters", []string{"nothing is remembered here: no EFI variables"}, "alpboot remember", false},
		{"the default is none of the entries", func(m *machine) { m.settings.Default = "Linux gone" },
			doctor.Warning, "choice", []string{`The default "Linux gone" is none of the entries`}, "alpboot default", false},
		{"nobody is waited for", func(m *machine) { wait := -time.Second; m.settings.Timeout = &wait },
			doctor.Broken, "settings", []string{"timeout = -1"}, "timeout", false},
		{"nor by its own configuration", func(m *machine) {
			m.change("boot/extlinux.conf", func(text string) string { return "PROMPT 1\nTIMEOUT 0\n" + text })
		}, doctor.Broken, "settings", []string{"as the configuration of Linux lts asks for"}, "timeout", false},
		{"a slip in the settings", func(m *machine) { m.settings.Notes = []string{"x:1: tiemout is not a setting of alpboot."} },
			doctor.Warning, "settings", []string{"tiemout"}, "alpboot.conf", false},
		{"a service without its script", func(m *machine) { delete(m.root, "etc/init.d/kexec-exec") },
			doctor.Warning, "services", []string{"/etc/init.d/kexec-exec is not there"}, "kexec-reboot install", false},
		{"services without their program", func(m *machine) { delete(m.root, "sbin/kexec-reboot") },
			doctor.Warning, "services", []string{"call kexec-reboot, which is not there"}, "link", false},
		{"nothing at all", func(m *machine) {
			for _, name := range []string{"boot/extlinux.conf", "boot/vmlinuz-lts", "boot/vmlinuz-virt"} {
				m.change(name, nil)
			}
		}, doctor.Broken, "choice", []string{"Nothing is booted unattended: Nothing was found"}, "Mount", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			tt.change(m)
			r := m.examine()
			var b bytes.Buffer
			r.Print(&b)
			i := slices.IndexFunc(r.Findings, func(f doctor.Finding) bool { return f.Check == tt.check && strings.Contains(f.Text, tt.text[0]) })
			if i < 0 {
				t.Fatalf("it does not find %s %q:\n%s", tt.check, tt.text[0], b.String())
			}
			f := r.Findings[i]
			if f.Level != tt.level || !strings.Contains(f.Do, tt.do) || len(r.Findings) > 1 && !tt.more {
				t.Errorf("it finds %+v:\n%s", f, b.String())
			}
			for _, text := range tt.text {
				if !strings.Contains(f.Text, text) {
					t.Errorf("it lacks %q: %s", text, f.Text)
				}
			}
			if want := map[string]string{doctor.Broken: doctor.NotBack, doctor.Warning: doctor.Warnings}[tt.level]; r.State != want {
				t.Errorf("the machine is %q", r.State)
			}
			for _, f := range r.Findings {
				if !strings.HasSuffix(f.Text, ".") || !strings.HasSuffix(f.Do, ".") || strings.Contains(f.Text+f.Do, "..") || strings.Contains(f.Text, "\n") {
					t.Errorf("it is not a line: %q %q", f.Text, f.Do)
				}
			}
			if js, err := json.Marshal(r); err != nil || !bytes.Contains(js, []byte(`"check":"`+tt.check)) {
				t.Errorf("as JSON %s, %v", js, err)
			}
		})
	}
}

// What fails where the menu notices, or is counted, is a warning while something
// else boots.
func TestFallback(t *testing.T) {
	broken := func(m *machine) {
		m.change("boot/initramfs-lts", func(string) string { return string(initramfs(t, lts, "virtio_blk")) })
	}
	m := newMachine(t)
	broken(m)
	if r := m.examine(); r.State != doctor.NotBack {
		t.Errorf("without a count it is %s", r.State)
	}
	m.settings.Confirm = 3
	if r := m.examine(); r.State != doctor.Warnings || !strings.HasSuffix(r.Findings[0].Text, "Linux virt is booted in its place.") {
		t.Errorf("with a count it is %+v", r)
	}
	m.change("boot/initramfs-virt", func(string) string { return string(initramfs(t, virt, "virtio_blk")) })
	if r := m.examine(); r.State != doctor.NotBack || len(r.Findings) != 2 || r.Findings[0].Level != doctor.Broken {
		t.Errorf("with both broken it is %+v", r)
	}
	m = newMachine(t)
	m.change("boot/initramfs-virt", half)
	if r := m.examine(); r.State != doctor.Warnings || r.Boots != "Linux lts" || r.Fallback != "Linux virt" {
		t.Errorf("with a broken fallback it is %+v", r)
	}
	m = newMachine(t)
	m.settings.Confirm = 3
	id := ""
	scan := (&discover.Scanner{Machine: m, Formats: all.Formats(nil), Limit: time.Minute}).Start(t.Context())
	for _, e := range scan.Settled().Entries {
		if e.Title == "Linux lts" {
			id = e.ID
		}
	}
	scan.Stop()
	m.state.Tries = []remember.Try{{ID: id}}
	if r := m.examine(); r.State != doctor.Warnings || r.Boots != "Linux virt" || !strings.Contains(r.Findings[0].Text, "never reported being up: it is passed over") {
		t.Errorf("with a default that has failed it is %+v", r)
	}
}

// What starts the machine is told as it is.
func TestWhatStarts(t *testing.T) {
	key, cert := identity(t, "owner")
	for _, tt := range []struct {
		name   string
		change func(m *machine)
		want   doctor.Starts
	}{
		{"as it is", func(*machine) {}, doctor.Starts{
			Firmware: `UEFI, Secure Boot is off; it starts "alpboot", then "Windows Boot Manager"`,
			Menu:     "/EFI/alpboot/alpboot.efi on /dev/vda1: alpboot 1.0, Linux 6.12.1-alpboot, not signed"}},
		{"signed, with another one waiting", func(m *machine) {
			m.root["usr/share/alpboot/alpboot.efi"] = m.esp["EFI/alpboot/alpboot.efi"]
			m.secure(key, cert, cert)
			m.vars.Values["BootNext"] = "\x02\x00"
		}, doctor.Starts{
			Firmware: `UEFI, Secure Boot is on; it starts "alpboot", then "Windows Boot Manager"; at the next start "Windows Boot Manager", once`,
			Menu:     `/EFI/alpboot/alpboot.efi on /dev/vda1: alpboot 1.0, Linux 6.12.1-alpboot, signed by "CN=owner"`,
			Newer:    "/usr/share/alpboot/alpboot.efi: alpboot 1.0, Linux 6.12.1-alpboot, not signed"}},
		{"at the path for removable media", func(m *machine) {
			m.esp["EFI/BOOT/BOOTX64.EFI"] = m.esp["EFI/alpboot/alpboot.efi"]
			m.order()
		}, doctor.Starts{Firmware: "UEFI, Secure Boot is off", Menu: "/EFI/BOOT/BOOTX64.EFI on /dev/vda1: alpboot 1.0, Linux 6.12.1-alpboot, not signed"}},
		{"gone", func(m *machine) { delete(m.esp, "EFI/alpboot/alpboot.efi") }, doctor.Starts{
			Firmware: `UEFI, Secure Boot is off; it starts "alpboot", then "Windows Boot Manager"`,
			Menu:     "/EFI/alpboot/alpboot.efi on /dev/vda1: open EFI/alpboot/alpboot.efi: file does not exist"}},
		{"by another loader", func(m *machine) {
			m.bios = true
			m.root["boot/alpboot"] = boottest.File(string(payloadtest.BzImage("6.12.1-alpboot")))
			m.change("boot/extlinux.conf", func(text string) string { return text + "LABEL alpboot\n  LINUX alpboot\n" })
		}, doctor.Starts{Firmware: "without UEFI, or UEFI's variables", Menu: "/boot/alpboot on /dev/vda2: Linux 6.12.1-alpboot, an entry of extlinux on /boot/extlinux.conf:13"}},
	} {
		m := newMachine(t)
		tt.change(m)
		m.gather(func(in doctor.Machine) {
			if got := doctor.WhatStarts(in); got != tt.want {
				t.Errorf("%s:\ngot  %+v\nwant %+v", tt.name, got, tt.want)
			}
		})
	}
}

// FuzzDatabase asserts that whatever firmware has for a list of certificates is read
// without a panic, and that nothing is trusted of what is not whole.
func FuzzDatabase(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("\xa1\x59\xc0\xa5\xe4\x94\xa7\x4a\x87\xb5\xab\x15\x5c\x2b\xf0\x72\x2d\x00\x00\x00\x00\x00\x00\x00\x11\x00\x00\x000123456789abcdefx"))
	f.Add([]byte("\xa1\x59\xc0\xa5\xe4\x94\xa7\x4a\x87\xb5\xab\x15\x5c\x2b\xf0\x72\x1c\x00\x00\x00\xff\xff\xff\xff\x11\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, known := doctor.Certificates(b); !known && len(b) == 0 {
			t.Error("an empty list is not damaged")
		}
	})
}
