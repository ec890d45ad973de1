package bls

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/fspath"
	"github.com/alpboot/alpboot/boot/format/subvolume"
	"github.com/alpboot/alpboot/boot/version"
)

// Boot is a directory that the specification may mean by $BOOT, and the settings
// of its loader/loader.conf (loader.conf(5)).
type Boot struct {
	Dir   string     // "." for the root of the volume
	Notes boot.Notes // about its loader.conf

	fsys      fs.FS
	preferred setting        // pattern that names the default entry, unless that has been marked bad
	def       setting        // likewise, after preferred
	timeout   *time.Duration // as in boot.Entry
}

// setting is the text of a line, and its place.
type setting struct {
	text string
	src  boot.Source
}

// places are the directories of a root filesystem where a $BOOT is mounted, or
// is when it has no partition of its own.
var places = [...]string{"", "boot", "efi", "boot/efi"}

// Boots returns every directory of the volume whose root is fsys that may be a
// $BOOT: the root, boot, efi and boot/efi, on btrfs also those of its
// subvolumes, but for snapshots. Names are compared without regard to
// case. The error is about a root that cannot be read.
func Boots(fsys fs.FS, vol boot.Volume) ([]*Boot, error) {
	if _, err := fs.ReadDir(fsys, "."); err != nil {
		return nil, err
	}
	roots, _ := subvolume.Roots(fsys, vol)
	var boots []*Boot
	known := map[string]bool{}
	for _, root := range roots {
		if root.Snapshot {
			continue
		}
		for _, place := range places {
			for _, dir := range (&Boot{Dir: root.Dir, fsys: fsys}).Directories(place) {
				if !known[dir] {
					known[dir] = true
					b := &Boot{Dir: dir, fsys: fsys}
					b.settings()
					boots = append(boots, b)
				}
			}
		}
	}
	return boots, nil
}

// Directories returns the paths, from the root of the volume, of the directories
// that rel names below b in whatever case; "" is b itself.
func (b *Boot) Directories(rel string) []string { return fspath.Directories(b.fsys, b.Dir, rel, nil) }

// Files returns the paths of the files in the directory dir, from the root of the
// volume, whose names end in ending in whatever case and do not begin with a
// dot. With an error there may be some all the same.
func (b *Boot) Files(dir, ending string) ([]string, error) {
	list, err := fs.ReadDir(b.fsys, dir)
	if err != nil {
		err = fmt.Errorf("the directory /%s cannot be read: %w", strings.TrimPrefix(dir, "."), err)
	}
	var files []string
	for _, d := range list {
		if name := d.Name(); !d.IsDir() && hasEnding(name, ending) && !strings.HasPrefix(name, ".") {
			files = append(files, path.Join(dir, name))
		}
	}
	return files, err
}

func hasEnding(name, ending string) bool {
	return len(name) > len(ending) && strings.EqualFold(name[len(name)-len(ending):], ending)
}

// settings reads loader.conf.
func (b *Boot) settings() {
	for _, dir := range b.Directories("loader") {
		files, _ := b.Files(dir, ".conf")
		for _, file := range files {
			if !strings.EqualFold(path.Base(file), "loader.conf") {
				continue
			}
			text, err := boot.ReadFile(b.fsys, file, maxFile)
			if err != nil {
				b.Notes.Add(boot.Source{File: file}, fmt.Sprintf("The settings cannot be used: %v.", err))
				continue
			}
			lines(string(text), func(n int, key, value string) { b.setting(boot.Source{File: file, Line: n}, key, value) })
		}
	}
}

// setting takes one line of loader.conf.
func (b *Boot) setting(src boot.Source, key, value string) {
	switch key {
	case "default", "preferred":
		to := &b.def
		if key == "preferred" {
			to = &b.preferred
		}
		*to = setting{value, src}
		if strings.HasPrefix(value, "@") {
			to.text = ""
			b.Notes.Add(src, fmt.Sprintf("The default %s is known to systemd-boot alone; the setting default = @last does the same with what alpboot boots.", boot.Quote(value)))
		}
	case "timeout":
		wait := time.Duration(0)
		switch value {
		case "menu-force":
			wait = -1
		case "menu-hidden", "menu-disabled": // both boot at once
		default:
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				b.Notes.Add(src, fmt.Sprintf("The timeout %s is not a number of seconds.", boot.Quote(value)))
				return
			}
			wait = time.Duration(n) * time.Second
		}
		b.timeout = &wait
	}
}

// Item is an entry of either type, with what decides its place in the list.
type Item struct {
	Entry     boot.Entry
	SortKey   string // sort-key, or ID of os-release(5)
	MachineID string
	Version   string
	Profile   int    // of a unified kernel image: systemd-boot calls the entry NAME@PROFILE, from 1
	Demoted   string // why it sorts behind all others and is never the default, as a sentence; "" for most
}

// name returns the name of the item's file without its directory, its ending and the
// boot counter in it; left is negative where there is no counter.
func (it Item) name() (name, ending string, left, done int) {
	base := path.Base(it.Entry.Source.File)
	left = -1
	if c, ok := boot.ParseCounter(base); ok {
		base, left, done = c.Plain(), c.Left, c.Done
	}
	ending = path.Ext(base)
	return strings.TrimSuffix(base, ending), ending, left, done
}

// number reads a decimal number without sign.
func number(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil
}

// names reports whether the pattern of a setting names it.
func (s setting) names(it Item) bool {
	name, ending, _, _ := it.name()
	pattern := strings.ReplaceAll(strings.ToLower(s.text), "[!", "[^")
	if it.Profile > 0 {
		ending += "@" + strconv.Itoa(it.Profile)
	}
	for _, id := range []string{name + ending, name} { // before systemd 246 the ending was left off
		if ok, _ := path.Match(pattern, strings.ToLower(id)); ok {
			return true
		}
	}
	return false
}

// Arrange returns the entries of items in the order of the specification, newest
// first within one system, with those that have failed too often at the end.
// It completes them: Default for the first one that loader.conf names, Timeout,
// a Title where there is none, and where several titles are equal what distinguishes
// them apart: version, machine ID and file name, in this order.
func (b *Boot) Arrange(items []Item) []boot.Entry {
	items = slices.Clone(items)
	for i, it := range items {
		if _, _, left, _ := it.name(); left == 0 && it.Demoted == "" {
			items[i].Demoted = boot.CountedOut
		}
	}
	slices.SortStableFunc(items, compare)

	def := -1
	for _, s := range []setting{b.preferred, b.def} {
		if def < 0 && s.text != "" {
			def = slices.IndexFunc(items, func(it Item) bool { return it.Demoted == "" && s.names(it) })
		}
	}
	var entries []boot.Entry
	for i, it := range items {
		e := it.Entry
		name, _, _, _ := it.name()
		e.Title = cmp.Or(boot.Clean(e.Title), boot.Clean(name), boot.Clean(path.Base(e.Source.File)))
		if it.Demoted != "" {
			e.Notes = append(slices.Clone(e.Notes), it.Demoted)
		}
		e.Default = i == def
		if b.timeout != nil {
			wait := *b.timeout
			e.Timeout = &wait
		}
		entries = append(entries, e)
	}
	for _, mark := range []func(Item) string{
		func(it Item) string { return it.Version },
		func(it Item) string { return it.MachineID[:min(8, len(it.MachineID))] },
		func(it Item) string { name, ending, _, _ := it.name(); return name + ending }, // an entry's ID outlives its counter
	} {
		count := map[string]int{}
		for _, e := range entries {
			count[e.Title]++
		}
		for i, it := range items {
			if m := boot.Clean(mark(it)); m != "" && count[entries[i].Title] > 1 {
				entries[i].Title += " (" + m + ")"
			}
		}
	}
	return entries
}

// compare is the order of the specification, section Sorting.
func compare(a, b Item) int {
	if r := compareBool(a.Demoted != "", b.Demoted != ""); r != 0 {
		return r
	}
	if r := compareBool(a.SortKey == "", b.SortKey == ""); r != 0 {
		return r
	}
	if a.SortKey != "" {
		if r := cmp.Or(
			strings.Compare(a.SortKey, b.SortKey),
			strings.Compare(a.MachineID, b.MachineID),
			version.Compare(b.Version, a.Version),
		); r != 0 {
			return r
		}
	}
	nameA, _, leftA, doneA := a.name()
	nameB, _, leftB, doneB := b.name()
	return cmp.Or(version.Compare(nameB, nameA), cmp.Compare(leftB, leftA), cmp.Compare(doneA, doneB))
}

// compareBool sorts true behind false.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
