// Package all makes every payload for a processor, with their sums and a
// manifest of what they were made of.
package all

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/checkout"
	"github.com/alpboot/alpboot/boot/payload/coreboot"
	"github.com/alpboot/alpboot/boot/payload/flash"
	"github.com/alpboot/alpboot/boot/payload/initramfs"
	"github.com/alpboot/alpboot/boot/payload/inspect"
	"github.com/alpboot/alpboot/boot/payload/linux"
	"github.com/alpboot/alpboot/boot/payload/uki"
)

// The files that list what was made.
const (
	sumsFile     = "SHA256SUMS"
	manifestFile = "manifest.json"
)

// Everything is what all payloads are made of, and where they go.
type Everything struct {
	Arch      string // as GOARCH spells it
	Version   string // of alpboot; "" for that of the checkout
	Kernel    string // instead of our own
	Modules   string // of that, for the UKIs
	Initramfs string // instead of the one that is built
	Minimal   string // the same for the one without a shell
	Stub      string
	ROM       string // coreboot's, or ""
	Flash     string // edk2's
	Sign      string
	Source    string // of Linux, as for [linux.Build]
	Dir       string
	DryRun    bool

	made    []product
	leftOut []absence
}

// product is a file that was made.
type product struct {
	file   string
	inputs []string
}

// absence is what was not made, and why.
type absence struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// manifest is the file that lists what was made of what. It holds no time and
// no path, so that the same inputs make the same manifest.
type manifest struct {
	Version  string        `json:"version"`
	Arch     string        `json:"arch"`
	Payloads []payloadInfo `json:"payloads"`
	Inputs   []inputInfo   `json:"inputs"`
	LeftOut  []absence     `json:"left_out,omitempty"`
}

type payloadInfo struct {
	*inspect.Report
	SHA256 string   `json:"sha256"`
	Inputs []string `json:"inputs"`
}

type inputInfo struct {
	File   string `json:"file"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// step is one file to be made.
type step struct {
	file   string
	inputs []string // of files that are not made here, paths; of others, names
	make   func() error
	why    string // why it is not made; "" when it is
}

// Make makes them, with SHA256SUMS and manifest.json.
func (e *Everything) Make(ctx context.Context, out payload.Output) error {
	// A relative path could be taken for a file that is made here.
	for _, file := range []*string{&e.Kernel, &e.Initramfs, &e.Minimal, &e.Stub, &e.ROM, &e.Flash} {
		if *file == "" {
			continue
		}
		var err error
		if *file, err = filepath.Abs(*file); err != nil {
			return err
		}
	}
	steps := e.steps(ctx, out)
	if !e.DryRun { // if anything fails below, those of an earlier build would not be true
		for _, name := range []string{sumsFile, manifestFile} {
			if err := os.Remove(filepath.Join(e.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	for _, s := range steps {
		switch {
		case s.why != "":
			out.Progress("leaving out %s: %s", s.file, s.why)
			e.leftOut = append(e.leftOut, absence{s.file, s.why})
			continue
		case e.DryRun:
			if len(s.inputs) == 0 {
				out.Printf("  %s, compiled\n", s.file)
			} else {
				out.Printf("  %s of %s\n", s.file, strings.Join(s.inputs, ", "))
			}
			continue
		}
		if err := s.make(); err != nil {
			return fmt.Errorf("%s: %w", s.file, err)
		}
		e.made = append(e.made, product{s.file, s.inputs})
	}
	if e.DryRun {
		out.Printf("would write them to %s, with SHA256SUMS and manifest.json\n", e.Dir)
		return nil
	}
	return e.describe(ctx, out)
}

// inFlash is the UKI for flash chips: all in xz, which is smallest. What lies on a
// disk is in zstd, which is unpacked sooner.
const inFlash = "alpboot-flash.efi"

// kernels are how our own kernels are packed, by the processor as GOARCH spells it.
var kernels = map[string][]string{"amd64": {"xz", "zstd"}, "arm64": {"zstd"}}

// kernelName is the file of our own kernel. The name without a suffix is of the one
// that mkpayload kernel makes: xz, and zstd on arm64.
func kernelName(arch, compress string) string {
	if compress != kernels[arch][0] {
		return "vmlinuz-" + compress
	}
	return "vmlinuz"
}

// variant is an initramfs, and the UKI of it.
type variant struct {
	named               string // an initramfs to take in its place, or ""
	initramfs, compress string
	uki                 string
	minimal             bool
	disk, flash         bool // what else lies there is of the same parts
}

// steps lists what is made, in order.
func (e *Everything) steps(ctx context.Context, out payload.Output) []step {
	path := func(name string) string { return filepath.Join(e.Dir, name) }
	var steps []step
	compiler := linux.Compiler(e.Arch)
	build := linux.Build{Arch: payload.Unames()[e.Arch], Source: e.Source, Jobs: runtime.NumCPU(), Keep: true}
	// The source, unless it is a tree: that has no sum.
	var source []string
	if file, err := linux.Source(e.Source); err == nil {
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() {
			source = []string{file}
		}
	}
	own := e.Kernel == "" && compiler != ""
	noUKI := "" // why there is none
	if own {
		if _, err := exec.LookPath(compiler); err != nil {
			own, noUKI = false, fmt.Sprintf("there is no compiler %s for a kernel: install it, or name a distribution's kernel with --kernel", compiler)
		}
	}
	switch {
	case own:
		for _, compress := range kernels[e.Arch] {
			k := build
			k.Output, k.Compress = path(kernelName(e.Arch, compress)), compress
			steps = append(steps, step{file: kernelName(e.Arch, compress), inputs: source, make: func() error { return k.Write(ctx, out) }})
		}
	case e.Kernel == "" && noUKI == "":
		noUKI = fmt.Sprintf("alpboot has no kernel of its own for %s: name a distribution's with --kernel", e.Arch)
	}
	stub := e.Stub
	if stub == "" {
		stub = uki.StubFor(ctx, e.Arch)
	}
	if _, err := os.Stat(stub); err != nil && noUKI == "" {
		noUKI = uki.NoStub(stub, e.Arch)
	}
	variants := []variant{
		{named: e.Initramfs, initramfs: "initramfs.cpio.zst", compress: "zstd", uki: "alpboot.efi", disk: true},
		{named: e.Initramfs, initramfs: "initramfs.cpio.xz", compress: "xz", uki: inFlash, flash: true},
		{named: e.Minimal, initramfs: "initramfs-minimal.cpio.xz", compress: "xz", uki: "alpboot-minimal.efi", minimal: true},
	}
	if !own { // a kernel that is named may unpack xz only, and is packed as it is
		variants[1].uki, variants[1].disk = "alpboot.efi", true
		variants = variants[1:]
	}
	for _, v := range variants {
		file, input := v.named, v.named
		if file == "" {
			file, input = path(v.initramfs), v.initramfs
			im := initramfs.Image{Arch: e.Arch, Version: e.Version, Minimal: v.minimal, Compress: v.compress, Output: file}
			steps = append(steps, step{file: v.initramfs, make: func() error { return im.Write(ctx, out) }})
		}
		kernelFile, kernelInput := e.Kernel, e.Kernel
		packed := ""
		if own {
			if packed = v.compress; !slices.Contains(kernels[e.Arch], packed) {
				packed = kernels[e.Arch][0]
			}
			kernelFile, kernelInput = path(kernelName(e.Arch, packed)), kernelName(e.Arch, packed)
		}
		p := payload.Parts{Arch: e.Arch, Kernel: kernelFile, Initramfs: file, Cmdline: payload.DefaultCmdline(e.Arch)}
		u := uki.Image{Parts: p, Version: e.Version, Stub: stub, Modules: e.Modules, Sign: e.Sign, Output: path(v.uki)}
		steps = append(steps, step{file: v.uki, inputs: []string{kernelInput, input, stub}, make: func() error { return u.Write(ctx, out) }, why: noUKI})
		if v.disk && e.Arch == "amd64" {
			builtIn := step{file: "bzImage", inputs: append([]string{input}, source...), make: func() error {
				k := build
				k.Output, k.Compress = path("bzImage"), packed
				k.Initramfs, k.Cmdline = file, p.Cmdline
				return k.Write(ctx, out)
			}}
			if !own {
				builtIn.why = "an initramfs is built into our own kernel only"
			}
			steps = append(steps, builtIn)
		}
		if v.flash && e.Arch == "amd64" {
			c := coreboot.ROM{Parts: p, ROM: e.ROM, Output: path("coreboot.rom")}
			rom := step{file: "coreboot.rom", inputs: []string{kernelInput, input, e.ROM}, make: func() error { return c.Write(ctx, out) }}
			switch {
			case e.ROM == "":
				rom.why = "no ROM was named with --rom"
			case kernelFile == "":
				rom.why = noUKI
			}
			steps = append(steps, rom)
		}
	}
	if e.Arch != "amd64" {
		return steps
	}
	why := noUKI
	if _, err := os.Stat(e.Flash); err != nil && why == "" {
		why = fmt.Sprintf("there is no %s: name UEFI firmware with --flash", filepath.Base(e.Flash))
	}
	image := inFlash
	if !own {
		image = "alpboot.efi"
	}
	for _, v := range []struct {
		name   string
		remove []string
	}{
		{"linuxboot.rom", []string{"network"}},
		{"linuxboot-slim.rom", flash.Groups()},
	} {
		l := flash.Firmware{Flash: e.Flash, UKI: path(image), Remove: v.remove, Replace: flash.Shell, Output: path(v.name)}
		steps = append(steps, step{file: v.name, inputs: []string{e.Flash, image}, make: func() error { return l.Write(out) }, why: why})
	}
	return steps
}

// describe writes SHA256SUMS and manifest.json.
func (e *Everything) describe(ctx context.Context, out payload.Output) error {
	m := manifest{Version: "unknown", Arch: payload.Unames()[e.Arch], LeftOut: e.leftOut}
	if e.Version != "" {
		m.Version = e.Version
	} else if src, err := checkout.Find(ctx); err == nil {
		m.Version = src.Version(ctx)
	}
	var sums strings.Builder
	known := make(map[string]bool)
	for _, p := range e.made {
		b, err := os.ReadFile(filepath.Join(e.Dir, p.file))
		if err != nil {
			return err
		}
		r, err := inspect.Bytes(p.file, b)
		if err != nil {
			return fmt.Errorf("%s: %w", p.file, err)
		}
		sum := sha256.Sum256(b)
		info := payloadInfo{r, hex.EncodeToString(sum[:]), []string{}}
		fmt.Fprintf(&sums, "%s  %s\n", info.SHA256, p.file)
		for _, in := range p.inputs {
			name := filepath.Base(in)
			info.Inputs = append(info.Inputs, name)
			if known[in] || in == name {
				continue // made here, and listed as such
			}
			known[in] = true
			size, hash, err := hashFile(in)
			if err != nil {
				return err
			}
			m.Inputs = append(m.Inputs, inputInfo{name, size, hash})
		}
		m.Payloads = append(m.Payloads, info)
		for _, problem := range r.Problems {
			out.Progress("%s: %s", p.file, problem)
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := payload.WriteBytes(filepath.Join(e.Dir, manifestFile), append(text, '\n')); err != nil {
		return err
	}
	if err := payload.WriteBytes(filepath.Join(e.Dir, sumsFile), []byte(sums.String())); err != nil {
		return err
	}
	out.Printf("%s: %d payloads, SHA256SUMS, manifest.json\n", e.Dir, len(m.Payloads))
	return nil
}

func hashFile(file string) (size int64, sum string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return size, hex.EncodeToString(h.Sum(nil)), err
}
