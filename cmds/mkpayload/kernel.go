package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/alpboot/alpboot/boot/kernel/unpack"
	content "github.com/alpboot/alpboot/initramfs"
)

// kernelLogic is part of the cache's key: count it up whenever a change below
// makes a different kernel of the same inputs.
const kernelLogic = 2

// debianSource is where Debian's package linux-source-6.12 puts the source.
const debianSource = "/usr/src/linux-source-6.12.tar.xz"

// kernelTools are the programs that building Linux runs.
var kernelTools = []string{"make", "gcc", "ld", "flex", "bison", "bc", "tar", "xz"}

// kernelTarget is what building Linux for one processor takes.
type kernelTarget struct {
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

// kernelTargets are the processors that there is a configuration for, by what
// uname -m says.
var kernelTargets = map[string]kernelTarget{
	"x86_64":  {"amd64", "x86", "x86_64-linux-gnu-", "x86_64", "bzImage", append(fastFlags, clearFlags)},
	"aarch64": {"arm64", "arm64", "aarch64-linux-gnu-", "arm64", "vmlinuz.efi", fastFlags},
}

// prefix is what the names of compiler and linker begin with on this machine.
func (t kernelTarget) prefix() string {
	if t.goarch == runtime.GOARCH {
		return ""
	}
	return t.cross
}

// kernelBuild says which kernel to build, and of what.
type kernelBuild struct {
	arch      string // as uname -m says it
	source    string // a tree or tarball of Linux
	cache     string // folder of kernels built before
	output    string
	jobs      int
	force     bool
	fromCache bool // fail unless the cache has it
	raw       bool // unpacked, for loaders that cannot do it
	dryRun    bool

	// keep keeps source and products of the compiler in the cache, from which
	// a kernel with other contents is linked in a minute.
	keep bool
	// builtin is an initramfs and a command line that are built in; nil for none.
	builtin *builtin
}

func runKernel(ctx context.Context, args []string, out output) error {
	k := kernelBuild{arch: "x86_64"}
	flags := flag.NewFlagSet("kernel", flag.ContinueOnError)
	flags.Func("arch", "processor: amd64 or arm64 (default amd64)", func(s string) error {
		goarch, err := goarch(s)
		k.arch = archs[goarch]
		return err
	})
	flags.StringVar(&k.source, "source", os.Getenv("KERNEL_SRC"), "tree or tarball of Linux (default $KERNEL_SRC, else "+debianSource+")")
	flags.StringVar(&k.cache, "cache", "", "`DIR` that keeps what was built (default $XDG_CACHE_HOME/alpboot)")
	flags.IntVar(&k.jobs, "jobs", runtime.NumCPU(), "how many compilers run at once")
	flags.BoolVar(&k.force, "rebuild", false, "build even if the same was built before")
	flags.BoolVar(&k.fromCache, "cached", false, "fail unless the same was built before")
	flags.BoolVar(&k.dryRun, "dry-run", false, "only say what would be built")
	flags.BoolVar(&k.raw, "raw", false, "arm64: write the Image as U-Boot's booti and QEMU's -kernel take it, not the PE file that unpacks itself")
	flags.StringVar(&k.output, "o", "", "`FILE` to write (default build/ARCH/vmlinuz, or with --raw Image, of the checkout)")
	if err := parseFlags(flags, args, out); err != nil {
		return err
	}
	if k.raw && k.arch == "x86_64" {
		return errors.New("--raw is for arm64: kernels of x86_64 unpack themselves for every loader")
	}
	return k.build(ctx, out)
}

// findSource takes Debian's source of Linux when none was named.
func (k *kernelBuild) findSource() error {
	if k.source != "" {
		return nil
	}
	k.source = debianSource
	if _, err := os.Stat(k.source); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no source of Linux: install Debian's linux-source-6.12, or name a tree or tarball with --source or $KERNEL_SRC")
	}
	return nil
}

// build makes the kernel, or takes it from the cache, and writes it.
func (k kernelBuild) build(ctx context.Context, out output) error {
	target, ok := kernelTargets[k.arch]
	if !ok {
		return fmt.Errorf("there is no kernel configuration for %s", k.arch)
	}
	fragment, err := content.KernelConfig(target.config)
	if err != nil {
		return err
	}
	if err := k.findSource(); err != nil {
		return err
	}
	name := "vmlinuz"
	if k.raw {
		name = "Image"
	}
	if err := setOutput(ctx, &k.output, target.goarch, name); err != nil {
		return err
	}
	if k.dryRun {
		fmt.Fprintf(out.stdout, "  Linux for %s from %s, by %d compilers: make %s\n  %d lines of configuration, of common.config and %s.config\nwould write %s\n",
			k.arch, k.source, k.jobs, strings.Join(append([]string{target.image}, target.flags...), " "), len(parseConfig(fragment)), target.config, k.output)
		return nil
	}
	if k.cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("where to keep what is built: %w; use --cache", err)
		}
		k.cache = filepath.Join(dir, "alpboot")
	}
	for _, tool := range append(kernelTools, target.prefix()+"gcc", target.prefix()+"ld") {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not installed: building Linux for %s needs it", tool, k.arch)
		}
	}
	key, err := k.key(ctx, fragment)
	if err != nil {
		return err
	}
	cached := filepath.Join(k.cache, k.cached(key))
	if _, err := os.Stat(cached); err != nil && k.fromCache {
		return fmt.Errorf("this kernel has not been built yet: %w", err)
	} else if err != nil || k.force {
		if err := k.compile(ctx, target, fragment, key, cached, out); err != nil {
			return err
		}
	} else {
		out.progress("the same kernel was built before: %s", cached)
	}
	release, err := k.write(cached)
	if err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%s: Linux %s, %s\n", k.output, release, fileSize(k.output))
	return nil
}

// write writes the output from the file that was built, and gives the kernel's
// release.
func (k kernelBuild) write(built string) (string, error) {
	if k.arch == "x86_64" {
		if err := copyFile(k.output, built); err != nil {
			return "", err
		}
		return kernelRelease(k.output)
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
	if k.raw {
		var image bytes.Buffer
		if err := unpack.Image(&image, r, r.Size()); err != nil {
			return "", fmt.Errorf("unpacking %s: %w", built, err)
		}
		b = image.Bytes()
	}
	return release, writeBytes(k.output, b)
}

// key names what is built by all that goes into it: the configuration, the
// source, the compiler and the steps below.
func (k kernelBuild) key(ctx context.Context, fragment string) (string, error) {
	h := sha256.New()
	// Comments may change.
	fmt.Fprintf(h, "%d\x00%s\x00%s\x00", kernelLogic, k.arch, parseConfig(fragment))
	for _, tool := range []string{"gcc", "ld"} {
		version, err := command(ctx, "", kernelTargets[k.arch].prefix()+tool, "--version")
		if err != nil {
			return "", err
		}
		h.Write(version)
	}
	if err := hashSource(h, k.source); err != nil {
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
// beside it. It works in a folder there, so that the source stays as it is.
func (k kernelBuild) compile(ctx context.Context, target kernelTarget, fragment, key, built string, out output) error {
	if err := os.MkdirAll(k.cache, 0o777); err != nil {
		return err
	}
	work, done, err := k.workFolder(key)
	if err != nil {
		return err
	}
	defer done()

	tree := k.source
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
	out.progress("compiling Linux %s with %d compilers at once; two take six minutes, and one when most of it is there", strings.TrimSpace(string(release)), k.jobs)
	goal := append([]string{"-s", fmt.Sprintf("-j%d", k.jobs), target.image}, target.flags...)
	if _, err := m.run(goal...); err != nil {
		return fmt.Errorf("compiling Linux: %w", err)
	}
	// The kernel has no names for the addresses that an oops shows.
	if err := copyFile(built+".map", filepath.Join(objects, "System.map")); err != nil {
		return err
	}
	return copyFile(built, filepath.Join(objects, "arch", target.linux, "boot", target.image))
}

// workFolder gives the folder to build in, and a function to be called when it
// is not needed any more.
func (k kernelBuild) workFolder(key string) (string, func(), error) {
	if !k.keep {
		work, err := os.MkdirTemp(k.cache, ".build-")
		return work, func() { os.RemoveAll(work) }, err
	}
	work := filepath.Join(k.cache, "tree-"+k.arch)
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

// unpack gives the tree of a tarball, below the folder work.
func (k kernelBuild) unpack(ctx context.Context, work string, out output) (string, error) {
	tree := filepath.Join(work, "source")
	if _, err := os.Stat(tree); err == nil {
		return tree, nil
	}
	out.progress("unpacking %s", k.source)
	half := tree + ".new"
	if err := os.RemoveAll(half); err != nil {
		return "", err
	}
	if err := os.Mkdir(half, 0o777); err != nil {
		return "", err
	}
	if _, err := command(ctx, "", "tar", "-x", "--strip-components=1", "-f", k.source, "-C", half); err != nil {
		return "", fmt.Errorf("unpacking %s: %w", k.source, err)
	}
	return tree, os.Rename(half, tree)
}

// kmake runs make for a kernel tree whose products go to another folder.
type kmake struct {
	ctx           context.Context
	tree, objects string
	target        kernelTarget
}

// run runs make and gives what it printed; its error ends with the last lines
// of that.
func (m kmake) run(args ...string) ([]byte, error) {
	cmd := exec.CommandContext(m.ctx, "make", append([]string{"-C", m.tree, "O=" + m.objects, "--no-print-directory",
		"ARCH=" + m.target.linux, "CROSS_COMPILE=" + m.target.prefix()}, args...)...)
	// Killed, make would leave its compilers behind; terminated, it ends them.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	// The banner names a builder and a time: the same ones for everybody.
	cmd.Env = append(environmentWithout(append(compressorOptions, "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "ARCH", "CROSS_COMPILE", "LLVM",
		"KCFLAGS", "KCPPFLAGS", "KAFLAGS", "KBUILD_OUTPUT", "KCONFIG_CONFIG", "KCONFIG_ALLCONFIG")...),
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

func environmentWithout(names ...string) []string {
	var env []string
next:
	for _, e := range os.Environ() {
		for _, n := range names {
			if strings.HasPrefix(e, n+"=") {
				continue next
			}
		}
		env = append(env, e)
	}
	return env
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
