package zfs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Dataset is a filesystem, a volume or a snapshot of a pool.
type Dataset struct {
	Name      string // with the pool's: rpool/ROOT/alpine, or rpool/ROOT/alpine@before
	Snapshot  bool
	Encrypted bool
	Created   uint64 // the transaction group, which orders snapshots

	pool   *Pool
	object uint64   // of the dataset
	props  nvlist   // its own properties: strings and uint64s
	parent *Dataset // that properties are inherited from
	key    uint64   // the object with what its key is unlocked by
	keys   *keys    // nil until it has been unlocked
	snaps  uint64   // the object with the names of its snapshots
	root   blockPointer
}

const (
	maxDatasets  = 1 << 14 // of a pool; and snapshots of a dataset
	maxPathDepth = 50      // of datasets in each other, as ZFS has it
	maxProps     = 1 << 10 // of a dataset
	maxPropSize  = 8 << 10 // bytes of a property
)

// Datasets returns the datasets of a pool in the order of their names, without snapshots.
// What cannot be read is left out, and is in the error.
func (p *Pool) Datasets() ([]*Dataset, error) {
	var list []*Dataset
	var errs []error
	left := maxDatasets
	var walk func(n uint64, name string, parent *Dataset, depth int)
	walk = func(n uint64, name string, parent *Dataset, depth int) {
		if left--; left < 0 || depth > maxPathDepth {
			if left == -1 {
				errs = append(errs, fmt.Errorf("the ZFS pool %s has more than %d datasets", p.Name, maxDatasets))
			}
			return
		}
		d, children, err := p.directory(n, name, parent)
		if err != nil {
			errs = append(errs, fmt.Errorf("the ZFS dataset %s cannot be read: %w", name, err))
			return
		}
		list = append(list, d)
		if children == 0 {
			return
		}
		below := map[string]uint64{}
		err = p.mos.zap(children, func(e zapEntry) bool {
			if validName(e.name) {
				below[e.name] = e.uint()
			}
			return len(below) <= left
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("the datasets below %s cannot be read: %w", name, err))
		}
		for _, child := range sortedKeys(below) {
			walk(below[child], name+"/"+child, d, depth+1)
		}
	}
	walk(p.objects["root_dataset"], p.Name, nil, 0)
	if len(errs) > 8 { // more would not be read
		errs = errs[:8]
	}
	return list, errors.Join(errs...)
}

func sortedKeys(m map[string]uint64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// validName reports whether a dataset or snapshot may be called that. Those that begin
// with $ and % are ZFS's own.
func validName(name string) bool {
	return name != "" && len(name) < 256 && !strings.ContainsFunc(name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.: ", c))
	})
}

// directory reads a directory of the DSL (dsl_dir.h), and returns the object with those
// below it.
func (p *Pool) directory(n uint64, name string, parent *Dataset) (*Dataset, uint64, error) {
	const (
		headAt, childrenAt, propsAt, size = 8, 32, 80, 256
		keyName                           = "com.datto:crypto_key_obj"
		typeZapMetadata                   = 0xc4 // DMU_OTN_ZAP_METADATA
	)
	d, err := p.mos.object(n)
	if err != nil {
		return nil, 0, err
	}
	if len(d.bonus) < size {
		return nil, 0, errDnode
	}
	ds := &Dataset{Name: name, pool: p, parent: parent, object: d.order.Uint64(d.bonus[headAt:]), props: nvlist{}}
	if d.kind == typeZapMetadata {
		var e zapEntry
		if e, ds.Encrypted, err = p.mos.lookup(n, keyName); err != nil {
			return nil, 0, err
		}
		ds.key = e.uint()
	}
	if props := d.order.Uint64(d.bonus[propsAt:]); props != 0 {
		err := p.mos.zap(props, func(e zapEntry) bool {
			if len(e.value) > maxPropSize {
				return true
			}
			if e.width == 8 {
				ds.props[e.name] = e.uint()
			} else {
				ds.props[e.name] = e.text()
			}
			return len(ds.props) < maxProps
		})
		if err != nil {
			return nil, 0, fmt.Errorf("its properties: %w", err)
		}
	}
	return ds, d.order.Uint64(d.bonus[childrenAt:]), ds.head()
}

// head reads what a dataset's own object has (dsl_dataset.h).
func (d *Dataset) head() error {
	const snapsAt, createdAt, rootAt, size = 32, 56, 128, 320
	o, err := d.pool.mos.object(d.object)
	if err != nil {
		return err
	}
	if len(o.bonus) < size {
		return errDnode
	}
	d.snaps, d.Created = o.order.Uint64(o.bonus[snapsAt:]), o.order.Uint64(o.bonus[createdAt:])
	d.root = parseBlockPointer(o.bonus[rootAt:][:pointerSize], o.order)
	return nil
}

// Snapshots returns the snapshots of a dataset, the oldest first.
func (d *Dataset) Snapshots() ([]*Dataset, error) {
	if d.snaps == 0 {
		return nil, nil
	}
	var list []*Dataset
	var failed error
	err := d.pool.mos.zap(d.snaps, func(e zapEntry) bool {
		if !validName(e.name) {
			return true
		}
		s := &Dataset{
			Name: d.Name + "@" + e.name, Snapshot: true, Encrypted: d.Encrypted,
			pool: d.pool, object: e.uint(), parent: d,
		}
		if err := s.head(); err != nil {
			failed = fmt.Errorf("the ZFS snapshot %s cannot be read: %w", s.Name, err)
			return true
		}
		s.snaps = 0
		list = append(list, s)
		return len(list) < maxDatasets
	})
	slices.SortStableFunc(list, func(a, b *Dataset) int {
		return int(min(max(int64(a.Created-b.Created), -1), 1))
	})
	return list, errors.Join(err, failed)
}

// Property returns a property of a dataset, which may be inherited: "" for what is not
// set. Of the numbers that some of ZFS's own properties are, it returns the digits. A mountpoint
// that is inherited has the dataset's name below that of the other at its end.
func (d *Dataset) Property(name string) string {
	var below string
	for at := d; at != nil; at = at.parent {
		value, ok := at.own(name)
		switch v := value.(type) {
		case string:
			if ok && name == "mountpoint" && strings.HasPrefix(v, "/") {
				v = strings.TrimSuffix(v, "/") + below
				if v == "" {
					v = "/"
				}
			}
			return v
		case uint64:
			return strconv.FormatUint(v, 10)
		}
		if name == "canmount" { // it is not inherited
			break
		}
		if at.parent != nil && !at.Snapshot {
			below = strings.TrimPrefix(at.Name, at.parent.Name) + below
		}
	}
	if name == "mountpoint" { // by default each is mounted below /
		return "/" + d.Name
	}
	return ""
}

// own returns a property that is set on a dataset itself, or came with it from another
// pool.
func (d *Dataset) own(name string) (any, bool) {
	if v, ok := d.props[name]; ok {
		return v, true
	}
	if _, ok := d.props[name+"$inherit"]; ok {
		return nil, false
	}
	v, ok := d.props[name+"$recvd"]
	return v, ok
}

// BootFS returns the name of the dataset that the pool's property bootfs has; "" for
// none, and for one that is not among datasets.
func (p *Pool) BootFS(datasets []*Dataset) (string, error) {
	n := p.objects["pool_props"]
	if n == 0 {
		return "", nil
	}
	e, ok, err := p.mos.lookup(n, "bootfs")
	if err != nil || !ok {
		return "", err
	}
	for _, d := range datasets {
		if d.object == e.uint() {
			return d.Name, nil
		}
	}
	return "", nil
}
