// Package module loads kernel modules: by name with what they depend on, by
// modalias for the hardware that is there, and by filesystem type.
//
// It reads the index that depmod(8) writes as text to /lib/modules/RELEASE
// (modules.dep, modules.alias, modules.softdep, modules.builtin; see
// modules.dep(5) and kmod's libkmod), and one list of mkpayload's own,
// modules.always. Module files must be uncompressed, as mkpayload packs them.
// Neither install commands nor /etc/modprobe.d are known. A kernel without a
// module directory makes an empty [Index], on which everything that is not asked
// for a module by its name succeeds by doing nothing.
package module

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/alpboot/alpboot/boot/device/superblock"
)

// What may be wrong with a name.
var (
	// ErrNotFound: it is neither in the index nor built into the kernel.
	ErrNotFound = errors.New("no such kernel module")
	// ErrBlacklisted: it is an alias, of modules that modprobe.blacklist= names.
	ErrBlacklisted = errors.New("blacklisted on the kernel command line")
	// ErrBuiltIn: it cannot be unloaded.
	ErrBuiltIn = errors.New("built into the kernel")
)

// maxIndex bounds each index file; a full distribution's modules.alias is 1.5 MiB.
const maxIndex = 16 << 20

// Index knows the modules of one kernel release. Its methods may be called
// from many goroutines at once, also on a nil Index, which is empty. The
// exported fields must not be changed after the first call.
type Index struct {
	// Insert hands an open module to the kernel, with its parameters; nil
	// means [Insert]. EEXIST from it counts as success.
	Insert func(file fs.File, params string) error

	// Delete has the kernel drop a module; nil means [Delete]. EWOULDBLOCK from
	// it is for one in use, ENOENT for one that is not loaded.
	Delete func(name string) error

	// Cmdline is the kernel command line, whose module.parameter=value words
	// become the parameters of modules, and whose modprobe.blacklist= names
	// those that no alias stands for.
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
	file string   // path from the module directory
	deps []string // normalised names

	mu     sync.Mutex // held while it is being inserted
	loaded bool
}

type softdep struct {
	pre, post []string
}

// Open reads the index of the kernel release (uname -r) below lib/modules of
// fsys, the root of the filesystem. When there is no such directory the Index is
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
		{"modules.builtin", func(s string) { x.builtin[NameOf(s)] = true }},
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

// NameOf returns the name of the module in a file, as the kernel spells it.
func NameOf(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return normal(name)
}

// normal spells a module name as the kernel does: file names may have - for _.
func normal(name string) string { return strings.ReplaceAll(name, "-", "_") }

// addDep takes a line of modules.dep: "file.ko: dependency.ko ...".
func (x *Index) addDep(line string) {
	file, deps, ok := strings.Cut(line, ":")
	if !ok || !fs.ValidPath(file) || file == "." {
		return
	}
	m := &module{name: NameOf(file), file: file}
	for _, d := range strings.Fields(deps) {
		m.deps = append(m.deps, NameOf(d))
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

// Needs returns the names of a module and of all that it depends on, itself first;
// nil for one that is built into the kernel. ok is false for one that is not there.
func (x *Index) Needs(name string) (names []string, ok bool) {
	if x == nil {
		return nil, false
	}
	name = normal(name)
	if x.builtin[name] {
		return nil, true
	}
	m := x.modules[name]
	if m == nil {
		return nil, false
	}
	return append([]string{m.name}, m.deps...), true
}

// Load loads the module called name, which may be an alias without wildcards
// of its own (fs-ext4), after everything that it depends on. The parameters,
// each NAME or NAME=VALUE, are for itself, after those of the command line. One
// that is loaded or built in already is a success; one that is not there is
// [ErrNotFound], an alias of nothing but blacklisted ones [ErrBlacklisted].
func (x *Index) Load(name string, parameters ...string) error {
	names, err := x.find(name)
	if err != nil {
		return err
	}
	return x.load(names, parameters...)
}

// Step is what is done with one module when another one is loaded.
type Step struct {
	Name   string
	File   string // path from the root of the filesystem; "" for one that is built in
	Params string // what it is given, separated by blanks
}

// Plan returns what [Index.Load] with the same arguments would do, were nothing
// loaded yet. Of what is built in only that which was asked for is named.
func (x *Index) Plan(name string, parameters ...string) ([]Step, error) {
	names, err := x.find(name)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, n := range names {
		if x.builtin[n] {
			steps = append(steps, Step{Name: n})
		}
	}
	for _, m := range x.inOrder(names) {
		steps = append(steps, Step{m.name, path.Join(x.dir, m.file), x.params(m, names, parameters)})
	}
	return steps, nil
}

// LoadAlias loads every module that drives the device with the given modalias,
// except blacklisted ones. That there is none is not an error: most devices of a
// machine need no driver to boot.
func (x *Index) LoadAlias(modalias string) error {
	var errs []error
	for _, name := range x.allowed(x.Match(modalias)) {
		errs = append(errs, x.load([]string{name}))
	}
	return errors.Join(errs...)
}

// find returns the modules that a name stands for, and an error when it is none
// of which anything is there.
func (x *Index) find(name string) ([]string, error) {
	var names []string
	if !x.Empty() {
		names = slices.DeleteFunc(x.resolve(name), func(n string) bool { return !x.builtin[n] && x.modules[n] == nil })
	}
	if len(names) > 0 {
		return names, nil
	}
	if slices.ContainsFunc(x.Match(name), x.blacklisted) {
		return nil, fmt.Errorf("%s: %w", name, ErrBlacklisted)
	}
	return nil, fmt.Errorf("%s: %w", name, ErrNotFound)
}

// resolve returns the modules that name stands for: itself, or those that bear
// it as an alias and are not blacklisted.
func (x *Index) resolve(name string) []string {
	n := normal(name)
	if x.modules[n] != nil || x.builtin[n] {
		return []string{n}
	}
	return x.allowed(x.aliases.match(name))
}

// allowed drops the blacklisted ones of names.
func (x *Index) allowed(names []string) []string { return slices.DeleteFunc(names, x.blacklisted) }

// load loads the named modules and what they depend on.
func (x *Index) load(names []string, parameters ...string) error {
	failed := make(map[string]bool)
	var errs []error
	for _, m := range x.inOrder(names) {
		if i := slices.IndexFunc(m.deps, func(d string) bool { return failed[d] }); i >= 0 {
			failed[m.name] = true // the reason is that of what it depends on
			continue
		}
		if err := x.insert(m, x.params(m, names, parameters)); err != nil {
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

// params returns the parameters of m, when the modules called names are to get
// further ones.
func (x *Index) params(m *module, names, further []string) string {
	list := params(x.Cmdline, m.name)
	if slices.Contains(names, m.name) {
		list = append(list, further...)
	}
	return strings.Join(list, " ")
}

// inOrder returns what must be loaded for the named modules, themselves included.
func (x *Index) inOrder(names []string) []*module {
	var list []*module
	seen := make(map[string]bool)
	for _, n := range names {
		list = x.order(list, n, seen)
	}
	return list
}

// order appends what must be loaded for name, name included, to list. Each
// module comes once, so that a loop in the index ends.
func (x *Index) order(list []*module, name string, seen map[string]bool) []*module {
	m := x.modules[name]
	if m == nil || x.builtin[name] || seen[name] {
		return list
	}
	seen[name] = true
	soft := func(names []string) {
		for _, s := range names {
			for _, n := range x.resolve(s) {
				list = x.order(list, n, seen)
			}
		}
	}
	soft(x.soft[name].pre)
	for _, d := range m.deps {
		list = x.order(list, d, seen)
	}
	list = append(list, m)
	soft(x.soft[name].post)
	return list
}

// insert loads one module whose dependencies are loaded. Only m's own lock is
// held, so no order of calls can lock up.
func (x *Index) insert(m *module, params string) error {
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
	if err := insert(f, params); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	m.loaded = true
	return nil
}

// Driver loads a driver that no device asks for: that of a filesystem, as blkid
// and /proc/filesystems spell its type, loop, or that of a kind of mapping
// (dm-crypt). On an empty Index it does nothing.
func (x *Index) Driver(driver string) error {
	if x.Empty() {
		return nil
	}
	name := driver
	switch driver {
	case superblock.Ext2, superblock.Ext3: // aliases too, but of what is built in no alias is known
		name = "ext4"
	case superblock.ISO9660:
		name = "isofs"
	case "dm-crypt":
		// The kernel would ask modprobe, if there is one, a process for each.
		for _, cipher := range []string{"aes", "cbc", "essiv", "sha256", "xts"} {
			// One that is missing shows when the mapping is refused.
			_ = x.Load("crypto-" + cipher)
		}
	}
	if err := x.Load(name); !errors.Is(err, ErrNotFound) {
		return err
	}
	return x.Load("fs-" + driver)
}
