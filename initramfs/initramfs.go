// Package initramfs holds what goes into the image, for mkpayload: the list of
// commands, the list of kernel modules, and the kernel configurations.
package initramfs

import (
	"bufio"
	"embed"
	"fmt"
	"strings"
)

// commands is apart, as the image holds it and not the files.
//
//go:embed commands.txt
var commands string

//go:embed modules.txt kernel/*.config
var files embed.FS

// Command is a Go command in the image.
type Command struct {
	Path    string // its import path
	Summary string // what it does
}

// Commands returns the import paths of the Go commands in the image; see [List].
func Commands(module string, minimal bool) []string {
	var paths []string
	for _, c := range List(module, minimal) {
		paths = append(paths, c.Path)
	}
	return paths
}

// List returns the Go commands in the image, the minimal ones first; module is
// the import path that stands for "." in the list.
func List(module string, minimal bool) []Command {
	var list []Command
	for line := range strings.Lines(commands) {
		path, summary, _ := strings.Cut(line, "#")
		path = strings.TrimSpace(path)
		summary, _, _ = strings.Cut(summary, "#")
		switch own, ok := strings.CutPrefix(path, "./"); {
		case path == "" || path == "[minimal]":
			continue
		case path == "[shell]":
			if minimal {
				return list
			}
			continue
		case ok:
			path = module + "/" + own
		default:
			path = "github.com/u-root/u-root/cmds/" + strings.TrimPrefix(path, "u-root/")
		}
		list = append(list, Command{path, strings.TrimSpace(summary)})
	}
	return list
}

// ModuleRule is one line of the list of kernel modules.
type ModuleRule struct {
	Pattern string // path below kernel/ without .ko, as [path.Match] takes it
	Always  bool   // load it at the start, whatever the hardware
}

// Modules returns the rules for which modules of a distribution's kernel go
// into the image.
func Modules() []ModuleRule {
	var list []ModuleRule
	for _, line := range lines("modules.txt") {
		pattern, always := strings.CutPrefix(line, "+")
		list = append(list, ModuleRule{Pattern: pattern, Always: always})
	}
	return list
}

// KernelConfig returns the fragment of the menu kernel's configuration for x86_64
// or arm64: what all have in common, and the processor's own.
func KernelConfig(arch string) (string, error) {
	own, err := files.ReadFile("kernel/" + arch + ".config")
	if err != nil {
		return "", fmt.Errorf("there is no kernel configuration for %q", arch)
	}
	all, err := files.ReadFile("kernel/common.config")
	return string(all) + "\n" + string(own), err
}

// lines returns the lines of an embedded list, without comments.
func lines(name string) []string {
	f, err := files.Open(name)
	if err != nil {
		panic(err) // the compiler embedded it
	}
	defer f.Close()
	var list []string
	for s := bufio.NewScanner(f); s.Scan(); {
		line, _, _ := strings.Cut(s.Text(), "#")
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}
