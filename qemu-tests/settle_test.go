package qemutests

import (
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// A disk on USB that is the default is waited for, though the one that is built in
// could be started at once, and USB has not been searched to its end by then.
func TestUSBDiskIsWaitedFor(t *testing.T) {
	needOwnKernel(t, "Debian's kernel for virtual machines has no USB")
	t.Parallel()
	s, lts := wholeSystem(t)
	set := pluggedInSetups(t, s)[0]
	stick := idOf("on-the-stick", "00000000-1111-4222-8333-000000000022", "extlinux", "extlinux.conf", "On the stick", "vmlinuz-lts")
	m := startWith(t, "alpboot.timeout=0 alpboot.removable=yes alpboot.default="+stick, func(*vm.Options) {},
		drive(t, "inside.img", set.inside, vm.Virtio), drive(t, "stick.img", set.stick, vm.USB))
	m.reportsFrom(lts, "from=stick")
}

// Without a bus that may bring in a disk nobody waits for one, and the log has that.
func TestNothingCanCome(t *testing.T) {
	needOwnKernel(t, "Debian's kernel for virtual machines has modules to be loaded")
	t.Parallel()
	s, _ := wholeSystem(t)
	m := startWith(t, "alpboot.timeout=-1", func(*vm.Options) {}, drive(t, "inside.img", pluggedInSetups(t, s)[0].inside, vm.Virtio))
	m.row(menuLimit, "Entry inside", "default")
	m.Type("l", "/", "no disk is waited", vm.Enter)
	m.text(drawLimit, "no disk is waited for: nothing can bring in another disk")
}
