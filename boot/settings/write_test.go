package settings

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot"
)

func TestEdit(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		changes    []Change
		want       string // "" for an error
	}{
		{"a new file", "", []Change{{"timeout", "10"}, {"default", "Linux lts"}}, "timeout = 10\ndefault = Linux lts\n"},
		{"a line is replaced, the others stay", "# mine\ntimeout = 3 # s\nbroken line\nrearm = 60\n", []Change{{"timeout", "10"}}, "# mine\ntimeout = 10 # s\nbroken line\nrearm = 60\n"},
		{"its comment stays", "title = 'a # b'#mine\r\ndefault = # none\r\n", []Change{{"title", "c # d"}, {"default", "Linux lts"}}, "title = \"c # d\" #mine\r\ndefault = Linux lts # none\r\n"},
		{"a comment that leaves no room", "title = a # " + strings.Repeat("x", maxLine-12) + "\n", []Change{{"title", "abc"}}, "title = abc\n"},
		{"what is not understood is no comment", "title = 'a' b # c\n", []Change{{"title", "d"}}, "title = d\n"},
		{"the last line of a name counts", "timeout = 1\ntimeout=2\n", []Change{{"timeout", "10"}}, "timeout = 1\ntimeout = 10\n"},
		{"underscores", "console_policy = keep\n", []Change{{"console-policy", "add"}}, "console-policy = add\n"},
		{"no newline at the end", "rearm = 60", []Change{{"timeout", "10"}}, "rearm = 60\ntimeout = 10\n"},
		{"line ends of DOS", "rearm = 60\r\ntimeout = 1\r\n", []Change{{"timeout", "10"}}, "rearm = 60\r\ntimeout = 10\r\n"},
		{"a byte order mark", "\ufefftimeout = 1\n", []Change{{"timeout", "10"}}, "\ufefftimeout = 10\n"},
		{"quotes", "", []Change{{"title", "a # b"}, {"default", ""}}, "title = \"a # b\"\ndefault = \"\"\n"},
		{"a comment is no line of its name", "# timeout = 1\n", []Change{{"timeout", "10"}}, "# timeout = 1\ntimeout = 10\n"},
		{"not taken from a volume", "", []Change{{"shell", "no"}}, ""},
		{"would wait for ever", "", []Change{{"timeout", "-1"}}, ""},
		{"not understood", "", []Change{{"timeout", "soon"}}, ""},
		{"both kinds of quotes", "", []Change{{"title", `"a' # b`}}, ""},
		{"too large", strings.Repeat("# x\n", maxFile/4), []Change{{"timeout", "10"}}, ""},
	} {
		got, err := Edit([]byte(tt.text), tt.changes)
		if tt.want == "" {
			if err == nil {
				t.Errorf("%s: no error, but %q", tt.name, got)
			}
			continue
		}
		if string(got) != tt.want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

// What is written is read as it was asked for, whatever the file had before.
func FuzzEdit(f *testing.F) {
	f.Add("timeout = 1\n", "title", "a")
	f.Add("\ufeff#\r\ntitle='x", "title", `"`)
	f.Add("title", "default", "#")
	f.Fuzz(func(t *testing.T, text, name, value string) {
		out, err := Edit([]byte(text), []Change{{name, value}})
		if err != nil {
			return
		}
		var s, want Settings
		s.readFile(volumeFile, "", out)
		def, _ := lookup(name)
		def.set(&want, value)
		if def.get(&s) != def.get(&want) {
			t.Errorf("%q with %s = %q is %q, which has %q", text, name, value, out, def.get(&s))
		}
	})
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.MkdirAll(filepath.Join(dir, "EFI/alpboot"), 0o755); err != nil {
		t.Fatal(err)
	}
	const name = "EFI/alpboot/alpboot.conf"
	for _, tt := range []struct{ value, want string }{{"10", "timeout = 10\n"}, {"20", "timeout = 20\n"}} {
		if err := WriteFile(root, name, []Change{{"timeout", tt.value}}); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if string(b) != tt.want || err != nil {
			t.Errorf("got %q, %v, want %q", b, err, tt.want)
		}
	}
	if list, _ := os.ReadDir(filepath.Join(dir, "EFI/alpboot")); len(list) != 1 {
		t.Errorf("%v is left", list)
	}
	for _, file := range []string{"fifo", "other.new"} {
		if err := syscall.Mkfifo(filepath.Join(dir, file), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(root, strings.TrimSuffix(file, ".new"), []Change{{"timeout", "1"}}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("with %s: %v", file, err)
		}
	}
	if err := WriteFile(root, "nowhere/alpboot.conf", []Change{{"timeout", "1"}}); err == nil {
		t.Error("no error where there is no directory")
	}
}

func TestVolumeFile(t *testing.T) {
	vol := func(device string, files ...string) boot.MountedVolume {
		fsys := fstest.MapFS{}
		for _, f := range files {
			fsys[f] = &fstest.MapFile{Data: []byte("timeout = 1\n")}
		}
		return boot.MountedVolume{Volume: boot.Volume{Device: device, Type: "vfat", Partition: 1, UUID: device}, FS: fsys}
	}
	ext := vol("/dev/sda2", "alpboot.conf")
	ext.Volume.Type = "ext4"
	stick := vol("/dev/sdb1", "alpboot.conf")
	stick.Volume.Removable = true
	for _, tt := range []struct {
		name, cmdline string
		volumes       boot.Volumes
		want          string // or what the error contains
	}{
		{"the one that is there", "", boot.Volumes{ext, vol("/dev/sda1", "EFI/alpboot/x"), vol("/dev/sda3", "alpboot.conf")}, "/alpboot.conf on /dev/sda3"},
		{"beside alpboot", "", boot.Volumes{vol("/dev/sda1"), vol("/dev/sda3", "EFI/alpboot/x")}, "/EFI/alpboot/alpboot.conf on /dev/sda3"},
		{"at the top", "", boot.Volumes{ext, vol("/dev/sda1")}, "/alpboot.conf on /dev/sda1"},
		{"of two on one volume the one that is read", "", boot.Volumes{vol("/dev/sda1", "EFI/alpboot/alpboot.conf", "alpboot.conf")}, "/EFI/alpboot/alpboot.conf on /dev/sda1"},
		{"none that is built in", "", boot.Volumes{ext, stick}, "no disk that is built in"},
		{"two", "", boot.Volumes{vol("/dev/sda1", "alpboot.conf"), vol("/dev/sda3", "alpboot.conf")}, "there is /alpboot.conf on /dev/sda1 and /alpboot.conf on /dev/sda3"},
		{"off", "alpboot.settings-volume=off", boot.Volumes{vol("/dev/sda1")}, "settings-volume = off"},
		{"named", "alpboot.settings-volume=UUID=/dev/sda2:/new.conf", boot.Volumes{ext}, "/new.conf on /dev/sda2"},
		{"named, in no directory", "alpboot.settings-volume=UUID=/dev/sda2:/a/new.conf", boot.Volumes{ext}, "the directory of"},
		{"named, not there", "alpboot.settings-volume=UUID=x:/new.conf", boot.Volumes{ext}, "is not there"},
	} {
		place, err := Read(image(""), tt.cmdline).VolumeFile(tt.volumes)
		if got := place.String(); err != nil && !strings.Contains(err.Error(), tt.want) || err == nil && got != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

// Where a file for what is remembered can be made: in a directory that is there, one
// place a volume, and nowhere when there is such a file already.
func TestNewStateFiles(t *testing.T) {
	esp := boot.MountedVolume{Volume: boot.Volume{Device: "/dev/sda1", Type: "vfat", Partition: 1}, FS: fstest.MapFS{"EFI/alpboot/alpboot.conf": {}}}
	plain := boot.MountedVolume{Volume: boot.Volume{Device: "/dev/sda3", Type: "vfat", Partition: 3}, FS: fstest.MapFS{}}
	var got []string
	for _, p := range Read(image(""), "").NewStateFiles(boot.Volumes{esp, plain}, nil) {
		got = append(got, p.String())
	}
	if d := cmp.Diff([]string{"/EFI/alpboot/alpboot.state on /dev/sda1", "/alpboot.state on /dev/sda3"}, got); d != "" {
		t.Error(d)
	}
	if got := Read(image(""), "alpboot.remember=off").NewStateFiles(boot.Volumes{esp}, nil); got != nil {
		t.Errorf("with remember = off: %v", got)
	}
}
