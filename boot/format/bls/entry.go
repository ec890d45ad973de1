package bls

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/format/efiprogram"
	"github.com/alpboot/alpboot/boot/kernel"
)

// conf is a text entry. The last line with a key counts, unless it is a list.
type conf struct {
	title, version, machineID, sortKey string
	linux, uki, ukiURL, efi            string
	initrds, options                   []string
	architecture                       string
	devicetrees                        []string // overlays among them
	profile                            string
	extras                             []string
}

func parseConf(text string) (c conf) {
	lines(text, func(_ int, key, value string) {
		switch key {
		case "title":
			c.title = value
		case "version":
			c.version = value
		case "machine-id":
			c.machineID = value
		case "sort-key":
			c.sortKey = value
		case "linux":
			c.linux = value
		case "uki":
			c.uki = value
		case "uki-url":
			c.ukiURL = value
		case "efi":
			c.efi = value
		case "initrd":
			c.initrds = append(c.initrds, value)
		case "options":
			c.options = append(c.options, value)
		case "architecture":
			c.architecture = value
		case "devicetree", "devicetree-overlay":
			c.devicetrees = append(c.devicetrees, value)
		case "profile":
			c.profile = value
		case "extra":
			c.extras = append(c.extras, value)
		}
	})
	return c
}

// goarch returns what Go calls an architecture of the EFI specification; "" when
// it is unknown.
func goarch(efi string) string {
	return map[string]string{"ia32": "386", "x64": "amd64", "arm": "arm", "aa64": "arm64", "riscv64": "riscv64", "loongarch64": "loong64"}[strings.ToLower(efi)]
}

// item returns the entry that a file holds, false if it starts nothing.
func (r *reader) item(b *Boot, lookup Lookup, file, text string) (Item, bool) {
	c := parseConf(text)
	it := Item{SortKey: c.sortKey, MachineID: c.machineID, Version: c.version}
	e := &it.Entry
	e.Format, e.Source, e.Title, e.Conf = "bls", boot.Source{File: file}, c.title, file
	problem := func(format string, args ...any) {
		if e.Problem == "" {
			e.Problem = fmt.Sprintf(format, args...)
		}
	}
	note := func(format string, args ...any) { e.Notes = append(e.Notes, fmt.Sprintf(format, args...)) }

	if c.architecture != "" && goarch(c.architecture) != runtime.GOARCH {
		problem("It is for %s, and this machine is %s.", boot.Clean(c.architecture), runtime.GOARCH)
	}
	image := cmp.Or(c.linux, c.uki, c.efi)
	switch {
	case image == "" && c.ukiURL != "":
		problem("Its unified kernel image is on the network: %s.", boot.Clean(c.ukiURL))
		return it, true
	case image == "":
		r.notes.Add(e.Source, "The file names nothing to boot (linux, uki or efi): it is left out.")
		return it, false
	}

	vars := &expansion{reader: r, lookup: lookup}
	var ok bool
	if e.Kernel, ok = b.locate(vars.expand(image)); !ok {
		problem("%s is not a file.", boot.Quote(image))
	}
	text = vars.expand(strings.Join(c.options, " "))
	if len(c.options) == 0 {
		text, _ = lookup("default_kernelopts")
	}
	options := cmdline.Parse(text)
	e.Cmdline = options.WithoutLoader().String()
	initrds := append(b.initrds(c, vars), options.Initrds()...)
	if len(initrds) > maxInitrds {
		problem("It names more than the %d initrds that alpboot reads.", maxInitrds)
		initrds = initrds[:maxInitrds]
	}
	for _, name := range initrds {
		switch f, ok := b.locate(name); {
		case !ok:
			problem("%s is not a file.", boot.Quote(name))
		case !slices.Contains(e.Initrds, f):
			e.Initrds = append(e.Initrds, f)
		}
	}
	if e.Kernel != "" {
		profile, ok := 0, true
		if c.profile != "" {
			profile, ok = number(c.profile)
		}
		in, unified, err := kernel.DescribeProfile(b.fsys, e.Kernel, profile)
		if !ok || errors.Is(err, kernel.ErrNoProfile) {
			problem("Its image has no profile %s.", boot.Clean(c.profile))
		}
		isProgram := in.Format == kernel.PE || in.Format == "" && (errors.Is(err, kernel.ErrNotKernel) || errors.Is(err, fs.ErrNotExist))
		e.UKI = in.Format == kernel.UnifiedImage
		switch {
		case unified != nil:
			if len(c.options) == 0 && text == "" {
				e.Cmdline = unified.Cmdline
			}
			e.Profile = profile
			e.Notes = append(e.Notes, unified.Notes()...)
			efiprogram.AddAddons(e, b.fsys, b.Dir)
		case isProgram && c.linux == "" && c.uki == "":
			problem("%s", efiprogram.Problem(e.Kernel))
		}
	}

	if e.Cmdline == "" && len(vars.unset) > 0 && !e.UKI {
		problem("Its command line is empty, because %s has no value.", boot.Clean("$"+strings.Join(vars.unset, " or $")))
	}
	if vars.tooLong {
		e.Initrds, e.Cmdline = nil, ""
		problem("With the values of its variables its configuration is longer than alpboot reads.")
	}
	if len(vars.unset) > 0 {
		note("Variables without a value are left out: %s.", boot.Clean("$"+strings.Join(vars.unset, ", $")))
	}
	if len(c.devicetrees) > 0 {
		note("Its device tree is not passed on (%s): the kernel gets the one that this machine runs with.", boot.Clean(strings.Join(c.devicetrees, ", ")))
	}
	if len(c.extras) > 0 {
		note("Its extra files are not passed on: %s.", boot.Clean(strings.Join(c.extras, ", ")))
	}
	return it, true
}

// initrds returns the names in the initrd lines of an entry, not many more than
// maxInitrds. A line is one name, or several with white space between them,
// as GRUB takes it.
func (b *Boot) initrds(c conf, vars *expansion) []string {
	var names []string
	for _, line := range c.initrds {
		if len(names) > maxInitrds {
			break
		}
		line = vars.expand(line)
		if file, ok := b.locate(line); ok && b.exists(file) {
			names = append(names, line)
		} else {
			names = append(names, strings.Fields(line)...)
		}
	}
	return names
}

// locate returns the path, from the root of the volume, of the file that an
// entry calls name; false if it can be none.
func (b *Boot) locate(name string) (file string, ok bool) {
	name = path.Clean("/" + strings.ReplaceAll(name, `\`, "/"))
	if name == "/" {
		return "", false
	}
	tries, up := []string{name[1:]}, ""
	for dir := range strings.SplitSeq(b.Dir, "/") { // outermost first
		up = path.Join(up, dir)
		tries = append(tries, path.Join(up, name))
	}
	tries = append(tries, path.Join(b.Dir, "boot", name))
	for _, t := range tries {
		if b.exists(t) {
			return t, true
		}
	}
	return tries[0], true
}

// exists reports whether there is a file of that path from the root of the
// volume. A link is enough: what it points to is for those who open it.
func (b *Boot) exists(file string) bool {
	_, err := fs.Lstat(b.fsys, file)
	return err == nil
}
