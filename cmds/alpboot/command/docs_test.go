package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
)

// byHand separates what is made from a table and the rest of a page.
const byHand = ".\\\" What follows is written by hand.\n"

// The manual pages are made from the tables that --help is printed from, but for what
// kexec-reboot(8) has besides its verbs.
func TestPages(t *testing.T) {
	for _, c := range pages() {
		file := filepath.Join("../../../docs", c.Name+".8")
		want := c.Page("November 28, 2026")
		if c.Name == "kexec-reboot" {
			b, err := os.ReadFile(file)
			_, rest, ok := strings.Cut(string(b), byHand)
			if err != nil || !ok {
				t.Fatalf("%s has no line for what is written by hand: %v", file, err)
			}
			want += byHand + rest
		}
		if boottest.Update() {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s is not that of the table (%v); go test ./cmds/alpboot/command -update writes it", file, err)
		}
	}
}

// Each shell gets every verb of each command.
func TestCompletion(t *testing.T) {
	f := newFake(t, nil)
	for _, shell := range []string{"bash", "fish", "zsh"} {
		out, _ := f.ask(t, exitDone, "completion", shell)
		for _, v := range append(verbs(), kexecVerbs()...) {
			if !strings.Contains(out, v.name) {
				t.Errorf("%s lacks %s", shell, v.name)
			}
		}
	}
	if _, stderr := f.ask(t, exitMisuse, "completion", "csh"); !strings.Contains(stderr, "bash, fish, zsh") {
		t.Errorf("says %q", stderr)
	}
}
