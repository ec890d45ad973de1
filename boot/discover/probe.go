package discover

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/assemble"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/format/bare"
	"github.com/alpboot/alpboot/boot/format/iso"
	"github.com/alpboot/alpboot/boot/kernel"
)

// target is a device to be probed.
type target struct {
	node   string
	block  device.Block
	volume boot.Volume // what is known before it is probed
	image  bool        // it is an image file
}

// probed is what probing has found.
type probed struct {
	status   boot.VolumeStatus // without the notes of formats
	unusable bool              // for the reason in status
	roots    []bare.Root       // the root filesystems on it
	view     *view             // of its filesystem; nil when it has none
	member   *assemble.Member  // of a set of volumes
	devices  int               // of how many its filesystem consists, when it is several
	images   []string          // image files on it
}

// parsed is what the formats have read on one volume.
type parsed struct {
	entries    []boot.Entry
	notes      []boot.Note
	problem    string
	unresolved bool // other volumes may change it

	text    int // bytes of the texts of entries
	dropped int // entries that are not kept
}

// quietSize is the size in bytes up to which a partition without a known
// filesystem is not worth a row: GRUB's and the firmware's own ones are that small.
const quietSize = 8 << 20

// probe probes a device and mounts its filesystem.
func probe(ctx context.Context, s *Scanner, at target) (f probed) {
	path := at.block.Path
	f.status.Volume = at.volume
	problem := func(format string, args ...any) {
		f.status.Problem, f.unusable = sentence(format, args...), true
	}
	defer func() {
		// What is on a disk may be made to break us: the menu goes on.
		if r := recover(); r != nil {
			if f.view != nil {
				f.view.close()
			}
			f = probed{status: boot.VolumeStatus{Volume: f.status.Volume, Problem: defect(path, r)}, unusable: true}
		}
	}()

	if p, ok := s.Machine.(Partitioner); ok && at.block.Partition > 0 && at.block.PartUUID == "" && at.block.Disk != "" {
		// Without it, only what names the partition by it is not found.
		f.status.Volume.PartUUID, _ = p.PartUUID(at.block.Disk, at.block.Partition)
	}
	sb, err := s.Machine.Probe(at.node)
	f.status.Volume.Type, f.status.Volume.UUID, f.status.Volume.Label = sb.Type, sb.UUID, sb.Label
	f.devices = sb.Devices
	switch {
	case errors.Is(err, syscall.ENOMEDIUM):
		return f // an empty drive is not worth a row
	case errors.Is(err, superblock.ErrUnknown):
		if at.block.Partitions == 0 && at.block.Size > quietSize {
			problem("%s holds no filesystem that alpboot knows", path)
		}
		return f
	case errors.Is(err, superblock.ErrAmbiguous) && sb.Type != "": // reading it as what comes first harms nothing
		f.status.Notes = append(f.status.Notes, boot.Note{Text: sentence("%s: %v", path, device.Named(err, path))})
	case err != nil:
		problem("%s cannot be used: %v", path, device.Named(err, path))
		return f
	}
	switch sb.Type {
	case superblock.Swap:
		return f
	case superblock.LUKS:
		f.roots = bare.FindRoots(nil, f.status.Volume) // there may be one in it
		f.status.Locked = true
		if r, ok := s.Maker.(TokenReader); ok {
			f.status.Tokens, _ = r.Tokens(at.node) // what is wrong with its header is said when it is unlocked
		}
		f.status.Problem = sentence("%s is encrypted (LUKS), and its passphrase has not been given", path)
		return f
	case superblock.LVMMember, superblock.RAIDMember:
		if s.Maker == nil {
			return f // what it is part of is scanned by itself, or not at all
		}
		m, err := s.Maker.Member(at.node, sb)
		switch {
		case errors.Is(err, device.ErrInUse): // what it is part of is listed by itself
		case err != nil:
			problem("%s cannot be used: %v", path, device.Named(err, path))
		default:
			f.member = &m
		}
		return f
	case superblock.ZFSMember:
		problem("%s belongs to a ZFS pool, which alpboot cannot read: keep /boot on another filesystem", path)
		return f
	}
	fsys, err := s.Machine.Mount(ctx, at.node, sb)
	if err != nil {
		problem("%v", device.Named(err, path))
		return f
	}
	f.view = newView(fsys)
	f.roots = bare.FindRoots(f.view, f.status.Volume)
	if !at.image && s.Maker != nil {
		f.images = iso.Find(f.view)
	}
	return f
}

func defect(device string, what any) string {
	return sentence("%s could not be read because of a defect in alpboot (%v); please report it", device, what)
}

// parse reads the volume at with all formats. Others are all mounted volumes.
func parse(formats []boot.Format, at boot.MountedVolume, others boot.Volumes) (r parsed) {
	vol := at.Volume
	defer func() {
		if what := recover(); what != nil { // as in probe
			r = parsed{problem: defect(vol.Device, what)}
		}
	}()
	configured := map[string]bool{} // the kernels of configured entries; true when one can be booted
	for _, format := range formats {
		listing, err := format.Parse(at.FS, vol, others)
		if err != nil {
			r.notes = append(r.notes, boot.Note{Text: sentence("%s: the %s configuration cannot be used: %v", vol.Device, format.Name, err)})
		}
		r.notes = append(r.notes, listing.Notes...)
		r.unresolved = r.unresolved || listing.Unresolved
		for _, e := range listing.Entries {
			if r.full() {
				r.dropped++
				continue
			}
			e.Format = format.Name
			e.ID = id(vol, e) // before other volumes can add to its title
			fsys := at.FS
			if e.Volume == (boot.Volume{}) {
				e.Volume = vol
			} else if e.Volume != vol {
				fsys = rootOf(e.Volume, others)
				// It may be a copy of one on our own disk that is still to come.
				r.unresolved = r.unresolved || e.Volume.OnDisk() != vol.OnDisk()
			}
			e.Removable = vol.Removable || e.Volume.Removable
			key := check(&e, fsys)
			if why := noRoot(e.Cmdline); why != "" && e.Suspect == "" {
				e.Suspect, e.Notes = why, append(slices.Clone(e.Notes), why)
			}
			bootable, known := configured[key]
			switch {
			case !e.Guessed:
				configured[key] = bootable || e.Problem == ""
			case bootable, known && e.Problem != "":
				continue // a guess helps only where the configuration does not boot
			}
			r.keep(e)
		}
	}
	r.finish()
	return r
}

// noRoot returns why a command line names no root filesystem although it has root=, as
// a sentence; "" for others. So does a configuration whose variables have no value, or
// are those of a boot loader that is not here.
func noRoot(line string) string {
	value, ok := cmdline.Parse(line).Get("root")
	if !ok || value != "" && !strings.HasSuffix(value, "=") && !strings.Contains(value, "${") {
		return ""
	}
	return sentence("Its command line names no root filesystem (root=%s), as a variable has no value", boot.Clean(value))
}

// rootOf returns the root of a volume among others.
func rootOf(vol boot.Volume, others boot.Volumes) fs.FS {
	for _, o := range others {
		if o.Volume == vol {
			return o.FS
		}
	}
	return nil
}

// check completes e from the files that it names on fsys: the version of its kernel,
// and what is wrong with them. It returns what distinguishes one kernel file from another.
func check(e *boot.Entry, fsys fs.FS) (key string) {
	key = e.Kernel
	if e.Kernel == "" {
		if e.Problem == "" {
			e.Problem = "It names no kernel."
		}
		return key
	}
	fail := func(format string, args ...any) {
		if e.Problem == "" {
			e.Problem = sentence(format, args...)
		}
	}
	if r, st, err := openFile(fsys, e.Kernel); err != nil {
		fail("%s", unusable("kernel", e.Kernel, err))
	} else {
		defer r.Close()
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			key = fmt.Sprint(sys.Dev, ":", sys.Ino)
		}
		info, err := kernel.Identify(r, st.Size())
		e.Version = cmp.Or(info.Version, e.Version)
		e.UKI = e.UKI || info.Format == kernel.UnifiedImage // whatever a configuration calls it
		switch {
		case err != nil:
			fail("%s", unusable("kernel", e.Kernel, err))
		case info.Format == kernel.PE:
			fail("Its kernel /%s is an EFI program without a Linux kernel in it, and alpboot cannot start these", e.Kernel)
		case info.Arch != "" && info.Arch != runtime.GOARCH:
			fail("Its kernel /%s is for %s, and this machine is %s", e.Kernel, info.Arch, runtime.GOARCH)
		}
	}
	for _, name := range e.Initrds {
		r, st, err := openFile(fsys, name)
		if err == nil {
			_, err = kernel.IdentifyInitrd(r, st.Size())
			r.Close()
		}
		if err != nil {
			fail("%s", unusable("initrd", name, err))
		}
	}
	return key
}

// unusable returns why the kernel or initrd name cannot be used.
func unusable(what, name string, err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("Its %s /%s is missing", what, name)
	}
	var pe *fs.PathError
	if errors.As(err, &pe) { // the path stands in the sentence already
		err = pe.Err
	}
	return fmt.Sprintf("Its %s /%s cannot be used: %v", what, name, err)
}

// readerAtCloser is what a kernel or initrd must be to be identified.
type readerAtCloser interface {
	io.ReaderAt
	io.Closer
}

// openFile opens a regular file.
func openFile(fsys fs.FS, name string) (readerAtCloser, fs.FileInfo, error) {
	if fsys == nil {
		return nil, nil, errors.New("its volume is gone")
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	r, ok := f.(readerAtCloser)
	if err == nil && !ok {
		err = errors.New("it cannot be read at an offset")
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return r, st, nil
}

// id returns a name for e that is the same at every boot, short enough to type:
// its title in plain letters and a hash of where it comes from. The command
// line is not part of it, so that it outlives a change of that, nor a boot counter.
func id(vol boot.Volume, e boot.Entry) string {
	name := vol.UUID
	if name == "" {
		name = vol.Label
	}
	if name == "" {
		name = vol.Device
	}
	source, image := e.Source.File, e.Kernel
	if c, file, ok := e.Counter(); ok {
		if source == file {
			source = c.Plain()
		}
		if image == file {
			image = c.Plain()
		}
	}
	h := sha256.Sum256([]byte(strings.Join(append([]string{name, e.Format, source, e.Title, image}, e.Submenu...), "\x00")))
	return slug(e.Title) + "-" + hex.EncodeToString(h[:4])
}

// slug returns s in lower-case ASCII letters, digits and single dashes.
func slug(s string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(s) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 32 {
			break
		}
	}
	if s := strings.Trim(b.String(), "-."); s != "" {
		return s
	}
	return "entry"
}
