package initramfs_test

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/u-root/mkuimage/cpio"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/checkout"
	"github.com/alpboot/alpboot/boot/payload/initramfs"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
	content "github.com/alpboot/alpboot/initramfs"
)

var update = flag.Bool("update", false, "write the golden files")

// The budgets of the compressed images.
const (
	maxFull    = 5 << 20
	maxMinimal = 2 << 20
)

// images builds each image once for all tests, as a build takes its time.
var images = struct {
	full, minimal func() (string, error)
}{
	full: sync.OnceValues(func() (string, error) { return buildImage("full.cpio.xz", initramfs.Image{Compress: "xz"}) }),
	minimal: sync.OnceValues(func() (string, error) {
		return buildImage("minimal.cpio.xz", initramfs.Image{Compress: "xz", Minimal: true})
	}),
}

var imageDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "initramfs-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	imageDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func buildImage(name string, im initramfs.Image) (string, error) {
	im.Arch = "amd64"
	im.Output = filepath.Join(imageDir, name)
	if err := im.Write(context.Background(), payloadtest.Output(io.Discard)); err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	return im.Output, nil
}

// openImage returns the records of an image that build made.
func openImage(t *testing.T, build func() (string, error)) (name string, records []cpio.Record) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds an image")
	}
	payloadtest.NeedTools(t, "xz", "git")
	name, err := build()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".xz") {
		raw, err = payload.Run(t.Context(), "", "xz", "-dc", name)
		if err != nil {
			t.Fatal(err)
		}
	}
	records, err = cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return name, records
}

func TestImageContent(t *testing.T) {
	for _, tt := range []struct {
		name  string
		build func() (string, error)
		limit int64
	}{
		{name: "full", build: images.full, limit: maxFull},
		{name: "minimal", build: images.minimal, limit: maxMinimal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name, records := openImage(t, tt.build)
			st, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes", st.Size())
			if st.Size() > tt.limit {
				t.Errorf("%d bytes are more than the %d that are allowed", st.Size(), tt.limit)
			}

			var list strings.Builder
			for _, r := range records {
				fmt.Fprintf(&list, "%06o %s", r.Mode, r.Name)
				if r.Mode&cpio.S_IFMT == cpio.S_IFLNK {
					target := make([]byte, r.FileSize)
					if _, err := r.ReadAt(target, 0); err != nil && err != io.EOF {
						t.Fatal(err)
					}
					fmt.Fprintf(&list, " -> %s", target)
				}
				list.WriteString("\n")
				if r.MTime != 0 || r.UID != 0 || r.GID != 0 {
					t.Errorf("%s: time %d, owner %d:%d; all must be 0", r.Name, r.MTime, r.UID, r.GID)
				}
			}
			if !slices.IsSortedFunc(records, func(a, b cpio.Record) int { return strings.Compare(a.Name, b.Name) }) {
				t.Error("is not sorted by path")
			}
			golden := filepath.Join("testdata", tt.name+".golden")
			if *update {
				if err := os.MkdirAll("testdata", 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(list.String()), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if list.String() != string(want) {
				t.Errorf("differs from %s; if it is meant, run go test with -update.\ngot:\n%s", golden, list.String())
			}
		})
	}
}

// extractBinary writes the one binary of an image to a file.
func extractBinary(t *testing.T, build func() (string, error)) string {
	t.Helper()
	_, records := openImage(t, build)
	for _, r := range records {
		if r.Name != "bbin/bb" {
			continue
		}
		b := make([]byte, r.FileSize)
		if _, err := r.ReadAt(b, 0); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "bb")
		if err := os.WriteFile(name, b, 0o777); err != nil {
			t.Fatal(err)
		}
		return name
	}
	t.Fatal("there is no bbin/bb")
	return ""
}

// A GOPATH build has the semantics of Go 1.20, not those that all other tests
// run with. What the linker set is what the binary's build information
// holds: cmd/go writes both from one value.
func TestImageGODEBUG(t *testing.T) {
	for name, build := range map[string]func() (string, error){"full": images.full, "minimal": images.minimal} {
		t.Run(name, func(t *testing.T) {
			info, err := buildinfo.ReadFile(extractBinary(t, build))
			if err != nil {
				t.Fatal(err)
			}
			if info.Path != "bb.u-root.com/bb" || info.GoVersion != runtime.Version() {
				t.Errorf("is %s by %s: not what was to be checked", info.Path, info.GoVersion)
			}
			for _, s := range info.Settings {
				if s.Key == "DefaultGODEBUG" {
					t.Errorf("has old defaults: %s", s.Value)
				}
			}
		})
	}
}

func TestImageVersion(t *testing.T) {
	bb := extractBinary(t, images.full)
	if runtime.GOARCH != "amd64" {
		t.Skip("cannot run it here")
	}
	src, err := checkout.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := src.Version(t.Context())
	// Not reboot: should the flag be lost on the way, it would do as it is called.
	for _, name := range []string{"lsboot", "kexec", "bootmenu"} {
		cmd := exec.Command(bb, "--version")
		cmd.Args[0] = name
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s --version: %q, %v; want %s", name, out, err, want)
		}
	}
}

// The second build shares neither directories nor compiled packages with the first.
func TestImageReproducible(t *testing.T) {
	first, _ := openImage(t, images.minimal)
	t.Setenv("GOCACHE", t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("GOFLAGS", "-mod=readonly")
	t.Setenv("GOAMD64", "v3")
	t.Setenv("XZ_OPT", "--block-size=64KiB")
	mask := syscall.Umask(0o077)
	defer syscall.Umask(mask)
	second, err := buildImage("again.cpio.xz", initramfs.Image{Compress: "xz", Minimal: true})
	if err != nil {
		t.Fatal(err)
	}
	a, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("%s (%d bytes) and %s (%d bytes) differ, unless the checkout was changed meanwhile", first, len(a), second, len(b))
	}
}

func TestImageFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("builds an image")
	}
	dir := payloadtest.Tree(t, map[string][]byte{"keys/a.pub": []byte("key a"), "keys/sub/b.pub": []byte("key b")})
	_, records := openImage(t, func() (string, error) {
		return buildImage("files.cpio", initramfs.Image{Compress: "none", Minimal: true, Files: []initramfs.ExtraFile{
			{Source: filepath.Join(dir, "keys"), Path: "/etc/keys"}, {Source: filepath.Join(dir, "keys/a.pub"), Path: "one"},
		}})
	})
	files := payloadtest.RecordsFS(t, records)
	for name, want := range map[string]string{"etc/keys/a.pub": "key a", "etc/keys/sub/b.pub": "key b", "one": "key a"} {
		if got := string(files[name].Data); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestParseExtraFile(t *testing.T) {
	for _, tt := range []struct {
		arg  string
		want initramfs.ExtraFile // none when it is to be refused
	}{
		{arg: "image_test.go:etc/main.go", want: initramfs.ExtraFile{Source: "image_test.go", Path: "etc/main.go"}},
		{arg: "testdata:/etc/../data/", want: initramfs.ExtraFile{Source: "testdata", Path: "data"}},
		{arg: "image_test.go"},
		{arg: ":b"},
		{arg: "image_test.go:"},
		{arg: "image_test.go:/"},
		{arg: "image_test.go:../b"},
		{arg: "absent:b"},
	} {
		got, err := initramfs.ParseExtraFile(tt.arg)
		if got != tt.want || (err == nil) != (tt.want != initramfs.ExtraFile{}) {
			t.Errorf("%s: got %+v, %v; want %+v", tt.arg, got, err, tt.want)
		}
	}
}

// A u-root command that go.mod does not name may lose what it imports from the
// module graph at the next tidying.
func TestCommandsAreTools(t *testing.T) {
	gomod, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	minimal := content.Commands(checkout.Module, true)
	all := content.Commands(checkout.Module, false)
	if len(minimal) == 0 || !slices.Equal(all[:len(minimal)], minimal) {
		t.Errorf("the full image lacks something of the minimal one: %q", minimal)
	}
	names := make(map[string]bool)
	for _, c := range all {
		base := filepath.Base(c)
		if names[base] {
			t.Errorf("%s comes twice", base)
		}
		names[base] = true
		if own, ok := strings.CutPrefix(c, checkout.Module+"/"); ok {
			if _, err := os.Stat(filepath.Join("../../..", own)); err != nil {
				t.Error(err)
			}
		} else if !strings.Contains(string(gomod), "\t"+c+"\n") {
			t.Errorf("%s is not a tool in go.mod", c)
		}
	}
	for _, c := range content.List("", false) {
		if c.Summary == "" {
			t.Errorf("help has nothing to print of %s", c.Path)
		}
	}
	for _, want := range strings.Fields("bootmenu kexec lsboot reboot sh ls cat cp mv rm mkdir mount umount dmesg ps kill free df find grep head tail hexdump blkid insmod lsmod rmmod modprobe ip ping dhclient wget sync poweroff clear help lsblk vi more tail") {
		if !names[want] {
			t.Errorf("the recovery shell lacks %s", want)
		}
	}
}
