// Package hostile makes directories that were made to use up memory and time.
package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
)

// writer returns a function that writes a file below dir.
func writer(t testing.TB, dir string) func(name string, data []byte) {
	return func(name string, data []byte) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// long returns a text of n bytes that begins with prefix.
func long(prefix string, n int) string { return prefix + strings.Repeat("x", n-len(prefix)) }

// repeat returns what f returns for 0 to n-1, one after the other.
func repeat(n int, f func(i int) string) []byte {
	var b strings.Builder
	for i := range n {
		b.WriteString(f(i))
	}
	return []byte(b.String())
}

// Volume makes a directory that is as large as the formats let it be, in all of
// them at once.
func Volume(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	write := writer(t, dir)
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

// Configurations adds count configuration files of all formats to a directory that
// [Volume] has made: each is found by itself, or is included by another one.
func Configurations(t testing.TB, dir string, count int) {
	t.Helper()
	write := writer(t, dir)
	n := count / 8
	for i := range n {
		title := fmt.Sprint(i, " ")
		write(fmt.Sprintf("loader/entries/more%05d.conf", i), []byte(long("title "+title, 200)+"\nlinux /boot/vmlinuz\nefi /EFI/Linux/000.efi\n"+
			strings.Repeat("initrd /boot/initrd\n", 40)+long("options $v1 o="+title, 3500)+"\n"))
		// One goes on with the next one, for ever, and says much on the way.
		write(fmt.Sprintf("EFI/%05d/grub.cfg", i), fmt.Appendf(nil, "set x=%s\nfor i in 1 2 3 4 5 6 7 8; do set x=$x$x; done\n"+
			"while true; do menuentry \"$x%d\" { linux /boot/vmlinuz $x; initrd /boot/initrd }; source /EFI/%05d/grub.cfg; done\n", long(title, 300), i, (i+1)%n))
		write(fmt.Sprintf("EFI/%05d/limine.conf", i), repeat(60, func(k int) string {
			return strings.Repeat("/", k%40+1) + long(title, 200) + "\nprotocol: linux\npath: boot():/boot/vmlinuz\n" + long("cmdline: ", 4000) + "\n"
		}))
		write(fmt.Sprintf("EFI/%05d/refind_linux.conf", i), repeat(64, func(int) string { return fmt.Sprintf("%q %q\n", long(title, 200), long("o=", 1500)) }))
		if err := os.Link(filepath.Join(dir, "boot/vmlinuz"), filepath.Join(dir, fmt.Sprintf("EFI/%05d/vmlinuz", i))); err != nil {
			t.Fatal(err)
		}
		write(fmt.Sprintf("EFI/%05d/refind.conf", i), fmt.Appendf(repeat(30, func(k int) string {
			return fmt.Sprintf("menuentry %q {\nloader /boot/vmlinuz\noptions %q\nsubmenuentry x {\nadd_options y\n}\n}\n", long(title+fmt.Sprint(k), 200), long("o=", 3000))
		}), "include refind.conf\ninclude /EFI/%05d/refind.conf\n", (i+1)%n))
		write(fmt.Sprintf("boot/more%05d", i), fmt.Appendf(nil, "LABEL %s\nMENU BEGIN\nLINUX vmlinuz\nINITRD initrd%s\nAPPEND %s\nMENU INCLUDE more%05d %s\nCONFIG more%05d\n",
			long(title, 1000), strings.Repeat(",initrd", 100), long("root=", 4000), (i+1)%n, title, (i+7)%n))
		write(fmt.Sprintf("more%05d", i), fmt.Appendf(nil, "include more%05d\n[0x%x]\nkernel=boot/vmlinuz\ncmdline=c%d\n", (i+1)%n, i, i))
		write(fmt.Sprintf("EFI/Linux/000.efi.extra.d/%05d.addon.efi", i), ukitest.Image(ukitest.Section{Name: ".cmdline", Data: []byte(strings.Repeat("a", 60_000))}))
	}
	write("boot/extlinux/extlinux.conf", repeat(n, func(i int) string { return fmt.Sprintf("INCLUDE /boot/more%05d\n", i) }))
	write("config.txt", repeat(n, func(i int) string { return fmt.Sprintf("include more%05d\n", i) }))
}
