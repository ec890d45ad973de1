package menu

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
)

// The table of keys in the documentation is the one that the menu works by.
func TestDocumentedKeys(t *testing.T) {
	const file = "../../docs/reference.md"
	const begin, end = "<!-- keys: written by go test ./boot/menu -update -->\n", "<!-- /keys -->"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the keys", file)
	}
	var want strings.Builder
	want.WriteString("| where | key | does |\n|---|---|---|\n")
	for _, k := range Keys() {
		fmt.Fprintf(&want, "| %s | %s | %s |\n", k.Screen, strings.ReplaceAll(k.Keys, "|", `\|`), k.Help)
	}
	if boottest.Update() {
		if err := os.WriteFile(file, []byte(before+begin+want.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want.String() {
		t.Errorf("the keys in %s are not those of the menu; go test ./boot/menu -update writes them.\ngot:\n%s\nwant:\n%s", file, got, want.String())
	}
}
