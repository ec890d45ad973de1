package flash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/efi"
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

// Groups returns the names of all groups of drivers.
func Groups() []string { return []string{"network", "disks", "usb", "extras"} }

// Firmware is what goes into which UEFI firmware, and the file that it becomes.
type Firmware struct {
	Flash   string
	UKI     string
	Remove  []string // names of groups and of drivers
	Replace string   // GUID of the application that is replaced
	Size    int64    // of the result; as few MiB as it takes, when 0
	Output  string
	DryRun  bool
}

// Write makes the image and writes it.
func (l Firmware) Write(out payload.Output) error {
	before, err := l.read(out)
	if err != nil {
		return err
	}
	change := Change{Replace: l.Replace, Size: l.Size}
	if change.Program, err = os.ReadFile(l.UKI); err != nil {
		return fmt.Errorf("%w; make it with mkpayload uki", err)
	}
	if _, err := efi.Parse(change.Program); err != nil {
		return fmt.Errorf("%s: %w", l.UKI, err)
	}
	if info, err := kernel.Identify(bytes.NewReader(change.Program), int64(len(change.Program))); err != nil {
		return fmt.Errorf("%s: %w", l.UKI, err)
	} else if info.Format == kernel.PE {
		out.Progress("%s is not a kernel, but some other EFI program", l.UKI)
	}
	if change.Remove, err = removals(l.Remove, before); err != nil {
		return err
	}
	out.Progress("packing %s into %s, without %d drivers; this takes some seconds", payload.Size(int64(len(change.Program))), l.Flash, len(change.Remove))
	made, err := before.Apply(change)
	var room *NoRoomError
	if errors.As(err, &room) {
		return fmt.Errorf("%s: %w; leave out more by --remove or --slim, or take the minimal initramfs or a larger --size", l.Flash, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.Flash, err)
	}
	summary := fmt.Sprintf("%s, payload %s, %s left", payload.Size(int64(len(made.Bytes()))), payload.Size(int64(len(change.Program))), payload.Size(made.Volumes[0].Free))
	if l.DryRun {
		out.Printf("  leave out %s\nwould write %s: %s\n", strings.Join(change.Remove, " "), l.Output, summary)
		return nil
	}
	if err := payload.WriteBytes(l.Output, made.Bytes()); err != nil {
		return err
	}
	out.Printf("%s: %s\n", l.Output, summary)
	return nil
}

func (l Firmware) read(out payload.Output) (*Image, error) {
	b, err := os.ReadFile(l.Flash)
	if err != nil {
		return nil, err
	}
	out.Progress("unpacking %s", l.Flash)
	im, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.Flash, err)
	}
	if im.Program(l.Replace) == nil {
		return nil, fmt.Errorf("%s has no application %s that could make way for the payload", l.Flash, l.Replace)
	}
	return im, nil
}

// removals returns the names of the drivers of an image that names of drivers and
// groups stand for. A driver that is named must be there.
func removals(names []string, im *Image) ([]string, error) {
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
