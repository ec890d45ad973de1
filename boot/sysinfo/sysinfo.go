// Package sysinfo reports what machine this is: firmware, Secure Boot and TPM,
// processor, memory, disks, network cards, and the running kernel. It reads
// sysfs, procfs and efivarfs, and nothing else; what these do not have is left
// out. Nothing is asked of a device itself, so that none can keep it waiting.
package sysinfo

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/efivar"
)

// Lines returns lines of text about the machine whose root directory is root, which
// on the running one is os.DirFS("/") with sysfs, procfs and efivarfs mounted
// in their usual places. A line that ends in a colon is a heading. Own are lines
// about the program that asks; they come first.
func Lines(root fs.FS, own ...string) []string {
	m := machine{root}
	var lines []string
	for _, s := range []struct {
		name  string
		lines []string
	}{
		{"Software", append(slices.Clone(own), m.kernel()...)},
		{"Firmware", m.firmware()},
		{"Processor and memory", m.processor()},
		{"Disks", m.disks()},
		{"Network cards", m.network()},
	} {
		if len(s.lines) == 0 {
			s.lines = []string{"none"}
		}
		lines = append(append(lines, s.name+":"), s.lines...)
	}
	return lines
}

// machine is the root directory that it shows itself in.
type machine struct{ root fs.FS }

// maxFile is more than any file here has, but for /proc/cpuinfo of machines
// with very many processors, of which the beginning is enough.
const maxFile = 1 << 20

// text returns the content of a file, fit for a screen, "" when it cannot be read.
func (m machine) text(name string) string {
	b, _ := boot.ReadFile(m.root, name, maxFile)
	return boot.Clean(strings.TrimRight(string(b), "\x00\n"))
}

// number returns the number that a file holds.
func (m machine) number(name string) (int64, bool) {
	n, err := strconv.ParseInt(m.text(name), 0, 64)
	return n, err == nil
}

// list returns the names in a directory that want takes.
func (m machine) list(dir string, want func(name string) bool) []string {
	entries, _ := fs.ReadDir(m.root, dir)
	var names []string
	for _, e := range entries {
		if want(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// driver returns the name of the driver that a device has, "" when it has none.
func (m machine) driver(device string) string {
	link, err := fs.ReadLink(m.root, path.Join(device, "driver"))
	if err != nil {
		return ""
	}
	return boot.Clean(path.Base(link))
}

// phrase joins what is known.
func phrase(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

func (m machine) kernel() []string {
	var lines []string
	if release := m.text("proc/sys/kernel/osrelease"); release != "" {
		lines = append(lines, "Linux "+phrase(release, m.text("proc/sys/kernel/arch")))
	}
	if line := m.text("proc/cmdline"); line != "" {
		lines = append(lines, "Started with: "+line)
	}
	switch m.text("proc/sys/kernel/kexec_load_disabled") {
	case "0":
		lines = append(lines, "kexec: allowed")
	case "1":
		lines = append(lines, "kexec: forbidden by kexec_load_disabled")
	default:
		lines = append(lines, "kexec: this kernel has none")
	}
	// The word in brackets is what counts: none [integrity] confidentiality.
	if _, rest, ok := strings.Cut(m.text("sys/kernel/security/lockdown"), "["); ok {
		word, _, _ := strings.Cut(rest, "]")
		lines = append(lines, "Lockdown: "+word)
	}
	return lines
}

// flag returns an EFI variable of one byte.
func (m machine) flag(name string) (on, known bool) {
	vars, err := fs.Sub(m.root, efivar.Path)
	if err != nil {
		return false, false
	}
	b, err := efivar.Read(vars, name+"-"+efivar.Global)
	if err != nil || len(b) != 1 {
		return false, false
	}
	return b[0] != 0, true
}

func (m machine) firmware() []string {
	const dmi = "sys/class/dmi/id/"
	var lines []string
	add := func(label string, parts ...string) {
		if text := phrase(parts...); text != "" {
			lines = append(lines, label+": "+text)
		}
	}
	add("Machine", m.text(dmi+"sys_vendor"), m.text(dmi+"product_name"), m.text(dmi+"product_version"))
	add("Machine", m.text("sys/firmware/devicetree/base/model"))
	add("Version", m.text(dmi+"bios_vendor"), m.text(dmi+"bios_version"), m.text(dmi+"bios_date"))

	bits, efi := m.number("sys/firmware/efi/fw_platform_size")
	kind := "no UEFI"
	if efi {
		kind = fmt.Sprintf("UEFI, %d bits", bits)
	}
	add("Kind", kind)
	if efi {
		secure, known := m.flag("SecureBoot")
		setup, _ := m.flag("SetupMode")
		switch {
		case !known:
			add("Secure Boot", "none")
		case secure:
			add("Secure Boot", "on")
		case setup:
			add("Secure Boot", "off, in setup mode: no keys are enrolled")
		default:
			add("Secure Boot", "off")
		}
	}
	tpms := m.list("sys/class/tpm", func(n string) bool { return strings.HasPrefix(n, "tpm") && !strings.HasPrefix(n, "tpmrm") })
	if len(tpms) == 0 {
		add("TPM", "none")
	}
	for _, n := range tpms {
		version := m.text("sys/class/tpm/" + n + "/tpm_version_major")
		if version != "" {
			version = "version " + version
		}
		banks := m.list("sys/class/tpm/"+n, func(n string) bool { return strings.HasPrefix(n, "pcr-") })
		for i, b := range banks {
			banks[i] = strings.TrimPrefix(b, "pcr-")
		}
		if len(banks) > 0 {
			banks = []string{"PCRs by " + strings.Join(banks, " and ")}
		}
		add("TPM", append([]string{n, version, m.text("sys/class/tpm/" + n + "/device/description")}, banks...)...)
	}
	return lines
}

// cpuinfo returns the first value of a line NAME : VALUE, and how many there are.
func (m machine) cpuinfo(name string) (first string, n int) {
	b, _ := boot.ReadFile(m.root, "proc/cpuinfo", maxFile)
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(key) != name {
			continue
		}
		if n++; n == 1 {
			first = boot.Clean(value)
		}
	}
	return first, n
}

func (m machine) processor() []string {
	var lines []string
	if _, n := m.cpuinfo("processor"); n > 0 {
		model, _ := m.cpuinfo("model name")
		count := fmt.Sprintf("%d processors", n)
		if n == 1 {
			count = "1 processor"
		}
		lines = append(lines, phrase(count, strings.TrimSpace(model)))
	}
	// Sizes there are in KiB, whatever they are called.
	var memory []string
	b, _ := boot.ReadFile(m.root, "proc/meminfo", maxFile)
	for _, want := range []struct{ name, text string }{{"MemTotal:", "%s of memory"}, {"MemAvailable:", "%s available"}} {
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) < 2 || f[0] != want.name {
				continue
			}
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				memory = append(memory, fmt.Sprintf(want.text, binary(n<<10)))
			}
		}
	}
	if len(memory) > 0 {
		lines = append(lines, phrase(memory...))
	}
	return lines
}

func (m machine) disks() []string {
	names := m.list("sys/block", func(n string) bool {
		for _, virtual := range []string{"loop", "ram", "zram", "nbd"} {
			if rest, ok := strings.CutPrefix(n, virtual); ok && strings.Trim(rest, "0123456789") == "" {
				return false
			}
		}
		return true
	})
	var lines []string
	for _, n := range names {
		dir := "sys/block/" + n + "/"
		size := "no medium"
		if sectors, ok := m.number(dir + "size"); ok && sectors > 0 { // of 512 bytes, whatever the disk's are
			size = decimal(sectors * 512)
		}
		flag := func(file, value, text string) string {
			if m.text(dir+file) == value {
				return text
			}
			return ""
		}
		lines = append(lines, "/dev/"+strings.ReplaceAll(n, "!", "/")+": "+phrase(
			size,
			strings.TrimSpace(m.text(dir+"device/vendor")+" "+m.text(dir+"device/model")),
			m.text(dir+"dm/name"),
			m.bus(n),
			flag("removable", "1", "removable"),
			flag("ro", "1", "read-only")))
	}
	return lines
}

// bus returns how a disk is attached, from the path of its device in sysfs.
func (m machine) bus(disk string) string {
	link, err := fs.ReadLink(m.root, "sys/block/"+disk)
	if err != nil {
		return ""
	}
	found := ""
	for part := range strings.SplitSeq(link, "/") { // the last one that counts: USB after PCI
		for _, b := range []struct{ prefix, name string }{
			{"usb", "USB"}, {"ata", "SATA"}, {"nvme", "NVMe"}, {"virtio", "virtio"}, {"mmc", "MMC"}, {"fw", "FireWire"}, {"vbd", "Xen"}, {"vmbus", "Hyper-V"},
		} {
			if rest, ok := strings.CutPrefix(part, b.prefix); ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
				found = b.name
			}
		}
	}
	return found
}

func (m machine) network() []string {
	var lines []string
	for _, n := range m.list("sys/class/net", func(n string) bool { return n != "lo" }) {
		dir := "sys/class/net/" + n + "/"
		state := m.text(dir + "operstate")
		if state == "unknown" {
			state = ""
		}
		speed := ""
		if mbit, ok := m.number(dir + "speed"); ok && mbit > 0 {
			speed = fmt.Sprintf("%d Mbit/s", mbit)
		}
		if text := phrase(m.text(dir+"address"), m.driver(dir+"device"), state, speed); text != "" {
			lines = append(lines, boot.Clean(n)+": "+text)
		}
	}
	return lines
}

// binary returns a size of memory, decimal one of a disk, as each is sold.
func binary(n int64) string  { return amount(n, 1024, []string{"KiB", "MiB", "GiB", "TiB"}) }
func decimal(n int64) string { return amount(n, 1000, []string{"kB", "MB", "GB", "TB"}) }

func amount(n, step int64, units []string) string {
	f, i := float64(n)/float64(step), 0
	for f >= float64(step) && i < len(units)-1 {
		f /= float64(step)
		i++
	}
	if f < 10 {
		return fmt.Sprintf("%.1f %s", f, units[i])
	}
	return fmt.Sprintf("%.0f %s", f, units[i])
}
