package grub

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the patterns of configurations match is what package regexp has for them.
func TestPatterns(t *testing.T) {
	for _, tt := range []struct{ pattern, text string }{
		{`^/isos/(.*)\.iso$`, "/isos/alpine.iso"}, {`^/isos/(.*)\.iso$`, "/isos/alpine_iso"},
		{`alpine-([0-9]+\.[0-9]+)-(x86_64|aarch64)`, "x alpine-3.23-aarch64.iso"}, {"/([0-9]*)$", "/snaps/1234"}, {"alpine", "debian"},
		{"a*", "bbaaa"}, {"a+b?", "xaab"}, {"(a|ab)(c|bcd)(d*)", "abcd"}, {"(a*)(a*)", "aaa"}, {"(a|b)*", "abac"}, {"(a*)*", "aab"}, {"(a*)+b", "aab"},
		{"x{2}", "axxx"}, {"x{2,}", "axxx"}, {"x{0,2}y", "xxxy"}, {"(x{1,2}){2}", "xxxx"}, {"[^/]+$", "/a/b"}, {"[]a]+", "b]a]"}, {"[a-c-]+", "x-abc"},
		{"[[:digit:][:alpha:]_]+", "--a1_-"}, {"[^[:space:]]+", "  a b"}, {"", "abc"}, {"()", "abc"}, {"a||b", "b"}, {"^$", ""}, {"^a|b$", "cb"}, {"(^a)+", "aa"},
		{`\$\.\[\*`, "a$.[*"}, {".", "\xff"}, {"a.c", "a\nc"}, {"((a)|(b))*", "ab"}, {"(a?)*?", "aa"}, {"a)", "a)"},
	} {
		want, err := regexp.CompilePOSIX(tt.pattern)
		p, err2 := parsePattern(tt.pattern)
		if (err == nil) != (err2 == nil) {
			t.Errorf("%q: %v, want %v", tt.pattern, err2, err)
			continue
		}
		if err == nil && strings.IndexByte(tt.text, '\n') < 0 && tt.text < "\x80" {
			if got, _ := p.find(tt.text); !slices.Equal(got, want.FindStringSubmatch(tt.text)) {
				t.Errorf("%q in %q: %q, want %q", tt.pattern, tt.text, got, want.FindStringSubmatch(tt.text))
			}
		}
	}
	for _, bad := range []string{"(a", "a)", "[a", "[", "[[:what:]]", "[b-a]", "*a", "a{2", "a{x}", "a{2,1}", "a{999}", "a|*", `a\`, strings.Repeat("(", 30) + strings.Repeat(")", 30), "a********"} {
		if _, err := parsePattern(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	// A backslash in brackets is one, as the standard has it and package regexp has not.
	if p, err := parsePattern(`[\d]+`); err != nil {
		t.Error(err)
	} else if got, _ := p.find(`5\d`); !slices.Equal(got, []string{`\d`}) {
		t.Errorf("%q", got)
	}
}

// So it is for any pattern: the same begins and ends of matches.
func TestRandomPatterns(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(alphabet string, n int) string {
		b := make([]byte, rng.IntN(n))
		for i := range b {
			b[i] = alphabet[rng.IntN(len(alphabet))]
		}
		return string(b)
	}
	valid := 0
	for range 20_000 {
		text, in := random("aabb()|*+?.^$", 10), random("aabbc", 12)
		want, err := regexp.CompilePOSIX(text)
		p, err2 := parsePattern(text)
		if err != nil || err2 != nil {
			if err2 == nil {
				t.Errorf("%q is taken: %v", text, err)
			}
			continue
		}
		valid++
		if got, steps := p.find(in); steps < maxMatch && ((got != nil) != want.MatchString(in) || got != nil && got[0] != want.FindString(in)) {
			t.Errorf("%q in %q: %q, want %q", text, in, got, want.FindString(in))
		}
	}
	if valid < 2000 {
		t.Errorf("only %d patterns", valid)
	}
}

// A search ends, whatever is searched for. What package regexp finds is found.
func FuzzPattern(f *testing.F) {
	f.Add("(a|ab)(c|bcd)(d*)", "abcd")
	f.Add("(a*)*b", strings.Repeat("a", 100))
	f.Add("^([^/]*)/[[:alnum:]]{1,3}$", "ab/c1")
	f.Fuzz(func(t *testing.T, text, in string) {
		if len(text) > maxPattern || len(in) > 1000 {
			return
		}
		p, err := parsePattern(text)
		if err != nil {
			return
		}
		got, steps := p.find(in)
		if steps > maxMatch+1 {
			t.Errorf("%d steps", steps)
		}
		ascii := func(s string) bool {
			return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 || r < ' ' })
		}
		want, err := regexp.CompilePOSIX(text)
		if err != nil || !ascii(text) || !ascii(in) || steps >= maxMatch || strings.ContainsAny(text, `\[{`) {
			return
		}
		// Where an empty match is repeated, programs differ in what a group remembers.
		if w := want.FindString(in); (got != nil) != want.MatchString(in) || got != nil && got[0] != w {
			t.Errorf("%q in %q: %q, want %q", text, in, got, w)
		}
	})
}
