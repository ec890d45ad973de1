package session

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
)

func TestConsoleNames(t *testing.T) {
	for _, tt := range []struct {
		cmdline string
		devices string
		names   map[string]string
		ours    string
	}{
		{"console=tty0 console=ttyS0,115200n8 quiet", "/dev/tty1 /dev/ttyS0", map[string]string{"/dev/tty1": "tty0", "/dev/ttyS0": "ttyS0,115200n8"}, "tty0 ttyS0,115200n8"},
		{"console=ttyS0,9600 console=tty0", "/dev/ttyS0 /dev/tty1", map[string]string{"/dev/tty1": "tty0", "/dev/ttyS0": "ttyS0,9600"}, "ttyS0,9600 tty0"},
		{"console=ttyS0,9600", "/dev/ttyS0 /dev/tty1", map[string]string{"/dev/tty1": "tty0", "/dev/ttyS0": "ttyS0,9600"}, "tty0 ttyS0,9600"},
		{"console=ttyS0 console=ttyS0,38400", "/dev/ttyS0", map[string]string{"/dev/ttyS0": "ttyS0,38400"}, "ttyS0,38400"},
		{"", "/dev/ttyS0 /dev/hvc0", map[string]string{"/dev/ttyS0": "ttyS0", "/dev/hvc0": "hvc0"}, "ttyS0 hvc0"},
		{"", "/dev/console", map[string]string{"/dev/console": "console"}, ""},
	} {
		names, ours := consoleNames(tt.cmdline, strings.Fields(tt.devices))
		if d := cmp.Diff(tt.names, names); d != "" || strings.Join(ours, " ") != tt.ours {
			t.Errorf("%q: ours are %q, want %q; names -want +got:\n%s", tt.cmdline, ours, tt.ours, d)
		}
	}
}

// A console that the next kernel leaves silent has the reason as its last line.
func TestSilence(t *testing.T) {
	names, _ := consoleNames("console=ttyS0,115200", []string{"/dev/tty1", "/dev/ttyS0"})
	s := &session{names: names}
	for _, tt := range []struct{ device, line, want string }{
		{"/dev/tty1", "root=/dev/sda1", ""},
		{"/dev/ttyS0", "root=/dev/sda1", "console=ttyS0,115200"},
		{"/dev/ttyS0", "console=ttyS0,9600", ""},
		{"/dev/tty1", "console=ttyS0", "console=tty0"},
		{"/dev/tty1", "console=ttyS0 console=tty0", ""},
		{"/dev/console", "console=ttyS0", ""},
		{"/dev/ttyS0", "", ""},
	} {
		if got := s.silence(tt.device, tt.line); (got != "") != (tt.want != "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s, %q: got %q, want it to name %q", tt.device, tt.line, got, tt.want)
		}
	}
}

func TestLeastTimeout(t *testing.T) {
	for device, want := range map[string]time.Duration{"/dev/tty1": screenTimeout, "/dev/ttyS0": 0, "/dev/console": 0, "/dev/ttyAMA0": 0} {
		s := &session{Config: Config{Consoles: []Console{{Device: device}}}}
		if got := s.leastTimeout(); got != want {
			t.Errorf("%s: %v, want %v", device, got, want)
		}
	}
}

func TestLogBuffer(t *testing.T) {
	b := &LogBuffer{}
	slog.New(b).Warn("what", "device", "/dev/sda")
	lines := b.take()
	if len(lines) != 1 || lines[0].Level != slog.LevelWarn || !strings.HasSuffix(lines[0].Text, " what device=/dev/sda") {
		t.Errorf("got %v", lines)
	}
	b.Add(slog.LevelInfo, "  200.000 later")
	b.Add(slog.LevelDebug, "   99.000 kernel: read after that")
	if lines := b.take(); len(lines) != 2 || !strings.HasSuffix(lines[1].Text, "later") {
		t.Errorf("the kernel's line does not come first: %v", lines)
	}
	for range 3*maxLog + 5 {
		b.Add(slog.LevelInfo, "line")
	}
	if n, all := len(b.take()), len(b.all()); n != maxLog || all != maxLog || len(b.take()) != 0 {
		t.Errorf("took %d, kept %d of too many lines, want %d", n, all, maxLog)
	}
}

func TestSaveText(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	// Whatever has the name is left alone, a link above all.
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "alpboot-log.txt")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"alpboot-log-2.txt", "alpboot-log-3.txt"} {
		name, err := saveText(root, "text of "+want)
		if name != want || err != nil {
			t.Errorf("got %q, %v, want %q", name, err, want)
		}
		if b, err := os.ReadFile(filepath.Join(dir, want)); string(b) != "text of "+want {
			t.Errorf("%s holds %q, %v", want, b, err)
		}
	}
	for i := 4; i <= 100; i++ {
		if _, err := saveText(root, ""); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if name, err := saveText(root, ""); err == nil {
		t.Errorf("the log got the name %q", name)
	}
}

func TestWithOwn(t *testing.T) {
	if got := withOwn(nil); got != nil {
		t.Errorf("got %q of nothing", got)
	}
	if got := strings.Join(withOwn([]string{"fr", "us", "de", "fr"}), " "); got != "us de fr" {
		t.Errorf("got %q", got)
	}
}

// TestOwnImage: alpboot can be started again from an image of its own with the
// kernel that is running, and from no other.
func TestOwnImage(t *testing.T) {
	const running = "6.12.1-alpboot"
	root := fstest.MapFS{"proc/sys/kernel/osrelease": boottest.File(running + "\n")}
	image := func(release, id string) *fstest.MapFile {
		return &fstest.MapFile{Data: ukitest.Image(
			ukitest.Section{Name: ".osrel", Data: []byte("NAME=x\nID=" + id + "\n")},
			ukitest.Section{Name: ".linux", Data: boottest.BzImage(release)},
			ukitest.Section{Name: ".initrd", Data: []byte("070701")})}
	}
	for _, tt := range []struct {
		name, fstype, file string
		image              *fstest.MapFile
		want               bool
	}{
		{"installed", "vfat", "EFI/alpboot/alpboot.efi", image(running, "alpboot"), true},
		{"on a stick", "vfat", "EFI/BOOT/BOOTX64.EFI", image(running, `"alpboot"`), true},
		{"another version", "vfat", "EFI/alpboot/alpboot.efi", image("6.6.0-alpboot", "alpboot"), false},
		{"another system", "vfat", "EFI/Linux/alpine.efi", image(running, "alpine"), false},
		{"another filesystem", "ext4", "EFI/alpboot/alpboot.efi", image(running, "alpboot"), false},
		{"another file", "vfat", "EFI/alpboot/alpboot.efi.old", image(running, "alpboot"), false},
		{"no image", "vfat", "EFI/BOOT/BOOTX64.EFI", boottest.File("MZ"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := ownImage(root, boot.Volumes{{Volume: boot.Volume{Device: "/dev/sda1", Type: tt.fstype}, FS: fstest.MapFS{tt.file: tt.image}}})
			if got := e != nil; got != tt.want {
				t.Errorf("found: %v, want %v", got, tt.want)
			}
			if e != nil && (e.Kernel != tt.file || e.Volume.Device != "/dev/sda1") {
				t.Errorf("got %+v", *e)
			}
		})
	}
}
