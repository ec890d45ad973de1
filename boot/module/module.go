// Package module loads kernel modules: by name with what they depend on, by
// modalias for the hardware that is there, and by filesystem type.
//
// It reads the index that depmod(8) writes as text to /lib/modules/RELEASE
// (modules.dep, modules.alias, modules.softdep, modules.builtin; see
// modules.dep(5) and kmod's libkmod), and one list of mkpayload's own,
// modules.always. Module files must be uncompressed, as mkpayload packs them.
// Neither install commands nor /etc/modprobe.d are known, and nothing is ever
// unloaded. A kernel without a module folder gives an empty [Index], on which
// everything but [Index.Load] succeeds by doing nothing.
package module

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

// ErrNotFound is returned for a module that is neither in the index nor built
// into the kernel.
var ErrNotFound = errors.New("no such kernel module")

// maxIndex bounds each index file; a full distribution's modules.alias is 1.5 MiB.
const maxIndex = 16 << 20

// Index knows the modules of one kernel release. Its methods may be called
// from many goroutines at once, also on a nil Index, which is empty. The
// exported fields must not be changed after the first call.
type Index struct {
	// Insert hands an open module to the kernel, with its parameters; nil
	// means [Insert]. EEXIST from it counts as success.
	Insert func(file fs.File, params string) error

	// Cmdline is the kernel command line, whose module.parameter=value words
	// become the parameters of modules, and whose modprobe.blacklist= names
	// those that [Index.Coldplug] and [Index.LoadAlias] leave alone.
	Cmdline string

	fsys    fs.FS
	dir     string
	modules map[string]*module // by normalised name
	builtin map[string]bool
	soft    map[string]softdep
	aliases aliases
	always  []string
}

type module struct {
	name string
	file string   // path from the module folder
	deps []string // normalised names

	mu     sync.Mutex // held while it is being inserted
	loaded bool
}

type softdep struct {
	pre, post []string
}

// Open reads the index of the kernel release (uname -r) below lib/modules of
// fsys, the root of the filesystem. When there is no such folder the Index is
// empty. A damaged line costs only itself.
func Open(fsys fs.FS, release string) (*Index, error) {
	x := &Index{fsys: fsys, dir: path.Join("lib/modules", release)}
	if st, err := fs.Stat(fsys, x.dir); err != nil || !st.IsDir() || release == "" {
		return &Index{}, nil
	}
	x.modules = make(map[string]*module)
	x.builtin = make(map[string]bool)
	x.soft = make(map[string]softdep)

	for _, f := range []struct {
		name string
		line func(string)
	}{
		{"modules.dep", x.addDep},
		{"modules.alias", x.addAlias},
		{"modules.softdep", x.addSoftdep},
		{"modules.builtin", func(s string) { x.builtin[nameOf(s)] = true }},
		{"modules.always", func(s string) { x.always = append(x.always, s) }},
	} {
		if err := eachLine(fsys, path.Join(x.dir, f.name), f.line); err != nil {
			return nil, fmt.Errorf("reading the kernel module index: %w", err)
		}
	}
	return x, nil
}

// Empty reports whether there is no module to load: all is built in.
func (x *Index) Empty() bool { return x == nil || len(x.modules) == 0 }

func eachLine(fsys fs.FS, name string, line func(string)) error {
	st, err := fs.Stat(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Size() > maxIndex {
		return fmt.Errorf("%s: %d bytes are too large", name, st.Size())
	}
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	for s := range strings.Lines(string(b)) {
		if s = strings.TrimSpace(s); s != "" && s[0] != '#' {
			line(s)
		}
	}
	return nil
}

// nameOf gives the normalised name of the module in a file.
func nameOf(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return normal(name)
}

// normal spells a module name as the kernel does: file names may have - for _.
func normal(name string) string { return strings.ReplaceAll(name, "-", "_") }

// addDep takes a line of modules.dep: "file.ko: dependency.ko ...".
func (x *Index) addDep(line string) {
	file, deps, ok := strings.Cut(line, ":")
	if !ok || !fs.ValidPath(file) {
		return
	}
	m := &module{name: nameOf(file), file: file}
	for _, d := range strings.Fields(deps) {
		m.deps = append(m.deps, nameOf(d))
	}
	x.modules[m.name] = m
}

// addAlias takes a line of modules.alias: "alias PATTERN MODULE".
func (x *Index) addAlias(line string) {
	if f := strings.Fields(line); len(f) == 3 && f[0] == "alias" {
		x.aliases.add(f[1], normal(f[2]))
	}
}

// addSoftdep takes a line of modules.softdep:
// "softdep MODULE pre: NAME... post: NAME...". A module may have many.
func (x *Index) addSoftdep(line string) {
	f := strings.Fields(line)
	if len(f) < 2 || f[0] != "softdep" {
		return
	}
	sd := x.soft[normal(f[1])]
	var to *[]string
	for _, w := range f[2:] {
		switch w {
		case "pre:":
			to = &sd.pre
		case "post:":
			to = &sd.post
		default:
			if to != nil {
				*to = append(*to, w)
			}
		}
	}
	x.soft[normal(f[1])] = sd
}

// Load loads the module called name, which may be an alias without wildcards
// of its own (fs-ext4), after everything that it depends on. One that is
// loaded or built in already is a success; one that is not there gives
// [ErrNotFound].
func (x *Index) Load(name string) error {
	if x.Empty() {
		return fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	return x.load(x.resolve(name), name)
}

// LoadAlias loads every module that drives the device with the given modalias,
// except blacklisted ones. That there is none is no error: most devices of a
// machine need no driver to boot.
func (x *Index) LoadAlias(modalias string) error {
	var errs []error
	for _, name := range x.Match(modalias) {
		if !x.blacklisted(name) {
			errs = append(errs, x.load([]string{name}, name))
		}
	}
	return errors.Join(errs...)
}

// resolve gives the modules that name stands for: itself, or those that bear
// it as an alias.
func (x *Index) resolve(name string) []string {
	n := normal(name)
	if x.modules[n] != nil || x.builtin[n] {
		return []string{n}
	}
	return x.aliases.match(name)
}

func (x *Index) load(names []string, asked string) error {
	var order []*module
	found := false
	seen := make(map[string]bool)
	for _, n := range names {
		var ok bool
		order, ok = x.order(order, n, seen)
		found = found || ok
	}
	if !found {
		return fmt.Errorf("%s: %w", asked, ErrNotFound)
	}
	failed := make(map[string]bool)
	var errs []error
	for _, m := range order {
		if i := slices.IndexFunc(m.deps, func(d string) bool { return failed[d] }); i >= 0 {
			failed[m.name] = true // what it depends on has said why
			continue
		}
		if err := x.insert(m); err != nil {
			failed[m.name] = true
			errs = append(errs, fmt.Errorf("loading kernel module %s: %w", m.name, err))
		}
	}
	// A failed soft dependency is the module's own affair.
	if !slices.ContainsFunc(names, func(n string) bool { return failed[n] }) {
		return nil
	}
	return errors.Join(errs...)
}

// order appends what must be loaded for name, name included, to list. Each
// module comes once, so that a loop in the index ends.
func (x *Index) order(list []*module, name string, seen map[string]bool) (_ []*module, found bool) {
	if x.builtin[name] {
		return list, true
	}
	m := x.modules[name]
	if m == nil {
		return list, false
	}
	if seen[name] {
		return list, true
	}
	seen[name] = true
	sd := x.soft[name]
	for _, s := range sd.pre {
		for _, n := range x.resolve(s) {
			list, _ = x.order(list, n, seen)
		}
	}
	for _, d := range m.deps {
		list, _ = x.order(list, d, seen)
	}
	list = append(list, m)
	for _, s := range sd.post {
		for _, n := range x.resolve(s) {
			list, _ = x.order(list, n, seen)
		}
	}
	return list, true
}

// insert loads one module whose dependencies are loaded. Only m's own lock is
// held, so no order of calls can lock up.
func (x *Index) insert(m *module) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loaded {
		return nil
	}
	f, err := x.fsys.Open(path.Join(x.dir, m.file))
	if err != nil {
		return err
	}
	defer f.Close()
	insert := x.Insert
	if insert == nil {
		insert = Insert
	}
	if err := insert(f, params(x.Cmdline, m.name)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	m.loaded = true
	return nil
}

// Driver loads a driver that no device asks for, on an Alpine or Debian kernel:
// that of a filesystem, as blkid and /proc/filesystems spell its type, loop, or
// that of a kind of mapping (dm-crypt). On an empty Index it does nothing.
func (x *Index) Driver(driver string) error {
	if x.Empty() {
		return nil
	}
	var extra []string // asked for by request_module, which no modprobe answers here
	name := driver
	switch driver {
	case "ext2", "ext3":
		name = "ext4"
	case "vfat", "msdos":
		extra = []string{"nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"}
	case "iso9660":
		name, extra = "isofs", []string{"nls_iso8859_1", "nls_utf8"}
	case "ntfs3", "exfat", "udf":
		extra = []string{"nls_utf8"}
	case "dm-crypt":
		extra = []string{"aes_generic", "aesni-intel", "cbc", "essiv", "sha256_generic", "xts"}
	}
	for _, e := range extra {
		// One that is missing shows when the mount or mapping is refused.
		_ = x.Load(e)
	}
	if err := x.Load(name); !errors.Is(err, ErrNotFound) {
		return err
	}
	return x.Load("fs-" + driver)
}
