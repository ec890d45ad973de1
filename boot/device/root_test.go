package device_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"
	"time"

	"github.com/alpboot/alpboot/boot/device"
	"golang.org/x/sys/unix"
)

// tree makes a directory with a secret beside it that nothing in it may lead to.
func tree(t *testing.T) (dir string) {
	t.Helper()
	top := t.TempDir()
	root := filepath.Join(top, "root")
	must(t, os.MkdirAll(filepath.Join(root, "boot/grub"), 0o755))
	must(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
	must(t, os.WriteFile(filepath.Join(top, "secret"), []byte("outside"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "secret"), []byte("inside"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "boot/vmlinuz-lts"), []byte("kernel"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "boot/grub/grub.cfg"), []byte("menuentry"), 0o644))
	for link, target := range map[string]string{
		"boot/boot":     ".",
		"vmlinuz":       "/boot/vmlinuz-lts",
		"boot/vmlinuz":  "vmlinuz-lts",
		"boot/up":       "../../../../secret",
		"absolute":      "/secret",
		"host":          "/proc/self/exe",
		"loop":          "loop",
		"loop-a":        "loop-b",
		"loop-b":        "loop-a",
		"dangling":      "/nowhere",
		"boot/fifolink": "../fifo",
	} {
		must(t, os.Symlink(target, filepath.Join(root, link)))
	}
	must(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o644))
	return root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openDirectory(t *testing.T, name string) *device.Root {
	t.Helper()
	root, err := device.Directory(name)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	return root
}

func TestRootCannotBeLeft(t *testing.T) {
	root := openDirectory(t, tree(t))
	tests := []struct {
		name string
		path string
		want string // content
		err  error
	}{
		{name: "a file", path: "boot/vmlinuz-lts", want: "kernel"},
		{name: "a relative symlink", path: "boot/vmlinuz", want: "kernel"},
		{name: "an absolute symlink ends inside", path: "vmlinuz", want: "kernel"},
		{name: "an absolute symlink is not the host's", path: "absolute", want: "inside"},
		{name: "dots end at the root", path: "boot/up", want: "inside"},
		{name: "boot/boot", path: "boot/boot/boot/boot/vmlinuz-lts", want: "kernel"},
		{name: "a symlink to a file of the host", path: "host", err: fs.ErrNotExist},
		{name: "a loop", path: "loop", err: unix.ELOOP},
		{name: "a loop of two", path: "loop-a/x", err: unix.ELOOP},
		{name: "a dangling symlink", path: "dangling", err: fs.ErrNotExist},
		{name: "no such file", path: "boot/vmlinuz-virt", err: fs.ErrNotExist},
		{name: "below a file", path: "secret/x", err: unix.ENOTDIR},
		{name: "a path with dots", path: "../secret", err: fs.ErrInvalid},
		{name: "an absolute path", path: "/secret", err: fs.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := fs.ReadFile(root, tt.path)
			if string(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
			var perr *fs.PathError
			if err != nil && (!errors.As(err, &perr) || perr.Path != tt.path) {
				t.Errorf("%v does not name %s", err, tt.path)
			}
		})
	}
}

// TestRootMagicLinks takes the links of procfs, which lead anywhere.
func TestRootMagicLinks(t *testing.T) {
	root := openDirectory(t, "/proc/self")
	if _, err := root.Open("exe"); err == nil {
		t.Error("opened the file behind a magic link")
	}
	if _, err := root.Open("root/etc/passwd"); err == nil {
		t.Error("went through a magic link")
	}
}

func TestRootRefusesSpecialFiles(t *testing.T) {
	root := openDirectory(t, tree(t))
	dev := openDirectory(t, "/dev")
	tests := []struct {
		root *device.Root
		path string
	}{{root, "fifo"}, {root, "boot/fifolink"}, {dev, "null"}, {dev, "zero"}}
	for _, tt := range tests {
		done := make(chan error)
		go func() {
			_, err := tt.root.Open(tt.path)
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("%s was opened", tt.path)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("opening %s hangs", tt.path)
		}
		if st, err := tt.root.Stat(tt.path); err != nil || st.Mode().IsRegular() {
			t.Errorf("Stat(%s): %v, %v", tt.path, st, err)
		}
	}
}

func TestRootInterfaces(t *testing.T) {
	root := openDirectory(t, tree(t))
	entries, err := root.ReadDir("boot")
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		// From a working directory that has nothing to do with it.
		info, err := e.Info()
		if err != nil || info.Name() != e.Name() || info.Mode().Type() != e.Type() {
			t.Errorf("Info of %s: %v, %v", e.Name(), info, err)
		}
	}
	if want := []string{"boot", "fifolink", "grub", "up", "vmlinuz", "vmlinuz-lts"}; !slices.Equal(names, want) {
		t.Errorf("ReadDir returns %q, want %q", names, want)
	}
	if target, err := fs.ReadLink(root, "vmlinuz"); target != "/boot/vmlinuz-lts" || err != nil {
		t.Errorf("ReadLink: %q, %v", target, err)
	}
	if _, err := fs.ReadLink(root, "secret"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("ReadLink of a file: %v", err)
	}
	if st, err := fs.Lstat(root, "vmlinuz"); err != nil || st.Mode().Type() != fs.ModeSymlink || st.Name() != "vmlinuz" {
		t.Errorf("Lstat: %v, %v", st, err)
	}
	if st, err := fs.Stat(root, "vmlinuz"); err != nil || st.Size() != 6 || st.Name() != "vmlinuz" {
		t.Errorf("Stat: %v, %v", st, err)
	}
	if _, err := root.ReadDir("secret"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("ReadDir of a file: %v", err)
	}
	f, err := root.Open("boot/vmlinuz-lts")
	must(t, err)
	defer f.Close()
	if _, ok := f.(*os.File); !ok {
		t.Errorf("Open returns a %T, whose descriptor cannot be handed to the kernel", f)
	}
	var found []string
	must(t, fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "grub.cfg" {
			found = append(found, path)
		}
		return err
	}))
	if !slices.Equal(found, []string{"boot/grub/grub.cfg"}) {
		t.Errorf("WalkDir finds %q", found)
	}
}

// TestRootConforms runs the standard library's checks of an fs.FS.
func TestRootConforms(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "boot/empty"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "boot/vmlinuz"), []byte("kernel"), 0o644))
	must(t, os.Symlink("vmlinuz", filepath.Join(dir, "boot/link")))
	must(t, fstest.TestFS(openDirectory(t, dir), "boot/vmlinuz", "boot/link", "boot/empty"))
}

func TestRootReadDirInParts(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		must(t, os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o644))
	}
	f, err := openDirectory(t, dir).Open(".")
	must(t, err)
	defer f.Close()
	seen := 0
	for {
		entries, err := f.(fs.ReadDirFile).ReadDir(3)
		seen += len(entries)
		if err == io.EOF {
			break
		}
		must(t, err)
	}
	if seen != 10 {
		t.Errorf("%d entries, want 10", seen)
	}
}

func TestRootReadDirOfTooMany(t *testing.T) {
	dir := t.TempDir()
	const most = 1 << 16
	for i := range most + 1 {
		must(t, unix.Mknod(filepath.Join(dir, strconv.Itoa(i)), unix.S_IFREG|0o644, 0))
	}
	entries, err := openDirectory(t, dir).ReadDir(".")
	if err == nil || len(entries) > most+1 {
		t.Errorf("%d entries, %v; want an error", len(entries), err)
	}
}

func TestRootAfterClose(t *testing.T) {
	root, err := device.Directory(tree(t))
	must(t, err)
	f, err := root.Open("secret")
	must(t, err)
	defer f.Close()
	must(t, root.Close())
	if _, err := root.Open("secret"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Open after Close: %v", err)
	}
	if b, err := io.ReadAll(f); string(b) != "inside" || err != nil {
		t.Errorf("an open file after Close: %q, %v", b, err)
	}
	if err := root.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

func TestDirectoryErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o644))
	for name, want := range map[string]error{"/nowhere": fs.ErrNotExist, file: unix.ENOTDIR} {
		if _, err := device.Directory(name); !errors.Is(err, want) {
			t.Errorf("Directory(%s): %v, want %v", name, err, want)
		}
	}
}
