package module

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

const release = "6.12.1-test"

// kernel is a fake one: it records what is inserted, and refuses a module
// before what it needs.
type kernel struct {
	mu      sync.Mutex
	loaded  []string // "name" or "name params"
	needs   map[string][]string
	refuses map[string]error
}

func (k *kernel) insert(f fs.File, params string) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	name := NameOf(st.Name())
	for _, n := range k.needs[name] {
		if !slices.ContainsFunc(k.loaded, func(l string) bool { return NameOf(strings.Fields(l)[0]) == n }) {
			return fmt.Errorf("%s before %s: %w", name, n, unix.ENOENT)
		}
	}
	if err := k.refuses[name]; err != nil {
		return err
	}
	k.loaded = append(k.loaded, strings.TrimSpace(name+" "+params))
	return nil
}

var testIndex = map[string]string{
	"modules.dep": `
kernel/fs/ext4/ext4.ko: kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko
kernel/fs/mbcache.ko:
kernel/fs/jbd2/jbd2.ko:
kernel/crypto/crc32c_generic.ko:
kernel/drivers/usb/storage/uas.ko: kernel/drivers/usb/storage/usb-storage.ko
kernel/drivers/usb/storage/usb-storage.ko:
kernel/drivers/usb/host/ehci-pci.ko:
kernel/drivers/usb/host/uhci-hcd.ko:
kernel/drivers/nvme/host/nvme.ko: kernel/drivers/nvme/host/nvme-core.ko
kernel/drivers/nvme/host/nvme-core.ko:
kernel/drivers/loop_a.ko: kernel/drivers/loop_b.ko
kernel/drivers/loop_b.ko: kernel/drivers/loop_a.ko
kernel/drivers/gpu/drm/tiny/simpledrm.ko:
kernel/fs/fat/vfat.ko: kernel/fs/fat/fat.ko
kernel/fs/fat/fat.ko:
kernel/crypto/xts.ko:
kernel/drivers/md/dm-crypt.ko:
../../../etc/passwd.ko:
no colon
`,
	"modules.alias": `
# Aliases extracted from modules themselves.
alias fs-ext4 ext4
alias fs-ext3 ext4
alias crc32c crc32c_generic
alias crypto-xts xts
alias pci:v*d*sv*sd*bc01sc08i02* nvme
alias usb:v*p*d*dc*dsc*dp*ic08isc06ip50in* usb_storage
alias usb:v*p*d*dc*dsc*dp*ic08isc06ip62in* uas
alias pci:v*d*sv*sd*bc0Csc03i00* uhci_hcd
alias fs-gone gone
alias half a line
`,
	"modules.softdep": `
softdep ext4 pre: mbcache
softdep ext4 pre: crc32c
softdep uhci_hcd pre: ehci_pci post: no_such_thing
softdep loop_a pre: loop_a
`,
	"modules.builtin": "kernel/drivers/ata/ahci.ko\nkernel/fs/iso9660/isofs.ko\n",
	"modules.always":  "simpledrm\n",
}

func newIndex(t *testing.T, k *kernel) *Index {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range testIndex {
		fsys[path.Join("lib/modules", release, name)] = &fstest.MapFile{Data: []byte(text)}
		if name != "modules.dep" {
			continue
		}
		for line := range strings.Lines(text) {
			if file, _, ok := strings.Cut(line, ":"); ok && fs.ValidPath(file) {
				fsys[path.Join("lib/modules", release, file)] = &fstest.MapFile{Data: []byte("ELF")}
			}
		}
	}
	x, err := Open(fsys, release)
	if err != nil {
		t.Fatal(err)
	}
	x.Insert = k.insert
	return x
}

func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		name    string
		load    string
		params  []string
		cmdline string
		needs   map[string][]string
		refuses map[string]error
		want    []string
		wantErr error
	}{
		{name: "alone", load: "mbcache", want: []string{"mbcache"}},
		{
			name:  "after its dependencies, and what it softly depends on by an alias",
			load:  "ext4",
			needs: map[string][]string{"ext4": {"jbd2", "mbcache", "crc32c_generic"}},
			want:  []string{"mbcache", "crc32c_generic", "jbd2", "ext4"},
		},
		{name: "by an alias", load: "fs-ext3", want: []string{"mbcache", "crc32c_generic", "jbd2", "ext4"}},
		{name: "dash for underscore", load: "nvme-core", want: []string{"nvme_core"}},
		{name: "underscore for dash", load: "usb_storage", want: []string{"usb_storage"}},
		{name: "built in", load: "ahci"},
		{name: "unknown", load: "amiga_floppy", wantErr: ErrNotFound},
		{name: "a soft dependency that is missing", load: "uhci_hcd", want: []string{"ehci_pci", "uhci_hcd"}},
		{name: "dependencies in a circle", load: "loop_a", want: []string{"loop_b", "loop_a"}},
		{name: "loaded by someone else", load: "nvme", refuses: map[string]error{"nvme_core": unix.EEXIST}, want: []string{"nvme"}},
		{name: "a dependency fails", load: "nvme", refuses: map[string]error{"nvme_core": unix.ENOEXEC}, wantErr: unix.ENOEXEC},
		{
			name: "a soft dependency fails", load: "ext4", refuses: map[string]error{"crc32c_generic": unix.ENODEV},
			want: []string{"mbcache", "jbd2", "ext4"},
		},
		{
			name: "parameters", load: "nvme-core", want: []string{`nvme_core multipath=N model="a b"`},
			cmdline: `quiet nvme_core.multipath=N nvme-core.model="a b" nvme.x=1 root=nvme_core.y -- nvme_core.z=1`,
		},
		{
			name: "further parameters are the module's alone, and come last", load: "nvme", params: []string{"a=2", "b"},
			cmdline: "nvme.a=1 nvme_core.c=3", want: []string{"nvme_core c=3", "nvme a=1 a=2 b"},
		},
		{name: "an alias stands for no blacklisted module", load: "fs-ext4", cmdline: "modprobe.blacklist=ext4", wantErr: ErrBlacklisted},
		{name: "a blacklisted module is loaded by its name", load: "mbcache", cmdline: "modprobe.blacklist=mbcache", want: []string{"mbcache"}},
		{name: "an alias of a module that is not there", load: "fs-gone", cmdline: "modprobe.blacklist=ext4", wantErr: ErrNotFound},
		{name: "the index does not lead out of its directory", load: "passwd", wantErr: ErrNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &kernel{needs: tt.needs, refuses: tt.refuses}
			x := newIndex(t, k)
			x.Cmdline = tt.cmdline
			for range 2 { // the second time has nothing left to do
				if err := x.Load(tt.load, tt.params...); !errors.Is(err, tt.wantErr) {
					t.Errorf("got error %v, want %v", err, tt.wantErr)
				}
			}
			if !slices.Equal(k.loaded, tt.want) {
				t.Errorf("loaded %q, want %q", k.loaded, tt.want)
			}
		})
	}
}

// A plan is what is then done.
func TestPlan(t *testing.T) {
	for _, name := range []string{"ext4", "fs-ext3", "nvme", "loop_a", "uhci-hcd", "passwd", "fs-gone"} {
		k := &kernel{}
		x := newIndex(t, k)
		x.Cmdline = "nvme_core.c=3 ext4.d"
		steps, planErr := x.Plan(name, "p=1")
		var planned []string
		for _, s := range steps {
			if _, err := fs.Stat(x.fsys, s.File); err != nil {
				t.Errorf("%s: %s: %v", name, s.Name, err)
			}
			planned = append(planned, strings.TrimSpace(s.Name+" "+s.Params))
		}
		if err := x.Load(name, "p=1"); fmt.Sprint(err) != fmt.Sprint(planErr) {
			t.Errorf("%s: Plan returned %v, Load %v", name, planErr, err)
		}
		if !slices.Equal(k.loaded, planned) {
			t.Errorf("%s: planned %q, loaded %q", name, planned, k.loaded)
		}
	}
	steps, err := newIndex(t, &kernel{}).Plan("ahci")
	if want := []Step{{Name: "ahci"}}; err != nil || !slices.Equal(steps, want) {
		t.Errorf("ahci: got %v, %v; want %v", steps, err, want)
	}
}

func TestLoadAtOnce(t *testing.T) {
	k := &kernel{needs: map[string][]string{"ext4": {"jbd2", "mbcache"}, "uas": {"usb_storage"}}}
	x := newIndex(t, k)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if err := x.Load([]string{"ext4", "uas", "loop_a", "loop_b"}[i%4]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := slices.Sorted(slices.Values(k.loaded))
	if want := []string{"crc32c_generic", "ext4", "jbd2", "loop_a", "loop_b", "mbcache", "uas", "usb_storage"}; !slices.Equal(got, want) {
		t.Errorf("loaded %q, want each once: %q", got, want)
	}
}

func TestEmpty(t *testing.T) {
	none, err := Open(fstest.MapFS{}, release)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]*Index{"no directory": none, "nil": nil} {
		t.Run(name, func(t *testing.T) {
			if !x.Empty() {
				t.Error("is not Empty")
			}
			if err := errors.Join(x.Coldplug(fstest.MapFS{}), x.Driver("ext4"), x.LoadAlias("pci:v0")); err != nil {
				t.Error(err)
			}
			if err := x.Load("ext4"); !errors.Is(err, ErrNotFound) {
				t.Errorf("Load returned %v, want ErrNotFound", err)
			}
			if got := x.Match("pci:v0"); got != nil {
				t.Errorf("Match returned %q", got)
			}
		})
	}
}

func TestDriver(t *testing.T) {
	for _, tt := range []struct {
		fstype  string
		want    []string
		wantErr error
	}{
		{fstype: "ext4", want: []string{"mbcache", "crc32c_generic", "jbd2", "ext4"}},
		{fstype: "ext2", want: []string{"mbcache", "crc32c_generic", "jbd2", "ext4"}},
		{fstype: "vfat", want: []string{"fat", "vfat"}},
		{fstype: "iso9660"}, // isofs is built in
		{fstype: "reiser4", wantErr: ErrNotFound},
		{fstype: "dm-crypt", want: []string{"xts", "dm_crypt"}}, // all other ciphers are built in
	} {
		t.Run(tt.fstype, func(t *testing.T) {
			k := &kernel{}
			if err := newIndex(t, k).Driver(tt.fstype); !errors.Is(err, tt.wantErr) {
				t.Errorf("got error %v, want %v", err, tt.wantErr)
			}
			if !slices.Equal(k.loaded, tt.want) {
				t.Errorf("loaded %q, want %q", k.loaded, tt.want)
			}
		})
	}
}

const (
	nvmeAlias = "pci:v00008086d00005845sv00001AF4sd00001100bc01sc08i02"
	uasAlias  = "usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip62in00"
	uhciAlias = "pci:v00008086d00002934sv00001AF4sd00001100bc0Csc03i00"
)

func TestColdplug(t *testing.T) {
	sysfs := fstest.MapFS{
		"bus/pci/devices/0000:00:01.0/modalias":    {Data: []byte(uhciAlias + "\n")},
		"bus/pci/devices/0000:00:02.0/modalias":    {Data: []byte(nvmeAlias + "\n")},
		"bus/pci/devices/0000:00:03.0/modalias":    {Data: []byte(nvmeAlias + "\n")},
		"bus/pci/devices/0000:00:04.0/modalias":    {Data: []byte("pci:v00001234d00001111sv00001AF4sd00001100bc03sc00i00\n")},
		"bus/pci/devices/0000:00:05.0/uevent":      {Data: []byte("MODALIAS=x\n")},
		"bus/platform/devices/serial8250/modalias": {Data: []byte("\n")},
		"class/input/input0/modalias":              {Data: []byte("input:b0011v0001\n")},
	}
	for _, tt := range []struct {
		name    string
		cmdline string
		hotplug bool // the USB host brings a stick
		refuses map[string]error
		want    []string // sorted
		wantErr error
	}{
		{name: "hardware", want: []string{"ehci_pci", "nvme", "nvme_core", "simpledrm", "uhci_hcd"}},
		{name: "blacklist", cmdline: "modprobe.blacklist=nvme,uhci-hcd", want: []string{"simpledrm"}},
		{name: "a bus brings devices", hotplug: true, want: []string{"ehci_pci", "nvme", "nvme_core", "simpledrm", "uas", "uhci_hcd", "usb_storage"}},
		{name: "absent hardware is not an error", refuses: map[string]error{"nvme": unix.ENODEV, "simpledrm": unix.ENODEV}, want: []string{"ehci_pci", "nvme_core", "uhci_hcd"}},
		{name: "the others load all the same", refuses: map[string]error{"nvme_core": unix.ENOEXEC}, want: []string{"ehci_pci", "simpledrm", "uhci_hcd"}, wantErr: unix.ENOEXEC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &kernel{refuses: tt.refuses}
			x := newIndex(t, k)
			x.Cmdline = tt.cmdline
			live := &growing{MapFS: sysfs}
			if tt.hotplug {
				x.Insert = func(f fs.File, params string) error {
					err := k.insert(f, params)
					k.mu.Lock()
					defer k.mu.Unlock()
					live.grow(slices.Contains(k.loaded, "uhci_hcd"))
					return err
				}
			}
			if err := x.Coldplug(live); !errors.Is(err, tt.wantErr) {
				t.Errorf("got error %v, want %v", err, tt.wantErr)
			}
			if got := slices.Sorted(slices.Values(k.loaded)); !slices.Equal(got, tt.want) {
				t.Errorf("loaded %q, want %q", got, tt.want)
			}
		})
	}
}

// growing is a sysfs to which a stick is added.
type growing struct {
	fstest.MapFS
	mu    sync.Mutex
	grown bool
}

func (g *growing) grow(yes bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.grown = g.grown || yes
}

func (g *growing) Open(name string) (fs.File, error) { return g.now().Open(name) }

func (g *growing) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(g.now(), name) }
func (g *growing) ReadFile(name string) ([]byte, error)       { return fs.ReadFile(g.now(), name) }
func (g *growing) Stat(name string) (fs.FileInfo, error)      { return fs.Stat(g.now(), name) }
func (g *growing) Glob(pattern string) ([]string, error)      { return fs.Glob(g.now(), pattern) }

func (g *growing) now() fstest.MapFS {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.grown {
		return g.MapFS
	}
	m := fstest.MapFS{"bus/usb/devices/1-1:1.0/modalias": {Data: []byte(uasAlias + "\n")}}
	for k, v := range g.MapFS {
		m[k] = v
	}
	return m
}

func TestMatch(t *testing.T) {
	x := newIndex(t, &kernel{})
	for alias, want := range map[string][]string{
		nvmeAlias:      {"nvme"},
		uasAlias:       {"uas"},
		"fs-ext4":      {"ext4"},
		"fs_ext4":      {"ext4"},
		"pci:":         nil,
		"":             nil,
		"acpi:PNP0C0A": nil,
	} {
		if got := x.Match(alias); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", alias, got, want)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		match   []string
		differ  []string
	}{
		{pattern: "", match: []string{""}, differ: []string{"a"}},
		{pattern: "*", match: []string{"", "a", "a/b"}},
		{pattern: "a*b*c", match: []string{"abc", "aXbbYc", "a/b/c"}, differ: []string{"ab", "abcd", "bc"}},
		{pattern: "a?c", match: []string{"abc", "a/c"}, differ: []string{"ac", "abbc"}},
		{pattern: "d0[0-2]*", match: []string{"d00", "d02x"}, differ: []string{"d03", "d0"}},
		{pattern: "[!a]b", match: []string{"cb"}, differ: []string{"ab", "b"}},
		{pattern: "[^a-c]", match: []string{"d"}, differ: []string{"b"}},
		{pattern: "[]a]", match: []string{"]", "a"}, differ: []string{"b"}},
		{pattern: "[a-]", match: []string{"-", "a"}, differ: []string{"b"}},
		{pattern: `[\]]x`, match: []string{"]x"}, differ: []string{`\x`}},
		{pattern: "[ab", match: []string{"[ab"}, differ: []string{"a"}},
		{pattern: `\*a`, match: []string{"*a"}, differ: []string{"ba", `\*a`}},
		{pattern: `a\`, match: []string{`a\`}, differ: []string{"a"}},
		{pattern: "usb:v413Cp*dc[0-9A-F]*ic0[38]*", match: []string{"usb:v413Cp1dcFFic08x"}, differ: []string{"usb:v413Cp1dcFFic04x"}},
	} {
		for _, s := range tt.match {
			if !glob(tt.pattern, s) {
				t.Errorf("%q does not match %q", tt.pattern, s)
			}
		}
		for _, s := range tt.differ {
			if glob(tt.pattern, s) {
				t.Errorf("%q matches %q", tt.pattern, s)
			}
		}
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("pci:v*d*sv*sd*bc01sc08i02*", nvmeAlias)
	f.Add("[!a-]*[]]", "b]")
	f.Add(strings.Repeat("*a", 30), strings.Repeat("a", 60)+"b")
	f.Add(`\`, `\`)
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern)+len(s) > 1000 {
			return
		}
		if glob(pattern, s) && !glob("*"+pattern, s) {
			t.Errorf("%q matches %q, and not with a star before it", pattern, s)
		}
		if !glob("*"+s, s) && !strings.ContainsAny(s, wildcards) {
			t.Errorf("*%q does not match its own tail", s)
		}
		if !strings.ContainsAny(pattern, wildcards) && glob(pattern, s) != (pattern == s) {
			t.Errorf("plain %q against %q", pattern, s)
		}
	})
}

// willing is a kernel that takes every module, and what is loaded in it. Every
// file of a module is there.
type willing struct {
	t      *testing.T
	opened string
	loaded map[string]bool
	log    []string // what was inserted
}

func (k *willing) Open(name string) (fs.File, error) {
	k.opened = NameOf(name)
	return fstest.MapFS{name: {}}.Open(name)
}

func (k *willing) insert(fs.File, string) error {
	if k.loaded[k.opened] {
		k.t.Errorf("%q is inserted twice", k.opened)
	}
	k.loaded[k.opened] = true
	k.log = append(k.log, k.opened)
	return nil
}

func (k *willing) remove(name string) error {
	if !k.loaded[name] {
		return fs.ErrNotExist
	}
	delete(k.loaded, name)
	return nil
}

// FuzzIndex checks that from any index each module can be loaded, by what is
// planned for it and in that order, and unloaded again.
func FuzzIndex(f *testing.F) {
	f.Add(testIndex["modules.dep"], testIndex["modules.alias"], testIndex["modules.softdep"])
	f.Add("a.ko: a.ko a.ko\nb.ko:b.ko", "alias a b\nalias * a\nalias [ a", "softdep a pre: a post: a b\nsoftdep b pre: a")
	f.Fuzz(func(t *testing.T, dep, alias, softdep string) {
		dir := path.Join("lib/modules", release)
		x, err := Open(fstest.MapFS{
			dir + "/modules.dep":     {Data: []byte(dep)},
			dir + "/modules.alias":   {Data: []byte(alias)},
			dir + "/modules.softdep": {Data: []byte(softdep)},
		}, release)
		if err != nil {
			t.Fatal(err)
		}
		k := &willing{t: t, loaded: map[string]bool{}}
		x.fsys, x.Insert, x.Delete = k, k.insert, k.remove
		for name := range x.modules {
			plan, err := x.Plan(name)
			if err != nil {
				t.Errorf("planning %q: %v", name, err)
			}
			var want []string
			for _, step := range plan {
				if !k.loaded[step.Name] {
					want = append(want, step.Name)
				}
			}
			k.log = nil
			if err := x.Load(name); err != nil || !k.loaded[name] || !slices.Equal(k.log, want) {
				t.Errorf("loading %q inserted %q, planned %q: %v", name, k.log, want, err)
			}
			if err := x.Unload(name); err != nil || k.loaded[name] {
				t.Errorf("unloading %q, of which %v is loaded: %v", name, k.loaded, err)
			}
		}
		if err := x.LoadAlias(nvmeAlias); err != nil {
			t.Errorf("by alias: %v", err)
		}
		for _, name := range x.Match(nvmeAlias) {
			if x.modules[name] != nil && !k.loaded[name] {
				t.Errorf("%q drives the device and is not loaded", name)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	var a aliases
	for i := range 20000 {
		a.add(fmt.Sprintf("%s:v0000%04Xd0000%04Xsv*sd*bc*sc*i*", []string{"pci", "usb", "hid", "of"}[i%4], i/16, i), fmt.Sprint("m", i))
	}
	a.add("pci:v*d*sv*sd*bc01sc08i02*", "nvme")
	for b.Loop() {
		if got := a.match(nvmeAlias); len(got) != 1 {
			b.Fatal(got)
		}
	}
}

// What a module needs is known by either spelling of its name.
func TestNeeds(t *testing.T) {
	x := newIndex(t, &kernel{})
	for name, want := range map[string][]string{
		"ext4": {"ext4", "mbcache", "jbd2"}, "usb-storage": {"usb_storage"}, "uas": {"uas", "usb_storage"}, "isofs": nil,
	} {
		if got, ok := x.Needs(name); !ok || !slices.Equal(got, want) {
			t.Errorf("%s needs %q, %v, want %q", name, got, ok, want)
		}
	}
	for _, none := range []*Index{nil, {}, x} {
		if got, ok := none.Needs("fs-ext4"); ok || got != nil {
			t.Errorf("an alias needs %q", got)
		}
	}
}
