package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/alpboot/alpboot/qemu-tests/assets"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// fileLoads counts what loading by kexec_file_load takes with alpboot's kexec and with
// that of kexec-tools, in one machine, with the files in memory.
func (r *Report) fileLoads(c *counter) error {
	disk, err := handoverDisk(c.a)
	if err != nil {
		return err
	}
	initrd, err := withKexecTools(c.a)
	if err != nil {
		return err
	}
	const arguments = " -l --initrd=initramfs-lts --command-line=console=ttyS0 vmlinuz-lts"
	commands := []struct{ name, load, unload string }{
		{"alpboot's kexec -s", "kexec -s" + arguments, "kexec -u"},
		{"kexec-tools' kexec -s", "/k/ld-linux-x86-64.so.2 --library-path /k /k/kexec -s" + arguments, "kexec -u"},
	}
	o := linux(c.kernel, initrd, "loglevel=4 alpboot.timeout=-1")
	o.Memory = 1024
	// The marks are no command that is echoed.
	console, moments, err := c.run("loading by kexec -s", o, func(console *vm.Console) error {
		const limit = time.Hour
		if _, err := console.Await(limit, vm.OnScreen(listed)); err != nil {
			return err
		}
		console.Type("s")
		if _, err := console.Await(limit, vm.OnScreen("$")); err != nil {
			return err
		}
		if _, err := command(console, "mkdir /m && mount -r -t ext4 /dev/vda1 /m && cd /m && cat vmlinuz-lts initramfs-lts >/dev/null"); err != nil {
			return err
		}
		for i, k := range commands {
			// Once before, which brings the program into memory.
			line := fmt.Sprintf("%s && %s && echo be''gin%d && %s && echo don''e%d && %s", k.load, k.unload, i, k.load, i, k.unload)
			if _, err := command(console, line); err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
		}
		return nil
	}, disk)
	if err != nil {
		return err
	}
	for i, k := range commands {
		begin, bytes, err := when(console, moments, 0, fmt.Sprintf("begin%d", i))
		if err != nil {
			return err
		}
		end, _, err := when(console, moments, bytes, fmt.Sprintf("done%d", i))
		if err != nil {
			return err
		}
		r.Counted = append(r.Counted, Counted{k.name, map[string]int64{"fileload": end - begin}})
	}
	return nil
}

// withKexecTools is the menu's initramfs with Debian's kexec-tools and its libraries, in /k.
func withKexecTools(a *assets.Assets) (string, error) {
	full, err := a.Initramfs()
	if err != nil {
		return "", err
	}
	dir, err := packageFiles(a, append([]string{"libc6"}, kexecTools...)...)
	if err != nil {
		return "", err
	}
	records := []cpio.Record{cpio.Directory("k", 0o755)}
	seen := map[string]bool{}
	err = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		name := filepath.Base(file)
		library := strings.Contains(name, ".so.") && !strings.Contains(file, "/gconv/")
		if err != nil || d.IsDir() || seen[name] || !library && !strings.HasSuffix(file, "/sbin/kexec") {
			return err
		}
		b, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			return nil // a link to a place in the system
		}
		seen[name] = true
		records = append(records, cpio.StaticRecord(b, cpio.Info{Name: "k/" + name, Mode: cpio.S_IFREG | 0o755}))
		return err
	})
	if err != nil {
		return "", err
	}
	file := a.Path("bench", "kexec-tools.cpio")
	return file, withRecords(file, full, records)
}
