package qemutests

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/efivar"
	installed "github.com/alpboot/alpboot/boot/payload/esp"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/howto"
	"github.com/alpboot/alpboot/qemu-tests/openrc"
	built "github.com/alpboot/alpboot/qemu-tests/payload"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// Where the steps of a how-to take place, besides the machines.
const (
	aCheckout   = "a checkout"
	withROM     = "a checkout with a ROM in build/board.rom"
	menuShell   = "the shell of the menu"
	cloudServer = "a server with UEFI" // the image's countdown is not taken away
)

// howToMachines are the machines of the how-tos, by the names that the pages have
// for them.
var howToMachines = map[string]func(*reader){
	cloudServer:                                           (*reader).withUEFI,
	"a machine with a BIOS and GRUB":                      (*reader).withGRUB,
	"a machine with UEFI, GRUB and Windows":               (*reader).withUEFI,
	"a machine with an encrypted disk":                    (*reader).encrypted,
	"a machine with coreboot":                             (*reader).withCoreboot,
	"a machine whose Alpine does not start, from a stick": (*reader).fromStick,
}

// howTos returns the steps of each page.
func howTos(t *testing.T) map[string][]howto.Step {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(made.Root(), "docs", "howto", "*.md"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no how-tos: %v", err)
	}
	pages := map[string][]howto.Step{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		page := strings.TrimSuffix(filepath.Base(name), ".md")
		if pages[page], err = howto.Parse(string(b)); err != nil {
			t.Errorf("%s.md: %v", page, err)
		}
	}
	return pages
}

// On each page something is done, at places that there are.
func TestHowToPages(t *testing.T) {
	pages := howTos(t)
	used := map[string]bool{}
	for page, steps := range pages {
		done := 0
		for _, s := range steps {
			switch {
			case s.Kind == howto.Shell || s.Kind == howto.Keys:
				done += len(s.Lines)
			case s.Kind == howto.At && s.Text != aCheckout && s.Text != withROM && s.Text != menuShell:
				used[s.Text] = true
				if howToMachines[s.Text] == nil {
					t.Errorf("%s.md:%d: there is no machine %q", page, s.Line, s.Text)
				}
			}
		}
		if done == 0 {
			t.Errorf("nothing is done on %s.md", page)
		}
	}
	for name := range howToMachines {
		if !used[name] {
			t.Errorf("no page is about %s", name)
		}
	}
}

// A reader who does what a page has him do sees what it shows.
func TestHowTo(t *testing.T) {
	needQEMU(t)
	needEverything(t)
	t.Parallel()
	for page, steps := range howTos(t) {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			needOpenRC(t)
			r := &reader{t: t, files: map[string]openrc.File{}}
			for _, s := range steps {
				r.step = s
				r.does(s)
			}
		})
	}
}

// reader is who follows a page.
type reader struct {
	t     *testing.T
	step  howto.Step
	place string
	files map[string]openrc.File // that he has copied to the next machine

	machine         machine
	running         bool
	started, resets vm.Options // as the machine is started at first, and by its firmware
	first           bool       // it has been started so
	at              int        // where in the log the last thing was done
	atPrompt        bool
	printed         string // by the commands of the last block
	stick           string // image of what is plugged in as /dev/sdb
}

func (r *reader) fatalf(format string, args ...any) {
	r.t.Helper()
	r.t.Fatalf("line %d of the page: %s", r.step.Line, fmt.Sprintf(format, args...))
}

func (r *reader) check(err error) {
	r.t.Helper()
	if err != nil {
		r.fatalf("%v", err)
	}
}

func (r *reader) does(s howto.Step) {
	r.t.Helper()
	r.t.Logf("line %d: %s %s%s", s.Line, s.Kind, s.Text, strings.Join(s.Lines, "; "))
	switch s.Kind {
	case howto.Has:
		file := s.Text
		if name, ok := strings.CutPrefix(file, "build/x86_64/payload/"); ok {
			makePayload(r.t, name, "uki", "--cmdline", "quiet no_timer_check console=tty0 console=ttyS0,115200")
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(made.Root(), file)
		}
		r.files[strings.TrimPrefix(s.To, "/")] = openrc.File{From: file}
	case howto.At:
		r.place, r.atPrompt, r.printed = s.Text, false, ""
		switch s.Text {
		case withROM:
			needProgram(r.t, "coreboot-utils", "cbfstool")
			needProgram(r.t, "acpica-tools", "iasl")
			rom, err := built.Coreboot(filepath.Join(made.Root(), "build", "cache", "coreboot"))
			r.check(err)
			r.check(built.Copy(filepath.Join(made.Root(), "build", "board.rom"), rom))
			r.place = aCheckout
			fallthrough
		case aCheckout:
			needOwnKernel(r.t, "make kernel would build one now")
		}
		if start := howToMachines[s.Text]; start != nil {
			if !r.running {
				takePlace(r.t)
			} else {
				r.machine.Stop()
			}
			r.at, r.running = 0, true
			start(r)
		}
	case howto.Shell:
		r.printed = ""
		for _, command := range s.Lines {
			r.types(command)
		}
	case howto.Keys:
		r.mark()
		for _, key := range s.Lines {
			r.machine.Type(keyOf(key))
		}
		r.printed, r.atPrompt = "", false
	case howto.Screen:
		r.sees(s.Lines)
	case howto.Seen:
		r.machine.Await(menuLimit+targetLimit, vm.LogAfter(r.at, s.Text))
	}
}

func (r *reader) mark() { r.at = len(r.machine.Serial(0).Log()) }

// keyOf returns what a line of a block of keys has for a key, or the text.
func keyOf(line string) vm.Key {
	switch name := vm.Key("<" + strings.ToLower(line) + ">"); name {
	case vm.Up, vm.Down, vm.Left, vm.Right, vm.Home, vm.End, vm.Tab, vm.F1, vm.F2, vm.F10:
		return name
	}
	switch line {
	case "Enter":
		return vm.Enter
	case "Esc":
		return vm.Escape
	}
	if c, ok := strings.CutPrefix(line, "Ctrl-"); ok && len(c) == 1 {
		return vm.Key(c[0] & 0x1f)
	}
	return vm.Key(line)
}

// types runs a command where the reader is.
func (r *reader) types(command string) {
	r.t.Helper()
	if r.place == aCheckout {
		r.host(command)
		return
	}
	prompt := "console#"
	if r.place == menuShell {
		prompt = "$"
	}
	m := r.machine
	if !r.atPrompt {
		if r.place == menuShell {
			m.prompt()
		} else {
			m.Await(menuLimit+targetLimit, vm.LogAfter(r.at, prompt))
		}
		r.atPrompt = true
	}
	r.mark()
	switch word, _, _ := strings.Cut(command, " "); {
	case command == "exit":
		m.Type(vm.Key(command), vm.Enter)
		r.atPrompt, r.place, r.printed = false, "", ""
	case word == "reboot" || strings.HasPrefix(command, "alpboot reboot "):
		m.Type(vm.Key(command), vm.Enter)
		m.Await(downLimit, vm.LogAfter(r.at, restarting))
		r.atPrompt, r.printed = false, ""
		if r.first {
			m.AwaitEnd(time.Minute)
			r.start(r.resets)
			r.first = false
		} else {
			r.mark()
		}
	default:
		// What is typed is echoed, and must not be taken for the answer.
		then := "; "
		if strings.Contains(command, "\n") {
			then = "\r"
		}
		m.Type(vm.Key("echo be''gin; " + strings.ReplaceAll(command, "\n", "\r") + then + "echo e''nd=$?.\r"))
		m.Await(commandLimit, vm.LogAfter(r.at, "\r\nend="))
		log := m.Serial(0).Log()[r.at:]
		end := r.at + strings.Index(log, "\r\nend=")
		m.Await(commandLimit, vm.LogAfter(end, "."))
		log = m.Serial(0).Log()
		if r.place == menuShell {
			m.prompt()
		} else {
			m.Await(commandLimit, vm.LogAfter(end, prompt))
		}
		_, out, _ := strings.Cut(log[r.at:], "begin\r\n")
		out, rest, _ := strings.Cut(out, "end=")
		r.printed += out + "\n"
		if !strings.HasPrefix(rest, "0.") {
			r.fatalf("%s: exit code %s\n%s", command, strings.SplitN(rest, ".", 2)[0], out)
		}
	}
}

// host runs a command in the checkout, where a stick is plugged in.
func (r *reader) host(command string) {
	r.t.Helper()
	script := command
	if strings.Contains(command, "/dev/sdb") {
		if r.stick == "" {
			r.stick = r.path("stick.img")
		}
		r.check(os.WriteFile(r.stick, nil, 0o644))
		script = "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && ln -s '" + r.stick + "' /dev/sdb\n" + command
	}
	cmd := exec.Command("bash", "-ec", script)
	if script != command {
		cmd = exec.Command("unshare", "--mount", "bash", "-ec", script)
	}
	cmd.Dir = made.Root()
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.fatalf("%s: %v\n%s", command, err, out)
	}
	r.printed += string(out)
}

// sees waits until lines are on the screen, or looks for them in what commands
// have printed.
func (r *reader) sees(lines []string) {
	r.t.Helper()
	if r.printed != "" {
		if missing := notIn(strings.Join(strings.Fields(r.printed), " "), lines); missing != "" {
			r.fatalf("%q is not in what was printed:\n%s", missing, r.printed)
		}
		return
	}
	r.machine.Await(menuLimit+targetLimit, vm.ScreenIs(fmt.Sprintf("what line %d of the page shows: %q", r.step.Line, lines), func(s vm.Screen) bool {
		return notIn(flowing(s), lines) == ""
	}))
}

// notIn returns the first of lines that text, whose white space is single blanks,
// does not hold after the lines before it.
func notIn(text string, lines []string) string {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, "...") {
			part = strings.Join(strings.Fields(part), " ")
			_, after, ok := strings.Cut(text, part)
			if !ok {
				return line
			}
			text = after
		}
	}
	return ""
}

// path returns the path of a file of this test.
func (r *reader) path(name string) string { return made.Path("qemu-tests", r.t.Name(), name) }

// start starts the machine.
func (r *reader) start(o vm.Options) {
	r.t.Helper()
	o.Memory, o.Dir = roomy, made.Path("qemu-tests", r.t.Name())
	r.machine = machine{vm.Start(r.t, o), r.t}
	r.at = 0
}

// system makes the disks of a machine whose Alpine has alpboot as its package
// brings it, and returns them: the root filesystem is on device, and /boot, with
// files, on the image that has ext4 and no partition table. It is to be started by
// QEMU at first, and then by its firmware.
func (r *reader) system(device, boot, options string, more map[string]openrc.File) (root, bootImage string) {
	r.t.Helper()
	system, err := openrc.Get(filepath.Join(made.Root(), "build", "cache", "openrc"))
	r.check(err)
	program, err := madeAlpboot()
	r.check(err)
	kernel, err := startedKernel()
	r.check(err)
	files := map[string]openrc.File{
		"sbin/alpboot":                  {From: program, Mode: 0o755},
		"sbin/kexec-reboot":             {From: program, Mode: 0o755},
		"usr/share/alpboot/alpboot.efi": {From: makePayload(r.t, "alpboot.efi", "uki", "--cmdline", stay)},
		"lib/modules/" + kernelOf(r.t, debian.Newer).Release + "/": {},
	}
	d := openrc.Disks{
		Root: files,
		Boot: map[string]openrc.File{"vmlinuz-lts": {From: kernel.Kernel}, "initramfs-lts": {From: kernel.Initrd}, "efi/": {}},
		// As Alpine makes it.
		BootOptions: []string{"-O", "^64bit", "-L", "boot"},
	}
	fstab := device + " / ext4 rw,relatime 0 1\n" + boot + " /boot ext4 rw,relatime 0 2\n"
	if strings.HasPrefix(boot, "/dev/vdc") {
		fstab += "/dev/vda1 /boot/efi vfat rw 0 2\n"
	}
	files["etc/fstab"] = openrc.File{Data: []byte(fstab)}
	for name, f := range r.files {
		files[name] = f
	}
	for name, f := range more {
		if name, ok := strings.CutPrefix(name, "boot/"); ok {
			d.Boot[name] = f
		} else {
			files[name] = f
		}
	}
	root, bootImage = r.path("root.img"), r.path("boot.img")
	r.check(system.Write(d, root, bootImage))
	r.t.Cleanup(func() {
		if !r.t.Failed() {
			os.Remove(root)
			os.Remove(bootImage)
		}
	})
	r.started = vm.Options{Kernel: kernel.Kernel, Initrd: kernel.Initrd, Cmdline: options}
	return root, bootImage
}

// direct starts the system by QEMU, and has the firmware start it from then on.
func (r *reader) direct(firmware vm.Options) {
	r.t.Helper()
	r.resets = firmware
	r.resets.Resets = true
	r.started.Flash, r.started.Drives = firmware.Flash, firmware.Drives
	r.start(r.started)
	r.first = true
}

// madeAlpboot is the program that make alpboot makes, for any system.
var madeAlpboot = sync.OnceValues(func() (string, error) {
	program := made.Path("howto", "alpboot")
	if _, err := built.Run(made.Root(), "make", "alpboot", "OUT="+filepath.Dir(program)); err != nil {
		return "", err
	}
	return program, static(program)
})

// static returns an error unless a program runs with any libc, and with none.
func static(program string) error {
	f, err := elf.Open(program)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			return fmt.Errorf("%s needs %v: it is not static", program, p.Type)
		}
	}
	return nil
}

func systemOptions(root string) string {
	return "root=" + root + " console=ttyS0 loglevel=6 no_timer_check"
}

// grubConf is what grub-mkconfig writes, but for details. With a BIOS it has to know
// of the serial line, which UEFI firmware has as its console.
const grubConf = `set default="0"
set timeout=3
%[2]s
menuentry 'Alpine, with Linux lts' --class alpine {
	search --no-floppy --label --set=root boot
	linux /vmlinuz-lts %[1]s
	initrd /initramfs-lts
}
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
elif [ -z "${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
`

const onSerial = "serial --unit=0 --speed=115200\nterminal_input serial\nterminal_output serial"

// grub makes an image of GRUB that runs a script. Its modules are those of Debian's
// packages.
func (r *reader) grub(format, pkg, name, script string, modules ...string) string {
	r.t.Helper()
	needProgram(r.t, "grub-common", "grub-mkimage")
	packages, err := openrc.Packages(filepath.Join(made.Root(), "build", "cache", "openrc"), pkg)
	r.check(err)
	conf, file := r.path(name+".cfg"), r.path(name)
	r.check(os.WriteFile(conf, []byte(script), 0o644))
	_, err = built.Run("", "grub-mkimage", append([]string{"-O", format, "-d", filepath.Join(packages, "usr/lib/grub", format),
		"-p", "/grub", "-c", conf, "-o", file, "normal", "configfile", "search", "search_label", "search_fs_file", "search_fs_uuid", "linux", "ext2", "fat",
		"part_gpt", "part_msdos", "serial", "terminal", "test", "echo", "sleep", "minicmd", "reboot"}, modules...)...)
	r.check(err)
	return file
}

// ownGRUB finds /boot by its label.
const ownGRUB = "search --no-floppy --label --set=root boot\nset prefix=($root)/grub\nnormal\n"

func (r *reader) withGRUB() {
	options := systemOptions("/dev/vdb")
	root, boot := r.system("/dev/vdb", "/dev/vda1", options, map[string]openrc.File{
		"boot/grub/grub.cfg": {Data: fmt.Appendf(nil, grubConf, options, onSerial)},
	})
	core := r.grub("i386-pc", "grub-pc-bin", "core.img", ownGRUB, "biosdisk")
	packages, err := openrc.Packages(filepath.Join(made.Root(), "build", "cache", "openrc"), "grub-pc-bin")
	r.check(err)
	r.direct(vm.Options{Drives: []vm.Drive{
		{File: r.bootDisk(boot, core, filepath.Join(packages, "usr/lib/grub/i386-pc/boot.img")), Access: vm.Writeable},
		{File: root, Access: vm.Writeable},
	}})
}

// bootDisk makes a disk with one partition, which has the filesystem of an image, and
// GRUB in front of it.
func (r *reader) bootDisk(fs, core, first string) string {
	r.t.Helper()
	const start = 1 << 20
	var b [3][]byte
	for i, file := range []string{first, core, fs} {
		var err error
		b[i], err = os.ReadFile(file)
		r.check(err)
	}
	if len(b[1]) > start-512 {
		r.fatalf("%s has %d bytes", core, len(b[1]))
	}
	file := r.path("disk.img")
	r.check((disk.Layout{Table: disk.MBR, Partitions: []disk.Partition{{Size: len(b[2]) >> 20, Bootable: true}}}).Write(file))
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	r.check(err)
	defer f.Close()
	// The partition table is behind the code of the first sector.
	for at, content := range map[int64][]byte{0: b[0][:440], 512: b[1], start: b[2]} {
		_, err := f.WriteAt(content, at)
		r.check(err)
	}
	r.check(f.Close())
	r.t.Cleanup(func() {
		if !r.t.Failed() {
			os.Remove(file)
		}
	})
	return file
}

func (r *reader) withUEFI() {
	needFirmware(r.t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	windows := r.grub("x86_64-efi", "grub-efi-amd64-bin", "windows.efi", "clear\necho Windows starts here.\nread key\nreboot\n", "read")
	grub := r.grub("x86_64-efi", "grub-efi-amd64-bin", "grubx64.efi", ownGRUB, "chain")
	partition := esp(r.t, "esp.img", disk.File{Path: "EFI/alpine/grubx64.efi", From: grub}, disk.File{Path: "EFI/Microsoft/Boot/bootmgfw.efi", From: windows})
	partition.Access = vm.Writeable

	// The boot entries that Alpine and Windows have made.
	p := efivar.Partition{Number: 1, Start: 2048, Size: 64 << 20 / 512}
	f, err := os.Open(partition.File)
	r.check(err)
	defer f.Close()
	r.check(installed.Sign(&p, f, 512))
	entries := collected{}
	r.check(installed.Register(entries, p, installed.Entry{Title: "alpine", File: "EFI/alpine/grubx64.efi"}, installed.Entry{Title: "Windows Boot Manager", File: "EFI/Microsoft/Boot/bootmgfw.efi"}))
	options := systemOptions("/dev/vdb")
	more := map[string]openrc.File{"boot/grub/grub.cfg": {Data: fmt.Appendf(nil, grubConf, options, "")}}
	for name, value := range entries {
		more["root/variables/"+name] = openrc.File{Data: append([]byte{7, 0, 0, 0}, value...)}
	}
	root, boot := r.system("/dev/vdb", "/dev/vdc", options, more)
	r.direct(vm.Options{
		Flash:  vm.Flash{Code: ovmf + "OVMF_CODE_4M.fd", Vars: vars(r.t, ovmf+"OVMF_VARS_4M.fd")},
		Drives: []vm.Drive{partition, {File: root, Access: vm.Writeable}, {File: boot, Access: vm.Writeable}},
	})
	r.types("for f in /root/variables/*; do cat $f >/sys/firmware/efi/efivars/${f##*/} || break; done && rm -r /root/variables")
}

func (r *reader) encrypted() {
	k := kernelOf(r.t, debian.Newer)
	const id = "22222222-1111-4222-8333-000000000001"
	in := disk.Install{Options: "cryptroot=UUID=" + id + " cryptdm=root " + targetOptions, Kernels: []disk.Kernel{
		{Flavour: "lts", Image: k.Image, Initramfs: initramfs(r.t, target.Gzip, map[string]string{"flavour": "lts"})}}}
	layout := disk.OneRoot(in)
	layout.Partitions[0].Size += 16
	layout.Partitions[0].FS.In = []disk.Volume{disk.LUKS2(secret, "--uuid", id)}
	kernel, initrd, err := anyKernel.files()
	r.check(err)
	r.start(vm.Options{Kernel: kernel, Initrd: initrd, Cmdline: stay, Drives: []vm.Drive{{File: write(r.t, layout)}}})
}

func (r *reader) withCoreboot() {
	alpine, _ := alpineDisk(r.t)
	r.start(vm.Options{Firmware: filepath.Join(made.Root(), "build", "x86_64", "coreboot.rom"), Drives: []vm.Drive{alpine}})
}

func (r *reader) fromStick() {
	needFirmware(r.t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	conf := "DEFAULT menu.c32\nPROMPT 0\nTIMEOUT 10\nLABEL lts\n  MENU DEFAULT\n  MENU LABEL Linux lts\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND " + systemOptions("/dev/sda3") + "\n"
	root, boot := r.system("/dev/vda", "/dev/vdb", "", map[string]openrc.File{"boot/extlinux.conf": {Data: []byte(conf)}})
	r.start(vm.Options{
		Flash:  vm.Flash{Code: ovmf + "OVMF_CODE_4M.fd", Vars: vars(r.t, ovmf+"OVMF_VARS_4M.fd")},
		Drives: []vm.Drive{{File: r.stick, Bus: vm.USB}, {File: root, Access: vm.Writeable}, {File: boot, Access: vm.Writeable}},
		Resets: true,
	})
}
