package settings

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot/boottest"
)

// The list in the documentation is the table that settings are read by.
func TestDocumentation(t *testing.T) {
	const file = "../../docs/settings.md"
	const begin, end = "<!-- settings: written by go test ./boot/settings -update -->\n", "<!-- /settings -->"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	from, to := strings.Index(page, begin)+len(begin), strings.Index(page, end)
	if from < len(begin) || to < from {
		t.Fatalf("%s has no place for the settings", file)
	}
	var list strings.Builder
	for _, f := range allSettings(t) {
		def := "nothing"
		if f.def != "" {
			def = "`" + f.def + "`"
		}
		fmt.Fprintf(&list, "### %s\n\n%s\n\n- takes %s\n- without it: %s\n", f.name, f.help, f.takes, def)
		if f.volume {
			list.WriteString("- *volume*\n")
		}
		list.WriteString("\n")
	}
	want := page[:from] + list.String() + page[to:]
	if boottest.Update() {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, page); d != "" {
		t.Errorf("%s is not that of the table; go test ./boot/settings -update rewrites it (-want +got):\n%s", file, d)
	}
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
