// Package inspect finds out what a file is, what is in it, and why it would not
// boot. It knows all that mkpayload makes.
package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/u-root/mkuimage/cpio"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/kernel/unpack"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/cbfs"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/payload/flash"
	"github.com/alpboot/alpboot/boot/payload/initramfs"
)

// Report is what was found out about a file. Its JSON form is for scripts:
// names stay, and more may come.
type Report struct {
	File       string      `json:"file"`
	Kind       string      `json:"kind"`
	Size       int64       `json:"size"`
	Arch       string      `json:"arch,omitempty"`
	Linux      string      `json:"linux,omitempty"`   // release of the kernel
	Name       string      `json:"name,omitempty"`    // PRETTY_NAME of its os-release
	Cmdline    *string     `json:"cmdline,omitempty"` // nil where there is none to be had
	Parts      []Part      `json:"parts,omitempty"`
	Commands   []string    `json:"commands,omitempty"` // of the initramfs
	Free       *int64      `json:"free,omitempty"`     // bytes that are left
	Signatures []Signature `json:"signatures,omitempty"`
	Opaque     bool        `json:"opaque,omitempty"`   // an archive is packed in a way that is not unpacked here
	Problems   []string    `json:"problems,omitempty"` // why it would not boot

	// Config are the files of the initramfs that are alpboot's settings and the keys of
	// its owner, by their names.
	Config map[string][]byte `json:"-"`

	modules        []string // releases that the initramfs has modules for
	archiveMembers bool     // list the files of the archive
}

// Part is a part of a file.
type Part struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	What string `json:"what,omitempty"`
}

// Signature is who signed a program.
type Signature struct {
	Subject string `json:"subject"`
	Until   string `json:"until,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// Where an image has its settings and the keys of its owner: boot/settings and
// boot/signature read them.
const (
	settingsFile = "etc/alpboot.conf"
	keysDir      = "etc/alpboot/keys"
	maxConfig    = 16 << 10
)

// maxInspected bounds a file that is inspected: all of it is read.
const maxInspected = 1 << 30

// read reads a file, but no disk or pipe, nor the image of a disk.
func read(file string) ([]byte, error) {
	st, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s: it is not a file", file)
	case st.Size() > maxInspected:
		return nil, fmt.Errorf("%s: it has %s, and no payload has more than %s", file, payload.Size(st.Size()), payload.Size(maxInspected))
	}
	return os.ReadFile(file)
}

// File inspects a file.
func File(name string) (*Report, error) {
	b, err := read(name)
	if err != nil {
		return nil, err
	}
	r, err := Bytes(name, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// Bytes inspects the content of a file. The first of the functions that recognises
// it describes it; the others return false.
func Bytes(file string, b []byte) (*Report, error) {
	if len(b) == 0 {
		return nil, errors.New("the file is empty")
	}
	r := &Report{File: file, Size: int64(len(b))}
	for _, look := range []func(*Report, []byte) (bool, error){inspectProgram, inspectInitramfs, inspectROM, inspectFlash} {
		if is, err := look(r, b); is || err != nil {
			return r, err
		}
	}
	return nil, errors.New("it is none of the payloads that mkpayload makes: initramfs, kernel, UKI, coreboot ROM, UEFI firmware")
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// inspectProgram looks for kernels and other EFI programs.
func inspectProgram(r *Report, b []byte) (bool, error) {
	info, err := kernel.Identify(bytes.NewReader(b), int64(len(b)))
	if errors.Is(err, kernel.ErrNotKernel) && info == (kernel.Info{}) {
		return false, nil
	}
	r.Kind, r.Arch, r.Linux = info.Format, info.Arch, info.Version
	if err != nil {
		r.problem("%v", err)
	}
	switch info.Format {
	case kernel.Zboot, kernel.Image, kernel.ImageGz:
		// They have it only when unpacked. What cannot be unpacked here, firmware may start.
		r.Linux, _ = unpack.Version(bytes.NewReader(b), int64(len(b)), unpack.Limit)
	}
	program, err := efi.Parse(b)
	if err == nil {
		list, err := program.Signatures()
		if err != nil {
			r.problem("%v", err)
		}
		for _, s := range list {
			until := ""
			if !s.NotAfter.IsZero() {
				until = s.NotAfter.Format(time.DateOnly)
			}
			r.Signatures = append(r.Signatures, Signature{s.Subject, until, s.Problem})
			if s.Problem != "" {
				r.problem("its signature by %q does not hold: %s", s.Subject, s.Problem)
			}
		}
		if why := program.Misplaced(); why != "" {
			r.problem("%s", why)
		}
	}
	switch {
	case err == nil && info.Format == kernel.UnifiedImage:
		return true, r.unified(program)
	case info.Format == kernel.BzImage:
		setup := min(kernel.SetupSize(b), int64(len(b)))
		r.Parts = []Part{{"setup", setup, "16-bit code and header"}, {"kernel", int64(len(b)) - setup, "with an initramfs in it, if it was built with one"}}
	}
	switch {
	case err == nil:
	case info.Format == kernel.UnifiedImage, !errors.Is(err, efi.ErrNotProgram):
		r.problem("firmware would not start it: %v", err)
	case info.Format != kernel.PE && r.Problems == nil: // that is one for 32 bits
		r.Parts = append(r.Parts, Part{"EFI stub", 0, "none: only a boot loader can start it"})
	}
	return true, nil
}

// unified lists what is in a unified kernel image.
func (r *Report) unified(p *efi.Program) error {
	u, err := kernel.OpenUKI(bytes.NewReader(p.Bytes()), int64(len(p.Bytes())))
	if err != nil {
		return nil // inspectProgram has noted what is wrong
	}
	r.Cmdline = &u.Cmdline
	r.Name = u.Release("PRETTY_NAME")
	inside, err := kernel.Identify(u.Linux, u.Linux.Size())
	if err != nil {
		r.problem("its kernel: %v", err)
	}
	if r.Arch != p.Arch() {
		r.problem("its stub is for %s and its kernel for %s", p.Arch(), r.Arch)
	}
	if inside.Version != "" && u.Uname != "" && inside.Version != strings.Fields(u.Uname + " -")[0] {
		r.problem("it names its kernel %s, and that is %s", u.Uname, inside.Version)
	}
	linux := make([]byte, u.Linux.Size())
	if _, err := u.Linux.ReadAt(linux, 0); err != nil {
		return err
	}
	if _, err := efi.Parse(linux); err != nil {
		r.problem("its stub could not start its kernel, which has none of its own: %v", err)
	}
	if limit := kernel.LimitsOf(linux, inside.Format).Cmdline; len(u.Cmdline) > limit {
		r.problem("its command line has %d characters, and its kernel takes %d", len(u.Cmdline), limit)
	}
	initrds := 0
	for _, s := range p.Sections() {
		what := Part{Name: s.Name, Size: int64(len(s.Data))}
		switch s.Name {
		case ".linux":
			what.What = inside.Format
		case ".initrd", ".ucode":
			initrds++
			what.What = r.archive(s.Data)
		}
		r.Parts = append(r.Parts, what)
	}
	if initrds == 0 {
		r.problem("it has no initramfs, unless its kernel has one built in")
	}
	r.checkModules()
	return nil
}

// checkModules complains of modules for another kernel.
func (r *Report) checkModules() {
	for _, m := range r.modules {
		if r.Linux != "" && m != r.Linux {
			r.problem("its initramfs has modules for Linux %s, and its kernel is Linux %s", m, r.Linux)
		}
	}
}

// inspectInitramfs looks for archives that a kernel unpacks.
func inspectInitramfs(r *Report, b []byte) (bool, error) {
	if _, err := kernel.IdentifyInitrd(bytes.NewReader(b), int64(len(b))); err != nil {
		return false, nil
	}
	r.Kind = "initramfs"
	members := len(r.Parts)
	r.archiveMembers = true
	what := r.archive(b)
	r.Parts = append([]Part{{"archive", int64(len(b)), what}}, r.Parts[members:]...)
	return true, nil
}

// archive reads an initramfs, returns a summary of it, and notes its problems.
func (r *Report) archive(b []byte) string {
	var kinds []string
	var unpacked int64
	files := 0
	for len(b) > 0 {
		kind, err := kernel.IdentifyInitrd(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			r.problem("its initramfs: %v", err)
			break
		}
		if len(kinds) == 0 || kinds[len(kinds)-1] != kind {
			kinds = append(kinds, kind)
		}
		if kind == "cpio" { // as microcode, which comes before the rest
			used, n := r.members(b)
			unpacked, files = unpacked+used, files+n
			b = bytes.TrimLeft(b[used:], "\x00")
			continue
		}
		if !initramfs.Unpackable(kind) {
			r.Opaque = true
			return strings.Join(kinds, " and ") + ", which is not looked into"
		}
		var rest []byte
		raw, err := initramfs.Unpack(kind, b)
		// What comes after it, at a multiple of four: the modules that mkpayload adds, and
		// files that somebody has added, not packed.
		for _, i := range []int{bytes.LastIndex(b, []byte("\xfd7zXZ\x00")), bytes.Index(b, []byte("070701"))} {
			for n := i; err != nil && !errors.Is(err, initramfs.ErrFilter) && n > max(0, i-4) && (n == i || b[n] == 0); n-- {
				raw, err = initramfs.Unpack(kind, b[:n])
				rest = b[i:]
			}
		}
		if errors.Is(err, initramfs.ErrFilter) {
			r.Opaque = true
			return strings.Join(kinds, " and ") + ", which is not looked into"
		}
		if err != nil {
			r.problem("its initramfs cannot be unpacked (%s): %v", kind, err)
			break
		}
		for len(raw) > 0 {
			used, n := r.members(raw)
			unpacked, files = unpacked+used, files+n
			raw = bytes.TrimLeft(raw[used:], "\x00")
		}
		b = rest
	}
	return fmt.Sprintf("%s, %s unpacked, %d files, %d commands", strings.Join(kinds, " and "), payload.Size(unpacked), files, len(r.Commands))
}

// members lists the files of a cpio archive (Documentation/driver-api/early-userspace/buffer-format.rst
// of Linux), and returns the bytes that it takes and their number.
func (r *Report) members(raw []byte) (used int64, files int) {
	const headerSize, mode, fileSize, nameSize = 110, 1, 6, 11 // fields of 8 hexadecimal digits after the magic
	total := int64(len(raw))
	round4 := func(n int64) int64 { return (n + 3) &^ 3 }
	for at := int64(0); ; files++ {
		field := func(n int64) int64 {
			v, err := strconv.ParseUint(string(raw[at+6+8*n:at+14+8*n]), 16, 32)
			if err != nil {
				return total
			}
			return int64(v)
		}
		if at+headerSize > total || string(raw[at:at+5]) != "07070" {
			r.problem("its initramfs is truncated or damaged after %d files", files)
			return total, files
		}
		data := round4(at + headerSize + field(nameSize))
		end := data + field(fileSize)
		if end > total || field(nameSize) == 0 {
			r.problem("its initramfs is truncated or damaged after %d files", files)
			return total, files
		}
		name := strings.TrimRight(string(raw[at+headerSize:at+headerSize+field(nameSize)]), "\x00")
		if name == "TRAILER!!!" {
			return end, files
		}
		switch field(mode) & cpio.S_IFMT {
		case cpio.S_IFREG:
			if r.archiveMembers {
				r.Parts = append(r.Parts, Part{Name: name, Size: end - data})
			}
			if (name == settingsFile || path.Dir(name) == keysDir) && end-data <= maxConfig {
				if r.Config == nil {
					r.Config = map[string][]byte{}
				}
				r.Config[name] = raw[data:end]
			}
			if dir, ok := strings.CutPrefix(name, "lib/modules/"); ok {
				if release, _, _ := strings.Cut(dir, "/"); len(r.modules) < 8 && !slices.Contains(r.modules, release) {
					r.modules = append(r.modules, release)
				}
			}
		case cpio.S_IFLNK:
			if path.Dir(name) == "bbin" {
				r.Commands = append(r.Commands, path.Base(name))
			}
		}
		at = round4(end)
	}
}

// inspectROM looks for coreboot's filesystem.
func inspectROM(r *Report, b []byte) (bool, error) {
	rom, err := cbfs.Parse(b)
	if errors.Is(err, cbfs.ErrNotROM) {
		return false, nil
	}
	r.Kind = "coreboot ROM"
	if err != nil {
		r.problem("%v", err)
		return true, nil
	}
	for _, f := range rom.Files {
		if f.Type != cbfs.Null && f.Type != cbfs.Deleted {
			r.Parts = append(r.Parts, Part{Name: f.Name, Size: int64(len(f.Data))})
		}
	}
	free := rom.Room("")
	r.Free = &free
	payload := rom.Find(cbfs.FallbackPayload)
	if payload == nil {
		r.problem("it has no %s, which is what coreboot starts", cbfs.FallbackPayload)
		return true, nil
	}
	segments, err := payload.Segments()
	if err != nil {
		r.problem("%v", err)
		return true, nil
	}
	const codeAddress, paramsAddress, cmdlineAddress = 0x40000, 0x90000, 0x91000 // where cbfstool puts them
	for _, s := range segments {
		p := Part{Name: fmt.Sprintf("%s at %#x", cbfs.FallbackPayload, s.Load), Size: int64(len(s.Data))}
		switch {
		case s.Compression != 0:
			p.What = "compressed"
		case s.Load == cmdlineAddress:
			text := strings.TrimRight(string(s.Data), "\x00")
			r.Cmdline = &text
			p.What = "command line"
		case s.Type == cbfs.Entry, s.Load == codeAddress, s.Load == paramsAddress:
		default:
			if _, err := kernel.IdentifyInitrd(bytes.NewReader(s.Data), int64(len(s.Data))); err == nil {
				p.What = "initramfs: " + r.archive(s.Data)
			} else {
				p.What = "kernel"
			}
		}
		if s.Type != cbfs.Entry {
			r.Parts = append(r.Parts, p)
		}
	}
	return true, nil
}

// String returns the report as people read it.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, %s", r.File, r.Kind, payload.Size(r.Size))
	if r.Arch != "" {
		fmt.Fprintf(&b, ", for %s", r.Arch)
	}
	b.WriteString("\n")
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-13s %s\n", name, boot.Visible(value))
		}
	}
	line("Linux", r.Linux)
	line("name", r.Name)
	if r.Cmdline != nil {
		line("command line", *r.Cmdline)
	}
	for _, s := range r.Signatures {
		state := "holds"
		if s.Problem != "" {
			state = s.Problem
		}
		line("signed by", s.Subject+": "+state)
	}
	if r.Free != nil {
		line("free", payload.Size(*r.Free))
	}
	width := 0
	for _, p := range r.Parts {
		width = max(width, len(p.Name))
	}
	for _, p := range r.Parts {
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("    %-*s %12s  %s", width, boot.Visible(p.Name), payload.Size(p.Size), p.What), " "))
	}
	if r.Commands != nil {
		line("commands", strings.Join(r.Commands, " "))
	}
	for _, p := range r.Problems {
		line("PROBLEM", p)
	}
	return b.String()
}

// inspectFlash looks for firmware volumes.
func inspectFlash(r *Report, b []byte) (bool, error) {
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
		r.Parts = append(r.Parts, Part{fmt.Sprintf("volume %d at %#x", i, v.Offset), v.Size, payload.Size(v.Free) + " free"})
	}
	if len(im.Volumes) > 0 {
		r.Free = &im.Volumes[0].Free
	}
	for _, f := range im.Files {
		p := Part{f.Name, f.Size, strings.ToLower(f.Type)}
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

// payload describes what is where edk2 has its Shell.
func (r *Report) payload(program []byte) string {
	in := &Report{}
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
