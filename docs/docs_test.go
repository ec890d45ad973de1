// Package docs has no code: its test reads the pages.
package docs

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot/settings"
)

// pages returns the texts of all pages by their names.
func pages(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.md")
	if err != nil || len(names) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	texts := map[string]string{}
	more, err := filepath.Glob("howto/*.md")
	if err != nil || len(more) == 0 {
		t.Fatalf("no how-tos: %v", err)
	}
	for _, name := range slices.Concat(names, more, []string{"../README.md", "../CONTRIBUTING.md"}) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(b)
	}
	return texts
}

// TestTables asserts that no line of a table is too long to be read as text.
func TestTables(t *testing.T) {
	const most = 120
	for name, text := range pages(t) {
		n := 0
		for line := range strings.Lines(text) {
			n++
			if strings.HasPrefix(line, "|") && len([]rune(strings.TrimSuffix(line, "\n"))) > most {
				t.Errorf("%s:%d: a line of a table has more than %d characters", name, n, most)
			}
		}
	}
}

// TestKinds asserts that each page says which kind of page it is, at its beginning.
func TestKinds(t *testing.T) {
	kind := regexp.MustCompile(`^# .*\n\nThis page is (a tutorial|a how-to|reference|an explanation)\b`)
	for name, text := range pages(t) {
		if !strings.HasPrefix(name, "../") && !kind.MatchString(text) {
			t.Errorf("%s does not say that it is a tutorial, a how-to, reference or an explanation", name)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)

// TestLinks asserts that what a page links to is there.
func TestLinks(t *testing.T) {
	for name, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(path.Join(path.Dir(name), m[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestSample asserts that each setting of the sample that settings.md begins with is
// understood, those that are commented out too, in a file on a volume.
func TestSample(t *testing.T) {
	_, sample, _ := strings.Cut(pages(t)["settings.md"], "```ini\n")
	sample, _, ok := strings.Cut(sample, "```")
	if !ok {
		t.Fatal("there is no sample")
	}
	n := 0
	for line := range strings.Lines(sample) {
		line = strings.TrimPrefix(line, "# ")
		name, _, ok := strings.Cut(line, " = ")
		if !ok {
			continue
		}
		n++
		s := settings.Read(fstest.MapFS{"etc/alpboot.conf": {Data: []byte(line)}}, "")
		i := slices.IndexFunc(s.Values(), func(v settings.Value) bool { return v.Name == name })
		if len(s.Notes) > 0 || i < 0 || s.Values()[i].Value == "" {
			t.Errorf("%q: %v", line, s.Notes)
		}
	}
	if n < 8 {
		t.Errorf("only %d settings", n)
	}
}

// TestGlossary asserts that the glossary has its words in order, and explains those
// that the settings, keys and pages use.
func TestGlossary(t *testing.T) {
	last := ""
	for line := range strings.Lines(pages(t)["glossary.md"]) {
		word, ok := strings.CutPrefix(line, "| ")
		if !ok || strings.HasPrefix(word, "word |") {
			continue
		}
		word, _, _ = strings.Cut(word, " |")
		if strings.ToLower(word) <= last {
			t.Errorf("%q comes after %q", word, last)
		}
		last = strings.ToLower(word)
	}
	if last == "" {
		t.Error("no words")
	}
}

var file = regexp.MustCompile("`((?:boot|cmds|docs|initramfs|packaging|qemu-tests)/[A-Za-z0-9_./-]+)`")

// TestFiles asserts that the files and directories of the sources that a page names are
// there.
func TestFiles(t *testing.T) {
	found := 0
	for name, text := range pages(t) {
		for _, m := range file.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "NAME") || strings.Contains(m[1], "...") || strings.HasPrefix(m[1], "boot/grub/") { // a file of a system
				continue
			}
			found++
			if _, err := os.Stat(path.Join("..", m[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d files are named", found)
	}
}

var quoted = regexp.MustCompile(`"([^"]+)"`)

// TestTroubleshooting asserts that the menu says what the headings of that page
// say it does: each quoted text is in a string of the sources.
func TestTroubleshooting(t *testing.T) {
	var sources strings.Builder
	for _, dir := range []string{"../boot", "../cmds"} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			b, err := os.ReadFile(name)
			sources.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	all := regexp.MustCompile(`%\[?[0-9]*\]?[svdq]`).ReplaceAllString(sources.String(), "*")
	found := 0
	for line := range strings.Lines(pages(t)["troubleshooting.md"]) {
		if !strings.HasPrefix(line, "### ") {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			found++
			text := regexp.MustCompile(`arm64|amd64`).ReplaceAllString(m[1], "*")
			if !strings.Contains(all, strings.TrimSuffix(text, ".")) {
				t.Errorf("nothing says %q", m[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d sentences", found)
	}
}
