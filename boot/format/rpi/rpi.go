// Package rpi reads what the firmware of a Raspberry Pi starts: config.txt and
// cmdline.txt at the top of its boot partition.
//
// The language is the one of the Raspberry Pi documentation (config.txt: "Boot
// options", "Conditional filters"). Which model of Pi it is, or whether it is
// one at all, is not known here: see [Parse]. Settings of the hardware and
// device trees are not acted on, which a note mentions.
package rpi

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/fspath"
)

const formatName = "rpi"

// What is read of one volume, so that no stick can keep the menu waiting.
const (
	maxFile     = 256 << 10 // bytes of one file
	maxFiles    = 32        // included ones each time
	maxDepth    = 8         // files inside each other
	maxSettings = 1000      // in all files
	maxModels   = 32        // model filters in all files
	maxInitrds  = 32
)

// Format returns the format for discovery.
func Format() boot.Format {
	return boot.Format{Name: formatName, Parse: func(fsys fs.FS, _ boot.Volume, _ boot.Volumes) (boot.Listing, error) {
		return Parse(fsys)
	}}
}

// Parse reads the configuration on the volume whose root is fsys. There is one
// if config.txt names a kernel or stands beside cmdline.txt, and wherever the
// firmware itself is (bootcode.bin, start*.elf).
//
// There is one entry for models that no section such as [pi4] is about, and
// one for each section under which another kernel, initramfs or command line
// would be started. Sections that ask for something else than the model
// ([tryboot], [gpio4=1], [EDID=...], a serial number) count as not met. An
// entry is the default when it is the only one.
//
// Where no kernel is named, those that the firmware would take of its own
// (kernel8.img and others) make an entry each, as far as they exist and
// arm_64bit allows them.
//
// The error wraps [boot.ErrTooLarge] for a config.txt of more than 256 KiB.
func Parse(fsys fs.FS) (boot.Listing, error) {
	top, err := fs.ReadDir(fsys, ".")
	if err != nil && len(top) == 0 {
		return boot.Listing{}, err
	}
	hasFirmware := slices.ContainsFunc(top, func(d fs.DirEntry) bool {
		name := strings.ToLower(d.Name())
		start, _ := path.Match("start*.elf", name) // the pattern is a good one
		return !d.IsDir() && (start || name == "bootcode.bin")
	})
	r := &reader{fsys: fsys, filesLeft: maxFiles}
	err = r.file(configFile)
	r.hasConfig = !errors.Is(err, fs.ErrNotExist)
	hasCmdline := exists(fsys, cmdlineFile)
	switch {
	case !r.hasConfig && !hasFirmware:
		return boot.Listing{}, nil
	case !r.hasConfig:
		err = nil // it need not be there
	case !hasFirmware && !hasCmdline && !slices.ContainsFunc(r.settings, func(s setting) bool { return s.name == "kernel" }):
		return boot.Listing{}, nil // somebody else's
	}
	if err != nil {
		return boot.Listing{}, fmt.Errorf("/%s cannot be used: %w", configFile, err)
	}
	entries := r.entries()
	if len(entries) == 0 {
		r.notes.Add(boot.Source{File: configFile}, "It names no kernel, and there is none that the firmware would start by itself.")
	}
	return r.notes.Listing(entries)
}

const (
	configFile  = "config.txt"
	cmdlineFile = "cmdline.txt"
)

// reader is one call of Parse.
type reader struct {
	fsys      fs.FS
	hasConfig bool
	filesLeft int
	stack     []string // the files being read, outermost first
	filter    filter
	settings  []setting
	models    []string // of all model filters, in order
	notes     boot.Notes
}

// filter is the condition under which lines count.
type filter struct {
	model string // "" for all
	other string // a condition that is not known to be met
}

// setting is one line of the configuration.
type setting struct {
	filter
	name, value string
	src         boot.Source
}

// file reads the settings in a file and those that it includes.
func (r *reader) file(name string) error {
	if r.filesLeft--; r.filesLeft < 0 {
		return fmt.Errorf("more than %d files, included ones counted each time", maxFiles)
	}
	b, err := boot.ReadFile(r.fsys, name, maxFile)
	if err != nil {
		return err
	}
	r.stack = append(r.stack, name)
	defer func() { r.stack = r.stack[:len(r.stack)-1] }()
	n := 0
	for line := range strings.SplitSeq(strings.TrimPrefix(string(b), "\ufeff"), "\n") {
		n++
		src := boot.Source{File: name, Line: n}
		line = strings.TrimSpace(boot.Plain(line))
		switch {
		case line == "" || line[0] == '#':
			continue
		case line[0] == '[':
			r.section(src, line)
			continue
		}
		// Two settings are written without =.
		if word, rest, _ := strings.Cut(line, " "); word == "include" {
			r.include(src, strings.TrimSpace(rest))
			continue
		} else if word == "initramfs" {
			files, _, _ := strings.Cut(strings.TrimSpace(rest), " ") // the rest is an address
			r.set(src, "ramfsfile", files)
			continue
		}
		if name, value, ok := strings.Cut(line, "="); ok {
			if name = strings.TrimSpace(name); name == "initramfs" {
				r.notes.Add(src, "A space and no = stands between initramfs and the file: the line is skipped.")
				continue
			}
			r.set(src, name, strings.TrimSpace(value))
		}
	}
	return nil
}

// set keeps a setting if anything here asks for it.
func (r *reader) set(src boot.Source, name, value string) {
	if r.filter.model == "none" {
		return
	}
	switch name {
	case "kernel", "cmdline", "ramfsfile", "os_prefix", "auto_initramfs", "arm_64bit", "upstream_kernel":
		if r.filter.other != "" {
			r.notes.Add(src, fmt.Sprintf("%s holds only under the condition %s, which is taken as not met.", boot.Quote(name), boot.Quote(r.filter.other)))
			return
		}
	case "device_tree", "dtoverlay", "dtparam":
	default:
		return
	}
	if len(r.settings) == maxSettings {
		r.notes.Add(src, fmt.Sprintf("There are more than %d settings about what is started: from here on they are left out.", maxSettings))
		return
	}
	r.settings = append(r.settings, setting{r.filter, name, value, src})
}

// section takes a line such as [pi4]. A filter replaces one of its own kind
// and adds to those of other kinds, until [all] ends them.
func (r *reader) section(src boot.Source, line string) {
	name, ok := strings.CutSuffix(line[1:], "]")
	switch {
	case !ok:
		r.notes.Add(src, fmt.Sprintf("%s has no ]: the line is skipped.", boot.Quote(line)))
	case name == "all":
		r.filter = filter{}
	case name == "none" || isModel(name):
		r.filter.model = name
		if name != "none" && !slices.Contains(r.models, name) && len(r.models) < maxModels {
			r.models = append(r.models, name)
		}
	default:
		// Of several conditions that cannot be evaluated, one that is not met is enough.
		r.filter.other = line
	}
}

// isModel reports whether a filter is about the model of Pi.
func isModel(name string) bool {
	return strings.HasPrefix(name, "pi") || strings.HasPrefix(name, "cm") || strings.HasPrefix(name, "board-type=")
}

// includes reports whether a machine that meets the model filter m meets also
// the filter of a setting.
func (f filter) includes(m string) bool {
	if f.other != "" {
		return false
	}
	switch f.model {
	case "", m:
		return true
	case "pi0":
		return m == "pi0w" || m == "pi02"
	case "pi3":
		return m == "pi3+"
	case "pi4":
		return m == "pi400" || m == "cm4" || m == "cm4s"
	case "pi5":
		return m == "pi500" || m == "cm5"
	}
	return false
}

// include reads another file in place of the line. Alpine includes usercfg.txt,
// which need not exist.
func (r *reader) include(src boot.Source, name string) {
	file := fspath.InsideDOS(name)
	switch {
	case slices.Contains(r.stack, file):
		r.notes.Add(src, fmt.Sprintf("%s includes itself: the line is skipped.", boot.Quote(name)))
	case len(r.stack) >= maxDepth:
		r.notes.Add(src, fmt.Sprintf("Files are included more than %d deep: the line is skipped.", maxDepth))
	default:
		if err := r.file(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.notes.Add(src, fmt.Sprintf("The included file %s cannot be used: %v.", boot.Quote(name), err))
		}
	}
}

func exists(fsys fs.FS, name string) bool {
	st, err := fs.Stat(fsys, name)
	return err == nil && st.Mode().IsRegular()
}
