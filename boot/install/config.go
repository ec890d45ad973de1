package install

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/extlinux"
	"github.com/alpboot/alpboot/boot/format/grub"
	"github.com/alpboot/alpboot/boot/format/limine"
)

// A loader is another boot loader, in whose configuration alpboot is the entry that
// starts next.
type loader struct {
	name   string
	files  []string // where its configuration may be, from the root of the system
	format boot.Format
	// add returns the text of a configuration with alpboot in it. dir is the
	// directory of the configuration, from the root of its filesystem.
	add func(text, dir string, im image) string
}

// loaders are those that are known, by the names that --loader takes.
func loaders() []loader {
	return []loader{
		{"extlinux", []string{"boot/extlinux.conf", "boot/extlinux/extlinux.conf", "boot/syslinux/syslinux.cfg", "boot/syslinux/extlinux.conf", "boot/syslinux.cfg"}, extlinux.Format(), addExtlinux},
		{"grub", []string{"boot/grub/grub.cfg", "boot/grub2/grub.cfg"}, grub.Format(), addGRUB},
		{"limine", []string{"boot/limine/limine.conf", "boot/limine.conf", "limine/limine.conf", "limine.conf"}, limine.Format(), addLimine},
	}
}

func loaderNames() string {
	var names []string
	for _, l := range loaders() {
		names = append(names, l.name)
	}
	return strings.Join(names, ", ")
}

// An image is what a loader starts: files in the directory Dir beside its
// configuration, and a command line.
type image struct {
	kernel, initramfs string // names; initramfs is "" where the kernel has one built in
	cmdline           string
	version           string // of alpboot; "" where it is not known
}

func (im image) names() []string {
	names := []string{im.kernel}
	if im.initramfs != "" {
		names = append(names, im.initramfs)
	}
	return names
}

// Dir is the directory beside a loader's configuration with what it starts. On
// /boot it is the one that has kept kernels too.
const Dir = "alpboot"

// What is added to a configuration stands between these lines. Made is in the first
// one where the file was not there before.
const (
	begin = "# alpboot: from here on by alpboot install, which alpboot uninstall removes"
	made  = " (the file, too)"
	end   = "# alpboot: up to here"
)

// versionLine begins a line of it, too.
const versionLine = "# version "

// block returns lines as they are added to a configuration.
func (im image) block(lines ...string) string {
	if im.version != "" {
		lines = append([]string{versionLine + im.version}, lines...)
	}
	return begin + "\n" + strings.Join(append(lines, end), "\n") + "\n"
}

// versionIn returns the version of alpboot that a configuration names.
func versionIn(text string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, versionLine); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// appended returns text with a block at its end. That text may lack a newline there;
// then so does the block, by which without knows it.
func appended(text, block string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		return text + "\n" + strings.TrimSuffix(block, "\n")
	}
	return text + block
}

// without returns the text of a configuration as it was before anything was added,
// and whether something was.
func without(text string) (before string, found bool, err error) {
	var b strings.Builder
	for rest := text; rest != ""; {
		line, after, _ := strings.Cut(rest, "\n")
		switch {
		case !strings.HasPrefix(line, begin):
			b.WriteString(rest[:len(rest)-len(after)])
			rest = after
			continue
		case strings.TrimRight(line, "\r") != begin && strings.TrimRight(line, "\r") != begin+made:
			return "", false, fmt.Errorf("the line %q was changed", line)
		}
		found = true
		for line != end {
			if rest = after; rest == "" {
				return "", false, fmt.Errorf("the line %q is missing", end)
			}
			line, after, _ = strings.Cut(rest, "\n")
			line = strings.TrimRight(line, "\r")
		}
		if rest == end { // no newline: it came with the block
			before, _ := strings.CutSuffix(b.String(), "\n")
			return before, true, nil
		}
		rest = after
	}
	return b.String(), found, nil
}

// addExtlinux makes alpboot the entry that its menu starts. A module that shows the
// menu goes by MENU DEFAULT, and unattended by ONTIMEOUT; without one it is DEFAULT
// that counts, which must stay where it names that module.
func addExtlinux(text, _ string, im image) string {
	menu := false
	for line := range strings.Lines(text) {
		switch words := strings.Fields(line); {
		case len(words) < 2:
		case strings.EqualFold(words[0], "UI"):
			menu = true
		case strings.EqualFold(words[0], "DEFAULT"):
			menu = menu || strings.HasSuffix(strings.ToLower(words[1]), ".c32")
		}
	}
	return appended(text, extlinuxLabel(im, menu))
}

// extlinuxLabel is what is added, for a configuration that shows a menu or not.
func extlinuxLabel(im image, menu bool) string {
	lines := []string{
		"LABEL " + boot.OwnTitle,
		"  MENU DEFAULT",
		"  MENU LABEL " + boot.OwnTitle,
		"  LINUX " + Dir + "/" + im.kernel,
	}
	if im.initramfs != "" {
		lines = append(lines, "  INITRD "+Dir+"/"+im.initramfs)
	}
	cmdline := im.cmdline
	if cmdline == "" {
		cmdline = "-" // not the one for all labels
	}
	lines = append(lines, "  APPEND "+cmdline, "ONTIMEOUT "+boot.OwnTitle)
	if !menu {
		lines = append(lines, "DEFAULT "+boot.OwnTitle)
	}
	return im.block(lines...)
}

// addGRUB adds to a script of GRUB's what makes alpboot its default. What was the
// default before is tried when alpboot cannot be loaded, and is what alpboot goes by
// (variable alpboot_before). Where the files are gone, nothing is changed.
func addGRUB(text, _ string, im image) string {
	file := func(name string) string { return `"$prefix/` + Dir + "/" + name + `"` }
	test := "if [ -f " + file(im.kernel) + " ]; then"
	load := []string{strings.TrimRight("\t\tlinux "+file(im.kernel)+" "+im.cmdline, " ")}
	if im.initramfs != "" {
		test = "if [ -f " + file(im.kernel) + " -a -f " + file(im.initramfs) + " ]; then"
		load = append(load, "\t\tinitrd "+file(im.initramfs))
	}
	lines := append([]string{test, "\tmenuentry '" + boot.OwnTitle + "' --id " + boot.OwnTitle + " {"}, load...)
	lines = append(lines,
		"\t}",
		`	if [ "$boot_once" != true ]; then`,
		`		set alpboot_before="$default"`,
		`		if [ -z "$fallback" ]; then`,
		`			set fallback="$default"`,
		"\t\tfi",
		"\t\tset default="+boot.OwnTitle,
		"\tfi",
		"fi")
	return appended(text, im.block(lines...))
}

// addLimine adds alpboot as the first entry, before which all settings have to be.
// Of two settings of one name Limine goes by the first.
func addLimine(text, dir string, im image) string {
	file := func(name string) string { return "boot():/" + path.Join(dir, Dir, name) }
	entry := []string{"/" + boot.OwnTitle, "    protocol: linux", "    kernel_path: " + file(im.kernel)}
	if im.initramfs != "" {
		entry = append(entry, "    module_path: "+file(im.initramfs))
	}
	if im.cmdline != "" {
		entry = append(entry, "    kernel_cmdline: "+im.cmdline)
	}
	at := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimLeft(line, " \t"), "/") {
			break
		}
		at += len(line)
	}
	return image{}.block("default_entry: 1") + appended(text[:at], im.block(entry...)) + text[at:]
}

// starts returns what a loader would start from a configuration by itself, and what
// it would if alpboot were not in it; nil where none is named.
func starts(entries []boot.Entry) (first, besides *boot.Entry) {
	for i := range entries {
		switch e := &entries[i]; {
		case !e.Default:
		case e.IsOwn():
			first = e
		default:
			besides = e
		}
	}
	if first == nil {
		first = besides
	}
	return first, besides
}

// checkAdded checks a configuration by what alpboot's own parser makes of it: im
// starts, and everything else is as before.
func checkAdded(before, after boot.Listing, dir string, im image) error {
	first, _ := starts(after.Entries)
	want := path.Join(dir, Dir, im.kernel)
	switch {
	case first == nil || !first.IsOwn():
		return errors.New("another entry would start all the same")
	case first.Problem != "" || first.Kernel != want:
		return fmt.Errorf("it would start %s instead of %s: %s", first.Kernel, want, first.Problem)
	}
	return checkOthers(before, after)
}

// checkOthers checks that all entries but alpboot's are the same.
func checkOthers(before, after boot.Listing) error {
	essence := func(l boot.Listing) (list []string) {
		for _, e := range l.Entries {
			if !e.IsOwn() {
				list = append(list, fmt.Sprintf("%q", []any{e.Title, e.Submenu, e.Kernel, e.Initrds, e.Cmdline, e.Default, e.Problem, e.Once}))
			}
		}
		return list
	}
	if !slices.Equal(essence(before), essence(after)) {
		return errors.New("other entries would change")
	}
	return nil
}

// protected returns why a configuration is left alone, as whoever made it has
// protected it; "" when it is not.
func (l loader) protected(text string) string {
	for line := range strings.Lines(text) {
		words := strings.Fields(strings.ToLower(line))
		switch {
		case l.name == "grub" && strings.Contains(line, "superusers") && !strings.HasPrefix(strings.TrimSpace(line), "#"):
			return "its menu asks for a password (superusers)"
		case l.name == "extlinux" && len(words) > 2 && words[0] == "menu" && words[1] == "master" && words[2] == "passwd":
			return "its menu asks for a password (MENU MASTER PASSWD)"
		case l.name == "limine" && len(words) > 1 && words[0] == "remember_last_entry:" && words[1] == "yes":
			return "it starts what was started last (remember_last_entry)"
		}
	}
	return ""
}
