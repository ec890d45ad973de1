package bare

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
)

// loaderLine returns the command line that the configuration of LILO, ELILO or
// Armbian has for the kernel of that name in the directory dir, and which file that
// is; root is the directory of the root filesystem around it. "" when none has one
// with a root=.
func loaderLine(fsys fs.FS, root, dir, name string) (line, from string) {
	for _, source := range []struct {
		file string
		line func(text, kernel string) string
	}{
		{path.Join(dir, "armbianEnv.txt"), armbianLine},
		{path.Join(dir, "elilo.conf"), liloLine},
		{path.Join(root, "etc/lilo.conf"), liloLine},
	} {
		b, err := boot.ReadFile(fsys, source.file, maxConfig)
		if err != nil {
			continue // it is not there, or as good as that
		}
		l := cmdline.Parse(source.line(string(b), name))
		if v, _ := l.Get("root"); v != "" && len(l.String()) <= maxValue {
			return l.String(), "/" + source.file
		}
	}
	return "", ""
}

// armbianLine puts the words together as Armbian's boot.scr does (config/bootscripts
// in armbian/build), but for its consoles, which hang on the board.
func armbianLine(text, _ string) string {
	env := map[string]string{"rootfstype": "ext4", "verbosity": "1"}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			env[key] = value
		}
	}
	if env["rootdev"] == "" {
		return ""
	}
	line := "root=" + env["rootdev"] + " rootwait rootfstype=" + env["rootfstype"] + " loglevel=" + env["verbosity"]
	if env["usbstoragequirks"] != "" {
		line += " usb-storage.quirks=" + env["usbstoragequirks"]
	}
	return line + " " + env["extraargs"]
}

// liloLine reads lilo.conf(5), whose language elilo.conf shares: options in front of
// the first image= are for all. A kernel that no image= names gets the line of the
// default one, which is often named by a link.
func liloLine(text, kernel string) string {
	global := map[string]string{}
	images := []map[string]string{}
	at := global
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		key, value, _ := strings.Cut(line, "=")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.Trim(strings.TrimSpace(value), `"'`)
		if key == "image" || key == "other" {
			at = map[string]string{}
			images = append(images, at)
		}
		at[key] = value
	}
	images = slices.DeleteFunc(images, func(i map[string]string) bool { return i["image"] == "" })
	if len(images) == 0 {
		return ""
	}
	n := slices.IndexFunc(images, func(i map[string]string) bool { return path.Base(i["image"]) == kernel })
	if n < 0 {
		n = max(0, slices.IndexFunc(images, func(i map[string]string) bool { return global["default"] != "" && i["label"] == global["default"] }))
	}
	get := func(key string) string {
		if value, ok := images[n][key]; ok {
			return value
		}
		return global[key]
	}
	line := ""
	if root := get("root"); root != "" && root != "current" {
		line = "root=" + root
	}
	for _, mode := range []string{"read-only", "read-write"} {
		_, own := images[n][mode]
		if _, all := global[mode]; own || all {
			line += map[string]string{"read-only": " ro", "read-write": " rw"}[mode]
		}
	}
	return line + " " + get("append") + " " + images[n]["addappend"]
}

// configure returns e with the command line of another boot loader, if one has it.
func (p pair) configure(e boot.Entry, fsys fs.FS, root, dir string) boot.Entry {
	line, from := loaderLine(fsys, root, dir, p.kernel)
	if line == "" || e.Problem != "" && e.Problem != noRoot {
		return e
	}
	e.Cmdline, e.Problem = line, ""
	e.Notes = []string{"Its command line is the one of " + boot.Clean(from) + "."}
	return e
}
