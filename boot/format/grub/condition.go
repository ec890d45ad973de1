package grub

import (
	"io/fs"
	"strings"
)

// runTest evaluates a condition (grub-core/commands/test.c).
func (m *machine) runTest(_ *simple, args []string) int {
	if n := len(args); n > 0 && args[n-1] == "]" {
		args = args[:n-1]
	}
	if t := (tester{m, args}); !t.parse(0) {
		return errTestFailure
	}
	return 0
}

type tester struct {
	*machine
	args []string // what is left
}

func (t *tester) parse(depth int) bool {
	or, and, invert := false, true, false
	update := func(used int, value bool) {
		and = and && value != invert
		invert = false
		t.args = t.args[used:]
	}
	for len(t.args) > 0 {
		a := t.args
		if len(a) > 2 {
			if value, ok := t.compare(a[0], a[1], a[2]); ok {
				update(3, value)
				continue
			}
		}
		if len(a) > 1 {
			if value, ok := t.unary(a[0], a[1]); ok {
				update(2, value)
				continue
			}
		}
		switch a[0] {
		case ")":
			t.args = a[1:]
			return or || and
		case "(":
			t.args = a[1:]
			if depth >= maxDepth {
				return false
			}
			value := t.parse(depth + 1)
			update(0, value)
		case "!":
			invert = !invert
			t.args = a[1:]
		case "-a":
			t.args = a[1:]
		case "-o":
			or, and = or || and, true
			t.args = a[1:]
		default:
			update(1, a[0] != "")
		}
	}
	return or || and
}

// compare evaluates a test of two values.
func (t *tester) compare(a, op, b string) (value, ok bool) {
	switch op {
	case "=", "==":
		return a == b, true
	case "!=":
		return a != b, true
	case "<":
		return a < b, true
	case "<=":
		return a <= b, true
	case ">":
		return a > b, true
	case ">=":
		return a >= b, true
	case "-eq":
		return signed(a) == signed(b), true
	case "-ne":
		return signed(a) != signed(b), true
	case "-lt":
		return signed(a) < signed(b), true
	case "-le":
		return signed(a) <= signed(b), true
	case "-gt":
		return signed(a) > signed(b), true
	case "-ge":
		return signed(a) >= signed(b), true
	case "-plt", "-pgt": // the numbers after what both begin with
		i := 0
		for i < len(a) && i < len(b) && a[i] == b[i] {
			i++
		}
		for i > 0 && isDigit(a[i-1]) {
			i--
		}
		x, _ := number(a[i:])
		y, _ := number(b[i:])
		return op == "-plt" && x < y || op == "-pgt" && x > y, true
	}
	if newer := strings.HasPrefix(op, "-nt"); newer || strings.HasPrefix(op, "-ot") {
		x, y := t.stat(a), t.stat(b)
		if x == nil || y == nil {
			return newer && x != nil || !newer && y != nil, true
		}
		diff := x.ModTime().Unix() + signed(op[3:]) - y.ModTime().Unix()
		return newer && diff > 0 || !newer && diff < 0, true
	}
	return false, false
}

// unary evaluates a test of one value.
func (t *tester) unary(op, a string) (value, ok bool) {
	is := func(f func(fs.FileInfo) bool) (bool, bool) {
		st := t.stat(a)
		return st != nil && f(st), true
	}
	switch op {
	case "-d":
		return is(fs.FileInfo.IsDir)
	case "-e":
		return is(func(fs.FileInfo) bool { return true })
	case "-f":
		return is(func(st fs.FileInfo) bool { return !st.IsDir() })
	case "-s":
		return is(func(st fs.FileInfo) bool { return st.Mode().IsRegular() && st.Size() > 0 })
	case "-n":
		return a != "", true
	case "-z":
		return a == "", true
	}
	return false, false
}
