package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/checkout"
)

const usage = `usage: mkrelease [--version V] [--arch ARCH,...] [--payloads DIR] [--key FILE] [-o DIR]
       mkrelease verify [--payloads DIR] FILE

Makes the files of a release in DIR, or builds FILE of a release again and
compares. Both run inside a checkout of alpboot, verify in that of the release.

`

// run is the command. It returns the exit code: 1 when it failed or files differ.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("mkrelease", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	verify := len(args) > 0 && args[0] == "verify"
	if verify {
		args = args[1:]
	}
	r := release{out: payload.Output{Stdout: stdout, Progress: func(format string, args ...any) {
		fmt.Fprintf(stderr, "mkrelease: "+format+"\n", args...)
	}}}
	arch := "amd64,arm64"
	f.StringVar(&r.payloads, "payloads", "", "take payloads from `DIR`/ARCH, as make payloads makes them, instead of building them")
	if !verify {
		f.StringVar(&r.version, "version", "", "version `V` of the release (default the tag of the commit, without its v)")
		f.StringVar(&arch, "arch", arch, "processors, as Go spells them")
		f.StringVar(&r.key, "key", "", "sign with `FILE`, an OpenSSH private key of type ed25519")
		f.StringVar(&r.dir, "o", "dist", "`DIR` for the files")
	}
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case verify && f.NArg() != 1, !verify && f.NArg() > 0:
		f.Usage()
		return 2
	}
	r.archs = strings.Split(arch, ",")
	do := r.make
	if verify {
		do = func(ctx context.Context) error { return verifyFile(ctx, r, f.Arg(0)) }
	}
	if err := do(ctx); err != nil {
		fmt.Fprintf(stderr, "mkrelease: %v\n", err)
		return 1
	}
	return 0
}

// verifyFile builds a file of a release again and compares.
func verifyFile(ctx context.Context, r release, file string) error {
	name := filepath.Base(file)
	var ok bool
	if r.version, r.archs, ok = parseName(name); !ok {
		return fmt.Errorf("%s has not the name of a file of a release, such as alpboot-1.0.0-x86_64.efi", name)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if r.dir, err = os.MkdirTemp("", "alpboot-verify-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	if err := r.make(ctx); err != nil {
		return err
	}
	got, err := os.ReadFile(filepath.Join(r.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is not made here; see above for what was left out", name)
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s %s. Compare the tools in alpboot-%s.spdx.json with those here before you conclude anything: %s",
			name, difference(want, got), r.version, r.tools(ctx))
	}
	r.out.Printf("%s: the same, byte for byte, as this checkout makes (SHA-256 %s)\n", name, sum(want))
	return nil
}

// difference says where a file differs from what is made here.
func difference(want, got []byte) string {
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	return fmt.Sprintf("DIFFERS from what this checkout makes, from byte %d on (%d bytes, here %d)", at, len(want), len(got))
}

// names of processors in those of files: ours, Debian's, RPM's and Alpine's.
var archNames = map[string][]string{"amd64": {"x86_64", "amd64"}, "arm64": {"arm64", "aarch64"}}

// parseName returns the version and the processors that the name of a file has.
func parseName(name string) (version string, archs []string, ok bool) {
	rest, ok := strings.CutPrefix(name, "alpboot")
	if !ok {
		rest, ok = strings.CutPrefix(name, "mkpayload")
	}
	if !ok || len(rest) < 2 {
		return "", nil, false
	}
	rest = rest[1:]
	for arch, names := range archNames {
		for _, n := range names {
			if strings.Contains(rest, n) {
				archs = []string{arch}
			}
		}
	}
	if archs == nil { // a file for all of them
		archs = []string{"amd64", "arm64"}
	}
	end := strings.IndexFunc(rest, func(c rune) bool { return c != '.' && (c < '0' || c > '9') })
	version = strings.TrimRight(rest[:max(end, 0)], ".")
	return version, archs, strings.Count(version, ".") == 2
}

// tools returns what files were built by.
func (r *release) tools(ctx context.Context) string {
	var list []string
	for _, tool := range [][]string{{"go", "version"}, {"gcc", "--version"}, {"aarch64-linux-gnu-gcc", "--version"}, {"ld", "--version"}, {"xz", "--version"}} {
		if out, err := payload.Run(ctx, "", tool[0], tool[1:]...); err == nil {
			line, _, _ := strings.Cut(string(out), "\n")
			list = append(list, line)
		}
	}
	return strings.Join(list, "; ")
}

// releaseNotes returns the section of a version in CHANGELOG.md, or the one of
// what is not released yet.
func releaseNotes(src checkout.Checkout, version string) (notes string, found bool, err error) {
	b, err := os.ReadFile(filepath.Join(src.Dir, "CHANGELOG.md"))
	if err != nil {
		return "", false, err
	}
	sections := strings.Split("\n"+string(b), "\n## ")
	for _, want := range []string{version, "Unreleased"} {
		i := slices.IndexFunc(sections, func(s string) bool { return strings.Trim(firstWord(s), "[]") == want })
		if i >= 0 {
			_, text, _ := strings.Cut(sections[i], "\n")
			return strings.TrimSpace(text) + "\n", want == version, nil
		}
	}
	return "", false, fmt.Errorf("CHANGELOG.md has no section %q", version)
}

func firstWord(s string) string {
	if f := strings.Fields(s); len(f) > 0 {
		return f[0]
	}
	return ""
}
