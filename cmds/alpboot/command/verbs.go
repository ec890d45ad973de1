package command

import (
	"context"
	"flag"
	"io"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/doctor"
	"github.com/alpboot/alpboot/boot/install"
	"github.com/alpboot/alpboot/boot/manual"
	"github.com/alpboot/alpboot/boot/reboot"
	"github.com/alpboot/alpboot/cmds/lsboot/lsboot"
)

// A verb is one thing that alpboot or kexec-reboot does. The table of them is what
// --help, the manual page and the completions of shells are made from.
type verb struct {
	name  string
	args  string // words after the flags, as the usage has them: "[ENTRY]", "VERB [NAME] ..."
	about string // what it does, in a few words
	text  string // what there is to know about it: sentences, with an empty line between paragraphs

	// flags adds the verb's flags, and returns what is called when they have been
	// parsed.
	flags func(f *flag.FlagSet) runner
}

// A runner does what a verb is for, with the words after its flags. It returns the
// exit code of what was done.
type runner func(ctx context.Context, c command, words []string) (code int, err error)

// noFlags is for a verb without flags and words that ends in 0 or an error.
func noFlags(do func(command, context.Context) error) func(*flag.FlagSet) runner {
	return func(*flag.FlagSet) runner {
		return func(ctx context.Context, c command, _ []string) (int, error) { return 0, do(c, ctx) }
	}
}

// verbs lists what alpboot does; the first one is meant when none is named.
func verbs() []verb {
	return []verb{
		{"status", "", "what starts this machine, now and next", textStatus, noFlags(command.Overview)},
		{"list", "[DEVICE...]", "what can be booted, as the menu would list it", textList, listVerb},
		{"doctor", "", "whether this machine would come back", textDoctor, doctorVerb},
		{"default", "[ENTRY]", "what is booted when nobody chooses", textDefault, defaultVerb},
		{"next", "[ENTRY]", "what is booted at the next start only", textNext, nextVerb},
		{"timeout", "[SECONDS]", "how long the menu counts down", textTimeout, timeoutVerb},
		{"reboot", "[ENTRY]", "restarts, by kexec where that works", textReboot, rebootVerb},
		{"install", "", "makes alpboot what this machine starts next", textInstall, setup(true, install.Setup.Install)},
		{"update", "", "replaces the alpboot that is installed by a newer one", textUpdate, updateVerb},
		{"uninstall", "", "takes alpboot away, and nothing else", textUninstall, setup(false, install.Setup.Uninstall)},
		{"sign", "", "signs what may start", textSign, signVerb},
		{"keys", "", "makes keys for Secure Boot", textKeys, keysVerb},
		{"log", "[FILE]", "what is known of the last starts", textLog, logVerb},
		goodVerb(),
		rememberVerb(),
		slotVerb(),
		{"completion", "SHELL", "prints a script that completes verbs and flags", textCompletion, completionVerb},
	}
}

const textStatus = `Prints what starts this machine now, what the next start boots and why, what is
known of the last one, whether a reboot works by kexec, which services are in
place, and which entries there are. Changes nothing. The exit status of
kexec-reboot status tells whether a reboot will kexec.`

const textList = lsboot.About + `

The exit status is 0 when there are entries, 1 when there are none. lsboot is
this verb by another name.`

func listVerb(f *flag.FlagSet) runner {
	asJSON := f.Bool("json", false, "print an array of objects, one an entry")
	return func(_ context.Context, c command, targets []string) (int, error) {
		return lsboot.List(targets, *asJSON, c.Stdout, c.Stderr), nil
	}
}

const textDoctor = `Checks each link from the firmware to the root filesystem, for the entry that
boots now and for the one that comes after it: the boot order and alpboot's own
image, signatures under Secure Boot, that kernel and initramfs are whole, that
the initramfs has the modules of its kernel and the drivers of the root
filesystem's disk, that root= and /etc/fstab name what is there, room for an
update, watchdog, counters, services, settings. Each finding is a line with what
to do. Needs root rights; changes nothing.

The exit status is 0 for a machine that is well, 1 with warnings, 2 for one that
would not come back, 3 when that cannot be found out.`

func doctorVerb(f *flag.FlagSet) runner {
	asJSON := f.Bool("json", false, "print an object: state, boots, fallback, findings")
	return func(ctx context.Context, c command, _ []string) (int, error) {
		r, err := c.Examine(ctx)
		if err != nil {
			c.Warn("%v", err)
			return exitUnknown, nil
		}
		if *asJSON {
			err = boot.WriteJSON(c.Stdout, r)
		} else {
			err = r.Print(c.Stdout)
		}
		return map[string]int{doctor.Healthy: exitDone, doctor.Warnings: exitWarnings, doctor.NotBack: exitBroken}[r.State], err
	}
}

// The exit codes of doctor.
const (
	exitWarnings = iota + 1
	exitBroken
	exitUnknown
)

const textDefault = `Remembers an entry, by its ID, title or number in status, where the boot menu
remembers what was made the default there. @last is the entry that was booted
last. Without an entry, prints which one it is and why.`

func defaultVerb(f *flag.FlagSet) runner {
	clear := f.Bool("clear", false, "remember none any more")
	return remembered(clear, false)
}

const textNext = `Remembers an entry for the next start, and for no other one. Without an entry,
prints what was asked for.`

func nextVerb(f *flag.FlagSet) runner {
	clear := f.Bool("clear", false, "take the request back")
	return remembered(clear, true)
}

// remembered is default, or with once next.
func remembered(clear *bool, once bool) runner {
	return func(ctx context.Context, c command, words []string) (int, error) {
		switch {
		case *clear && len(words) > 0:
			return 0, misused("--clear takes no entry")
		case *clear:
			return 0, c.SetDefault(ctx, "", once)
		case len(words) == 0:
			return 0, c.ShowDefault(ctx, once)
		}
		return 0, c.SetDefault(ctx, words[0], once)
	}
}

const textTimeout = `Writes how long the boot menu counts down, to the file of its settings, as the
menu's page of settings does: alpboot.conf on the EFI system partition, or where
it is. 0 boots at once; auto is what the configuration of the default entry has.
Without a number, prints how long it is and where that is from.`

func timeoutVerb(*flag.FlagSet) runner {
	return func(ctx context.Context, c command, words []string) (int, error) {
		if len(words) == 0 {
			c.ShowTimeout(ctx)
			return 0, nil
		}
		return 0, c.SetTimeout(ctx, words[0])
	}
}

const textReboot = `Shuts the system down in order and restarts it. With an entry, that one is
booted: by kexec where that works, else through the firmware and the boot menu,
which boots it once. Which of them it will be is printed before that.`

func rebootVerb(f *flag.FlagSet) runner {
	var o reboot.RebootOptions
	f.BoolVar(&o.Setup, "firmware", false, "into the setup of the firmware")
	f.StringVar(&o.To, "to", "", "what else the firmware starts, such as Windows: by `NAME`")
	f.BoolVar(&o.NoKexec, "no-kexec", false, "through the firmware, even where kexec works")
	f.BoolVar(&o.DryRun, "dry-run", false, "only print what would be done")
	return func(ctx context.Context, c command, words []string) (int, error) {
		if len(words) > 0 {
			o.Entry = words[0]
		}
		given := 0
		for _, set := range []bool{o.Setup, o.To != "", o.Entry != ""} {
			if set {
				given++
			}
		}
		if given > 1 {
			return 0, misused("an entry, --firmware and --to exclude one another")
		}
		return 0, c.Reboot(ctx, o)
	}
}

const textSign = `Lists what the boot menu may start in alpboot.manifest: each entry of a
configuration on what is mounted at / or below /boot, /efi or /media, with the
hashes of its files and its command line. A program signs that, and asks for a
passphrase itself: minisign, ssh-keygen (also by an agent or a token), or
openssl with a key of abuild-keygen. To be called again whenever a kernel, an
initramfs or a command line has changed; the hooks of alpboot's packages do it
after a change of a kernel, where /etc/alpboot/sign.key is a key or a link to
one. With ssh-keygen, FILE may be a public key whose other half an agent has.

The epoch is a number in what is signed, which stays. With --revoke-older it is
raised, and with it a counter in the TPM 2.0 of this machine, which is made
where there is none: what was signed in an older epoch does not start there any
more, also not from a disk that is not mounted now. That cannot be undone.

What is signed counts where the image of the menu has the public key (mkpayload
uki --key) and the setting verify asks for signatures.`

func signVerb(f *flag.FlagSet) runner {
	var o reboot.SignOptions
	f.StringVar(&o.Key, "key", "", "the key, `FILE`, in place of /etc/alpboot/sign.key")
	f.Uint64Var(&o.Epoch, "epoch", 0, "the epoch, a `NUMBER` from 1")
	f.BoolVar(&o.RevokeOlder, "revoke-older", false, "nothing that was signed before starts any more")
	f.StringVar(&o.Owner, "owner", "", "a `FILE` with the password of the TPM's owner")
	f.BoolVar(&o.IfNeeded, "if-needed", false, "not without a key, nor what is signed already")
	f.BoolVar(&o.DryRun, "dry-run", false, "only print what would be signed")
	return func(ctx context.Context, c command, _ []string) (int, error) {
		switch {
		case o.RevokeOlder && (o.IfNeeded || o.Epoch != 0):
			return 0, misused("--revoke-older goes neither with --epoch nor with --if-needed")
		case o.Owner != "" && !o.RevokeOlder:
			return 0, misused("--owner goes with --revoke-older")
		}
		return 0, c.Sign(ctx, o)
	}
}

const textLog = `Prints what the boot menu remembers of the last starts, what kernels that
panicked have left in EFI variables, why the watchdog has restarted the machine,
and the end of this system's rc.log.

With --chart or --svg, when what ran in one start of the menu, from the firmware
to the jump: in that which has started this system, as the menu has handed it
on (on x86, by kexec_load), or in that of FILE, a log that the menu has saved
(l and w there).`

func logVerb(f *flag.FlagSet) runner {
	asText := f.Bool("chart", false, "print when what ran in the start of the menu")
	svg := f.String("svg", "", "draw that as a picture, in `PICTURE`")
	return func(ctx context.Context, c command, words []string) (int, error) {
		switch {
		case !*asText && *svg == "" && len(words) > 0:
			return 0, misused("FILE goes with --chart or --svg")
		case !*asText && *svg == "":
			return 0, c.Log(ctx)
		}
		spans, err := startOf(c.Machine, words)
		if err != nil {
			return 0, err
		}
		return 0, showChart(c.Stdout, spans, *asText, *svg)
	}
}

// These are verbs of kexec-reboot too.

func goodVerb() verb {
	return verb{"good", "", "reports that this system has come up", `Reports to the boot menu that the system which it has started last is up, where
its setting confirm asks for that: in its EFI variables, or in its file on a
volume that is mounted for writing at / or below /boot, /efi or /media. To be
called at the end of a start.`, noFlags(command.ConfirmBoot)}
}

func rememberVerb() verb {
	return verb{"remember", "", "makes a file for what the menu remembers", `Makes the files alpboot.state.0 and alpboot.state.1 in which the boot menu
remembers on a machine without EFI variables: beside its alpboot.conf, else
beside its image, on a partition of a disk that is built in and mounted at / or
below /boot, /efi or /media. The menu makes none itself.`, func(f *flag.FlagSet) runner {
		remove := f.Bool("remove", false, "remove them")
		dryRun := f.Bool("dry-run", false, "only print what would be done")
		return func(ctx context.Context, c command, _ []string) (int, error) {
			return 0, c.PrepareMemory(ctx, *remove, *dryRun)
		}
	}}
}

func slotVerb() verb {
	return verb{"slot", "VERB [WORD...]", "answers RAUC", `Answers and does what RAUC asks of a custom bootloader backend: get-primary,
set-primary NAME, get-state NAME, set-state NAME good or bad, get-current. NAME,
the bootname of a slot, is the ID or the title of its entry; one of a system
that is not mounted can only be named by its ID.

The primary slot is the remembered default of the menu. A slot is bad when no
tries are left for it; setting the primary slot gives it all of them.
get-primary and get-current print the bootname, which they take from RAUC's
system.conf.`, func(*flag.FlagSet) runner {
		return func(ctx context.Context, c command, words []string) (int, error) {
			return 0, c.Slot(ctx, words[0], words[1:]...)
		}
	}}
}

const textCompletion = `Prints the completions of alpboot, lsboot and kexec-reboot for a shell: bash,
fish or zsh. For bash: eval "$(alpboot completion bash)".`

func completionVerb(*flag.FlagSet) runner {
	return func(_ context.Context, c command, words []string) (int, error) {
		script := manual.Completion(words[0], pages()...)
		if script == "" {
			return 0, misused("there are completions for %s", strings.Join(manual.Shells(), ", "))
		}
		_, err := io.WriteString(c.Stdout, script)
		return 0, err
	}
}

// pages returns the commands as their manual pages have them. What kexec-reboot(8) has
// besides its verbs is written by hand.
func pages() []manual.Command {
	var flags lsboot.Flags
	return []manual.Command{
		{Name: "alpboot", Section: 8, About: "what a system that alpboot boots starts next, and whether it would come back", Default: true, Text: textAlpboot, Verbs: manualVerbs(verbs()),
			More: []manual.Section{{Title: "Exit status", Text: "0 when it was done, 1 when it failed or was refused, 2 for misuse.\n\n" +
				"The verbs list and doctor have more, which stand with them."}},
			SeeAlso: []string{"alpboot.conf(5)", "alpboot-menu(7)", "kexec-reboot(8)", "lsboot(8)"}},
		{Name: "lsboot", Section: 8, About: "list what can be booted", Text: lsboot.About, Args: "[TARGET...]", Flags: flags.Set(io.Discard),
			More: []manual.Section{{Title: "Exit status", Text: strings.TrimPrefix(lsboot.Exit, "Exit status: ")}}, SeeAlso: []string{"alpboot(8)"}},
		{Name: "kexec-reboot", Section: 8, About: "restart Linux without going through the firmware", Text: textKexecReboot, Verbs: manualVerbs(kexecVerbs())},
	}
}

// manualVerbs returns verbs as the manual page and the completions have them.
func manualVerbs(verbs []verb) (list []manual.Verb) {
	words := map[string][]string{"slot": {"get-primary", "set-primary", "get-state", "set-state", "get-current"},
		"completion": manual.Shells(), "keep": {"pre-commit", "post-commit"}}
	for _, v := range verbs {
		list = append(list, manual.Verb{Name: v.name, Args: v.args, About: v.about, Text: v.text, Flags: v.flagSet(), Words: words[v.name]})
	}
	return list
}

const textAlpboot = `The command of a running system that alpboot boots. lsboot and kexec-reboot are
names of it, by links; where the links are missing, alpboot lsboot and alpboot
kexec-reboot are these commands.

Entries are named by ID, title or number, as status prints them. What is changed
is changed where the boot menu remembers it.`

// least and most are how many words a verb takes after its flags.
func (v verb) least() int {
	n := 0
	for _, w := range strings.Fields(v.args) {
		if !strings.HasPrefix(w, "[") {
			n++
		}
	}
	return n
}

func (v verb) most() int {
	if strings.Contains(v.args, "...") {
		return 1 << 10
	}
	return len(strings.Fields(v.args))
}

// flagSet returns the verb's flags, for those who list them.
func (v verb) flagSet() *flag.FlagSet {
	f := newFlags()
	v.flags(f)
	return f
}

// fold breaks a usage into lines of at most width characters, between its words.
func fold(usage string, width int) string {
	var b strings.Builder
	column := 0
	for i, part := range strings.Split(usage, " [") {
		if i > 0 {
			part = "[" + part
		}
		switch {
		case i == 0:
		case column+1+len(part) > width:
			b.WriteString("\n       ")
			column = 7
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(part)
		column += len(part)
	}
	return b.String()
}
