package manual

import (
	"flag"
	"fmt"
	"slices"
	"strings"
)

// Shells are those that there are completions for.
func Shells() []string { return []string{"bash", "fish", "zsh"} }

// Completion returns a script for a shell that completes the verbs and flags of
// commands; "" for a shell that is not known.
func Completion(shell string, commands ...Command) string {
	var b strings.Builder
	switch shell {
	case "bash":
		for _, c := range commands {
			b.WriteString(c.bash())
		}
	case "fish":
		for _, c := range commands {
			b.WriteString(c.fish())
		}
	case "zsh":
		var names []string
		for _, c := range commands {
			names = append(names, c.Name)
		}
		fmt.Fprintf(&b, "#compdef %s\n\ncase $service in\n", strings.Join(names, " "))
		for _, c := range commands {
			b.WriteString(c.zsh())
		}
		b.WriteString("esac\n")
	}
	return b.String()
}

// flagNames returns the flags as they are typed.
func flagNames(flags *flag.FlagSet) (names []string) {
	for _, f := range Flags(flags) {
		names = append(names, f.Name)
	}
	return names
}

func (c Command) bash() string {
	var b strings.Builder
	function := "_" + strings.ReplaceAll(c.Name, "-", "_")
	fmt.Fprintf(&b, "%s() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\n", function)
	if c.Verbs == nil {
		fmt.Fprintf(&b, "\t[[ $cur != -* ]] || words=%q\n", strings.Join(flagNames(c.Flags), " "))
	} else {
		var names []string
		for _, v := range c.Verbs {
			names = append(names, v.Name)
		}
		fmt.Fprintf(&b, "\tif ((COMP_CWORD == 1)); then\n\t\twords=%q\n\telse\n\t\tcase ${COMP_WORDS[1]} in\n", strings.Join(append(names, "--help", "--version"), " "))
		for _, v := range c.Verbs {
			if all := slices.Concat(v.Words, flagNames(v.Flags), []string{"--help"}); len(all) > 0 {
				fmt.Fprintf(&b, "\t\t%s) words=%q ;;\n", v.Name, strings.Join(all, " "))
			}
		}
		b.WriteString("\t\tesac\n\tfi\n")
	}
	fmt.Fprintf(&b, "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\ncomplete -o default -F %s %s\n", function, c.Name)
	return b.String()
}

func (c Command) fish() string {
	var b strings.Builder
	flags := func(set *flag.FlagSet, when string) {
		for _, f := range Flags(set) {
			kind, takes := "-l", ""
			if !strings.HasPrefix(f.Name, "--") {
				kind = "-s"
			}
			if f.Value != "" {
				takes = " -r"
			}
			fmt.Fprintf(&b, "complete -c %s%s %s %s%s -d %s\n", c.Name, when, kind, strings.TrimLeft(f.Name, "-"), takes, fishQuoted(f.Usage))
		}
	}
	if c.Verbs == nil {
		flags(c.Flags, "")
		return b.String()
	}
	for _, v := range c.Verbs {
		fmt.Fprintf(&b, "complete -c %s -f -n __fish_use_subcommand -a %s -d %s\n", c.Name, v.Name, fishQuoted(v.About))
		when := fmt.Sprintf(" -n '__fish_seen_subcommand_from %s'", v.Name)
		flags(v.Flags, when)
		if v.Words != nil {
			fmt.Fprintf(&b, "complete -c %s -f%s -a %s\n", c.Name, when, fishQuoted(strings.Join(v.Words, " ")))
		}
	}
	return b.String()
}

func fishQuoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}

func (c Command) zsh() string {
	var b strings.Builder
	arguments := func(set *flag.FlagSet, words []string, args string) string {
		list := []string{"_arguments", "'--help[describe it]'"}
		for _, f := range Flags(set) {
			spec := f.Name
			if f.Value != "" {
				spec += "="
			}
			spec += "[" + strings.NewReplacer("[", "(", "]", ")").Replace(f.Usage) + "]"
			if f.Value != "" {
				spec += ":" + strings.ToLower(f.Value) + ":_files"
			}
			list = append(list, zshQuoted(spec))
		}
		switch {
		case words != nil:
			list = append(list, zshQuoted("1:word:("+strings.Join(words, " ")+")"))
		case args != "":
			list = append(list, "'*:word:_files'")
		}
		return strings.Join(list, " ")
	}
	fmt.Fprintf(&b, "%s)\n", c.Name)
	if c.Verbs == nil {
		fmt.Fprintf(&b, "\t%s\n\t;;\n", arguments(c.Flags, nil, c.Args))
		return b.String()
	}
	b.WriteString("\tif ((CURRENT == 2)); then\n\t\tlocal -a verbs=(")
	for _, v := range c.Verbs {
		b.WriteString(" " + zshQuoted(v.Name+":"+strings.ReplaceAll(v.About, ":", `\:`)))
	}
	b.WriteString(" )\n\t\t_describe verb verbs\n\telse\n\t\tlocal verb=${words[2]}\n\t\tshift words\n\t\t((CURRENT--))\n\t\tcase $verb in\n")
	for _, v := range c.Verbs {
		fmt.Fprintf(&b, "\t\t%s) %s ;;\n", v.Name, arguments(v.Flags, v.Words, v.Args))
	}
	b.WriteString("\t\tesac\n\tfi\n\t;;\n")
	return b.String()
}

func zshQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
