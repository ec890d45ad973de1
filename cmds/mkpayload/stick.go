package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/payload/esp"
)

// stick says what a removable disk holds.
type stick struct {
	parts
	uki    string
	output string
	dryRun bool
}

// mbrFiles are where the boot sector's code of syslinux lies: Debian's
// syslinux-common, Alpine's syslinux.
var mbrFiles = []string{"/usr/lib/syslinux/mbr/mbr.bin", "/usr/share/syslinux/mbr.bin"}

// The one partition of a stick.
const (
	stickStart    = 1 << 20 // bytes
	smallestStick = 64 << 20
	espType       = 0xef
	stickID       = 0xa1b007ed // of the filesystem and the disk; the same each time
)

func runStick(ctx context.Context, args []string, out output) error {
	var s stick
	flags := flag.NewFlagSet("stick", flag.ContinueOnError)
	s.parts.flags(flags)
	flags.StringVar(&s.uki, "uki", "", "UKI `FILE` for machines with UEFI (default build/x86_64/alpboot.efi, of the checkout)")
	flags.BoolVar(&s.dryRun, "dry-run", false, "only say what would be made")
	flags.StringVar(&s.output, "o", "", "`FILE` to write (default build/ARCH/stick.img, of the checkout)")
	if err := parseFlags(flags, args, out); err != nil {
		return err
	}
	if err := s.complete(ctx, flags); err != nil {
		return err
	}
	if err := setOutput(ctx, &s.uki, s.arch, "alpboot.efi"); err != nil {
		return err
	}
	if err := setOutput(ctx, &s.output, s.arch, "stick.img"); err != nil {
		return err
	}
	return s.write(ctx, out)
}

// write makes the image and writes it.
func (s stick) write(ctx context.Context, out output) error {
	uki, err := os.ReadFile(s.uki)
	if err != nil {
		return fmt.Errorf("%w; make it with mkpayload uki", err)
	}
	program, err := efi.Parse(uki)
	if err != nil {
		return fmt.Errorf("%s: %w", s.uki, err)
	}
	if u, err := kernel.OpenUKI(bytes.NewReader(uki), int64(len(uki))); err != nil || u.Initrds == nil {
		return fmt.Errorf("%s: firmware would start it, and no menu would come: %w; make one with mkpayload uki", s.uki, cmp.Or(err, errors.New("it has no initramfs")))
	}
	path, err := esp.Target{Arch: program.Arch(), Removable: true}.Path()
	if err != nil {
		return err
	}
	code, err := s.bootCode(program.Arch(), out)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "mkpayload-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	// What lies on it, and where from.
	files := [][2]string{{path, s.uki}}
	if code != nil {
		config := filepath.Join(work, "syslinux.cfg")
		text := fmt.Sprintf("DEFAULT alpboot\nLABEL alpboot\n  LINUX /alpboot/vmlinuz\n  INITRD /alpboot/initramfs\n  APPEND %s\n", s.cmdline)
		if err := os.WriteFile(config, []byte(text), 0o666); err != nil {
			return err
		}
		// Not where menus look for the configuration of systems, or ours would
		// take itself for one.
		files = append(files, [2]string{"alpboot/syslinux.cfg", config}, [2]string{"alpboot/vmlinuz", s.kernel}, [2]string{"alpboot/initramfs", s.initramfs})
	}
	var total int64
	for _, f := range files {
		st, err := os.Stat(f[1])
		if err != nil {
			return err
		}
		total += st.Size()
	}
	whole := max(smallestStick, (stickStart+total*5/4+4<<20)>>20<<20)
	image := filepath.Join(work, "image")
	steps := [][]string{{"mkfs.vfat", "--invariant", "-F", "32", "-n", "ALPBOOT", "-i", fmt.Sprintf("%08x", uint32(stickID)),
		"-h", fmt.Sprint(stickStart / 512), "--offset", fmt.Sprint(stickStart / 512), image, fmt.Sprint((whole - stickStart) / 1024)}}
	made := make(map[string]bool)
	for _, f := range files {
		for i, c := range f[0] {
			if dir := f[0][:i]; c == '/' && !made[dir] {
				made[dir] = true
				steps = append(steps, []string{"mmd", "-i", fmt.Sprintf("%s@@%d", image, stickStart), "::" + dir})
			}
		}
		steps = append(steps, []string{"mcopy", "-i", fmt.Sprintf("%s@@%d", image, stickStart), f[1], "::" + f[0]})
	}
	if code != nil {
		steps = append(steps, []string{"syslinux", "--install", "--directory", "/alpboot", "--offset", fmt.Sprint(stickStart), image})
	}
	if s.dryRun {
		for _, step := range steps {
			fmt.Fprintln(out.stdout, " ", shellQuote(step))
		}
		fmt.Fprintf(out.stdout, "would write %s, %s\n", s.output, size(whole))
		return nil
	}
	if err := os.WriteFile(image, nil, 0o666); err != nil {
		return err
	}
	if err := os.Truncate(image, whole); err != nil {
		return err
	}
	for _, step := range steps {
		if err := stickTool(ctx, step); err != nil {
			return err
		}
	}
	b, err := os.ReadFile(image)
	if err != nil {
		return err
	}
	partition(b, code)
	if err := writeBytes(s.output, b); err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%s: %s; write it to a whole disk, not a partition\n", s.output, size(whole))
	return nil
}

// bootCode gives the boot sector's code for machines without UEFI; nil when
// there is none to be had.
func (s stick) bootCode(arch string, out output) ([]byte, error) {
	if arch != "amd64" {
		return nil, nil
	}
	if _, err := exec.LookPath("syslinux"); err != nil {
		out.progress("syslinux is not installed: the stick will boot with UEFI only")
		return nil, nil
	}
	for _, f := range mbrFiles {
		b, err := os.ReadFile(f)
		if err == nil && len(b) <= 440 {
			return b, nil
		}
	}
	return nil, fmt.Errorf("syslinux is installed without %s: install syslinux-common (Debian) or syslinux (Alpine)", mbrFiles[0])
}

// partition writes a table with one partition, which is active.
func partition(disk, code []byte) {
	le := binary.LittleEndian
	copy(disk, code)
	le.PutUint32(disk[0x1b8:], stickID)
	e := disk[0x1be:0x1ce]
	copy(e, []byte{0x80, 0xfe, 0xff, 0xff, espType, 0xfe, 0xff, 0xff}) // by sector numbers alone
	le.PutUint32(e[8:], stickStart/512)
	le.PutUint32(e[12:], uint32((len(disk)-stickStart)/512))
	copy(disk[0x1fe:], "\x55\xaa")
}

// stickTool runs one of the programs that make a stick; all of them take the
// time of files from SOURCE_DATE_EPOCH.
func stickTool(ctx context.Context, args []string) error {
	packages := map[string]string{"mkfs.vfat": "dosfstools", "mmd": "mtools", "mcopy": "mtools", "syslinux": "syslinux"}
	name, err := exec.LookPath(args[0])
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if err != nil {
			name, err = exec.LookPath(filepath.Join(dir, args[0]))
		}
	}
	if err != nil {
		return fmt.Errorf("%s is not installed: install %s", args[0], packages[args[0]])
	}
	cmd := exec.CommandContext(ctx, name, args[1:]...)
	cmd.Env = append(environmentWithout("MTOOLSRC"), "MTOOLS_SKIP_CHECK=1", "LC_ALL=C", "TZ=UTC")
	if os.Getenv("SOURCE_DATE_EPOCH") == "" {
		cmd.Env = append(cmd.Env, "SOURCE_DATE_EPOCH=315532800") // the first day that FAT knows
	}
	if b, err := cmd.CombinedOutput(); err != nil {
		return explain(err, args[0], b)
	}
	return nil
}
