package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLimits asserts that docs/discovery.md names every limit of what reads from
// disks: the constants there whose names begin with max.
func TestLimits(t *testing.T) {
	var table strings.Builder
	table.WriteString("| package | constant | value | of what |\n|---|---|---|---|\n")
	for _, pattern := range []string{"discover", "format/*", "kernel", "device", "device/*"} {
		dirs, err := filepath.Glob("../../boot/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			table.WriteString(limitsOf(t, dir))
		}
	}
	const (
		file        = "../../docs/discovery.md"
		begin, end  = "<!-- limits: written by go test ./cmds/lsboot -run TestLimits -update -->\n", "<!-- /limits -->"
		tooFewLines = 40
	)
	if n := strings.Count(table.String(), "\n"); n < tooFewLines {
		t.Fatalf("only %d lines of limits have been found", n)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the limits", file)
	}
	golden(t, file, head+begin+table.String()+end+tail)
}

// limitsOf returns a row for each limit in the package in a directory.
func limitsOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	fset := token.NewFileSet()
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				if !strings.HasPrefix(v.Names[0].Name, "max") || len(v.Values) != 1 {
					continue
				}
				var value strings.Builder
				if err := printer.Fprint(&value, fset, v.Values[0]); err != nil {
					t.Fatal(err)
				}
				about := v.Comment.Text() + v.Doc.Text()
				if about == "" && !g.Lparen.IsValid() {
					about = g.Doc.Text()
				}
				fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", strings.TrimPrefix(filepath.ToSlash(dir), "../../boot/"), v.Names[0].Name, value.String(), strings.ReplaceAll(strings.Join(strings.Fields(about), " "), "|", `\|`))
			}
		}
	}
	return rows.String()
}
