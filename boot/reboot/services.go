package reboot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

//go:embed openrc systemd
var files embed.FS

const (
	inittab = "/etc/inittab"

	// rebootLine is how services of OpenRC can distinguish a reboot.
	rebootLine = "::reboot:/sbin/openrc reboot"

	// journalFile is what uninstall goes by; beside it lies what was replaced.
	// It is below /etc, which a diskless Alpine keeps (lbu).
	journalFile = "/etc/kexec-reboot/installed"
	savedDir    = "/etc/kexec-reboot/saved"
)

// hookFile is called by apk.
const hookFile = "/etc/apk/commit_hooks.d/alpboot-keep"

// The parts of an installation.
const (
	partKexec    = "kexec"    // a reboot starts the next kernel
	partKeep     = "keep"     // the kernel before an upgrade is kept
	partWatchdog = "watchdog" // that of the boot menu is taken over
	partHealth   = "health"   // reports to the boot menu that the system is up
)

// Parts returns the names of the parts of an installation, each of which may be left
// out.
func Parts() []string { return []string{partKexec, partKeep, partWatchdog, partHealth} }

// part is a part of an installation: services of OpenRC, in their runlevels, and
// other files.
type part struct {
	name     string
	services []string
	files    []file
}

// file is a file to put in place, from those in this package. Keep is set for
// one that the user may have written.
type file struct {
	name, from string
	mode       fs.FileMode
	keep       bool
}

var openrcParts = []part{
	{partKexec, []string{"kexec-load", "kexec-exec"}, []file{{confFile, "openrc/kexec-load.confd", 0o644, true}}},
	{partKeep, []string{"alpboot-keep"}, []file{{hookFile, "openrc/alpboot-keep.hook", 0o755, false}}},
	{partWatchdog, []string{"alpboot-watchdog"}, nil},
	{partHealth, []string{"alpboot-health"}, []file{{"/etc/conf.d/alpboot-health", "openrc/alpboot-health.confd", 0o644, true}}},
}

// allServices returns the services of OpenRC of all parts.
func allServices() (names []string) {
	for _, p := range openrcParts {
		names = append(names, p.services...)
	}
	return names
}

// runlevels are the services and where they are started.
var runlevels = map[string]string{
	"kexec-load": "default", "kexec-exec": "shutdown",
	"alpboot-keep": "boot", "alpboot-watchdog": "boot", "alpboot-health": "boot",
}

// The unit of systemd, and the link that has it started.
const (
	healthUnit = "/etc/systemd/system/alpboot-health.service"
	healthLink = "/etc/systemd/system/multi-user.target.wants/alpboot-health.service"
)

func runlevelLink(service string) string {
	return path.Join("/etc/runlevels", runlevels[service], service)
}

// installer changes the system below its root, and nothing outside: a symbolic
// link that leads out is refused.
type installer struct {
	*System
	live   bool // it is the system that runs here
	dryRun bool

	dir     *os.Root
	journal []change
}

// change is a line of the journal: one thing that was done.
type change struct {
	kind string // file, link, dir, insert; started is a service that was running before
	name string
	// sum is the SHA-256 of the file as it was written; saved is whether
	// there was another before. text is what was inserted into the file.
	sum   string
	saved bool
	text  string
}

func (c change) String() string {
	switch c.kind {
	case "file":
		return fmt.Sprintf("file %s %s %t", c.name, c.sum, c.saved)
	case "insert":
		return fmt.Sprintf("insert %s %q", c.name, c.text)
	}
	return c.kind + " " + c.name
}

func parseChange(line string) (c change, err error) {
	kind, rest, _ := strings.Cut(line, " ")
	name, rest, _ := strings.Cut(rest, " ")
	c = change{kind: kind, name: name}
	switch kind {
	case "file":
		sum, saved, _ := strings.Cut(rest, " ")
		c.sum = sum
		c.saved, err = strconv.ParseBool(saved)
	case "insert":
		if c.text, err = strconv.Unquote(rest); c.text == "" && err == nil {
			err = errors.New("nothing inserted")
		}
	case "link", "dir", "started":
	default:
		err = errors.New("unknown kind")
	}
	if err != nil {
		return c, fmt.Errorf("%s: the line %q is none of kexec-reboot's: %w", journalFile, line, err)
	}
	return c, nil
}

// open opens the root and reads the journal.
func (in *installer) open() error {
	var err error
	if in.dir, err = os.OpenRoot(in.Root); err != nil {
		return err
	}
	b, err := in.dir.ReadFile(rel(journalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		c, err := parseChange(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return err
		}
		in.journal = append(in.journal, c)
	}
	return nil
}

// rel returns a path as os.Root takes it.
func rel(name string) string { return strings.TrimPrefix(name, "/") }

// installer returns what changes the system below root; "" is the running one.
func (s *System) installer(root string, dryRun bool) *installer {
	in := &installer{System: s, live: root == "" || filepath.Clean(root) == "/", dryRun: dryRun}
	if !in.live {
		other := *s
		other.Root = root
		in.System = &other
	}
	return in
}

// Install puts the services in place in the system below root, "" for the
// running one, and starts them there. Parts, by the names that [Parts] returns,
// may be left out.
func (s *System) Install(root string, without []string, dryRun bool) error {
	return s.installer(root, dryRun).install(without)
}

// Uninstall undoes what [System.Install] has done, and keeps what was changed
// by hand since.
func (s *System) Uninstall(root string, dryRun bool) error {
	return s.installer(root, dryRun).uninstall()
}

func (in *installer) install(without []string) error {
	steps, err := in.steps(without)
	if err != nil {
		return err
	}
	if err := in.open(); err != nil {
		return err
	}
	defer in.dir.Close()
	before := len(in.journal)
	if before == 0 && in.live && in.loadsByItself() { // the wiki's service
		if err := in.note(change{kind: "started", name: "kexec-load"}); err != nil {
			return err
		}
	}
	changed := false
	for _, step := range steps {
		did, err := step()
		changed = changed || did
		if err != nil {
			return errors.Join(err, in.writeJournal())
		}
	}
	if !changed {
		in.say("Everything is in place already")
	} else if err := in.writeJournal(); err != nil {
		return err
	}
	switch {
	case in.live && !in.dryRun && in.hasOpenRC() && !slices.Contains(without, partKexec):
		in.activate(slices.ContainsFunc(in.journal[before:], func(c change) bool { return c.kind == "insert" }))
	case in.live && !in.dryRun && !in.hasOpenRC() && changed:
		return in.Run("systemctl", "daemon-reload")
	}
	return nil
}

// steps returns what is to be done for all parts but some.
func (in *installer) steps(without []string) (steps []func() (bool, error), err error) {
	file := func(f file) func() (bool, error) {
		return func() (bool, error) {
			b, err := files.ReadFile(f.from)
			if err != nil {
				return false, err
			}
			return in.file(f.name, b, f.mode, f.keep)
		}
	}
	steps = append(steps, in.program)
	if !in.hasOpenRC() {
		if !in.exists("/etc/systemd/system") {
			return nil, fmt.Errorf("%s has no OpenRC (/etc/init.d and /etc/runlevels) and no systemd (/etc/systemd/system)", in.Root)
		}
		if slices.Contains(without, partHealth) {
			return nil, errors.New("nothing to install: systemd reboots by kexec with systemctl kexec, once kexec-reboot load has loaded a kernel")
		}
		return append(steps,
			file(fileOfHealth),
			func() (bool, error) { return in.symlink(healthLink, healthUnit) }), nil
	}
	for _, p := range openrcParts {
		if slices.Contains(without, p.name) {
			continue
		}
		if p.name == partKeep && !in.exists("/etc/apk") { // another system with OpenRC
			continue
		}
		for _, name := range p.services {
			steps = append(steps, file(fileOfService(name)))
		}
		for _, f := range p.files {
			steps = append(steps, file(f))
		}
		for _, name := range p.services {
			steps = append(steps, func() (bool, error) { return in.link(name) })
		}
		if p.name == partKexec {
			steps = append(steps, in.inittab)
		}
	}
	return steps, nil
}

var fileOfHealth = file{healthUnit, "systemd/alpboot-health.service", 0o644, false}

func fileOfService(name string) file {
	return file{"/etc/init.d/" + name, "openrc/" + name, 0o755, false}
}

// activate makes the running system notice.
func (in *installer) activate(newInittab bool) {
	if newInittab {
		in.rereadInittab()
	}
	if in.exists("/run/openrc/softlevel") && !in.loadsByItself() {
		if err := in.Run("rc-service", "kexec-load", "start"); err != nil {
			in.Warn("%v: until that works, or the next boot, reboot goes through the firmware", err)
		}
	}
	if in.Disabled() {
		in.Warn("%v", in.cannot())
	}
	if in.manager() == busybox && !in.knowsReboot("/proc/1/exe") {
		in.Warn("this busybox cannot distinguish reboot from poweroff (Alpine's from 1.37.0-r13 on can): kexec-reboot exec reboots by kexec, reboot goes through the firmware")
	}
}

// rereadInittab makes busybox init read its inittab. In a chroot PID 1 is not
// the init of this root.
func (in *installer) rereadInittab() {
	own, err1 := os.Stat(in.path("/"))
	first, err2 := os.Stat(in.path("/proc/1/root"))
	if err1 != nil || err2 != nil || !os.SameFile(own, first) || in.manager() != busybox {
		return
	}
	if err := in.Hangup(); err != nil {
		in.Warn("init has not read its new inittab (kill -HUP 1 does that): %v", err)
	}
}

// program puts this program where the services find it.
func (in *installer) program() (bool, error) {
	const own = "/sbin/kexec-reboot"
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/bin"} {
		if in.exists(path.Join(dir, "kexec-reboot")) && !in.exists(own) {
			return false, nil
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return false, err
	}
	if a, err := os.Stat(exe); err == nil {
		if b, err := os.Stat(in.path(own)); err == nil && os.SameFile(a, b) {
			return false, nil
		}
	}
	b, err := os.ReadFile(exe)
	if err != nil {
		return false, err
	}
	return in.file(own, b, 0o755, false)
}

// file makes a file hold content. What was there before is saved; a file that
// the user may have written or changed is kept where keep is true.
func (in *installer) file(name string, content []byte, mode fs.FileMode, keep bool) (bool, error) {
	at := slices.IndexFunc(in.journal, func(c change) bool { return c.kind == "file" && c.name == name })
	old, err := in.dir.ReadFile(rel(name))
	there := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	c := change{kind: "file", name: name, sum: sum(content)}
	switch {
	case there && bytes.Equal(old, content):
		if at >= 0 && in.journal[at].sum != c.sum { // an update was cut off before the journal
			in.journal[at].sum = c.sum
			return true, nil
		}
		return false, nil
	case there && at >= 0 && in.isSaved(in.journal[at], old): // a replacement was cut off after it
		c.saved = true
		in.say("replaced  %s (saved in %s)", name, savedDir)
	case there && at >= 0 && sum(old) != in.journal[at].sum, there && at < 0 && keep:
		in.say("kept      %s, which was written or changed by hand", name)
		return false, nil
	case there && at < 0:
		a, err := in.attributesOf(name)
		if err == nil {
			err = in.write(saved(name), old, a)
		}
		if err != nil {
			return false, err
		}
		c.saved = true
		in.say("replaced  %s (saved in %s)", name, savedDir)
	case there:
		c.saved = in.journal[at].saved
		in.say("updated   %s", name)
	default:
		in.say("created   %s", name)
	}
	if at >= 0 { // until the journal is written at the end, the old sum is what a user has not changed
		if err := in.write(name, content, attributes{mode: mode}); err != nil {
			return false, err
		}
		in.journal[at] = c
		return true, nil
	}
	if err := in.directory(path.Dir(name)); err != nil {
		return false, err
	}
	if err := in.note(c); err != nil {
		return false, err
	}
	return true, in.write(name, content, attributes{mode: mode})
}

// note writes into the journal what is about to be done: a power cut after it
// leaves nothing that uninstall does not know.
func (in *installer) note(c change) error {
	in.journal = append(in.journal, c)
	return in.writeJournal()
}

// isSaved reports whether b is the file as it was before c, which has then not
// been done.
func (in *installer) isSaved(c change, b []byte) bool {
	if !c.saved {
		return false
	}
	old, err := in.dir.ReadFile(rel(saved(c.name)))
	return err == nil && bytes.Equal(b, old)
}

// saved is where the file that was in the place of ours is kept.
func saved(name string) string { return path.Join(savedDir, path.Base(name)) }

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// attributes are those of a file besides its content.
type attributes struct {
	mode     fs.FileMode
	uid, gid int
}

// attributesOf returns the attributes of a file that is there.
func (in *installer) attributesOf(name string) (attributes, error) {
	st, err := in.dir.Stat(rel(name))
	if err != nil {
		return attributes{}, err
	}
	a := attributes{mode: st.Mode().Perm()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		a.uid, a.gid = int(sys.Uid), int(sys.Gid)
	}
	return a, nil
}

// write replaces a file at once, so that a power cut leaves the old or the new
// one.
func (in *installer) write(name string, content []byte, a attributes) error {
	if in.dryRun {
		return nil
	}
	if in.BeforeWrite != nil {
		in.BeforeWrite()
	}
	name = rel(name)
	if err := in.dir.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	temp := name + ".kexec-reboot-new"
	f, err := in.dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if os.Geteuid() == 0 {
		err = errors.Join(err, f.Chown(a.uid, a.gid))
	}
	err = errors.Join(err, f.Chmod(a.mode), f.Sync(), f.Close())
	if err == nil {
		err = in.dir.Rename(temp, name)
	}
	if err != nil {
		in.dir.Remove(temp)
		return err
	}
	dir, err := in.dir.Open(path.Dir(name)) // the new name is to be on the disk before what comes next
	if err != nil {
		return err
	}
	_ = dir.Sync() // some filesystems have none, and keep the order by themselves
	return dir.Close()
}

// edit replaces the content of a file, and nothing else about it.
func (in *installer) edit(name, content string) error {
	a, err := in.attributesOf(name)
	if err != nil {
		return err
	}
	return in.write(name, []byte(content), a)
}

// link puts a service into its runlevel.
func (in *installer) link(service string) (bool, error) {
	name := runlevelLink(service)
	if in.exists(name) {
		return false, nil
	}
	in.say("added     %s to the runlevel %s", service, runlevels[service])
	return true, in.newLink(name, path.Join("/etc/init.d", service))
}

// symlink makes a link unless something is there.
func (in *installer) symlink(name, target string) (bool, error) {
	if in.exists(name) {
		return false, nil
	}
	in.say("created   %s", name)
	return true, in.newLink(name, target)
}

func (in *installer) newLink(name, target string) error {
	if err := in.directory(path.Dir(name)); err != nil {
		return err
	}
	if err := in.note(change{kind: "link", name: name}); err != nil || in.dryRun {
		return err
	}
	return in.dir.Symlink(target, rel(name))
}

// directory makes a directory that uninstall removes again when it is empty then.
func (in *installer) directory(name string) error {
	if name == "/" || in.exists(name) {
		return nil
	}
	if err := in.directory(path.Dir(name)); err != nil {
		return err
	}
	if err := in.note(change{kind: "dir", name: name}); err != nil || in.dryRun {
		return err
	}
	return in.dir.Mkdir(rel(name), 0o755)
}

// inittab adds the reboot action for busybox init. The inittab of sysvinit
// looks otherwise, and calls openrc reboot by itself.
func (in *installer) inittab() (bool, error) {
	b, err := in.dir.ReadFile(rel(inittab))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	text := string(b)
	switch {
	case err != nil:
		return false, err
	case !busyboxTab(text):
		return false, nil
	case hasAction(text, "reboot"):
		if !strings.Contains(text, rebootLine) {
			in.say("kept      the reboot action of %s: it must run openrc reboot for the services to know", inittab)
		}
		return false, nil
	case !in.knowsReboot("/bin/busybox") && !(in.live && in.knowsReboot("/proc/1/exe")):
		in.say("left out  %s in %s: a busybox before Alpine's 1.37.0-r13 does not know it, and would print \"Bad inittab entry\" at each boot; once busybox is upgraded, kexec-reboot install adds it", rebootLine, inittab)
		return false, nil
	}
	in.say("added     %s to %s", rebootLine, inittab)
	text, insert := addReboot(text)
	if err := in.note(change{kind: "insert", name: inittab, text: insert}); err != nil {
		return true, err
	}
	return true, in.edit(inittab, text)
}

// addReboot adds the reboot action to an inittab, after the last shutdown
// action, whose sibling it is, or at the end. insert is what was added.
func addReboot(text string) (added, insert string) {
	at, offset := len(text), 0
	for line := range strings.Lines(text) {
		offset += len(line)
		if hasAction(line, "shutdown") {
			at = offset
		}
	}
	insert = rebootLine + "\n"
	if at > 0 && text[at-1] != '\n' {
		insert = "\n" + rebootLine
	}
	return text[:at] + insert + text[at:], insert
}

// cut takes inserted lines out of a text, which may have changed otherwise; ok
// is false when they are not there any more.
func cut(text, insert string) (rest string, ok bool) {
	for from := 0; from <= len(text); {
		i := strings.Index(text[from:], insert)
		if i < 0 {
			break
		}
		i += from
		end := i + len(insert)
		// Whole lines only: the same words may stand in a comment.
		begins := i == 0 || text[i-1] == '\n' || insert[0] == '\n'
		ends := end == len(text) || text[end] == '\n' || insert[len(insert)-1] == '\n'
		if begins && ends {
			return text[:i] + text[end:], true
		}
		from = i + 1
	}
	return text, false
}

// busyboxTab reports whether an inittab is one of busybox: the runlevels in the
// second field are always empty there.
func busyboxTab(text string) bool { return hasAction(text, "sysinit") }

// hasAction reports whether an inittab of busybox has a line with an action.
func hasAction(text, action string) bool {
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 4)
		if len(f) == 4 && !strings.HasPrefix(f[0], "#") && f[1] == "" && f[2] == action {
			return true
		}
	}
	return false
}

// knowsReboot reports whether the init of a busybox has the reboot action: the
// names of all actions stand in the program one after the other.
func (s *System) knowsReboot(program string) bool {
	b, err := os.ReadFile(s.path(program))
	return err == nil && bytes.Contains(b, []byte("shutdown\x00reboot\x00"))
}

func (in *installer) writeJournal() error {
	if len(in.journal) == 0 {
		return nil
	}
	var b strings.Builder
	for _, c := range in.journal {
		fmt.Fprintln(&b, c)
	}
	return in.write(journalFile, []byte(b.String()), attributes{mode: 0o644})
}

func (in *installer) uninstall() error {
	if err := in.open(); err != nil {
		return err
	}
	defer in.dir.Close()
	if len(in.journal) == 0 {
		in.say("Nothing of kexec-reboot install is in place")
		return nil
	}
	if in.live && !in.dryRun && in.loadsByItself() {
		if err := in.Run("rc-service", "kexec-load", "stop"); err != nil {
			in.Warn("%v", err)
		}
	}
	var left []change // what could not be undone
	var errs []error
	if k := in.keeper(context.Background()); k.Kept() {
		in.say("removed   the kernels that were kept in /boot/alpboot")
		if !in.dryRun {
			if err := k.Forget(); err != nil {
				in.Warn("%v", err)
			}
		}
	}
	reread := false
	for _, c := range slices.Backward(in.journal) {
		done, err := in.undo(c)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
		}
		if !done || err != nil {
			left = append(left, c)
		} else if c.kind == "insert" {
			reread = true
		}
	}
	if in.dryRun {
		return errors.Join(errs...)
	}
	if reread && in.live {
		in.rereadInittab()
	}
	if len(errs) > 0 {
		slices.Reverse(left)
		in.journal = left
		return errors.Join(append(errs, in.writeJournal())...)
	}
	if slices.ContainsFunc(left, func(c change) bool { return c.saved }) {
		return in.dir.Remove(rel(journalFile)) // what was saved is still needed
	}
	return in.dir.RemoveAll(rel(path.Dir(journalFile)))
}

// undo takes a change back. done is false for what a user has changed since,
// which is kept.
func (in *installer) undo(c change) (done bool, err error) {
	if c.kind == "started" {
		if !in.live {
			return true, nil
		}
		in.say("started   %s, which was running before", c.name)
		if in.dryRun {
			return true, nil
		}
		return true, in.Run("rc-service", c.name, "start")
	}
	if c.kind == "dir" {
		if !in.dryRun {
			_ = in.dir.Remove(rel(c.name)) // what somebody has put there stays
		}
		return true, nil
	}
	b, err := in.dir.ReadFile(rel(c.name))
	if c.kind == "link" {
		_, err = in.dir.Lstat(rel(c.name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // somebody else was faster
	}
	if err != nil {
		return false, err
	}
	switch c.kind {
	case "file":
		if in.isSaved(c, b) { // it was never replaced, or is restored already
			return true, nil
		}
		if sum(b) != c.sum {
			in.say("kept      %s, which was changed by hand", c.name)
			return false, nil
		}
		if c.saved {
			old, err := in.dir.ReadFile(rel(saved(c.name)))
			if err != nil {
				return false, err
			}
			a, err := in.attributesOf(saved(c.name))
			if err != nil {
				return false, err
			}
			in.say("restored  %s", c.name)
			return true, in.write(c.name, old, a)
		}
		in.say("removed   %s", c.name)
		return true, in.remove(c.name)
	case "link":
		in.say("removed   %s", c.name)
		return true, in.remove(c.name)
	}
	text, ok := cut(string(b), c.text)
	if !ok {
		return true, nil // the user has removed it
	}
	in.say("removed   %s from %s", strings.TrimSpace(c.text), c.name)
	return true, in.edit(c.name, text)
}

func (in *installer) remove(name string) error {
	if in.dryRun {
		return nil
	}
	return in.dir.Remove(rel(name))
}
