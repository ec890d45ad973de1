package howto

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := Parse(strings.ReplaceAll(`# Title
<!-- has: build/a at /root/a -->
<!-- at: a machine -->
1. Do:

   ~sh
   ls -l   # a comment
   cat > file <<'X'
   a = 1
   X
   true && {
     false
   }
   ~
~text
a ... b

c
~
~keys
Down
root=/dev/vda
~
<!-- seen: Linux version -->
`, "~", "```"))
	want := []Step{
		{Kind: Has, Line: 2, Text: "build/a", To: "/root/a"},
		{Kind: At, Line: 3, Text: "a machine"},
		{Kind: Shell, Line: 6, Lines: []string{"ls -l", "cat > file <<'X'\na = 1\nX", "true && {\n  false\n}"}},
		{Kind: Screen, Line: 15, Lines: []string{"a ... b", "c"}},
		{Kind: Keys, Line: 20, Lines: []string{"Down", "root=/dev/vda"}},
		{Kind: Seen, Line: 24, Text: "Linux version"},
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
}

// What no test would run is an error.
func TestErrors(t *testing.T) {
	for page, want := range map[string]string{
		"~sh\nls\n~\n":                      "line 1: the page has not said where this is",
		"<!-- at: x -->\n~\nls\n~\n":        `line 2: a block "" is neither sh nor keys nor text`,
		"<!-- at: x -->\n~bash\nls\n~\n":    `line 2: a block "bash" is neither sh nor keys nor text`,
		"<!-- at: x -->\n~sh\nls (\n~\n":    "line 2: ",
		"<!-- at: x -->\n~sh\n# nothing\n~": "line 2: an empty block",
		"<!-- at: x -->\n~sh\nls\n":         "line 2: the block has no end",
		"<!-- on: x -->\n":                  "line 1: a comment that is not understood",
		"<!-- has: x -->\n":                 "line 1: has: FILE at PATH",
	} {
		steps, err := Parse(strings.ReplaceAll(page, "~", "```"))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %s", page, steps, err, want)
		}
	}
}
