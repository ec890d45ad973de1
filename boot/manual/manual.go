// Package manual makes the manual page of a command and the completions of shells
// for it, from the table that its --help is printed from.
package manual

import (
	"flag"
	"fmt"
	"strings"
)

// Command is a command of several verbs, or of none.
type Command struct {
	Name    string
	Section int    // of the manual
	About   string // what it is, in a few words
	Text    string // what there is to know: sentences, with an empty line between paragraphs
	Verbs   []Verb // the first one is meant when none is named, if Default is set
	Default bool
	Args    string        // without verbs: its words, as of a Verb
	Flags   *flag.FlagSet // without verbs
	More    []Section     // at the end of the page
	SeeAlso []string      // other pages, as alpboot.conf(5)
}

// Verb is one thing that a command does.
type Verb struct {
	Name, Args, About, Text string // Args are its words: "[ENTRY]", "VERB [WORD...]"
	Flags                   *flag.FlagSet
	Words                   []string // what its first word may be; nil where that is no list
}

// Section is a section of a page.
type Section struct{ Title, Text string }

// Page returns the manual page, in the language mdoc(7).
func (c Command) Page(date string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(".\\\" Written by a test from the table of --help; -update writes it again.")
	line(".Dd %s", date)
	line(".Dt %s %d", strings.ToUpper(c.Name), c.Section)
	line(".Os alpboot")
	line(".Sh NAME\n.Nm %s\n.Nd %s", c.Name, escaped(c.About))
	line(".Sh SYNOPSIS")
	if c.Verbs == nil {
		line(".Nm")
		b.WriteString(synopsis(c.Flags, c.Args))
	}
	for i, v := range c.Verbs {
		if i == 0 && c.Default {
			line(".Nm\n.Op Cm %s", v.Name)
		} else {
			line(".Nm\n.Cm %s", v.Name)
		}
		b.WriteString(synopsis(v.Flags, v.Args))
	}
	line(".Sh DESCRIPTION")
	b.WriteString(paragraphs(c.Text))
	if c.Verbs == nil {
		b.WriteString(options(c.Flags))
	} else {
		line(".Bl -tag -width Ds")
		for _, v := range c.Verbs {
			line(".It Cm %s%s", v.Name, words(v.Args))
			b.WriteString(paragraphs(v.Text))
			b.WriteString(options(v.Flags))
		}
		line(".El")
	}
	for _, s := range c.More {
		line(".Sh %s", strings.ToUpper(s.Title))
		b.WriteString(paragraphs(s.Text))
	}
	if len(c.SeeAlso) > 0 {
		line(".Sh SEE ALSO")
		for i, page := range c.SeeAlso {
			name, section, _ := strings.Cut(strings.TrimSuffix(page, ")"), "(")
			comma := " ,"
			if i == len(c.SeeAlso)-1 {
				comma = ""
			}
			line(".Xr %s %s%s", name, section, comma)
		}
	}
	return b.String()
}

// synopsis returns flags and words as a synopsis has them.
func synopsis(flags *flag.FlagSet, args string) string {
	var b strings.Builder
	for _, f := range Flags(flags) {
		b.WriteString(".Op " + f.mdoc() + "\n")
	}
	for w := range strings.FieldsSeq(args) {
		many := strings.Contains(w, "...")
		name := strings.ToLower(strings.Trim(w, "[]."))
		macro := ".Ar " + name
		if strings.HasPrefix(w, "[") {
			macro = ".Op Ar " + name
		}
		if many {
			macro += " ..."
		}
		b.WriteString(macro + "\n")
	}
	return b.String()
}

// words returns the words of a verb for the head of its description.
func words(args string) string {
	var b strings.Builder
	for w := range strings.FieldsSeq(args) {
		b.WriteString(" Ar " + strings.ToLower(strings.Trim(w, "[].")))
	}
	return b.String()
}

// options returns the list of flags.
func options(flags *flag.FlagSet) string {
	var b strings.Builder
	for i, f := range Flags(flags) {
		if i == 0 {
			b.WriteString(".Bl -tag -width Ds\n")
		}
		fmt.Fprintf(&b, ".It %s\n%s", f.mdoc(), paragraphs(strings.ToUpper(f.Usage[:1])+f.Usage[1:]+"."))
	}
	if b.Len() > 0 {
		b.WriteString(".El\n")
	}
	return b.String()
}

// Flag is a flag as it is documented.
type Flag struct {
	Name  string // as it is typed: -a, --all
	Value string // what its value is called; "" for a switch
	Usage string
}

// Flags returns those of a set, in the order of their names. One without a usage is
// another spelling, which is left out.
func Flags(set *flag.FlagSet) (list []Flag) {
	if set == nil {
		return nil
	}
	set.VisitAll(func(f *flag.Flag) {
		if f.Usage == "" {
			return
		}
		value, usage := flag.UnquoteUsage(f)
		name := "--" + f.Name
		if len(f.Name) == 1 {
			name = name[1:]
		}
		list = append(list, Flag{name, value, usage})
	})
	return list
}

// mdoc returns the flag as the language takes it, which adds a dash by itself.
func (f Flag) mdoc() string {
	if f.Value == "" {
		return "Fl " + f.Name[1:]
	}
	return "Fl " + f.Name[1:] + " Ar " + strings.ToLower(f.Value)
}

// paragraphs returns text, a sentence a line.
func paragraphs(text string) string {
	var b strings.Builder
	for i, p := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString(".Pp\n")
		}
		p = strings.Join(strings.Fields(p), " ")
		for line := range strings.SplitSeq(strings.ReplaceAll(p, ". ", ".\n"), "\n") {
			b.WriteString(escaped(line) + "\n")
		}
	}
	return b.String()
}

// escaped returns a line of text as mdoc takes it.
func escaped(line string) string {
	line = strings.ReplaceAll(line, `\`, `\e`)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	return line
}
