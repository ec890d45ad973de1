package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gdamore/tcell/v2"
)

// keys types into an editor: text, and <esc>, <cr>, <bs>, <up>, <down>, <del>.
func keys(t *testing.T, e *editor, typed string) {
	t.Helper()
	special := map[string]tcell.Key{"esc": tcell.KeyEscape, "cr": tcell.KeyEnter, "bs": tcell.KeyBackspace2, "up": tcell.KeyUp,
		"down": tcell.KeyDown, "del": tcell.KeyDelete, "tab": tcell.KeyTab, "pgdn": tcell.KeyPgDn}
	s := tcell.NewSimulationScreen("UTF-8")
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	s.SetSize(40, 6)
	e.screen = s
	for typed != "" {
		key := tcell.KeyRune
		r, n := utf8.DecodeRuneInString(typed)
		if name, rest, ok := strings.Cut(strings.TrimPrefix(typed, "<"), ">"); ok && typed[0] == '<' && special[name] != 0 {
			key, r, typed = special[name], 0, rest
		} else {
			typed = typed[n:]
		}
		e.key(tcell.NewEventKey(key, r, 0))
		e.draw()
	}
}

func edit(t *testing.T, text, typed string) (got string, e *editor) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if text != "none" {
		if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	e, err := open(name)
	if err != nil {
		t.Fatal(err)
	}
	keys(t, e, typed)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), e
}

func TestEdit(t *testing.T) {
	const text = "one two three\n\ttabbed line\n\nlast, of_all\n"
	for _, tt := range []struct{ typed, want string }{
		{"ZZ", text},
		{"iA <esc>:wq<cr>", "A one two three\n\ttabbed line\n\nlast, of_all\n"},
		{"wdwZZ", "one three\n\ttabbed line\n\nlast, of_all\n"},
		{"2dwZZ", "three\n\ttabbed line\n\nlast, of_all\n"},
		{"wcwfour<esc>ZZ", "one four three\n\ttabbed line\n\nlast, of_all\n"},
		{"ddZZ", "\ttabbed line\n\nlast, of_all\n"},
		{"3ddZZ", "last, of_all\n"},
		{"9ddinew<esc>ZZ", "new\n"},
		{"ddpZZ", "\ttabbed line\none two three\n\nlast, of_all\n"},
		{"yy3GPZZ", "one two three\n\ttabbed line\none two three\n\nlast, of_all\n"},
		{"Goend<cr>s<esc>ZZ", text + "end\ns\n"},
		{"Ostart<esc>ZZ", "start\n" + text},
		{"A!<bs>?<esc>ZZ", "one two three?\n\ttabbed line\n\nlast, of_all\n"},
		{"jI<bs>-<esc>ZZ", "one two three\n-tabbed line\n\nlast, of_all\n"},
		{"jJZZ", "one two three\n\ttabbed line \nlast, of_all\n"},
		{"3xu0xZZ", "ne two three\n\ttabbed line\n\nlast, of_all\n"},
		{"$xu$xbD:w<cr>", "one two \n\ttabbed line\n\nlast, of_all\n"},
		{"/of<cr>xZZ", "one two three\n\ttabbed line\n\nlast, f_all\n"},
		{"/e<cr>nxnnnx:x<cr>", "on two thre\n\ttabbed line\n\nlast, of_all\n"},
		{":4<cr>wdwZZ", "one two three\n\ttabbed line\n\nlast, \n"},
		{"3xuuZZ", " two three\n\ttabbed line\n\nlast, of_all\n"},
		{"<down><down>i<tab>new<esc><up>0DZZ", "one two three\n\n\tnew\nlast, of_all\n"},
		{"$cw<tab>end<esc>ZZ", "one two thre\tend\n\ttabbed line\n\nlast, of_all\n"},
		{"G$bb3bdwZZ", "one two three\n\tline\n\nlast, of_all\n"},
		{"dd:q<cr>:q!<cr>", text},
		{"i<cr><esc>:w<cr>", "\n" + text},
		{"aü€<esc>hx<del>ZZ", "o€ne two three\n\ttabbed line\n\nlast, of_all\n"},
	} {
		got, e := edit(t, text, tt.typed)
		if strings.Contains(tt.typed, "hx<del>") { // what is left is not the point there
			if !strings.Contains(got, "two three") || strings.ContainsRune(got, '\uFFFD') {
				t.Errorf("%s: %q", tt.typed, got)
			}
			continue
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q; message %q", tt.typed, got, tt.want, e.message)
		}
		if ended := !strings.HasSuffix(tt.typed, ":w<cr>"); e.done != ended {
			t.Errorf("%s: done is %v", tt.typed, e.done)
		}
	}
}

// What was not edited stays as it was, whatever it is.
func TestBytesStay(t *testing.T) {
	for _, text := range []string{"a\r\nb\r\n", "no newline", "\xff\xfe\x00\x1b[2J\n", "\n", "a\n\n"} {
		got, _ := edit(t, text, "GAx<esc>x:w!<cr>")
		if got != text && got != text+"x" {
			t.Errorf("%q became %q", text, got)
		}
	}
	if got, _ := edit(t, "none", "itext<esc>:w<cr>"); got != "text\n" {
		t.Errorf("a new file: %q", got)
	}
}

func TestSave(t *testing.T) {
	dir := t.TempDir()
	name, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(name, []byte("a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	e, err := open(link)
	if err != nil {
		t.Fatal(err)
	}
	keys(t, e, "ib<esc>:w<cr>")
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is replaced: %v", err)
	}
	if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v, %v", st.Mode(), err)
	}

	// Somebody else writes it meanwhile.
	if err := os.WriteFile(name, []byte("theirs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys(t, e, "x:wq<cr>")
	if b, _ := os.ReadFile(name); string(b) != "theirs\n" || e.done || !strings.Contains(e.message, "has changed") {
		t.Errorf("%q was written over what changed, message %q", b, e.message)
	}
	keys(t, e, ":w!<cr>:q<cr>")
	if b, _ := os.ReadFile(name); string(b) != "a\n" || !e.done {
		t.Errorf(":w! wrote %q", b)
	}

	// Another file, and one that cannot be written.
	other := filepath.Join(dir, "other")
	keys(t, e, ":w "+other+"<cr>:w "+other+"<cr>")
	if b, _ := os.ReadFile(other); string(b) != "a\n" || !strings.Contains(e.message, "exists") {
		t.Errorf("another file: %q, message %q", b, e.message)
	}
	keys(t, e, ":w "+dir+"/none/file<cr>")
	if !strings.Contains(e.message, "no such file or directory") {
		t.Errorf("into nowhere: message %q", e.message)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".vi-*")); left != nil {
		t.Errorf("left behind: %q", left)
	}
	if _, err := open("/dev/null"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a device is edited: %v", err)
	}
}

// The screen shows the text around the cursor.
func TestScreen(t *testing.T) {
	_, e := edit(t, strings.Repeat("line\n", 20)+"\tx\x01\xff "+strings.Repeat("long ", 20)+"\n", "G")
	cells, w, h := e.screen.(tcell.SimulationScreen).GetContents()
	var rows []string
	for y := range h {
		var row strings.Builder
		for _, c := range cells[y*w : (y+1)*w] {
			row.WriteString(string(c.Runes))
		}
		rows = append(rows, strings.TrimRight(row.String(), " "))
	}
	if rows[0] != "line" || !strings.HasPrefix(rows[4], "        x^A<ff> long long") || !strings.Contains(rows[5], "21/21") {
		t.Errorf("%q", rows)
	}
	keys(t, e, "$")
	if e.left == 0 {
		t.Error("the end of a long line is not shown")
	}
}

// Whatever is typed, the editor goes on, and the cursor is in the text.
func FuzzKeys(f *testing.F) {
	f.Add("one\n\ttwo ü\xff\n", "dwjcwx<esc>p3Pu2J$bD:2<cr>GddddddxupiqO<bs><bs><cr><del><esc>yyP/t<cr>nb<pgdn>")
	f.Fuzz(func(t *testing.T, text, typed string) {
		if strings.Contains(typed, "w") && strings.Contains(typed, ":") || len(typed) > 200 {
			return // would write files, or for long
		}
		e := &editor{name: "/nowhere/file", version: version{lines: strings.Split(text, "\n")}}
		keys(t, e, strings.NewReplacer("Z", "", "9", "").Replace(typed))
		if e.y < 0 || e.y >= len(e.lines) || e.at < 0 || e.at > len(e.line()) {
			t.Errorf("the cursor is at %d:%d", e.y, e.at)
		}
	})
}
