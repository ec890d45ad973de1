// Package discover finds what can be booted: it looks at every block device,
// reads its filesystem with every format it knows, and reports what it found as
// it goes on, with a reason for what it could not use.
//
// Every device is looked at in a goroutine of its own. One that is broken or
// never answers becomes a line that says so, and holds back no other.
package discover

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/assemble"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

// Machine is what discovery needs of the machine; package device/system has the
// real one.
// Devices are named by their nodes.
type Machine interface {
	// Devices lists what there is to look at, in the order in which it shall be
	// shown. The errors tell about single devices that are left out.
	Devices() ([]device.Block, []error)
	// Probe reads the superblock of a device.
	Probe(node string) (superblock.Superblock, error)
	// Mount gives the filesystem of a device, read-only.
	Mount(ctx context.Context, node string, sb superblock.Superblock) (Filesystem, error)
}

// Maker makes devices of other devices, read-only; package
// device/system has the real one.
type Maker interface {
	// Member reads what a member of a volume set says about the set. [device.ErrInUse]
	// means that the kernel has assembled the set already.
	Member(node string, sb superblock.Superblock) (assemble.Member, error)
	// Map makes one device of members of a set.
	Map(m assemble.Mapping) (Made, error)
	// Unlock makes the device that is inside of a LUKS volume.
	// [luks.ErrPassphrase] says that it was the wrong passphrase.
	Unlock(ctx context.Context, node string, passphrase []byte) (Made, error)
	// Image makes a device of the image file name on a filesystem.
	Image(fsys Filesystem, name string) (Made, error)
}

// Filesystem is a mounted filesystem. Close unmounts it.
type Filesystem = device.Filesystem

// Made is a device that was made for a scan, all of it read-only.
type Made = device.Made

// Scanner says how to look. Machine must be set.
type Scanner struct {
	Machine Machine
	Formats []boot.Format

	// Maker puts together sets of volumes, opens what is encrypted and image
	// files. Nil leaves these alone.
	Maker Maker

	// Events gives the uevents of the running kernel, which bring in devices
	// that appear and take out those that go: [device.Events]. Nil when the
	// devices that are there at the start are all there will be.
	Events func(context.Context) (<-chan device.Event, error)

	// Settle is how long no event must have come before an inventory counts as
	// settled. Without Events it does not matter.
	Settle time.Duration

	// Ready is closed when the drivers of all devices have been loaded: before
	// that no inventory counts as settled. Nil when nothing is to be loaded.
	Ready <-chan struct{}

	// Limit is how long one device may take until it is reported as not
	// answering. Should it answer later, that counts all the same.
	Limit time.Duration
}

// Scan is a search under way.
type Scan struct {
	scanner     *Scanner
	inventories chan boot.Inventory
	results     chan result
	calls       chan func(*state)
	cancel      context.CancelFunc
	stopped     chan struct{}
	stopping    <-chan struct{}
}

// Start begins to look and goes on until ctx ends or [Scan.Stop] is called.
func (s *Scanner) Start(ctx context.Context) *Scan {
	ctx, cancel := context.WithCancel(ctx)
	sc := &Scan{
		scanner:     s,
		inventories: make(chan boot.Inventory),
		results:     make(chan result),
		calls:       make(chan func(*state)),
		cancel:      cancel,
		stopped:     make(chan struct{}),
		stopping:    ctx.Done(),
	}
	go sc.run(ctx)
	return sc
}

// Inventories gives what is known each time that it changes. A slow reader
// misses what lies between two changes and never the last. It is closed when
// the scan ends.
func (sc *Scan) Inventories() <-chan boot.Inventory { return sc.inventories }

// stopLimit is how long Stop waits for filesystems to be unmounted.
const stopLimit = 5 * time.Second

// Stop ends the scan, unmounts everything and takes apart what was made. A
// device that does not let go within five seconds is left behind.
func (sc *Scan) Stop() {
	sc.cancel()
	select {
	case <-sc.stopped:
	case <-time.After(stopLimit):
	}
}

// call has run do something with its state. It is false when the scan ends. What
// only asks makes no new inventory.
func (sc *Scan) call(do func(*state)) bool {
	done := make(chan struct{})
	select {
	case sc.calls <- func(st *state) { do(st); close(done) }:
		<-done
		return true
	case <-sc.stopping:
		return false
	}
}

// errGone is what Open and Unlock give for a volume that was pulled out.
var errGone = errors.New("the volume is gone")

// Open opens a file of a volume that the scan has mounted.
func (sc *Scan) Open(vol boot.Volume, name string) (fs.File, error) {
	var fsys fs.FS
	if !sc.call(func(st *state) {
		if v := st.vols[vol.Device]; v != nil && v.found != nil && v.found.fsys != nil {
			fsys = v.found.fsys
		}
	}) {
		return nil, &fs.PathError{Op: "open", Path: vol.Device, Err: fs.ErrClosed}
	}
	if fsys == nil {
		return nil, &fs.PathError{Op: "open", Path: vol.Device, Err: errGone}
	}
	return fsys.Open(name)
}

// Unlock opens the encrypted volume on a device; what is in it is looked at
// then as any other. It may take seconds, and as much memory as the volume's key
// asks for. [luks.ErrPassphrase] says that it was the wrong passphrase.
func (sc *Scan) Unlock(ctx context.Context, device string, passphrase []byte) error {
	var v *volume
	if !sc.call(func(st *state) {
		if at := st.vols[device]; at != nil && at.found != nil && at.found.status.Locked {
			v = at
		}
	}) {
		return fs.ErrClosed
	}
	if v == nil || sc.scanner.Maker == nil {
		return errGone
	}
	made, err := sc.scanner.Maker.Unlock(ctx, v.node, passphrase)
	if err != nil {
		return err
	}
	added := false
	if sc.call(func(st *state) { added = st.add(ctx, made, nil, v) }) && added {
		return nil
	}
	made.Close()
	return errGone
}
