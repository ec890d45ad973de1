package fstab

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got := Parse("# comment\n\n/dev/sda1\t/a\\040b\text4\tro,x=1\t0 1\nshort line\nUUID='1' / xfs\n\\777\\40 /c \\ 0\n")
	want := []Mount{
		{Source: "/dev/sda1", Target: "/a b", Type: "ext4", Options: []string{"ro", "x=1"}},
		{Source: "UUID=1", Target: "/", Type: "xfs"},
		{Source: `\777\40`, Target: "/c", Type: `\`, Options: []string{"0"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// FuzzParse asserts that any file is read without a panic, and that each line has
// what it must have.
func FuzzParse(f *testing.F) {
	f.Add("UUID=1 / ext4 rw 0 1\n/dev/x /a\\040b auto\n# x\n\\777 \\04 \\\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range Parse(text) {
			if m.Target == "" || m.Type == "" {
				t.Errorf("%+v", m)
			}
			m.Option("subvol")
		}
	})
}
