package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

	"github.com/alpboot/alpboot/boot/payload/flash"
)

// The files that say what was made.
const (
	sumsFile     = "SHA256SUMS"
	manifestFile = "manifest.json"
)

// everything says what to make all payloads of.
type everything struct {
	arch      string
	kernel    string // instead of our own
	modules   string // of that, for the UKIs
	initramfs string // instead of the one that is built
	minimal   string // the same for the one without a shell
	stub      string
	rom       string // coreboot's, or ""
	flash     string // edk2's
	sign      string
	dir       string
	dryRun    bool

	made    []product
	leftOut []absence
}

// product is a file that was made.
type product struct {
	file   string
	inputs []string
}

// absence says what was not made, and why.
type absence struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// manifest is the file that says what was made of what. It holds no time and
// no path, so that the same inputs give the same manifest.
type manifest struct {
	Version  string        `json:"version"`
	Arch     string        `json:"arch"`
	Payloads []payloadInfo `json:"payloads"`
	Inputs   []inputInfo   `json:"inputs"`
	LeftOut  []absence     `json:"left_out,omitempty"`
}

type payloadInfo struct {
	*report
	SHA256 string   `json:"sha256"`
	Inputs []string `json:"inputs"`
}

type inputInfo struct {
	File   string `json:"file"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

func runAll(ctx context.Context, args []string, out output) error {
	e := everything{arch: "amd64"}
	flags := flag.NewFlagSet("all", flag.ContinueOnError)
	flags.Func("arch", "processor: amd64 or arm64 (default amd64)", func(s string) (err error) {
		e.arch, err = goarch(s)
		return err
	})
	flags.StringVar(&e.kernel, "kernel", "", "kernel `FILE` to use instead of building ours")
	flags.StringVar(&e.modules, "modules", "", "`DIR` with the modules of --kernel, as of mkpayload uki")
	flags.StringVar(&e.initramfs, "initramfs", "", "initramfs `FILE` to use instead of building it")
	flags.StringVar(&e.minimal, "initramfs-minimal", "", "initramfs `FILE` without a shell to use instead of building it")
	flags.StringVar(&e.stub, "stub", "", "EFI stub `FILE` (default as of mkpayload uki)")
	flags.StringVar(&e.rom, "rom", "", "coreboot ROM `FILE` to add the menu to")
	flags.StringVar(&e.flash, "flash", "/usr/share/OVMF/OVMF_CODE_4M.fd", "UEFI firmware `FILE` to put the menu into")
	flags.StringVar(&e.sign, "sign", "", "sign the UKIs for Secure Boot with `KEY,CERT`")
	flags.BoolVar(&e.dryRun, "dry-run", false, "only say what would be made")
	flags.StringVar(&e.dir, "o", "", "`DIR` to write to (default build/ARCH, of the checkout)")
	if err := parseFlags(flags, args, out); err != nil {
		return err
	}
	if err := setOutput(ctx, &e.dir, e.arch, ""); err != nil {
		return err
	}
	return e.make(ctx, out)
}

// step is one file to be made.
type step struct {
	file   string
	inputs []string // of files that are not made here, paths; of others, names
	make   func() error
	why    string // why it is not made; "" when it is
}

func (e *everything) make(ctx context.Context, out output) error {
	// A relative path could be taken for a file that is made here.
	for _, file := range []*string{&e.kernel, &e.initramfs, &e.minimal, &e.stub, &e.rom, &e.flash} {
		if *file == "" {
			continue
		}
		var err error
		if *file, err = filepath.Abs(*file); err != nil {
			return err
		}
	}
	steps := e.steps(ctx, out)
	if !e.dryRun { // if anything fails below, those of a former build would not be true
		for _, name := range []string{sumsFile, manifestFile} {
			if err := os.Remove(filepath.Join(e.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	for _, s := range steps {
		switch {
		case s.why != "":
			out.progress("leaving out %s: %s", s.file, s.why)
			e.leftOut = append(e.leftOut, absence{s.file, s.why})
			continue
		case e.dryRun:
			if len(s.inputs) == 0 {
				fmt.Fprintf(out.stdout, "  %s, compiled\n", s.file)
			} else {
				fmt.Fprintf(out.stdout, "  %s of %s\n", s.file, strings.Join(s.inputs, ", "))
			}
			continue
		}
		if err := s.make(); err != nil {
			return fmt.Errorf("%s: %w", s.file, err)
		}
		e.made = append(e.made, product{s.file, s.inputs})
	}
	if e.dryRun {
		fmt.Fprintf(out.stdout, "would write them to %s, with SHA256SUMS and manifest.json\n", e.dir)
		return nil
	}
	return e.describe(ctx, out)
}

// steps lists what is made, in order.
func (e *everything) steps(ctx context.Context, out output) []step {
	path := func(name string) string { return filepath.Join(e.dir, name) }
	var steps []step
	kernelFile, kernelInput := e.kernel, e.kernel
	ours, ok := kernelTargets[archs[e.arch]]
	build := kernelBuild{arch: archs[e.arch], source: os.Getenv("KERNEL_SRC"), jobs: runtime.NumCPU(), keep: true}
	// The source, unless it is a tree: that has no sum.
	var source []string
	if err := build.findSource(); err == nil {
		if st, err := os.Stat(build.source); err == nil && st.Mode().IsRegular() {
			source = []string{build.source}
		}
	}
	own := e.kernel == "" && ok
	noUKI := "" // why there is none
	if own {
		if _, err := exec.LookPath(ours.prefix() + "gcc"); err != nil {
			own, noUKI = false, fmt.Sprintf("there is no compiler %sgcc for a kernel: install it, or name a distribution's kernel with --kernel", ours.prefix())
		}
	}
	switch {
	case own:
		kernelFile, kernelInput = path("vmlinuz"), "vmlinuz"
		k := build
		k.output = kernelFile
		steps = append(steps, step{file: "vmlinuz", inputs: source, make: func() error { return k.build(ctx, out) }})
	case e.kernel == "" && noUKI == "":
		noUKI = fmt.Sprintf("alpboot has no kernel of its own for %s: name a distribution's with --kernel", e.arch)
	}
	stub := e.stub
	if stub == "" {
		stub = stubFor(ctx, e.arch)
	}
	if _, err := os.Stat(stub); err != nil && noUKI == "" {
		noUKI = noStub(stub, e.arch)
	}
	for _, v := range []struct {
		given, name, uki string
		minimal          bool
	}{
		{e.initramfs, "initramfs.cpio.xz", "alpboot.efi", false},
		{e.minimal, "initramfs-minimal.cpio.xz", "alpboot-minimal.efi", true},
	} {
		file, input := v.given, v.given
		if file == "" {
			file, input = path(v.name), v.name
			im := image{goarch: e.arch, minimal: v.minimal, compress: "xz", output: file}
			steps = append(steps, step{file: v.name, make: func() error { return im.build(ctx, out) }})
		}
		p := parts{arch: e.arch, kernel: kernelFile, initramfs: file, cmdline: defaultCmdlines[e.arch]}
		u := unified{parts: p, stub: stub, modules: e.modules, sign: e.sign, output: path(v.uki)}
		steps = append(steps, step{file: v.uki, inputs: []string{kernelInput, input, stub}, make: func() error { return u.write(ctx, out) }, why: noUKI})
		if v.minimal || e.arch != "amd64" {
			continue
		}
		builtIn := step{file: "bzImage", inputs: append([]string{input}, source...), make: func() error {
			k := build
			k.output = path("bzImage")
			var err error
			if k.builtin, err = newBuiltin(file, p.cmdline); err != nil {
				return err
			}
			return k.build(ctx, out)
		}}
		if !own {
			builtIn.why = "an initramfs is built into our own kernel only"
		}
		c := coreboot{parts: p, rom: e.rom, output: path("coreboot.rom")}
		rom := step{file: "coreboot.rom", inputs: []string{kernelInput, input, e.rom}, make: func() error { return c.write(ctx, out) }}
		switch {
		case e.rom == "":
			rom.why = "no ROM was named with --rom"
		case kernelFile == "":
			rom.why = noUKI
		}
		steps = append(steps, builtIn, rom)
	}
	if e.arch != "amd64" {
		return steps
	}
	why := noUKI
	if _, err := os.Stat(e.flash); err != nil && why == "" {
		why = fmt.Sprintf("there is no %s: name UEFI firmware with --flash", filepath.Base(e.flash))
	}
	for _, v := range []struct {
		name, uki string
		remove    []string
	}{
		{"linuxboot.rom", "alpboot.efi", []string{"network"}},
		{"linuxboot-slim.rom", "alpboot.efi", slim},
	} {
		l := linuxboot{flash: e.flash, uki: path(v.uki), remove: v.remove, replace: flash.Shell, output: path(v.name)}
		steps = append(steps, step{file: v.name, inputs: []string{e.flash, v.uki}, make: func() error { return l.write(out) }, why: why})
	}
	return steps
}

// describe writes SHA256SUMS and manifest.json.
func (e *everything) describe(ctx context.Context, out output) error {
	m := manifest{Version: "unknown", Arch: archs[e.arch], LeftOut: e.leftOut}
	if src, err := findSource(ctx); err == nil {
		m.Version = src.describe(ctx)
	}
	var sums strings.Builder
	known := make(map[string]bool)
	for _, p := range e.made {
		b, err := os.ReadFile(filepath.Join(e.dir, p.file))
		if err != nil {
			return err
		}
		r, err := inspect(p.file, b)
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
			out.progress("%s: %s", p.file, problem)
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := writeBytes(filepath.Join(e.dir, manifestFile), append(text, '\n')); err != nil {
		return err
	}
	if err := writeBytes(filepath.Join(e.dir, sumsFile), []byte(sums.String())); err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%s: %d payloads, SHA256SUMS, manifest.json\n", e.dir, len(m.Payloads))
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
