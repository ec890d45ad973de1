package grub

import (
	"errors"
	"fmt"
	"io"

	"github.com/alpboot/alpboot/boot"
)

// command is one command of a script: *simple, *ifElse, *forIn, *loop or
// *function.
type command any

// simple is a command line.
type simple struct {
	file  *file
	line  int
	words []word
	block []command // of a menu entry
}

// ifElse is if, with elif as an if of its own in no.
type ifElse struct {
	cond, yes, no []command
}

// forIn is for ... in.
type forIn struct {
	name  string
	words []word
	body  []command
}

// loop is while or until.
type loop struct {
	until      bool
	cond, body []command
}

// function is the definition of one.
type function struct {
	name string
	body []command
}

// parser reads a script by the grammar in grub-core/script/parser.y.
type parser struct {
	*lexer
	file  *file
	tok   token
	left  int // words and commands that may still be read
	depth int
}

func newParser(f *file, text string) *parser {
	return &parser{lexer: newLexer(text), file: f, left: maxWords}
}

// errTooMuch ends the reading of a file.
var errTooMuch = errors.New("it holds too much to be a configuration")

// syntaxError is an error in a unit, which costs that unit.
type syntaxError struct {
	line int
	text string
}

func (e *syntaxError) Error() string { return e.text }

// unit reads what GRUB reads before it runs it: one line, and more where a
// block or a quote goes on. A [syntaxError] costs the unit; what follows can be
// read. The end of the file is io.EOF.
func (p *parser) unit() (commands []command, err error) {
	defer func() {
		var syntax *syntaxError
		if errors.As(err, &syntax) {
			p.skipLine()
		}
	}()
	p.advance()
	if p.tok.kind == tokEnd {
		return nil, io.EOF
	}
	for p.tok.kind != tokNewline && p.tok.kind != tokEnd {
		var c command
		if p.keyword() == "function" {
			c, err = p.function()
		} else {
			c, err = p.command()
		}
		if err != nil {
			return nil, err
		}
		commands = append(commands, c)
		switch p.tok.kind {
		case tokSemicolon:
			p.advance()
		case tokNewline:
		default:
			return nil, p.unexpected()
		}
	}
	return commands, nil
}

func (p *parser) advance() { p.tok = p.next() }

// keyword returns the reserved word that the current token is; "" if none.
func (p *parser) keyword() string {
	if p.tok.kind == tokWord {
		switch p.tok.text {
		case "case", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in",
			"select", "then", "until", "while", "[[", "]]":
			return p.tok.text
		}
	}
	return ""
}

func (p *parser) unexpected() error {
	e := &syntaxError{line: p.tok.line}
	switch p.tok.kind {
	case tokEnd:
		e.text = "the file ends in the middle of a block"
	case tokNewline:
		e.text = "the line ends too early"
	case tokSemicolon:
		e.text = "; stands where a command should be"
	case tokOpen:
		e.text = "{ stands where no block can be"
	case tokClose:
		e.text = "} closes nothing"
	case tokBad:
		e.text = p.tok.text
	default:
		e.text = boot.Quote(p.tok.text) + " stands in the wrong place"
	}
	return e
}

// expect takes the reserved word s.
func (p *parser) expect(s string) error {
	if p.keyword() != s {
		return p.unexpected()
	}
	p.advance()
	return nil
}

func (p *parser) skipNewlines() {
	for p.tok.kind == tokNewline {
		p.advance()
	}
}

// use counts a word or command.
func (p *parser) use() error {
	if p.left--; p.left < 0 {
		return errTooMuch
	}
	return nil
}

// list reads one or more commands, up to but without a token that ends them.
// Where mayTouch is set nothing need stand between the last command and it.
func (p *parser) list(ends func() bool, mayTouch bool) ([]command, error) {
	p.skipNewlines()
	var commands []command
	for {
		c, err := p.command()
		if err != nil {
			return nil, err
		}
		commands = append(commands, c)
		if p.tok.kind != tokSemicolon && p.tok.kind != tokNewline {
			if mayTouch && ends() {
				return commands, nil
			}
			return nil, p.unexpected()
		}
		p.advance()
		p.skipNewlines()
		if ends() {
			return commands, nil
		}
	}
}

// before returns a test for list: whether one of these reserved words follows.
func (p *parser) before(words ...string) func() bool {
	return func() bool {
		k := p.keyword()
		for _, w := range words {
			if k == w {
				return true
			}
		}
		return false
	}
}

func (p *parser) atClose() bool { return p.tok.kind == tokClose }

func (p *parser) command() (command, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, errTooMuch
	}
	defer func() { p.depth-- }()
	if err := p.use(); err != nil {
		return nil, err
	}
	switch k := p.keyword(); k {
	case "":
		return p.simple()
	case "if":
		p.advance()
		c, err := p.ifElse()
		if err != nil {
			return nil, err
		}
		return c, p.expect("fi")
	case "for":
		return p.forIn()
	case "while", "until":
		p.advance()
		cond, err := p.list(p.before("do"), false)
		if err != nil {
			return nil, err
		}
		body, err := p.do()
		return &loop{until: k == "until", cond: cond, body: body}, err
	}
	return nil, p.unexpected()
}

// simple reads a command line and the block at its end.
func (p *parser) simple() (command, error) {
	c := &simple{file: p.file, line: p.tok.line}
	if p.tok.kind != tokWord {
		return nil, p.unexpected()
	}
	for p.tok.kind == tokWord {
		if k := p.keyword(); k == "[[" || k == "]]" {
			return nil, p.unexpected()
		}
		if err := p.use(); err != nil {
			return nil, err
		}
		c.words = append(c.words, p.tok.word)
		p.advance()
	}
	if p.tok.kind != tokOpen {
		return c, nil
	}
	p.advance()
	var err error
	if c.block, err = p.list(p.atClose, true); err != nil {
		return nil, err
	}
	p.advance()
	return c, nil
}

// ifElse reads what follows if or elif, up to fi.
func (p *parser) ifElse() (*ifElse, error) {
	if p.depth++; p.depth > maxNesting { // elif needs no command in between
		return nil, errTooMuch
	}
	defer func() { p.depth-- }()
	c := &ifElse{}
	var err error
	if c.cond, err = p.list(p.before("then"), false); err != nil {
		return nil, err
	}
	p.advance()
	if c.yes, err = p.list(p.before("fi", "else", "elif"), false); err != nil {
		return nil, err
	}
	switch p.keyword() {
	case "else":
		p.advance()
		c.no, err = p.list(p.before("fi"), false)
	case "elif":
		p.advance()
		var elif *ifElse
		elif, err = p.ifElse()
		c.no = []command{elif}
	}
	return c, err
}

func (p *parser) forIn() (command, error) {
	p.advance()
	if p.keyword() != "" || p.tok.kind != tokWord || !isName(p.tok.text) {
		return nil, p.unexpected()
	}
	c := &forIn{name: p.tok.text}
	p.advance()
	if err := p.expect("in"); err != nil {
		return nil, err
	}
	for p.tok.kind == tokWord && p.keyword() != "[[" && p.keyword() != "]]" {
		if err := p.use(); err != nil {
			return nil, err
		}
		c.words = append(c.words, p.tok.word)
		p.advance()
	}
	if p.tok.kind != tokSemicolon && p.tok.kind != tokNewline {
		return nil, p.unexpected()
	}
	p.advance()
	p.skipNewlines()
	var err error
	c.body, err = p.do()
	return c, err
}

// do reads do ... done.
func (p *parser) do() ([]command, error) {
	if err := p.expect("do"); err != nil {
		return nil, err
	}
	body, err := p.list(p.before("done"), false)
	if err == nil {
		p.advance()
	}
	return body, err
}

func (p *parser) function() (command, error) {
	p.advance()
	if p.keyword() != "" || p.tok.kind != tokWord || !isName(p.tok.text) {
		return nil, p.unexpected()
	}
	f := &function{name: p.tok.text}
	p.advance()
	p.skipNewlines()
	if p.tok.kind != tokOpen {
		return nil, p.unexpected()
	}
	p.advance()
	var err error
	if f.body, err = p.list(p.atClose, false); err != nil {
		return nil, err
	}
	p.advance()
	return f, nil
}

// syntaxNote is the sentence about a unit that could not be read.
func syntaxNote(err error) string {
	return fmt.Sprintf("GRUB's language does not allow this (%v): the command is skipped.", err)
}
