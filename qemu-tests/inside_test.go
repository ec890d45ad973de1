package qemutests

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/vm"
	"github.com/u-root/u-root/pkg/cpio"
)

// What reads through device-mapper is tested under the menu's own kernel: the
// machine that the tests run on may have no device-mapper. skips.go of
// qemu-tests/all counts on this test.
func TestDeviceMapper(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	packages := []string{"boot/device/mapper", "boot/device/assemble"}
	dir := t.TempDir()
	var records []cpio.Record
	add := func(name string, b []byte, mode uint64) {
		records = append(records, cpio.StaticFile(name, string(b), mode))
	}
	for _, p := range packages {
		file := filepath.Join(dir, path.Base(p))
		cmd := exec.Command("go", "test", "-c", "-o", file, "./"+p)
		cmd.Dir = made.Root()
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		add(p+"/test", b, 0o755)
	}
	// The tests of assemble read these.
	source := os.DirFS(made.Root())
	err := fs.WalkDir(source, "boot/device/lvm/testdata", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(source, name)
		add(name, b, 0o644)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, initrd, err := anyKernel.files()
	if err != nil {
		t.Fatal(err)
	}
	both := filepath.Join(dir, "initrd")
	if err := appendArchive(both, initrd, records...); err != nil {
		t.Fatal(err)
	}
	m := startWith(t, "alpboot.timeout=-1", func(o *vm.Options) { o.Initrd, o.Memory = both, 1024 })
	m.text(menuLimit, "shell")
	m.shell()
	if !made.HasKernel() { // then what is tested is a module
		m.run(autoload+"modprobe dm-mod && modprobe loop && echo loaded$((6 * 7))", "loaded42")
	}
	for _, p := range packages {
		m.Type(vm.Key("cd /" + p + " && ./test -test.v; echo ended $?=" + path.Base(p) + "\r"))
		m.Await(targetLimit, vm.LogMatches(regexp.MustCompile(`ended \d+=`+path.Base(p))))
	}
	log := m.Serial(0).Log()
	for _, p := range packages {
		if !strings.Contains(log, "ended 0="+path.Base(p)) {
			t.Errorf("the tests of %s failed:\n%s", p, log[max(0, len(log)-8000):])
		}
	}
	for _, name := range []string{"TestCreate", "TestCreateFails", "TestCloseInUse", "TestStaleNode", "TestReadThrough"} {
		if !strings.Contains(log, "--- PASS: "+name+" ") {
			t.Errorf("%s did not pass:\n%s", name, log)
		}
	}
}

// appendArchive writes an initramfs with more files behind what is in it, in whose
// place they come where they have the same name.
func appendArchive(file, initramfs string, records ...cpio.Record) error {
	b, err := os.ReadFile(initramfs)
	if err != nil {
		return err
	}
	more := bytes.NewBuffer(append(b, make([]byte, -len(b)&3)...))
	w := cpio.Newc.Writer(more)
	if err := cpio.WriteRecordsAndDirs(w, records); err != nil {
		return err
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return err
	}
	return os.WriteFile(file, more.Bytes(), 0o600)
}
