package cmdline

import (
	"slices"
	"strings"
)

// Consoles is what happens to the console= parameters of a command line.
type Consoles int

const (
	KeepConsoles    Consoles = iota // they stay as they are
	AddConsoles                     // ours come before them: the target's /dev/console stays the same
	ReplaceConsoles                 // ours take their place: the last of ours is /dev/console
)

// WithConsoles returns l with consoles of ours, values of console= such as
// ttyS0,115200. A device that l has a console= for is not added again.
func (l Line) WithConsoles(policy Consoles, ours ...string) Line {
	kernel, init := l.Split()
	first := slices.IndexFunc(kernel, isConsole)
	if first < 0 {
		first = len(kernel)
	}
	if policy == ReplaceConsoles && len(ours) > 0 {
		kernel = slices.DeleteFunc(slices.Clone(kernel), isConsole)
	}
	var named []string
	for _, value := range kernel.All("console") {
		named = append(named, ConsoleDevice(value))
	}
	var add Line
	for _, c := range ours {
		if device := ConsoleDevice(c); policy != KeepConsoles && !slices.Contains(named, device) {
			add = append(add, "console="+c)
			named = append(named, device)
		}
	}
	return slices.Concat(kernel[:first], add, kernel[first:], init)
}

func isConsole(word string) bool {
	name, _, _ := Cut(word)
	return name == "console"
}

// ConsoleDevice returns the device in a value of console=: ttyS0 of
// ttyS0,115200.
func ConsoleDevice(value string) string {
	name, _, _ := strings.Cut(value, ",")
	return name
}
