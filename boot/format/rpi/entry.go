package rpi

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/fspath"
)

// Kernels that the firmware takes when none is named, the ones of the newest
// models first.
var (
	own64 = [...]string{"kernel_2712.img", "kernel8.img"}
	own32 = [...]string{"kernel7l.img", "kernel7.img", "kernel.img"}
)

// entries returns what the models would start. Those that start the same share
// one entry.
func (r *reader) entries() []boot.Entry {
	list := r.entriesFor("")
	models := make([][]string, len(list)) // for which an entry is, if not for all
	forAll := len(list)
	for _, model := range r.models {
		for _, e := range r.entriesFor(model) {
			i := slices.IndexFunc(list, func(o boot.Entry) bool {
				return o.Kernel == e.Kernel && o.Cmdline == e.Cmdline && slices.Equal(o.Initrds, e.Initrds)
			})
			if i < 0 {
				i = len(list)
				list, models = append(list, e), append(models, nil)
			}
			models[i] = append(models[i], model)
		}
	}
	for i := range list {
		name := path.Base(list[i].Kernel)
		if i >= forAll {
			name += " for " + strings.Join(models[i], ", ")
		}
		list[i].Title = boot.Clean("Raspberry Pi (" + name + ")")
		list[i].Default = len(list) == 1
	}
	return list
}

// entriesFor returns what a model starts; "" is one that no section is about.
// There are several only when no kernel is named.
func (r *reader) entriesFor(model string) []boot.Entry {
	s := map[string]setting{}
	var trees []string
	for _, line := range r.settings {
		switch {
		case !line.includes(model):
		case line.name == "device_tree" || line.name == "dtoverlay" || line.name == "dtparam":
			if !slices.Contains(trees, line.name) {
				trees = append(trees, line.name)
			}
		default:
			s[line.name] = line // the last one counts
		}
	}
	prefix := s["os_prefix"].value
	if prefix == "" && s["upstream_kernel"].value == "1" {
		prefix = "upstream/"
	}
	kernels := []string{s["kernel"].value}
	if kernels[0] == "" {
		kernels = nil
		if s["arm_64bit"].value != "0" {
			kernels = append(kernels, own64[:]...)
		}
		if s["arm_64bit"].value != "1" {
			kernels = append(kernels, own32[:]...)
		}
	}
	var list []boot.Entry
	for _, kernel := range kernels {
		e := boot.Entry{Format: formatName, Source: s["kernel"].src}
		if e.Source.File == "" && r.hasConfig {
			e.Source.File = configFile
		}
		// The firmware ignores a prefix with which it finds no kernel.
		prefix := prefix
		if prefix != "" && !exists(r.fsys, locate(prefix, kernel)) {
			e.Notes = append(e.Notes, fmt.Sprintf("The prefix %s is left out, as there is no /%s.", boot.Quote(prefix), boot.Clean(locate(prefix, kernel))))
			prefix = ""
		}
		e.Kernel = locate(prefix, kernel)
		switch {
		case s["kernel"].value == "" && !exists(r.fsys, e.Kernel):
			continue
		case e.Kernel == ".":
			e.Kernel, e.Problem = "", fmt.Sprintf("%s is not a file.", boot.Quote(kernel))
		}
		r.addInitrds(&e, prefix, kernel, s["ramfsfile"].value, s["auto_initramfs"].value == "1")
		r.addCmdline(&e, prefix, s["cmdline"].value)
		if len(trees) > 0 {
			e.Notes = append(e.Notes, fmt.Sprintf("What its configuration has for the device tree (%s) is not acted on: the kernel gets the one that this machine runs with.", strings.Join(trees, ", ")))
		}
		list = append(list, e)
	}
	return list
}

// locate returns the path of a file: one that begins with / goes without the
// prefix, which need not be a directory.
func locate(prefix, name string) string {
	if strings.HasPrefix(name, "/") {
		return fspath.InsideDOS(name)
	}
	return fspath.InsideDOS(prefix + name)
}

// addInitrds sets the initrds: those that are named, else with auto_initramfs
// the one that is named after the kernel, initramfs8 after kernel8.img.
func (r *reader) addInitrds(e *boot.Entry, prefix, kernel, named string, auto bool) {
	if named == "" && auto {
		dir, base := path.Split(kernel)
		if rest, ok := strings.CutPrefix(base, "kernel"); ok {
			name := dir + "initramfs" + strings.TrimSuffix(rest, ".img")
			if exists(r.fsys, locate(prefix, name)) {
				named = name
			}
		}
	}
	for name := range strings.SplitSeq(named, ",") {
		file, problem := locate(prefix, name), ""
		switch {
		case name == "":
			continue
		case len(e.Initrds) == maxInitrds:
			problem = fmt.Sprintf("It names more than the %d initrds that alpboot reads.", maxInitrds)
		case file == ".":
			problem = fmt.Sprintf("%s is not a file.", boot.Quote(name))
		}
		if problem != "" {
			e.Problem = cmp.Or(e.Problem, problem)
			return
		}
		e.Initrds = append(e.Initrds, file)
	}
}

// addCmdline sets the command line, which is a file of one line.
func (r *reader) addCmdline(e *boot.Entry, prefix, name string) {
	if name == "" {
		name = cmdlineFile
	}
	file := locate(prefix, name)
	if !exists(r.fsys, file) {
		e.Notes = append(e.Notes, fmt.Sprintf("There is no /%s: its command line is empty.", boot.Clean(file)))
		return
	}
	b, err := boot.ReadFile(r.fsys, file, maxFile)
	if err != nil {
		if e.Problem == "" {
			e.Problem = fmt.Sprintf("Its command line /%s cannot be read: %v.", boot.Clean(file), err)
		}
		return
	}
	line, rest, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(string(b), "\ufeff")), "\n")
	e.Cmdline = strings.TrimSpace(boot.Plain(line))
	if strings.TrimSpace(rest) != "" {
		e.Notes = append(e.Notes, fmt.Sprintf("Only the first line of /%s counts.", boot.Clean(file)))
	}
}
