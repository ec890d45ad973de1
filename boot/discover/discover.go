// Package discover finds what can be booted: it probes every block device, reads
// its filesystem with every format it knows, and reports what it found as it goes
// on, with a reason for what it could not use.
//
// One goroutine, the loop, owns all that is known. What may take time is done in
// goroutines that get copies and answer by a message to the loop. A device that
// is broken or never answers becomes a line with that reason, and holds back no
// other. The phases of a volume are in phase.go, what comes next is decided in
// plan.go.
package discover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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
	// Devices lists the devices to scan, in the order in which they are shown. The
	// errors are about single devices that are left out.
	Devices() ([]device.Block, []error)
	// Probe reads the superblock of a device.
	Probe(node string) (superblock.Superblock, error)
	// Mount mounts the filesystem of a device, read-only.
	Mount(ctx context.Context, node string, sb superblock.Superblock) (Filesystem, error)
}

// Maker makes devices of other devices, read-only; package
// device/system has the real one.
type Maker interface {
	// Member reads what a member of a volume set has recorded about the set.
	// [device.ErrInUse] means that the kernel has assembled the set already.
	Member(node string, sb superblock.Superblock) (assemble.Member, error)
	// Map makes one device of members of a set.
	Map(m assemble.Mapping) (Made, error)
	// Unlock makes the device that is inside of a LUKS volume.
	// [luks.ErrPassphrase] means that it was the wrong passphrase.
	Unlock(ctx context.Context, node string, passphrase []byte) (Made, error)
	// Image makes a device of the image file name on a filesystem.
	Image(fsys Filesystem, name string) (Made, error)
}

// TokenReader is what a [Maker] also has where a TPM may unlock volumes; package
// device/system has it.
type TokenReader interface {
	// Tokens returns the tokens for a TPM in the header of a LUKS volume.
	Tokens(node string) ([]map[string]any, error)
}

// Writer is what a [Machine] also has when something can be written to its
// devices; package device/system has it.
type Writer interface {
	// Write mounts a device for writing, calls do with the root of its
	// filesystem, and unmounts it again.
	Write(node string, do func(root *os.Root) error) error
}

// Partitioner is what a [Machine] also has when the kernel may not list the UUIDs
// of partitions; package device/system has it.
type Partitioner interface {
	// PartUUID returns the UUID of a partition as the table on its disk has it.
	PartUUID(disk string, number int) (string, error)
}

// Filesystem is a mounted filesystem. Close unmounts it.
type Filesystem = device.Filesystem

// Made is a device that was made for a scan, all of it read-only.
type Made = device.Made

// Scanner is how to scan. Machine must be set.
type Scanner struct {
	Machine Machine
	Formats []boot.Format

	// Maker assembles sets of volumes, and unlocks what is encrypted and opens
	// image files. Nil leaves these alone.
	Maker Maker

	// Events returns the uevents of the running kernel, which bring in devices
	// that appear and take out those that go: [device.Events]. Nil when the
	// devices that are there at the start are all that there will be.
	Events func(context.Context) (<-chan device.Event, error)

	// Settle is how long no event must have come before an inventory counts as
	// settled. Without Events it does not matter.
	Settle time.Duration

	// Awaited returns what may still bring in a disk, "" for nothing: then no
	// inventory waits for Settle. [device.Awaited]; nil when that is not known.
	Awaited func() string

	// Ready is closed when the drivers of all devices have been loaded: before
	// that no inventory counts as settled. Nil when nothing is to be loaded.
	Ready <-chan struct{}

	// Own returns the PARTUUID of the partition that alpboot itself was started
	// from, or "": its disk counts as built in. It is called once, in a goroutine of
	// the scan, and may take as long as a device. Nil when nothing knows.
	Own func() string

	// Limit is how long one device may take until it is reported as not
	// answering. Should it answer later, that counts all the same.
	Limit time.Duration
}

// Scan is a search under way.
type Scan struct {
	scanner     *Scanner
	inventories chan boot.Inventory
	calls       chan func(*state)
	cancel      context.CancelFunc
	stopped     chan struct{}
	stopping    <-chan struct{}
}

// Start begins to scan and goes on until ctx ends or [Scan.Stop] is called.
func (s *Scanner) Start(ctx context.Context) *Scan {
	ctx, cancel := context.WithCancel(ctx)
	sc := &Scan{
		scanner:     s,
		inventories: make(chan boot.Inventory),
		calls:       make(chan func(*state)),
		cancel:      cancel,
		stopped:     make(chan struct{}),
		stopping:    ctx.Done(),
	}
	go sc.run(ctx)
	return sc
}

// Inventories returns what is known each time that it changes. A slow reader
// misses what is between two changes and never the last. It is closed when
// the scan ends.
func (sc *Scan) Inventories() <-chan boot.Inventory { return sc.inventories }

// Enough has nobody wait for another disk at the start of the scan, and is for
// whoever knows what to do without one; why is for [boot.Inventory.SettledBy]. Devices
// that are there are waited for all the same, and so are those that come later.
func (sc *Scan) Enough(why string) {
	sc.call(func(st *state) {
		if now := time.Now(); st.inventory.Answered && !st.changed && now.Before(st.quietAt) {
			st.letGo(why)
		}
	})
}

// Settled waits until every device has answered, or its time is up, and returns
// what is known then.
func (sc *Scan) Settled() boot.Inventory {
	var inv boot.Inventory
	for inv = range sc.inventories {
		if inv.Settled {
			break
		}
	}
	return inv
}

// stopLimit is how long Stop waits.
const stopLimit = 5 * time.Second

// Stop ends the scan: it waits for all goroutines of the scan, unmounts
// everything and removes the devices that were made. Only a device that hangs in
// the kernel is left behind, with the goroutine that waits for it: at once when it
// has had its time already, else after five seconds. When it answers, it is
// released all the same.
func (sc *Scan) Stop() {
	sc.cancel()
	select {
	case <-sc.stopped:
	case <-time.After(stopLimit):
	}
}

// call has the loop do something with its state. It returns false when the scan
// ends.
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

var (
	errGone   = errors.New("the volume is gone")
	errSilent = errors.New("the device does not answer")
)

// Open opens a file of a volume that the scan has mounted. While the volume is
// being written to and mounted again, Open waits.
func (sc *Scan) Open(vol boot.Volume, name string) (fs.File, error) {
	fail := func(err error) (fs.File, error) {
		return nil, &fs.PathError{Op: "open", Path: vol.Device, Err: err}
	}
	for {
		var at *view
		var written <-chan struct{}
		silent := false
		if !sc.call(func(st *state) {
			if v := st.find(vol); v != nil {
				at, written, silent = v.view, v.written, v.late()
			}
		}) {
			return fail(fs.ErrClosed)
		}
		switch {
		case at != nil && at.enter() == nil:
			defer at.leave()
			return at.FS.Open(name)
		case at != nil: // it was unmounted just now
			continue
		case silent:
			return fail(errSilent)
		case written == nil:
			return fail(errGone)
		}
		select {
		case <-written:
		case <-sc.stopping:
			return fail(fs.ErrClosed)
		}
	}
}

// find returns the volume that is meant by vol, nil where it is not there: by its
// device and, if vol has one, its UUID, as another medium may be in a drive by now.
func (st *state) find(vol boot.Volume) *volume {
	if v := st.vols[vol.Device]; v != nil && (vol.UUID == "" || vol.UUID == v.status.Volume.UUID) {
		return v
	}
	return nil
}

// ReadAhead reads up to len(b) bytes of a file from off on, and returns how many, so
// that they are in memory when they are needed. Unlike a file that is open it keeps
// nobody from unmounting the volume, or writing to it, once it returns.
func (sc *Scan) ReadAhead(vol boot.Volume, name string, b []byte, off int64) (int, error) {
	var at *view
	if !sc.call(func(st *state) {
		if v := st.find(vol); v != nil {
			at = v.view
		}
	}) {
		return 0, fs.ErrClosed
	}
	if at == nil {
		return 0, errGone
	}
	if err := at.enter(); err != nil {
		return 0, err
	}
	defer at.leave()
	f, err := at.FS.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if r, ok := f.(io.ReaderAt); ok {
		return r.ReadAt(b, off)
	}
	return 0, errors.ErrUnsupported
}

// Filesystems returns the volumes of an inventory that can be read, with their
// roots.
func (sc *Scan) Filesystems(inv boot.Inventory) boot.Volumes {
	var vs boot.Volumes
	for _, v := range inv.Volumes {
		if v.Volume.Device != "" && v.Volume.Type != "" && !v.Locked && !v.Busy && v.Problem == "" {
			vs = append(vs, boot.MountedVolume{Volume: v.Volume, FS: sc.FS(v.Volume)})
		}
	}
	return vs
}

// FS returns the filesystem of a volume, for as long as the scan has it mounted.
func (sc *Scan) FS(v boot.Volume) fs.FS { return volumeFS{sc, v} }

type volumeFS struct {
	scan   *Scan
	volume boot.Volume
}

func (v volumeFS) Open(name string) (fs.File, error) { return v.scan.Open(v.volume, name) }

// Unlock unlocks the encrypted volume on a device; what is in it is scanned then
// as any other. It may take seconds, and as much memory as the volume's key asks
// for. [luks.ErrPassphrase] means that it was the wrong passphrase.
func (sc *Scan) Unlock(ctx context.Context, device string, passphrase []byte) error {
	done := make(chan error, 1)
	if !sc.call(func(st *state) { st.unlock(ctx, device, passphrase, done) }) {
		return fs.ErrClosed
	}
	return <-done
}

// Write calls do with the root of the filesystem on a device mounted for
// writing: for the few things that a user asks for. It waits until the formats
// have read the volume. Meanwhile nothing can be opened on it; its entries stay,
// and are parsed again afterwards. What is on volumes that were made of others
// is never written to.
//
// A device that does not answer within the limit is given up, with an error that
// says whether something may have been written. Do is not called after that.
func (sc *Scan) Write(ctx context.Context, device string, do func(root *os.Root) error) error {
	w := &write{ctx: ctx, do: do, begun: make(chan struct{}), done: make(chan error, 1)}
	if !sc.call(func(st *state) { st.write(device, w) }) {
		return fmt.Errorf("writing to %s: %w", device, context.Canceled)
	}
	select {
	case err := <-w.done:
		return err
	case <-w.begun:
	}
	limit := time.NewTimer(sc.scanner.Limit)
	defer limit.Stop()
	select {
	case err := <-w.done:
		return err
	case <-limit.C:
	}
	if w.giveUp() {
		return fmt.Errorf("%s: %w, and nothing was written", device, errSilent)
	}
	return fmt.Errorf("%s: %w, and it is not known whether everything was written", device, errSilent)
}
