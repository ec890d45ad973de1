package zfs

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// Pool is a pool that is open for reading. It may be used by several goroutines.
type Pool struct {
	Name string
	GUID uint64

	// Missing are the devices that are not here, by the paths that they had. What the
	// others make up for is read all the same.
	Missing []string

	tops    map[uint64]vdev // top-level vdevs, by number
	mos     *objset         // the objects of the pool itself
	objects map[string]uint64
	salt    []byte // of checksums that have one
	version uint64
	cache   cache
	large   chan struct{} // taken while a large block is read
	budget  *atomic.Int64 // bytes of metadata that are still read
}

// A pool that was made to keep a reader busy does not. One with 10,000 datasets needs a
// quarter of this.
const maxMetadata = 2 << 30 // bytes of metadata that are read of a pool

// charge takes n bytes of metadata off what may still be read.
func (p *Pool) charge(n int) error {
	if p.budget.Add(-int64(n)) < 0 {
		return fmt.Errorf("it has more than %d bytes of metadata", maxMetadata)
	}
	return nil
}

// anyOf returns one error for those of several ways to read something, each once.
func anyOf(errs []error) error {
	var list []string
	for _, err := range errs {
		if s := err.Error(); !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	const most = 4
	if n := len(list) - most; n > 0 {
		list = append(list[:most], fmt.Sprintf("and %d more", n))
	}
	return &severalErrors{strings.Join(list, "; "), errs}
}

type severalErrors struct {
	text string
	errs []error
}

func (e *severalErrors) Error() string   { return e.text }
func (e *severalErrors) Unwrap() []error { return e.errs }

// ErrEncrypted is the error for what is encrypted and has not been unlocked.
var ErrEncrypted = errors.New("it is encrypted, and has not been unlocked")

const (
	maxUberblocksTried = 32      // the newest ones
	directoryObject    = 1       // of the names of a pool's objects
	maxVdevs           = 1 << 12 // of a pool
)

// Open opens a pool by its members, which are those that have the same PoolGUID. Errors
// name the pool, and the device where there is one that matters.
func Open(members []*Member) (*Pool, error) {
	if len(members) == 0 {
		return nil, errors.New("a pool has no devices")
	}
	// What was taken off a pool keeps its label as it was then: the newest is right.
	members = slices.Clone(members)
	slices.SortStableFunc(members, func(a, b *Member) int { return cmp.Compare(b.txg, a.txg) })
	newest := members[0]
	fail := func(err error) (*Pool, error) {
		return nil, fmt.Errorf("the ZFS pool %s cannot be read: %w", newest.Pool, err)
	}
	if state := newest.config.uint("state"); state != stateActive && state != stateExported {
		return nil, fmt.Errorf("%s: the ZFS pool %s was destroyed, or the device is a spare or a cache of it", newest.Device.Name, newest.Pool)
	}
	if err := checkFeatures(slices.Sorted(maps.Keys(newest.config.list("features_for_read")))); err != nil {
		return fail(err)
	}
	if err := checkVersion(newest.config.uint("version")); err != nil {
		return fail(err)
	}
	devices := map[uint64]Device{}
	configs := map[uint64]nvlist{} // of the top-level vdevs, by number
	var uberblocks []uberblock
	for _, m := range members {
		if m.PoolGUID != newest.PoolGUID {
			return fail(errors.New("its devices are of several pools"))
		}
		if _, ok := devices[m.GUID]; !ok {
			devices[m.GUID] = m.Device
		}
		tree := m.config.list("vdev_tree")
		if id := tree.uint("id"); tree != nil && configs[id] == nil && len(configs) < maxVdevs {
			configs[id] = tree
		}
		uberblocks = append(uberblocks, m.uberblock...)
	}
	newestFirst(uberblocks)
	uberblocks = slices.CompactFunc(uberblocks, func(a, b uberblock) bool { return a.root == b.root })
	if len(uberblocks) == 0 {
		return fail(fmt.Errorf("%s has no uberblock that is whole", newest.Device.Name))
	}
	var first error
	budget := new(atomic.Int64)
	budget.Store(maxMetadata)
	for _, u := range uberblocks[:min(len(uberblocks), maxUberblocksTried)] {
		p := &Pool{Name: newest.Pool, GUID: newest.PoolGUID, version: u.version, large: make(chan struct{}, 1), budget: budget}
		err := p.open(&u, devices, configs)
		if err == nil {
			return p, nil
		}
		first = cmp.Or(first, err)
		var f *featureError
		if errors.As(err, &f) {
			break // an older one would only hide it
		}
	}
	return fail(first)
}

// open opens the pool as it was at the uberblock.
func (p *Pool) open(u *uberblock, devices map[uint64]Device, configs map[uint64]nvlist) error {
	b := &builder{devices: devices, left: maxVdevs}
	p.tops = map[uint64]vdev{}
	for id, c := range configs {
		p.tops[id] = b.top(c)
	}
	if err := p.roots(u); err != nil {
		// A device that is missing is the likely reason.
		if len(b.lost) > 0 {
			return fmt.Errorf("%w (missing: %s)", err, names(b.lost))
		}
		return err
	}
	// The labels know of the devices beside them, the pool's configuration of all.
	config, err := p.config()
	if err != nil {
		return fmt.Errorf("its configuration: %w", err)
	}
	list := config.list("vdev_tree").lists("children")
	if len(list) == 0 {
		return nil // of a version that has none
	}
	b = &builder{devices: devices, left: maxVdevs, pool: p}
	tops := map[uint64]vdev{}
	for i, c := range list[:min(len(list), maxVdevs)] {
		top := b.top(c)
		if old, ok := p.tops[uint64(i)]; ok && c.text("type") == "missing" {
			top = old // a log, which old configurations do not have
		}
		tops[uint64(i)] = top
	}
	p.tops, p.Missing = tops, b.lost
	return p.roots(u)
}

// roots reads what everything else is found by.
func (p *Pool) roots(u *uberblock) error {
	if err := checkVersion(p.version); err != nil {
		return err
	}
	mos, err := p.objset(&u.root, nil)
	if err != nil {
		return err
	}
	if mos.kind != objsetMeta {
		return errors.New("its set of objects is of the wrong type")
	}
	p.mos, p.objects = mos, map[string]uint64{}
	err = mos.zap(directoryObject, func(e zapEntry) bool {
		if e.name == "org.illumos:checksum_salt" {
			p.salt = e.value
		}
		if len(p.objects) < 1024 { // there are about 20
			p.objects[e.name] = e.uint()
		}
		return true
	})
	if err != nil {
		return err
	}
	if p.objects["root_dataset"] == 0 {
		return errors.New("it has no root dataset")
	}
	if n := p.objects["features_for_read"]; n != 0 {
		var active []string
		err := mos.zap(n, func(e zapEntry) bool {
			if e.uint() > 0 {
				active = append(active, e.name)
			}
			return true
		})
		if err != nil {
			return err
		}
		return checkFeatures(active)
	}
	return nil
}

// config returns the pool's configuration.
func (p *Pool) config() (nvlist, error) {
	n := p.objects["config"]
	if n == 0 {
		return nil, nil
	}
	d, err := p.mos.object(n)
	if err != nil {
		return nil, err
	}
	const maxConfig = 4 << 20
	if len(d.bonus) < 8 {
		return nil, errNVList
	}
	size := d.order.Uint64(d.bonus)
	if size > maxConfig {
		return nil, errNVList
	}
	b := make([]byte, size)
	if err := p.readAt(d, b, 0); err != nil {
		return nil, err
	}
	return parseNVList(b)
}

// checkVersion refuses a version that does not exist yet: they have numbers, and the last
// one has features instead.
func checkVersion(version uint64) error {
	const lastNumber, features = 28, 5000
	if version > lastNumber && version != features {
		return fmt.Errorf("its version %d is one that alpboot does not know", version)
	}
	return nil
}

// featureError is a feature that a reader has to know and this one does not.
type featureError struct{ name string }

func (e *featureError) Error() string {
	return fmt.Sprintf("its feature %s is active, which alpboot does not know", e.name)
}

// checkFeatures refuses a feature that is not one of those that reading copes with. Most
// of them change nothing for a reader but what a block that is named may be.
func checkFeatures(active []string) error {
	known := []string{
		"com.datto:bookmark_v2", "com.datto:encryption", "com.delphix:bookmark_written", "com.delphix:device_removal",
		"com.delphix:embedded_data", "com.delphix:extensible_dataset", "com.delphix:head_errlog", "com.delphix:hole_birth",
		"com.delphix:redacted_datasets", "com.delphix:redaction_bookmarks", "com.delphix:redaction_list_spill",
		"com.joyent:multi_vdev_crash_dump", "com.klarasystems:large_microzap", "com.klarasystems:vdev_zaps_v2",
		"org.freebsd:zstd_compress", "org.illumos:edonr", "org.illumos:lz4_compress", "org.illumos:sha512", "org.illumos:skein",
		"org.open-zfs:large_blocks", "org.openzfs:blake3", "org.openzfs:draid", "org.zfsonlinux:large_dnode", "org.zfsonlinux:longname",
	}
	for _, name := range active {
		if !slices.Contains(known, name) {
			return &featureError{name}
		}
	}
	return nil
}
