package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
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
	"github.com/u-root/mkuimage/uimage/initramfs"
	"github.com/u-root/uio/llog"

	content "github.com/alpboot/alpboot/initramfs"
)

// archs maps GOARCH to what uname -m says, which names output folders and
// kernel configurations.
var archs = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64"}

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

// compressorOptions are variables that would change what compressors make: xz
// takes filters and block sizes from its own.
var compressorOptions = []string{"XZ_OPT", "XZ_DEFAULTS", "ZSTD_CLEVEL", "ZSTD_NBTHREADS"}

// compressorFor gives the program that compresses for a processor's kernel. A filter
// for machine code makes x86 images 6% smaller; that for ARM64 is unknown to
// kernels before 6.11.
func compressorFor(name, goarch string) []string {
	c := compressors[name].command
	if name == "xz" && goarch == "amd64" {
		return slices.Insert(slices.Clone(c), len(c)-1, "--x86")
	}
	return c
}

// extraFile is a file or folder of this machine and its path in the image.
type extraFile struct {
	source, path string
}

// parseExtraFile reads SOURCE:PATH.
func parseExtraFile(s string) (extraFile, error) {
	source, to, ok := strings.Cut(s, ":")
	to = strings.TrimPrefix(path.Clean(to), "/")
	if !ok || source == "" || to == "." || !filepath.IsLocal(to) {
		return extraFile{}, errors.New("must be SOURCE:PATH, with a path inside the image")
	}
	if _, err := os.Lstat(source); err != nil {
		return extraFile{}, err
	}
	return extraFile{source, to}, nil
}

// image says what an initramfs consists of.
type image struct {
	goarch   string
	minimal  bool
	compress string // a key of compressors
	kernel   string // image of a distribution's kernel whose modules to pack, or ""
	modules  string // folder of them
	files    []extraFile
	output   string
	dryRun   bool
}

func runInitramfs(ctx context.Context, args []string, out output) error {
	var im image
	flags := flag.NewFlagSet("initramfs", flag.ContinueOnError)
	flags.StringVar(&im.goarch, "arch", "amd64", "processor to build for, as Go spells it: amd64, arm64, riscv64")
	flags.BoolVar(&im.minimal, "minimal", false, "leave out the shell and all commands but the menu")
	flags.StringVar(&im.compress, "compress", "xz", "how to compress: xz, zstd or none")
	flags.StringVar(&im.kernel, "kernel", "", "pack the modules that the menu needs on this `FILE`, a distribution's kernel")
	flags.StringVar(&im.modules, "modules", "/lib/modules", "`DIR` with the modules of --kernel: lib/modules/RELEASE, or its parent")
	flags.Func("files", "add the file or folder `SOURCE:PATH`, with the shared libraries that it needs; may be repeated", func(s string) error {
		f, err := parseExtraFile(s)
		im.files = append(im.files, f)
		return err
	})
	flags.BoolVar(&im.dryRun, "dry-run", false, "only say what would be built")
	flags.StringVar(&im.output, "o", "", "`FILE` to write (default build/ARCH/initramfs.cpio.xz, of the checkout)")
	if err := parseFlags(flags, args, out); err != nil {
		return err
	}
	if im.kernel == "" && given(flags, "modules") {
		return misuse("--modules needs --kernel, to know for which kernel")
	}
	return im.build(ctx, out)
}

// build makes the image and writes it.
func (im image) build(ctx context.Context, out output) error {
	if _, ok := archs[im.goarch]; !ok {
		return fmt.Errorf("unknown --arch %q: use amd64, arm64 or riscv64", im.goarch)
	}
	comp, ok := compressors[im.compress]
	if !ok {
		return fmt.Errorf("unknown --compress %q: use xz, zstd or none", im.compress)
	}
	if comp.command != nil {
		if _, err := exec.LookPath(comp.command[0]); err != nil {
			return fmt.Errorf("%s is not installed: install it, or use another --compress", comp.command[0])
		}
	}
	src, err := findSource(ctx)
	if err != nil {
		return err
	}
	if im.output == "" {
		name := "initramfs"
		if im.minimal {
			name += "-minimal"
		}
		im.output = filepath.Join(src.build(im.goarch), name+comp.ending)
	}

	var packed []cpio.Record
	if im.kernel != "" {
		if packed, err = packModules(im.kernel, im.modules, out); err != nil {
			return fmt.Errorf("packing kernel modules: %w", err)
		}
	}

	commands := content.Commands(modulePath, im.minimal)
	if im.dryRun {
		names := make([]string, len(commands))
		for i, c := range commands {
			names[i] = path.Base(c)
		}
		fmt.Fprintf(out.stdout, "  go build of %d commands for %s: %s\n", len(commands), im.goarch, strings.Join(names, " "))
		for _, f := range im.files {
			fmt.Fprintf(out.stdout, "  %s as %s\n", f.source, f.path)
		}
		if comp.command != nil {
			fmt.Fprintf(out.stdout, "  %s\n", strings.Join(compressorFor(im.compress, im.goarch), " "))
		}
		fmt.Fprintf(out.stdout, "would write %s\n", im.output)
		return nil
	}

	dir, err := os.MkdirTemp("", "mkpayload-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	version := src.describe(ctx)
	out.progress("compiling the commands of alpboot %s for %s", version, im.goarch)
	bb := busybox{goarch: im.goarch, commands: commands, version: version, source: src}
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

	err = writeFile(im.output, func(w io.Writer) error {
		if comp.command == nil {
			_, err := raw.WriteTo(w)
			return err
		}
		return pack(ctx, compressorFor(im.compress, im.goarch), &raw, w)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%s: %s\n", im.output, fileSize(im.output))
	return nil
}

// pack compresses by a program.
func pack(ctx context.Context, program []string, r io.Reader, w io.Writer) error {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program[0], program[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, w, &stderr
	cmd.Env = environmentWithout(compressorOptions...)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("compressing: %w", explain(err, program[0], stderr.Bytes()))
	}
	return nil
}

// assemble lays out the image: the binary and its names, init's start commands,
// and whatever else is packed.
func (im image) assemble(bb busybox, binary string, packed []cpio.Record) (*initramfs.Files, error) {
	files := initramfs.NewFiles()
	if err := files.AddFile(binary, "bbin/bb"); err != nil {
		return nil, err
	}
	records := append(baseRecords(bb.version), packed...)
	for _, name := range bb.names() {
		records = append(records, cpio.Symlink("bbin/"+name, "bb"))
	}
	// u-root's init starts /bin/uinit, and should that end, /bin/defaultsh.
	records = append(records,
		cpio.Symlink("init", "bbin/init"),
		cpio.Symlink("bin/uinit", "../bbin/bootmenu"))
	if slices.Contains(bb.names(), "gosh") {
		records = append(records,
			cpio.Symlink("bin/defaultsh", "../bbin/gosh"),
			cpio.Symlink("bin/sh", "../bbin/gosh"))
	}
	if err := addRecords(files, records); err != nil {
		return nil, err
	}
	for _, f := range im.files {
		// Its libraries are found by running the loader, which only this machine's can.
		libraries := im.goarch == runtime.GOARCH
		var failed []string
		log := llog.New(0, func(format string, args ...any) { failed = append(failed, fmt.Sprintf(format, args...)) })
		if err := uimage.ParseExtraFiles(log, files, []string{f.source + ":" + f.path}, libraries); err != nil {
			return nil, fmt.Errorf("adding %s: %w", f.source, err)
		}
		if failed != nil {
			return nil, fmt.Errorf("adding %s: %s", f.source, strings.Join(failed, "; "))
		}
	}
	return files, nil
}

// addRecords adds records without what is by chance, such as times.
func addRecords(files *initramfs.Files, records []cpio.Record) error {
	for _, r := range records {
		if err := files.AddRecord(cpio.MakeReproducible(r)); err != nil {
			return err
		}
	}
	return nil
}

// baseRecords are the folders and device nodes that must be there before init
// has mounted anything, and a note of what this is.
func baseRecords(version string) []cpio.Record {
	var list []cpio.Record
	for _, dir := range []string{"bbin", "bin", "dev", "etc", "lib", "proc", "root", "run", "sys", "usr", "usr/lib", "var", "var/log"} {
		list = append(list, cpio.Directory(dir, 0o755))
	}
	return append(list,
		cpio.Directory("tmp", 0o1777),
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.CharDev("dev/null", 0o666, 1, 3),
		cpio.CharDev("dev/tty", 0o666, 5, 0),
		cpio.StaticFile("etc/os-release", osRelease(version), 0o644),
	)
}

// osRelease gives what os-release(5) says of alpboot.
func osRelease(version string) string {
	return fmt.Sprintf("ID=alpboot\nNAME=alpboot\nVERSION_ID=%s\nPRETTY_NAME=\"alpboot %s\"\n", version, version)
}

// writeArchive writes files as a newc cpio archive, sorted by path.
func writeArchive(w *bytes.Buffer, files *initramfs.Files) error {
	return initramfs.Write(&initramfs.Opts{Files: files, OutputFile: cpioOutput{cpio.Newc.Writer(w)}})
}

// cpioOutput makes a cpio writer what initramfs.Write writes to.
type cpioOutput struct {
	cpio.RecordWriter
}

func (o cpioOutput) OpenWriter() (initramfs.Writer, error) { return o, nil }
func (o cpioOutput) Finish() error                         { return cpio.WriteTrailer(o) }
