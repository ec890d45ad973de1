package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
)

// sec makes a section of text.
func sec(name, text string) ukitest.Section { return ukitest.Section{Name: name, Data: []byte(text)} }

func linuxSection() ukitest.Section {
	return ukitest.Section{Name: ".linux", Data: boottest.BzImage("6.12.1-0-lts")}
}

// ukiFile makes a small image of everything, and further sections.
func ukiFile(more ...ukitest.Section) []byte {
	return ukitest.Image(append([]ukitest.Section{
		sec(".text", "code"), sec(".osrel", "ID=alpine\nPRETTY_NAME=\"Alpine Linux\"\n"), sec(".cmdline", "root=LABEL=x\nquiet\n\x00\x00rest"),
		sec(".uname", "6.12.1-0-lts\n"), sec(".initrd", "070701initramfs"), linuxSection(), sec(".ucode", "070701microcode"),
	}, more...)...)
}

// entryOf returns the place of a section's entry in the table of an image of
// ukitest, by the order in it.
func entryOf(b []byte, i int) []byte { return b[0x80+24+0xf0+40*i:] }

// change returns a copy of b that change has been called with.
func change(b []byte, change func(b []byte)) []byte {
	b = bytes.Clone(b)
	change(b)
	return b
}

func put32(b []byte, v uint32) { binary.LittleEndian.PutUint32(b, v) }

func contents(t testing.TB, r *io.SectionReader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != r.Size() {
		t.Fatalf("a section of %d bytes: %d and %v", r.Size(), len(b), err)
	}
	return string(b)
}

func TestOpenUKI(t *testing.T) {
	b := ukiFile()
	u, err := OpenUKI(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if u.Info != (Info{UnifiedImage, "amd64", "6.12.1-0-lts"}) {
		t.Errorf("info %+v", u.Info)
	}
	if got := contents(t, u.Linux); got != string(boottest.BzImage("6.12.1-0-lts")) {
		t.Errorf("the kernel has %d bytes", len(got))
	}
	var initrds []string
	for _, r := range u.Initrds {
		initrds = append(initrds, contents(t, r))
	}
	if !slices.Equal(initrds, []string{"070701microcode", "070701initramfs"}) {
		t.Errorf("initrds %q", initrds)
	}
	if u.Cmdline != "root=LABEL=x quiet" || u.Uname != "6.12.1-0-lts" || u.OSRelease != "ID=alpine\nPRETTY_NAME=\"Alpine Linux\"" {
		t.Errorf("texts %q, %q, %q", u.Cmdline, u.Uname, u.OSRelease)
	}
	if len(u.Notes()) != 0 {
		t.Errorf("notes %q", u.Notes())
	}
}

// TestOpenUKIVariants asserts what becomes of images that are not plain ones.
func TestOpenUKIVariants(t *testing.T) {
	bzImage := boottest.BzImage("6.12.1-0-lts")
	wide := bytes.Clone(bzImage)
	wide[0x236] = 0 // a kernel of 32 bits
	plain := ukitest.Image(linuxSection())
	tests := []struct {
		name string
		file []byte
		want UKI // Linux and Initrds are compared by their sizes
		kern int64
		rds  []int64
		note string
	}{
		{name: "kernel alone", file: plain, want: UKI{Info: Info{UnifiedImage, "amd64", "6.12.1-0-lts"}}, kern: int64(len(bzImage))},
		{
			name: "profile 0", file: ukiFile(sec(".profile", "ID=a\nTITLE=\"First\"\n"), sec(".cmdline", "other"), sec(".initrd", "other"), sec(".profile", "ID=b"), sec(".uname", "other"), sec(".dtb", "tree")),
			want: UKI{Info: Info{UnifiedImage, "amd64", "6.12.1-0-lts"}, Cmdline: "other", Uname: "6.12.1-0-lts", OSRelease: "ID=alpine\nPRETTY_NAME=\"Alpine Linux\"", Profiles: 2, ProfileID: "a", ProfileTitle: "First"},
			kern: int64(len(bzImage)), rds: []int64{15, 5},
		},
		{
			name: "nothing before the profiles", file: ukitest.Image(sec(".profile", "ID=a"), sec(".cmdline", "x"), linuxSection(), sec(".profile", "ID=b")),
			want: UKI{Info: Info{UnifiedImage, "amd64", "6.12.1-0-lts"}, Cmdline: "x", Profiles: 2, ProfileID: "a"}, kern: int64(len(bzImage)),
		},
		{
			name: "the first of two sections", file: ukitest.Image(sec(".cmdline", "a"), linuxSection(), sec(".cmdline", "b"), sec(".initrd", "1"), sec(".initrd", "22")),
			want: UKI{Info: Info{UnifiedImage, "amd64", "6.12.1-0-lts"}, Cmdline: "a"}, kern: int64(len(bzImage)), rds: []int64{1},
		},
		{
			name: "an empty section is none", file: ukitest.Image(sec(".cmdline", ""), sec(".initrd", ""), linuxSection(), sec(".cmdline", "b")),
			want: UKI{Info: Info{UnifiedImage, "amd64", "6.12.1-0-lts"}, Cmdline: "b"}, kern: int64(len(bzImage)),
		},
		{
			name: "more in memory than in the file", file: ukitest.Image(ukitest.Section{Name: ".linux", Data: bzImage, Virtual: 1 << 30}),
			want: UKI{Info: Info{UnifiedImage, "amd64", "6.12.1-0-lts"}}, kern: int64(len(bzImage)),
		},
		{
			name: "sections that overlap", file: change(ukiFile(), func(b []byte) { copy(entryOf(b, 6)[8:24], entryOf(b, 4)[8:24]) }),
			want: UKI{Info: Info{UnifiedImage, "amd64", "6.12.1-0-lts"}, Cmdline: "root=LABEL=x quiet", Uname: "6.12.1-0-lts", OSRelease: "ID=alpine\nPRETTY_NAME=\"Alpine Linux\""},
			kern: int64(len(bzImage)), rds: []int64{15, 15},
		},
		{
			name: "device trees", file: ukitest.Image(linuxSection(), sec(".dtbauto", "tree")),
			want: UKI{Info: Info{UnifiedImage, "amd64", "6.12.1-0-lts"}, DeviceTree: true}, kern: int64(len(bzImage)), note: "device tree",
		},
		{
			name: "the kernel states what processor it is for", file: ukitest.Image(ukitest.Section{Name: ".linux", Data: wide}),
			want: UKI{Info: Info{UnifiedImage, "386", "6.12.1-0-lts"}}, kern: int64(len(bzImage)),
		},
		{
			name: "a kernel without a version", file: ukitest.Image(ukitest.Section{Name: ".linux", Data: zbootFile(0xaa64, 100)}, sec(".uname", "6.6.1 x")),
			want: UKI{Info: Info{UnifiedImage, "arm64", "6.6.1"}, Uname: "6.6.1 x"}, kern: 0x200 + 100,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := OpenUKI(bytes.NewReader(tt.file), int64(len(tt.file)))
			if err != nil {
				t.Fatal(err)
			}
			var rds []int64
			for _, r := range u.Initrds {
				contents(t, r)
				rds = append(rds, r.Size())
			}
			if contents(t, u.Linux); u.Linux.Size() != tt.kern || !slices.Equal(rds, tt.rds) {
				t.Errorf("the kernel has %d bytes, the initrds %d; want %d and %d", u.Linux.Size(), rds, tt.kern, tt.rds)
			}
			if notes := strings.Join(u.Notes(), "\n"); !strings.Contains(notes, tt.note) || (notes == "") != (tt.note == "") {
				t.Errorf("notes %q, want one with %q", notes, tt.note)
			}
			u.Linux, u.Initrds = nil, nil
			if got, want := *u, tt.want; got.Info != want.Info || got.Cmdline != want.Cmdline || got.Uname != want.Uname ||
				got.OSRelease != want.OSRelease || got.Profiles != want.Profiles || got.ProfileID != want.ProfileID || got.ProfileTitle != want.ProfileTitle || got.DeviceTree != want.DeviceTree {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if in, err := Identify(bytes.NewReader(tt.file), int64(len(tt.file))); err != nil || in != tt.want.Info {
				t.Errorf("Identify: got %+v, %v", in, err)
			}
		})
	}
}

// TestOpenUKIErrors asserts that whatever is wrong with an image is reported, and
// what Identify then still returns.
func TestOpenUKIErrors(t *testing.T) {
	whole := ukiFile()
	itself := change(whole, func(b []byte) {
		put32(entryOf(b, 5)[8:], uint32(len(b)))
		put32(entryOf(b, 5)[16:], uint32(len(b)))
		put32(entryOf(b, 5)[20:], 0)
	})
	tests := []struct {
		name  string
		file  []byte
		err   string
		not   bool   // the error is ErrNotUKI
		ident Info   // what Identify returns, with an error or without
		ierr  string // the error of Identify
	}{
		{name: "boot loader", file: ukitest.Image(sec(".text", "code"), sec(".sbat", "x")), not: true, ident: Info{Format: PE, Arch: "amd64"}},
		{name: "addon", file: ukitest.Image(sec(".cmdline", "quiet")), not: true, ident: Info{Format: PE, Arch: "amd64"}},
		{name: "no kernel in profile 0", file: ukitest.Image(sec(".profile", "ID=a"), sec(".profile", "ID=b"), linuxSection()), not: true, ident: Info{Format: PE, Arch: "amd64"}},
		{name: "empty kernel", file: ukitest.Image(sec(".linux", "")), not: true, ident: Info{Format: PE, Arch: "amd64"}},
		{name: "kernel", file: bzImageFile("6.1\x00", 1, 64), not: true, ident: Info{BzImage, "amd64", "6.1"}},
		{name: "text", file: []byte(strings.Repeat("#!/bin/sh\n", 50)), not: true, ierr: "not a kernel image"},
		{name: "tiny", file: []byte("MZ"), not: true, ierr: "not a kernel image"},
		{name: "header beyond the end", file: change(whole, func(b []byte) { put32(b[0x3c:], 0xffffffff) }), not: true, ierr: "not a kernel image"},
		{name: "table cut", file: whole[:0x190], err: "truncated", ident: Info{Format: PE, Arch: "amd64"}, ierr: "truncated"},
		{name: "last section cut", file: whole[:len(whole)-512], err: ".ucode", ident: Info{Format: UnifiedImage, Arch: "amd64"}, ierr: "truncated"},
		{name: "section beyond the end", file: change(whole, func(b []byte) { put32(entryOf(b, 5)[20:], 0xfffffff0) }), err: ".linux", ident: Info{Format: UnifiedImage, Arch: "amd64"}, ierr: "truncated"},
		{name: "many sections", file: change(whole, func(b []byte) { b[0x87] = 0xff }), err: "65287 sections", ident: Info{Format: PE, Arch: "amd64"}, ierr: "sections"},
		{name: "long text", file: ukitest.Image(sec(".cmdline", strings.Repeat("x", maxText+1)), linuxSection()), err: "more than the 65536", ident: Info{Format: UnifiedImage, Arch: "amd64"}, ierr: ".cmdline"},
		{name: "no kernel in it", file: ukitest.Image(sec(".linux", "hello")), err: "not a kernel image", ident: Info{Format: UnifiedImage, Arch: "amd64"}, ierr: ".linux"},
		{name: "an EFI program in it", file: ukitest.Image(ukitest.Section{Name: ".linux", Data: ukitest.Image(sec(".text", "code"))}), err: "another EFI program", ident: Info{Format: UnifiedImage, Arch: "amd64"}, ierr: ".linux"},
		{name: "an image that holds itself", file: itself, err: "another EFI program", ident: Info{Format: UnifiedImage, Arch: "amd64"}, ierr: ".linux"},
		{name: "damaged kernel", file: ukitest.Image(ukitest.Section{Name: ".linux", Data: boottest.BzImage("6.1")[:2048]}), err: "truncated", ident: Info{Format: UnifiedImage, Arch: "amd64"}, ierr: "truncated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := OpenUKI(bytes.NewReader(tt.file), int64(len(tt.file)))
			if u != nil || err == nil || errors.Is(err, ErrNotUKI) != tt.not || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %+v and %v, want %q, ErrNotUKI %v", u, err, tt.err, tt.not)
			}
			in, err := Identify(bytes.NewReader(tt.file), int64(len(tt.file)))
			if in != tt.ident || (err == nil) != (tt.ierr == "") || err != nil && !strings.Contains(err.Error(), tt.ierr) {
				t.Errorf("Identify: got %+v and %v, want %+v and %q", in, err, tt.ident, tt.ierr)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	fsys := fstest.MapFS{
		"a.efi": {Data: ukiFile()}, "vmlinuz": {Data: boottest.BzImage("6.1")}, "text": {Data: []byte("hello")}, "directory": {Mode: fs.ModeDir},
	}
	in, u, err := Describe(fsys, "a.efi")
	if err != nil || in.Format != UnifiedImage || u == nil || u.Cmdline != "root=LABEL=x quiet" || u.Linux != nil || u.Initrds != nil {
		t.Errorf("image: %+v, %+v, %v", in, u, err)
	}
	if in, u, err := Describe(fsys, "vmlinuz"); err != nil || in.Version != "6.1" || u != nil {
		t.Errorf("kernel: %+v, %+v, %v", in, u, err)
	}
	for name, want := range map[string]error{"text": ErrNotKernel, "gone": fs.ErrNotExist, "directory": nil} {
		if _, u, err := Describe(fsys, name); u != nil || err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
}

// TestOpenUKIOracle asserts that an image which was assembled by binutils
// around systemd's stub, as mkinitcpio and efi-mkuki do it, is split into
// what it was made of, and that every section has the size and place that
// objdump prints.
func TestOpenUKIOracle(t *testing.T) {
	boottest.NeedTools(t, "objcopy", "objdump")
	const stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	if _, err := os.Stat(stub); err != nil {
		boottest.Skip(t, err)
	}
	dir := t.TempDir()
	parts := map[string]string{
		".osrel": "ID=alpine\n", ".cmdline": "root=/dev/sda2 quiet", ".uname": "6.12.1-0-lts", ".ucode": "070701" + strings.Repeat("u", 5000),
		".initrd": "070701" + strings.Repeat("i", 100001), ".linux": string(boottest.BzImage("6.12.1-0-lts")),
	}
	var args []string
	for i, name := range []string{".osrel", ".cmdline", ".uname", ".ucode", ".linux", ".initrd"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(parts[name]), 0o666); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--add-section", name+"="+file, "--change-section-vma", name+"="+strconv.Itoa((i+1)<<20))
	}
	file := filepath.Join(dir, "uki.efi")
	boottest.Tool(t, "objcopy", append(args, stub, file)...)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(b)

	u, err := OpenUKI(r, r.Size())
	if err != nil {
		t.Fatal(err)
	}
	if u.Cmdline != parts[".cmdline"] || u.Uname != parts[".uname"] || u.OSRelease != strings.TrimSpace(parts[".osrel"]) {
		t.Errorf("texts %q, %q, %q", u.Cmdline, u.Uname, u.OSRelease)
	}
	if contents(t, u.Linux) != parts[".linux"] || len(u.Initrds) != 2 ||
		contents(t, u.Initrds[0]) != parts[".ucode"] || contents(t, u.Initrds[1]) != parts[".initrd"] {
		t.Error("the kernel and the initrds are not those that went in")
	}

	out, err := exec.Command("objdump", "-h", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []section
	for _, m := range regexp.MustCompile(`(?m)^ *\d+ (\S+) +([0-9a-f]+) +[0-9a-f]+ +[0-9a-f]+ +([0-9a-f]+) `).FindAllStringSubmatch(string(out), -1) {
		size, _ := strconv.ParseInt(m[2], 16, 64)
		offset, _ := strconv.ParseInt(m[3], 16, 64)
		want = append(want, section{name: m[1], offset: offset, size: size})
	}
	got, arch, err := peSections(r, r.Size())
	if err != nil || arch != "amd64" || len(want) < len(parts) || !slices.Equal(got, want) {
		t.Errorf("sections (%s, %v)\ngot  %v\nwant %v", arch, err, got, want)
	}

	loader, err := os.ReadFile(stub)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenUKI(bytes.NewReader(loader), int64(len(loader))); !errors.Is(err, ErrNotUKI) {
		t.Errorf("the stub alone: %v", err)
	}
}

// FuzzOpenUKI asserts that a file cannot make it panic, or return more than the
// file holds.
func FuzzOpenUKI(f *testing.F) {
	f.Add(ukiFile())
	f.Add(ukiFile(sec(".profile", "ID=a"), sec(".cmdline", "b"), sec(".dtb", "tree")))
	f.Add(ukitest.Image(sec(".text", "code")))
	f.Add(ukitest.Image(ukitest.Section{Name: ".linux", Data: gzipFile(arm64File()), Virtual: 1 << 31}))
	f.Add(zbootFile(0xaa64, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		in, ierr := Identify(r, r.Size())
		for _, n := range []int{1, 1 << 20} {
			if u, err := OpenProfile(r, r.Size(), n); err == nil && n >= u.Profiles {
				t.Errorf("profile %d of %d", n, u.Profiles)
			}
		}
		if a, err := OpenAddon(r, r.Size()); err == nil && len(a.Cmdline) > maxText {
			t.Errorf("an addon with %d bytes of command line", len(a.Cmdline))
		}
		u, err := OpenUKI(r, r.Size())
		if (u == nil) != (err != nil) {
			t.Fatalf("%+v and %v", u, err)
		}
		if err != nil {
			return
		}
		// A file may be a bzImage and an image: then it is the first.
		if in.Format == UnifiedImage && (in != u.Info || ierr != nil) {
			t.Errorf("Identify: %+v and %v, want %+v", in, ierr, u.Info)
		}
		for _, s := range append(u.Initrds, u.Linux) {
			if got := contents(t, s); got == "" || len(got) > len(b) {
				t.Errorf("a section of %d bytes", len(got))
			}
		}
		if strings.ContainsFunc(u.Cmdline, func(r rune) bool { return r < ' ' }) {
			t.Errorf("control character in %q", u.Cmdline)
		}
		if n := len(u.Notes()); (n > 0) != (u.Profiles > 0 || u.DeviceTree) {
			t.Errorf("%d notes about %d profiles and a device tree: %v", n, u.Profiles, u.DeviceTree)
		}
	})
}

// TestOpenProfile asserts that a profile has the common sections but for those
// that it has itself, and nothing of other profiles.
func TestOpenProfile(t *testing.T) {
	image := ukiFile(sec(".profile", "ID=a"), sec(".cmdline", "of a"), sec(".profile", "ID=b\nTITLE=Second"), sec(".initrd", "of b"))
	for n, want := range []struct{ id, cmdline string }{{"a", "of a"}, {"b", "root=LABEL=x quiet"}} {
		u, err := OpenProfile(bytes.NewReader(image), int64(len(image)), n)
		if err != nil || u.ProfileID != want.id || u.Cmdline != want.cmdline || u.Linux.Size() == 0 {
			t.Errorf("profile %d: got %+v, %v", n, u, err)
		}
	}
	if _, err := OpenProfile(bytes.NewReader(image), int64(len(image)), 2); !errors.Is(err, ErrNoProfile) {
		t.Errorf("profile 2: got %v", err)
	}
	if _, err := OpenProfile(bytes.NewReader(image), int64(len(image)), -1); err == nil {
		t.Error("profile -1: no error")
	}
}

func TestOpenAddon(t *testing.T) {
	for _, tt := range []struct {
		name    string
		file    []byte
		cmdline string
		others  int
		ok      bool
	}{
		{"command line", ukitest.Image(sec(".sbat", "x"), sec(".cmdline", "a=b\nc\x00rest")), "a=b c", 0, true},
		{"initrd", ukitest.Image(sec(".initrd", "x"), sec(".ucode", "y")), "", 2, true},
		{"nothing of use", ukitest.Image(sec(".sbat", "x")), "", 0, false},
		{"an image", ukiFile(), "", 0, false},
		{"text", []byte("hello"), "", 0, false},
		{"too long", ukitest.Image(ukitest.Section{Name: ".cmdline", Data: make([]byte, maxText+1)}), "", 0, false},
	} {
		a, err := OpenAddon(bytes.NewReader(tt.file), int64(len(tt.file)))
		if (err == nil) != tt.ok || a.Cmdline != tt.cmdline || len(a.Others) != tt.others {
			t.Errorf("%s: got %+v, %v", tt.name, a, err)
		}
	}
}
