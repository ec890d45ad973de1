package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/payload/flash"
)

// drivers are groups of edk2's drivers that the menu does without: Linux has
// its own. What is not in an image need not be removed from it.
var drivers = map[string][]string{
	// Without them nothing is booted from the network, which firmware otherwise
	// tries for a minute before it comes to the payload.
	"network": strings.Fields(`DpcDxe SnpDxe VlanConfigDxe MnpDxe ArpDxe Dhcp4Dxe Ip4Dxe Udp4Dxe Mtftp4Dxe
		Dhcp6Dxe Ip6Dxe Udp6Dxe Mtftp6Dxe TcpDxe UefiPxeBcDxe TlsDxe TlsAuthConfigDxe DnsDxe HttpDxe
		HttpUtilitiesDxe HttpBootDxe IScsiDxe VirtioNetDxe tftpDynamicCommand httpDynamicCommand`),
	// Without them firmware sees no disk, and always comes to the payload.
	"disks": strings.Fields(`VirtioFsDxe UdfDxe Fat VirtioBlkDxe VirtioScsiDxe NvmExpressDxe AtaBusDxe
		AtaAtapiPassThruDxe ScsiBus ScsiDisk SataController PartitionDxe DiskIoDxe RamDiskDxe UsbMassStorageDxe`),
	"usb":    strings.Fields("UhciDxe EhciDxe XhciDxe UsbBusDxe UsbKbDxe"),
	"extras": strings.Fields("LinuxInitrdDynamicShellCommand EbcDxe LogoDxe SecureBootConfigDxe"),
}

// slim is all of them.
var slim = []string{"network", "disks", "usb", "extras"}

// linuxboot says what goes into which UEFI firmware.
type linuxboot struct {
	flash   string
	uki     string
	remove  []string // names of groups and of drivers
	replace string   // GUID of the application that is replaced
	size    int64
	output  string
	dryRun  bool
}

func runLinuxboot(ctx context.Context, args []string, out output) error {
	var l linuxboot
	flags := flag.NewFlagSet("linuxboot", flag.ContinueOnError)
	flags.StringVar(&l.flash, "flash", "", "firmware `FILE` to start from, code without variables such as OVMF_CODE_4M.fd; it stays as it is")
	flags.StringVar(&l.uki, "uki", "", "UKI `FILE` to put into it (default build/x86_64/alpboot.efi, of the checkout)")
	flags.Func("remove", "leave out these drivers: `NAMES` with commas between them, of drivers or of the groups "+strings.Join(slim, ", "), func(s string) error {
		l.remove = append(l.remove, strings.Split(s, ",")...)
		return nil
	})
	flags.BoolFunc("slim", "leave out all of these groups", func(string) error {
		l.remove = append(l.remove, slim...)
		return nil
	})
	flags.StringVar(&l.replace, "replace", flash.Shell, "`GUID` of the application that makes way; edk2's Shell")
	flags.Func("size", "`MIB` of the result (default: as few as it takes, and no fewer than there are)", func(s string) error {
		var n int64
		if _, err := fmt.Sscanf(s+"\n", "%d\n", &n); err != nil || n < 1 || n > 64 {
			return errors.New("use a number from 1 to 64")
		}
		l.size = n << 20
		return nil
	})
	flags.BoolVar(&l.dryRun, "dry-run", false, "only say what would be made")
	flags.StringVar(&l.output, "o", "", "`FILE` to write (default build/x86_64/linuxboot.rom, of the checkout)")
	if err := parseFlags(flags, args, out); err != nil {
		return err
	}
	if l.flash == "" {
		return misuse("--flash FILE is needed: firmware such as /usr/share/OVMF/OVMF_CODE_4M.fd, of Debian's package ovmf")
	}
	if err := setOutput(ctx, &l.uki, "amd64", "alpboot.efi"); err != nil {
		return err
	}
	if err := setOutput(ctx, &l.output, "amd64", "linuxboot.rom"); err != nil {
		return err
	}
	return l.write(out)
}

// write makes the image and writes it.
func (l linuxboot) write(out output) error {
	before, err := l.read(out)
	if err != nil {
		return err
	}
	change := flash.Change{Replace: l.replace, Size: l.size}
	if change.Program, err = os.ReadFile(l.uki); err != nil {
		return fmt.Errorf("%w; make it with mkpayload uki", err)
	}
	if _, err := efi.Parse(change.Program); err != nil {
		return fmt.Errorf("%s: %w", l.uki, err)
	}
	if info, err := kernel.Identify(bytes.NewReader(change.Program), int64(len(change.Program))); err != nil {
		return fmt.Errorf("%s: %w", l.uki, err)
	} else if info.Format == kernel.PE {
		out.progress("%s is not a kernel, but some other EFI program", l.uki)
	}
	if change.Remove, err = removals(l.remove, before); err != nil {
		return err
	}
	out.progress("packing %s into %s, without %d drivers; this takes some seconds", size(int64(len(change.Program))), l.flash, len(change.Remove))
	made, err := before.Apply(change)
	var room *flash.NoRoomError
	if errors.As(err, &room) {
		return fmt.Errorf("%s: %w; leave out more by --remove or --slim, or take the minimal initramfs or a larger --size", l.flash, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.flash, err)
	}
	summary := fmt.Sprintf("%s, payload %s, %s left", size(int64(len(made.Bytes()))), size(int64(len(change.Program))), size(made.Volumes[0].Free))
	if l.dryRun {
		fmt.Fprintf(out.stdout, "  leave out %s\nwould write %s: %s\n", strings.Join(change.Remove, " "), l.output, summary)
		return nil
	}
	if err := writeBytes(l.output, made.Bytes()); err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%s: %s\n", l.output, summary)
	return nil
}

func (l linuxboot) read(out output) (*flash.Image, error) {
	b, err := os.ReadFile(l.flash)
	if err != nil {
		return nil, err
	}
	out.progress("unpacking %s", l.flash)
	im, err := flash.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.flash, err)
	}
	if im.Program(l.replace) == nil {
		return nil, fmt.Errorf("%s has no application %s that could make way for the payload", l.flash, l.replace)
	}
	return im, nil
}

// removals gives the names of the drivers of an image that names of drivers and
// groups stand for. A driver that is named must be there.
func removals(names []string, im *flash.Image) ([]string, error) {
	there := make(map[string]bool)
	for _, f := range im.Files {
		if f.Name != "" {
			there[f.Name] = true
		}
	}
	var list []string
	for _, n := range names {
		group, ok := drivers[n]
		if !ok {
			if !there[n] {
				return nil, fmt.Errorf("there is no driver %q in the firmware, and no group of that name: mkpayload inspect lists the drivers", n)
			}
			group = []string{n}
		}
		for _, d := range group {
			if there[d] && !slices.Contains(list, d) {
				list = append(list, d)
			}
		}
	}
	return list, nil
}

// inspectFlash looks for firmware volumes.
func inspectFlash(r *report, b []byte) (bool, error) {
	im, err := flash.Parse(b)
	if errors.Is(err, flash.ErrNotImage) {
		return false, nil
	}
	r.Kind = "UEFI firmware"
	if err != nil {
		r.problem("%v", err)
		return true, nil
	}
	for i, v := range im.Volumes {
		r.Parts = append(r.Parts, part{fmt.Sprintf("volume %d at %#x", i, v.Offset), v.Size, size(v.Free) + " free"})
	}
	if len(im.Volumes) > 0 {
		r.Free = &im.Volumes[0].Free
	}
	for _, f := range im.Files {
		p := part{f.Name, f.Size, strings.ToLower(f.Type)}
		if f.Name == "" {
			p.Name = f.GUID
		}
		if f.GUID == flash.Shell {
			p.What += ": " + r.payload(im.Program(f.GUID))
		}
		r.Parts = append(r.Parts, p)
	}
	return true, nil
}

// payload tells what lies where edk2 has its Shell.
func (r *report) payload(program []byte) string {
	in := &report{}
	is, err := inspectProgram(in, program)
	if !is || err != nil || in.Kind == kernel.PE {
		return "the Shell, no payload"
	}
	r.Arch, r.Linux, r.Name, r.Cmdline, r.Commands, r.Signatures = in.Arch, in.Linux, in.Name, in.Cmdline, in.Commands, in.Signatures
	for _, p := range in.Problems {
		r.problem("its payload: %s", p)
	}
	return "the payload, a " + in.Kind
}
