package settings

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot"
)

// values returns what differs from the built-in settings, as NAME=VALUE.
func values(s Settings) []string {
	var out []string
	for _, f := range table() {
		if v := f.get(&s); v != f.def {
			out = append(out, f.name+"="+v)
		}
	}
	return out
}

// image returns the root of an image whose settings are conf; "" for none.
func image(conf string) fs.FS {
	if conf == "" {
		return fstest.MapFS{}
	}
	return fstest.MapFS{ImageFile: {Data: []byte(conf)}}
}

func TestRead(t *testing.T) {
	tests := []struct {
		name, conf, cmdline string
		want                []string
		notes               []string // what each contains
	}{
		{name: "nothing set", cmdline: "console=ttyS0 quiet"},
		{name: "parameters", cmdline: "quiet alpboot.timeout=3 alpboot.default=lts-0a1b2c3d", want: []string{"timeout=3", "default=lts-0a1b2c3d"}},
		{name: "at once", cmdline: "alpboot.timeout=0", want: []string{"timeout=0"}},
		{name: "for ever", cmdline: "alpboot.timeout=-1", want: []string{"timeout=-1"}},
		{name: "the last one counts", cmdline: "alpboot.timeout=9 alpboot.timeout=2", want: []string{"timeout=2"}},
		{name: "title in quotes", cmdline: `alpboot.default="Linux lts" quiet`, want: []string{"default=Linux lts"}},
		{name: "quotes around the whole word", cmdline: `"alpboot.default=Linux lts"`, want: []string{"default=Linux lts"}},
		{name: "newline at the end, as in /proc/cmdline", cmdline: "alpboot.timeout=4\n", want: []string{"timeout=4"}},
		{name: "underscores, and no value", cmdline: "alpboot.console_policy=add alpboot.hidden", want: []string{"hidden=yes", "console-policy=add"}},
		{name: "not what is for init", cmdline: "alpboot.ui=line -- alpboot.timeout=1", want: []string{"ui=line"}},
		{name: "no number", cmdline: "alpboot.timeout=soon", notes: []string{"alpboot.timeout=soon is not understood: it takes whole seconds"}},
		{name: "too large", cmdline: "alpboot.timeout=99999999999", notes: []string{"whole seconds"}},
		{name: "unknown", cmdline: "alpboot.tiemout=3", notes: []string{"alpboot.tiemout is not a setting"}},

		{name: "file", conf: "# mine\n\n timeout = 7 # s\nui=line\r\nkeymap = 'de-nodeadkeys'\ndefault = \"a #1 'b'\" # c\n",
			want: []string{"timeout=7", "default=a #1 'b'", "ui=line", "keymap=de-nodeadkeys"}},
		{name: "parameters count more than the file", conf: "timeout = 7\nrearm = 60\n", cmdline: "alpboot.timeout=1", want: []string{"timeout=1", "rearm=60"}},
		{name: "a wrong parameter leaves the file's value", conf: "timeout = 7\n", cmdline: "alpboot.timeout=x", want: []string{"timeout=7"}, notes: []string{"alpboot.timeout=x"}},
		{name: "bad lines cost only themselves", conf: "timeout\nfoo = 1\nui = window\nrearm = 5\ndefault = \"x\ncharset = 'utf8' x\n" + strings.Repeat("x", 2000) + "=1\n",
			want: []string{"rearm=5"},
			notes: []string{"/etc/alpboot.conf:1: timeout is not a line", "/etc/alpboot.conf:2: foo is not a setting",
				"/etc/alpboot.conf:3: ui = window is not understood: it takes screen or line", "/etc/alpboot.conf:5: ", "/etc/alpboot.conf:6: ", "/etc/alpboot.conf:7: The line is longer"}},
		{name: "too large a file", conf: strings.Repeat("# x\n", maxFile), notes: []string{"The settings in the image cannot be used"}},

		{name: "consoles", cmdline: "alpboot.consoles=/dev/ttyS0,tty1", want: []string{"consoles=ttyS0,tty1"}},
		{name: "a speed is not a console", cmdline: "alpboot.consoles=ttyS0,115200", notes: []string{"consoles"}},
		{name: "a console elsewhere", cmdline: "alpboot.consoles=../etc/passwd", notes: []string{"consoles"}},
		{name: "too many consoles", cmdline: "alpboot.consoles=a,b,c,d,e,f,g,h,i", notes: []string{"up to 8"}},
		{name: "keymap elsewhere", cmdline: "alpboot.keymap=../../x", notes: []string{"bkeymaps"}},
		{name: "remember in a file", cmdline: `alpboot.remember="LABEL=MY DATA:/a/b"`, want: []string{"remember=LABEL=MY DATA:/a/b"}},
		{name: "remember nowhere", cmdline: "alpboot.remember=off", want: []string{"remember=off"}},
		{name: "remember where no volume is named", cmdline: "alpboot.remember=/dev/sda1:/x", notes: []string{"remember"}},
		{name: "remember outside of the volume", cmdline: "alpboot.remember=UUID=1:/../x", notes: []string{"remember"}},
		{name: "tries", cmdline: "alpboot.confirm", want: []string{"confirm=3"}},
		{name: "no tries", conf: "confirm = 5\n", cmdline: "alpboot.confirm=no", want: nil},
		{name: "too many tries", cmdline: "alpboot.confirm=10", notes: []string{"from 1 to 9"}},
		{name: "pauses", cmdline: "alpboot.exhausted-pause=3 alpboot.exhausted=wait", want: []string{"exhausted=wait", "exhausted-pause=3"}},
		{name: "no pauses", cmdline: "alpboot.exhausted-pause=", notes: []string{"up to 8 numbers"}},
		{name: "a pause of nothing", cmdline: "alpboot.exhausted-pause=1,0", notes: []string{"up to 8 numbers"}},
		{name: "a watchdog that bites at once", cmdline: "alpboot.watchdog=5", notes: []string{"from 30 to 600"}},
		{name: "rearm below zero", cmdline: "alpboot.rearm=-1", notes: []string{"whole seconds from 0"}},
		{name: "only what is signed", cmdline: "alpboot.verify=enforce alpboot.shell alpboot.settings-volume=LABEL=X:/y", want: []string{"shell=no", "verify=enforce", "settings-volume=off"}},
		{name: "a parameter makes that stricter", conf: "verify = warn\n", cmdline: "alpboot.verify=enforce", want: []string{"shell=no", "verify=enforce", "settings-volume=off"}},
		{name: "and never weaker", conf: "verify = enforce\n", cmdline: "alpboot.verify=off", want: []string{"shell=no", "verify=enforce", "settings-volume=off"},
			notes: []string{"alpboot.verify=off does not count: /etc/alpboot.conf:1 has enforce, which can only be made stricter."}},
		{name: "nor a second one", cmdline: "alpboot.verify=warn alpboot.verify=off", want: []string{"verify=warn"}, notes: []string{"does not count: kernel parameter has warn"}},
		{name: "a password", conf: "password = $6$salt$" + strings.Repeat("a", 86) + "\n", want: []string{"password=*"}},
		{name: "and what it is asked for", conf: "password = *\nlocked = edit, power\n", want: []string{"password=*", "locked=edit,power"}},
		{name: "none", conf: "password = ''\nlocked = edit\n", want: []string{"locked=edit"}},
		{name: "a password that is not read fits nothing", conf: "password = $y$j9T$secret\n", want: []string{"password=*"},
			notes: []string{"/etc/alpboot.conf:1: password, whose value is not shown, is not understood: it takes a hash that openssl passwd -6 or grub-mkpasswd-pbkdf2 has made"}},
		{name: "nor does a slip", conf: "password $6$rounds=5000$secret\n", want: []string{"password=*"}, notes: []string{"password, whose value is not shown"}},
		{name: "nor another one", conf: "password = '$6$secret\n", want: []string{"password=*"}, notes: []string{"password, whose value is not shown"}},
		{name: "locked without a password", conf: "locked = edit\n", want: []string{"password=*", "locked=edit"}, notes: []string{"/etc/alpboot.conf:1: There is no password"}},
		{name: "what is not known locks all", conf: "password = *\nlocked = edit,all\n", want: []string{"password=*", "locked=edit,shell,other,unlock,power,settings"},
			notes: []string{"locked = edit,all is not understood: it takes one or more of edit, shell"}},
		{name: "parameters set no password", cmdline: "alpboot.password=secret alpboot.locked=edit", notes: []string{"password is taken from alpboot.conf in the image only.", "locked is taken from"}},
		{name: "and take none back", conf: "password = *\n", cmdline: "alpboot.password= alpboot.locked=power", want: []string{"password=*"}, notes: []string{"password is taken", "locked is taken"}},
		{name: "control characters", conf: "default = a\x1b[2Jb\n", notes: []string{"default = a [2Jb"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Read(image(tt.conf), tt.cmdline)
			if d := cmp.Diff(tt.want, values(s)); d != "" {
				t.Errorf("settings (-want +got):\n%s", d)
			}
			checkNotes(t, s.Notes, tt.notes)
			if text := strings.Join(s.Notes, " "); strings.Contains(text, "secret") {
				t.Errorf("a note shows the password: %s", text)
			}
		})
	}
}

func checkNotes(t *testing.T, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !strings.Contains(got[i], want[i]) {
			t.Fatalf("notes: got %q, want those with %q", got, want)
		}
	}
}

func TestNotesAreLimited(t *testing.T) {
	s := Read(image(strings.Repeat("x = 1\n", 100)), "")
	var b bytes.Buffer
	s.Print(&b)
	if len(s.Notes) != maxNotes || !strings.HasSuffix(b.String(), "# 80 more are left out.\n") {
		t.Errorf("%d notes, printed:\n%s", len(s.Notes), b.String())
	}
}

func TestWithVolumes(t *testing.T) {
	volume := func(change func(*boot.MountedVolume), files ...string) boot.MountedVolume {
		tree := fstest.MapFS{}
		for i := 0; i < len(files); i += 2 {
			tree[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
		}
		c := boot.MountedVolume{Volume: boot.Volume{Device: "/dev/sda1", Type: "vfat", UUID: "1234-ABCD", Partition: 1}, FS: tree}
		if change != nil {
			change(&c)
		}
		return c
	}
	device := func(name string) func(*boot.MountedVolume) {
		return func(c *boot.MountedVolume) { c.Volume.Device = name }
	}
	tests := []struct {
		name, cmdline string
		volumes       boot.Volumes
		want          []string
		notes         []string
	}{
		{name: "no password", volumes: boot.Volumes{volume(nil, "alpboot.conf", "password = *\nlocked = power\ntimeout = 9")}, want: []string{"timeout=9"},
			notes: []string{"/dev/sda1: /alpboot.conf:1: password is taken from alpboot.conf in the image only.", "locked is taken"}},
		{name: "on the ESP", volumes: boot.Volumes{volume(nil, "alpboot.conf", "timeout = 9")}, want: []string{"timeout=9"}},
		{name: "next to the payload", volumes: boot.Volumes{volume(nil, "EFI/alpboot/alpboot.conf", "timeout = 9", "alpboot.conf", "timeout = 1")}, want: []string{"timeout=9"}},
		{name: "a kernel parameter counts more, though it is read first", cmdline: "alpboot.timeout=2", volumes: boot.Volumes{volume(nil, "alpboot.conf", "timeout = 9\nrearm=60")}, want: []string{"timeout=2", "rearm=60"}},
		{name: "by label", volumes: boot.Volumes{volume(func(c *boot.MountedVolume) { c.Volume.Type, c.Volume.Label = "ext4", "ALPBOOT" }, "alpboot.conf", "timeout = 9")}, want: []string{"timeout=9"}},
		{name: "not from any filesystem", volumes: boot.Volumes{volume(func(c *boot.MountedVolume) { c.Volume.Type = "ext4" }, "alpboot.conf", "timeout = 9")}},
		{name: "not from a stick", volumes: boot.Volumes{volume(func(c *boot.MountedVolume) { c.Volume.Removable, c.Volume.Label = true, "ALPBOOT" }, "alpboot.conf", "default = evil\ntimeout = 0")}},
		{name: "not from a volume of a guest", volumes: boot.Volumes{volume(func(c *boot.MountedVolume) { c.Volume.Partition = 0 }, "alpboot.conf", "timeout = 9")}},
		{name: "from a stick that is named", cmdline: "alpboot.settings-volume=UUID=1234-abcd:/a.conf", volumes: boot.Volumes{volume(func(c *boot.MountedVolume) { c.Volume.Removable = true }, "a.conf", "timeout = 9")}, want: []string{"timeout=9", "settings-volume=UUID=1234-abcd:/a.conf"}},
		{name: "not from a stick that is a copy of the volume which is named", cmdline: "alpboot.settings-volume=UUID=1234-abcd:/a.conf", volumes: boot.Volumes{
			volume(func(c *boot.MountedVolume) { c.Volume.Removable = true }, "a.conf", "timeout = 1"), volume(nil, "a.conf", "timeout = 9")},
			want: []string{"timeout=9", "settings-volume=UUID=1234-abcd:/a.conf"}},
		{name: "named and missing", cmdline: "alpboot.settings-volume=LABEL=X:/a.conf", volumes: boot.Volumes{volume(nil, "alpboot.conf", "timeout = 9")}, want: []string{"settings-volume=LABEL=X:/a.conf"}, notes: []string{"LABEL=X:/a.conf is not there"}},
		{name: "named without the file", cmdline: "alpboot.settings-volume=UUID=1234-ABCD:/a.conf", volumes: boot.Volumes{volume(nil)}, want: []string{"settings-volume=UUID=1234-ABCD:/a.conf"}, notes: []string{"/dev/sda1"}},
		{name: "switched off", cmdline: "alpboot.settings-volume=off", volumes: boot.Volumes{volume(nil, "alpboot.conf", "timeout = 9")}, want: []string{"settings-volume=off"}},
		{name: "two copies", volumes: boot.Volumes{volume(nil, "alpboot.conf", "timeout = 9"), volume(device("/dev/sdb1"), "alpboot.conf", "timeout = 9")}, want: []string{"timeout=9"}},
		{name: "two that differ", volumes: boot.Volumes{volume(nil, "alpboot.conf", "timeout = 9"), volume(device("/dev/sdb1"), "alpboot.conf", "timeout = 8")}, notes: []string{"/dev/sda1: /alpboot.conf and in /dev/sdb1: /alpboot.conf"}},
		{name: "what a volume must not set", volumes: boot.Volumes{volume(nil, "alpboot.conf", "shell = yes\nremember = efi\ntimeout = -1\nrearm = 0\nsettings-volume = off\ntimeout = 20\n")},
			want: []string{"timeout=20"},
			notes: []string{"/dev/sda1: /alpboot.conf:1: shell is not taken from a volume", "remember is not taken", "timeout = -1 is not taken from a volume: an unattended machine",
				"rearm = 0 is not taken", "settings-volume is not taken"}},
		{name: "an image may wait for ever though", cmdline: "alpboot.rearm=0", volumes: boot.Volumes{volume(nil, "alpboot.conf", "timeout = 9\n")}, want: []string{"timeout=9", "rearm=0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base := Read(image(""), tt.cmdline)
			before := values(base)
			s := base.WithVolumes(tt.volumes)
			if d := cmp.Diff(tt.want, values(s)); d != "" {
				t.Errorf("settings (-want +got):\n%s", d)
			}
			checkNotes(t, s.Notes, tt.notes)
			if d := cmp.Diff(before, values(base)); d != "" || len(base.Notes) > 0 {
				t.Errorf("the settings of the image have changed: %s %q", d, base.Notes)
			}
		})
	}
}

func TestPause(t *testing.T) {
	s := Read(image(""), "alpboot.exhausted-pause=1,5")
	for rounds, want := range []time.Duration{time.Second, 5 * time.Second, 5 * time.Second} {
		if got := s.Pause(rounds); got != want {
			t.Errorf("after %d rounds: %v, want %v", rounds, got, want)
		}
	}
}

func TestPrint(t *testing.T) {
	s := Read(image("rearm = 60\ntimeout = 7\n"), `alpboot.default="Linux lts" alpboot.timeout=3 alpboot.x=1`)
	s = s.WithVolumes(boot.Volumes{{Volume: boot.Volume{Device: "/dev/sda1", Type: "vfat", Partition: 1}, FS: fstest.MapFS{"alpboot.conf": {Data: []byte("\nkeymap=de\n")}}}})
	var b bytes.Buffer
	if err := s.Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"timeout = 3                              # kernel parameter\n",
		"default = Linux lts                      # kernel parameter\n",
		"rearm = 60                               # /etc/alpboot.conf:1\n",
		"keymap = de                              # /dev/sda1: /alpboot.conf:2\n",
		"theme = \"\"                               # built in\n",
		"# alpboot.x is not a setting of alpboot.\n",
	} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("missing: %s", line)
		}
	}
	if t.Failed() {
		t.Log(b.String())
	}
}

func TestValues(t *testing.T) {
	s := Read(image("theme = 'a # b'\n"), `"alpboot.default=A # B"`)
	got := map[string]string{}
	for _, v := range s.Values() {
		got[v.Name] = v.Value + "|" + v.String() + "|" + v.Source.String()
	}
	for name, want := range map[string]string{
		"default": `A # B|default = "A # B"|kernel parameter`,
		"theme":   `a # b|theme = "a # b"|/etc/alpboot.conf:1`,
		"ui":      `screen|ui = screen|built in`,
	} {
		if got[name] != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
}

// TestTable sets every setting to its built-in value and to another one, by
// parameter, and reads what is printed.
func TestTable(t *testing.T) {
	other := map[string]string{
		"timeout": "12", "default": Last, "rearm": "0", "hidden": "yes", "ui": Line, "title": "rack 3 # left", "consoles": "ttyS0", "color": Mono, "charset": ASCII,
		"theme": "title=white/blue+bold,heading=bright-red," + strings.Repeat("bar=green,", 20), "beep": "yes", "keymap": "fr/fr", "snapshots": "yes", "shell": "no", "method": Load, "console-policy": Replace,
		"hand-on-passphrase": "yes", "device-limit": "3", "settle": "0", "remember": "PARTUUID=ab-01:/s", "remember-last": "yes", "confirm": "2",
		"exhausted": "poweroff", "exhausted-pause": "1,2", "removable": "no", "watchdog": "300", "watchdog-by-hand": "yes", "verify": Warn,
		"settings-volume": "PARTLABEL=x y:/z", "password": NoPassword, "locked": "edit,power",
	}
	for _, f := range table() {
		t.Run(f.name, func(t *testing.T) {
			if other[f.name] == "" {
				t.Fatal("the test has no other value for it")
			}
			for _, v := range []string{f.def, other[f.name]} {
				s, from := Read(image(""), fmt.Sprintf(`quiet "alpboot.%s=%s"`, f.name, v)), Source{parameter, "kernel parameter"}
				if f.image {
					s, from = Read(image(fmt.Sprintf("password = *\n%s = %q\n", f.name, v)), ""), Source{imageFile, "/etc/alpboot.conf:2"}
				}
				if got := f.get(&s); got != v || len(s.Notes) > 0 {
					t.Errorf("set to %q, it is %q, %q", v, got, s.Notes)
				}
				for _, now := range s.Values() {
					if want := (Value{f.name, v, from}); now.Name == f.name && now != want {
						t.Errorf("it is %v, want %v", now, want)
					}
				}
				checkPrinted(t, s)
			}
		})
	}
}

// checkPrinted reads what Print writes.
func checkPrinted(t *testing.T, s Settings) {
	t.Helper()
	var b bytes.Buffer
	s.Print(&b)
	again := Read(image(b.String()), "")
	if d := cmp.Diff(values(s), values(again)); d != "" || len(again.Notes) > 0 {
		t.Errorf("read again, what is printed means something else: %s%q\n%s", d, again.Notes, b.String())
	}
}

func TestTimeoutIsNotOurs(t *testing.T) {
	if s := Default(); s.Timeout != nil {
		t.Errorf("the built-in timeout is %v, and would count more than that of an entry", *s.Timeout)
	}
	if s := Read(image(""), "alpboot.timeout=-5"); s.Timeout == nil || *s.Timeout != -time.Second {
		t.Errorf("got %v", s.Timeout)
	}
}

func TestRemembersLast(t *testing.T) {
	for cmdline, want := range map[string]bool{"": false, "alpboot.remember-last": true, "alpboot.default=@last": true, "alpboot.default=last": false} {
		if got := Read(image(""), cmdline).RemembersLast(); got != want {
			t.Errorf("%q: %v", cmdline, got)
		}
	}
}

func TestForTarget(t *testing.T) {
	got := ForTarget(`BOOT_IMAGE=/boot/vmlinuz-lts root=UUID=1 alpboot.default="Linux lts" initrd=\boot\initramfs-lts opt="a  b" quiet` + "\n")
	if want := `root=UUID=1 opt="a  b" quiet`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzRead checks that whatever is read can be printed and read again, and that
// notes are fit for a terminal.
func FuzzRead(f *testing.F) {
	f.Add("timeout = 7 # s\ndefault = \"a #1 'b'\"\n", "alpboot.timeout=3 alpboot.ui=line")
	f.Add("remember = LABEL='x\":/y\nconsoles=tty1,ttyS0\n\xef\xbb\xbftheme = '\n", `"alpboot.default=' #"`)
	f.Add("\ufeffsettle=2\r\ndefault=\t#\ndefault='\"'\n", "alpboot.rearm alpboot.=1 alpboot.hidden=")
	f.Fuzz(func(t *testing.T, conf, cmdline string) {
		s := Read(image(conf), cmdline)
		s = s.WithVolumes(boot.Volumes{{Volume: boot.Volume{Device: "/dev/sda1", Type: "vfat", Partition: 1}, FS: fstest.MapFS{"alpboot.conf": {Data: []byte(conf)}}}})
		for _, n := range s.Notes {
			if strings.ContainsFunc(n, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }) {
				t.Errorf("a note holds control characters: %q", n)
			}
		}
		checkPrinted(t, s)
	})
}
