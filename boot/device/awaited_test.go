package device

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
)

func TestAwaited(t *testing.T) {
	const ahci, hub, usb = "class/scsi_host/host0/", "bus/usb/devices/usb1/", "bus/usb/devices/1-1"
	sata := map[string]string{ahci + "proc_name": "ahci\n", ahci + "state": "running\n"}
	oldHub := map[string]string{hub + "power/connected_duration": "1000\n", hub + "bConfigurationValue": "1\n"}
	keyboard := map[string]string{usb + "/power/connected_duration": "1234\n", usb + "/bConfigurationValue": "1\n", usb + ":1.0/bInterfaceClass": "03\n"}
	for _, tt := range []struct {
		name  string
		files []map[string]string
		want  string // part of it
	}{
		{name: "virtio"},
		{name: "SATA", files: []map[string]string{sata}},
		{name: "SATA being reset", files: []map[string]string{{ahci + "proc_name": "ahci\n", ahci + "state": "recovery\n"}}, want: "ahci"},
		{name: "SAS", files: []map[string]string{{ahci + "proc_name": "mpt3sas\n", ahci + "state": "running\n"}}, want: "mpt3sas"},
		{name: "NVMe", files: []map[string]string{{"class/nvme/nvme0/state": "live\n"}}},
		{name: "NVMe on its way", files: []map[string]string{{"class/nvme/nvme0/state": "connecting\n"}}, want: "nvme0 is connecting"},
		{name: "a CD drive", files: []map[string]string{sata, {"class/block/sr0/size": "0\n"}}, want: "medium"},
		{name: "memory cards", files: []map[string]string{{"class/mmc_host/mmc0/uevent": ""}}, want: "memory cards"},
		{name: "Hyper-V", files: []map[string]string{{"bus/vmbus/devices/00/uevent": ""}}, want: "Hyper-V"},
		{name: "a bus with nothing on it", files: []map[string]string{{"bus/xen/drivers/vbd/uevent": ""}}},
		{name: "deferred", files: []map[string]string{sata, {"kernel/debug/devices_deferred": "0000:00:1f.2\tahci\n"}}, want: "0000:00:1f.2"},
		{name: "none deferred", files: []map[string]string{sata, {"kernel/debug/devices_deferred": ""}}},
		{name: "device tree", files: []map[string]string{{"firmware/devicetree/base/model": "Raspberry Pi"}}, want: "one another"},
		{name: "USB with nothing on it", files: []map[string]string{sata, oldHub}},
		{name: "USB that has just begun", files: []map[string]string{{hub + "power/connected_duration": "999\n", hub + "bConfigurationValue": "1\n"}}, want: "being searched"},
		{name: "USB without an age", files: []map[string]string{{hub + "bConfigurationValue": "1\n"}}, want: "being searched"},
		{name: "keyboard", files: []map[string]string{oldHub, keyboard}},
		{name: "new keyboard", files: []map[string]string{oldHub, keyboard, {usb + "/power/connected_duration": "20\n"}}, want: "being searched"},
		{name: "not configured", files: []map[string]string{oldHub, {usb + "/power/connected_duration": "5000\n", usb + "/bConfigurationValue": "\n"}}, want: "being searched"},
		{name: "stick", files: []map[string]string{oldHub, keyboard, {usb + ":1.0/bInterfaceClass": "08\n"}}, want: "may bring in a disk"},
		{name: "ports", files: []map[string]string{oldHub, {"bus/usb/devices/1-0:1.0/usb1-port1/state": "not attached\n", "bus/usb/devices/1-0:1.0/usb1-port2/state": "configured\n"}}},
		{name: "a port at work", files: []map[string]string{oldHub, {"bus/usb/devices/1-0:1.0/usb1-port2/state": "addressed\n"}}, want: "being set up"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sysfs := fstest.MapFS{}
			for _, files := range tt.files {
				for name, text := range files {
					sysfs[name] = boottest.File(text)
				}
			}
			got := Awaited(sysfs, time.Second)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
