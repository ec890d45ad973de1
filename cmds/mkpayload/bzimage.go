package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/alpboot/alpboot/boot/kernel"
)

// builtin is what is built into a kernel.
type builtin struct {
	initramfs []byte // uncompressed: the kernel is compressed as a whole
	cmdline   string
}

// builtinName is the initramfs in the folder of the compiler's products, which
// paths in the configuration start from.
const builtinName = "alpboot.cpio"

func (b *builtin) write(objects string) error {
	return writeBytes(filepath.Join(objects, builtinName), b.initramfs)
}

// config gives the options that build it in.
func (b *builtin) config() string {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(b.cmdline)
	return fmt.Sprintf("\nCONFIG_INITRAMFS_SOURCE=%q\nCONFIG_INITRAMFS_COMPRESSION_NONE=y\nCONFIG_CMDLINE_BOOL=y\nCONFIG_CMDLINE=\"%s\"\n", builtinName, quoted)
}

// cached gives the name under which a kernel is kept, key being that of its
// configuration, source and compiler.
func (k kernelBuild) cached(key string) string {
	if k.builtin == nil {
		return "vmlinuz-" + k.arch + "-" + key
	}
	sum := sha256.Sum256(append(append([]byte(k.builtin.cmdline), 0), k.builtin.initramfs...))
	return fmt.Sprintf("bzImage-%s-%s-%x", k.arch, key, sum[:8])
}

func runBzimage(ctx context.Context, args []string, out output) error {
	k := kernelBuild{arch: "x86_64", keep: true}
	var initramfs, cmdline string
	var dryRun bool
	flags := flag.NewFlagSet("bzimage", flag.ContinueOnError)
	flags.StringVar(&initramfs, "initramfs", "", "initramfs `FILE` (default build/x86_64/initramfs.cpio.xz, of the checkout)")
	flags.StringVar(&cmdline, "cmdline", defaultCmdlines["amd64"], "kernel command line")
	flags.StringVar(&k.source, "source", os.Getenv("KERNEL_SRC"), "tree or tarball of Linux (default $KERNEL_SRC, else "+debianSource+")")
	flags.StringVar(&k.cache, "cache", "", "`DIR` that keeps what was built, and 2 GB for the next time (default $XDG_CACHE_HOME/alpboot)")
	flags.IntVar(&k.jobs, "jobs", runtime.NumCPU(), "how many compilers run at once")
	flags.BoolVar(&k.force, "rebuild", false, "link even if the same was built before")
	flags.BoolVar(&dryRun, "dry-run", false, "only say what would be built")
	flags.StringVar(&k.output, "o", "", "`FILE` to write (default build/x86_64/bzImage, of the checkout)")
	if err := parseFlags(flags, args, out); err != nil {
		return err
	}
	if err := setOutput(ctx, &initramfs, "amd64", "initramfs.cpio.xz"); err != nil {
		return fmt.Errorf("which --initramfs: %w", err)
	}
	if err := setOutput(ctx, &k.output, "amd64", "bzImage"); err != nil {
		return err
	}
	b, err := newBuiltin(initramfs, cmdline)
	if err != nil {
		return err
	}
	k.builtin = b
	if dryRun {
		fmt.Fprintf(out.stdout, "  initramfs  %s, unpacked\n  make O=OBJECTS bzImage, with these besides initramfs/kernel/x86_64.config:\n", size(int64(len(b.initramfs))))
		for _, o := range parseConfig(b.config()) {
			fmt.Fprintf(out.stdout, "    %s\n", o)
		}
		fmt.Fprintf(out.stdout, "would write %s\n", k.output)
		return nil
	}
	return k.build(ctx, out)
}

// newBuiltin reads the initramfs that is built in.
func newBuiltin(file, cmdline string) (*builtin, error) {
	b, err := readInitrd(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s: name another with --initramfs, or make it with mkpayload initramfs", file)
	}
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(cmdline, "\n\x00") || len(cmdline) > 2047 {
		return nil, errors.New("the command line must be one line of at most 2047 characters")
	}
	kind, err := kernel.IdentifyInitrd(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	raw := b
	if kind != "cpio" {
		if raw, err = unpackInitrd(kind, b); err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", file, err)
		}
	}
	return &builtin{raw, cmdline}, nil
}

// unpackInitrd unpacks an initramfs. The library for xz does not know its
// filters for machine code; the program does.
func unpackInitrd(kind string, b []byte) ([]byte, error) {
	ending, ok := endings[kind]
	if !ok {
		return nil, fmt.Errorf("it is packed with %s, which mkpayload does not unpack", kind)
	}
	raw, err := decompress(bytes.NewReader(b), ending, maxInitramfs)
	if err == nil || kind != "xz" {
		return raw, err
	}
	var stderr bytes.Buffer
	cmd := exec.Command("xz", "-dc")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(b), &stderr
	pipe, pipeErr := cmd.StdoutPipe()
	if pipeErr != nil || cmd.Start() != nil {
		return nil, err
	}
	raw, readErr := io.ReadAll(io.LimitReader(pipe, maxInitramfs))
	pipe.Close() // ends one that has more to say
	if waitErr := cmd.Wait(); waitErr != nil {
		return nil, explain(waitErr, "xz", stderr.Bytes())
	}
	return raw, readErr
}
