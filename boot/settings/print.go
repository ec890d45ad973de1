package settings

import (
	"fmt"
	"io"
	"strings"
)

// Print writes every setting with its value and where that comes from, then
// what could not be understood. What it writes is a file of settings.
func (s Settings) Print(w io.Writer) error {
	var b strings.Builder
	for _, f := range table() {
		fmt.Fprintf(&b, "%-40s # %s\n", f.name+" = "+quoted(f.get(&s)), s.sources[f.name])
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

// quoted gives v as [Settings.readFile] takes it.
func quoted(v string) string {
	if v != "" && !strings.ContainsAny(v[:1], "\"'#") && !strings.Contains(v, " #") {
		return v
	}
	if strings.Contains(v, `"`) {
		return "'" + v + "'"
	}
	return `"` + v + `"`
}
