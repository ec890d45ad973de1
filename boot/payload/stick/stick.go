// Package stick makes the image of a removable disk that boots with UEFI and BIOS.
package stick

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/payload/esp"
	"github.com/alpboot/alpboot/boot/remember"
)

// Image is what a removable disk holds, and the file that it becomes.
type Image struct {
	payload.Parts
	UKI      string // for machines with UEFI
	Remember bool   // with a file in which the menu remembers where there are no EFI variables
	Output   string
	DryRun   bool
}

// mbrFiles are where the boot sector's code of syslinux lies: Debian's
// syslinux-common, Alpine's syslinux.
var mbrFiles = []string{"/usr/lib/syslinux/mbr/mbr.bin", "/usr/share/syslinux/mbr.bin"}

// The one partition of a stick.
const (
	start    = 1 << 20 // bytes
	smallest = 64 << 20
	espType  = 0xef
	diskID   = 0xa1b007ed // of the filesystem and the disk; the same each time
)

// waiting returns a command line of the menu's kernel with which the menu waits for a
// key: who starts a stick wants to see it. One that has a timeout keeps it, and one
// that remembers a default is there to boot it.
func (s Image) waiting(line string) string {
	if s.Remember || strings.Contains(line, "alpboot.timeout=") {
		return line
	}
	return strings.TrimSpace(line + " alpboot.timeout=-1")
}

// Write makes the image and writes it.
func (s Image) Write(ctx context.Context, out payload.Output) error {
	uki, err := os.ReadFile(s.UKI)
	if err != nil {
		return fmt.Errorf("%w; make it with mkpayload uki", err)
	}
	program, err := efi.Parse(uki)
	if err != nil {
		return fmt.Errorf("%s: %w", s.UKI, err)
	}
	u, err := kernel.OpenUKI(bytes.NewReader(uki), int64(len(uki)))
	if err != nil || u.Initrds == nil {
		return fmt.Errorf("%s: firmware would start it, and no menu would come: %w; make one with mkpayload uki", s.UKI, cmp.Or(err, errors.New("it has no initramfs")))
	}
	path, err := esp.Target{Arch: program.Arch(), Removable: true}.Path()
	if err != nil {
		return err
	}
	if line := s.waiting(u.Cmdline); line != u.Cmdline {
		if waits, err := program.Replace(".cmdline", []byte(line)); err != nil {
			out.Progress(fmt.Sprintf("%s: the stick will not wait for a key with UEFI: %v", s.UKI, err))
		} else {
			program = waits
		}
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

	// What is on it, and where from.
	image := filepath.Join(work, "uki")
	if err := os.WriteFile(image, program.Bytes(), 0o666); err != nil {
		return err
	}
	files := [][2]string{{path, image}}
	line := s.waiting(s.Cmdline)
	if s.Remember {
		if err := remember.Make(work, remember.FileName); err != nil {
			return err
		}
		for _, slot := range []string{remember.FileName + ".0", remember.FileName + ".1"} {
			files = append(files, [2]string{slot, filepath.Join(work, slot)})
		}
		// With UEFI the menu knows which stick it was started from.
		line = strings.TrimSpace(fmt.Sprintf("%s alpboot.remember=UUID=%04X-%04X:/%s", line, diskID>>16, diskID&0xffff, remember.FileName))
	}
	if code != nil {
		config := filepath.Join(work, "syslinux.cfg")
		text := fmt.Sprintf("DEFAULT alpboot\nLABEL alpboot\n  LINUX /alpboot/vmlinuz\n  INITRD /alpboot/initramfs\n  APPEND %s\n", line)
		if err := os.WriteFile(config, []byte(text), 0o666); err != nil {
			return err
		}
		// Not where menus look for the configuration of systems, or ours would
		// take itself for one.
		files = append(files, [2]string{"alpboot/syslinux.cfg", config}, [2]string{"alpboot/vmlinuz", s.Kernel}, [2]string{"alpboot/initramfs", s.Initramfs})
	}
	var total int64
	for _, f := range files {
		st, err := os.Stat(f[1])
		if err != nil {
			return err
		}
		total += st.Size()
	}
	whole := max(smallest, (start+total*5/4+4<<20)>>20<<20)
	disk := filepath.Join(work, "disk")
	steps := [][]string{{"mkfs.vfat", "--invariant", "-F", "32", "-n", "ALPBOOT", "-i", fmt.Sprintf("%08x", uint32(diskID)),
		"-h", fmt.Sprint(start / 512), "--offset", fmt.Sprint(start / 512), disk, fmt.Sprint((whole - start) / 1024)}}
	made := make(map[string]bool)
	for _, f := range files {
		for i, c := range f[0] {
			if dir := f[0][:i]; c == '/' && !made[dir] {
				made[dir] = true
				steps = append(steps, []string{"mmd", "-i", fmt.Sprintf("%s@@%d", disk, start), "::" + dir})
			}
		}
		steps = append(steps, []string{"mcopy", "-i", fmt.Sprintf("%s@@%d", disk, start), f[1], "::" + f[0]})
	}
	if code != nil {
		steps = append(steps, []string{"syslinux", "--install", "--directory", "/alpboot", "--offset", fmt.Sprint(start), disk})
	}
	if s.DryRun {
		for _, step := range steps {
			fmt.Fprintln(out.Stdout, " ", payload.Quote(step))
		}
		out.Printf("would write %s, %s\n", s.Output, payload.Size(whole))
		return nil
	}
	if err := os.WriteFile(disk, nil, 0o666); err != nil {
		return err
	}
	if err := os.Truncate(disk, whole); err != nil {
		return err
	}
	for _, step := range steps {
		if err := run(ctx, step); err != nil {
			return err
		}
	}
	b, err := os.ReadFile(disk)
	if err != nil {
		return err
	}
	partition(b, code)
	if err := payload.WriteBytes(s.Output, b); err != nil {
		return err
	}
	out.Printf("%s: %s; write it to a whole disk, not a partition\n", s.Output, payload.Size(whole))
	return nil
}

// bootCode returns the boot sector's code for machines without UEFI; nil when
// there is none to be had.
func (s Image) bootCode(arch string, out payload.Output) ([]byte, error) {
	if arch != "amd64" {
		return nil, nil
	}
	if _, err := exec.LookPath("syslinux"); err != nil {
		out.Progress("syslinux is not installed: the stick will boot with UEFI only")
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
	le.PutUint32(disk[0x1b8:], diskID)
	e := disk[0x1be:0x1ce]
	copy(e, []byte{0x80, 0xfe, 0xff, 0xff, espType, 0xfe, 0xff, 0xff}) // by sector numbers alone
	le.PutUint32(e[8:], start/512)
	le.PutUint32(e[12:], uint32((len(disk)-start)/512))
	copy(disk[0x1fe:], "\x55\xaa")
}

// run runs one of the programs that make a stick; all of them take the
// time of files from SOURCE_DATE_EPOCH.
func run(ctx context.Context, args []string) error {
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
	cmd.Env = append(payload.Environ("MTOOLSRC"), "MTOOLS_SKIP_CHECK=1", "LC_ALL=C", "TZ=UTC")
	if os.Getenv("SOURCE_DATE_EPOCH") == "" {
		cmd.Env = append(cmd.Env, "SOURCE_DATE_EPOCH=315532800") // the first day that FAT knows
	}
	if b, err := cmd.CombinedOutput(); err != nil {
		return payload.Explain(err, args[0], b)
	}
	return nil
}
