// Package hardware is a machine for tests that is as unkind as a real one: what
// it is asked for takes time, a filesystem that was closed fails, a device that
// was pulled out fails, and each step can be made to fail, to hang or to be late.
// It implements the interfaces Machine, Maker and Writer of package discover, and
// records what is done to it: see [Machine.Check].
//
// It works in a bubble of package testing/synctest, where [New] must be called in
// the bubble.
package hardware

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/assemble"
	"github.com/alpboot/alpboot/boot/device/luks"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

// Step is something that the machine is asked to do with a device.
type Step string

// The steps at which a device can fail.
const (
	Probe    Step = "probe"
	Mount    Step = "mount"
	Read     Step = "read"
	Unmount  Step = "unmount"
	Member   Step = "member"
	Assemble Step = "assemble" // of its first member
	Unlock   Step = "unlock"
	Image    Step = "image"  // make a device of an image file on it
	Remove   Step = "remove" // the device that was made
	Write    Step = "write"
	Flush    Step = "flush"   // what was written, before it is unmounted
	Remount  Step = "remount" // mount after it was written to
)

// Steps are all steps.
var Steps = [...]Step{Probe, Mount, Read, Unmount, Member, Assemble, Unlock, Image, Remove, Write, Flush, Remount}

// Fault is how a step goes wrong.
type Fault struct {
	Err   error         // what it fails with; nil when it works
	Delay time.Duration // how long it takes beside the machine's latency
	Hang  bool          // it does not answer before [Machine.Release]
}

// Device is a block device.
type Device struct {
	Block      device.Block
	Superblock superblock.Superblock
	Files      fs.FS  // what is on it
	Dir        string // a directory instead of Files, for tests that need an [os.File] or write files

	Member     *assemble.Member   // nil for a set that the kernel has assembled already
	Inside     *Device            // what it contains when it is unlocked or assembled
	Passphrase string             // that unlocks it; "" for "right"
	Tokens     []map[string]any   // for a TPM, in its header
	Images     map[string]*Device // what its image files contain, by name; Block.Name is what a user calls it
	Faults     map[Step]Fault
}

// Machine is a fake machine. It may be used by several goroutines.
type Machine struct {
	// Latency is how long each step takes; reading takes none. Set it before use.
	Latency time.Duration

	mu          sync.Mutex
	devices     []*attached
	mounted     map[*filesystem]bool
	made        []string // devices that were made and not removed
	written     []string
	calls       map[string]int // how often each step was asked for: "probe /dev/sda1"
	running     int            // calls that have not returned
	wrong       []string
	released    chan struct{} // closed by Release
	seq         int           // of the last medium
	subscribers []chan device.Event
}

// attached is a device as it was plugged in: another one in its place is another
// value.
type attached struct {
	Device
	gone    bool
	written bool // and not mounted since
	writing bool // it is mounted for writing
}

// New returns a machine that has devices.
func New(devices ...Device) *Machine {
	m := &Machine{
		Latency: 10 * time.Millisecond, mounted: map[*filesystem]bool{},
		calls: map[string]int{}, released: make(chan struct{}),
	}
	for _, d := range devices {
		m.plug(d)
	}
	return m
}

// Plug plugs devices in, or replaces those of the same path.
func (m *Machine) Plug(devices ...Device) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range devices {
		m.plug(d)
		m.send(device.Event{Action: "add", Subsystem: "block", DevName: devName(d.Block.Path)})
	}
}

func (m *Machine) plug(d Device) {
	m.seq++
	d.Block.Seq = strconv.Itoa(m.seq)
	i := m.index(d.Block.Path)
	if i < 0 {
		m.devices = append(m.devices, &attached{Device: d})
		return
	}
	m.devices[i].gone = true
	m.devices[i] = &attached{Device: d}
}

// Unplug pulls a device out: what is mounted of it fails from now on.
func (m *Machine) Unplug(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unplug(path)
}

func (m *Machine) unplug(path string) {
	if i := m.index(path); i >= 0 {
		m.devices[i].gone = true
		m.devices = slices.Delete(m.devices, i, i+1)
		m.send(device.Event{Action: "remove", Subsystem: "block", DevName: devName(path)})
	}
}

// ChangeMedium puts another medium in a drive: d has the same path.
func (m *Machine) ChangeMedium(d Device) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.plug(d)
	m.send(device.Event{Action: "change", Subsystem: "block", DevName: devName(d.Block.Path), MediaChange: true})
}

// Empty takes the medium out of a drive.
func (m *Machine) Empty(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.index(path); i >= 0 {
		m.devices[i].gone = true
		m.devices = slices.Delete(m.devices, i, i+1) // as one without a size is not listed
		m.send(device.Event{Action: "change", Subsystem: "block", DevName: devName(path), MediaChange: true})
	}
}

// Eject presses the button of a drive.
func (m *Machine) Eject(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.send(device.Event{Action: "change", Subsystem: "block", DevName: devName(path), EjectRequest: true})
}

// SetFault makes a step of a device fail, or with the zero Fault work again.
func (m *Machine) SetFault(path string, step Step, f Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.index(path); i >= 0 {
		faults := map[Step]Fault{}
		for s, old := range m.devices[i].Faults {
			faults[s] = old
		}
		faults[step] = f
		m.devices[i].Faults = faults
	}
}

// Faulty reports whether a step of a device goes wrong.
func (m *Machine) Faulty(path string, step Step) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.index(path)
	return i >= 0 && m.devices[i].fault(step) != Fault{}
}

// Release lets everything that hangs go on; what hangs later is not concerned.
func (m *Machine) Release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.released)
	m.released = make(chan struct{})
}

// Paths returns the paths of the devices that are there.
func (m *Machine) Paths() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var paths []string
	for _, d := range m.devices {
		paths = append(paths, d.Block.Path)
	}
	return paths
}

// Mounted returns how many filesystems are mounted.
func (m *Machine) Mounted() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mounted)
}

// Made returns the devices that were made of others and are there still.
func (m *Machine) Made() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.made)
}

// Written returns the devices that were written to, in order.
func (m *Machine) Written() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.written)
}

// Calls returns how often a step was asked of a device.
func (m *Machine) Calls(step Step, path string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[string(step)+" "+path]
}

// Check returns what was done to the machine that must never be done: a use of
// a filesystem after it was closed, a device removed or written to while it is
// mounted.
func (m *Machine) Check() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.check()
}

func (m *Machine) check() error {
	if len(m.wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(m.wrong, "; "))
}

// Idle reports whether nobody uses the machine: nothing is mounted, nothing made is
// left, and no call is under way.
func (m *Machine) Idle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mounted)+len(m.made)+m.running == 0
}

// CheckStopped is [Machine.Check] for when nobody uses the machine any more:
// nothing is mounted, nothing made is left, and no call is under way.
func (m *Machine) CheckStopped() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var left []string
	for f := range m.mounted {
		left = append(left, f.d.Block.Path+" is still mounted")
	}
	for _, node := range m.made {
		left = append(left, node+" was not removed")
	}
	if m.running > 0 {
		left = append(left, fmt.Sprintf("%d calls have not returned", m.running))
	}
	if len(left) == 0 {
		return m.check()
	}
	return errors.Join(m.check(), errors.New(strings.Join(left, "; ")))
}

// Devices implements discover.Machine.
func (m *Machine) Devices() ([]device.Block, []error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var blocks []device.Block
	for _, d := range m.devices {
		blocks = append(blocks, d.Block)
	}
	return blocks, nil
}

// Probe implements discover.Machine.
func (m *Machine) Probe(node string) (superblock.Superblock, error) {
	d, done, err := m.begin(Probe, node)
	defer done()
	if d == nil {
		return superblock.Superblock{}, err
	}
	return d.Superblock, err
}

// Mount implements discover.Machine.
func (m *Machine) Mount(ctx context.Context, node string, _ superblock.Superblock) (device.Filesystem, error) {
	d, done, err := m.begin(Mount, node)
	defer done()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	busy := d.writing
	m.mu.Unlock()
	if busy {
		return nil, fmt.Errorf("mounting %s failed: %w", node, syscall.EBUSY)
	}
	files := d.Files
	var root *device.Root
	if d.Dir != "" {
		if root, err = device.Directory(d.Dir); err != nil {
			return nil, err
		}
		files = root
	}
	f := &filesystem{m: m, d: d, files: files, root: root}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mounted[f] = true
	d.written = false
	return f, nil
}

// Member implements discover.Maker.
func (m *Machine) Member(node string, _ superblock.Superblock) (assemble.Member, error) {
	d, done, err := m.begin(Member, node)
	defer done()
	if err != nil {
		return assemble.Member{}, err
	}
	if d.Device.Member == nil {
		return assemble.Member{}, device.ErrInUse
	}
	return *d.Device.Member, nil
}

// Map implements discover.Maker.
func (m *Machine) Map(mapping assemble.Mapping) (device.Made, error) {
	d, done, err := m.begin(Assemble, mapping.Members[0])
	defer done()
	if err != nil {
		return device.Made{}, err
	}
	return m.make(d, d.Inside)
}

// Tokens implements discover.TokenReader.
func (m *Machine) Tokens(node string) ([]map[string]any, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.index(node); i >= 0 {
		return m.devices[i].Tokens, nil
	}
	return nil, nil
}

// Unlock implements discover.Maker.
func (m *Machine) Unlock(ctx context.Context, node string, passphrase []byte) (device.Made, error) {
	d, done, err := m.begin(Unlock, node)
	defer done()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return device.Made{}, err
	}
	want := d.Passphrase
	if want == "" {
		want = "right"
	}
	if string(passphrase) != want {
		return device.Made{}, luks.ErrPassphrase
	}
	return m.make(d, d.Inside)
}

// Image implements discover.Maker.
func (m *Machine) Image(fsys device.Filesystem, name string) (device.Made, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return device.Made{}, err
	}
	defer f.Close()
	outer := fsys.(*filesystem).d
	d, done, err := m.begin(Image, outer.Block.Path)
	defer done()
	if err != nil {
		return device.Made{}, err
	}
	return m.make(d, d.Images[name])
}

// make makes the device that is inside of d.
func (m *Machine) make(d *attached, inside *Device) (device.Made, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case inside == nil:
		return device.Made{}, errors.New("it does not work")
	case d.gone:
		return device.Made{}, syscall.ENXIO
	}
	node := inside.Block.Path
	if slices.Contains(m.made, node) {
		return device.Made{}, fmt.Errorf("mapping %s failed: %w", node, syscall.EBUSY)
	}
	m.plug(*inside)
	in := m.devices[m.index(node)]
	m.made = append(m.made, node)
	m.send(device.Event{Action: "add", Subsystem: "block", DevName: devName(node)})
	return device.Made{Node: node, Name: inside.Block.Name, Size: inside.Block.Size, Close: func() error { return m.remove(in) }}, nil
}

// remove removes a device that was made.
func (m *Machine) remove(d *attached) error {
	node := d.Block.Path
	_, done, _ := m.begin(Remove, node) // a mapping goes whatever is below it
	defer done()
	m.mu.Lock()
	defer m.mu.Unlock()
	for f := range m.mounted {
		if f.d == d {
			m.wrong = append(m.wrong, node+" was removed while it was mounted")
		}
	}
	m.made = slices.DeleteFunc(m.made, func(p string) bool { return p == node })
	if i := m.index(node); i >= 0 && m.devices[i] == d {
		m.unplug(node)
	}
	return nil
}

// Write implements discover.Writer. Without a Dir, do gets no root.
func (m *Machine) Write(node string, do func(root *os.Root) error) error {
	m.mu.Lock()
	busy := false
	for f := range m.mounted {
		if f.d.Block.Path != node || f.d.gone {
			continue
		}
		busy = true
		if !f.closed {
			m.wrong = append(m.wrong, node+" was written to while it was mounted")
		}
	}
	m.mu.Unlock()
	d, done, err := m.begin(Write, node)
	defer done()
	if busy && err == nil {
		err = fmt.Errorf("mounting %s failed: %w", node, syscall.EBUSY)
	}
	if err != nil {
		return err
	}
	var root *os.Root
	if d.Dir != "" {
		if root, err = os.OpenRoot(d.Dir); err != nil {
			return err
		}
		defer root.Close()
	}
	m.mu.Lock()
	m.written = append(m.written, node)
	d.written, d.writing = true, true
	flush, released := d.fault(Flush), m.released
	m.mu.Unlock()
	err = do(root)
	if flush.Hang {
		<-released
	}
	time.Sleep(flush.Delay)
	m.mu.Lock()
	defer m.mu.Unlock()
	d.writing = false
	return cmp.Or(err, flush.Err)
}

// Events implements the function of a discover.Scanner. As with the kernel's
// socket, a reader that is too slow loses events.
func (m *Machine) Events(ctx context.Context) (<-chan device.Event, error) {
	ch := make(chan device.Event, 16)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subscribers = append(m.subscribers, ch)
	context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.subscribers = slices.DeleteFunc(m.subscribers, func(c chan device.Event) bool { return c == ch })
		close(ch)
	})
	return ch, nil
}

// send sends an event to all who listen.
func (m *Machine) send(ev device.Event) {
	for _, ch := range m.subscribers {
		select {
		case ch <- ev:
		default: // make room for the message that some were lost
			select {
			case <-ch:
			default:
			}
			ch <- device.Event{Lost: true} // nobody else sends
		}
	}
}

// begin waits as long as a step of a device takes, and returns the device with
// the error of the step. The caller calls done when it has finished.
func (m *Machine) begin(step Step, node string) (d *attached, done func(), err error) {
	m.mu.Lock()
	m.running++
	m.calls[string(step)+" "+node]++
	if i := m.index(node); i >= 0 {
		d = m.devices[i]
	}
	var f Fault
	if d != nil {
		f = d.fault(step)
		if step == Mount && d.written {
			if re := d.fault(Remount); re != (Fault{}) {
				f = re
			}
		}
	}
	released := m.released
	m.mu.Unlock()
	if f.Hang {
		<-released
	}
	time.Sleep(m.Latency + f.Delay)
	m.mu.Lock()
	defer m.mu.Unlock()
	done = func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.running--
	}
	switch {
	case d == nil || d.gone:
		return nil, done, fmt.Errorf("opening %s: %w", node, syscall.ENXIO)
	case f.Err != nil:
		return d, done, f.Err
	}
	return d, done, nil
}

func (d *attached) fault(step Step) Fault { return d.Faults[step] }

func (m *Machine) index(path string) int {
	return slices.IndexFunc(m.devices, func(d *attached) bool { return d.Block.Path == path })
}

func devName(path string) string { return strings.TrimPrefix(path, "/dev/") }
