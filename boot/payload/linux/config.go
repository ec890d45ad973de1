package linux

import (
	"fmt"
	"strings"
)

// option is one setting of a kernel configuration file.
type option struct {
	name  string // with CONFIG_
	value string // "n" for one that is not set
}

// parseOption reads a line "CONFIG_X=value" or "# CONFIG_X is not set"; ok is
// false for any other.
func parseOption(line string) (o option, ok bool) {
	line = strings.TrimSpace(line)
	if rest, found := strings.CutPrefix(line, "# "); found {
		name, found := strings.CutSuffix(rest, " is not set")
		return option{name, "n"}, found && isOptionName(name)
	}
	name, value, found := strings.Cut(line, "=")
	return option{name, value}, found && isOptionName(name)
}

func isOptionName(s string) bool {
	return strings.HasPrefix(s, "CONFIG_") && !strings.ContainsAny(s, " \t#=")
}

func (o option) String() string {
	if o.value == "n" {
		return "# " + o.name + " is not set"
	}
	return o.name + "=" + o.value
}

// parseConfig returns the options of a configuration, in order.
func parseConfig(text string) []option {
	var list []option
	for line := range strings.Lines(text) {
		if o, ok := parseOption(line); ok {
			list = append(list, o)
		}
	}
	return list
}

// mergeConfig returns the options of base, overridden by those of fragment.
func mergeConfig(base, fragment string) string {
	over := make(map[string]bool)
	for _, o := range parseConfig(fragment) {
		over[o.name] = true
	}
	var b strings.Builder
	for _, o := range parseConfig(base) {
		if !over[o.name] {
			fmt.Fprintln(&b, o)
		}
	}
	for _, o := range parseConfig(fragment) {
		fmt.Fprintln(&b, o)
	}
	return b.String()
}

// refusedOptions returns the options of fragment that result does not have as
// asked for, each with what it has instead.
func refusedOptions(fragment, result string) []string {
	have := make(map[string]string)
	for _, o := range parseConfig(result) {
		have[o.name] = o.value
	}
	var refused []string
	for _, o := range parseConfig(fragment) {
		got, ok := have[o.name]
		switch {
		case got == o.value, !ok && o.value == "n":
		case !ok:
			refused = append(refused, fmt.Sprintf("%s: is not there at all", o))
		default:
			refused = append(refused, fmt.Sprintf("%s: is %s", o, got))
		}
	}
	return refused
}

// packings are the options that decide how a kernel is packed, by the names that
// [Build.Compress] has for them.
var packings = map[string]string{"xz": "CONFIG_KERNEL_XZ", "zstd": "CONFIG_KERNEL_ZSTD"}

// packedBy returns the fragment of a kernel that is packed in another way, or as it
// is for "".
func packedBy(fragment, compress string) (string, error) {
	if compress == "" {
		return fragment, nil
	}
	name, ok := packings[compress]
	if !ok {
		return "", fmt.Errorf("unknown --compress %q: use xz or zstd", compress)
	}
	var b strings.Builder
	for line := range strings.Lines(fragment) {
		if o, ok := parseOption(line); ok && o.value == "y" && (o.name == packings["xz"] || o.name == packings["zstd"]) {
			line = name + "=y\n"
		}
		b.WriteString(line)
	}
	return b.String(), nil
}
