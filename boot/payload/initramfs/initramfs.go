// Package initramfs builds the initramfs with the menu: the Go commands as one
// program, the kernel modules that the menu needs on a distribution's kernel, and
// the archive of both. What goes into it is listed in the directory initramfs of
// the checkout.
package initramfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/u-root/mkuimage/cpio"
	"github.com/u-root/mkuimage/uimage"
	uinitramfs "github.com/u-root/mkuimage/uimage/initramfs"
	"github.com/u-root/uio/llog"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/checkout"
	content "github.com/alpboot/alpboot/initramfs"
)

// compressors maps the names of compressions to file name endings and to the
// programs that do them. One thread each: more would change the bytes. The
// kernel's xz decoder knows no other checksum.
var compressors = map[string]struct {
	ending  string
	command []string
}{
	"none": {".cpio", nil},
	"xz":   {".cpio.xz", []string{"xz", "--check=crc32", "-T1", "-c", "--lzma2=preset=9e,lc=4"}},
	"zstd": {".cpio.zst", []string{"zstd", "-19", "-T1", "-q", "-c"}},
}

// compressorFor returns the program that compresses for a processor's kernel. A filter
// for machine code makes x86 images 6% smaller; that for ARM64 is unknown to
// kernels before 6.11.
func compressorFor(name, goarch string) []string {
	c := compressors[name].command
	if name == "xz" && goarch == "amd64" {
		return slices.Insert(slices.Clone(c), len(c)-1, "--x86")
	}
	return c
}

// ExtraFile is a file or directory of this machine and its path in the image.
type ExtraFile struct {
	Source, Path string
}

// ParseExtraFile reads SOURCE:PATH.
func ParseExtraFile(s string) (ExtraFile, error) {
	source, to, ok := strings.Cut(s, ":")
	to = strings.TrimPrefix(path.Clean(to), "/")
	if !ok || source == "" || to == "." || !filepath.IsLocal(to) {
		return ExtraFile{}, errors.New("must be SOURCE:PATH, with a path inside the image")
	}
	if _, err := os.Lstat(source); err != nil {
		return ExtraFile{}, err
	}
	return ExtraFile{source, to}, nil
}

// Archive returns files as an archive that can follow one of [Image], to add to it or
// to take the place of its files.
func Archive(list []ExtraFile) ([]byte, error) {
	files := uinitramfs.NewFiles()
	for _, f := range list {
		b, err := os.ReadFile(f.Source)
		if err != nil {
			return nil, err
		}
		if err := addRecords(files, []cpio.Record{cpio.StaticFile(f.Path, string(b), 0o644)}); err != nil {
			return nil, fmt.Errorf("adding %s: %w", f.Source, err)
		}
	}
	var raw bytes.Buffer
	err := writeArchive(&raw, files)
	return raw.Bytes(), err
}

// Image is what an initramfs consists of, and the file that it becomes.
type Image struct {
	Arch     string // as GOARCH spells it
	Version  string // of alpboot; "" for that of the checkout
	Minimal  bool   // without a shell
	Compress string // xz, zstd or none
	Kernel   string // image of a distribution's kernel whose modules to pack, or ""
	Modules  string // directory of them
	Files    []ExtraFile
	Output   string
	DryRun   bool
}

// Write makes the image and writes it.
func (im Image) Write(ctx context.Context, out payload.Output) error {
	if _, ok := payload.Unames()[im.Arch]; !ok {
		return fmt.Errorf("unknown --arch %q: use amd64, arm64 or riscv64", im.Arch)
	}
	comp, ok := compressors[im.Compress]
	if !ok {
		return fmt.Errorf("unknown --compress %q: use xz, zstd or none", im.Compress)
	}
	if comp.command != nil {
		if _, err := exec.LookPath(comp.command[0]); err != nil {
			return fmt.Errorf("%s is not installed: install it, or use another --compress", comp.command[0])
		}
	}
	src, err := checkout.Find(ctx)
	if err != nil {
		return err
	}
	if im.Output == "" {
		name := "initramfs"
		if im.Minimal {
			name += "-minimal"
		}
		im.Output = filepath.Join(src.Build(im.Arch), name+comp.ending)
	}

	var packed []cpio.Record
	if im.Kernel != "" {
		if packed, err = moduleRecords(im.Kernel, im.Modules, out); err != nil {
			return fmt.Errorf("packing kernel modules: %w", err)
		}
	}

	commands := content.Commands(checkout.Module, im.Minimal)
	if im.DryRun {
		names := make([]string, len(commands))
		for i, c := range commands {
			names[i] = path.Base(c)
		}
		out.Printf("  go build for %s: %s\n", im.Arch, strings.Join(names, " "))
		for _, f := range im.Files {
			out.Printf("  %s as %s\n", f.Source, f.Path)
		}
		if comp.command != nil {
			out.Printf("  %s\n", strings.Join(compressorFor(im.Compress, im.Arch), " "))
		}
		out.Printf("would write %s\n", im.Output)
		return nil
	}

	dir, err := os.MkdirTemp("", "mkpayload-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	version := im.Version
	if version == "" {
		version = src.Version(ctx)
	}
	out.Progress("compiling the commands of alpboot %s for %s", version, im.Arch)
	bb := busybox{goarch: im.Arch, commands: commands, minimal: im.Minimal, version: version, source: src}
	binary, err := bb.build(ctx, dir)
	if err != nil {
		return err
	}
	archive, err := im.assemble(bb, binary, packed)
	if err != nil {
		return err
	}
	var raw bytes.Buffer
	if err := writeArchive(&raw, archive); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}

	err = payload.WriteFile(im.Output, func(w io.Writer) error {
		if comp.command == nil {
			_, err := raw.WriteTo(w)
			return err
		}
		return pack(ctx, compressorFor(im.Compress, im.Arch), &raw, w)
	})
	if err != nil {
		return err
	}
	out.Printf("%s: %s\n", im.Output, payload.FileSize(im.Output))
	return nil
}

// pack compresses by a program.
func pack(ctx context.Context, program []string, r io.Reader, w io.Writer) error {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program[0], program[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, w, &stderr
	cmd.Env = payload.Environ()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("compressing: %w", payload.Explain(err, program[0], stderr.Bytes()))
	}
	return nil
}

// assemble lays out the image: the binary and its names, init's start commands,
// and whatever else is packed.
func (im Image) assemble(bb busybox, binary string, packed []cpio.Record) (*uinitramfs.Files, error) {
	files := uinitramfs.NewFiles()
	if err := files.AddFile(binary, "bbin/bb"); err != nil {
		return nil, err
	}
	records := append(baseRecords(bb.version), packed...)
	for _, name := range bb.names() {
		records = append(records, cpio.Symlink("bbin/"+name, "bb"))
	}
	records = append(records, cpio.Symlink("init", "bbin/bootmenu"))
	if slices.Contains(bb.names(), "sh") {
		records = append(records, cpio.Symlink("bin/sh", "../bbin/sh"))
	}
	if err := addRecords(files, records); err != nil {
		return nil, err
	}
	for _, f := range im.Files {
		// Its libraries are found by running the loader, which only this machine's can.
		libraries := im.Arch == runtime.GOARCH
		var failed []string
		log := llog.New(0, func(format string, args ...any) { failed = append(failed, fmt.Sprintf(format, args...)) })
		if err := uimage.ParseExtraFiles(log, files, []string{f.Source + ":" + f.Path}, libraries); err != nil {
			return nil, fmt.Errorf("adding %s: %w", f.Source, err)
		}
		if failed != nil {
			return nil, fmt.Errorf("adding %s: %s", f.Source, strings.Join(failed, "; "))
		}
	}
	return files, nil
}

// addRecords adds records without what is by chance, such as times.
func addRecords(files *uinitramfs.Files, records []cpio.Record) error {
	for _, r := range records {
		if err := files.AddRecord(cpio.MakeReproducible(r)); err != nil {
			return err
		}
	}
	return nil
}

// baseRecords are the directorys and device nodes that must be there before init
// has mounted anything, and a note of what this is.
func baseRecords(version string) []cpio.Record {
	var list []cpio.Record
	for _, dir := range []string{"bbin", "bin", "dev", "etc", "lib", "mnt", "proc", "root", "run", "sys", "usr", "usr/lib", "var", "var/log"} {
		list = append(list, cpio.Directory(dir, 0o755))
	}
	return append(list,
		cpio.Directory("tmp", 0o1777),
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.CharDev("dev/null", 0o666, 1, 3),
		cpio.CharDev("dev/tty", 0o666, 5, 0),
		cpio.StaticFile("etc/os-release", OSRelease(version), 0o644),
	)
}

// OSRelease returns alpboot's os-release(5).
func OSRelease(version string) string {
	return fmt.Sprintf("ID=alpboot\nNAME=alpboot\nVERSION_ID=%s\nPRETTY_NAME=\"alpboot %s\"\n", version, version)
}

// writeArchive writes files as a newc cpio archive, sorted by path.
func writeArchive(w *bytes.Buffer, files *uinitramfs.Files) error {
	return uinitramfs.Write(&uinitramfs.Opts{Files: files, OutputFile: cpioOutput{cpio.Newc.Writer(w)}})
}

// cpioOutput makes a cpio writer what initramfs.Write writes to.
type cpioOutput struct {
	cpio.RecordWriter
}

func (o cpioOutput) OpenWriter() (uinitramfs.Writer, error) { return o, nil }
func (o cpioOutput) Finish() error                          { return cpio.WriteTrailer(o) }
