package manual

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
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

// What fish completes is asked of fish itself.
func TestFish(t *testing.T) {
	boottest.NeedTools(t, "fish")
	script := filepath.Join(t.TempDir(), "script.fish")
	if err := os.WriteFile(script, []byte(Completion("fish", tool(), Command{Name: "one", Flags: tool().Verbs[1].Flags})), 0o644); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"tool-x s":      "show\tshows it: all\n",
		"tool-x go h":   "here\n",
		"tool-x go --":  "--json\tprint an object\n--to\tinto NAME, it's said\n",
		"tool-x show x": "",
		"one --j":       "--json\tprint an object\n",
	} {
		cmd := exec.Command("fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", script, line)
		cmd.Dir = t.TempDir() // without files that it could complete
		cmd.Env = append(os.Environ(), "HOME="+cmd.Dir)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("%s: got %q, want %q (%v)", line, out, want, err)
		}
	}
}

// What zsh is to complete, by the functions of its completion system that the script
// calls.
func TestZsh(t *testing.T) {
	zsh, err := exec.LookPath("zsh-static")
	if err != nil {
		zsh = "zsh"
		boottest.NeedTools(t, zsh)
	}
	script := `_arguments() { print -rl -- "$@" }; _describe() { print -r -- "$1"; print -rl -- "${(@P)2}" }
complete() { local service=$1 CURRENT=$#; local -a words=("$@")
` + Completion("zsh", tool(), Command{Name: "one", Flags: tool().Verbs[1].Flags}) + "}\n" + `complete "$@"`
	const flags = "--help[describe it]\n--json[print an object]\n--to=[into NAME, it's said]:name:_files\n"
	for line, want := range map[string]string{
		"tool-x s":      "verb\nshow:shows it\\: all\ngo:goes\n",
		"tool-x go h":   flags + "1:word:(here there)\n",
		"tool-x show x": "--help[describe it]\n",
		"one -":         flags,
		"other -":       "",
	} {
		cmd := exec.Command(zsh, append([]string{"-f", "-c", script, "zsh"}, strings.Fields(line)...)...)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("%s: got %q, want %q (%v)", line, out, want, err)
		}
	}
}

func TestOtherShells(t *testing.T) {
	if Completion("csh", tool()) != "" {
		t.Error("a shell that is not known")
	}
}
