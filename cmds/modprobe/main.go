// Command modprobe loads and unloads kernel modules, in the words of kmod's
// modprobe(8) as far as the image has a use for them. The kernel calls it by
// itself for what it misses: modprobe -q -- fs-erofs.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/module"
	"github.com/alpboot/alpboot/boot/version"
)

const usage = `Usage: modprobe [-q] [-v] [-n|-D] NAME [PARAMETER[=VALUE]]...
       modprobe [-q] [-v] [-n|-D] -a NAME...
       modprobe [-q] [-v] [-n] -r NAME...

Loads the kernel module NAME with all that it depends on. NAME may be an alias
of modules, such as fs-ext4. A PARAMETER is the module's; the kernel command
line may also hold some, as NAME.PARAMETER=VALUE.

  -a, --all            every argument is a NAME
  -r, --remove         unload it, and what it depended on unless that is in use
  -n, --dry-run        (or --show) do nothing, but find what would be done
  -D, --show-depends   print what NAME consists of, loaded or not
  -q, --quiet          print nothing about what fails
  -v, --verbose        print what is done
  -V, --version        print the version
  -h, --help           print this

The exit code is 0 when all of it is done, or was done before, and 1 when not.
`

// system is what a module index and this command need of the machine.
type system struct {
	root    fs.FS // has lib/modules, proc and sys
	release string
	insert  func(file fs.File, params string) error // nil: the kernel's own
	remove  func(name string) error
}

func thisMachine() (system, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return system{}, fmt.Errorf("the release of this kernel is unknown: %w", err)
	}
	return system{root: os.DirFS("/"), release: unix.ByteSliceToString(uts.Release[:]), insert: module.Insert, remove: module.Delete}, nil
}

type options struct {
	all, remove, dry, show, quiet, verbose, version, help bool

	args []string // neither flags nor their values
}

// parse reads the arguments as getopt_long does: flags may stand anywhere
// before --, several letters behind one dash.
func parse(args []string) (o options, err error) {
	flags := map[string]*bool{
		"a": &o.all, "all": &o.all,
		"r": &o.remove, "remove": &o.remove,
		"n": &o.dry, "dry-run": &o.dry, "show": &o.dry,
		"D": &o.show, "show-depends": &o.show,
		"q": &o.quiet, "quiet": &o.quiet,
		"v": &o.verbose, "verbose": &o.verbose,
		"V": &o.version, "version": &o.version,
		"h": &o.help, "help": &o.help,
	}
	for i, a := range args {
		if a == "--" {
			o.args = append(o.args, args[i+1:]...)
			break
		}
		names := []string{strings.TrimPrefix(a, "--")}
		switch {
		case !strings.HasPrefix(a, "-"):
			o.args = append(o.args, a)
			continue
		case names[0] == a:
			names = strings.Split(a[1:], "")
		}
		for _, name := range names {
			flag := flags[name]
			if flag == nil {
				return o, fmt.Errorf("there is no option %s", a)
			}
			*flag = true
		}
	}
	if len(o.args) == 0 && !o.version && !o.help {
		return o, errors.New("which module?")
	}
	return o, nil
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, thisMachine)) }

func run(args []string, stdout, stderr io.Writer, machine func() (system, error)) int {
	o, err := parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "modprobe: %v\n%s", err, usage)
		return 1
	}
	if o.help {
		io.WriteString(stdout, usage)
		return 0
	}
	if o.version {
		fmt.Fprintln(stdout, "modprobe", version.String())
		return 0
	}
	p := prober{options: o, out: stdout}
	if p.sys, err = machine(); err == nil {
		err = p.run()
	}
	if err == nil {
		return 0
	}
	if !o.quiet {
		for line := range strings.SplitSeq(err.Error(), "\n") { // of errors.Join
			fmt.Fprintln(stderr, "modprobe:", line)
		}
	}
	return 1
}

// prober does what the options ask for.
type prober struct {
	options
	sys   system
	index *module.Index
	out   io.Writer
}

func (p *prober) run() (err error) {
	if p.index, err = module.Open(p.sys.root, p.sys.release); err != nil {
		return err
	}
	// Not there when the kernel asks for something before init has mounted it.
	if cmdline, err := fs.ReadFile(p.sys.root, "proc/cmdline"); err == nil {
		p.index.Cmdline = string(cmdline)
	}
	p.index.Insert, p.index.Delete = p.sys.insert, p.delete
	names, params := p.args, []string(nil)
	if !p.all && !p.remove {
		names, params = names[:1], quoted(names[1:])
	}
	var errs []error
	for _, name := range names {
		do := p.load
		if p.remove {
			do = p.unload
		}
		if err := do(name, params); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// load prints and does what loads a module.
func (p *prober) load(name string, params []string) error {
	steps, err := p.index.Plan(name, params...)
	for _, s := range steps {
		switch {
		case s.File == "" && p.show:
			p.say("builtin", s.Name)
		case s.File != "" && (p.show || p.verbose && !p.loaded(s.Name)):
			p.say("insmod", "/"+s.File, s.Params)
		}
	}
	if err == nil && !p.show && !p.dry {
		err = p.index.Load(name, params...)
	}
	switch {
	case errors.Is(err, module.ErrBlacklisted):
		return nil // as the user asked
	case errors.Is(err, module.ErrNotFound) && p.index.Empty():
		return fmt.Errorf("%w: /lib/modules holds none for this kernel, Linux %s", err, p.sys.release)
	case errors.Is(err, module.ErrNotFound):
		return fmt.Errorf("%w in /lib/modules/%s, neither by name nor by alias", err, p.sys.release)
	}
	return explain(err)
}

// explain adds what the kernel means by the number that it refuses a module with.
func explain(err error) error {
	if file := (*fs.PathError)(nil); errors.As(err, &file) {
		return err // the kernel was not asked
	}
	for _, r := range []struct {
		errno unix.Errno
		text  string
	}{
		{unix.ENOENT, "it uses a symbol that the kernel lacks, or does not know a parameter; dmesg shows which"},
		{unix.EINVAL, "it refuses the value of a parameter, or fails otherwise; dmesg shows why"},
		{unix.ENOEXEC, "the file is damaged, or was built for another kernel; dmesg shows which"},
		{unix.ENODEV, "nothing that it drives is there"},
		{unix.EBUSY, "another driver has what it drives"},
		{unix.EPERM, "only root may load modules, and a locked down kernel takes signed ones only"},
		{unix.EKEYREJECTED, "the kernel takes modules only with a signature that it trusts"},
	} {
		if errors.Is(err, r.errno) {
			return fmt.Errorf("%w (%s)", err, r.text)
		}
	}
	return err
}

// unload unloads a module; that it is not loaded is not an error.
func (p *prober) unload(name string, _ []string) error {
	if err := p.index.Unload(name); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// delete is what the index unloads a module with.
func (p *prober) delete(name string) error {
	var err error
	switch {
	case !p.dry:
		err = p.sys.remove(name)
	case !p.loaded(name):
		err = unix.ENOENT
	case len(p.users(name)) > 0:
		err = unix.EWOULDBLOCK
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		if users := p.users(name); len(users) > 0 {
			return fmt.Errorf("it is in use by %s", strings.Join(users, ", "))
		}
		return errors.New("it is in use")
	}
	if err == nil && p.verbose {
		p.say("rmmod", name)
	}
	return err
}

func (p *prober) say(words ...string) {
	fmt.Fprintln(p.out, strings.TrimSpace(strings.Join(words, " ")))
}

// directory returns the directory of a loaded module in sysfs.
func directory(name string) string {
	return path.Join("sys/module", strings.ReplaceAll(name, "-", "_"))
}

// loaded reports whether a module is loaded; a built-in one has a directory too, if
// it has parameters.
func (p *prober) loaded(name string) bool {
	_, err := fs.Stat(p.sys.root, path.Join(directory(name), "initstate"))
	return err == nil
}

// users returns the modules that use a loaded one.
func (p *prober) users(name string) []string {
	var list []string
	holders, _ := fs.ReadDir(p.sys.root, path.Join(directory(name), "holders"))
	for _, h := range holders {
		list = append(list, h.Name())
	}
	return list
}

// quoted puts values with white space in the quotes that the kernel wants
// around them and a shell takes away.
func quoted(params []string) []string {
	list := make([]string, len(params))
	for i, s := range params {
		list[i] = s
		if name, value, ok := strings.Cut(s, "="); ok && strings.ContainsAny(value, " \t\n") && !strings.HasPrefix(value, `"`) {
			list[i] = name + `="` + value + `"`
		}
	}
	return list
}
