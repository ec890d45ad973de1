package install

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/mountinfo"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/payload/esp"
)

// mounted are the files below a directory of this machine.
type mounted struct{ esp.Mounted }

// checkpoint is EXT4_IOC_CHECKPOINT of Linux 5.14.
const checkpoint = 0x4004662b

// Sync returns when all that was done before is on the disk, at its place: what is
// only in the journal no boot loader reads.
func (m mounted) Sync() error {
	if err := m.Mounted.Sync(); err != nil {
		return err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(string(m.Mounted), &st); err != nil || st.Type != unix.EXT4_SUPER_MAGIC {
		return nil
	}
	d, err := os.Open(string(m.Mounted))
	if err != nil {
		return err
	}
	defer d.Close()
	flags := uint32(0)
	// Older kernels and ext2 have none; the journal is emptied within seconds then.
	unix.Syscall(unix.SYS_IOCTL, d.Fd(), checkpoint, uintptr(unsafe.Pointer(&flags)))
	return nil
}

// Like implements [Files].
func (m mounted) Like(name, other string) error {
	st, err := os.Stat(filepath.Join(string(m.Mounted), other))
	if err != nil {
		return err
	}
	file := filepath.Join(string(m.Mounted), name)
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := os.Chown(file, int(sys.Uid), int(sys.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(file, st.Mode().Perm())
}

// sectors is [Machine.Sectors]; what cannot be read is empty.
func sectors(root string, m mountinfo.Mount) (disk, partition []byte) {
	sys, err := filepath.EvalSymlinks(filepath.Join(root, "sys/dev/block", m.Device))
	if err != nil {
		return nil, nil
	}
	head := func(name string, n int64) []byte {
		f, err := os.Open(filepath.Join(root, "dev", name))
		if err != nil {
			return nil
		}
		defer f.Close()
		b, _ := io.ReadAll(io.LimitReader(f, n))
		return b
	}
	const track = 32 << 10 // where loaders go on, before the first partition
	if _, err := os.Stat(filepath.Join(sys, "partition")); err != nil {
		b := head(filepath.Base(sys), track)
		return b, b
	}
	return head(filepath.Base(filepath.Dir(sys)), track), head(filepath.Base(sys), 512)
}

// volume is [Machine.Volume]. One that cannot be read may be any that is looked for.
func volume(root string, m mountinfo.Mount) boot.Volume {
	v := boot.Volume{Device: m.Source}
	f, err := device.Open(filepath.Join(root, m.Source))
	if err != nil {
		return v
	}
	defer f.Close()
	if sb, err := superblock.Probe(f, f.Size); err == nil {
		v.Type, v.UUID, v.Label = sb.Type, sb.UUID, sb.Label
	}
	return v
}

// overlay is a filesystem with files in the place of those that are there.
type overlay struct {
	fs.FS
	files map[string][]byte
}

// Open implements [fs.FS].
func (o overlay) Open(name string) (fs.File, error) {
	if b, ok := o.files[name]; ok {
		return &overlaid{bytes.NewReader(b), path.Base(name)}, nil
	}
	return o.FS.Open(name)
}

// overlaid is a file of an overlay, and describes itself.
type overlaid struct {
	*bytes.Reader
	name string
}

func (f *overlaid) Stat() (fs.FileInfo, error) { return f, nil }
func (f *overlaid) Close() error               { return nil }
func (f *overlaid) Name() string               { return f.name }
func (f *overlaid) Mode() fs.FileMode          { return 0o444 }
func (f *overlaid) ModTime() time.Time         { return time.Time{} }
func (f *overlaid) IsDir() bool                { return false }
func (f *overlaid) Sys() any                   { return nil }
