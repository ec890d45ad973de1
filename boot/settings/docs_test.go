package settings

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot/boottest"
)

// The lists in the documentation are the table that settings are read by.
func TestDocumentation(t *testing.T) {
	for _, tt := range []struct {
		file, begin, end string
		item             func(f setting) string
	}{
		{"../../docs/settings.md", "<!-- settings: written by go test ./boot/settings -update -->\n", "<!-- /settings -->", markdown},
		{"../../docs/alpboot.conf.5", ".\\\" settings: written by go test ./boot/settings -update\n", ".\\\" /settings\n", mdoc},
	} {
		b, err := os.ReadFile(tt.file)
		if err != nil {
			t.Fatal(err)
		}
		page := string(b)
		head, rest, ok := strings.Cut(page, tt.begin)
		_, tail, closed := strings.Cut(rest, tt.end)
		if !ok || !closed {
			t.Fatalf("%s has no place for the settings", tt.file)
		}
		var list strings.Builder
		for _, f := range allSettings(t) {
			list.WriteString(tt.item(f))
		}
		want := head + tt.begin + list.String() + tt.end + tail
		if boottest.Update() {
			if err := os.WriteFile(tt.file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if d := cmp.Diff(want, page); d != "" {
			t.Errorf("%s is not that of the table; go test ./boot/settings -update rewrites it (-want +got):\n%s", tt.file, d)
		}
	}
}

func markdown(f setting) string {
	def := "nothing"
	if f.def != "" {
		def = "`" + f.def + "`"
	}
	text := fmt.Sprintf("### %s\n\n%s\n\n- takes %s\n- without it: %s\n", f.name, f.help, f.takes, def)
	switch {
	case f.volume:
		text += "- *volume*\n"
	case f.image:
		text += "- *image*\n"
	}
	return text + "\n"
}

// mdoc returns the item of a manual page, each sentence on a line of its own.
func mdoc(f setting) string {
	text := fmt.Sprintf(".It Cm %s\n%s\nTakes %s.\n", f.name, strings.ReplaceAll(f.help, ". ", ".\n"), f.takes)
	if f.def != "" {
		text += fmt.Sprintf("Without it:\n.Li \"%s\" .\n", f.def)
	}
	switch {
	case f.volume:
		text += "Volume.\n"
	case f.image:
		text += "Image.\n"
	}
	return text
}

// allSettings returns the table, whose lines must be complete and have their
// names apart.
func allSettings(t *testing.T) []setting {
	seen := map[string]bool{}
	for _, f := range table() {
		if f.takes == "" || !strings.HasSuffix(f.help, ".") || seen[f.name] {
			t.Errorf("%s: the line of the table is not complete, or there twice", f.name)
		}
		seen[f.name] = true
	}
	return table()
}
