package reboot

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/settings"
)

// menuDefault as an entry is the one that the boot menu would boot.
const menuDefault = "default"

// Options are what to load, and how. Without a kernel and an entry that is what
// a reboot loads: what was loaded by hand before, else what the settings of the
// service name.
type Options struct {
	Entry     string       // an entry by ID, title or number, or "default"
	Kernel    string       // a kernel file, by its absolute path
	Initrds   []string     // files that go with Kernel, by their absolute paths
	Cmdline   *string      // the kernel command line in place of the entry's
	Reuse     bool         // that of the running kernel
	Append    string       // words to add to it
	Method    kexec.Method // system call
	NoModules bool         // load even a kernel whose modules are missing
	DryRun    bool         `json:"-"` // only print what would be loaded

	menu *bootMenu // for Entry: what was scanned already; nil to do it
}

// target is what will be loaded, with all files open.
type target struct {
	kexec.Target
	title   string
	release string // of the kernel; "" when unknown
	asked   bool   // somebody has named its entry
}

func (t *target) close() {
	for _, f := range append(t.Initrds, t.Kernel) {
		if f != nil {
			f.Close()
		}
	}
}

// load opens, checks and loads what o asks for.
func (s *System) load(ctx context.Context, o Options) error {
	if err := s.cannot(); err != nil {
		return err
	}
	t, err := s.target(ctx, o)
	if err != nil {
		return err
	}
	defer t.close()
	if !o.NoModules {
		if err := s.checkModules(t); err != nil {
			return err
		}
	}
	s.say("%s\n  kernel   %s%s", t.title, t.Kernel.Name(), inParentheses(t.release))
	for _, f := range t.Initrds {
		s.say("  initrd   %s", f.Name())
	}
	s.say("  cmdline  %s", t.Cmdline)
	if o.DryRun {
		return nil
	}
	loader := kexec.Loader{Kernel: s.Kernel, Root: s.Machine, Method: o.Method}
	if err := loader.Load(ctx, t.Target); err != nil {
		return err
	}
	const allowed = "kexec_load_disabled=0"
	if slices.Contains(cmdline.Parse(s.read("/proc/cmdline")), allowed) && !slices.Contains(cmdline.Parse(t.Cmdline), allowed) {
		s.Warn("the command line of %s lacks kexec_load_disabled=0: if its kernel is one of Alpine's, the reboot after this one goes through the firmware (--append adds it)", t.title)
	}
	return nil
}

func inParentheses(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// target opens the files that o asks for, and completes the command line.
func (s *System) target(ctx context.Context, o Options) (*target, error) {
	var t *target
	var err error
	if o.Kernel != "" {
		t = &target{title: filepath.Base(o.Kernel)}
		err = t.open(o.Kernel, o.Initrds, os.Open)
	} else {
		t, err = s.entry(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	if err := s.complete(t, o); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// open opens the kernel and the initrds.
func (t *target) open(kernel string, initrds []string, open func(string) (*os.File, error)) (err error) {
	if t.Kernel, err = open(kernel); err != nil {
		return err
	}
	for _, name := range initrds {
		f, err := open(name)
		if err != nil {
			t.close()
			return err
		}
		t.Initrds = append(t.Initrds, f)
	}
	return nil
}

// entry opens the files of the entry that o names, or of the default one.
func (s *System) entry(ctx context.Context, o Options) (*target, error) {
	menu := o.menu
	if menu == nil {
		menu = s.bootMenu(ctx)
		defer menu.close()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	inv, wants, want := menu.inv, s.wants(ctx, menu), o.Entry
	if want == menuDefault {
		want = ""
	}
	e, err := pick(inv, want, wants, s.Release)
	if err != nil {
		return nil, err
	}
	t := &target{title: e.Title, release: e.Version, asked: want != "" || asked(inv, wants, e)}
	t.Cmdline, t.Profile = e.Cmdline, e.Profile
	if e.Guessed {
		// No configuration has a command line for it, and this one is proven.
		t.Cmdline = s.cmdline()
	}
	return t, t.open(e.Kernel, e.Initrds, menu.scan.FilesOf(e))
}

// complete identifies the kernel, puts the initrds in order and makes the
// command line.
func (s *System) complete(t *target, o Options) error {
	st, err := t.Kernel.Stat()
	if err != nil {
		return err
	}
	info, err := kernel.Identify(t.Kernel, st.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", t.Kernel.Name(), err)
	}
	t.release = cmp.Or(t.release, info.Version) // of an image with several kernels, that of the first
	unified := info.Format == kernel.UnifiedImage
	if unified && t.Cmdline == "" {
		u, err := kernel.OpenUKI(t.Kernel, st.Size())
		if err != nil {
			return fmt.Errorf("%s: %w", t.Kernel.Name(), err)
		}
		t.Cmdline = u.Cmdline
	}
	if t.release == "" { // the images of arm64 do not have it
		name := strings.TrimPrefix(path.Base(t.Kernel.Name()), "vmlinuz-")
		t.release = s.read(path.Join("/usr/share/kernel", name, "kernel.release"))
	}
	microcode := slices.DeleteFunc(slices.Clone(t.Initrds), func(f *os.File) bool { return !isMicrocode(f) })
	t.Initrds = append(microcode, slices.DeleteFunc(t.Initrds, isMicrocode)...)
	switch {
	case o.Cmdline != nil:
		t.Cmdline = *o.Cmdline
	case o.Reuse:
		t.Cmdline = s.cmdline()
	case o.Kernel != "" && !unified:
		return errors.New("a command line is needed: --reuse-cmdline takes that of the running kernel, --cmdline another")
	}
	line := settings.ForTarget(t.Cmdline)
	if kernel, init := cmdline.Parse(line).Split(); len(init) > 0 { // what follows -- is for init
		t.Cmdline = strings.TrimSpace(kernel.String() + " " + o.Append + " " + init.String())
	} else {
		t.Cmdline = strings.TrimSpace(line + " " + o.Append)
	}
	if o.Cmdline != nil {
		return nil // as it was asked for
	}
	return s.checkRoot(t, o)
}

// checkRoot refuses a command line with which the kernel would not find the root
// filesystem: an empty one, and one without root= where the running kernel was
// started with it. Another system than the one that runs is started only where
// somebody has asked for it: a reboot comes back to the same one.
func (s *System) checkRoot(t *target, o Options) error {
	const instead = "--reuse-cmdline takes that of the running kernel, --cmdline another"
	line, running := cmdline.Parse(t.Cmdline), cmdline.Parse(s.cmdline())
	root, _ := line.Get("root")
	here, _ := running.Get("root")
	switch {
	case len(line) == 0 && len(running) > 0:
		return fmt.Errorf("the command line of %s is empty: %s", t.title, instead)
	case here != "" && root == "":
		return fmt.Errorf("the command line of %s has no root=, with which the running system was started: %s", t.title, instead)
	case here != "" && o.Kernel == "" && !t.asked && !s.isRoot(root, here):
		return fmt.Errorf("%s boots another system: its command line has root=%s, and the running one root=%s. Name it if that is meant (--entry), or %s", t.title, root, here, instead)
	}
	return nil
}

// isRoot reports whether a value of root= names the root filesystem of the running
// system, which was started with here.
func (s *System) isRoot(root, here string) bool {
	if root == here {
		return true
	}
	m := s.machine()
	i := slices.IndexFunc(m.blocks, func(b device.Block) bool { return m.mounts[b.Path].Point == "/" })
	if i < 0 {
		return false // it is in memory
	}
	b := m.blocks[i]
	sb, _ := m.Probe(b.Path) // only root may ask; then the names of devices are left
	tag, value, ok := strings.Cut(root, "=")
	if dir, name := path.Split(root); strings.HasPrefix(dir, "/dev/disk/by-") {
		tag, value, ok = strings.TrimSuffix(strings.TrimPrefix(dir, "/dev/disk/by-"), "/"), name, true
	}
	if !ok {
		n := deviceNumber(root)
		return root == b.Path || n != "" && (n == deviceNumber(b.Path) || n == m.mounts[b.Path].Device)
	}
	value = strings.Trim(value, `"`)
	switch strings.ToLower(tag) {
	case "uuid":
		return value != "" && strings.EqualFold(value, sb.UUID)
	case "label":
		return value != "" && value == sb.Label
	case "partuuid":
		return value != "" && strings.EqualFold(value, b.PartUUID)
	case "partlabel":
		return value != "" && value == b.PartLabel
	}
	return false
}

// isMicrocode reports whether an initrd is an archive with microcode, which the
// kernel finds only in front of all others
// (Documentation/arch/x86/microcode.rst).
func isMicrocode(f *os.File) bool {
	head := make([]byte, 4096) // its directories come first, and are few
	n, _ := f.ReadAt(head, 0)
	head = head[:n]
	return bytes.HasPrefix(head, []byte("0707")) && bytes.Contains(head, []byte("kernel/x86/microcode"))
}

// cmdline returns the command line of the running kernel.
func (s *System) cmdline() string { return settings.ForTarget(s.read("/proc/cmdline")) }

// checkModules refuses a kernel that would come up on this root filesystem
// without its modules, as the old one does after an upgrade and the new one
// when an upgrade was broken off.
func (s *System) checkModules(t *target) error {
	root, _ := cmdline.Parse(t.Cmdline).Get("root")
	running, _ := cmdline.Parse(s.read("/proc/cmdline")).Get("root")
	if t.release == "" || root == "" || !s.isRoot(root, running) {
		return nil // not known, or not the system that runs here
	}
	for _, dir := range []string{"/lib/modules", "/usr/lib/modules"} {
		if st, err := os.Stat(s.path(path.Join(dir, t.release))); err == nil && st.IsDir() {
			return nil
		}
	}
	return fmt.Errorf("%s is Linux %s, whose modules are missing: there is no directory /lib/modules/%s (apk fix puts a kernel package right; --no-modules is for kernels that need none)", t.title, t.release, t.release)
}

// Unload forgets what is loaded, and that it was chosen.
func (s *System) Unload() error {
	if err := (&kexec.Loader{Kernel: s.Kernel, Root: s.Machine}).Unload(); err != nil {
		return fmt.Errorf("what is loaded cannot be unloaded: %w", cmp.Or(s.cannot(), err))
	}
	if err := os.Remove(s.path(choiceFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
