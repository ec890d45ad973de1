package kexec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
)

// fakeKernel records what it was asked for and answers as a test has set it.
type fakeKernel struct {
	fileErrs, loadErrs []error // of one call after the other; the last one stays
	calls              []string
	kernel, initrd     []byte // what the files of the last FileLoad held
	hadInitrd          bool
	segments           []Segment // of the last Load, with copies of their data
	onCall             func()
}

func answer(errs *[]error) error {
	if len(*errs) == 0 {
		return nil
	}
	err := (*errs)[0]
	if len(*errs) > 1 {
		*errs = (*errs)[1:]
	}
	return err
}

func contents(f *os.File) []byte {
	st, err := f.Stat()
	if err != nil {
		return nil
	}
	b, _ := io.ReadAll(io.NewSectionReader(f, 0, st.Size()))
	return b
}

func (k *fakeKernel) FileLoad(kernel, initrd *os.File, cmdline string) error {
	k.calls = append(k.calls, "file")
	if k.onCall != nil {
		k.onCall()
	}
	k.kernel = contents(kernel)
	if k.hadInitrd = initrd != nil; initrd != nil {
		k.initrd = contents(initrd)
	}
	return answer(&k.fileErrs)
}

func (k *fakeKernel) Load(entry uint64, segments []Segment) error {
	k.calls = append(k.calls, "load")
	if k.onCall != nil {
		k.onCall()
	}
	k.segments = nil
	for _, s := range segments {
		s.Data = bytes.Clone(s.Data)
		k.segments = append(k.segments, s)
	}
	return answer(&k.loadErrs)
}

func (k *fakeKernel) Unload() error { k.calls = append(k.calls, "unload"); return nil }
func (k *fakeKernel) Reboot() error { return syscall.EINVAL }

func file(t testing.TB, name string, content []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func needAMD64(t *testing.T) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the kernel image of this test is for amd64")
	}
}

// machineWith is a machine on which both calls can be tried, and further files.
func machineWith(files map[string]string) fstest.MapFS {
	params := make([]byte, 4096)
	params[0x1e8] = 1
	copy(params[0x2d0:], "\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00\x00\x01") // 1 GiB of RAM from 1 MiB on
	fsys := fstest.MapFS{
		"sys/kernel/boot_params/data": {Data: params},
		"proc/meminfo":                boottest.File("MemTotal:        1048576 kB\nMemAvailable:     900000 kB\n"),
	}
	for name, content := range files {
		fsys[name] = boottest.File(content)
	}
	return fsys
}

var lockedIntegrity = map[string]string{"sys/kernel/security/lockdown": "none [integrity] confidentiality\n"}

func TestLoad(t *testing.T) {
	needAMD64(t)
	kernel := testKernel(64 << 10)
	ucode, initramfs := []byte("070701 micro"), []byte("\x1f\x8bxyz")
	errs := func(e ...error) []error { return e }
	tests := []struct {
		name               string
		kernel             []byte
		initrds            [][]byte
		cmdline            string
		method             Method
		machine            map[string]string
		fileErrs, loadErrs []error
		err                string // what the error must contain; "" for none
		calls              string
		initrd             string // of FileLoad
	}{
		{name: "kexec_load comes first", kernel: kernel, initrds: [][]byte{ucode, initramfs}, calls: "load"},
		{name: "kexec_file_load under lockdown", kernel: kernel, machine: lockedIntegrity, calls: "file"},
		{name: "no initrd", kernel: kernel, method: FileLoad, calls: "file"},
		{name: "one initrd as it is", kernel: kernel, initrds: [][]byte{initramfs}, method: FileLoad, calls: "file", initrd: "\x1f\x8bxyz"},
		{name: "several in order, each padded to four bytes", kernel: kernel, initrds: [][]byte{ucode, initramfs, initramfs}, method: FileLoad,
			calls: "file", initrd: "070701 micro\x1f\x8bxyz\x00\x00\x00\x1f\x8bxyz"},
		{name: "the other call where the first is missing", kernel: kernel, loadErrs: errs(syscall.ENOSYS), calls: "load file"},
		{name: "both are missing", kernel: kernel, loadErrs: errs(syscall.ENOSYS), fileErrs: errs(syscall.ENOSYS), calls: "load file", err: "built without"},
		{name: "only the first call", kernel: kernel, method: FileLoad, fileErrs: errs(syscall.ENOSYS), calls: "file", err: "CONFIG_KEXEC_FILE"},
		{name: "only the second call", kernel: kernel, method: Load, loadErrs: errs(syscall.ENOSYS), calls: "load", err: "CONFIG_KEXEC"},
		{name: "both reasons are reported", kernel: kernel, loadErrs: errs(syscall.ENOMEM), fileErrs: errs(syscall.ENOEXEC), calls: "load file", err: "not know this kernel's image format"},
		{name: "another load that ends", kernel: kernel, loadErrs: errs(syscall.EBUSY, nil), calls: "load load"},
		{name: "another load that does not", kernel: kernel, loadErrs: errs(syscall.EBUSY), calls: "load load", err: "another kexec load"},
		{name: "what this package cannot lay out", kernel: kernel, machine: map[string]string{"sys/kernel/boot_params/data": ""}, calls: "file"},
		{name: "half-written kernel", kernel: kernel[:32<<10], err: "truncated"},
		{name: "text for a kernel", kernel: []byte("#!/bin/sh\n"), err: "vmlinuz: not a kernel"},
		{name: "empty initrd", kernel: kernel, initrds: [][]byte{ucode, nil}, err: "initrd"},
		{name: "initrd of no known kind", kernel: kernel, initrds: [][]byte{[]byte("hello, world")}, err: "neither a cpio"},
		{name: "too long a command line", kernel: kernel, cmdline: strings.Repeat("x", 2050), err: "2050 characters and the kernel takes 2047: shorten it by 3"},
		{name: "another machine's kernel", kernel: arm64Kernel(), err: "for arm64 and this machine runs amd64"},
		{name: "EFI program", kernel: ukitest.Image(ukitest.Section{Name: ".text", Data: []byte("code")}), err: "is an EFI program"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := &fakeKernel{fileErrs: tt.fileErrs, loadErrs: tt.loadErrs}
			target := Target{Kernel: file(t, "vmlinuz", tt.kernel), Cmdline: tt.cmdline}
			for _, b := range tt.initrds {
				target.Initrds = append(target.Initrds, file(t, "initrd", b))
			}
			err := (&Loader{Kernel: k, Method: tt.method, Root: machineWith(tt.machine)}).Load(context.Background(), target)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error: got %v, want %q", err, tt.err)
			}
			if got := strings.Join(k.calls, " "); got != tt.calls {
				t.Errorf("calls: got %q, want %q", got, tt.calls)
			}
			if string(k.initrd) != tt.initrd || k.hadInitrd != (tt.initrd != "") {
				t.Errorf("initrd: got %q, want %q", k.initrd, tt.initrd)
			}
		})
	}
}

// arm64Kernel returns a zboot image, as far as it takes to see what it is.
func arm64Kernel() []byte {
	b := make([]byte, 0x200)
	copy(b, "MZ\x00\x00zimg")
	b[9], b[0x3c] = 1, 0x40
	copy(b[0x40:], "PE\x00\x00\x64\xaa")
	return b
}

// What goes to kexec_load is what is in the files, without a copy.
func TestLoadSegments(t *testing.T) {
	needAMD64(t)
	kernel := testKernel(64 << 10)
	uki := ukitest.Image(
		ukitest.Section{Name: ".cmdline", Data: []byte("of the image")}, ukitest.Section{Name: ".initrd", Data: []byte("070701 inside")},
		ukitest.Section{Name: ".linux", Data: kernel}, ukitest.Section{Name: ".ucode", Data: []byte("070701 micro")},
	)
	var many, manyText []string
	for i := range mostInitrds + 1 {
		many = append(many, fmt.Sprintf("070701%02d", i)) // a multiple of four bytes
		manyText = append(manyText, many[i])
	}
	uBootRamdisk := "\x27\x05\x19\x56" + strings.Repeat("\x00", 26) + "\x03" + strings.Repeat("\x00", 33)
	tests := []struct {
		name    string
		kernel  []byte
		initrds []string
		want    []string // of the segments of initrds
		joined  string   // what kexec_file_load gets
	}{
		{name: "bzImage", kernel: kernel, initrds: []string{"070701 a", "\x1f\x8bb"}, want: []string{"070701 a", "\x1f\x8bb"}, joined: "070701 a\x1f\x8bb"},
		{name: "unified kernel image", kernel: uki, initrds: []string{"\x1f\x8bmore"}, want: []string{"070701 micro", "070701 inside", "\x1f\x8bmore"},
			joined: "070701 micro070701 inside\x00\x00\x00\x1f\x8bmore"},
		{name: "initrd with U-Boot's header", kernel: kernel, initrds: []string{uBootRamdisk + "\x1f\x8bpacked"}, want: []string{"\x1f\x8bpacked"}, joined: "\x1f\x8bpacked"},
		{name: "more initrds than there can be segments", kernel: kernel, initrds: many, want: []string{strings.Join(manyText, "")}, joined: strings.Join(manyText, "")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := &fakeKernel{}
			target := Target{Kernel: file(t, "vmlinuz", tt.kernel)}
			for _, s := range tt.initrds {
				target.Initrds = append(target.Initrds, file(t, "initrd", []byte(s)))
			}
			for _, m := range []Method{Load, FileLoad} {
				if err := (&Loader{Kernel: k, Method: m, Root: machineWith(nil)}).Load(context.Background(), target); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, s := range k.segments[:len(k.segments)-2] {
				got = append(got, string(s.Data))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("initrds %q, want %q", got, tt.want)
			}
			if last := k.segments[len(k.segments)-1]; !bytes.Equal(last.Data, kernel[2048:]) {
				t.Errorf("the kernel's segment has %d bytes, not those from the setup's end on", len(last.Data))
			}
			if !bytes.Equal(k.kernel, kernel) || string(k.initrd) != tt.joined {
				t.Errorf("kexec_file_load got a kernel of %d bytes and the initrd %q", len(k.kernel), k.initrd)
			}
		})
	}
}

func TestLoadStopsWhenCancelled(t *testing.T) {
	needAMD64(t)
	for _, tt := range []struct {
		stage string // at whose first report ctx ends; "" for before it all
		calls string
	}{
		{stage: "", calls: ""},
		{stage: "Reading", calls: ""},
		{stage: "Loading", calls: "file unload"},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		if tt.stage == "" {
			cancel()
		}
		k := &fakeKernel{}
		l := &Loader{Kernel: k, Method: FileLoad, Root: machineWith(nil), Progress: func(stage string, done, total int64) {
			if stage == tt.stage {
				cancel()
			}
		}}
		before := openFiles(t)
		kernel := file(t, "vmlinuz", testKernel(4<<20))
		a, b := file(t, "a", []byte("070701")), file(t, "b", []byte("070701"))
		err := l.Load(ctx, Target{Kernel: kernel, Initrds: []*os.File{a, b}})
		if !errors.Is(err, context.Canceled) || strings.Join(k.calls, " ") != tt.calls {
			t.Errorf("cancelled at %q: %v, calls %q, want %q", tt.stage, err, k.calls, tt.calls)
		}
		if after := openFiles(t); after != before+3 {
			t.Errorf("cancelled at %q: %d files are open, and %d were, with three of the test", tt.stage, after, before+3)
		}
		cancel()
	}
}

// openFiles counts the open files that hold memory or a target.
func openFiles(t *testing.T) (n int) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if name, err := os.Readlink(l); err == nil && (strings.Contains(name, "memfd:") || strings.HasPrefix(name, os.TempDir())) {
			n++
		}
	}
	return n
}

// TestMemory asserts how much memory of our own the files take at the moment of
// the system call, which holds the target itself: next to none, and for
// kexec_file_load a copy of several initrds, which it takes in one file only. The
// copy is gone afterwards.
func TestMemory(t *testing.T) {
	needAMD64(t)
	const kernelSize, initrdSize = 24 << 20, 20 << 20
	initrd := make([]byte, initrdSize)
	copy(initrd, "070701")
	kernel := file(t, "vmlinuz", testKernel(kernelSize))
	a, b := file(t, "a", initrd), file(t, "b", initrd)
	initrd = nil
	for _, tt := range []struct {
		name    string
		method  Method
		initrds []*os.File
		most    int64
	}{
		{"kexec_load", Load, []*os.File{a, b}, 4 * mib},
		{"kexec_file_load", FileLoad, []*os.File{a}, 4 * mib},
		{"kexec_file_load with two initrds", FileLoad, []*os.File{a, b}, 2*initrdSize + 4*mib},
	} {
		runtime.GC()
		debug.FreeOSMemory()
		before := ownMemory(t)
		var during int64
		k := &fakeKernel{}
		k.onCall = func() { during = ownMemory(t) }
		if err := (&Loader{Kernel: k, Method: tt.method, Root: machineWith(nil)}).Load(context.Background(), Target{Kernel: kernel, Initrds: tt.initrds}); err != nil {
			t.Fatal(err)
		}
		if during == 0 || during-before > tt.most {
			t.Errorf("%s: %d KiB more than before at the system call, want at most %d", tt.name, (during-before)>>10, tt.most>>10)
		}
		k.segments, k.kernel, k.initrd = nil, nil, nil
		if n := memfiles(t); n != 0 {
			t.Errorf("%s: files in memory hold %d KiB afterwards", tt.name, n>>10)
		}
	}
}

// ownMemory returns the bytes that this process has for itself, those of files in
// memory included, mapped files not.
func ownMemory(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n<<10 + memfiles(t)
		}
	}
	t.Fatal("/proc/self/status has no RssAnon")
	return 0
}

// memfiles returns the bytes of open files in memory.
func memfiles(t *testing.T) (n int64) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		var st syscall.Stat_t
		if name, err := os.Readlink(l); err == nil && strings.Contains(name, "memfd:") && syscall.Stat(l, &st) == nil {
			n += st.Blocks * 512
		}
	}
	return n
}

func TestProgress(t *testing.T) {
	needAMD64(t)
	var got []string
	l := &Loader{Kernel: &fakeKernel{}, Root: machineWith(nil), Progress: func(stage string, done, total int64) {
		if len(got) == 0 || done == 0 || done == total {
			got = append(got, fmt.Sprintf("%s %d of %d", stage, done, total))
		}
	}}
	kernel := testKernel(64 << 10)
	if err := l.Load(context.Background(), Target{Kernel: file(t, "vmlinuz", kernel), Initrds: []*os.File{file(t, "initrd", []byte("070701"))}}); err != nil {
		t.Fatal(err)
	}
	n := len(kernel) + 6
	want := []string{fmt.Sprintf("Reading 0 of %d", n), fmt.Sprintf("Reading %d of %d", n, n), "Loading 0 of 0", fmt.Sprintf("Loading %d of %d", n, n)}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A disk that cannot be read is named with the file, and nothing is loaded.
func TestLoadUnreadable(t *testing.T) {
	needAMD64(t)
	f := file(t, "vmlinuz", testKernel(64<<10))
	k := &fakeKernel{}
	l := &Loader{Kernel: k, Root: machineWith(nil), Progress: func(stage string, done, total int64) {
		if stage == "Reading" && done == 0 {
			os.Truncate(f.Name(), 4096)
		}
	}}
	err := l.Load(context.Background(), Target{Kernel: f})
	if err == nil || !strings.Contains(err.Error(), f.Name()+" after 4096 of ") || len(k.calls) != 0 {
		t.Errorf("got %v, calls %q", err, k.calls)
	}
}

func TestExec(t *testing.T) {
	err := (&Loader{Kernel: &fakeKernel{}, Root: machineWith(nil)}).Exec()
	if err == nil || !strings.Contains(err.Error(), "no kernel is loaded") || !errors.Is(err, syscall.EINVAL) {
		t.Error(err)
	}
}
