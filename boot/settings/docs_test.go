package settings

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot/boottest"
)

// The table in the documentation is the one that settings are read by.
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
	var table strings.Builder
	table.WriteString("| name | takes | without it | means |\n|---|---|---|---|\n")
	for _, f := range allSettings(t) {
		def := "nothing"
		if f.def != "" {
			def = "`" + f.def + "`"
		}
		from := ""
		if f.volume {
			from = " *volume*"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s%s |\n", f.name, f.takes, def, f.help, from)
	}
	want := page[:from] + table.String() + page[to:]
	if boottest.Update() {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, page); d != "" {
		t.Errorf("%s is not what the table says; go test ./boot/settings -update writes it anew (-want +got):\n%s", file, d)
	}
}

// allSettings gives the table, whose lines must be complete and tell their
// names apart.
func allSettings(t *testing.T) []setting {
	seen := map[string]bool{}
	for _, f := range table() {
		if f.takes == "" || !strings.HasSuffix(f.help, ".") || seen[f.name] || strings.Contains(f.takes+f.help, "|") {
			t.Errorf("%s: the line of the table is not complete, or there twice", f.name)
		}
		seen[f.name] = true
	}
	return table()
}
