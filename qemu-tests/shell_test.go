package qemutests

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// In the shell, lsboot lists what the menu lists.
func TestListingInTheShell(t *testing.T) {
	needQEMU(t)
	for _, p := range []payload{ownKernel, debianKernel} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			in, lts, virt := twoKernels(t)
			m := start(t, p, "alpboot.timeout=-1", vm.Drive{File: write(t, disk.GPTDisk(in))})
			m.row(menuLimit, "Linux virt", inList(virt.Release))
			m.Type("s")
			m.Await(drawLimit, vm.OnScreen("$"))
			m.Type("lsboot && echo listed$((6 * 7))\r")
			m.Await(drawLimit, vm.OnScreen("listed42"))
			m.row(drawLimit, "*", "1", "Linux lts", inList(lts.Release), "/dev/vda")
			m.row(drawLimit, "2", "Linux virt", inList(virt.Release), "/dev/vda")
			// Ctrl-C ends a command, and not the shell.
			m.Type("echo begun$((6 * 7)); sleep 1000\r")
			m.Await(drawLimit, vm.OnScreen("begun42"))
			m.Type(vm.CtrlC)
			m.Await(drawLimit, vm.LogMatches(regexp.MustCompile(`begun42\s+(\^C)?\s*\$`)))
			m.Type("echo still$((6 * 7))\r")
			m.Await(drawLimit, vm.OnScreen("still42"))
			m.Type("exit\r")
			m.row(drawLimit, "Linux lts", "default")
		})
	}
}

// The shell gets a file from the network, and it arrives as it was.
func TestNetworkInTheShell(t *testing.T) {
	needQEMU(t)
	t.Parallel()
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
	m := startWith(t, "", func(o *vm.Options) { o.Network = true })
	m.text(menuLimit, "No disk was found")
	m.Type("s")
	m.Await(drawLimit, vm.OnScreen("$"))
	// 10.0.2.2 is the host in QEMU's user-mode network.
	m.Type(vm.Key(fmt.Sprintf("dhclient -ipv6=false eth0; wget http://10.0.2.2:%d/dir/file && shasum -a 256 file\r", host.Addr().(*net.TCPAddr).Port)))
	m.Await(menuLimit, vm.InLog(fmt.Sprintf("%x", sha256.Sum256(file))))
}
