package qemutests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/payload/keys"
	"github.com/alpboot/alpboot/boot/securekeys"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// On firmware without keys, the power page enrols those that alpboot keys has made. Then
// the firmware starts the image that is signed by them, and refuses another.
func TestEnrolKeys(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.secboot.fd")
	t.Parallel()
	dir := t.TempDir()
	var out strings.Builder
	if err := (keys.Setup{Dir: dir, Now: time.Now(), Out: &out}).Write(); err != nil {
		t.Fatal(err)
	}
	signed := makePayload(t, "enrolled.efi", "uki", "--cmdline", stay, "--sign", dir+"/db.key,"+dir+"/db.crt")
	files := []disk.File{{Path: "EFI/BOOT/BOOTX64.EFI", From: signed}}
	for _, v := range securekeys.Variables() {
		b, err := os.ReadFile(filepath.Join(dir, v.Name+securekeys.Suffix))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, disk.File{Path: securekeys.Dir + "/" + v.Name + securekeys.Suffix, Data: b})
	}
	flash := vm.Flash{Code: ovmf + "OVMF_CODE_4M.secboot.fd", Secure: true, Vars: vars(t, ovmf+"OVMF_VARS_4M.fd")}
	m := startPayload(t, vm.Options{Flash: flash, Drives: []vm.Drive{esp(t, "esp.img", files...)}})
	m.text(menuLimit, "p power")
	m.Type("m")
	m.text(drawLimit, "Secure Boot: off, in setup mode: no keys are enrolled")
	m.Type("q")
	m.without("in setup mode")
	m.Type("p")
	m.text(menuLimit, "enrol the keys for Secure Boot")
	m.Type("s")
	m.text(drawLimit, "PK: alpboot PK")
	m.text(drawLimit, "is signed by alpboot db.")
	m.Type("e")
	m.text(drawLimit, "The keys are enrolled.")
	m.Stop()

	m = startAnother(t, vm.Options{Flash: flash, Drives: []vm.Drive{esp(t, "again.img", files...)}})
	m.text(menuLimit, "p power")
	m.Type("m")
	m.text(drawLimit, "Secure Boot: on")
	m.Type("q")
	m.without("Secure Boot: on")
	m.Stop()

	unsigned := makePayload(t, "alpboot.efi", "uki", "--cmdline", stay)
	m = startAnother(t, vm.Options{Flash: flash, Drives: []vm.Drive{esp(t, "unsigned.img", disk.File{Path: "EFI/BOOT/BOOTX64.EFI", From: unsigned})}})
	m.Await(time.Minute, vm.InLog("Access Denied"))
}
