package reboot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/mountinfo"
	"github.com/alpboot/alpboot/boot/device/superblock"
	machine "github.com/alpboot/alpboot/boot/device/system"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/format/all"
	"github.com/alpboot/alpboot/boot/remember"
)

// mounted is the machine as discovery shall see it here: the filesystems that
// are mounted where kernels lie, by the names of their devices.
type mounted struct {
	mounts map[string]mountinfo.Mount // by the Path of its block
	blocks []device.Block
	probe  func(device string) (superblock.Superblock, error)
	open   func(m mountinfo.Mount) (discover.Filesystem, error)
}

var _ discover.Machine = (*mounted)(nil)

// holdsKernels reports whether a filesystem that is mounted at point may be the
// one to boot from: the root volume, /boot, the EFI system partition, and the
// media of a diskless Alpine.
func holdsKernels(point string) bool {
	for _, dir := range []string{"/boot", "/efi", "/media"} {
		if point == dir || strings.HasPrefix(point, dir+"/") {
			return true
		}
	}
	return point == "/"
}

// newMounted picks the filesystems to scan from mounts. all are the block
// devices of the machine, which add the partition that a filesystem is on.
func newMounted(mounts []mountinfo.Mount, all []device.Block, number func(node string) string) *mounted {
	m := &mounted{mounts: map[string]mountinfo.Mount{}}
	for _, mnt := range mounts {
		if !mnt.OnDisk() || !holdsKernels(mnt.Point) {
			continue
		}
		// Devices are compared by their number: their names may be links, or /dev/root.
		// btrfs has a number of its own, and the names of its devices are right.
		block := device.Block{Path: mnt.Source}
		for _, b := range all {
			if n := number(b.Path); n != "" && (n == mnt.Device || n == number(mnt.Source)) {
				block = b
				break
			}
		}
		old, again := m.mounts[block.Path]
		switch {
		case !again:
			m.blocks = append(m.blocks, block)
		case old.Root == "/" || mnt.Root != "/": // more of it is not to be seen here
			continue
		}
		m.mounts[block.Path] = mnt
	}
	return m
}

// rootIsBuiltIn reports whether the root filesystem is on a disk that is built in.
func (m *mounted) rootIsBuiltIn() bool {
	return slices.ContainsFunc(m.blocks, func(b device.Block) bool { return m.mounts[b.Path].Point == "/" && !b.Removable })
}

// Devices implements [discover.Machine].
func (m *mounted) Devices() ([]device.Block, []error) { return slices.Clone(m.blocks), nil }

// Probe implements [discover.Machine].
func (m *mounted) Probe(name string) (superblock.Superblock, error) {
	sb, err := m.probe(name)
	if sb.Type == "" || err != nil {
		// It is mounted, so there is something: only its UUID is not known, as
		// when another user than root asks.
		return superblock.Superblock{Type: m.mounts[name].Type}, nil
	}
	return sb, nil
}

// Mount implements [discover.Machine].
func (m *mounted) Mount(_ context.Context, name string, _ superblock.Superblock) (discover.Filesystem, error) {
	return m.open(m.mounts[name])
}

// standalone is a filesystem without what is mounted on its directories, which
// is a volume of its own.
type standalone struct {
	*device.Root
	tree int // descriptor of a mount that no path leads to
}

func (a standalone) Close() error {
	return errors.Join(a.Root.Close(), unix.Close(a.tree))
}

// openStandalone opens a mounted filesystem as discovery is to see it. A btrfs is
// shown from its top, where configurations take their paths from. Without the
// right to make such a view, what the mount shows is taken.
func openStandalone(m mountinfo.Mount) (discover.Filesystem, error) {
	tree := -1
	err := error(unix.EPERM)
	if m.Type == superblock.Btrfs && m.Root != "/" {
		tree, err = btrfsTop(m.Source)
	}
	if err != nil {
		tree, err = unix.OpenTree(unix.AT_FDCWD, m.Point, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	}
	if err != nil {
		return device.Directory(m.Point)
	}
	root, err := device.Directory(fmt.Sprintf("/proc/self/fd/%d", tree))
	if err != nil {
		unix.Close(tree)
		return nil, err
	}
	return standalone{root, tree}, nil
}

// btrfsTop returns a view of the top of a btrfs that is mounted already. Only
// the view is read-only: the filesystem stays as it is.
func btrfsTop(source string) (tree int, err error) {
	f, err := unix.Fsopen(superblock.Btrfs, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(f)
	for _, kv := range [][2]string{{"source", source}, {"subvolid", "5"}} {
		if err := unix.FsconfigSetString(f, kv[0], kv[1]); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(f); err != nil {
		return -1, err
	}
	return unix.Fsmount(f, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
}

// deviceNumber returns the number of a device node as mountinfo has it.
func deviceNumber(node string) string {
	var st unix.Stat_t
	if unix.Stat(node, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return ""
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
}

// machine returns the running system as discovery sees it.
func (s *System) machine() *mounted {
	real := machine.Machine{Sysfs: os.DirFS(s.path("/sys"))}
	all, _ := real.Devices() // a device that cannot be read is none that is mounted
	m := newMounted(s.mounts(), all, deviceNumber)
	m.probe = s.Probe
	m.open = openStandalone
	if s.Root != "/" { // a test: no number is right, and the directories are elsewhere
		m.open = func(mnt mountinfo.Mount) (discover.Filesystem, error) { return device.Directory(s.path(mnt.Point)) }
		return m
	}
	for i := range m.blocks { // Linux 6.12 does not list it
		if b := &m.blocks[i]; b.PartUUID == "" && b.Partition > 0 {
			uuid := make(chan string, 1)
			_ = within(deviceLimit, func() error {
				text, err := real.PartUUID(b.Disk, b.Partition)
				uuid <- text
				return err
			})
			select {
			case b.PartUUID = <-uuid:
			default: // the disk does not answer
			}
		}
	}
	return m
}

// deviceLimit is how long one filesystem may take to answer.
const deviceLimit = 10 * time.Second

// scan reads all filesystems of m. The caller stops the scan.
func (s *System) scan(ctx context.Context, m *mounted) (*discover.Scan, boot.Inventory) {
	var efiVars fs.FS
	if s.exists(efivars) {
		efiVars = os.DirFS(s.path(efivars))
	}
	scan := (&discover.Scanner{Machine: m, Formats: all.Formats(efiVars), Limit: deviceLimit}).Start(ctx)
	return scan, scan.Settled()
}

// menuChoice returns what the boot menu would boot: where every entry has failed,
// it tries all of them again.
func menuChoice(inv boot.Inventory, w choice.Wants) choice.Choice {
	c := choice.Default(inv, w)
	if c.Exhausted {
		w.State.Tries = nil
		c = choice.Default(inv, w)
	}
	return c
}

// pick returns the entry that want names, or the one that the boot menu would
// boot. Where neither a configuration nor what the menu goes by has a default, the
// kernel of the flavour that is running comes before others.
func pick(inv boot.Inventory, want string, w choice.Wants, running string) (boot.Entry, error) {
	if want != "" {
		e, ok := choice.Find(inv.Entries, want)
		switch {
		case !ok:
			return boot.Entry{}, fmt.Errorf("there is no entry %q: the verb status lists them", want)
		case e.Problem != "":
			return boot.Entry{}, fmt.Errorf("the entry %q cannot be booted: %s", want, e.Problem)
		}
		return e, nil
	}
	c := menuChoice(inv, w)
	i := slices.IndexFunc(inv.Entries, func(e boot.Entry) bool { return e.ID == c.ID })
	switch {
	case i < 0 && c.Wait != "" && !c.Exhausted:
		return boot.Entry{}, fmt.Errorf("%s; --entry names one that is to be booted all the same", strings.TrimSuffix(c.Wait, "."))
	case i < 0:
		return boot.Entry{}, nothingFound(inv)
	}
	best := inv.Entries[i]
	if best.Default || w.Default != "" || !w.State.Equal(remember.State{}) || choice.OfFlavour(best, running) {
		return best, nil
	}
	for _, e := range inv.Entries {
		if e.Problem == "" && e.Suspect == "" && e.Removable == best.Removable && e.Guessed == best.Guessed && !e.Snapshot && choice.OfFlavour(e, running) {
			return e, nil
		}
	}
	return best, nil
}

// asked reports whether the default entry e is one that somebody has asked for: in
// the settings or in the menu, as the default or for the next start.
func asked(inv boot.Inventory, w choice.Wants, e boot.Entry) bool {
	for _, want := range []string{w.Default, w.State.Default} {
		if want == boot.LastBooted {
			want = w.State.Last
		}
		if named, ok := choice.Find(inv.Entries, want); ok && want != "" && named.ID == e.ID {
			return true
		}
	}
	return choice.Default(inv, w).Once
}

// nothingFound returns the reason why there is no entry to boot.
func nothingFound(inv boot.Inventory) error {
	for _, e := range inv.Entries {
		if e.Problem != "" {
			return fmt.Errorf("no entry can be booted; %s: %s", e.Title, e.Problem)
		}
	}
	for _, v := range inv.Volumes {
		if v.Problem != "" {
			return fmt.Errorf("nothing was found that can be booted: %s", v.Problem)
		}
	}
	return errors.New("no kernel was found on the root volume, /boot, /efi and /media: if /boot is a filesystem of its own, mount it; --kernel names a kernel")
}
