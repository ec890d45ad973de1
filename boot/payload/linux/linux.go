// Package linux builds the menu's own kernel from Linux's source, by itself or
// with an initramfs and a command line built in.
package linux

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alpboot/alpboot/boot/kernel/unpack"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/initramfs"
	content "github.com/alpboot/alpboot/initramfs"
)

// logic is part of the cache's key: count it up whenever a change below
// makes a different kernel of the same inputs.
const logic = 2

// DebianSource is where Debian's package linux-source-6.12 puts the source.
const DebianSource = "/usr/src/linux-source-6.12.tar.xz"

// tools are the programs that building Linux runs.
var tools = []string{"make", "gcc", "ld", "flex", "bison", "bc", "tar", "xz"}

// target is what building Linux for one processor takes.
type target struct {
	goarch string
	linux  string // ARCH of Linux's makefiles
	cross  string // prefix of the compiler's programs on a machine of another kind
	config string // the processor's own part of the configuration
	image  string // what make builds, in arch/LINUX/boot
	flags  []string
}

// fastFlags are for the few files of Linux in which code made for size costs
// time at each start: what unpacks the initramfs.
var fastFlags = []string{"CFLAGS_xz_dec_lzma2.o=-O2", "CFLAGS_xz_dec_bcj.o=-O2", "CFLAGS_crc32.o=-O2"}

// clearFlags has memory cleared by the kernel's function instead of byte by byte,
// which is slow on old processors, and on emulated ones takes a tenth of the start.
const clearFlags = "CFLAGS_page_alloc.o=-mstringop-strategy=libcall"

// targets are the processors that there is a configuration for, by what
// uname -m prints.
var targets = map[string]target{
	"x86_64":  {"amd64", "x86", "x86_64-linux-gnu-", "x86_64", "bzImage", append(fastFlags, clearFlags)},
	"aarch64": {"arm64", "arm64", "aarch64-linux-gnu-", "arm64", "vmlinuz.efi", fastFlags},
}

// prefix is what the names of compiler and linker begin with on this machine.
func (t target) prefix() string {
	if t.goarch == runtime.GOARCH {
		return ""
	}
	return t.cross
}

// Build is which kernel to build, and of what.
type Build struct {
	Arch    string // as uname -m prints it
	Source  string // a tree or tarball of Linux; Debian's when empty
	Cache   string // directory of kernels built before
	Output  string
	Jobs    int  // how many compilers run at once
	Rebuild bool // even if it is in the cache
	Cached  bool // fail unless the cache has it
	Raw     bool // unpacked, for loaders that cannot do it
	DryRun  bool

	// Compress is how the kernel is packed: xz, or zstd, which is a tenth larger and
	// unpacked in a sixth of the time; "" as its configuration has it.
	Compress string

	// Keep keeps source and products of the compiler in the cache, from which
	// a kernel with other contents is linked in a minute.
	Keep bool
	// Initramfs is a file that is built in, with a command line; "" for none.
	Initramfs, Cmdline string

	builtin *builtin
}

// Source returns the source of Linux: the one that is named, or Debian's.
func Source(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	if _, err := os.Stat(DebianSource); errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("no source of Linux: install Debian's linux-source-6.12, or name a tree or tarball with --source or $KERNEL_SRC")
	}
	return DebianSource, nil
}

// Compiler returns the name of the compiler for a kernel of a processor, as
// GOARCH spells it; "" when alpboot has no kernel for that.
func Compiler(goarch string) string {
	t, ok := targets[payload.Unames()[goarch]]
	if !ok {
		return ""
	}
	return t.prefix() + "gcc"
}

// Write makes the kernel, or takes it from the cache, and writes it.
func (k Build) Write(ctx context.Context, out payload.Output) error {
	target, ok := targets[k.Arch]
	if !ok {
		return fmt.Errorf("there is no kernel configuration for %s", k.Arch)
	}
	fragment, err := content.KernelConfig(target.config)
	if err != nil {
		return err
	}
	packed, err := packedBy(fragment, k.Compress)
	if err != nil {
		return err
	}
	if packed == fragment {
		k.Compress = ""
	}
	if k.Source, err = Source(k.Source); err != nil {
		return err
	}
	if k.Initramfs != "" {
		if k.builtin, err = newBuiltin(k.Initramfs, k.Cmdline); err != nil {
			return err
		}
	}
	switch {
	case k.DryRun && k.builtin != nil:
		out.Printf("  initramfs  %s, unpacked\n  make O=OBJECTS bzImage, with these besides initramfs/kernel/%s.config:\n", payload.Size(int64(len(k.builtin.initramfs))), target.config)
		for _, o := range parseConfig(k.builtin.config()) {
			out.Printf("    %s\n", o)
		}
		out.Printf("would write %s\n", k.Output)
		return nil
	case k.DryRun:
		out.Printf("  Linux for %s from %s, by %d compilers: make %s\n  %d lines of configuration, of common.config and %s.config\nwould write %s\n",
			k.Arch, k.Source, k.Jobs, strings.Join(append([]string{target.image}, target.flags...), " "), len(parseConfig(fragment)), target.config, k.Output)
		return nil
	}
	if k.Cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("where to keep what is built: %w; use --cache", err)
		}
		k.Cache = filepath.Join(dir, "alpboot")
	}
	needed := append(slices.Clone(tools), target.prefix()+"gcc", target.prefix()+"ld")
	if strings.Contains(packed, packings["zstd"]+"=y") {
		needed = append(needed, "zstd")
	}
	for _, tool := range needed {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not installed: building Linux for %s needs it", tool, k.Arch)
		}
	}
	key, err := k.key(ctx, fragment)
	if err != nil {
		return err
	}
	cached := filepath.Join(k.Cache, k.cached(key))
	if _, err := os.Stat(cached); err != nil && k.Cached {
		return fmt.Errorf("this kernel has not been built yet: %w", err)
	} else if err != nil || k.Rebuild {
		if err := k.compile(ctx, target, packed, key, cached, out); err != nil {
			return err
		}
	} else {
		out.Progress("the same kernel was built before: %s", cached)
	}
	release, err := k.write(cached)
	if err != nil {
		return err
	}
	out.Printf("%s: Linux %s, %s\n", k.Output, release, payload.FileSize(k.Output))
	return nil
}

// write writes the output from the file that was built, and returns the kernel's
// release.
func (k Build) write(built string) (string, error) {
	if k.Arch == "x86_64" {
		if err := payload.CopyFile(k.Output, built); err != nil {
			return "", err
		}
		return initramfs.Release(k.Output)
	}
	b, err := os.ReadFile(built)
	if err != nil {
		return "", err
	}
	r := bytes.NewReader(b)
	release, err := unpack.Version(r, r.Size(), unpack.Limit)
	if err != nil {
		return "", fmt.Errorf("%s: %w", built, err)
	}
	if k.Raw {
		var image bytes.Buffer
		if err := unpack.Image(&image, r, r.Size()); err != nil {
			return "", fmt.Errorf("unpacking %s: %w", built, err)
		}
		b = image.Bytes()
	}
	return release, payload.WriteBytes(k.Output, b)
}

// key names what is compiled by all that goes into it: the configuration, the
// source, the compiler and the steps below. How the result is packed, and what is
// built in, change nothing of that.
func (k Build) key(ctx context.Context, fragment string) (string, error) {
	h := sha256.New()
	// Comments may change.
	fmt.Fprintf(h, "%d\x00%s\x00%s\x00", logic, k.Arch, parseConfig(fragment))
	for _, tool := range []string{"gcc", "ld"} {
		version, err := payload.Run(ctx, "", targets[k.Arch].prefix()+tool, "--version")
		if err != nil {
			return "", err
		}
		h.Write(version)
	}
	if err := hashSource(h, k.Source); err != nil {
		return "", fmt.Errorf("reading the kernel source: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// hashSource adds a tarball's content to h, or the name, size and time of each
// file of a tree, whose content would take long to read.
func hashSource(h hash.Hash, source string) error {
	st, err := os.Stat(source)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		f, err := os.Open(source)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(h, f)
		return err
	}
	if _, err := os.Stat(filepath.Join(source, "Kconfig")); err != nil {
		return fmt.Errorf("%s is not a tree of Linux: it has no Kconfig", source)
	}
	return filepath.WalkDir(source, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(source, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s\x00%d\x00%d\x00", rel, info.Size(), info.ModTime().UnixNano())
		return nil
	})
}

// compile builds the kernel and writes it to the file built, and its symbols
// beside it. It works in a directory there, so that the source stays as it is.
func (k Build) compile(ctx context.Context, target target, fragment, key, built string, out payload.Output) error {
	if err := os.MkdirAll(k.Cache, 0o777); err != nil {
		return err
	}
	work, done, err := k.workDirectory(key)
	if err != nil {
		return err
	}
	defer done()

	tree := k.Source
	if st, err := os.Stat(tree); err != nil {
		return err
	} else if !st.IsDir() {
		if tree, err = k.unpack(ctx, work, out); err != nil {
			return err
		}
	} else if tree, err = filepath.Abs(tree); err != nil {
		return err
	}
	objects := filepath.Join(work, "objects")
	if err := os.MkdirAll(objects, 0o777); err != nil {
		return err
	}
	m := kmake{ctx: ctx, tree: tree, objects: objects, target: target}
	if k.builtin != nil {
		if err := k.builtin.write(objects); err != nil {
			return err
		}
		fragment += k.builtin.config()
	}
	if err := m.configure(fragment); err != nil {
		return err
	}
	release, err := m.run("-s", "kernelrelease")
	if err != nil {
		return err
	}
	out.Progress("compiling Linux %s with %d compilers at once; two take six minutes, and one when most of it is there", strings.TrimSpace(string(release)), k.Jobs)
	goal := append([]string{"-s", fmt.Sprintf("-j%d", k.Jobs), target.image}, target.flags...)
	if _, err := m.run(goal...); err != nil {
		return fmt.Errorf("compiling Linux: %w", err)
	}
	// The kernel has no names for the addresses that an oops shows.
	if err := payload.CopyFile(built+".map", filepath.Join(objects, "System.map")); err != nil {
		return err
	}
	return payload.CopyFile(built, filepath.Join(objects, "arch", target.linux, "boot", target.image))
}

// workDirectory returns the directory to build in, and a function to be called when it
// is not needed any more.
func (k Build) workDirectory(key string) (string, func(), error) {
	if !k.Keep {
		work, err := os.MkdirTemp(k.Cache, ".build-")
		return work, func() { os.RemoveAll(work) }, err
	}
	work := filepath.Join(k.Cache, "tree-"+k.Arch)
	lock, err := os.OpenFile(work+".lock", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return "", nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		lock.Close()
		return "", nil, fmt.Errorf("waiting for another build: %w", err)
	}
	done := func() { lock.Close() }
	// What was compiled of other inputs is of no use.
	if b, err := os.ReadFile(filepath.Join(work, "key")); err != nil || string(b) != key {
		err := os.RemoveAll(work)
		if err == nil {
			err = os.Mkdir(work, 0o777)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(work, "key"), []byte(key), 0o666)
		}
		if err != nil {
			done()
			return "", nil, err
		}
	}
	return work, done, nil
}

// unpack returns the tree of a tarball, below the directory work.
func (k Build) unpack(ctx context.Context, work string, out payload.Output) (string, error) {
	tree := filepath.Join(work, "source")
	if _, err := os.Stat(tree); err == nil {
		return tree, nil
	}
	out.Progress("unpacking %s", k.Source)
	half := tree + ".new"
	if err := os.RemoveAll(half); err != nil {
		return "", err
	}
	if err := os.Mkdir(half, 0o777); err != nil {
		return "", err
	}
	if _, err := payload.Run(ctx, "", "tar", "-x", "--strip-components=1", "-f", k.Source, "-C", half); err != nil {
		return "", fmt.Errorf("unpacking %s: %w", k.Source, err)
	}
	return tree, os.Rename(half, tree)
}

// kmake runs make for a kernel tree whose products go to another directory.
type kmake struct {
	ctx           context.Context
	tree, objects string
	target        target
}

// run runs make and returns what it printed; its error ends with the last lines
// of that.
func (m kmake) run(args ...string) ([]byte, error) {
	cmd := exec.CommandContext(m.ctx, "make", append([]string{"-C", m.tree, "O=" + m.objects, "--no-print-directory",
		"ARCH=" + m.target.linux, "CROSS_COMPILE=" + m.target.prefix()}, args...)...)
	// Killed, make would leave its compilers behind; terminated, it ends them.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	// The banner names a builder and a time: the same ones for everybody.
	cmd.Env = append(payload.Environ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "ARCH", "CROSS_COMPILE", "LLVM",
		"KCFLAGS", "KCPPFLAGS", "KAFLAGS", "KBUILD_OUTPUT", "KCONFIG_CONFIG", "KCONFIG_ALLCONFIG"),
		"LC_ALL=C", "KBUILD_BUILD_USER=alpboot", "KBUILD_BUILD_HOST=alpboot",
		"KBUILD_BUILD_VERSION=1", "KBUILD_BUILD_TIMESTAMP=1970-01-01 00:00:00 UTC", "LOCALVERSION=")
	var stdout, all bytes.Buffer
	cmd.Stdout = io.MultiWriter(&stdout, &all)
	cmd.Stderr = &all
	if err := cmd.Run(); err != nil {
		if bytes.Contains(all.Bytes(), []byte("mrproper")) {
			return nil, fmt.Errorf("%s holds the products of an earlier build: run make mrproper in it, or use a copy without them", m.tree)
		}
		lines := strings.Split(strings.TrimSpace(all.String()), "\n")
		return nil, fmt.Errorf("make %s: %w:\n%s", strings.Join(args, " "), err, strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
	return stdout.Bytes(), nil
}

// configure writes .config: tinyconfig, overridden by the fragment. It fails
// when the kernel's configuration system took another value than the fragment
// asks for, as it does without a word when a dependency is missing.
func (m kmake) configure(fragment string) error {
	if _, err := m.run("-s", "tinyconfig"); err != nil {
		return fmt.Errorf("configuring Linux: %w", err)
	}
	file := filepath.Join(m.objects, ".config")
	base, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(mergeConfig(string(base), fragment)), 0o666); err != nil {
		return err
	}
	if _, err := m.run("-s", "olddefconfig"); err != nil {
		return fmt.Errorf("configuring Linux: %w", err)
	}
	result, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if refused := refusedOptions(fragment, string(result)); refused != nil {
		return fmt.Errorf("configuring Linux: these options did not come out as asked for; each depends on another that is not set, is selected by one that is, or is unknown to this source:\n  %s", strings.Join(refused, "\n  "))
	}
	return nil
}
