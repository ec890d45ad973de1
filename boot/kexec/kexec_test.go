package kexec

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// fakeKernel records what it was asked for and answers as it is told.
type fakeKernel struct {
	fileErr, loadErr error
	fileCalls        int
	loadCalls        int
	initrd           []byte // what the initrd of the last FileLoad held
	hadInitrd        bool
	cmdline          string
}

func (k *fakeKernel) FileLoad(kernel, initrd *os.File, cmdline string) error {
	k.fileCalls++
	k.cmdline = cmdline
	if k.hadInitrd = initrd != nil; initrd != nil {
		if _, err := initrd.Seek(0, io.SeekStart); err != nil {
			return err
		}
		k.initrd, _ = io.ReadAll(initrd)
	}
	return k.fileErr
}
func (k *fakeKernel) Load(uint64, []Segment) error { k.loadCalls++; return k.loadErr }
func (k *fakeKernel) Unload() error                { return nil }
func (k *fakeKernel) Reboot() error                { return syscall.EINVAL }

func file(t *testing.T, name string, content []byte) *os.File {
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

func TestLoad(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the kernel image of this test is for amd64")
	}
	kernel := testKernel(64 << 10)
	ucode, initramfs := []byte("070701 micro"), []byte("\x1f\x8bxyz")
	tests := []struct {
		name      string
		kernel    []byte
		initrds   [][]byte
		cmdline   string
		method    Method
		fileErr   error
		loadErr   error
		err       string // what the error must contain; "" for none
		fileCalls int
		loadCalls int
		initrd    string
	}{
		{name: "no initrd", kernel: kernel, fileCalls: 1},
		{name: "one initrd as it is", kernel: kernel, initrds: [][]byte{initramfs}, fileCalls: 1, initrd: "\x1f\x8bxyz"},
		{name: "several in order, each padded to four bytes", kernel: kernel, initrds: [][]byte{ucode, initramfs, initramfs},
			fileCalls: 1, initrd: "070701 micro\x1f\x8bxyz\x00\x00\x00\x1f\x8bxyz\x00\x00\x00"},
		{name: "the other call where the first is missing", kernel: kernel, fileErr: syscall.ENOSYS, fileCalls: 1, loadCalls: 1},
		{name: "both are missing", kernel: kernel, fileErr: syscall.ENOSYS, loadErr: syscall.ENOSYS, fileCalls: 1, loadCalls: 1, err: "built without kexec"},
		{name: "no second try when memory ran out", kernel: kernel, fileErr: syscall.ENOMEM, fileCalls: 1, err: "not enough free memory"},
		{name: "no second try while another load runs", kernel: kernel, fileErr: syscall.EBUSY, fileCalls: 1, err: "try again"},
		{name: "the first reason is the one told", kernel: kernel, fileErr: syscall.ENOKEY, loadErr: syscall.EPERM, fileCalls: 1, loadCalls: 1, err: "does not trust"},
		{name: "only the first call", kernel: kernel, method: FileLoad, fileErr: syscall.ENOSYS, fileCalls: 1, err: "CONFIG_KEXEC"},
		{name: "only the second call", kernel: kernel, method: Load, loadCalls: 1},
		{name: "half-written kernel", kernel: kernel[:32<<10], err: "truncated"},
		{name: "empty initrd", kernel: kernel, initrds: [][]byte{ucode, nil}, err: "initrd"},
		{name: "too long a command line", kernel: kernel, cmdline: strings.Repeat("x", 2048), err: "2047"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := os.Stat(bootParamsFile); err != nil && tt.loadCalls > 0 {
				t.Skip("this machine does not show its boot parameters: ", err)
			}
			k := &fakeKernel{fileErr: tt.fileErr, loadErr: tt.loadErr}
			target := Target{Kernel: file(t, "vmlinuz", tt.kernel), Cmdline: tt.cmdline}
			for _, b := range tt.initrds {
				target.Initrds = append(target.Initrds, file(t, "initrd", b))
			}
			err := (&Loader{Sys: k, Method: tt.method}).Load(context.Background(), target)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error: got %v, want %q", err, tt.err)
			}
			if k.fileCalls != tt.fileCalls || k.loadCalls != tt.loadCalls {
				t.Errorf("calls of kexec_file_load, kexec_load: got %d, %d; want %d, %d", k.fileCalls, k.loadCalls, tt.fileCalls, tt.loadCalls)
			}
			if string(k.initrd) != tt.initrd || k.hadInitrd != (tt.initrd != "") {
				t.Errorf("initrd: got %q, want %q", k.initrd, tt.initrd)
			}
		})
	}
}

func TestLoadStopsWhenCancelled(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the kernel image of this test is for amd64")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	k := &fakeKernel{}
	err := (&Loader{Sys: k}).Load(ctx, Target{Kernel: file(t, "vmlinuz", testKernel(4096))})
	if !errors.Is(err, context.Canceled) || k.fileCalls != 0 {
		t.Errorf("got %v and %d calls, want context.Canceled and none", err, k.fileCalls)
	}
}

func TestExplainKeepsErrno(t *testing.T) {
	for errno := syscall.Errno(1); errno < 134; errno++ {
		err := explain("kexec_load", errno)
		if !errors.Is(err, errno) {
			t.Errorf("errno %d is lost", errno)
		}
		if hint(errno) == "" {
			t.Errorf("errno %d has no sentence", errno)
		}
	}
}
