package grub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
)

// languageTests are scripts and what they leave in the variable out.
var languageTests = []struct{ name, script, want string }{
	// Words and quotes.
	{"single quotes", `out='a $b \n "c" \'`, `a $b \n "c" \`},
	{"double quotes", `b=B; out="a $b \$b \\ \" \n"`, `a B $b \ " \n`},
	{"no quotes", `b=B; out=a\ $b\$b\\\"\n`, `a B$b\"n`},
	{"mixed", `b=B; out=x'$b'"$b"$b\x`, "x$bBBx"},
	{"quoted newline", "out='a\nb'", "a\nb"},
	{"backslash newline", "out=a\\\nb", "ab"},
	{"backslash newline between words", "set \\\n  out=x", "x"},
	{"backslash newline in double quotes", "out=\"a\\\nb\"", "ab"},
	{"backslash newline in single quotes", "out='a\\\nb'", "a\\\nb"},
	{"comment", "out=a # b\n# out=c\n#out=d", "a"},
	{"# in a word", "out=a#b", "a#b"},
	{"# in quotes", "out='#a'", "#a"},
	{"carriage returns", "out=a\r\nif true; then\r\nout=$out-b\r\nfi\r\n", "a-b"},
	{"translated text", `b=B; out=$"a $b \"c\" ${b}d \$b $"`, `a B "c" Bd $b $`},
	{"empty words go", `e=; $e set $e out=x`, "x"},
	{"empty quoted words stay", `e=; out=a; "$e" set out=x`, "a"},
	{"braces in quotes", `out="{a}"'}'`, "{a}}"},
	{"keyword as a word", `for x in if then do done fi; do out=$out.$x; done`, ".if.then.do.done.fi"},
	{"keyword in quotes is a command", "function xif { out=$1; }\nx\"if\" a", "a"},
	{"equals in the value", `out=a=b=c`, "a=b=c"},
	{"spaces around assignment", `set out="  a  "`, "  a  "},
	{"set with spaces", `set out = a`, ""},
	{"assignment before a word", `out=a out=b`, "a"},
	{"quoted assignment", `"out"=a`, "a"},
	{"assignment by variable", `n=out; $n=a`, "a"},
	{"non-ASCII", `out=ä€'ö'"ü"`, "ä€öü"},

	// Variables.
	{"braces", `a=1; ab=2; out=${a}b$ab`, "1b2"},
	{"unset", `a=1; unset a; out=[$a]`, "[]"},
	{"split", `a="x  y z"; for i in $a; do out=$out.$i; done`, ".x.y.z"},
	{"not split in quotes", `a="x  y z"; for i in "$a"; do out="$out.$i"; done`, ".x  y z"},
	{"split joins its neighbours", `a=" x y "; for i in 1${a}2; do out=$out.$i; done`, ".1x.y2"},
	{"split of nothing", `for i in $a "$a" ''; do out=$out.; done`, ".."},
	{"backslash in a value", `a='x\y\*'; out=$a`, `x\y\*`},
	{"star in a value", `a='*?'; out=$a$a`, `*?*?`},
	{"dash ends a name", `a=1; out=$a-$a.$a/`, "1-1.1/"},
	{"undefined positional", `out=[$1$@$*$#]`, "[]"},
	{"result of a command", `true; out=$?; false; out=$out$?`, "01"},
	{"value is not run", `a='$b'; b=1; out=$a`, "$b"},
	{"eval", `a='$b'; b=1; eval "out=$a"`, "1"},
	{"eval joins", `eval out=a ';' out='${out}b'`, "ab"},
	{"export", `a=1; export a b; out=$a$b`, "1"},
	{"cannot set positional", `1=a; out=[$1]`, "[]"},

	// if.
	{"then", "if true; then out=a; fi", "a"},
	{"else", "if false; then out=a; else out=b; fi", "b"},
	{"elif", "if false; then out=a; elif true; then out=b; elif true; then out=c; else out=d; fi", "b"},
	{"no branch", "if false; then out=a; fi; out=$out$?", "0"},
	{"list as condition", "if false; true; then out=a; fi", "a"},
	{"lines", "if\ntrue\nthen\n\nout=a\nelse\nout=b\nfi", "a"},
	{"not", "if ! false; then out=a; fi; if ! true; then out=b; fi", "a"},
	{"unknown command is true", "if frobnicate; then out=a; fi", "a"},
	{"not of an unknown command", "if ! frobnicate; then out=a; fi", "a"},
	{"not of an error", "if ! set x; then out=a; fi", "a"},
	{"nested", "if true; then if false; then out=a; else out=b; fi; fi", "b"},

	// Loops.
	{"for", "for i in a b c; do out=$out$i; done", "abc"},
	{"for nothing", "for i in; do out=a; done", ""},
	{"for lines", "for i in a b\ndo\nout=$out$i\ndone", "ab"},
	{"while", "while [ x$out != xaaa ]; do out=a$out; done", "aaa"},
	{"until", "until [ x$out = xaaa ]; do out=a$out; done", "aaa"},
	{"break", "for i in a b c; do if [ $i = b ]; then break; fi; out=$out$i; done", "a"},
	{"continue", "for i in a b c; do if [ $i = b ]; then continue; fi; out=$out$i; done", "ac"},
	{"break 2", "for i in a b; do for j in 1 2; do out=$out$i$j; break 2; done; done", "a1"},
	{"continue 2", "for i in a b; do for j in 1 2; do out=$out$i$j; continue 2; done; out=$out!; done", "a1b1"},
	{"break too many", "for i in a b; do out=$out$i; break 9; done; out=$out.", "a."},
	{"continue in while", "n=; while [ x$n != xaaa ]; do n=a$n; if [ $n = aa ]; then continue; fi; out=$out$n.; done", "a.aaa."},
	{"break in until", "until false; do out=$out.; if [ $out = ... ]; then break; fi; done", "..."},
	{"break outside", "break; out=a", "a"},

	// Functions.
	{"function", "function f { out=a; }\nf", "a"},
	{"function on lines", "function f\n\n{\n out=a\n}\nf", "a"},
	{"arguments", `function f { out=$#$1$2; }; f a "b c"`, "2ab"},
	{"$@", "function g { out=$#; }\nfunction f { g $@; }\nf a 'b c'", "3"},
	{"quoted $@", "function g { out=$#; }\nfunction f { g \"$@\"; }\nf a 'b c' ''", "3"},
	{"quoted $*", "function g { out=$#$1; }\nfunction f { g \"$*\"; }\nf a 'b c'", "1a"},
	{"$@ in the middle", "function f { for i in \"x$@y\"; do out=$out.$i; done; }\nf a 'b c'", ".xa.b"},
	{"shift", "function f { shift; out=$1$#; shift 2; out=$out$?; }\nf a b c", "b20"},
	{"setparams", "function f { setparams x y; out=$1$#; }\nf a b c", "x2"},
	{"return", "function f { out=a; return 3; out=b; }\nf; out=$out$?", "a3"},
	{"return in a loop", "function f { for i in a b; do out=$out$i; return; done; }\nf", "a"},
	{"return without a number", "function f { false; return; }\nf; out=$?", "1"},
	{"return outside", "return 1; out=a", "a"},
	{"function is not a command", "function true { out=a; }\ntrue; out=$out.", "."},
	{"function again", "function f { out=a; }\nfunction f { out=b; }\nf", "b"},
	{"caller's arguments come back", "function g { true; }\nfunction f { g x y; out=$1; }\nf a", "a"},
	{"loop of the caller", "function f { break; }\nfor i in a b; do f; out=$out$i; done", "ab"},
	{"result of a function", "function f { false; }\nif f; then out=a; else out=b; fi", "b"},
	{"variables are global", "function f { v=a; }\nf; out=$v", "a"},

	// test.
	{"=", "if [ a = a ]; then out=a; fi", "a"},
	{"==", "if test a == a; then out=a; fi", "a"},
	{"!=", "if [ a != b ]; then out=a; fi", "a"},
	{"empty test", "if [ ]; then out=a; else out=b; fi", "a"},
	{"string", "if [ a ]; then out=a; fi; if [ \"\" ]; then out=b; fi", "a"},
	{"-n and -z", `if [ -n a -a -z "" ]; then out=a; fi`, "a"},
	{"numbers", "if [ 9 -lt 10 -a 10 -gt 9 -a 3 -ge 3 -a 3 -le 3 -a 1 -ne 2 -a 010 -eq 8 -a 0x10 -eq 16 ]; then out=a; fi", "a"},
	{"negative numbers", "if [ -2 -lt -1 -a -1 -lt 1 ]; then out=a; fi", "a"},
	{"no numbers", "if [ x -eq 0 ]; then out=a; fi", "a"},
	{"-a before -o", "if [ a = a -o b = c -a c = d ]; then out=a; fi", "a"},
	{"parentheses", "if [ ( a = a -o b = c ) -a c = d ]; then out=a; else out=b; fi", "b"},
	{"not in test", "if [ ! a = b ]; then out=a; fi", "a"},
	{"not not", "if [ ! ! a = a ]; then out=a; fi", "a"},
	{"not parentheses", "if [ ! ( a = a -a b = c ) ]; then out=a; fi", "a"},
	{"strings by order", `if [ a '<' b -a b '>' a -a a '<=' a -a a '>=' a ]; then out=a; fi`, "a"},
	{"versions", "if [ vmlinuz-6.9.1 -plt vmlinuz-6.10.0 -a vmlinuz-6.10.0 -pgt vmlinuz-6.9.1 ]; then out=a; fi", "a"},
	{"versions with equal digits", "if [ v-12 -pgt v-1 ]; then out=a; else out=b; fi", "a"},
	{"no such file", "if [ -e /no/such -o -f /no/such -o -d /no/such -o -s /no/such ]; then out=a; else out=b; fi", "b"},
	{"the root is a directory", "if [ -d / -a -e / ]; then out=a; fi; if [ -f / ]; then out=b; fi", "a"},
	{"newer than nothing", "if [ /no/such -nt /no/other ]; then out=a; else out=b; fi", "b"},
	{"closing bracket is optional", "if test a = b; then out=a; else out=b; fi", "b"},

	// Errors cost what GRUB reads at once, and not more.
	{"bad line", "out=a\nfi\nout=$out.", "a."},
	{"bad command in a line", "out=a; fi; out=b\nout=$out.", "."},
	{"operators", "out=a\ntrue && out=b\ntrue || out=c\ntrue | out=d\nout=$out.", "a."},
	{"redirection", "out=a\necho a > b\nout=$out.", "a."},
	{"bad variable", "out=a\nout=${b-c}\nout=$out.", "a."},
	{"empty block", "out=a\nif true; then\nfi\nout=$out.", "a."},
	{"line after a bad line in a block", "out=a\nif true; then\n;; x\nout=b\nout=$out.", "b."},
	{"unclosed quote", "out=a\nout='b\nout=c\n", "a"},
	{"unclosed if", "out=a\nif true; then\nout=b\n", "a"},
}

// TestLanguage asserts what each script leaves in the variable out.
func TestLanguage(t *testing.T) {
	for _, tt := range languageTests {
		t.Run(tt.name, func(t *testing.T) {
			if got := runScript(t, tt.script); got != tt.want {
				t.Errorf("%s\nout is %q, want %q", tt.script, got, tt.want)
			}
		})
	}
}

// runScript runs a script and returns the value of its variable out.
func runScript(t *testing.T, script string) string {
	t.Helper()
	r, place := scriptReader(script)
	m := r.newMachine(place)
	if err := m.runFile(place); err != nil {
		t.Fatal(err)
	}
	return m.env.get("out")
}

func scriptReader(script string) (*reader, place) {
	return newReader(fstest.MapFS{"boot/grub/grub.cfg": {Data: []byte(script)}}, boot.Volume{}), place{path: "boot/grub/grub.cfg"}
}

// TestLanguageAsGRUB compares these values with those of GRUB itself.
func TestLanguageAsGRUB(t *testing.T) {
	boottest.NeedTools(t, "grub-emu")
	for _, tt := range languageTests {
		if strings.HasPrefix(tt.name, "unclosed") {
			continue // the command that prints the result would be part of it
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			// What it prints is drawn on a terminal of 80 columns: marks make it found.
			script := tt.script + "\n\necho \"<<<$out>>>\"\nexit\n"
			if err := os.WriteFile(filepath.Join(dir, "grub.cfg"), []byte(script), 0o666); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, "grub-emu", "-r", "host", "-d", dir, "-m", "/dev/null")
			cmd.Env = append(os.Environ(), "TERM=dumb", "LC_ALL=C.UTF-8")
			b, err := cmd.CombinedOutput()
			if err != nil && ctx.Err() != nil {
				t.Fatalf("grub-emu: %v\n%s", err, b)
			}
			_, got, ok := strings.Cut(strings.ReplaceAll(string(b), "\r", ""), "<<<")
			got, _, ok2 := strings.Cut(got, ">>>")
			if !ok || !ok2 {
				t.Fatalf("grub-emu printed no result:\n%s", b)
			}
			if got != tt.want {
				t.Errorf("%s\nGRUB's out is %q, want %q", tt.script, got, tt.want)
			}
		})
	}
}

// syntaxTests are scripts that GRUB does or does not take.
var syntaxTests = []struct {
	script string
	ok     bool
}{
	{"true", true},
	{"\n\n true \n\n", true},
	{"true;", true},
	{"true; true", true},
	{"true;\n\ntrue", true},
	{";", false},
	{"true;;", false},
	{"true; ;", false},
	{"true & true", false},
	{"true && true", false},
	{"true || true", false},
	{"true | true", false},
	{"true < a", false},
	{"true > a", false},
	{"echo '<>|&;{}'", true},
	{"echo [ ]", true},
	{"[[ a = b ]]", false},
	{"echo ]]", false},
	{"echo [[a", true},
	{"echo }", false},
	{"echo {", false},
	{"}", false},
	{"{ true }", false},
	{"if", false},
	{"if true", false},
	{"if true; then; true; fi", false},
	{"if true; then true; fi", true},
	{"if true; then true fi", false},
	{"if true; then fi", false},
	{"if true\nthen\ntrue\nfi", true},
	{"if true;\n\nthen\n\ntrue;\n\nfi", true},
	{"if true then true; fi", false},
	{"if true; then true; fi true", false},
	{"if true; then true; else; true; fi", false},
	{"if true; then true; else true; else true; fi", false},
	{"if true; then true; elif true; then true; elif false; then true; else true; fi", true},
	{"if true; then true; elif true; fi", false},
	{"if true; then if true; then true; fi; fi", true},
	{"if true; then true; done", false},
	{"fi", false},
	{"done", false},
	{"in", false},
	{"case", false},
	{"select a in b; do true; done", false},
	{"for i in a b; do true; done", true},
	{"for i in; do true; done", true},
	{"for i in a; true; done", false},
	{"for i; do true; done", false},
	{"for 1 in a; do true; done", false},
	{"for i-j in a; do true; done", false},
	{"for if in a; do true; done", false},
	{"for i in a do true; done", false},
	{"for 'i' in a; do true; done", false},
	{"while true; do true; done", true},
	{"until false\ndo\ntrue\ndone", true},
	{"while; do true; done", false},
	{"function f { true; }", true},
	{"function f { true }", false},
	{"function f {\n true\n}", true},
	{"function f\n{\n true\n}", true},
	{"function f { }", false},
	{"function f-g { true; }", false},
	{"function f() { true; }", false},
	{"function if { true; }", false},
	{"f() { true; }", true}, // a command f() with a block
	{"if true; then function f { true; }; fi", false},
	{"function f { true; } true", false},
	{"menuentry a { true }", true},
	{"menuentry a { true; }", true},
	{"menuentry a {\n\n true\n\n}", true},
	{"menuentry a { true;\n}", true},
	{"menuentry a { true\n;}", false},
	{"menuentry a { }", false},
	{"menuentry a\n{ true }", false},
	{"menuentry a { true } b", false},
	{"menuentry a --id {b} { true }", false},
	{"menuentry a{ true; }", true},
	{"menuentry a { function f { true; } }", false},
	{"submenu a { menuentry b { true; }; menuentry c { if true; then true; fi } }", true},
	{"echo $a ${a} $1 ${1} $? ${?} $# $@ $* $_a", true},
	{"echo $", false},
	{"echo $-", false},
	{"echo ${a", false},
	{"echo ${a-b}", false},
	{"echo ${}", false},
	{"echo ${1a}", false},
	{"echo $ a", false},
	{`echo "$"`, false},
	{`echo "\$"`, true},
	{`echo "$ a"`, false},
	{`echo "${a b}"`, false},
	{`echo $"a $ b"`, true},
	{`echo $'a'`, false},
	{"echo 'a", false},
	{`echo "a`, false},
	{"echo 'a\nb'", true},
	{"echo \"a\nb\"", true},
	{"echo a\\\nb", true},
	{"if \\\ntrue; then true; fi", true},
	{"echo a \\\n  b", true},
	{"# only a comment\ntrue", true},
	{"true # a ' quote", true},
	{"true #' a quote", true},
	{"echo a#'", false},
	{"i\\\nf true; then true; fi", false},
	{"a=b", true},
	{"a = b", true},
	{"! true", true},
	{"!", true},
	{"if ! true; then true; fi", true},
	{"linux /k foo={bar}", true},
	{"linux /k foo={bar} baz", false},
	{"linux /k foo=\"{bar}\" baz", true},
	{"\ttrue\t\ttrue\t", true},
}

// TestSyntax asserts which scripts are taken.
func TestSyntax(t *testing.T) {
	for _, tt := range syntaxTests {
		if err := syntax(tt.script); (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.script, err)
		}
	}
}

// syntax returns the first error of a script.
func syntax(script string) error {
	p := newParser(&file{}, script)
	for {
		_, err := p.unit()
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		default:
			return fmt.Errorf("line %d: %w", p.line, err)
		}
	}
}

// TestSyntaxAsGRUB asserts that grub-script-check takes the same scripts, and
// all configurations of the test data.
func TestSyntaxAsGRUB(t *testing.T) {
	boottest.NeedTools(t, "grub-script-check")
	check := func(script string) bool {
		// It refuses a script of function definitions only, as doing nothing.
		cmd := exec.Command("grub-script-check")
		cmd.Stdin = strings.NewReader("true\n" + script)
		return cmd.Run() == nil
	}
	for _, tt := range syntaxTests {
		if ok := check(tt.script + "\n"); ok != tt.ok {
			t.Errorf("%q: grub-script-check says %v", tt.script, ok)
		}
	}
	for _, tt := range languageTests {
		if ours, theirs := syntax(tt.script) == nil, check(tt.script+"\n"); ours != theirs {
			t.Errorf("%q: accepted %v, by grub-script-check %v", tt.script, ours, theirs)
		}
	}
	for _, c := range treeConfigs(t) {
		if ours, theirs := syntax(c) == nil, check(c); ours != theirs {
			t.Errorf("accepted %v, by grub-script-check %v:\n%s", ours, theirs, c)
		}
	}
}

// treeConfigs returns all configuration files of the trees in testdata.
func treeConfigs(t testing.TB) []string {
	t.Helper()
	trees, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(trees) == 0 {
		t.Fatal("no trees", err)
	}
	var configs []string
	for _, tree := range trees {
		for _, v := range boottest.Load(t, tree).Volumes {
			for name, f := range v.FS {
				if filepath.Ext(name) == ".cfg" {
					configs = append(configs, string(f.Data))
				}
			}
		}
	}
	return configs
}
