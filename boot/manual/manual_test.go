package manual

import (
	"flag"
	"os/exec"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
)

// tool is a command with all that there can be.
func tool() Command {
	f := flag.NewFlagSet("", flag.ContinueOnError)
	f.Bool("json", false, "print an object")
	f.String("to", "", "into `NAME`, it's said")
	f.Bool("into", false, "") // an older spelling
	return Command{Name: "tool-x", Section: 8, About: "a tool", Text: "It does. It has a \\ in it.\n\n.Dot first.", Default: true,
		Verbs:   []Verb{{Name: "show", About: "shows it: all", Text: "Shows."}, {Name: "go", Args: "VERB [WORD...]", About: "goes", Text: "Goes.", Flags: f, Words: []string{"here", "there"}}},
		More:    []Section{{"Exit status", "0 or 1."}},
		SeeAlso: []string{"alpboot.conf(5)", "lsboot(8)"}}
}

func TestPage(t *testing.T) {
	const want = `.\" Written by a test from the table of --help; -update writes it again.
.Dd November 28, 2026
.Dt TOOL-X 8
.Os alpboot
.Sh NAME
.Nm tool-x
.Nd a tool
.Sh SYNOPSIS
.Nm
.Op Cm show
.Nm
.Cm go
.Op Fl -json
.Op Fl -to Ar name
.Ar verb
.Op Ar word ...
.Sh DESCRIPTION
It does.
It has a \e in it.
.Pp
\&.Dot first.
.Bl -tag -width Ds
.It Cm show
Shows.
.It Cm go Ar verb Ar word
Goes.
.Bl -tag -width Ds
.It Fl -json
Print an object.
.It Fl -to Ar name
Into NAME, it's said.
.El
.El
.Sh EXIT STATUS
0 or 1.
.Sh SEE ALSO
.Xr alpboot.conf 5 ,
.Xr lsboot 8
`
	got := tool().Page("November 28, 2026")
	if got != want {
		t.Errorf("got\n%s", got)
	}
	if _, err := exec.LookPath("groff"); err != nil {
		boottest.Skip(t, "no groff")
	}
	cmd := exec.Command("groff", "-mdoc", "-Tascii", "-ww")
	cmd.Stdin = strings.NewReader(got)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "warning") || strings.Contains(string(out), "error") {
		t.Errorf("groff: %v\n%s", err, out)
	}
}

// What bash completes is asked of bash itself.
func TestBash(t *testing.T) {
	script := Completion("bash", tool(), Command{Name: "one", Flags: tool().Verbs[1].Flags})
	for line, want := range map[string]string{
		"tool-x s":           "show",
		"tool-x --":          "--help --version",
		"tool-x go h":        "here",
		"tool-x go --":       "--json --to --help",
		"tool-x go there --": "--json --to --help",
		"tool-x show x":      "",
		"one -":              "--json --to",
		"one x":              "",
	} {
		words := strings.Split(line, " ")
		function := "_" + strings.ReplaceAll(words[0], "-", "_")
		cmd := exec.Command("bash", "-c", script+`COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); `+function+`; echo "${COMPREPLY[*]}"`, "bash")
		cmd.Args = append(cmd.Args, words...)
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: got %q, want %q (%v)", line, got, want, err)
		}
	}
}

// The other shells are not at hand everywhere: their scripts have every verb and
// flag, with quotes that end.
func TestOtherShells(t *testing.T) {
	for shell, want := range map[string][]string{
		"fish": {"complete -c tool-x -f -n __fish_use_subcommand -a show -d 'shows it: all'\n", "complete -c tool-x -n '__fish_seen_subcommand_from go' -l to -r -d 'into NAME, it\\'s said'\n", "-a 'here there'\n"},
		"zsh":  {"#compdef tool-x\n", `'show:shows it\: all'`, `'--to=[into NAME, it'\''s said]:name:_files'`, "'1:word:(here there)'"},
	} {
		got := Completion(shell, tool())
		for _, text := range want {
			if !strings.Contains(got, text) {
				t.Errorf("%s lacks %q:\n%s", shell, text, got)
			}
		}
		if path, err := exec.LookPath(shell); err == nil {
			cmd := exec.Command(path, "-n")
			cmd.Stdin = strings.NewReader(got)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", shell, err, out)
			}
		}
	}
	if Completion("csh", tool()) != "" {
		t.Error("a shell that is not known")
	}
}
