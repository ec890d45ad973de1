package install

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/esp"
	"github.com/alpboot/alpboot/boot/version"
)

// beside makes alpboot the entry that another boot loader starts.
func (s Setup) beside(c *config, p program, update bool, out payload.Output) error {
	if s.Try || s.Removable {
		return fmt.Errorf("--try and --removable are for UEFI: in %s's menu every other entry stays", c.loader.name)
	}
	if s.DryRun {
		c.rehearse(out)
	}
	old, err := esp.Read(c.files, c.name)
	if err != nil {
		return err
	}
	before, was, err := without(string(old))
	if err != nil {
		return c.unknown(err)
	}
	if !was {
		if why := c.protected(c.all(before)); why != "" && !s.Force {
			return fmt.Errorf("%s is left alone: %s; with --force alpboot is added all the same, and its menu asks for none", c.path(), why)
		}
		if file := c.enrolled(); file != "" {
			return fmt.Errorf("%s is left alone: %s holds its checksum, and would start nothing once it has changed", c.path(), file)
		}
	}
	if update {
		if err := s.notOlder(p.file, p.image.version, versionIn(string(old))); err != nil {
			return err
		}
	}
	text := c.add(before, c.onDisk(), p.image)
	if old == nil || strings.Contains(string(old), begin+made+"\n") {
		text = strings.Replace(text, begin, begin+made, 1)
	}

	// What the loader would make of it, before anything is changed.
	as := map[string][]byte{c.name: []byte(before)}
	listBefore, err := c.list(as)
	if err != nil {
		return err
	}
	as[c.name] = []byte(text)
	for name, b := range p.data {
		as[path.Join(Dir, name)] = b
	}
	listAfter, err := c.list(as)
	if err != nil {
		return err
	}
	if err := checkAdded(listBefore, listAfter, c.rel, p.image); err != nil {
		return fmt.Errorf("%s is written in a way to which alpboot cannot be added (%w); nothing was changed", c.path(), err)
	}
	_, besides := starts(listAfter.Entries)

	missing, err := putImages(c.files, p.data)
	if err != nil {
		return err
	}
	same := string(old) == text && !missing
	if err := replace(c.files, c.name, c.name+tempEnding, []byte(text)); err != nil {
		return err
	}
	if files := c.generator(); files != nil {
		if s.DryRun {
			files = rehearsal(files, out)
		}
		if err := replace(files, snippet, snippetTemp, []byte(extlinuxLabel(p.image, true))); err != nil {
			return fmt.Errorf("update-extlinux would leave alpboot out: %w", err)
		}
	}
	if err := dropImages(c.files, p.image.names()); err != nil {
		return err
	}

	name := strings.TrimSpace("alpboot " + p.image.version)
	next := "what it lists"
	if besides != nil {
		next = boot.Visible(besides.Name()) + " unless somebody chooses"
	}
	switch {
	case s.DryRun:
		out.Printf("These lines would be in %s:\n", c.path())
		for line := range strings.Lines(added(text)) {
			out.Printf("  %s\n", strings.TrimRight(line, "\n"))
		}
		out.Printf("%s would be the first that %s starts, and its menu would boot %s.\n", name, c.loader.name, next)
		return nil
	case same && update:
		out.Printf("%s is %s, which is in %s already: nothing newer is there.\n", p.file, name, c.path())
		return nil
	}
	out.Printf("%s is what %s starts by %s. The next start shows its menu, which boots %s; every entry of %s stays in the menu of %s. alpboot uninstall undoes this.\n",
		name, c.loader.name, c.path(), next, c.loader.name, c.loader.name)
	return nil
}

// takeAway undoes beside.
func (s Setup) takeAway(c *config, out payload.Output) error {
	if s.DryRun {
		c.rehearse(out)
	}
	old, err := esp.Read(c.files, c.name)
	if err != nil {
		return err
	}
	before, _, err := without(string(old))
	if err != nil {
		return c.unknown(err)
	}
	list, err := c.list(map[string][]byte{c.name: []byte(before)})
	if !s.Force {
		if err != nil {
			return fmt.Errorf("what is left without alpboot: %w; --force uninstalls all the same", err)
		}
		if !c.bootable(list) {
			return fmt.Errorf("nothing of what is left in %s can be booted: repair it first, or use --force", c.path())
		}
	}
	if files := c.generator(); files != nil {
		if s.DryRun {
			files = rehearsal(files, out)
		}
		if b, err := esp.Read(files, snippet); err != nil {
			return err
		} else if b != nil {
			if err := esp.Remove(files, snippet); err != nil {
				return err
			}
		}
	}
	if before == "" && strings.Contains(string(old), begin+made) {
		err = esp.Remove(c.files, c.name)
	} else {
		err = replace(c.files, c.name, c.name+tempEnding, []byte(before))
	}
	if err != nil {
		return err
	}
	if err := dropImages(c.files, nil); err != nil {
		return err
	}
	first, _ := starts(list.Entries)
	next := "what its menu has first"
	if first != nil {
		next = boot.Visible(first.Name())
	}
	if s.DryRun {
		out.Printf("%s would start %s.\n", c.loader.name, next)
		return nil
	}
	out.Printf("alpboot is gone from %s, which is as it was before. At the next start %s starts %s. alpboot install brings alpboot back.\n", c.path(), c.loader.name, next)
	return nil
}

func (c *config) unknown(err error) error {
	return fmt.Errorf("%s: %w since alpboot install wrote it: remove the lines about alpboot by hand", c.path(), err)
}

// tempEnding is what the name of a configuration ends in while it is written.
const tempEnding = ".alpboot-new"

// added returns the lines of a configuration that without takes away.
func added(text string) string {
	var b strings.Builder
	in := false
	for line := range strings.Lines(text) {
		in = in || strings.HasPrefix(line, begin)
		if in {
			b.WriteString(line)
		}
		in = in && strings.TrimRight(line, "\r\n") != end
	}
	return b.String()
}

// bootable reports whether one of the entries can be booted, as far as its files go.
func (c *config) bootable(l boot.Listing) bool {
	fsys := c.over(nil)
	for _, e := range l.Entries {
		if e.IsOwn() || e.Problem != "" {
			continue
		}
		whole := true
		for _, f := range append([]string{e.Kernel}, e.Initrds...) {
			_, err := fs.Stat(fsys, f)
			whole = whole && (err == nil || e.Volume != boot.Volume{})
		}
		if whole {
			return true
		}
	}
	return false
}

// all returns the text of the whole configuration, as far as it is in dir.
func (c *config) all(text string) string {
	if c.loader.name == "grub" && c.name != "grub.cfg" {
		b, _ := os.ReadFile(filepath.Join(c.dir, "grub.cfg")) // it was read before
		return string(b) + text
	}
	return text
}

// enrolledSum is where limine keeps the checksum that its configuration must have;
// it is all zeros where it has none.
var enrolledSum = regexp.MustCompile(`\+\+CONFIG_B2SUM_SIGNATURE\+\+0*[1-9a-f]`)

// enrolled returns the file of limine that holds the checksum of the configuration;
// "" when none does.
func (c *config) enrolled() string {
	if c.loader.name != "limine" {
		return ""
	}
	for _, dir := range []string{"", "boot", "limine", "boot/limine"} {
		for _, name := range []string{"limine-bios.sys", "limine.sys"} {
			file := filepath.Join(c.m.path(c.mount.Point), dir, name)
			if b, err := os.ReadFile(file); err == nil && enrolledSum.Match(b) {
				return file
			}
		}
	}
	return ""
}

// What Alpine's update-extlinux adds to each extlinux.conf that it writes: every file
// of that directory.
const (
	snippet     = "update-extlinux.d/alpboot.conf"
	snippetTemp = "update-extlinux.alpboot-new" // not in that directory
)

// generator returns the files of /etc, where extlinux.conf is written by Alpine's
// update-extlinux; nil where it is not.
func (c *config) generator() Files {
	if c.loader.name != "extlinux" || c.name != "extlinux.conf" {
		return nil
	}
	if main, err := filepath.EvalSymlinks(c.m.path("boot")); err != nil || main != c.dir {
		return nil
	}
	if _, err := os.Stat(c.m.path("etc/update-extlinux.conf")); err != nil {
		return nil
	}
	return c.m.Open(c.m.path("etc"))
}

// release is a version that has an order.
var release = regexp.MustCompile(`^v?[0-9]+(\.[0-9]+)+`)

// notOlder refuses an older release in place of a newer one.
func (s Setup) notOlder(file, replacement, installed string) error {
	if s.Force || !release.MatchString(replacement) || !release.MatchString(installed) || version.Compare(replacement, installed) >= 0 {
		return nil
	}
	return fmt.Errorf("%s is alpboot %s, and %s is installed: --force goes back to the older one", file, replacement, installed)
}

// rehearse has what would be done reported, and not done.
func (c *config) rehearse(out payload.Output) {
	out.Printf("In %s:\n", c.dir)
	c.files = rehearsal(c.files, out)
}

// rehearsed are files to which nothing is done.
type rehearsed struct{ esp.Files }

func rehearsal(files Files, out payload.Output) Files { return rehearsed{esp.Rehearse(files, out)} }

// Like implements [Files].
func (rehearsed) Like(string, string) error { return nil }
