package menu

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
)

// The lists of keys in the documentation are the ones that the menu works by.
func TestDocumentedKeys(t *testing.T) {
	table := "| where | key | does |\n|---|---|---|\n"
	page, screen := "", ""
	for _, k := range Keys() {
		table += fmt.Sprintf("| %s | %s | %s |\n", k.Screen, strings.ReplaceAll(k.Keys, "|", `\|`), k.Help)
		if k.Screen != screen {
			page += fmt.Sprintf("%s.Ss %s\n.Bl -tag -width Ds\n", map[bool]string{true: ".El\n"}[screen != ""], k.Screen)
			screen = k.Screen
		}
		page += ".It" + strings.ReplaceAll(" "+mdoc(k.Keys), " ", " Ic ") + "\n" + strings.ReplaceAll(k.Help, `\`, `\e`) + "\n"
	}
	page += ".El\n.Ss Marks behind an entry\n.Bl -tag -width Ds\n"
	for _, x := range marks() {
		page += ".It Li " + mdoc(x.letter) + " " + x.word + "\n" + x.help + "\n"
	}
	page += ".El\n"
	for _, tt := range []struct{ file, begin, end, want string }{
		{"../../docs/reference.md", "<!-- keys: written by go test ./boot/menu -update -->\n", "<!-- /keys -->", table},
		{"../../docs/alpboot-menu.7", ".\\\" keys: written by go test ./boot/menu -update\n", ".\\\" /keys\n", page},
	} {
		b, err := os.ReadFile(tt.file)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(string(b), tt.begin)
		got, after, ok2 := strings.Cut(rest, tt.end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for the keys", tt.file)
		}
		if boottest.Update() {
			if err := os.WriteFile(tt.file, []byte(before+tt.begin+tt.want+tt.end+after), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got != tt.want {
			t.Errorf("the keys in %s are not those of the menu; go test ./boot/menu -update writes them.\ngot:\n%s\nwant:\n%s", tt.file, got, tt.want)
		}
	}
}

// mdoc returns words as a manual page has them: none is taken for a macro or for
// punctuation.
func mdoc(text string) string {
	words := strings.Fields(strings.ReplaceAll(text, `\`, `\e`))
	for i, w := range words {
		if len(w) == 1 || strings.HasPrefix(w, ".") {
			words[i] = `\&` + w
		}
	}
	return strings.Join(words, " ")
}
