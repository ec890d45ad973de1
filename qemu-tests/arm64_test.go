package qemutests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/arm64"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/target/report"
)

// arm64Limit is for two kernels, one after the other.
const arm64Limit = 6 * time.Minute

// needARM64 gives the kernel, and skips a test where there is no QEMU for it; in
// CI that is a failure.
func needARM64(t *testing.T) (kernel string, image []byte) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short leaves virtual machines out")
	}
	_, err := exec.LookPath("qemu-system-aarch64")
	if err == nil {
		kernel, err = arm64.Kernel(filepath.Join(made.Root(), "build", "cache", "debian"))
	}
	if err == nil {
		image, err = os.ReadFile(kernel)
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return kernel, image
}

// A machine with an arm64 processor is taken over by the kernel that a user
// loads: raw, gzipped, and packed as Alpine's are. Debian's kernel has no
// kexec_file_load, so it is kexec_load that does it, by itself where no call is
// asked for. All initrds reach the target, in order, and so does the command line.
func TestARM64(t *testing.T) {
	kernel, image := needARM64(t)
	build := func(pkg string) []byte {
		file := made.Path("arm64", filepath.Base(pkg))
		if err := arm64.Build(made.Root(), pkg, file); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	programs := map[string][]byte{"init": build("./qemu-tests/arm64/starter"), "kexec": build("./cmds/kexec")}
	init := build("./qemu-tests/target/init")
	gz, err := arm64.Gzip(image)
	if err != nil {
		t.Fatal(err)
	}
	zboot, err := arm64.Zboot(image)
	if err != nil {
		t.Fatal(err)
	}
	initrd := func(im target.Image) []byte {
		b, err := target.Initramfs(im)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	initrds := map[string][]byte{
		"first":  initrd(target.Image{Files: map[string]string{"order": "first", "only-first": "yes"}}),
		"second": initrd(target.Image{Init: init, Files: map[string]string{"order": "second", "only-second": "yes"}, Compression: target.Gzip}),
		"third":  initrd(target.Image{Files: map[string]string{"order": "third"}, Compression: target.Zstd}),
	}
	tests := []struct {
		name   string
		kernel []byte
		load   string
		says   string // in place of a target
	}{
		{name: "Image", kernel: image, load: "-c"},
		{name: "Image.gz", kernel: gz, load: "-a"},
		{name: "zboot", kernel: zboot, load: "-a"},
		{name: "only kexec_file_load", kernel: zboot, load: "-s", says: "built without this call"},
		{name: "truncated", kernel: image[:len(image)/2], load: "-a", says: "the file is truncated"},
		{name: "half of a zboot payload", kernel: append(zboot[:len(zboot)/2:len(zboot)/2], make([]byte, len(zboot)-len(zboot)/2)...), load: "-a", says: "unpacking the kernel"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string][]byte{
				"kernel":   tt.kernel,
				"commands": []byte("/kexec -l " + tt.load + " --initrd first --initrd second --initrd=third --append console=ttyAMA0 --append by=hand kernel\n/kexec -e\n"),
			}
			for name, b := range initrds {
				files[name] = b
			}
			b, err := arm64.Initramfs(programs, files)
			if err != nil {
				t.Fatal(err)
			}
			file := made.Path("qemu-tests", t.Name(), "initramfs")
			if err := os.WriteFile(file, b, 0o644); err != nil {
				t.Fatal(err)
			}
			slots <- struct{}{}
			log, err := arm64.Run(kernel, file, 768, arm64Limit)
			<-slots
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			if tt.says != "" {
				if !strings.Contains(log, tt.says) || strings.Contains(log, report.Begin) {
					t.Errorf("no sentence with %q, or a target:\n%s", tt.says, log)
				}
				return
			}
			r, err := report.Parse(log)
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			if r.Cmdline != "console=ttyAMA0 by=hand" || r.Files["order"] != "third" || r.Files["only-first"] != "yes" || r.Files["only-second"] != "yes" {
				t.Errorf("command line %q, files %v", r.Cmdline, r.Files)
			}
			if n := strings.Count(log, "Booting Linux on physical CPU"); n != 2 {
				t.Errorf("%d kernels started, want 2", n)
			}
		})
	}
}
