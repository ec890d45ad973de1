// Package payload has what the packages below it share: what every payload is
// made of, and how files are written and programs run. A directory is one kind
// of payload, or a part of several:
//
//	uki        kernel and initramfs as one EFI program
//	coreboot   a coreboot ROM; cbfs reads its filesystem
//	flash      UEFI firmware with the menu in place of its shell
//	stick      the image of a removable disk
//	linux      the menu's own kernel, by itself or with an initramfs built in
//	initramfs  the menu, its shell, and modules for a distribution's kernel
//	esp        a UKI on an EFI system partition: installed, updated, removed
//	inspect    what a file is, and why it would not boot
//	all        every payload for a processor, with sums and a manifest
//	efi        EFI programs: their sections and signatures
//	checkout   the checkout of alpboot that is built from
package payload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alpboot/alpboot/boot/kernel"
)

// Output is where the making of a payload is reported.
type Output struct {
	Stdout   io.Writer                        // what was made, or would be
	Progress func(format string, args ...any) // what is being done, and warnings
}

// Printf writes to Stdout.
func (o Output) Printf(format string, args ...any) { fmt.Fprintf(o.Stdout, format, args...) }

// Parts are what every payload is made of.
type Parts struct {
	Arch      string // as GOARCH spells it
	Kernel    string // files
	Initramfs string
	Cmdline   string
}

// Unames maps GOARCH to what uname -m prints, which names output directories and
// kernel configurations.
func Unames() map[string]string {
	return map[string]string{"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64"}
}

// GOARCH returns a processor as Go spells it, from that or from uname -m.
func GOARCH(s string) (string, error) {
	for g, u := range Unames() {
		if s == g || s == u {
			return g, nil
		}
	}
	return "", errors.New("use amd64 or arm64")
}

// DefaultCmdline returns the command line for the menu's kernel: it is shown on
// the screen and on the first serial port. On arm64 firmware names that port. A
// watchdog that is armed for the target must run on through kexec.
func DefaultCmdline(arch string) string {
	return map[string]string{"amd64": "quiet watchdog.stop_on_reboot=0 console=ttyS0,115200 console=tty0", "arm64": "quiet watchdog.stop_on_reboot=0"}[arch]
}

// ReadInitramfs reads an initramfs that a kernel can unpack.
func ReadInitramfs(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if _, err := kernel.IdentifyInitrd(bytes.NewReader(b), int64(len(b))); err != nil {
		return nil, fmt.Errorf("%s is not an initramfs: %w", file, err)
	}
	return b, nil
}
