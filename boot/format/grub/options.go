package grub

import (
	"strconv"
	"strings"
)

// option is an option that a command knows.
type option struct {
	name  string
	short byte
	value valueKind
}

type valueKind int

const (
	valueNone valueKind = iota
	valueNeeded
	valueOptional
)

// parseOptions takes the options out of args, by the rules of
// grub-core/lib/arg.c. acceptDash keeps options that are unknown as arguments;
// else they make ok false.
func parseOptions(known []option, args []string, acceptDash bool) (set map[string][]string, rest []string, ok bool) {
	set = map[string][]string{}
	short := func(c byte) *option {
		for i := range known {
			if known[i].short == c && c != 0 {
				return &known[i]
			}
		}
		return nil
	}
args:
	for i := 0; i < len(args); i++ {
		a := args[i]
		if len(a) < 2 || a[0] != '-' {
			rest = append(rest, a)
			continue
		}
		if a == "--" {
			return set, append(rest, args[i+1:]...), true
		}
		var o *option
		value, hasValue := "", false
		if long, isLong := strings.CutPrefix(a, "--"); isLong {
			var name string
			name, value, hasValue = strings.Cut(long, "=")
			for j := range known {
				if known[j].name == name {
					o = &known[j]
				}
			}
			if o != nil && o.value != valueNone && !hasValue && i+1 < len(args) && (o.value == valueNeeded || !strings.HasPrefix(args[i+1], "-")) {
				i++
				value, hasValue = args[i], true
			}
		} else {
			for j := 1; j < len(a); j++ {
				if o = short(a[j]); o == nil {
					break
				}
				if j+1 < len(a) {
					if o.value == valueNeeded {
						return set, rest, false
					}
					set[o.name] = append(set[o.name], "")
				}
			}
			if o != nil && o.value != valueNone && i+1 < len(args) && (o.value == valueNeeded || !strings.HasPrefix(args[i+1], "-")) {
				i++
				value, hasValue = args[i], true
			}
		}
		switch {
		case o == nil && acceptDash:
			rest = append(rest, a)
			continue args
		case o == nil, o.value == valueNone && hasValue, o.value == valueNeeded && !hasValue:
			return set, rest, false
		}
		set[o.name] = append(set[o.name], value)
	}
	return set, rest, true
}

// number reads an unsigned number as grub_strtoul does, with 0x and 0 in front
// for other bases. What follows the digits is left; ok is false when something
// does, or there are none.
func number(s string) (n uint64, ok bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	base, digits := 10, s
	if strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X") {
		base, digits = 16, s[2:]
	} else if len(s) > 1 && s[0] == '0' {
		base, digits = 8, s[1:]
	}
	i := 0
	for i < len(digits) && digitValue(digits[i]) < base {
		i++
	}
	if i == 0 && base != 8 {
		return 0, false
	}
	if i > 0 {
		n, _ = strconv.ParseUint(digits[:i], base, 64) // returns the largest number when it is too large
	}
	return n, i == len(digits)
}

func digitValue(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'z':
		return int(c|0x20-'a') + 10
	}
	return 99
}

// signed reads a number that may be negative, 0 for none.
func signed(s string) int64 {
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		n, _ := number(rest)
		return -int64(n)
	}
	n, _ := number(s)
	return int64(n)
}
