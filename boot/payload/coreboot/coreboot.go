// Package coreboot puts the menu into a coreboot ROM, by cbfstool, and checks what
// that has written.
package coreboot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/cbfs"
)

// ROM is what goes into which coreboot ROM, and the file that it becomes.
type ROM struct {
	payload.Parts
	ROM    string
	Output string
	DryRun bool
}

// Write makes the ROM and writes it.
func (c ROM) Write(ctx context.Context, out payload.Output) error {
	kernelImage, err := os.ReadFile(c.Kernel)
	if err != nil {
		return err
	}
	info, err := kernel.Identify(bytes.NewReader(kernelImage), int64(len(kernelImage)))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", c.Kernel, err)
	case info.Format != kernel.BzImage:
		return fmt.Errorf("%s is a kernel of format %s, and coreboot starts a bzImage", c.Kernel, info.Format)
	}
	protected := kernelImage[kernel.SetupSize(kernelImage):]
	initrd, err := payload.ReadInitramfs(c.Initramfs)
	if err != nil {
		return err
	}
	romImage, err := os.ReadFile(c.ROM)
	if err != nil {
		return err
	}
	rom, err := cbfs.Parse(romImage)
	if err != nil {
		return fmt.Errorf("%s: %w", c.ROM, err)
	}
	need := int64(len(protected)+len(initrd)+len(c.Cmdline)) + payloadOverhead
	have := rom.Room(cbfs.FallbackPayload)
	if need > have {
		return fmt.Errorf("%s has room for a payload of %d bytes and %d are needed (kernel %d, initramfs %d): %d too many; build coreboot with a larger CONFIG_CBFS_SIZE, or take the minimal initramfs",
			c.ROM, have, need, len(protected), len(initrd), need-have)
	}

	var steps [][]string
	if old := rom.Find(cbfs.FallbackPayload); old != nil {
		out.Progress("replacing the payload of %d bytes that is there", len(old.Data))
		steps = append(steps, []string{"remove", "-n", cbfs.FallbackPayload})
	}
	// Uncompressed: both parts are compressed already. What Debian's cbfstool
	// cannot compress it writes broken, and calls that a success.
	steps = append(steps, []string{"add-payload", "-n", cbfs.FallbackPayload, "-f", c.Kernel, "-I", c.Initramfs, "-C", c.Cmdline, "-c", "none"})
	if c.DryRun {
		for _, s := range steps {
			out.Printf("  cbfstool %s\n", payload.Quote(append([]string{c.Output}, s...)))
		}
		out.Printf("would write %s: Linux %s, %s of %s used\n", c.Output, info.Version, payload.Size(need), payload.Size(have))
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
		if _, err := payload.Run(ctx, "", "cbfstool", append([]string{work}, s...)...); err != nil {
			return err
		}
	}
	made, err := os.ReadFile(work)
	if err != nil {
		return err
	}
	if err := checkCoreboot(made, romImage, protected, initrd, c.Cmdline); err != nil {
		return fmt.Errorf("cbfstool made a ROM that would not boot: %w", err)
	}
	if err := payload.WriteBytes(c.Output, made); err != nil {
		return err
	}
	left := have - need
	out.Printf("%s: Linux %s, payload %s, %s left\n", c.Output, info.Version, payload.Size(need), payload.Size(left))
	return nil
}

// payloadOverhead is more than a payload takes besides kernel, initramfs and
// command line: the file's header, segments, parameters and start code.
const payloadOverhead = 256 + 6*28 + 4224 + 256

// checkCoreboot reports whether a ROM holds the payload that it should, and what
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
