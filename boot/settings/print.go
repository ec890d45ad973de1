package settings

import (
	"fmt"
	"io"
	"strings"
)

// Value is one setting as it is in effect.
type Value struct {
	Name   string
	Value  string // as the setting takes it
	Source Source
}

// String returns v as a line of a file of settings.
func (v Value) String() string { return v.Name + " = " + quoted(v.Value) }

// Values returns all settings in the order of the documentation.
func (s Settings) Values() []Value {
	var all []Value
	for _, f := range table() {
		all = append(all, Value{f.name, f.get(&s), s.sources[f.name]})
	}
	return all
}

// Print writes every setting with its value and where that comes from, then
// what could not be understood. What it writes is a file of settings.
func (s Settings) Print(w io.Writer) error {
	var b strings.Builder
	for _, v := range s.Values() {
		fmt.Fprintf(&b, "%-40s # %s\n", v, v.Source)
	}
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "# %s\n", n)
	}
	if s.dropped > 0 {
		fmt.Fprintf(&b, "# %d more are left out.\n", s.dropped)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// quoted returns v as [Settings.readFile] takes it.
func quoted(v string) string {
	if v != "" && !strings.ContainsAny(v[:1], "\"'#") && !strings.Contains(v, " #") {
		return v
	}
	if strings.Contains(v, `"`) {
		return "'" + v + "'"
	}
	return `"` + v + `"`
}
