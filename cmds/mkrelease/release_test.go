package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/checkout"
)

// needPacker returns nfpm. The test is skipped where it is neither in the cache of the go
// command nor to be had, or where this is not Debian.
func needPacker(t *testing.T) string {
	t.Helper()
	boottest.NeedTools(t, "git")
	if _, err := os.Stat("/usr/share/common-licenses/GPL-2"); err != nil {
		boottest.Skip(t, err)
	}
	packer, err := installPacker(t.Context(), t.TempDir())
	if err != nil {
		boottest.Skip(t, "nfpm cannot be had:", err)
	}
	return packer
}

// realParts finds out once for all tests what programs are made of.
var realParts = sync.OnceValues(func() (parts, error) {
	src, err := checkout.Find(context.Background())
	if err != nil {
		return nil, err
	}
	r := release{src: src, archs: []string{"amd64"}}
	err = r.findParts(context.Background())
	return r.parts, err
})

// buildPrograms returns a directory with testdata/standin for each program.
func buildPrograms(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"alpboot", "mkpayload"} {
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, name), "./testdata/standin")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return dir
}

// standin returns the release of a version for x86_64, with payloads of a few
// bytes and such programs. It has not been made yet.
func standin(t *testing.T, version, programs, packer string) *release {
	t.Helper()
	payloads := t.TempDir()
	for name, b := range map[string][]byte{
		"vmlinuz":             boottest.BzImage("6.12.1-alpboot"),
		"alpboot.efi":         []byte("UKI #### LoaderInfo: systemd-stub 252.39 ####"),
		"alpboot-minimal.efi": []byte("minimal UKI"),
		"initramfs.cpio.xz":   []byte("initramfs"),
		"bzImage":             []byte("bzImage"),
	} {
		if err := payload.WriteBytes(filepath.Join(payloads, "x86_64", name), b); err != nil {
			t.Fatal(err)
		}
	}
	linux := filepath.Join(t.TempDir(), "linux.tar.xz")
	if err := os.WriteFile(linux, []byte("the source"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KERNEL_SRC", linux)
	all, err := realParts()
	if err != nil {
		t.Fatal(err)
	}
	return &release{
		parts: maps.Clone(all), version: version, archs: []string{"amd64"}, payloads: payloads, dir: t.TempDir(),
		out:      payload.Output{Stdout: io.Discard, Progress: t.Logf},
		programs: func(context.Context, string) (string, error) { return programs, nil }, packer: packer,
	}
}

// made makes it.
func made(t *testing.T, r *release) *release {
	t.Helper()
	if err := r.make(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// files returns the files of a release by name.
func files(t *testing.T, r *release) map[string][]byte {
	t.Helper()
	list, err := os.ReadDir(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, d := range list {
		if all[d.Name()], err = os.ReadFile(filepath.Join(r.dir, d.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestRelease makes a release, and the one after it, as making one takes a while.
func TestRelease(t *testing.T) {
	if testing.Short() {
		t.Skip("making releases takes half a minute")
	}
	packer, programs := needPacker(t), buildPrograms(t)
	key := newKey(t, "ed25519")
	older, newer := standin(t, "1.2.3", programs, packer), standin(t, "1.3.0", programs, packer)
	older.key = key
	made(t, older)
	made(t, newer)
	t.Run("twice", func(t *testing.T) {
		again := standin(t, "1.2.3", programs, packer)
		again.key = key
		testTwice(t, older, again)
	})
	t.Run("verify", func(t *testing.T) {
		verifies(t, standin(t, "", programs, packer), filepath.Join(newer.dir, "alpboot_1.3.0-1_amd64.deb"))
	})
	t.Run("verify what differs", func(t *testing.T) {
		const name = "alpboot-1.3.0-x86_64.tar.gz"
		b, err := os.ReadFile(filepath.Join(newer.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%s DIFFERS from what this checkout makes, from byte %d on", name, len(b)/2)
		if err := verifyFile(t.Context(), *standin(t, "", programs, packer), file); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("a byte is flipped: %v", err)
		}
	})
	t.Run("debian", func(t *testing.T) { testDebian(t, older.dir, newer.dir) })
	t.Run("fedora", func(t *testing.T) { testFedora(t, older.dir, newer.dir) })
	t.Run("apk 2", func(t *testing.T) { testAlpine(t, older.dir, newer.dir, 2) })
	t.Run("apk 3", func(t *testing.T) { testAlpine(t, older.dir, newer.dir, 3) })
}

// A release that is made twice is the same to the byte, whatever the user, the time
// zone, the umask and the settings of the go command.
func testTwice(t *testing.T, first, second *release) {
	a := files(t, first)

	t.Setenv("TZ", "Asia/Kathmandu")
	t.Setenv("GOFLAGS", "-trimpath=false")
	t.Setenv("LC_ALL", "C")
	t.Setenv("XZ_OPT", "-0")
	t.Setenv("GOMAXPROCS", "1")
	old := syscall.Umask(0o077)
	b := files(t, made(t, second))
	syscall.Umask(old)

	if got, want := slices.Sorted(maps.Keys(b)), slices.Sorted(maps.Keys(a)); !slices.Equal(got, want) {
		t.Errorf("once %q, once %q", want, got)
	}
	for name, content := range a {
		if !bytes.Equal(content, b[name]) {
			t.Errorf("%s differs", name)
		}
		for _, secret := range []string{first.src.Dir, "/tmp/"} { // of this machine
			if bytes.Contains(content, []byte(secret)) && name != "alpboot-1.2.3.copyright.txt" {
				t.Errorf("%s has the path %s", name, secret)
			}
		}
	}
	sums := string(a["SHA256SUMS"])
	for name, content := range a {
		unsummed := strings.HasPrefix(name, "SHA256SUMS") || name == "alpboot.pub" || name == "alpboot.allowed_signers"
		if has := strings.Contains(sums, sum(content)+"  "+name+"\n"); has == unsummed {
			t.Errorf("SHA256SUMS has %s: %t", name, has)
		}
	}
	// What is there is as it was promised.
	for _, name := range []string{
		"NOTES.md", "alpboot-1.2.3.tar.gz", "alpboot-1.2.3.aport.tar.gz", "alpboot-1.2.3.copyright.txt", "alpboot-1.2.3.linux-source.txt",
		"alpboot-1.2.3.spdx.json", "alpboot-1.2.3-x86_64.efi", "alpboot-1.2.3-x86_64-minimal.efi", "alpboot-1.2.3-x86_64.vmlinuz",
		"alpboot-1.2.3-x86_64.initramfs.cpio.xz", "alpboot-1.2.3-x86_64.bzImage", "alpboot-1.2.3-x86_64.config", "alpboot-1.2.3-x86_64.tar.gz",
		"mkpayload-1.2.3-x86_64.tar.gz", "alpboot_1.2.3-1_amd64.deb", "alpboot-1.2.3-1.x86_64.rpm", "alpboot-1.2.3-r0.x86_64.apk",
		"SHA256SUMS.minisig", "SHA256SUMS.sig", "alpboot.pub", "alpboot.allowed_signers",
	} {
		if a[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
	checkSPDX(t, a)
	checkAport(t, a)
}

// checkSPDX asserts that the list has every file and what is in it.
func checkSPDX(t *testing.T, all map[string][]byte) {
	t.Helper()
	var doc spdxDocument
	if err := json.Unmarshal(all["alpboot-1.2.3.spdx.json"], &doc); err != nil {
		t.Fatal(err)
	}
	ids := map[string]spdxPackage{}
	for _, p := range doc.Packages {
		if _, twice := ids[p.ID]; twice {
			t.Errorf("%s is there twice", p.ID)
		}
		ids[p.ID] = p
		if p.File != "" && (len(p.Checksums) != 1 || p.Checksums[0].Value != sum(all[p.File])) {
			t.Errorf("%s: checksum %v", p.File, p.Checksums)
		}
	}
	contents := map[string][]string{} // of files
	for _, rel := range doc.Relationships {
		if rel.Type == spdxContains {
			contents[ids[rel.From].File] = append(contents[ids[rel.From].File], ids[rel.To].Name+" "+ids[rel.To].License)
		}
	}
	for file, want := range map[string][]string{
		"alpboot-1.2.3-x86_64.efi":               {"go BSD-3-Clause", "mvdan.cc/sh/v3 BSD-3-Clause", "github.com/gdamore/tcell/v2 Apache-2.0", "linux GPL-2.0-only WITH Linux-syscall-note", "systemd-stub LGPL-2.1-or-later"},
		"alpboot-1.2.3-x86_64.vmlinuz":           {"linux GPL-2.0-only WITH Linux-syscall-note"},
		"alpboot-1.2.3-x86_64.initramfs.cpio.xz": {"github.com/u-root/u-root BSD-3-Clause"},
		"alpboot_1.2.3-1_amd64.deb":              {"go BSD-3-Clause", "linux GPL-2.0-only WITH Linux-syscall-note", "systemd-stub LGPL-2.1-or-later"},
	} {
		for _, w := range want {
			if !slices.Contains(contents[file], w) {
				t.Errorf("%s does not contain %s but %q", file, w, contents[file])
			}
		}
	}
	if got := ids[spdxID("File", "alpboot-1.2.3-x86_64.vmlinuz")].License; got != "BSD-3-Clause AND GPL-2.0-only WITH Linux-syscall-note" {
		t.Errorf("the kernel's licence is %q", got)
	}
	if slices.Contains(contents["alpboot-1.2.3-x86_64-minimal.efi"], "mvdan.cc/sh/v3 BSD-3-Clause") {
		t.Error("the minimal image contains a shell")
	}
	copyright := string(all["alpboot-1.2.3.copyright.txt"])
	for _, want := range []string{"GNU GENERAL PUBLIC LICENSE", "GNU LESSER GENERAL PUBLIC LICENSE", "mvdan.cc/sh/v3", "alpboot-1.2.3.linux-source.txt"} {
		if !strings.Contains(copyright, want) {
			t.Errorf("the copyright file has no %q", want)
		}
	}
}

// What the list has of a file with programs is what the programs themselves state, which
// are taken out of that file.
func TestModules(t *testing.T) {
	if testing.Short() {
		t.Skip("linking the real programs takes half a minute")
	}
	packer, programs := needPacker(t), t.TempDir()
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", programs, "./cmds/alpboot", "./cmds/mkpayload")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := made(t, standin(t, "1.2.3", programs, packer))
	all := files(t, r)
	listed := contentsOf(t, all["alpboot-1.2.3.spdx.json"])
	modules := func(program []byte) map[string]bool {
		t.Helper()
		info, err := buildinfo.Read(bytes.NewReader(program))
		if err != nil {
			t.Fatal(err)
		}
		list := map[string]bool{"go " + info.GoVersion: true}
		for _, m := range info.Deps {
			list[m.Path+" "+m.Version] = true
		}
		return list
	}
	apk := readAPK(t, filepath.Join(r.dir, "alpboot-1.2.3-r0.x86_64.apk")).files
	both := modules(apk["usr/sbin/alpboot"].content)
	maps.Copy(both, modules(apk["usr/bin/mkpayload"].content))
	for _, tt := range []struct {
		file string
		want map[string]bool
		more []string // parts of the image in it
	}{
		{"alpboot-1.2.3-x86_64.tar.gz", modules(untar(t, all["alpboot-1.2.3-x86_64.tar.gz"])["alpboot-1.2.3-x86_64/alpboot"].content), nil},
		{"mkpayload-1.2.3-x86_64.tar.gz", modules(untar(t, all["mkpayload-1.2.3-x86_64.tar.gz"])["mkpayload-1.2.3-x86_64/mkpayload"].content), nil},
		{"alpboot-1.2.3-r0.x86_64.apk", both, []string{partImage, partLinux, partStub}},
		{"alpboot_1.2.3-1_amd64.deb", both, []string{partImage, partLinux, partStub}},
		{"alpboot-1.2.3-1.x86_64.rpm", both, []string{partImage, partLinux, partStub}},
	} {
		want := maps.Clone(tt.want)
		for _, part := range forProcessor("amd64", tt.more) {
			for _, c := range r.parts[part] {
				want[c.name+" "+c.version] = true
			}
		}
		if len(want) < 5 {
			t.Errorf("%s has only %v", tt.file, want)
		}
		if d := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(slices.Values(listed[tt.file]))); d != "" {
			t.Errorf("%s (-what is in it +what is listed):\n%s", tt.file, d)
		}
	}
}

// contentsOf returns what a list has of each file: names and versions.
func contentsOf(t *testing.T, list []byte) map[string][]string {
	t.Helper()
	var doc spdxDocument
	if err := json.Unmarshal(list, &doc); err != nil {
		t.Fatal(err)
	}
	ids, contents := map[string]spdxPackage{}, map[string][]string{}
	for _, p := range doc.Packages {
		ids[p.ID] = p
	}
	for _, rel := range doc.Relationships {
		if rel.Type == spdxContains {
			of := ids[rel.From].File
			contents[of] = append(contents[of], ids[rel.To].Name+" "+ids[rel.To].Version)
		}
	}
	return contents
}

// checkAport asserts that the checksums of the APKBUILD are those of the files.
func checkAport(t *testing.T, all map[string][]byte) {
	t.Helper()
	dir := t.TempDir()
	for name, m := range untar(t, all["alpboot-1.2.3.aport.tar.gz"]) {
		if err := payload.WriteBytes(filepath.Join(dir, name), m.content); err != nil {
			t.Fatal(err)
		}
	}
	dir = filepath.Join(dir, "alpboot")
	if err := os.WriteFile(filepath.Join(dir, "alpboot-1.2.3.tar.gz"), all["alpboot-1.2.3.tar.gz"], 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := payload.Run(t.Context(), dir, "sh", "-euc", `srcdir=/src; . ./APKBUILD; echo "$pkgver"; printf %s "$sha512sums" | sed '/^$/d' | sha512sum -c -`)
	want := "1.2.3\nalpboot-1.2.3.tar.gz: OK\nalpboot.hook: OK\nalpboot.conf: OK\n"
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s", err, out)
	}
}

// file is a member of a tarball.
type file struct {
	*tar.Header
	content []byte
}

// untar returns the members of a compressed tarball, or of several one after the
// other.
func untar(t *testing.T, b []byte) map[string]file {
	t.Helper()
	all := map[string]file{}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[h.Name] = file{h, content}
	}
}

// verifies asserts that verify finds a file of a release to be the same. r is what
// it makes.
func verifies(t *testing.T, r *release, file string) {
	t.Helper()
	var stdout bytes.Buffer
	r.out.Stdout = &stdout
	if err := verifyFile(t.Context(), *r, file); err != nil || !strings.Contains(stdout.String(), "the same, byte for byte") {
		t.Errorf("%v: %s", err, stdout.String())
	}
}

func TestDifference(t *testing.T) {
	for _, tt := range []struct{ want, got, say string }{
		{"abcd", "abXd", "from byte 2 on (4 bytes, here 4)"},
		{"abcd", "ab", "from byte 2 on (4 bytes, here 2)"},
		{"", "a", "from byte 0 on (0 bytes, here 1)"},
	} {
		if got := difference([]byte(tt.want), []byte(tt.got)); !strings.HasSuffix(got, tt.say) {
			t.Errorf("%q and %q: %s", tt.want, tt.got, got)
		}
	}
	if err := verifyFile(t.Context(), release{}, "../../go.mod"); err == nil || !strings.Contains(err.Error(), "has not the name of a file of a release") {
		t.Errorf("go.mod: %v", err)
	}
}

func TestParseName(t *testing.T) {
	for name, want := range map[string]string{
		"alpboot-1.0.0-x86_64.efi":        "1.0.0 [amd64]",
		"alpboot-1.0.0-arm64-minimal.efi": "1.0.0 [arm64]",
		"alpboot_1.10.0-1_amd64.deb":      "1.10.0 [amd64]",
		"alpboot-1.0.0-1.aarch64.rpm":     "1.0.0 [arm64]",
		"alpboot-1.0.0-r0.x86_64.apk":     "1.0.0 [amd64]",
		"mkpayload-1.0.0-arm64.tar.gz":    "1.0.0 [arm64]",
		"alpboot-1.0.0.spdx.json":         "1.0.0 [amd64 arm64]",
		"alpboot.efi":                     "",
		"alpboot":                         "",
		"vmlinuz":                         "",
	} {
		version, archs, ok := parseName(name)
		got := ""
		if ok {
			got = version + " [" + strings.Join(archs, " ") + "]"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// What a release needs of the checkout is asked for before anything is made.
func TestIdentify(t *testing.T) {
	boottest.NeedTools(t, "git")
	for _, tt := range []struct {
		name, version, tag, changelog, want string
		dirty                               bool
	}{
		{name: "the tag", tag: "v1.2.3", changelog: "## 1.2.3 - 2026-12-01\n\nNotes.\n\n## 1.2.2\n"},
		{name: "a rehearsal", version: "1.2.3", changelog: "## Unreleased\n\nNotes.\n"},
		{name: "another version", version: "1.2.4", tag: "v1.2.3", changelog: "## Unreleased\n\nNotes.\n"},
		{name: "no tag", changelog: "## Unreleased\n", want: "make release VERSION=1.0.0"},
		{name: "no section", tag: "v1.2.3", changelog: "## Unreleased\n", want: "has no section 1.2.3"},
		{name: "changed", tag: "v1.2.3", changelog: "## 1.2.3\n", dirty: true, want: "differs from the tag v1.2.3"},
		{name: "not a version", version: "1.2-rc1", changelog: "## Unreleased\n", want: "is not three numbers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("SOURCE_DATE_EPOCH", "")
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "CHANGELOG.md"), []byte("# Changelog\n\n"+tt.changelog), 0o644); err != nil {
				t.Fatal(err)
			}
			git := func(args ...string) {
				boottest.Tool(t, "git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@b"}, args...)...)
			}
			git("init", "-q")
			git("add", ".")
			git("commit", "-q", "-m", "one", "--date=@1700000000 +0000")
			if tt.tag != "" {
				git("tag", tt.tag)
			}
			if tt.dirty {
				if err := os.WriteFile(filepath.Join(dir, "more"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			r := release{version: tt.version, dir: t.TempDir(), src: checkout.Checkout{Dir: dir}, out: payload.Output{Stdout: io.Discard, Progress: t.Logf}}
			err := r.identify(t.Context())
			switch {
			case (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want):
				t.Errorf("error %v, want %q", err, tt.want)
			case err == nil && (r.epoch.Unix() < 1700000000 || string(files(t, &r)["NOTES.md"]) != "Notes.\n"):
				t.Errorf("epoch %v, notes %q", r.epoch, files(t, &r)["NOTES.md"])
			}
		})
	}
}

// No module goes into a release whose licence is not known.
func TestLicence(t *testing.T) {
	for name, want := range map[string]string{
		"Redistributions in binary form must reproduce the above copyright notice":                                                                                "BSD-2-Clause",
		"Redistributions in binary form must reproduce the above\n copyright notice. ... may be used to endorse or promote products derived from this\n software": "BSD-3-Clause",
		"Permission is hereby granted, free of charge, to any person obtaining a copy":                                                                            "MIT",
		"All rights reserved.": "",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "LICENSE.txt"), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := licenseOf(dir)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
}
