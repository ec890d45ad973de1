package command

import (
	"bytes"
	"maps"
	"os"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
)

// needAMD64 skips a test whose kernel images are for amd64.
func needAMD64(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the kernel images of this test are for amd64")
	}
}

// What is loaded, and with what, as load --dry-run shows it.
// otherSystem is a configuration whose default has another root filesystem than
// the running system.
const otherSystem = "LABEL d\n  MENU LABEL Debian\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND root=/dev/sdb1 quiet\n"

func TestLoad(t *testing.T) {
	needAMD64(t)
	tests := []struct {
		name    string
		files   map[string]string
		args    string // ROOT stands for the system's root
		kernel  string
		initrds string
		cmdline string
	}{
		{name: "what a reboot loads", files: alpine(),
			kernel: "vmlinuz-lts", initrds: "initramfs-lts", cmdline: "root=UUID=1 modules=ext4 quiet"},
		{name: "what a reboot loads, by the settings of the service", files: with(alpine(), confFile, "KERNEL=vmlinuz-virt\nAPPEND=conf\n"), args: "--append single",
			kernel: "vmlinuz-virt", initrds: "initramfs-virt", cmdline: "root=UUID=1 modules=ext4 quiet conf single"},
		{name: "what a reboot loads, with another command line", files: alpine(), args: "--cmdline x",
			kernel: "vmlinuz-lts", initrds: "initramfs-lts", cmdline: "x"},
		{name: "the entry of the running flavour", files: alpine(), args: "--entry default",
			kernel: "vmlinuz-lts", initrds: "initramfs-lts", cmdline: "root=UUID=1 of=lts"},
		{name: "a default of the configuration comes first", files: with(alpine(), "/boot/extlinux.conf", strings.Replace(alpine()["/boot/extlinux.conf"], "  MENU LABEL Linux virt", "  MENU DEFAULT\n  MENU LABEL Linux virt", 1)), args: "--entry default",
			kernel: "vmlinuz-virt", initrds: "initramfs-virt", cmdline: "root=UUID=1 of=virt"},
		{name: "an entry by title", files: alpine(), args: "--entry 'linux virt'",
			kernel: "vmlinuz-virt", initrds: "initramfs-virt", cmdline: "root=UUID=1 of=virt"},
		{name: "an entry by number, with the running command line and more", files: alpine(), args: "--entry 1 --reuse-cmdline --append single",
			kernel: "vmlinuz-virt", initrds: "initramfs-virt", cmdline: "root=UUID=1 modules=ext4 quiet single"},
		{name: "what is added comes before what is for init", files: with(alpine(), "/boot/extlinux.conf", "LABEL a\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND root=UUID=1 -- single\n"), args: "--entry a --append quiet",
			kernel: "vmlinuz-lts", initrds: "initramfs-lts", cmdline: "root=UUID=1 quiet -- single"},
		{name: "another system that is named", files: with(alpine(), "/boot/extlinux.conf", otherSystem), args: "--entry Debian --no-modules",
			kernel: "vmlinuz-lts", initrds: "initramfs-lts", cmdline: "root=/dev/sdb1 quiet"},
		{name: "the running system by the name of its device", files: with(alpine(), "/boot/extlinux.conf", strings.Replace(otherSystem, "sdb1", "sda3", 1)), args: "--entry default",
			kernel: "vmlinuz-lts", initrds: "initramfs-lts", cmdline: "root=/dev/sda3 quiet"},
		{name: "without a configuration the running command line", files: with(alpine(), "/boot/extlinux.conf", "", "/etc/os-release", "ID=alpine\n", "/etc/fstab", "UUID=1 / ext4 rw 0 1\n"), args: "--entry default",
			kernel: "vmlinuz-lts", initrds: "initramfs-lts", cmdline: "root=UUID=1 modules=ext4 quiet"},
		{name: "files", files: alpine(), args: "--kernel ROOT/boot/vmlinuz-lts --cmdline 'root=UUID=2 a=1'",
			kernel: "vmlinuz-lts", cmdline: "root=UUID=2 a=1"},
		{name: "microcode first, the others in their order", files: with(alpine(), "/boot/ucode", microcode, "/boot/extra", initramfs),
			args:   "--kernel ROOT/boot/vmlinuz-lts --initrd ROOT/boot/initramfs-lts --initrd ROOT/boot/extra --initrd ROOT/boot/ucode --reuse-cmdline",
			kernel: "vmlinuz-lts", initrds: "ucode initramfs-lts extra", cmdline: "root=UUID=1 modules=ext4 quiet"},
		{name: "another system needs no modules here", files: with(alpine(), "/lib/modules/"+release+"/modules.dep", ""), args: "--kernel ROOT/boot/vmlinuz-lts --cmdline root=/dev/sdb1",
			kernel: "vmlinuz-lts", cmdline: "root=/dev/sdb1"},
		{name: "modules are waived", files: with(alpine(), "/lib/modules/"+release+"/modules.dep", ""), args: "--entry 2 --no-modules",
			kernel: "vmlinuz-lts", initrds: "initramfs-lts", cmdline: "root=UUID=1 of=lts"},
		{name: "modules on a usr-merged system", files: with(alpine(), "/lib/modules/"+release+"/modules.dep", "", "/usr/lib/modules/"+release+"/modules.dep", "x"), args: "--entry 2",
			kernel: "vmlinuz-lts", initrds: "initramfs-lts", cmdline: "root=UUID=1 of=lts"},
	}
	for _, tt := range []struct {
		name, args, kernel, cmdline string
	}{
		{"the first profile of a unified kernel image", "--entry default", release, "root=UUID=1 of=first"},
		{"another profile, with a kernel and a command line of its own", "--entry 2", "6.12.9-0-virt", "root=UUID=1 of=second"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, with(alpine(), "/boot/extlinux.conf", "", "/efi/EFI/Linux/a.efi", string(ukitest.Image(
				ukitest.Section{Name: ".linux", Data: boottest.BzImage(release)}, ukitest.Section{Name: ".cmdline", Data: []byte("of=base")},
				ukitest.Section{Name: ".profile", Data: []byte("TITLE=First\n")}, ukitest.Section{Name: ".cmdline", Data: []byte("root=UUID=1 of=first")},
				ukitest.Section{Name: ".profile", Data: []byte("TITLE=Second\n")}, ukitest.Section{Name: ".cmdline", Data: []byte("root=UUID=1 of=second")},
				ukitest.Section{Name: ".linux", Data: boottest.BzImage("6.12.9-0-virt")},
			))))
			f.do(t, exitDone, f.words("load -s "+tt.args)...)
			if f.kernel.cmdline != tt.cmdline || !bytes.HasPrefix(f.kernel.image, boottest.BzImage(tt.kernel)) {
				t.Errorf("loaded with %q, want %q and Linux %s", f.kernel.cmdline, tt.cmdline, tt.kernel)
			}
		})
	}
	unified := string(ukitest.Image(
		ukitest.Section{Name: ".linux", Data: boottest.BzImage(release)}, ukitest.Section{Name: ".initrd", Data: []byte(initramfs)},
		ukitest.Section{Name: ".cmdline", Data: []byte("root=UUID=1 of=image")},
	))
	for _, tt := range []struct{ name, args, initrds, cmdline string }{
		{"a unified kernel image with its own command line", "", "", "root=UUID=1 of=image"},
		{"one with another command line", "--cmdline root=UUID=2", "", "root=UUID=2"},
		{"one with more of both", "--append single --initrd ROOT/boot/initramfs-lts", "initramfs-lts", "root=UUID=1 of=image single"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, with(alpine(), "/boot/linux.efi", unified))
			out, _ := f.do(t, exitDone, f.words("load -s --kernel ROOT/boot/linux.efi "+tt.args)...)
			checkShown(t, out, "linux.efi", tt.initrds, tt.cmdline)
			if f.kernel.loads != 1 || f.kernel.cmdline != tt.cmdline {
				t.Errorf("%d loads, the last with %q", f.kernel.loads, f.kernel.cmdline)
			}
		})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.files)
			out, _ := f.do(t, exitDone, f.words("load --dry-run "+tt.args)...)
			if f.kernel.loads != 0 {
				t.Error("--dry-run loaded something")
			}
			checkShown(t, out, tt.kernel, tt.initrds, tt.cmdline)
		})
	}
}

// words splits a line as a shell would, with single quotes.
func (f *fake) words(line string) []string {
	quoted := false
	words := strings.FieldsFunc(strings.ReplaceAll(line, "ROOT", f.root), func(r rune) bool {
		if r == '\'' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
	for i, w := range words {
		words[i] = strings.ReplaceAll(w, "'", "")
	}
	return words
}

var shownRow = regexp.MustCompile(`(?m)^  (kernel|initrd|cmdline) +(\S.*)?$`)

// checkShown compares what load prints.
func checkShown(t *testing.T, out, kernel, initrds, cmdline string) {
	t.Helper()
	got := map[string]string{}
	for _, m := range shownRow.FindAllStringSubmatch(out, -1) {
		value := m[2]
		if m[1] != "cmdline" {
			value, _, _ = strings.Cut(value, " ")
			value = value[strings.LastIndex(value, "/")+1:]
		}
		got[m[1]] = strings.TrimSpace(got[m[1]] + " " + value)
	}
	if got["kernel"] != kernel || got["initrd"] != initrds || got["cmdline"] != cmdline {
		t.Errorf("kernel %q, initrds %q, cmdline %q; want %q, %q, %q\n%s", got["kernel"], got["initrd"], got["cmdline"], kernel, initrds, cmdline, out)
	}
}

func TestLoadRefuses(t *testing.T) {
	needAMD64(t)
	lacksAll := map[uintptr]bool{unix.SYS_KEXEC_LOAD: true, unix.SYS_KEXEC_FILE_LOAD: true}
	tests := []struct {
		name  string
		files map[string]string
		args  string
		setUp func(*fake)
		code  int
		says  string
	}{
		{name: "kexec is forbidden", files: alpine(), setUp: func(f *fake) { f.isDisabled = true }, code: exitFailed, says: "kexec_load_disabled=0"},
		{name: "a kernel without kexec", files: alpine(), setUp: func(f *fake) { f.lacks = lacksAll }, code: exitFailed, says: "built without kexec"},
		{name: "locked down without kexec_file_load", files: alpine(), code: exitFailed, says: "locked down", setUp: func(f *fake) {
			f.lacks[unix.SYS_KEXEC_FILE_LOAD] = true
			f.Lockdown = func() string { return "integrity" }
		}},
		{name: "no modules", files: with(alpine(), "/lib/modules/"+release+"/modules.dep", ""), setUp: func(f *fake) { os.Remove(f.path("/lib/modules/" + release)) },
			code: exitFailed, says: "no directory /lib/modules/" + release},
		{name: "no such entry", files: alpine(), args: "--entry edge", code: exitFailed, says: `"edge"`},
		{name: "nothing there", files: with(alpine(), "/boot/extlinux.conf", "", "/boot/vmlinuz-lts", "", "/boot/vmlinuz-virt", ""), code: exitFailed, says: "no kernel was found"},
		{name: "kernels gone", files: with(alpine(), "/boot/vmlinuz-lts", "", "/boot/vmlinuz-virt", ""), code: exitFailed, says: "/boot/vmlinuz-virt is missing"},
		{name: "no kernel at all", files: with(alpine(), "/boot/vmlinuz-lts", "text"), args: "--kernel ROOT/boot/vmlinuz-lts --reuse-cmdline", code: exitFailed, says: "not a kernel"},
		{name: "no such file", files: alpine(), args: "--kernel ROOT/vmlinuz --reuse-cmdline", code: exitFailed, says: "no such file"},
		{name: "no command line", files: alpine(), args: "--kernel ROOT/boot/vmlinuz-lts", code: exitFailed, says: "--reuse-cmdline"},
		{name: "an entry without a command line", files: with(alpine(), "/boot/extlinux.conf", "LABEL lts\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n"), args: "--entry default",
			code: exitFailed, says: "the command line of lts is empty: --reuse-cmdline"},
		{name: "an entry without root=", files: with(alpine(), "/boot/extlinux.conf", "LABEL lts\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND quiet\n"), args: "--entry default --append single",
			code: exitFailed, says: "the command line of lts has no root="},
		{name: "an entry with the word root alone", files: with(alpine(), "/boot/extlinux.conf", "LABEL lts\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND root quiet\n"), args: "--entry lts",
			code: exitFailed, says: "the command line of lts has no root="},
		{name: "the default is another system", files: with(alpine(), "/boot/extlinux.conf", otherSystem), args: "--entry default",
			code: exitFailed, says: "Debian boots another system: its command line has root=/dev/sdb1, and the running one root=UUID=1. Name it if that is meant (--entry)"},
		{name: "so the service has it", files: with(alpine(), confFile, "ENTRY=default\n", "/boot/extlinux.conf", "LABEL d\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND root=LABEL=other\n"),
			code: exitFailed, says: "boots another system"},
		{name: "a variable without a value", code: exitFailed, says: "$kernelopts has no value", args: "--entry default",
			files: with(alpine(), "/boot/extlinux.conf", "", "/boot/loader/entries/a.conf", "title Linux\nlinux /boot/vmlinuz-lts\noptions $kernelopts\n", "/boot/vmlinuz-virt", "", "/boot/initramfs-lts", "", "/boot/initramfs-virt", "")},
		{name: "the kernel refuses", files: alpine(), setUp: func(f *fake) { f.kernel.err = syscall.ENOMEM }, code: exitFailed, says: "memory"},
		{name: "two choices", files: alpine(), args: "--entry 1 --kernel x", code: exitMisuse, says: "exclude each other"},
		{name: "initrd of an entry", files: alpine(), args: "--initrd x", code: exitMisuse, says: "--kernel"},
		{name: "two command lines", files: alpine(), args: "--cmdline x --reuse-cmdline", code: exitMisuse, says: "--append"},
		{name: "one word too many", files: alpine(), args: "lts", code: exitMisuse, says: `"lts"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.files)
			if tt.setUp != nil {
				tt.setUp(f)
			}
			_, stderr := f.do(t, tt.code, f.words("load "+tt.args)...)
			if !strings.Contains(stderr, tt.says) {
				t.Errorf("says %q, want %q", stderr, tt.says)
			}
			if f.exists(choiceFile) {
				t.Error("the choice was remembered")
			}
		})
	}
}

// The settings of the service, whose names and defaults are the wiki's.
func TestLoadByConf(t *testing.T) {
	needAMD64(t)
	reused := "root=UUID=1 modules=ext4 quiet"
	both := []string{"/boot/intel-ucode.img", microcode, "/boot/amd-ucode.img", microcode}
	tests := []struct {
		name    string
		files   map[string]string
		conf    string
		kernel  string
		initrds string
		cmdline string
		says    string // on failure
	}{
		{name: "defaults", files: alpine(), kernel: "vmlinuz-lts", initrds: "initramfs-lts", cmdline: reused},
		{name: "microcode", files: with(alpine(), both...), kernel: "vmlinuz-lts", initrds: "intel-ucode.img amd-ucode.img initramfs-lts", cmdline: reused},
		{name: "microcode named twice", files: with(alpine(), both...), conf: `INITRD="intel-ucode.img initramfs-lts"`,
			kernel: "vmlinuz-lts", initrds: "intel-ucode.img amd-ucode.img initramfs-lts", cmdline: reused},
		{name: "a kernel, and the initramfs that goes with it", files: alpine(), conf: "KERNEL=vmlinuz-virt", kernel: "vmlinuz-virt", initrds: "initramfs-virt", cmdline: reused},
		{name: "another directory", files: with(alpine(), "/efi/k", string(boottest.BzImage(release)), "/efi/i", initramfs), conf: "BOOTPART=/efi\nKERNEL=k\nINITRD=i\nAPPEND='a b'",
			kernel: "k", initrds: "i", cmdline: reused + " a b"},
		{name: "no initrd", files: alpine(), conf: "INITRD=none", kernel: "vmlinuz-lts", cmdline: reused},
		{name: "shell in the file", files: alpine(), conf: `: "${KERNEL:=vmlinuz-$(echo virt)}"; echo noise`, kernel: "vmlinuz-virt", initrds: "initramfs-virt", cmdline: reused},
		{name: "the flavour is gone: what the menu would boot", files: with(alpine(), "/boot/vmlinuz-lts", ""), kernel: "vmlinuz-virt", initrds: "initramfs-virt", cmdline: "root=UUID=1 of=virt"},
		{name: "the menu's default", files: alpine(), conf: "ENTRY=default", kernel: "vmlinuz-lts", initrds: "initramfs-lts", cmdline: "root=UUID=1 of=lts"},
		{name: "an entry", files: alpine(), conf: "ENTRY='Linux virt'", kernel: "vmlinuz-virt", initrds: "initramfs-virt", cmdline: "root=UUID=1 of=virt"},
		{name: "a kernel that is not there", files: alpine(), conf: "KERNEL=vmlinuz-edge\nINITRD=none", says: "vmlinuz-edge"},
		{name: "an initrd that is not there", files: alpine(), conf: "INITRD='initramfs-lts extra'", says: "extra"},
		{name: "the initramfs of a kernel that was named", files: with(alpine(), "/boot/initramfs-virt", ""), conf: "KERNEL=vmlinuz-virt", says: "initramfs-virt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, with(tt.files, confFile, tt.conf+"\n"))
			code := exitDone
			if tt.says != "" {
				code = exitFailed
			}
			out, stderr := f.do(t, code, "load")
			if tt.says != "" {
				if !strings.Contains(stderr, tt.says) || f.kernel.loads != 0 {
					t.Errorf("says %q, want %q; %d loads", stderr, tt.says, f.kernel.loads)
				}
				return
			}
			checkShown(t, out, tt.kernel, tt.initrds, tt.cmdline)
			if f.kernel.loads != 1 || f.kernel.cmdline != tt.cmdline {
				t.Errorf("%d loads, the last with %q", f.kernel.loads, f.kernel.cmdline)
			}
		})
	}
}

// What was loaded by hand stays the choice and is read again; what another
// program has loaded stays as it is; and what cannot be loaded again is not
// started in its old form.
func TestLoadByConfAfterALoad(t *testing.T) {
	needAMD64(t)
	for _, name := range confNames {
		t.Setenv(name, "")
	}
	f := newFake(t, alpine())
	f.do(t, exitDone, f.words("load --kernel ROOT/boot/vmlinuz-virt --cmdline 'root=UUID=1 x' --append y")...)
	f.write(t, map[string]string{"/boot/vmlinuz-virt": string(boottest.BzImage("6.12.9-0-virt"))})
	out, _ := f.do(t, exitDone, "load", "--conf")
	checkShown(t, out, "vmlinuz-virt", "", "root=UUID=1 x y")
	if f.kernel.loads != 2 {
		t.Errorf("%d loads, want 2", f.kernel.loads)
	}

	os.Remove(f.path("/boot/vmlinuz-virt"))
	f.do(t, exitFailed, "load", "--conf")
	if f.kernel.unloads != 1 || f.exists(choiceFile) {
		t.Errorf("%d unloads; the choice is remembered: %v", f.kernel.unloads, f.exists(choiceFile))
	}

	f = newFake(t, alpine())
	t.Setenv("KERNEL", "vmlinuz-virt")
	out, _ = f.do(t, exitDone, "load", "--conf")
	checkShown(t, out, "vmlinuz-virt", "initramfs-virt", "root=UUID=1 modules=ext4 quiet")

	f = newFake(t, alpine())
	f.isLoaded = true
	if out, _ := f.do(t, exitDone, "load", "--conf"); f.kernel.loads != 0 || !strings.Contains(out, "kept") {
		t.Errorf("%d loads; says %q", f.kernel.loads, out)
	}
}

// What status shows, what load --dry-run shows, and what is loaded when the
// system goes down is the same, whatever was loaded by hand before.
func TestOneChoice(t *testing.T) {
	needAMD64(t)
	for _, name := range confNames {
		t.Setenv(name, "")
	}
	menu := with(alpine(), "/boot/extlinux.conf", strings.Replace(alpine()["/boot/extlinux.conf"], "  MENU LABEL Linux virt", "  MENU DEFAULT\n  MENU LABEL Linux virt", 1))
	for _, tt := range []struct {
		name   string
		before []string // commands, by hand
		want   string
	}{
		{name: "nothing loaded", want: "root=UUID=1 modules=ext4 quiet"},
		{name: "loaded by hand", before: []string{"load --entry default --append x"}, want: "root=UUID=1 of=virt x"},
		{name: "and once more with other words", before: []string{"load --entry default --append x", "load --append y"}, want: "root=UUID=1 of=virt y"},
		{name: "loaded without a name", before: []string{"load --append x"}, want: "root=UUID=1 modules=ext4 quiet x"},
		{name: "unloaded again", before: []string{"load --entry default", "unload"}, want: "root=UUID=1 modules=ext4 quiet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, maps.Clone(menu))
			for _, line := range tt.before {
				f.do(t, exitDone, f.words(line)...)
			}
			loads := f.kernel.loads
			status := func() string {
				out, _ := f.do(t, exitFirmware, "status")
				_, out, _ = strings.Cut(out, "\nnext ")
				return strings.TrimSpace(strings.Split(out, "\n")[1])
			}
			shown := func(args ...string) string {
				out, _ := f.do(t, exitDone, append([]string{"load"}, args...)...)
				_, out, _ = strings.Cut(out, "  cmdline  ")
				return strings.TrimSpace(out)
			}
			if got := status(); got != tt.want {
				t.Errorf("status shows %q, want %q", got, tt.want)
			}
			if got := shown("--dry-run"); got != tt.want || f.kernel.loads != loads {
				t.Errorf("load --dry-run shows %q, want %q; %d loads", got, tt.want, f.kernel.loads)
			}
			if got := shown("--conf"); got != tt.want {
				t.Errorf("a reboot loads %q, want %q", got, tt.want)
			}
		})
	}
}

// Loaded first and forbidden afterwards, what is loaded cannot be unloaded any
// more, and a reboot goes through the firmware: both in a sentence.
func TestForbiddenAfterALoad(t *testing.T) {
	needAMD64(t)
	f := newFake(t, alpine())
	f.do(t, exitDone, "load")
	f.isDisabled, f.kernel.unloadErr = true, syscall.EPERM
	for _, args := range [][]string{{"unload"}, {"-u"}, {"load"}, {"load", "--conf"}} {
		_, stderr := f.do(t, exitFailed, args...)
		if !strings.Contains(stderr, "this kernel forbids kexec") || strings.Contains(stderr, "not permitted") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: says %q", args, stderr)
		}
	}
	if !f.exists(choiceFile) {
		t.Error("what is loaded counts as another program's now")
	}
}

func TestUnload(t *testing.T) {
	f := newFake(t, with(alpine(), choiceFile, "{}"))
	f.do(t, exitDone, "unload")
	if f.kernel.unloads != 1 || f.exists(choiceFile) {
		t.Errorf("%d unloads; choice there: %v", f.kernel.unloads, f.exists(choiceFile))
	}
}
