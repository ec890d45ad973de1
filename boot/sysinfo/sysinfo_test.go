package sysinfo

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot/efivar"
)

// tree makes a file of each name with its content; a content that begins with
// "->" is a symbolic link.
func tree(files map[string]string) fs.FS {
	m := fstest.MapFS{}
	for name, text := range files {
		if target, ok := strings.CutPrefix(text, "->"); ok {
			m[name] = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink}
			continue
		}
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

const efi = "sys/firmware/efi/efivars/"

func TestLines(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		own   []string
		want  string
	}{
		{
			name: "a laptop with UEFI",
			own:  []string{"alpboot 1.2"},
			files: map[string]string{
				"proc/sys/kernel/osrelease":            "6.12.1-alpboot\n",
				"proc/sys/kernel/arch":                 "x86_64\n",
				"proc/cmdline":                         "console=ttyS0,115200 alpboot.timeout=3\n",
				"proc/sys/kernel/kexec_load_disabled":  "0\n",
				"sys/kernel/security/lockdown":         "none [integrity] confidentiality\n",
				"sys/class/dmi/id/sys_vendor":          "LENOVO\n",
				"sys/class/dmi/id/product_name":        "20Q0\n",
				"sys/class/dmi/id/product_version":     "ThinkPad X390\n",
				"sys/class/dmi/id/bios_vendor":         "LENOVO\n",
				"sys/class/dmi/id/bios_version":        "N2JET91W\n",
				"sys/class/dmi/id/bios_date":           "01/02/2023\n",
				"sys/firmware/efi/fw_platform_size":    "64\n",
				efi + "SecureBoot-" + efivar.Global:    "\x06\x00\x00\x00\x01",
				efi + "SetupMode-" + efivar.Global:     "\x06\x00\x00\x00\x00",
				"sys/class/tpm/tpm0/tpm_version_major": "2\n",
				"sys/class/tpm/tpm0/pcr-sha1/0":        "00\n",
				"sys/class/tpm/tpm0/pcr-sha256/0":      "00\n",
				"sys/class/tpm/tpmrm0/dev":             "1\n",
				"proc/cpuinfo":                         "processor\t: 0\nmodel name\t: Intel(R) Core(TM) i5-8265U CPU @ 1.60GHz\n\nprocessor\t: 1\nmodel name\t: other\n",
				"proc/meminfo":                         "MemTotal:       16169236 kB\nMemFree:        1 kB\nMemAvailable:   15961340 kB\n",
				"sys/block/nvme0n1":                    "->../devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme0/nvme0n1",
				"sys/block/loop0/size":                 "0\n",
				"sys/class/net/lo/address":             "00:00:00:00:00:00\n",
				"sys/class/net/eth0/address":           "02:00:00:00:00:01\n",
				"sys/class/net/eth0/operstate":         "up\n",
				"sys/class/net/eth0/speed":             "1000\n",
				"sys/class/net/eth0/device/driver":     "->../../../bus/pci/drivers/e1000e",
				"sys/class/net/wlan0/address":          "02:00:00:00:00:02\n",
				"sys/class/net/wlan0/operstate":        "down\n",
				"sys/class/net/wlan0/speed":            "-1\n",
				// What the link leads to.
				"sys/devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme0/nvme0n1/size":         "1000215216\n",
				"sys/devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme0/nvme0n1/device/model": "SAMSUNG MZVLB512HAJQ-000L7              \n",
				"sys/devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme0/nvme0n1/removable":    "0\n",
			},
			want: `Software:
alpboot 1.2
Linux 6.12.1-alpboot, x86_64
Started with: console=ttyS0,115200 alpboot.timeout=3
kexec: allowed
Lockdown: integrity
Firmware:
Machine: LENOVO, 20Q0, ThinkPad X390
Version: LENOVO, N2JET91W, 01/02/2023
Kind: UEFI, 64 bits
Secure Boot: on
TPM: tpm0, version 2, PCRs by sha1 and sha256
Processor and memory:
2 processors, Intel(R) Core(TM) i5-8265U CPU @ 1.60GHz
15 GiB of memory, 15 GiB available
Disks:
/dev/nvme0n1: 512 GB, SAMSUNG MZVLB512HAJQ-000L7, NVMe
Network cards:
eth0: 02:00:00:00:00:01, e1000e, up, 1000 Mbit/s
wlan0: 02:00:00:00:00:02, down`,
		},
		{
			name: "a board without UEFI, a stick and an empty drive",
			files: map[string]string{
				"proc/sys/kernel/osrelease":           "6.1.0\n",
				"proc/sys/kernel/kexec_load_disabled": "1\n",
				"sys/firmware/devicetree/base/model":  "Raspberry Pi 4 Model B\x00",
				"proc/cpuinfo":                        "processor\t: 0\nBogoMIPS\t: 108.00\n",
				"proc/meminfo":                        "MemTotal:        948304 kB\n",
				"sys/block/sda/size":                  "60062500\n",
				"sys/block/sda/device/vendor":         "SanDisk \n",
				"sys/block/sda/device/model":          "Ultra\x1b[2J\n",
				"sys/block/sda/removable":             "1\n",
				"sys/block/sda/ro":                    "1\n",
				"sys/block/sr0/size":                  "0\n",
				"sys/block/cciss!c0d0/size":           "19\n",
				"sys/block/dm-0/size":                 "16384\n",
				"sys/block/dm-0/dm/name":              "vg0-root\n",
			},
			want: `Software:
Linux 6.1.0
kexec: forbidden by kexec_load_disabled
Firmware:
Machine: Raspberry Pi 4 Model B
Kind: no UEFI
TPM: none
Processor and memory:
1 processor
926 MiB of memory
Disks:
/dev/cciss/c0d0: 9.7 kB
/dev/dm-0: 8.4 MB, vg0-root
/dev/sda: 31 GB, SanDisk Ultra [2J, removable, read-only
/dev/sr0: no medium
Network cards:
none`,
		},
		{
			name:  "UEFI without keys",
			files: map[string]string{"sys/firmware/efi/fw_platform_size": "64", efi + "SecureBoot-" + efivar.Global: "\x06\x00\x00\x00\x00", efi + "SetupMode-" + efivar.Global: "\x06\x00\x00\x00\x01"},
			want: `Software:
kexec: this kernel has none
Firmware:
Kind: UEFI, 64 bits
Secure Boot: off, in setup mode: no keys are enrolled
TPM: none
Processor and memory:
none
Disks:
none
Network cards:
none`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(Lines(tree(tt.files), tt.own...), "\n")
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// The machine that the test runs on is one, too: whatever it is, it has a
// kernel, a processor and memory, and no line disturbs a terminal.
func TestThisMachine(t *testing.T) {
	lines := Lines(os.DirFS("/"))
	text := strings.Join(lines, "\n")
	for _, want := range []string{"Linux ", "processor", " of memory"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	for _, l := range lines {
		if strings.ContainsFunc(l, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("a line holds control characters: %q", l)
		}
	}
}
