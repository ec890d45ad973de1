package menu

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// asking is the configuration of a menu that asks for the owner's password before all
// that it can ask for.
func asking() Config {
	c := config()
	c.Asks, c.Password = []string{AskEdit, AskShell, AskOther, AskUnlock, AskPower, AskSettings}, true
	c.Firmware, c.Relaunch, c.Others = true, true, []Other{{3, "Windows"}}
	c.Settings, c.SettingsFile = someSettings(), "/alpboot.conf on /dev/sda1"
	return c
}

var (
	right       = PasswordMsg{Right: true, Owner: true}
	wrong       = PasswordMsg{}
	secretTyped = append(text("secret"), key(KeyEnter))
)

// withoutPasswords returns the actions that are not a question about a password.
func withoutPasswords(actions []Action) []Action {
	return slices.DeleteFunc(actions, func(a Action) bool { _, ok := a.(Password); return ok })
}

// What is locked is done when the password was secretTyped, and not before, on a screen and
// by lines.
func TestPassword(t *testing.T) {
	all := withLocked(found("root-lts", lts(), virt()))
	all.Memory = "It is kept in EFI variables."
	virt := virt()
	for _, tt := range []struct {
		name   string
		ask    any
		about  string
		after  []any  // once the password was right
		want   Action // in the end
		opened string // or what is on the screen then
	}{
		{name: "edit", ask: text("e"), about: "editing Alpine Linux 3.22, linux-lts", opened: "Edit Alpine"},
		{name: "edit from the details", ask: text("ie"), about: "editing", opened: "Edit Alpine"},
		{name: "an edited entry", ask: RequestMsg{Action: Boot{Entry: lts(), Edited: true}}, about: "starting Alpine Linux 3.22, linux-lts", want: Boot{Entry: lts(), Edited: true}},
		{name: "another entry", ask: []Msg{key(KeyDown), key(KeyEnter)}, about: "starting Alpine Linux 3.22, linux-virt", want: Boot{Entry: virt}},
		{name: "by a line", ask: RequestMsg{Action: Boot{Entry: virt}}, about: "starting", want: Boot{Entry: virt}},
		{name: "shell", ask: text("s"), about: "the shell", want: Shell{}},
		{name: "by a line", ask: RequestMsg{Action: Shell{}}, about: "the shell", want: Shell{}},
		{name: "power", ask: text("p"), about: "restarting or powering off", after: []any{text("r")}, want: Reboot{}},
		{name: "restart", ask: RequestMsg{Action: Reboot{}}, about: "restarting", want: Reboot{}},
		{name: "power off", ask: RequestMsg{Action: PowerOff{}}, about: "restarting", want: PowerOff{}},
		{name: "setup", ask: RequestMsg{Action: FirmwareSetup{}}, about: "restarting", want: FirmwareSetup{}},
		{name: "another system", ask: RequestMsg{Action: StartOther{Other{3, "Windows"}}}, about: "restarting", want: StartOther{Other{3, "Windows"}}},
		{name: "keys", ask: RequestMsg{Action: Enrol{}}, about: "restarting", want: Enrol{}},
		{name: "alpboot", ask: RequestMsg{Action: Relaunch{}}, about: "restarting", want: Relaunch{}},
		{name: "settings", ask: text("o"), about: "changing settings", opened: "timeout"},
		{name: "written", ask: RequestMsg{Action: SaveSettings{}}, about: "changing settings", want: SaveSettings{}},
		{name: "default", ask: text("d"), about: "changing the default", opened: "from now on"},
		{name: "by a line", ask: RequestMsg{Action: SetDefault{ID: "root-virt"}}, about: "changing the default", want: SetDefault{ID: "root-virt"}},
		{name: "a volume", ask: []Msg{key(KeyEnd), key(KeyEnter)}, about: "unlocking sda3", opened: "Passphrase of sda3"},
		{name: "by a line", ask: RequestMsg{Action: Unlock{Device: vault.Device, Passphrase: []byte("hunter2")}}, about: "unlocking sda3", opened: "Type its number again."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asks := func() (Model, []Action) { return run(New(asking()), at(0), all, tt.ask) }
			m, actions := asks()
			head := "Password for " + tt.about
			for _, a := range actions {
				if _, ok := a.(Inspect); !ok {
					t.Errorf("before that %#v was asked for", a)
				}
			}
			if s := m.View(Size{80, 24}, ASCII).String(); !strings.Contains(s, head) || !strings.HasPrefix(m.Report(ASCII).Asks, head) {
				t.Errorf("%q is not asked:\n%s", head, s)
			}
			// Wrong, and back: nothing.
			m, actions = run(m, secretTyped, wrong, key(KeyEsc))
			if got := withoutPasswords(actions); len(got) > 0 || strings.Contains(m.View(Size{80, 24}, ASCII).String(), head) {
				t.Errorf("after a wrong one: %v", got)
			}
			// Back while it is checked: nothing is done, whatever it is.
			m, _ = asks()
			if _, actions := run(m, secretTyped, key(KeyEsc), right); len(withoutPasswords(actions)) > 0 {
				t.Errorf("after Esc: %v", actions)
			}
			m, _ = asks()
			m, actions = run(m, secretTyped, right)
			if p, ok := actions[0].(Password); !ok || string(p.Typed) != "secret" || p.Secrets != nil {
				t.Fatalf("%#v is asked for", actions[0])
			}
			m, more := run(m, tt.after...)
			got := withoutPasswords(append(actions, more...))
			if tt.want != nil && (len(got) != 1 || fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", tt.want)) || tt.want == nil && len(got) > 0 {
				t.Errorf("done: %#v, want %#v", got, tt.want)
			}
			if s := m.View(Size{80, 24}, ASCII).String(); !strings.Contains(s, tt.opened) {
				t.Errorf("%q is not shown:\n%s", tt.opened, s)
			}
		})
	}
}

// The default starts without a password, by itself and by Enter; what was opened stays
// open for a while, and is closed after five minutes without a key.
func TestPasswordOfTheOwner(t *testing.T) {
	all := found("root-lts", lts(), virt())
	for name, msgs := range map[string][]any{
		"by itself": {at(0), all, at(1), at(9)},
		"by Enter":  {at(0), all, key(KeyEnter)},
		"by a line": {at(0), all, RequestMsg{Action: Boot{Entry: lts()}}},
	} {
		if _, actions := run(New(asking()), msgs...); strings.TrimSuffix(asked(actions), " unattended") != "boot root-lts" {
			t.Errorf("%s: %s", name, asked(actions))
		}
	}
	open := []any{at(0), all, text("e"), secretTyped, right, text(" single"), at(1)}
	m, actions := run(New(asking()), append(open, key(KeyEnter))...)
	if b, ok := actions[len(actions)-1].(Boot); !ok || !b.Edited {
		t.Errorf("what was edited: %v", actions)
	}
	if _, actions = run(m, FailedMsg{"root-lts", "No."}, text("s")); len(actions) != 1 {
		t.Errorf("the password is asked for again: %v", actions)
	}
	for after, want := range map[float64]string{299: "Edit Alpine", 301: "linux-virt"} {
		m, _ := run(New(asking()), append(open, at(1+after))...)
		if s := m.View(Size{80, 24}, ASCII).String(); !strings.Contains(s, want) {
			t.Errorf("after %v s %q is not shown:\n%s", after, want, s)
		}
		if m, _ = run(m, key(KeyEsc), text("s")); (m.Report(ASCII).Asks != "") != (after > 300) {
			t.Errorf("after %v s: %q", after, m.Report(ASCII).Asks)
		}
	}
}

// An entry whose own menu asks for a password starts, and is edited, with that of its
// menu, which opens nothing else, or with that of the owner. It does not start by itself.
func TestPasswordOfAnEntry(t *testing.T) {
	locked := virt()
	locked.Lock = &boot.Lock{Asks: true, Start: []boot.Secret{"one", "two"}, Edit: []boot.Secret{"two"}}
	edits := lts()
	edits.Lock = &boot.Lock{Edit: []boot.Secret{"two"}}
	msg := InventoryMsg{Inventory: inventory(true, edits, locked), Default: "root-virt", Wait: "It asks first."}
	msg.Inventory.Entries[1].Timeout = nil
	m, actions := run(New(config()), at(0), msg, at(1), at(99))
	if len(actions) > 0 {
		t.Fatalf("%v, although nobody types", actions)
	}
	if s := m.View(Size{80, 24}, ASCII).String(); !strings.Contains(s, "It asks first.") {
		t.Errorf("the reason is not shown:\n%s", s)
	}
	first, second := PasswordMsg{Right: true}, right
	for _, answer := range []PasswordMsg{first, second} {
		_, actions := run(m, key(KeyEnter), secretTyped, answer)
		if p, ok := actions[0].(Password); !ok || !slices.Equal(p.Secrets, locked.Lock.Start) {
			t.Errorf("%#v is asked", actions[0])
		}
		if asked(withoutPasswords(actions)) != "boot root-virt" {
			t.Errorf("%v", actions)
		}
		m, actions := run(m, text("e"), secretTyped, answer)
		if p, ok := actions[0].(Password); !ok || !slices.Equal(p.Secrets, locked.Lock.Edit) {
			t.Errorf("%#v is asked", actions[0])
		}
		m, _ = run(m, key(KeyEsc), key(KeyUp), text("e"))
		if got := m.Report(ASCII).Asks; (got != "") == answer.Owner {
			t.Errorf("another entry: %q", got)
		}
	}
	if _, actions := run(m, key(KeyUp), key(KeyEnter)); asked(actions) != "boot root-lts" {
		t.Errorf("one that is only edited with a password: %v", actions)
	}
	// syslinux starts its default.
	locked.Lock = &boot.Lock{Asks: true, Unattended: true}
	if _, actions := run(New(config()), at(0), found("root-virt", locked), at(1), at(99)); asked(actions) != "boot root-virt unattended" {
		t.Errorf("%s", asked(actions))
	}
	c := asking()
	c.Password = false
	m, _ = run(New(c), found("root-virt", locked), key(KeyEnter))
	if m.Report(ASCII).Message != "This is locked, and no password opens it." {
		t.Errorf("%q", m.Report(ASCII).Message)
	}
}

// Whatever is typed, touched or asked for by lines: without the password nothing is done
// but what is not locked.
func TestNothingWithoutPassword(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		all := withLocked(found("root-lts", lts(), withPassword(virt()), guessed()))
		all.Memory = "It is kept in EFI variables."
		size := Size{80, 24}
		m, _ := run(New(asking()), at(0), all)
		for i := range 300 {
			var msg Msg
			switch rng.IntN(8) {
			case 0:
				msg = TapMsg{At: Point{rng.IntN(size.W), rng.IntN(size.H)}, Size: size}
			case 1:
				e := []boot.Entry{lts(), virt(), guessed()}[rng.IntN(3)]
				edited := e.ID != "root-lts" && rng.IntN(2) == 0
				msg = RequestMsg{Action: []Action{Boot{Entry: e, Edited: edited}, Shell{}, Reboot{}, PowerOff{}, StartOther{}, Relaunch{}, FirmwareSetup{}, SaveSettings{},
					SetDefault{}, Unlock{Device: vault.Device, Passphrase: []byte("x")}, Password{Typed: []byte("y")}, Password{}}[rng.IntN(12)]}
			case 2:
				msg = []Msg{wrong, CancelledMsg{}, all, PasteMsg{"text"}, at(float64(i * rng.IntN(60)))}[rng.IntN(5)]
			case 3:
				msg = key([]Key{KeyEnter, KeyEsc, KeyTab, KeyUp, KeyDown, KeyHome, KeyEnd, KeyRight, KeyF2, KeyF10}[rng.IntN(10)])
			default:
				msg = typedKey([]rune("espodtwrfai123lK/ xju?")[rng.IntN(22)])
			}
			var a Action
			m, a = m.Update(msg)
			switch a := a.(type) {
			case Boot:
				if a.Entry.ID != "root-lts" || a.Edited {
					t.Fatalf("seed %d, %d: %#v starts %s", seed, i, msg, a.Entry.ID)
				}
			case Shell, Reboot, PowerOff, FirmwareSetup, StartOther, Relaunch, SaveSettings, SetDefault, Unlock:
				t.Fatalf("seed %d, %d: %#v does %#v", seed, i, msg, a)
			}
			for _, p := range m.pages {
				switch p.(type) {
				case form, power, settings, makeDefault, unlock:
					t.Fatalf("seed %d, %d: %#v opens %T", seed, i, msg, p)
				}
			}
		}
	}
}

// After three wrong passwords none is taken for 30 seconds, after three more for a minute.
func TestWrongPasswords(t *testing.T) {
	m, _ := run(New(asking()), at(0), found("root-lts", lts()))
	now := 0.0
	for _, pause := range []float64{30, 60, 120} {
		var actions []Action
		m, actions = run(m, text("s"), secretTyped, wrong, secretTyped, wrong, secretTyped, wrong)
		if s := m.Report(ASCII); len(actions) != 3 || s.Asks != "" || !strings.Contains(s.Message, fmt.Sprintf("typed in %v seconds.", pause)) {
			t.Fatalf("after %v s: %v, %q, %q", now, actions, s.Message, s.Asks)
		}
		for _, ask := range []any{text("s"), text("e"), RequestMsg{Action: Reboot{}}, []Msg{at(now + pause - 1), typedKey('s')}} {
			if m, actions = run(m, ask); len(actions) > 0 || m.Report(ASCII).Asks != "" {
				t.Fatalf("%v s: %v is done, %q asked", pause, actions, m.Report(ASCII).Asks)
			}
		}
		now += pause
		m, _ = run(m, at(now))
	}
	m, _ = run(m, text("s"), secretTyped, right, ShellDoneMsg{}, at(now+1), at(now+400), text("s"), secretTyped, wrong)
	if got := m.Report(ASCII).Message; got != "This password is wrong. Tries left: 2." {
		t.Errorf("after a right one: %q", got)
	}
	if got := wrongPause(100); got != time.Hour {
		t.Errorf("the longest pause is %v", got)
	}
}

// Nothing of a password is shown or stays behind.
func TestPasswordIsHidden(t *testing.T) {
	open := []any{at(0), found("root-lts", lts()), text("s")}
	m, _ := run(New(asking()), open...)
	empty := m.View(Size{80, 24}, UTF8).String()
	m, _ = run(m, text("hunter2"))
	if got := m.View(Size{80, 24}, UTF8).String(); got != empty {
		t.Errorf("got\n%s\nwant\n%s", got, empty)
	}
	_, actions := run(m, key(KeyEnter))
	if got := fmt.Sprintf("%v %+v %#v", actions[0], actions[0], actions[0]); strings.Contains(got, "hunter") || strings.Contains(got, "104") {
		t.Errorf("a log would have %s", got)
	}
	for _, way := range []Msg{key(KeyEsc), control('u'), RequestMsg{Action: Boot{Entry: lts()}}, RequestMsg{Action: Password{}}} {
		m, _ := run(New(asking()), append(open, text("hunter2"))...)
		b := m.page().(password).secret.b[:maxSecret]
		run(m, way)
		if string(b) != string(make([]byte, maxSecret)) {
			t.Errorf("%#v leaves %q", way, b)
		}
	}
	late := []byte("hunter2")
	if _, actions = run(New(asking()), found("root-lts", lts()), RequestMsg{Action: Password{Typed: late}}); len(actions) > 0 || late[0] != 0 {
		t.Errorf("one that nothing asks for: %v, %q", actions, late)
	}
}
