// Package mapper makes read-only block devices out of parts of others, with
// the kernel's device-mapper (Documentation/admin-guide/device-mapper). It
// speaks the ioctls of include/uapi/linux/dm-ioctl.h, version 4, itself: neither
// dmsetup nor libdevmapper is needed.
//
// A mapping is always read-only, and opens the devices under it for reading
// only. Tables are checked for what the kernel would refuse without a word: at most
// 16,384 targets, 1 MiB of parameters, no gap between targets.
package mapper

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Target maps a part of a mapping, in the kernel's words: a line of what
// dmsetup calls a table.
type Target struct {
	Start, Length uint64 // of the mapping, in sectors of 512 bytes
	Type          string // linear, striped, crypt, ...
	Params        string // as the type wants them; paths in it went through Escape
	Secret        bool   // Params hold a key
}

// Table is a whole mapping: targets in the order of Start, without gaps.
type Table []Target

// Sectors returns the length of the mapping in sectors of 512 bytes.
func (t Table) Sectors() uint64 {
	if len(t) == 0 {
		return 0
	}
	last := t[len(t)-1]
	return last.Start + last.Length
}

// Area is a part of a device that begins Offset sectors of 512 bytes after its
// start.
type Area struct {
	Path   string
	Offset uint64
}

func (a Area) params() string { return fmt.Sprintf("%s %d", Escape(a.Path), a.Offset) }

// Linear maps length sectors from start on to as many of an area.
func Linear(start, length uint64, a Area) Target {
	return Target{Start: start, Length: length, Type: "linear", Params: a.params()}
}

// Striped maps length sectors from start on to stripes of chunk sectors, taken
// from the areas in turn. The kernel wants length to be a multiple of chunk
// times the number of areas.
func Striped(start, length, chunk uint64, areas []Area) Target {
	params := fmt.Sprintf("%d %d", len(areas), chunk)
	for _, a := range areas {
		params += " " + a.params()
	}
	return Target{Start: start, Length: length, Type: "striped", Params: params}
}

// Escape writes a path so that it is one word in the Params of a [Target]
// (dm_split_args in drivers/md/dm-table.c): names of mappings hold backslashes.
func Escape(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c == '\\' || c == ' ' || c >= '\t' && c <= '\r' || c == 0xa0 { // isspace in lib/ctype.c
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Mapper makes mappings. The zero Mapper works where the drivers are built
// into the kernel, or loaded by it.
type Mapper struct {
	// Need is called with the name of a driver before it is used (dm-mod,
	// dm-crypt), to load its module if it is one; nil when there are no modules.
	Need func(driver string) error
}

// Device is a mapping that [Mapper.Create] made.
type Device struct {
	Name   string // of the mapping
	Path   string // its node: /dev/mapper/NAME
	Kernel string // what sysfs and uevents call it: dm-3

	uuid string
	made bool // the node is ours
	dev  uint64
}

const (
	maxTargets = 16384
	maxParams  = 1 << 20
	directory  = "/dev/mapper"
)

// Create makes a read-only mapping and its node in /dev/mapper, for root alone.
// The name is one that [Name] or [LVName] returned; uuid is what identifies the mapping
// from all others, at most 128 bytes that begin with who made it ("LVM-"), or "".
//
// A flag makes a udev that runs leave the mapping alone. The kernel announces it
// by uevents as soon as it exists, with a size of 0 ("add") and then with its
// table ("change").
//
// When a target is Secret, what Create and the kernel copied of the table is
// wiped after use; the string Params, which Go cannot wipe, is the caller's.
//
// Errors are sentences that name the mapping; they never hold Params.
func (m *Mapper) Create(name, uuid string, t Table) (*Device, error) {
	fail := func(err error) (*Device, error) {
		return nil, fmt.Errorf("mapping %s failed: %w", name, err)
	}
	if err := check(name, uuid, t); err != nil {
		return fail(err)
	}
	if err := m.need(t); err != nil {
		return fail(err)
	}
	c, err := open()
	if err != nil {
		return fail(err)
	}
	defer c.Close()

	reply, err := c.do(devCreate, request{name: name, uuid: uuid})
	switch {
	case err == unix.EBUSY:
		return fail(fmt.Errorf("there is a mapping of its name or UUID already: %w", err))
	case err != nil:
		return fail(reason(err))
	}
	d := &Device{
		Name: name, Path: filepath.Join(directory, name), Kernel: fmt.Sprintf("dm-%d", unix.Minor(reply.dev)),
		uuid: uuid, dev: reply.dev,
	}
	undo := func(err error) (*Device, error) {
		d.Close()
		return fail(err)
	}
	load := request{name: name, flags: readOnlyFlag, targets: len(t), data: encode(t)}
	defer clear(load.data)
	for _, target := range t {
		if target.Secret {
			load.flags |= secureDataFlag
		}
	}
	if _, err := c.do(tableLoad, load); err != nil {
		return undo(c.loadError(err, t))
	}
	// A DM_DEV_SUSPEND without its flag is a resume.
	if _, err := c.do(devSuspend, request{name: name, event: leaveAlone}); err != nil {
		return undo(fmt.Errorf("putting its table in use: %w", err))
	}
	if err := d.makeNode(); err != nil {
		return undo(err)
	}
	return d, nil
}

// Close takes the mapping and its node away. A mapping that is still in use
// goes when that ends. It is not an error when it is gone already.
func (d *Device) Close() error {
	if d.made && isDevice(d.Path, d.dev) {
		_ = os.Remove(d.Path)
	}
	c, err := open()
	if err != nil {
		return fmt.Errorf("taking the mapping %s away: %w", d.Name, err)
	}
	defer c.Close()
	r := request{name: d.Name, flags: deferredRemoveFlag, event: leaveAlone}
	if d.uuid != "" { // its name may be another's by now; the kernel takes one of them
		r.name, r.uuid = "", d.uuid
	}
	if _, err := c.do(devRemove, r); err != nil && err != unix.ENXIO {
		return fmt.Errorf("taking the mapping %s away: %w", d.Name, reason(err))
	}
	return nil
}

// makeNode makes the node of d, where none leads to it yet. Udev was asked not
// to, so there is nothing to wait for.
func (d *Device) makeNode() error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	if isDevice(d.Path, d.dev) {
		return nil
	}
	// Whatever else has this name was left by a mapping that is gone.
	fresh := filepath.Join(directory, "."+d.Kernel+".new")
	_ = os.Remove(fresh)
	if err := unix.Mknod(fresh, unix.S_IFBLK|0o600, int(d.dev)); err != nil {
		return fmt.Errorf("making the node %s: %w", d.Path, err)
	}
	if err := os.Rename(fresh, d.Path); err != nil {
		_ = os.Remove(fresh)
		return fmt.Errorf("making the node %s: %w", d.Path, err)
	}
	d.made = true
	return nil
}

// isDevice reports whether path leads to the block device dev.
func isDevice(path string, dev uint64) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFBLK && uint64(st.Rdev) == dev
}

// need asks for the drivers of a table.
func (m *Mapper) need(t Table) error {
	if m.Need == nil {
		return nil
	}
	asked := map[string]bool{}
	drivers := []string{"dm-mod"}
	for _, target := range t {
		drivers = append(drivers, driver(target.Type))
	}
	for _, d := range drivers {
		if asked[d] {
			continue
		}
		asked[d] = true
		if err := m.Need(d); err != nil {
			return fmt.Errorf("loading the driver %s: %w", d, err)
		}
	}
	return nil
}

// driver returns the kernel module that has a type of target.
func driver(targetType string) string {
	switch targetType {
	case "linear", "striped", "error":
		return "dm-mod"
	}
	return "dm-" + targetType
}

// check refuses what the kernel would refuse with no more than EINVAL.
func check(name, uuid string, t Table) error {
	switch {
	case !valid(name):
		return errors.New("its name is none that device-mapper takes")
	case len(uuid) > maxUUID || strings.Contains(uuid, "\x00"):
		return errors.New("its UUID is none that device-mapper takes")
	case len(t) == 0:
		return errors.New("its table is empty")
	case len(t) > maxTargets:
		return fmt.Errorf("its table has %d targets, more than %d", len(t), maxTargets)
	}
	next, params := uint64(0), 0
	for _, target := range t {
		params += len(target.Params)
		switch {
		case target.Start != next:
			return fmt.Errorf("its table has a target at sector %d instead of %d", target.Start, next)
		case target.Length == 0 || next+target.Length > 1<<54: // 2^63 bytes
			return fmt.Errorf("its table has a target of %d sectors", target.Length)
		case target.Type == "" || len(target.Type) > 15 || strings.Contains(target.Type+target.Params, "\x00"):
			return fmt.Errorf("its table has a target of the type %q with parameters that cannot be passed on", target.Type)
		case params > maxParams:
			return fmt.Errorf("its table is longer than %d bytes", maxParams)
		}
		next += target.Length
	}
	return nil
}
