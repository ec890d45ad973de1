package device

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Awaited returns what may bring in another disk by itself, as part of a sentence,
// according to sysfs (os.DirFS("/sys")): a bus that is still being searched, or
// whose search cannot be seen from here. "" means that all disks are there. It holds for a
// kernel that has all drivers built in, and waits for what they search on their
// own before it starts the first process: SATA, NVMe, virtio. A driver that waits
// for another one has had its turn again by then; debugfs lists those that still do.
//
// A device on USB counts until it has been there for settle.
func Awaited(sysfs fs.FS, settle time.Duration) string {
	if _, err := fs.Stat(sysfs, "firmware/devicetree"); err == nil {
		return "the drivers of this machine may wait for one another"
	}
	if deferred := attribute(sysfs, "kernel/debug/devices_deferred"); deferred != "" {
		name, _, _ := strings.Cut(deferred, "\n")
		return fmt.Sprintf("the driver of %s waits for another one", strings.TrimSpace(name))
	}
	for _, bus := range []struct{ dir, what string }{
		{"bus/vmbus/devices", "Hyper-V"}, {"bus/xen/devices", "Xen"}, {"bus/firewire/devices", "FireWire"}, {"bus/thunderbolt/devices", "Thunderbolt"},
		{"class/mmc_host", "a reader of memory cards"},
	} {
		if found, _ := fs.ReadDir(sysfs, bus.dir); len(found) > 0 {
			return fmt.Sprintf("%s may bring in a disk", bus.what)
		}
	}
	controllers, _ := fs.Glob(sysfs, "class/nvme/*")
	for _, dir := range controllers {
		if state := attribute(sysfs, path.Join(dir, "state")); state != "live" {
			return fmt.Sprintf("%s is %s", path.Base(dir), state)
		}
	}
	hosts, _ := fs.Glob(sysfs, "class/scsi_host/*")
	for _, dir := range hosts {
		driver := attribute(sysfs, path.Join(dir, "proc_name"))
		if attribute(sysfs, path.Join(dir, "state")) != "running" || !searchedAtStart(driver) {
			return fmt.Sprintf("a controller (%s) may bring in a disk", driver)
		}
	}
	if drives, _ := fs.Glob(sysfs, "class/block/sr*"); len(drives) > 0 { // it reads its medium only when it is opened
		return "a drive may have a medium"
	}
	return awaitedOnUSB(sysfs, settle)
}

// searchedAtStart reports whether a driver of disks has finished its search when
// its kernel starts the first process. Others hear of disks from a firmware or a network.
func searchedAtStart(driver string) bool {
	return slices.Contains([]string{"ahci", "virtio_scsi", "vmw_pvscsi"}, driver) || strings.HasPrefix(driver, "ata_") || strings.HasPrefix(driver, "pata_")
}

// awaitedOnUSB is [Awaited] for USB.
func awaitedOnUSB(sysfs fs.FS, settle time.Duration) string {
	const dir = "bus/usb/devices"
	devices, _ := fs.ReadDir(sysfs, dir)
	for _, d := range devices {
		attr := func(name string) string { return attribute(sysfs, path.Join(dir, d.Name(), name)) }
		if strings.Contains(d.Name(), ":") { // one of its functions
			const storage = "08"
			if attr("bInterfaceClass") == storage {
				return "a USB device may bring in a disk"
			}
			ports, _ := fs.Glob(sysfs, path.Join(dir, d.Name(), "*-port*/state")) // of a hub; Linux 6.6
			for _, port := range ports {
				if state := attribute(sysfs, port); !slices.Contains([]string{"not attached", "configured", "suspended"}, state) {
					return "a USB device is being set up"
				}
			}
			continue
		}
		ms, err := strconv.ParseInt(attr("power/connected_duration"), 10, 64)
		if err != nil || time.Duration(ms)*time.Millisecond < settle || attr("bConfigurationValue") == "" {
			return "USB is being searched"
		}
	}
	return ""
}
