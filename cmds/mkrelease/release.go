package main

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/all"
	"github.com/alpboot/alpboot/boot/payload/checkout"
	"github.com/alpboot/alpboot/boot/payload/linux"
	"github.com/alpboot/alpboot/initramfs"
)

// release is what is made, of what, and where it goes.
type release struct {
	version  string
	archs    []string // as GOARCH spells them
	payloads string   // directory of payloads that were made before, or ""
	key      string   // to sign with, or ""
	dir      string   // of the files
	out      payload.Output

	src   checkout.Checkout
	epoch time.Time // of every file that has a time
	stage string    // directory of what goes into packages

	// programs returns the directory with the programs for a processor; tests have
	// their own.
	programs func(ctx context.Context, arch string) (string, error)

	packer   string // nfpm, once it is there
	parts    parts
	products []product
}

// product is a file of the release.
type product struct {
	name  string
	parts []string // keys of parts
}

// isVersion is semantic versioning, but for what no package manager understands.
var isVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)

// make makes all files of the release.
func (r *release) make(ctx context.Context) (err error) {
	if r.src, err = checkout.Find(ctx); err != nil {
		return err
	}
	if err := r.identify(ctx); err != nil {
		return err
	}
	if r.stage, err = os.MkdirTemp("", "alpboot-release-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.stage)
	if r.programs == nil {
		r.programs = r.buildPrograms
	}
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		return err
	}
	if err := r.empty(); err != nil {
		return err
	}
	if err := r.shared(ctx); err != nil {
		return err
	}
	for _, arch := range r.archs {
		if err := r.forArch(ctx, arch); err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
	}
	if err := r.describe(ctx); err != nil {
		return err
	}
	return r.sums()
}

// identify finds out which version this is, and of when. What has a tag is
// released only as it is there.
func (r *release) identify(ctx context.Context) error {
	git := func(args ...string) string {
		out, _ := r.src.Git(ctx, args...) // a source archive has none
		return strings.TrimSpace(string(out))
	}
	tag := git("describe", "--tags", "--exact-match", "--match=v[0-9]*")
	if r.version == "" {
		r.version = strings.TrimPrefix(tag, "v")
	}
	switch {
	case r.version == "":
		return errors.New("which version, as this commit has no tag such as v1.0.0: name it with --version (make release VERSION=1.0.0)")
	case !isVersion.MatchString(r.version):
		return fmt.Errorf("the version %q is not three numbers, such as 1.0.0", r.version)
	}
	notes, found, err := releaseNotes(r.src, r.version)
	if err != nil {
		return err
	}
	isTag := tag == "v"+r.version
	switch {
	case isTag && !found:
		return fmt.Errorf("the tag %s is there, but CHANGELOG.md has no section %s", tag, r.version)
	case isTag && git("status", "--porcelain") != "":
		return fmt.Errorf("the checkout differs from the tag %s: git status lists how", tag)
	case !isTag:
		r.out.Progress("v%s is not the tag of this commit: this is a rehearsal", r.version)
	}
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		epoch = git("log", "-1", "--format=%ct")
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return errors.New("which time files get: set SOURCE_DATE_EPOCH, as this checkout has no git history")
	}
	r.epoch = time.Unix(seconds, 0).UTC()
	return r.write("NOTES.md", []byte(notes))
}

// empty removes files of an earlier release, which the sums would not list.
func (r *release) empty() error {
	old, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	for _, d := range old {
		if _, _, ok := parseName(d.Name()); !ok && !strings.HasPrefix(d.Name(), "SHA256SUMS") {
			continue // not ours, or NOTES.md, which is written already
		}
		if err := os.Remove(filepath.Join(r.dir, d.Name())); err != nil {
			return err
		}
	}
	return nil
}

// write writes a file of the release.
func (r *release) write(name string, b []byte, parts ...string) error {
	if err := payload.WriteBytes(filepath.Join(r.dir, name), b); err != nil {
		return err
	}
	r.products = append(r.products, product{name, parts})
	return nil
}

// shared makes what is not for one processor: the source, and licences.
func (r *release) shared(ctx context.Context) error {
	name := "alpboot-" + r.version
	out, err := r.src.Git(ctx, "archive", "--format=tar", "--prefix="+name+"/", "HEAD")
	if err != nil {
		return fmt.Errorf("packing the source: %w", err)
	}
	b, err := compress(out)
	if err != nil {
		return err
	}
	if err := r.write(name+".tar.gz", b); err != nil {
		return err
	}
	if r.parts == nil { // tests ask once
		if err := r.findParts(ctx); err != nil {
			return err
		}
	}
	if err := r.aport(); err != nil {
		return err
	}
	copyright, err := r.copyright()
	if err != nil {
		return err
	}
	if err := r.write(name+".copyright.txt", copyright); err != nil {
		return err
	}
	return r.staged("copyright", copyright, 0o644)
}

// aport writes what aports takes: the APKBUILD with its checksums, and the files
// that go with it. The checksum of the source cannot be in that source.
func (r *release) aport() error {
	dir := filepath.Join(r.src.Dir, alpine)
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	content := map[string][]byte{}
	for _, d := range files {
		if content[d.Name()], err = os.ReadFile(filepath.Join(dir, d.Name())); err != nil {
			return err
		}
	}
	source := "alpboot-" + r.version + ".tar.gz"
	b, err := os.ReadFile(filepath.Join(r.dir, source))
	if err != nil {
		return err
	}
	var sums strings.Builder
	fmt.Fprintf(&sums, "sha512sums=\"\n%x  %s\n", sha512.Sum512(b), source)
	for _, name := range []string{"alpboot.hook", "alpboot.conf"} {
		fmt.Fprintf(&sums, "%x  %s\n", sha512.Sum512(content[name]), name)
	}
	text := regexp.MustCompile(`(?m)^pkgver=.*$`).ReplaceAllLiteralString(string(content["APKBUILD"]), "pkgver="+r.version)
	text, _, ok := strings.Cut(text, "sha512sums=")
	if !ok {
		return errors.New("APKBUILD has no sha512sums")
	}
	content["APKBUILD"] = []byte(text + sums.String() + "\"\n")
	var members []member
	for _, name := range slices.Sorted(maps.Keys(content)) {
		members = append(members, member{name: "alpboot/" + name, content: content[name], mode: 0o644})
	}
	packed, err := tarball(members, r.epoch)
	if err != nil {
		return err
	}
	return r.write("alpboot-"+r.version+".aport.tar.gz", packed)
}

// staged writes a file that goes into packages.
func (r *release) staged(name string, b []byte, mode fs.FileMode) error {
	name = filepath.Join(r.stage, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(name, b, mode); err != nil {
		return err
	}
	if err := os.Chmod(name, mode); err != nil { // whatever the umask is
		return err
	}
	return os.Chtimes(name, r.epoch, r.epoch)
}

// payloadFiles are the payloads of a release: how make payloads names them, how
// the release does, after alpboot-VERSION-ARCH, and what they are made of.
var payloadFiles = []struct {
	file, name string
	parts      []string
}{
	{"alpboot.efi", ".efi", []string{partImage, partLinux, partStub}},
	{"alpboot-minimal.efi", "-minimal.efi", []string{partMinimal, partLinux, partStub}},
	{"vmlinuz", ".vmlinuz", []string{partLinux}},
	{"initramfs.cpio.xz", ".initramfs.cpio.xz", []string{partImage}},
	{"bzImage", ".bzImage", []string{partImage, partLinux}},
}

// forArch makes what is for one processor.
func (r *release) forArch(ctx context.Context, arch string) error {
	display := archNames[arch]
	if display == nil {
		return errors.New("there is no release for this processor: use amd64, arm64")
	}
	from := filepath.Join(r.payloads, display[0])
	if r.payloads == "" {
		from = filepath.Join(r.src.Build(arch), "release")
		make := all.Everything{Arch: arch, Version: r.version, Dir: from, Source: os.Getenv("KERNEL_SRC"), Flash: "firmware"}
		if err := make.Make(ctx, r.out); err != nil {
			return err
		}
	}
	base := "alpboot-" + r.version + "-" + display[0]
	have := map[string]string{}
	for _, p := range payloadFiles {
		file := filepath.Join(from, p.file)
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			if arch == "amd64" || p.file != "bzImage" {
				r.out.Progress("leaving out %s: there is no %s", base+p.name, p.file)
			}
			continue
		}
		if err != nil {
			return err
		}
		if err := r.write(base+p.name, b, forProcessor(arch, p.parts)...); err != nil {
			return err
		}
		have[p.file] = file
	}
	if _, ok := have["vmlinuz"]; ok {
		config, err := initramfs.KernelConfig(display[0])
		if err != nil {
			return err
		}
		config = "# What alpboot's kernel has on top of make tinyconfig; make olddefconfig does the rest.\n" + config
		if err := r.write(base+".config", []byte(config)); err != nil {
			return err
		}
		if err := r.kernelParts(ctx, arch, have); err != nil {
			return err
		}
	}
	programs, err := r.programs(ctx, arch)
	if err != nil {
		return err
	}
	if err := r.programParts(arch, programs); err != nil {
		return err
	}
	return r.packages(ctx, arch, programs, have)
}

// buildPrograms compiles what runs on an installed system.
func (r *release) buildPrograms(ctx context.Context, arch string) (string, error) {
	dir := filepath.Join(r.stage, "programs-"+arch)
	for _, name := range []string{"alpboot", "mkpayload"} {
		r.out.Progress("compiling %s for %s", name, arch)
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, name),
			"-ldflags=-s -w -buildid= -X="+checkout.Module+"/boot/version.Version="+r.version, "./cmds/"+name)
		cmd.Dir = r.src.Dir
		// What is set here for the go command changes what it makes.
		cmd.Env = append(payload.Environ("GOFLAGS", "GOEXPERIMENT", "GODEBUG", "GOAMD64", "GOARM64"),
			"CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("compiling %s: %w", name, payload.Explain(err, "go", out))
		}
	}
	return dir, nil
}

// linuxSource writes where the source of the kernel is, and returns its version.
func (r *release) linuxSource(ctx context.Context) (string, error) {
	file, err := linux.Source(os.Getenv("KERNEL_SRC"))
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("the source of the kernel must be a tarball, whose sum is published: %w", err)
	}
	version := "unknown"
	what := "the tarball " + filepath.Base(file)
	if file == linux.DebianSource {
		name := strings.TrimSuffix(filepath.Base(file), ".tar.xz")
		if out, err := payload.Run(ctx, "", "dpkg-query", "-W", "-f", "${Version}", name); err == nil {
			version = string(out)
		}
		what = fmt.Sprintf("Debian's package %s, version %s, which unpacks it as %s", name, version, file)
	}
	text := fmt.Sprintf(`The Linux kernel in the files of alpboot %[1]s is free software under the GNU
General Public License, version 2. This is its complete source:

    %[2]s
    SHA-256 %[3]s

alpboot changes nothing in it. Its configuration is in alpboot-%[1]s-ARCH.config,
and the directory initramfs/kernel of alpboot's own source. To build it:

    make kernel KERNEL_SRC=%[4]s

in that source, which has the compiler's options in boot/payload/linux.
Whoever passes the files on passes this tarball on as well, or offers to.
`, r.version, what, sum(b), filepath.Base(file))
	return version, r.write("alpboot-"+r.version+".linux-source.txt", []byte(text))
}

// sums writes SHA256SUMS, and signs it where there is a key.
func (r *release) sums() error {
	var b strings.Builder
	for _, p := range r.products {
		content, err := os.ReadFile(filepath.Join(r.dir, p.name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s  %s\n", sum(content), p.name)
	}
	const name = "SHA256SUMS"
	if err := payload.WriteBytes(filepath.Join(r.dir, name), []byte(b.String())); err != nil {
		return err
	}
	r.out.Printf("%s: %d files of alpboot %s, and SHA256SUMS\n", r.dir, len(r.products), r.version)
	if r.key == "" {
		r.out.Progress("it is not signed, as there is no --key")
		return nil
	}
	signatures, err := sign(r.key, name, []byte(b.String()), r.epoch)
	if err != nil {
		return fmt.Errorf("signing %s: %w", name, err)
	}
	for _, s := range signatures {
		if err := payload.WriteBytes(filepath.Join(r.dir, s.name), s.content); err != nil {
			return err
		}
	}
	r.out.Printf("signed: %s\n", signatures[0].public)
	return nil
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
