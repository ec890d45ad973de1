package qemutests

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// twoKernels is an Alpine installation with two kernels of different versions,
// whose initramfs each carry a file of their own.
func twoKernels(t *testing.T) (in disk.Install, lts, virt debian.Kernel) {
	t.Helper()
	lts, virt = kernelOf(t, debian.Newer), kernelOf(t, debian.Older)
	if lts.Release == virt.Release {
		t.Fatalf("both kernels are %s: the test wants two versions", lts.Release)
	}
	return disk.Install{
		Options: targetOptions,
		Kernels: []disk.Kernel{
			{Flavour: "lts", Image: lts.Image, Initramfs: initramfs(t, target.Gzip, map[string]string{"flavour": "lts"})},
			{Flavour: "virt", Image: virt.Image, Initramfs: initramfs(t, target.Zstd, map[string]string{"flavour": "virt"})},
		},
	}, lts, virt
}

// The menu lists both kernels of an Alpine disk with their versions, and so does
// lsboot in the shell, where Ctrl-C ends a command and not the shell. Down and
// Enter boot the second one with exactly the command line of extlinux.conf, and
// not a byte of the disk has changed.
func TestChoosingWithKeys(t *testing.T) {
	eachKernel(t, func(t *testing.T, p payload) {
		in, lts, virt := twoKernels(t)
		file := write(t, disk.GPTDisk(in))
		before := sum(t, file)
		// Writeable: were anything written, it would reach the file.
		m := start(t, p, "alpboot.timeout=600", vm.Drive{File: file, Access: vm.Writeable})
		m.row(menuLimit, "Linux lts", inList(lts.Release), "default")
		m.row(drawLimit, "Linux virt", inList(virt.Release))
		m.selected("Linux lts")
		// Before its first frame nothing was printed but by the kernel.
		_, early, _ := strings.Cut(m.Serial(0).Log(), "Run /init as init process")
		early, _, _ = strings.Cut(early, "\x1b")
		for line := range strings.Lines(early) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "[") {
				t.Errorf("was printed before the menu: %q", line)
			}
		}

		m.shell()
		m.run("lsboot && echo listed$((6 * 7))", "listed42")
		m.row(drawLimit, "*", "1", "Linux lts", inList(lts.Release), "/dev/vda")
		m.row(drawLimit, "2", "Linux virt", inList(virt.Release), "/dev/vda")
		m.Type("echo begun$((6 * 7)); sleep 1000\r")
		m.Await(drawLimit, vm.OnScreen("begun42"))
		m.Type(vm.CtrlC)
		m.Await(drawLimit, vm.LogMatches(regexp.MustCompile(`begun42\s+(\^C)?\s*\$`)))
		m.run("echo still$((6 * 7))", "still42")
		m.run("lsblk", "  vda1")
		m.run("mount -r /dev/vda2 /mnt && umount /mnt && echo mounted$((6 * 7))", "mounted42")
		m.run("clear; help | tail -2", "searches it")
		m.Type("vi /tmp/text\r")
		m.text(drawLimit, "is a new file")
		m.Type("ithe answer\x1b")
		m.text(drawLimit, "1/1")
		m.Type(":wq\r")
		m.prompt()
		m.run("sh -c 'echo $(cat /tmp/text) is $((6 * 7))'", "the answer is 42")
		m.Type("true && exit\r")
		m.text(drawLimit, "Back from the shell.")
		m.row(drawLimit, "Linux lts", "default")

		m.Type(vm.Home, vm.Down)
		m.selected("Linux virt")
		m.Type(vm.Enter)
		m.target(want{virt, in.Cmdline("UUID=" + disk.RootUUID), map[string]string{"flavour": "virt"}})
		// The banner comes from the kernel itself, not only from its init.
		m.Await(0, vm.InLog("Linux version "+virt.Release))
		if after := sum(t, file); after != before {
			t.Errorf("the disk has changed: SHA-256 %s, was %s", after, before)
		}
	})
}

// Without any disk the menu says so, and what to do. The shell that s opens
// works, gets a file from the network as it was, and comes back to the menu.
func TestWithoutADisk(t *testing.T) {
	host, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file := bytes.Repeat([]byte("a file from the network\n"), 100_000)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
	})}
	go server.Serve(host)
	t.Cleanup(func() { server.Close() })
	test := func(t *testing.T, p payload) {
		m := launch(t, p, "alpboot.timeout=5", func(o *vm.Options) { o.Network = true }, nil)
		m.text(menuLimit, "No disk was found. Check that the disk is plugged in")
		m.shell()
		// The command's output, not its echo: the shell must have worked it out.
		m.run("echo $((6 * 7))-$(uname)-works", "42-Linux-works")
		// 10.0.2.2 is the host in QEMU's user-mode network.
		m.Type(vm.Key(fmt.Sprintf("dhclient -ipv6=false eth0; wget http://10.0.2.2:%d/dir/file && shasum -a 256 file\r", host.Addr().(*net.TCPAddr).Port)))
		m.Await(menuLimit, vm.InLog(fmt.Sprintf("%x", sha256.Sum256(file))))
		m.prompt()
		m.leaveShell()
		m.row(drawLimit, "No disk was found.")
	}
	if everything() {
		eachKernel(t, test)
		return
	}
	needQEMU(t)
	t.Parallel()
	test(t, anyKernel)
}
