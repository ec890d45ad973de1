package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/payload/cbfs"
)

// coreboot says what goes into which coreboot ROM.
type coreboot struct {
	parts
	rom    string
	output string
	dryRun bool
}

func runCoreboot(ctx context.Context, args []string, out output) error {
	var c coreboot
	flags := flag.NewFlagSet("coreboot", flag.ContinueOnError)
	c.parts.flags(flags)
	flags.StringVar(&c.rom, "rom", "", "coreboot ROM `FILE` to add to; it stays as it is")
	flags.BoolVar(&c.dryRun, "dry-run", false, "only say what would be done")
	flags.StringVar(&c.output, "o", "", "`FILE` to write (default build/ARCH/coreboot.rom, of the checkout)")
	if err := parseFlags(flags, args, out); err != nil {
		return err
	}
	if c.rom == "" {
		return misuse("--rom FILE is needed: a ROM that coreboot's build made for your board")
	}
	if err := c.complete(ctx, flags); err != nil {
		return err
	}
	if err := setOutput(ctx, &c.output, c.arch, "coreboot.rom"); err != nil {
		return err
	}
	return c.write(ctx, out)
}

// write makes the ROM and writes it.
func (c coreboot) write(ctx context.Context, out output) error {
	kernelImage, err := os.ReadFile(c.kernel)
	if err != nil {
		return err
	}
	info, err := kernel.Identify(bytes.NewReader(kernelImage), int64(len(kernelImage)))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", c.kernel, err)
	case info.Format != kernel.BzImage:
		return fmt.Errorf("%s is a kernel of format %s, and coreboot starts a bzImage", c.kernel, info.Format)
	}
	protected := kernelImage[kernel.SetupSize(kernelImage):]
	initrd, err := readInitrd(c.initramfs)
	if err != nil {
		return err
	}
	romImage, err := os.ReadFile(c.rom)
	if err != nil {
		return err
	}
	rom, err := cbfs.Parse(romImage)
	if err != nil {
		return fmt.Errorf("%s: %w", c.rom, err)
	}
	need := int64(len(protected)+len(initrd)+len(c.cmdline)) + payloadOverhead
	have := rom.Room(cbfs.FallbackPayload)
	if need > have {
		return fmt.Errorf("%s has room for a payload of %d bytes and %d are needed (kernel %d, initramfs %d): %d too many; build coreboot with a larger CONFIG_CBFS_SIZE, or take the minimal initramfs",
			c.rom, have, need, len(protected), len(initrd), need-have)
	}

	var steps [][]string
	if old := rom.Find(cbfs.FallbackPayload); old != nil {
		out.progress("replacing the payload of %d bytes that is there", len(old.Data))
		steps = append(steps, []string{"remove", "-n", cbfs.FallbackPayload})
	}
	// Uncompressed: both parts are compressed already. What Debian's cbfstool
	// cannot compress it writes broken, and calls that a success.
	steps = append(steps, []string{"add-payload", "-n", cbfs.FallbackPayload, "-f", c.kernel, "-I", c.initramfs, "-C", c.cmdline, "-c", "none"})
	if c.dryRun {
		for _, s := range steps {
			fmt.Fprintf(out.stdout, "  cbfstool %s\n", shellQuote(append([]string{c.output}, s...)))
		}
		fmt.Fprintf(out.stdout, "would write %s: Linux %s, %s of %s used\n", c.output, info.Version, size(need), size(have))
		return nil
	}
	if _, err := exec.LookPath("cbfstool"); err != nil {
		return errors.New("cbfstool is not installed: install coreboot-utils (Debian), or build coreboot's util/cbfstool")
	}
	dir, err := os.MkdirTemp("", "mkpayload-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	work := filepath.Join(dir, "rom")
	if err := os.WriteFile(work, romImage, 0o600); err != nil {
		return err
	}
	for _, s := range steps {
		if _, err := command(ctx, "", "cbfstool", append([]string{work}, s...)...); err != nil {
			return err
		}
	}
	made, err := os.ReadFile(work)
	if err != nil {
		return err
	}
	if err := checkCoreboot(made, romImage, protected, initrd, c.cmdline); err != nil {
		return fmt.Errorf("cbfstool made a ROM that would not boot: %w", err)
	}
	if err := writeBytes(c.output, made); err != nil {
		return err
	}
	left := have - need
	fmt.Fprintf(out.stdout, "%s: Linux %s, payload %s, %s left\n", c.output, info.Version, size(need), size(left))
	return nil
}

// payloadOverhead is more than a payload takes besides kernel, initramfs and
// command line: the file's header, segments, parameters and start code.
const payloadOverhead = 256 + 6*28 + 4224 + 256

// checkCoreboot tells whether a ROM holds the payload that it should, and what
// it held before.
func checkCoreboot(made, before, kernelImage, initrd []byte, cmdline string) error {
	if len(made) != len(before) {
		return fmt.Errorf("its size has changed from %d to %d bytes", len(before), len(made))
	}
	rom, err := cbfs.Parse(made)
	if err != nil {
		return err
	}
	old, err := cbfs.Parse(before)
	if err != nil {
		return err
	}
	payload := rom.Find(cbfs.FallbackPayload)
	if payload == nil {
		return errors.New("there is no " + cbfs.FallbackPayload + " in it")
	}
	segments, err := payload.Segments()
	if err != nil {
		return err
	}
	for _, want := range []struct {
		what string
		data []byte
	}{{"kernel", kernelImage}, {"initramfs", initrd}, {"command line", append([]byte(cmdline), 0)}} {
		found := false
		for _, s := range segments {
			found = found || s.Compression == 0 && bytes.Equal(s.Data, want.data)
		}
		if !found {
			return fmt.Errorf("the %s is not in its payload as it should be", want.what)
		}
	}
	for _, f := range old.Files {
		if f.Type == cbfs.Null || f.Type == cbfs.Deleted || f.Name == cbfs.FallbackPayload {
			continue
		}
		if g := rom.Find(f.Name); g == nil || !bytes.Equal(g.Data, f.Data) {
			return fmt.Errorf("its file %s has changed", f.Name)
		}
	}
	return nil
}
