// Package howto reads the pages of docs/howto as what their reader does, step by
// step, so that a test can do the same. The pages are the only place where their
// commands stand.
//
// Comments, which a reader does not see, say where the steps take place:
//
//	<!-- at: PLACE -->          from here on: a checkout, a machine that is started now, the menu's shell
//	<!-- has: FILE at PATH -->  what the reader has copied to the next machine
//	<!-- seen: TEXT -->         what the machine shows in between, and is not on the page
//
// Blocks are what is done and seen there:
//
//	sh    commands for a shell, each of which must succeed
//	keys  what is pressed, a key or a text a line
//	text  what is seen, in order: on the screen, or printed by the commands before it;
//	      "..." stands for anything
//
// There are no other blocks: what a page shows is done by the test, or it is an error.
package howto

import (
	"bufio"
	"fmt"
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Kind is what a step is.
type Kind string

const (
	At     Kind = "at"   // Text is the place
	Has    Kind = "has"  // Text is the file, To the path
	Seen   Kind = "seen" // Text is in the log
	Shell  Kind = "sh"   // Lines are commands, each of one line or more
	Keys   Kind = "keys" // Lines are keys or texts
	Screen Kind = "text" // Lines are seen
)

// Step is one thing that the reader of a page does or sees.
type Step struct {
	Kind     Kind
	Line     int // of the page
	Text, To string
	Lines    []string
}

var comment = regexp.MustCompile(`^<!-- (at|has|seen): (.*) -->$`)

// Parse returns the steps of a page.
func Parse(page string) (steps []Step, err error) {
	s := bufio.NewScanner(strings.NewReader(page))
	here := false // a place has been named
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if m := comment.FindStringSubmatch(line); m != nil {
			step := Step{Kind: Kind(m[1]), Line: n, Text: m[2]}
			switch step.Kind {
			case At:
				here = true
			case Has:
				var ok bool
				if step.Text, step.To, ok = strings.Cut(m[2], " at "); !ok {
					return nil, fmt.Errorf("line %d: has: FILE at PATH", n)
				}
			}
			steps = append(steps, step)
			continue
		}
		if strings.HasPrefix(line, "<!--") {
			return nil, fmt.Errorf("line %d: a comment that is not understood", n)
		}
		kind, fenced := strings.CutPrefix(line, "```")
		if !fenced {
			continue
		}
		step := Step{Kind: Kind(kind), Line: n}
		indent := s.Text()[:strings.Index(s.Text(), "`")]
		var text strings.Builder
		for {
			if !s.Scan() {
				return nil, fmt.Errorf("line %d: the block has no end", step.Line)
			}
			n++
			if strings.TrimSpace(s.Text()) == "```" {
				break
			}
			text.WriteString(strings.TrimPrefix(s.Text(), indent) + "\n")
		}
		if !here {
			return nil, fmt.Errorf("line %d: the page has not said where this is", step.Line)
		}
		switch step.Kind {
		case Shell:
			step.Lines, err = commands(text.String())
		case Keys, Screen:
			for line := range strings.Lines(text.String()) {
				if line = strings.TrimSpace(line); line != "" {
					step.Lines = append(step.Lines, line)
				}
			}
		default:
			err = fmt.Errorf("a block %q is neither sh nor keys nor text", kind)
		}
		if err == nil && len(step.Lines) == 0 {
			err = fmt.Errorf("an empty block")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", step.Line, err)
		}
		steps = append(steps, step)
	}
	return steps, s.Err()
}

// commands splits a script into its commands, as they are written.
func commands(script string) (list []string, err error) {
	f, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(script), "")
	if err != nil {
		return nil, err
	}
	for i, stmt := range f.Stmts {
		end := uint(len(script))
		if i+1 < len(f.Stmts) {
			end = f.Stmts[i+1].Pos().Offset()
		}
		text := script[stmt.Pos().Offset():end]
		if !strings.Contains(text, "<<") { // what follows is a comment
			text = script[stmt.Pos().Offset():stmt.End().Offset()]
		}
		list = append(list, strings.TrimSpace(text))
	}
	return list, nil
}
