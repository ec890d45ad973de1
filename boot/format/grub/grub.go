// Package grub reads the configuration of GRUB 2, grub.cfg.
//
// That is a program in GRUB's own language, and it is run as one: the menu is
// what menuentry and submenu have collected when the file has ended, and each
// entry is what its block does then. The language is the one of GRUB 2.12
// (grub-core/script and the commands in grub-core there). Commands that write,
// wait or drive the screen do nothing; so does one that is not known, which
// leaves a note. Entries that start anything but Linux are listed with a
// Problem; those that test memory, power off or enter the firmware are left
// out. Who may start and edit an entry is its Lock. Device trees are mentioned in a
// note, and not acted on.
// Images that loopback opens are those volumes among the others that are in
// them. The entries that blscfg adds are read by package bls, with the variables
// of the script.
package grub

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/format/fspath"
	"github.com/alpboot/alpboot/boot/format/subvolume"
)

// What is read of one volume and done with it, so that no stick can keep the
// menu waiting or fill its memory.
const (
	maxFile       = 1 << 20  // bytes of one file
	maxTotal      = 8 << 20  // bytes of all files, each time that they are read
	maxFiles      = 256      // files, each time that they are read
	maxEnvBlock   = 64 << 10 // bytes of an environment block; GRUB makes 1024
	maxWords      = 200_000  // words and commands of one file
	maxNesting    = 100      // of if, loops and blocks
	maxDepth      = 32       // of functions, submenus and files inside each other
	maxSteps      = 400_000  // commands that are run
	maxMenuSteps  = 100_000  // of them for one menu
	maxEntrySteps = 20_000   // and for one menu entry
	maxText       = 16 << 20 // bytes of all texts that variables and words are made of
	maxValue      = 64 << 10 // bytes of one of them
	maxVariables  = 2000
	maxLooks      = 20_000 // looks for files
	maxItems      = 1000   // menu entries and submenus
	maxUsers      = 100    // with passwords
	maxPattern    = 1000   // bytes of a regular expression
	maxInitrds    = 32     // of one entry
)

// configs are the places of configuration files below the root of a system.
// Names are compared without regard to case, since FAT has none, and * is any
// directory.
var configs = [...]string{
	"boot/grub/grub.cfg",
	"boot/grub2/grub.cfg",
	"grub/grub.cfg",
	"grub2/grub.cfg",
	"efi/*/grub.cfg",
	"grub.cfg", // of images with a prefix of (hd0,1)/
}

// Format returns the format for discovery.
func Format() boot.Format { return boot.Format{Name: "grub", Parse: Parse} }

// Parse runs all configuration files on the volume vol, whose root is fsys.
// One that can be reached in several ways, as through Alpine's link /boot/boot,
// is run once if fsys is an [fs.ReadLinkFS]. What they name on other volumes is
// looked for among others: a file that a configuration goes on with is run as
// well, and an entry whose kernel is there has that Volume. Its Source is then
// the line on vol that led there.
//
// Entries that are equal in kernel, initrds and command line are listed once, a
// default among them as the default. Kernel and initrd paths are those of the
// configuration; whether the files exist is not checked.
//
// At most one entry of a file is its default: the one that GRUB would boot
// unattended, or the first of its fallbacks if the files of that one do not
// exist. Entries for recovery are never one. An entry that GRUB would boot once,
// because of next_entry in grubenv, has Once; the default is then the one that
// GRUB would boot after that. Nothing is written to grubenv.
//
// The error is about files that could not be read, when nothing else was
// found; it wraps [boot.ErrTooLarge] for one of more than 1 MiB.
func Parse(fsys fs.FS, vol boot.Volume, others boot.Volumes) (boot.Listing, error) {
	r := newReader(fsys, vol)
	files := r.find()
	if len(files) > 0 { // of many volumes few have one
		r.add(others)
	}
	return r.parse(files)
}

// ParseFile is [Parse] for the one configuration file of that path, with the
// variables vars set and exported: what GRUB would do if a script had set them
// and gone on with that file, such as iso_path for the loopback.cfg of an image.
func ParseFile(fsys fs.FS, vol boot.Volume, others boot.Volumes, file string, vars map[string]string) (boot.Listing, error) {
	r := newReader(fsys, vol)
	r.add(others)
	r.vars = vars
	return r.parse([]string{file})
}

// parse returns the entries of these configuration files.
func (r *reader) parse(files []string) (boot.Listing, error) {
	for _, f := range files {
		r.configs[f] = true
	}
	var entries []boot.Entry
	var errs []error
	for _, f := range files {
		found, err := r.entries(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("/%s cannot be used: %w", f, reason(err)))
		}
		for _, e := range found {
			entries = append(entries, *e)
		}
	}
	subvolume.Mark(entries, r.volumes[0].Volume)
	l, err := r.notes.Listing(boot.Unique(entries, foldLevels()), errs...)
	l.Unresolved = r.unresolved
	return l, err
}

// foldLevels returns a key for [boot.Unique] with which an entry is the same as
// one that boots the same on another level of the menu: distributions list a
// kernel by one title at the top and by another in a submenu. Two titles on one
// level were both meant.
func foldLevels() func(boot.Entry) string {
	firsts := map[string]boot.Entry{}
	return func(e boot.Entry) string {
		if e.Kernel == "" {
			return e.Key()
		}
		what := e
		what.Title, what.Submenu = "", nil
		key := what.Key()
		first, again := firsts[key]
		if !again {
			firsts[key] = e
		} else if e.Title != first.Title && slices.Equal(e.Submenu, first.Submenu) {
			key = e.Key()
		}
		return key
	}
}

// reader is one call of Parse: the volumes, and what may still be done.
type reader struct {
	volumes    []boot.MountedVolume // the one that is parsed, and the others
	builtins   map[string]builtin
	vars       map[string]string // that are set before the first command
	configs    map[string]bool   // files of the first volume that are, were or will be run on their own
	disks      map[string]string // GRUB's name of a disk, such as hd0 -> its device
	subvolumes map[int][]string  // of volumes of which they have been asked for
	unresolved bool
	noNext     bool // as if there were no next_entry
	notes      boot.Notes
	noted      map[string]bool // commands that a note was left about

	bytesLeft, filesLeft, stepsLeft, textLeft, looksLeft, itemsLeft int
}

func newReader(fsys fs.FS, vol boot.Volume) *reader {
	return &reader{
		volumes: []boot.MountedVolume{{Volume: vol, FS: fsys}},
		configs: map[string]bool{},
		disks:   map[string]string{}, subvolumes: map[int][]string{},
		noted:     map[string]bool{},
		bytesLeft: maxTotal, filesLeft: maxFiles, stepsLeft: maxSteps,
		textLeft: maxText, looksLeft: maxLooks, itemsLeft: maxItems,
	}
}

// add brings in the volumes that are not the one being parsed.
func (r *reader) add(others boot.Volumes) {
	r.volumes = slices.Grow(r.volumes, len(others))
	for _, o := range others {
		if o.Volume != r.volumes[0].Volume {
			r.volumes = append(r.volumes, o)
		}
	}
}

// takeLook counts looks for files, and reports whether there may be more.
func (r *reader) takeLook(n int) bool {
	if r.looksLeft < n {
		r.notes.Add(boot.Source{}, fmt.Sprintf("These configurations look for more than %d files: the rest is taken as missing.", maxLooks))
		return false
	}
	r.looksLeft -= n
	return true
}

// read returns the contents of the file at p, within what is left to read.
func (r *reader) read(p place) (string, error) { return r.readUpTo(p, maxFile) }

func (r *reader) readUpTo(p place, limit int64) (string, error) {
	if r.filesLeft == 0 {
		return "", fmt.Errorf("more than %d files are read", maxFiles)
	}
	r.filesLeft--
	b, err := boot.ReadFile(r.volumes[p.volume].FS, p.path, limit)
	if err != nil {
		return "", err
	}
	if len(b) > r.bytesLeft {
		return "", fmt.Errorf("%w: more than %d MiB of configuration files", boot.ErrTooLarge, maxTotal>>20)
	}
	r.bytesLeft -= len(b)
	return strings.TrimPrefix(string(b), "\ufeff"), nil
}

// find returns the paths of all configuration files on the first volume, free of
// symlinks, each once.
func (r *reader) find() []string {
	var files []string
	roots, _ := subvolume.Roots(r.volumes[0].FS, r.volumes[0].Volume)
	for _, root := range roots {
		if root.Snapshot {
			continue // its configuration is an old copy, and names what is current
		}
		for _, c := range configs {
			for _, f := range fspath.Files(r.volumes[0].FS, root.Dir, c, func() bool { return r.takeLook(1) }) {
				if !slices.Contains(files, f) {
					files = append(files, f)
				}
			}
		}
	}
	for _, legacy := range []string{"boot/grub/menu.lst", "boot/grub/grub.conf", "grub/menu.lst", "grub/grub.conf"} {
		for _, f := range fspath.Files(r.volumes[0].FS, ".", legacy, nil) {
			if len(files) == 0 {
				r.notes.Add(boot.Source{File: f}, "It is a configuration of GRUB legacy, which alpboot does not read.")
			}
		}
	}
	return files
}

// resolve returns the place of an existing file free of symlinks.
func (r *reader) resolve(p place) (place, error) {
	file, err := fspath.Resolve(r.volumes[p.volume].FS, p.path, func() bool { return r.takeLook(1) })
	if err == nil {
		p.path = file
	}
	return p, err
}

// entries returns the entries of one configuration file.
func (r *reader) entries(name string) ([]*boot.Entry, error) {
	p := place{path: name}
	notes, away := r.notes.Len(), r.unresolved
	m := r.newMachine(p)
	if err := m.runFile(p); err != nil {
		return nil, err
	}
	nodes := m.nodes(nil, m.wait(), m.guard(nil))
	entries := leaves(nodes)
	if len(entries) == 0 && r.notes.Len() == notes && r.unresolved == away {
		r.notes.Add(boot.Source{File: name}, "The file holds no entry.")
	}
	if m.markDefault(nodes) {
		r.markAfter(p, entries)
	}
	return entries, nil
}

// markAfter marks that one of entries as the default which GRUB would boot from
// p when next_entry is gone.
func (r *reader) markAfter(p place, entries []*boot.Entry) {
	r.noNext = true
	defer func() { r.noNext = false }()
	m := r.newMachine(p)
	if m.runFile(p) != nil {
		return
	}
	nodes := m.nodes(nil, m.wait(), nil)
	m.markDefault(nodes)
	for _, after := range leaves(nodes) {
		for _, e := range entries {
			if after.Default && e.Key() == after.Key() {
				e.Default = true
				return
			}
		}
	}
}

// newMachine returns a machine as GRUB would be when it starts the configuration
// file p.
func (r *reader) newMachine(p place) *machine {
	m := &machine{
		reader:    r,
		env:       environ{},
		functions: map[string]*function{},
		users:     map[string]boot.Secret{},
		subvolume: r.subvolumeOf(p),
		steps:     maxMenuSteps,
		menu:      &menu{},
	}
	own := volumeName(p.volume)
	platform, cpu := "pc", map[string]string{"amd64": "i386", "386": "i386"}[runtime.GOARCH]
	if strings.HasPrefix(strings.ToLower(p.path), "efi/") || r.volumes[p.volume].Volume.Type == superblock.VFAT || cpu == "" {
		platform, cpu = "efi", map[string]string{"amd64": "x86_64", "386": "i386"}[runtime.GOARCH]
		if cpu == "" {
			cpu = runtime.GOARCH
		}
	}
	for name, value := range map[string]string{
		"root":          own,
		"prefix":        "(" + own + ")/" + path.Dir(p.path),
		"cmdpath":       "(" + own + ")/" + path.Dir(p.path),
		"grub_platform": platform,
		"grub_cpu":      cpu,
		"lang":          "",
		"pager":         "",
	} {
		m.env.set(name, value)
		m.env.export(name)
	}
	for name, value := range r.vars {
		m.env.set(name, value)
		m.env.export(name)
	}
	for _, feature := range []string{
		"chainloader_bpb", "ntldr", "platform_search_hint", "default_font_path", "all_video_module", "menuentry_id",
		"menuentry_options", "200_final", "nativedisk_cmd", "timeout_style",
	} {
		m.env.set("feature_"+feature, "y")
		m.env.export("feature_" + feature)
	}
	return m
}

// beforeOwn is the variable in which the script that alpboot install adds keeps
// the default of before.
const beforeOwn = "alpboot_before"

// markDefault marks the entry that GRUB would boot unattended. It reports whether
// that is so at one boot only, so that there is another one after it.
func (m *machine) markDefault(nodes []*node) (once bool) {
	for len(nodes) > 0 && nodes[0].config != nil {
		m, nodes = nodes[0].config, nodes[0].sub
	}
	def := m.env.get("default")
	once = m.once && def == m.nextEntry
	n := choose(nodes, def)
	if n != nil && n.entry != nil && n.entry.IsOwn() {
		// Its script keeps what the default was before.
		n.entry.Default = true
		def = m.env.get(beforeOwn)
		n = choose(nodes, def)
	}
	if fallback := m.env.get("fallback"); fallback != "" && !m.usable(n) {
		for _, spec := range append([]string{fallback}, strings.Fields(fallback)...) {
			if f := choose(nodes, spec); isNamed(nodes, spec) && m.usable(f) {
				f.entry.Notes = append(f.entry.Notes, "It is the fallback of its own menu, whose default cannot be booted.")
				n = f
				break
			}
		}
	}
	switch {
	case n == nil || n.entry == nil:
	case n.recovery:
		n.entry.Notes = append(n.entry.Notes, "It is the default of its own menu; alpboot boots no recovery entry unattended.")
	case once:
		n.entry.Once = "next_entry " + m.nextEntry
		n.entry.Notes = append(n.entry.Notes, "It was made the default for one boot only, by next_entry in grubenv. alpboot meets that once, and writes nothing there: grub-editenv unset next_entry lets it be asked for again.")
	default:
		n.entry.Default = true
	}
	return once
}

// usable reports whether there is all that is needed to boot n.
func (m *machine) usable(n *node) bool {
	if n == nil || n.entry == nil || n.entry.Problem != "" {
		return false
	}
	volume := 0
	if n.entry.Volume != (boot.Volume{}) {
		volume = slices.IndexFunc(m.volumes, func(v boot.MountedVolume) bool { return v.Volume == n.entry.Volume })
	}
	for _, f := range append([]string{n.entry.Kernel}, n.entry.Initrds...) {
		if m.look(place{volume: volume, path: f}) == nil {
			return false
		}
	}
	return true
}

// reason returns err without a path, which stands in the sentence already.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
