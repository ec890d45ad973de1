package command

import (
	"os"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/remember"
)

const stateConf = "remember = UUID=1234-ABCD:/boot/alpboot.state\nconfirm = yes\n"

// withMemory returns a system whose boot menu keeps a state in a file on /, which
// is the volume 1234-ABCD.
func withMemory(t *testing.T, state remember.State, changes ...string) *fake {
	t.Helper()
	f := newFake(t, with(alpine(), append([]string{"/etc/alpboot.conf", stateConf}, changes...)...))
	f.uuids = map[string]string{"/dev/sda3": "1234-ABCD"}
	if err := f.file().Save(state); err != nil {
		t.Fatal(err)
	}
	return f
}

// file returns the state in the directory that stands for /.
func (f *fake) file() *remember.File {
	return &remember.File{Path: "boot/alpboot.state", FS: os.DirFS(f.root), Write: func(do func(*os.Root) error) error {
		root, err := os.OpenRoot(f.root)
		if err != nil {
			return err
		}
		defer root.Close()
		return do(root)
	}}
}

// idOf returns the ID of the entry with a title.
func (f *fake) idOf(t *testing.T, title string) string {
	t.Helper()
	f.kexecReboot([]string{"status"})
	defer f.out.Reset()
	for line := range strings.Lines(f.out.String()) {
		if words := strings.Fields(strings.TrimLeft(line, "*!")); len(words) > 2 && strings.HasPrefix(strings.Join(words[2:], " "), title) {
			return words[1]
		}
	}
	t.Fatalf("no entry %q", title)
	return ""
}

// What the boot menu keeps in a file, and its settings, count for what
// is loaded; a request for its next start stays.
func TestLoadGoesByTheMenusFile(t *testing.T) {
	needAMD64(t)
	probe := newFake(t, alpine())
	probe.uuids = map[string]string{"/dev/sda3": "1234-ABCD"}
	virt, lts := probe.idOf(t, "Linux virt"), probe.idOf(t, "Linux lts")
	for _, tt := range []struct {
		name    string
		state   remember.State
		conf    string
		kernel  string
		unknown bool // the volume has another UUID
	}{
		{name: "the default", state: remember.State{Default: virt, Next: lts}, conf: stateConf, kernel: "vmlinuz-virt"},
		{name: "not what never came up", state: remember.State{Default: virt, Tries: []remember.Try{{ID: virt}}}, conf: stateConf, kernel: "vmlinuz-lts"},
		{name: "what never came up, where nobody says so", state: remember.State{Default: virt, Tries: []remember.Try{{ID: virt}}}, conf: strings.Replace(stateConf, "yes", "no", 1), kernel: "vmlinuz-virt"},
		{name: "a default in the settings comes first", state: remember.State{Default: lts}, conf: stateConf + "default = Linux virt\n", kernel: "vmlinuz-virt"},
		{name: "nothing is remembered", state: remember.State{Default: virt}, conf: "remember = off\n", kernel: "vmlinuz-lts"},
		{name: "the volume is not there", state: remember.State{Default: virt}, conf: stateConf, kernel: "vmlinuz-lts", unknown: true},
		{name: "settings on another volume", state: remember.State{Default: virt}, conf: "settings-volume = UUID=1234-ABCD:/boot/alpboot.conf\nremember = UUID=1234-ABCD:/boot/alpboot.state\n", kernel: "vmlinuz-lts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// On the volume: what the first file, which names it, does not have.
			f := withMemory(t, tt.state, "/etc/alpboot.conf", tt.conf, "/boot/alpboot.conf", "default = Linux lts\n")
			if tt.unknown {
				f.uuids = nil
			}
			out, _ := f.do(t, exitDone, "load", "--entry", "default", "--dry-run")
			if !strings.Contains(out, "boot/"+tt.kernel) {
				t.Errorf("loads\n%swant %s", out, tt.kernel)
			}
		})
	}
}

// What never came up is marked.
func TestStatusMarksWhatFailed(t *testing.T) {
	needAMD64(t)
	probe := newFake(t, alpine())
	probe.uuids = map[string]string{"/dev/sda3": "1234-ABCD"}
	virt := probe.idOf(t, "Linux virt")
	for conf, mark := range map[string]string{stateConf: "x", strings.Replace(stateConf, "yes", "no", 1): "*"} {
		f := withMemory(t, remember.State{Tries: []remember.Try{{ID: virt}}}, "/etc/alpboot.conf", conf)
		f.kexecReboot([]string{"status"})
		if out := f.out.String(); !strings.Contains(out, "\n"+mark+" 2 "+virt) && !strings.Contains(out, "\n"+mark+" 1 "+virt) {
			t.Errorf("with %q:\n%s", conf, out)
		}
	}
}

// Another system that was made the default of the menu, as an update of RAUC does
// with the other slot, is started; one that only its configuration names is not.
func TestLoadAnotherSystemThatWasAskedFor(t *testing.T) {
	needAMD64(t)
	probe := newFake(t, with(alpine(), "/boot/extlinux.conf", otherSystem))
	probe.uuids = map[string]string{"/dev/sda3": "1234-ABCD"}
	other := probe.idOf(t, "Debian")
	for _, tt := range []struct {
		name  string
		state remember.State
		conf  string
		code  int
	}{
		{"remembered", remember.State{Default: other}, stateConf, exitDone},
		{"in the settings", remember.State{}, stateConf + "default = Debian\n", exitDone},
		{"by its configuration", remember.State{Last: other}, stateConf, exitFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := withMemory(t, tt.state, "/etc/alpboot.conf", tt.conf, "/boot/extlinux.conf", otherSystem)
			f.do(t, tt.code, "load", "--entry", "default", "--no-modules", "--dry-run")
		})
	}
}

func TestGood(t *testing.T) {
	for _, tt := range []struct {
		name  string
		state remember.State
		want  remember.State
		files []string
		code  int
		says  string
	}{
		{name: "what was tried is up", state: remember.State{Last: "lts", Trying: "lts", Tries: []remember.Try{{ID: "virt"}, {ID: "lts", Left: 2}}},
			want: remember.State{Last: "lts", Tries: []remember.Try{{ID: "virt"}}}, says: "know that lts is up"},
		{name: "nothing was tried", state: remember.State{Last: "lts", Tries: []remember.Try{{ID: "virt"}}},
			want: remember.State{Last: "lts", Tries: []remember.Try{{ID: "virt"}}}, says: "does not wait"},
		{name: "mounted read-only", state: remember.State{Trying: "lts"}, want: remember.State{Trying: "lts"},
			files: []string{"/proc/self/mountinfo", "21 1 8:3 / / ro,relatime - ext4 /dev/sda3 ro\n"}, code: exitFailed, says: "/ is mounted read-only"},
		{name: "a part of the volume is mounted", state: remember.State{Trying: "lts"}, want: remember.State{Trying: "lts"},
			files: []string{"/proc/self/mountinfo", "21 1 8:3 /@ / rw,relatime - ext4 /dev/sda3 rw\n"}, code: exitFailed, says: "shows only /@"},
		{name: "no place", state: remember.State{Trying: "lts"}, want: remember.State{Trying: "lts"},
			files: []string{"/etc/alpboot.conf", "confirm = yes\n"}, code: exitFailed, says: "no EFI variables"},
		{name: "another volume", state: remember.State{Trying: "lts"}, want: remember.State{Trying: "lts"},
			files: []string{"/etc/alpboot.conf", "remember = LABEL=other:/boot/alpboot.state\n"}, code: exitFailed, says: "LABEL=other:/boot/alpboot.state is not mounted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := withMemory(t, tt.state, tt.files...)
			out, stderr := f.do(t, tt.code, "good")
			if !strings.Contains(out+stderr, tt.says) {
				t.Errorf("says %q, want %q", out+stderr, tt.says)
			}
			got, err := f.file().Load()
			got.Kept = false
			if err != nil || !got.Equal(tt.want) {
				t.Errorf("it remembers %+v (%v), want %+v", got, err, tt.want)
			}
		})
	}
}
