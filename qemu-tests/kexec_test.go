package qemutests

import (
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// A user whose menu runs on a kernel that forbids kexec, as Alpine's do unless
// set otherwise, is shown that at once. Where it takes only kernels that
// are signed with a key of that machine, as under Secure Boot, that shows when
// one is loaded. Either way booting comes back to the menu with the reason, and
// what to do.
func TestKexecRefused(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	k := kernelOf(t, debian.Older)
	in := disk.Install{Kernels: []disk.Kernel{{Flavour: "lts", Image: k.Image, Initramfs: initramfs(t, target.Gzip, nil)}}}
	for _, tt := range []struct{ name, parameter, atOnce, reason string }{
		{"forbidden", "sysctl.kernel.kexec_load_disabled=1", "forbids kexec", "kexec_load_disabled=0"},
		{"locked down", "lockdown=integrity", "", "locked down (integrity) and takes signed kernels only: sign this one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := start(t, anyKernel, "alpboot.timeout=-1 "+tt.parameter, vm.Drive{File: write(t, disk.OneRoot(in))})
			m.text(menuLimit, tt.atOnce)
			m.row(menuLimit, "Linux lts", "default")
			m.Type(vm.Enter)
			m.row(drawLimit, "Linux lts", "failed")
			m.text(drawLimit, tt.reason)
		})
	}
}

// A user boots by hand from the shell, on a kernel that has only kexec_load(2),
// as Alpine's: -c asks for that call. Both initrds reach the target, in order.
func TestKexecLoadByHand(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	k := kernelOf(t, debian.Newer)
	first, err := target.Initramfs(target.Image{Files: map[string]string{"order": "first", "only-first": "yes"}})
	if err != nil {
		t.Fatal(err)
	}
	in := disk.Install{Kernels: []disk.Kernel{{
		Flavour: "lts", Image: k.Image,
		Extra:     []disk.File{{Path: "intel-ucode.img", Data: first}},
		Initramfs: initramfs(t, target.Gzip, map[string]string{"order": "second"}),
	}}}
	m := start(t, anyKernel, "alpboot.timeout=-1", vm.Drive{File: write(t, disk.OneRoot(in))})
	m.row(menuLimit, "Linux lts")
	m.shell()
	m.run("mkdir -p /m && mount -r -t ext4 /dev/vda1 /m && cd /m/boot && echo mount$((6 * 7))", "mount42")
	m.run("kexec -l -c --initrd intel-ucode.img --initrd initramfs-lts --append 'console=ttyS0 no_timer_check by=hand' vmlinuz-lts && cat /sys/kernel/kexec_loaded && echo load$((6 * 7))", "load42")
	m.Type("kexec -e\r")
	m.target(want{k, "console=ttyS0 no_timer_check by=hand", map[string]string{"order": "second", "only-first": "yes"}})
}

// A user whose kernel has several initrds gets all of them in their order, by
// either of the two system calls: kexec_file_load takes one file, into which
// they are joined.
func TestThreeInitrds(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	k := kernelOf(t, debian.Newer)
	extra := func(files map[string]string, c target.Compression) []byte {
		b, err := target.Initramfs(target.Image{Files: files, Compression: c})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	in := disk.Install{Kernels: []disk.Kernel{{
		Flavour: "lts", Image: k.Image,
		Extra: []disk.File{
			{Path: "first.img", Data: extra(map[string]string{"order": "first", "only-first": "yes"}, target.None)},
			{Path: "second.img", Data: extra(map[string]string{"order": "second", "only-second": "yes"}, target.Zstd)},
		},
		Initramfs: initramfs(t, target.Gzip, map[string]string{"order": "third"}),
	}}, Options: targetOptions}
	for _, method := range []string{"file", "load"} {
		if method == "load" && !everything() {
			continue // as all other tests do it
		}
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			m := start(t, anyKernel, "alpboot.timeout=-1 alpboot.method="+method, vm.Drive{File: write(t, disk.OneRoot(in))})
			m.row(menuLimit, "Linux lts")
			m.Type(vm.Enter)
			m.target(want{k, in.Cmdline("UUID=" + disk.RootUUID), map[string]string{"order": "third", "only-first": "yes", "only-second": "yes"}})
		})
	}
}

// A user of a machine with 192 MiB of memory chooses an entry whose initrd is
// too large for it, is shown how much is missing, and boots the other one.
func TestTooLittleMemory(t *testing.T) {
	needOwnKernel(t, "Debian's kernel with its modules takes more memory than this machine has")
	t.Parallel()
	k := kernelOf(t, debian.Older)
	files := map[string]string{"small": "yes"}
	huge, err := target.Initramfs(target.Image{Files: map[string]string{"huge": string(make([]byte, 110<<20))}})
	if err != nil {
		t.Fatal(err)
	}
	in := disk.Install{Kernels: []disk.Kernel{
		{Flavour: "huge", Image: k.Image, Initramfs: huge},
		{Flavour: "lts", Image: k.Image, Initramfs: initramfs(t, target.Gzip, files)},
	}, Options: targetOptions}
	m := startWith(t, "alpboot.timeout=-1", func(o *vm.Options) { o.Memory = 192 }, vm.Drive{File: write(t, disk.OneRoot(in))})
	m.row(menuLimit, "Linux huge")
	m.Type(vm.Home, vm.Enter)
	m.row(targetLimit, "Linux huge", "failed")
	m.text(drawLimit, "MiB are missing")
	m.Type(vm.Down)
	m.selected("Linux lts")
	m.Type(vm.Enter)
	m.target(want{k, in.Cmdline("UUID=" + disk.RootUUID), files})
}
