package main

import "strings"

// maySkip returns why a test may be skipped even in CI: what the kernel that the
// tests run on may lack is tested under the menu's own, in a virtual machine.
func maySkip(pkg, test, output string) (reason string, ok bool) {
	const mapped = "without device-mapper here, TestDeviceMapper of qemu-tests runs it"
	const more = "make test-all runs it" // what needEverything of qemu-tests prints
	if pkg == machines && strings.Contains(output, more) {
		return more, true
	}
	reason, ok = map[string]string{
		"cmds/alpboot/command TestRAUC":         "RAUC brings systemd with it: make test-all installs it",
		"boot/device TestWrite/vfat":            "without vfat here, TestSettingsAndLogOnTheESP of qemu-tests writes to one",
		"boot/device/assemble TestReadThrough":  mapped,
		"boot/device/mapper TestCreate":         mapped,
		"boot/device/mapper TestCreateFails":    mapped,
		"boot/device/mapper TestCloseInUse":     mapped,
		"boot/device/mapper TestStaleNode":      mapped,
		"boot/device/mapper TestNoDeviceMapper": "there is device-mapper here, so that the sentence for a kernel without it cannot be seen",
	}[short(pkg)+" "+test]
	return reason, ok
}
