package discover_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/format/all"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
)

// What docs/discovery.md promises of volumes that were made to use up memory.
const (
	memoryLimit = 64 << 20        // as bootmenu has it
	longest     = 2 * time.Minute // for one, on a slow and busy machine
)

// hostileVolume makes a directory that is as large as the formats let it be, in all
// of them at once.
func hostileVolume(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	long := func(prefix string, n int) string { return prefix + strings.Repeat("x", n-len(prefix)) }
	repeat := func(n int, f func(i int) string) []byte {
		var b strings.Builder
		for i := range n {
			b.WriteString(f(i))
		}
		return []byte(b.String())
	}
	kernel := boottest.BzImage("6.18.32-0-" + strings.Repeat("k", 100))
	write("boot/vmlinuz", kernel)
	write("boot/initrd", []byte("\x1f\x8b\x08\x00"))

	// extlinux: labels with lines of the greatest length, in as many files as are
	// read, each of which includes itself and others.
	var includes string
	for i := range 8 {
		includes += fmt.Sprintf("INCLUDE part%d\n", i)
		text := fmt.Appendf(nil, "INCLUDE extlinux.conf\nINCLUDE part%d\n", i)
		text = append(text, repeat(120, func(n int) string {
			title := fmt.Sprintf("%d-%d ", i, n)
			return "LABEL " + long(title, 1000) + "\nMENU LABEL " + long(title, 2000) + "\nLINUX vmlinuz\nINITRD initrd" + strings.Repeat(",initrd", 100) +
				"\nAPPEND " + long("root=/dev/"+title, 4000) + "\n"
		})...)
		write(fmt.Sprintf("boot/part%d", i), text[:min(len(text), 1<<20)])
	}
	write("boot/extlinux.conf", []byte(includes))

	// grub: entries with long command lines, submenus inside of each other, loops
	// without an end, a variable that doubles, files that source themselves.
	grub := repeat(700, func(n int) string {
		return fmt.Sprintf("menuentry '%s' { linux /boot/vmlinuz $big %s\n initrd%s }\n", long(fmt.Sprint("g", n, " "), 200), long(fmt.Sprint("n=", n, " "), 400), strings.Repeat(" /boot/initrd", 32))
	})
	grub = append(grub, strings.Repeat("submenu 's' { menuentry 'in' { linux /boot/vmlinuz $big }\n", 40)+strings.Repeat("}\n", 40)...)
	grub = append(grub, "while true; do set x=$x$x$big; menuentry \"$x\" { linux /boot/vmlinuz $x }; done\nsource /boot/grub/grub.cfg\n"...)
	grub = append([]byte("set big="+strings.Repeat("y", 8000)+"\nfor i in 1 2 3 4; do set big=$big$big; done\nfunction f { f; }\nf\n"), grub...)
	write("boot/grub/grub.cfg", grub[:min(len(grub), 1<<20)])
	write("boot/grub/grubenv", repeat(1000, func(n int) string { return fmt.Sprintf("v%d=%s\n", n, strings.Repeat("z", 50)) }))

	// bls: more entries than are read, as long as they may be together.
	for i := range 1200 {
		write(fmt.Sprintf("loader/entries/%04d.conf", i), []byte(long(fmt.Sprint("title b", i), 200)+"\nlinux /boot/vmlinuz\n"+
			strings.Repeat("initrd /boot/initrd\n", 40)+long(fmt.Sprint("options o=", i, " "), 3500)+"\n"))
	}

	// limine: entries, deep directories, and macros that double.
	limine := "${A}=" + strings.Repeat("m", 4000) + "\n${B}=${A}${A}${A}\n" + strings.Repeat("/", 40) + "deep\n"
	limine += string(repeat(900, func(n int) string {
		return fmt.Sprintf("/%s\nprotocol: linux\nkernel_path: boot():/boot/vmlinuz\nmodule_path: boot():/boot/initrd\ncmdline: n=%d ${B}\n%s\n", long(fmt.Sprint("l", n), 180), n, strings.Repeat("module_path: boot():/boot/initrd\n", 20))
	}))
	write("limine.conf", []byte(limine[:min(len(limine), 1<<20)]))

	// refind, rpi, uki.
	write("boot/refind_linux.conf", repeat(30, func(n int) string { return fmt.Sprintf("%q %q\n", long(fmt.Sprint("r", n), 200), long("n=", 3500)) }))
	write("config.txt", append([]byte("include config.txt\n"), repeat(3000, func(n int) string { return fmt.Sprintf("[0x%x]\nkernel=boot/vmlinuz\ncmdline=c%d\n", n, n) })...))
	unified := ukitest.Image(
		ukitest.Section{Name: ".osrel", Data: []byte("PRETTY_NAME=" + strings.Repeat("u", 60_000) + "\n")},
		ukitest.Section{Name: ".cmdline", Data: []byte(strings.Repeat("c", 65_000))},
		ukitest.Section{Name: ".linux", Data: kernel})
	for i := range 250 {
		write(fmt.Sprintf("EFI/Linux/%03d.efi", i), unified)
	}

	// bare, and whatever lists directories: files with long names, more than are kept.
	first := filepath.Join(dir, "boot/vmlinuz")
	for i := range 10_000 {
		name := long(fmt.Sprintf("vmlinuz-%05d-", i), 240)
		if err := os.Link(first, filepath.Join(dir, "boot", name)); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/fstab", repeat(5000, func(n int) string { return fmt.Sprintf("UUID=%040d /%d ext4 rw 0 1\n", n, n) }))
	return dir
}

// directories is a machine on which each device holds the same directory.
type directories struct {
	dir   string
	count int
}

func (f directories) Devices() (blocks []device.Block, _ []error) {
	for i := range f.count {
		blocks = append(blocks, device.Block{Path: fmt.Sprintf("/dev/vd%d", i), Size: 1 << 30})
	}
	return blocks, nil
}

func (f directories) Probe(node string) (superblock.Superblock, error) {
	return superblock.Superblock{Type: "ext4", UUID: "uuid of " + node}, nil
}

func (f directories) Mount(context.Context, string, superblock.Superblock) (discover.Filesystem, error) {
	return device.Directory(f.dir)
}

// usage is what a scan has taken.
type usage struct {
	kept, peak uint64 // bytes of the heap, over those before
	took       time.Duration
	inventory  boot.Inventory
}

// scan examines count volumes that are all the directory dir.
func scan(t *testing.T, dir string, count int) (u usage) {
	t.Helper()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before := heap()
	var peak atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
				peak.Store(max(peak.Load(), heap()))
			}
		}
	}()
	began := time.Now()
	scanner := discover.Scanner{Machine: directories{dir, count}, Formats: all.Formats(nil), Limit: time.Hour}
	sc := scanner.Start(t.Context())
	for u.inventory = range sc.Inventories() {
		if u.inventory.Settled {
			break
		}
	}
	u.took = time.Since(began)
	close(stop)
	<-stopped
	runtime.GC()
	u.kept, u.peak = heap()-before, peak.Load()-before
	sc.Stop()
	return u
}

// A volume that was made to use up memory and time gets little of either, and
// any number of them little more memory: nine are one more than are read at
// once. What all volumes together may be kept of is TestFit's.
func TestHostileVolumes(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes and reads ten thousand files")
	}
	dir := hostileVolume(t)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(memoryLimit))
	for _, tt := range []struct {
		volumes    int
		kept, peak uint64 // bytes of the heap in use: when all has settled; while it is read, garbage among them
	}{
		{1, 8 << 20, 64 << 20},
		{9, 24 << 20, 160 << 20},
	} {
		t.Run(fmt.Sprint(tt.volumes), func(t *testing.T) {
			u := scan(t, dir, tt.volumes)
			formats := map[string]int{}
			notes, text := 0, 0
			for _, e := range u.inventory.Entries {
				formats[e.Format]++
				text += len(e.Cmdline) + len(e.Title)
			}
			for _, v := range u.inventory.Volumes {
				notes += len(v.Notes)
			}
			t.Logf("%d entries %v with %d KiB of text, %d notes: %d MiB kept, %d MiB at the peak, %v",
				len(u.inventory.Entries), formats, text>>10, notes, u.kept>>20, u.peak>>20, u.took)
			if n := len(u.inventory.Entries); n < 300 || n > 1000*tt.volumes || n > 5000 {
				t.Errorf("%d entries", n)
			}
			if limit := longest * time.Duration(tt.volumes); u.kept > tt.kept || u.peak > tt.peak || u.took > limit {
				t.Errorf("more than %d MiB, %d MiB and %v", tt.kept>>20, tt.peak>>20, limit)
			}
		})
	}
}
