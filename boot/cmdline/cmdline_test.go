package cmdline

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func Example() {
	line := Parse(`BOOT_IMAGE=/vmlinuz root=LABEL="my root" quiet initrd=/ucode,/initramfs`)
	root, _ := line.Get("root")
	fmt.Println(root)
	fmt.Println(line.Initrds())
	fmt.Println(line.WithoutLoader().Set("cryptdm", "a b"))
	// Output:
	// LABEL=my root
	// [/ucode /initramfs]
	// root=LABEL="my root" quiet "cryptdm=a b"
}

func TestParse(t *testing.T) {
	for in, want := range map[string]Line{
		` a  b="c d" "e f" ""	g` + "\n": {"a", `b="c d"`, `"e f"`, `""`, "g"},
		`a "b c`:                        {"a", `"b`, "c"},
		"":                              nil,
	} {
		if got := Parse(in); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestLoaderWords(t *testing.T) {
	l := Parse(`BOOT_IMAGE=/vmlinuz root=LABEL="my  root"  initrd=/ucode,/initramfs quiet "initrd=/more" -- initrd=init`)
	if got := l.WithoutLoader().String(); got != `root=LABEL="my  root" quiet -- initrd=init` {
		t.Errorf("got %q", got)
	}
	if got := l.Initrds(); !slices.Equal(got, []string{"/ucode", "/initramfs", "/more"}) {
		t.Errorf("got %q", got)
	}
}

func TestGet(t *testing.T) {
	l := Parse(`a=1 a-b=2 quiet "a_b=c d" e= -- a=9`)
	for name, want := range map[string]string{"a": "1 true", "a_b": "c d true", "a-b": "c d true", "quiet": " true", "e": " true", "f": " false"} {
		value, ok := l.Get(name)
		if got := fmt.Sprint(value, " ", ok); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := l.All("a-b"); !slices.Equal(got, []string{"2", "c d"}) {
		t.Errorf("got %q", got)
	}
}

func TestSet(t *testing.T) {
	for _, tt := range []struct{ line, name, value, want string }{
		{"", "a", "1", "a=1"},
		{"a b -- c", "d", "1", "a b d=1 -- c"},
		{"x a-b=1 y a_b=2", "a_b", "3", "x a_b=3 y"},
		{"a=1 -- a=2", "a", "x \"y\"\n", `"a=x y " -- a=2`},
	} {
		l := Parse(tt.line)
		if got := l.Set(tt.name, tt.value).String(); got != tt.want || l.String() != tt.line {
			t.Errorf("%q: got %q, want %q; the line itself is now %q", tt.line, got, tt.want, l)
		}
	}
}

// FuzzLine checks that lines stay the same when they are written and read
// again, that what is set is found, and that a Line is never changed.
func FuzzLine(f *testing.F) {
	f.Add(`root=LABEL="a b" quiet -- single`, "root", "x y")
	f.Add(`a "b c`, "a-b", "\x00\"")
	f.Add(`initrd=,a,,b "initrd=c" initrd`, "initrd", "")
	f.Fuzz(func(t *testing.T, s, name, value string) {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			t.Skip("Parse makes text of it")
		}
		l := Parse(s)
		was := slices.Clone(l)
		if again := Parse(l.String()); !slices.Equal(again, l) {
			t.Errorf("%q is %q, and then %q", s, l, again)
		}
		for _, w := range l {
			if w == "" || strings.ContainsFunc(w, func(r rune) bool { return unicode.IsControl(r) && r < 0x80 }) {
				t.Errorf("%q: the word %q", s, w)
			}
		}
		if _, ok := l.Without(name).Get(name); ok {
			t.Errorf("%q: %q is still there", s, name)
		}
		if bare := l.WithoutLoader(); len(bare.Initrds()) != 0 || len(l.Initrds()) > len(s) {
			t.Errorf("%q: initrds in %q", s, bare)
		}
		for _, p := range []Consoles{KeepConsoles, AddConsoles, ReplaceConsoles} {
			once := l.WithConsoles(p, "tty0", "ttyS0,115200")
			if twice := once.WithConsoles(p, "tty0", "ttyS0,115200"); !slices.Equal(once, twice) {
				t.Errorf("%q: consoles are added twice: %q, %q", s, once, twice)
			}
			if p != KeepConsoles && !slices.ContainsFunc(once.All("console"), func(v string) bool { return ConsoleDevice(v) == "ttyS0" }) {
				t.Errorf("%q: no console in %q", s, once)
			}
		}
		if simple := !strings.ContainsFunc(name, func(r rune) bool { return r == '=' || r == '"' || plain(r) == ' ' }); simple && name != "" && name != "--" {
			want := strings.Map(plain, strings.ReplaceAll(value, `"`, ""))
			set := l.Set(name, value)
			if got, ok := set.Get(name); !ok || got != want || len(set.All(name)) != 1 {
				t.Errorf("%q with %q=%q: got %q in %q", s, name, want, got, set)
			}
			if strings.Count(s, `"`)%2 == 0 && !slices.Equal(Parse(set.String()), set) {
				t.Errorf("%q reads as %q", set, Parse(set.String()))
			}
		}
		if !slices.Equal(l, was) {
			t.Errorf("%q was changed to %q", was, l)
		}
	})
}
