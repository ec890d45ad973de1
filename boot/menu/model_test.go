package menu

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// asked returns the actions, a word each.
func asked(actions []Action) string {
	var words []string
	for _, a := range actions {
		switch a := a.(type) {
		case Boot:
			s := "boot " + a.Entry.ID
			if a.Edited {
				s += " edited"
			}
			if a.Unattended {
				s += " unattended"
			}
			words = append(words, s)
		default:
			words = append(words, strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", a), "menu.")))
		}
	}
	return strings.Join(words, ", ")
}

func TestUnattended(t *testing.T) {
	never := time.Duration(-1)
	timed := func(d *time.Duration) boot.Entry { e := lts(); e.Timeout = d; return e }
	bad := lts()
	bad.Problem = "The kernel is not there."
	setting := func(d *time.Duration) func(*Config) { return func(c *Config) { c.Timeout = d } }
	ticks := func(from, to int) []Msg {
		var ms []Msg
		for s := from; s <= to; s++ {
			ms = append(ms, at(float64(s)))
		}
		return ms
	}
	tests := []struct {
		name   string
		config func(*Config)
		msgs   []any
		want   string
	}{
		{name: "boots after the entry's timeout", msgs: []any{at(0), found("root-lts", lts()), ticks(1, 4)}, want: "boot root-lts unattended"},
		{name: "not before it", msgs: []any{at(0), found("root-lts", lts()), ticks(1, 3)}},
		{name: "not before the first tick", msgs: []any{found("root-lts", lts())}},
		{name: "the setting overrides it", config: setting(seconds(60)), msgs: []any{found("root-lts", lts()), ticks(0, 59)}},
		{name: "and boots in the end", config: setting(seconds(60)), msgs: []any{found("root-lts", lts()), ticks(0, 60)}, want: "boot root-lts unattended"},
		{name: "falls back when none is set", msgs: []any{found("root-lts", timed(nil)), ticks(0, 4)}},
		{name: "and boots after that", msgs: []any{found("root-lts", timed(nil)), ticks(0, 5)}, want: "boot root-lts unattended"},
		{name: "what becomes known of the settings counts", msgs: []any{ConfigMsg{later()}, found("root-lts", lts()), ticks(0, 60)}, want: "boot root-lts unattended"},
		{name: "and no longer what was known before", msgs: []any{ConfigMsg{later()}, found("root-lts", lts()), ticks(0, 59)}},
		{name: "negative waits for ever", msgs: []any{found("root-lts", timed(&never)), ticks(0, 5000)}},
		{name: "0 boots at once, without a tick", config: setting(seconds(0)), msgs: []any{found("root-lts", lts())}, want: "boot root-lts unattended"},
		{name: "0 of the entry as well", msgs: []any{found("root-lts", timed(seconds(0)))}, want: "boot root-lts unattended"},
		{name: "on a screen it takes time to see it", config: func(c *Config) { c.LeastTimeout = 3 * time.Second }, msgs: []any{found("root-lts", timed(seconds(1))), ticks(0, 2)}},
		{name: "and boots then", config: func(c *Config) { c.LeastTimeout = 3 * time.Second }, msgs: []any{found("root-lts", timed(seconds(0))), ticks(0, 3)}, want: "boot root-lts unattended"},
		{name: "a setting counts there as it is", config: func(c *Config) { c.LeastTimeout, c.Timeout = 3*time.Second, seconds(1) }, msgs: []any{found("root-lts", timed(seconds(1))), ticks(0, 1)}, want: "boot root-lts unattended"},
		{name: "a screen waits for ever, too", config: func(c *Config) { c.LeastTimeout = 3 * time.Second }, msgs: []any{found("root-lts", timed(&never)), ticks(0, 5000)}},
		{name: "0 does not boot when a key came before", config: setting(seconds(0)), msgs: []any{key(KeyOther), found("root-lts", lts()), ticks(0, 200)}},
		{name: "nothing before the devices have settled", msgs: []any{InventoryMsg{Inventory: inventory(false, lts()), Default: "root-lts"}, ticks(0, 100)}},
		{name: "settled later", msgs: []any{InventoryMsg{Inventory: inventory(false, lts()), Default: "root-lts"}, ticks(0, 9), found("root-lts", lts()), ticks(10, 13)}, want: "boot root-lts unattended"},
		{name: "a device that comes later does not stop it", msgs: []any{found("root-lts", lts()), at(0), InventoryMsg{Inventory: inventory(false, lts()), Default: "root-lts"}, ticks(1, 3)}, want: "boot root-lts unattended"},
		{name: "another default begins again", msgs: []any{found("root-lts", lts(), virt()), ticks(0, 2), found("root-virt", lts(), virt()), ticks(3, 5)}},
		{name: "and is booted", msgs: []any{found("root-lts", lts(), virt()), ticks(0, 2), found("root-virt", lts(), virt()), ticks(3, 6)}, want: "boot root-virt unattended"},
		{name: "the default goes away", msgs: []any{found("root-lts", lts()), ticks(0, 2), found("root-lts"), ticks(3, 100)}},
		{name: "no default", msgs: []any{found("", lts()), ticks(0, 1000)}},
		{name: "a default with a problem is never booted", msgs: []any{found("root-lts", bad), ticks(0, 1000)}},
		{name: "any key stops it", msgs: []any{found("root-lts", lts()), ticks(0, 2), key(KeyOther), ticks(3, 200)}},
		{name: "Esc stops it", msgs: []any{found("root-lts", lts()), at(0), key(KeyEsc), ticks(1, 200)}},
		{name: "a paste stops it", msgs: []any{found("root-lts", lts()), at(0), PasteMsg{"x"}, ticks(1, 200)}},
		{name: "it starts again after five minutes", msgs: []any{found("root-lts", lts()), at(0), key(KeyOther), ticks(1, 307)}, want: "boot root-lts unattended"},
		{name: "but not sooner", msgs: []any{found("root-lts", lts()), at(0), key(KeyOther), ticks(1, 306)}},
		{name: "and every key puts it off", msgs: []any{found("root-lts", lts()), at(0), key(KeyOther), ticks(1, 200), key(KeyOther), ticks(201, 450)}},
		{name: "rearmed, 0 becomes the fallback", config: setting(seconds(0)), msgs: []any{key(KeyOther), found("root-lts", lts()), ticks(0, 305)}},
		{name: "and boots then", config: setting(seconds(0)), msgs: []any{key(KeyOther), found("root-lts", lts()), ticks(0, 306)}, want: "boot root-lts unattended"},
		{name: "a stray e in the list does not hang it", msgs: []any{found("root-lts", lts()), at(0), typedKey('e'), typedKey('x'), ticks(1, 400)}, want: "boot root-lts unattended"},
		{name: "a stray / neither", msgs: []any{found("root-lts", lts()), at(0), typedKey('/'), typedKey('x'), ticks(1, 400)}, want: "boot root-lts unattended"},
		{name: "without rearming it stays off", config: func(c *Config) { c.Rearm = 0 }, msgs: []any{found("root-lts", lts()), at(0), key(KeyOther), ticks(1, 5000)}},
		{name: "nothing is booted while a shell is open", msgs: []any{found("root-lts", lts()), at(0), typedKey('s'), ticks(1, 4000)}, want: "shell"},
		{name: "after the shell it is quiet from its end", msgs: []any{found("root-lts", lts()), at(0), typedKey('s'), at(4000), ShellDoneMsg{}, ticks(4001, 4306)}, want: "shell"},
		{name: "and boots in the end", msgs: []any{found("root-lts", lts()), at(0), typedKey('s'), at(4000), ShellDoneMsg{}, ticks(4001, 4310)}, want: "shell, boot root-lts unattended"},
		{name: "a failed entry is not booted again", msgs: []any{found("root-lts", lts()), ticks(0, 3), FailedMsg{"root-lts", "No."}, found("root-lts", lts()), ticks(4, 1000)}, want: "boot root-lts unattended"},
		{name: "after a failure there is no default until one is named", msgs: []any{found("root-lts", lts(), virt()), ticks(0, 3), FailedMsg{"root-lts", "No."}, ticks(4, 1000)}, want: "boot root-lts unattended"},
		{name: "the next default is booted after a failure", msgs: []any{found("root-lts", lts(), virt()), ticks(0, 3), FailedMsg{"root-lts", "No."}, found("root-virt", lts(), virt()), ticks(4, 7)}, want: "boot root-lts unattended, boot root-virt unattended"},
		{name: "nothing is booted while something is being booted", msgs: []any{found("root-lts", lts()), ticks(0, 3), found("root-lts", lts()), ticks(4, 900)}, want: "boot root-lts unattended"},
		{name: "a clock that goes back does not boot early", msgs: []any{at(1000), found("root-lts", lts()), at(1001), at(0), ticks(1, 2)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := config()
			if tt.config != nil {
				tt.config(&c)
			}
			_, actions := run(New(c), tt.msgs...)
			if got := asked(actions); got != tt.want {
				t.Errorf("asked for %q, want %q", got, tt.want)
			}
		})
	}
}

// later is a configuration with a timeout of a minute.
func later() Config {
	c := config()
	c.Timeout = seconds(60)
	return c
}

func TestKeys(t *testing.T) {
	all := found("root-lts", lts(), virt(), guessed(), broken())
	nokernel := broken()
	nokernel.Kernel = ""
	loose := found("root-lts", lts(), nokernel)
	tests := []struct {
		name     string
		msgs     []any
		want     string // actions
		selected string // ID
		cmdline  string // of the entry that is booted
		shows    string // somewhere on the screen
	}{
		{name: "Enter boots the selection", msgs: []any{all, key(KeyDown), key(KeyEnter)}, want: "boot root-virt", selected: "root-virt"},
		{name: "a second Enter does not boot twice", msgs: []any{all, key(KeyEnter), key(KeyDown), key(KeyEnter)}, want: "boot root-lts", selected: "root-virt"},
		{name: "after a failure it boots again", msgs: []any{all, key(KeyEnter), FailedMsg{"root-lts", "No."}, key(KeyEnter)}, want: "boot root-lts, boot root-lts", selected: "root-lts"},
		{name: "the right arrow does not boot", msgs: []any{all, key(KeyRight), key(KeyLeft)}, selected: "root-lts"},
		{name: "j and k", msgs: []any{all, text("jjjk")}, selected: "stick-lts"},
		{name: "Up stays at the top", msgs: []any{all, key(KeyUp)}, selected: "root-lts"},
		{name: "End and Down", msgs: []any{all, key(KeyEnd), key(KeyDown)}, selected: "stick-edge"},
		{name: "G and g", msgs: []any{all, text("Gg")}, selected: "root-lts"},
		{name: "PgDn", msgs: []any{found("", many()...), key(KeyPgDn)}, selected: "many-10"},
		{name: "PgUp", msgs: []any{found("", many()...), key(KeyEnd), key(KeyPgUp)}, selected: "many-49"},
		{name: "a number selects and does not boot", msgs: []any{all, text("3")}, selected: "stick-lts"},
		{name: "a number too high does nothing", msgs: []any{all, text("9")}, selected: "root-lts"},
		{name: "Enter in an empty list", msgs: []any{found(""), key(KeyEnter), typedKey('e'), typedKey('i'), key(KeyEsc)}},
		{name: "Ctrl-L", msgs: []any{all, control('l')}, want: "redraw", selected: "root-lts"},
		{name: "rescan", msgs: []any{all, text("r")}, want: "rescan", selected: "root-lts", shows: "Scanning all disks again ..."},
		{name: "restart", msgs: []any{all, text("pr")}, want: "reboot", selected: "root-lts"},
		{name: "power off", msgs: []any{all, text("poo")}, want: "poweroff", selected: "root-lts"},
		{name: "power off is asked once more", msgs: []any{all, text("po"), key(KeyEsc), text("q")}, selected: "root-lts"},
		{name: "power off by the marker", msgs: []any{all, text("p"), key(KeyDown), key(KeyEnter), key(KeyEnter)}, want: "poweroff", selected: "root-lts"},
		{name: "restart by the marker", msgs: []any{all, text("p"), key(KeyDown), key(KeyDown), key(KeyUp), key(KeyEnter)}, want: "reboot", selected: "root-lts"},
		{name: "Esc leaves the power menu", msgs: []any{all, text("p"), key(KeyEsc), text("o")}, selected: "root-lts"},
		{name: "o and r in the list do not switch off", msgs: []any{all, text("oq")}, selected: "root-lts"},
		{name: "shell", msgs: []any{all, text("s"), ShellDoneMsg{"exit status 1"}}, want: "shell", selected: "root-lts", shows: "exit status 1"},
		{name: "Enter on a problem explains it", msgs: []any{all, key(KeyEnd), key(KeyEnter)}, want: "inspect", selected: "stick-edge", shows: "Why it cannot be booted"},
		{name: "and Enter again does not boot", msgs: []any{all, key(KeyEnd), key(KeyEnter), key(KeyEnter)}, want: "inspect", selected: "stick-edge"},
		{name: "but t does", msgs: []any{all, key(KeyEnd), key(KeyEnter), text("t")}, want: "inspect, boot stick-edge", selected: "stick-edge"},
		{name: "unless there is no kernel", msgs: []any{loose, key(KeyEnd), key(KeyEnter), text("t")}, want: "inspect", selected: "stick-edge"},
		{name: "edited without a kernel", msgs: []any{loose, key(KeyEnd), text("e"), key(KeyEnter)}, selected: "stick-edge", shows: "no kernel"},

		{name: "edit and boot", msgs: []any{all, text("e"), text(" debug"), key(KeyEnter)}, want: "boot root-lts edited", selected: "root-lts", cmdline: lts().Cmdline + " debug"},
		{name: "Ctrl-X and F10 boot too", msgs: []any{all, text("e"), key(KeyF10), FailedMsg{"root-lts", "No."}, text("e"), control('x')}, want: "boot root-lts, boot root-lts", selected: "root-lts", cmdline: lts().Cmdline},
		{name: "Esc changes nothing", msgs: []any{all, text("e"), text(" debug"), key(KeyEsc), key(KeyEnter)}, want: "boot root-lts", selected: "root-lts", cmdline: lts().Cmdline},
		{name: "but the edit is there again", msgs: []any{all, text("e"), text(" debug"), key(KeyEsc), text("e"), key(KeyEnter)}, want: "boot root-lts edited", selected: "root-lts", cmdline: lts().Cmdline + " debug"},
		{name: "which is shown", msgs: []any{all, text("e"), text(" debug"), key(KeyEsc), text("e")}, selected: "root-lts", shows: "This is your edit from before."},
		{name: "not for another entry", msgs: []any{all, text("e"), text(" debug"), key(KeyEsc), text("je"), key(KeyEnter)}, want: "boot root-virt", selected: "root-virt", cmdline: virt().Cmdline},
		{name: "and after a failure", msgs: []any{all, text("e"), text(" debug"), key(KeyEnter), FailedMsg{"root-lts", "No."}, text("e"), control('r'), key(KeyEnter)}, want: "boot root-lts edited, boot root-lts", selected: "root-lts", cmdline: lts().Cmdline},
		{name: "an entry that goes away can still be booted from the editor", msgs: []any{all, text("e"), found("", virt()), key(KeyEnter)}, want: "boot root-lts", selected: "root-lts"},
		{name: "a command line that is too long is refused", msgs: []any{all, text("e"), PasteMsg{strings.Repeat("x", 2000)}, key(KeyEnter)}, selected: "root-lts", shows: "takes only 2047"},
		{name: "keys of the list are text in the editor", msgs: []any{all, text("e"), control('u'), text("spr?o1"), key(KeyEnter)}, want: "boot root-lts edited", selected: "root-lts", cmdline: "spr?o1"},
		{name: "a paste with line ends does not boot", msgs: []any{all, text("e"), control('u'), PasteMsg{"a\r\nb\n\x1b[A\n"}, key(KeyEnter)}, want: "boot root-lts edited", selected: "root-lts", cmdline: "a  b [A"},

		{name: "filter", msgs: []any{all, text("/edge")}, selected: "stick-edge"},
		{name: "filter, cleared before a word is typed", msgs: []any{all, text("/"), control('u'), control('w'), text("edge")}, selected: "stick-edge"},
		{name: "filter by volume and in any order", msgs: []any{all, text("/LTS sdb")}, selected: "stick-lts"},
		{name: "Enter keeps it, and Enter boots", msgs: []any{all, text("/virt"), key(KeyEnter), key(KeyEnter)}, want: "boot root-virt", selected: "root-virt"},
		{name: "Esc shows all and finds the old selection", msgs: []any{all, key(KeyDown), text("/edge"), key(KeyEsc)}, selected: "root-virt"},
		{name: "Esc after keeping as well", msgs: []any{all, text("/edge"), key(KeyEnter), key(KeyEsc), text("g")}, selected: "root-lts"},
		{name: "Ctrl-U in an empty filter does not end it", msgs: []any{all, text("/"), control('u'), control('w'), text("edge")}, selected: "stick-edge", shows: "Filter: edge"},
		{name: "Backspace there does", msgs: []any{all, text("/x"), key(KeyBackspace), key(KeyBackspace), text("G")}, selected: "stick-edge"},
		{name: "no match", msgs: []any{all, text("/windows"), key(KeyEnter), key(KeyEnter), control('u'), key(KeyEnter), key(KeyEnter)}, want: "boot root-lts", selected: "root-lts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, actions := run(New(config()), tt.msgs...)
			if got := asked(actions); got != tt.want {
				t.Errorf("asked for %q, want %q", got, tt.want)
			}
			if e, _ := m.selected(); e.ID != tt.selected {
				t.Errorf("selected %q, want %q", e.ID, tt.selected)
			}
			if screen := m.View(Size{100, 30}, ASCII).String(); !strings.Contains(screen, tt.shows) {
				t.Errorf("the screen does not show %q:\n%s", tt.shows, screen)
			}
			if tt.cmdline != "" {
				if got := actions[len(actions)-1].(Boot).Entry.Cmdline; got != tt.cmdline {
					t.Errorf("cmdline %q, want %q", got, tt.cmdline)
				}
			}
		})
	}
}

func TestSelection(t *testing.T) {
	tests := []struct {
		name string
		msgs []any
		want string
	}{
		{"follows the default before any key", []any{found("root-virt", lts(), virt()), found("stick-lts", lts(), virt(), guessed())}, "stick-lts"},
		{"is the first that can be booted without a default", []any{found("", broken(), lts())}, "root-lts"},
		{"stays when entries come above it", []any{found("root-virt", virt()), key(KeyOther), found("root-lts", lts(), guessed(), virt())}, "root-virt"},
		{"stays when the default changes", []any{found("root-lts", lts(), virt()), key(KeyDown), found("root-lts", virt(), lts())}, "root-virt"},
		{"stays when its entry goes away", []any{found("", lts(), virt(), guessed()), key(KeyDown), found("", lts(), guessed())}, "root-virt"},
		{"stays when all entries go away", []any{found("", lts(), virt(), guessed()), key(KeyDown), found(""), found("", lts())}, "root-virt"},
		{"does not come back to what has gone", []any{found("", lts(), virt(), guessed()), key(KeyDown), found("", lts(), guessed()), key(KeyUp), found("", lts(), guessed()), key(KeyDown)}, "stick-lts"},
		{"and comes back with it", []any{found("", lts(), virt(), guessed()), key(KeyDown), found(""), found("", guessed(), lts(), virt())}, "root-virt"},
		{"is the failed entry when nobody typed", []any{found("root-virt", lts(), virt()), at(0), at(3), FailedMsg{"root-virt", "No."}, found("", lts(), virt())}, "root-virt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := run(New(config()), tt.msgs...)
			if e, _ := m.selected(); e.ID != tt.want {
				t.Errorf("selected %q, want %q", e.ID, tt.want)
			}
		})
	}
	t.Run("an entry that went away is grey, and shows that instead of booting another", func(t *testing.T) {
		m, actions := run(New(config()), found("", lts(), virt()), key(KeyDown), found("", lts()), key(KeyEnter))
		if asked(actions) != "inspect" {
			t.Fatalf("asked for %q", asked(actions))
		}
		if s := m.View(Size{132, 43}, ASCII).String(); !strings.Contains(s, "sda2 is gone. Plug it in again") {
			t.Errorf("nothing is shown about it:\n%s", s)
		}
		if _, actions = run(m, key(KeyEsc), found("", lts(), virt()), key(KeyEnter)); asked(actions) != "boot root-virt" {
			t.Errorf("asked for %q when it had come back", asked(actions))
		}
	})
}

// TestFolds: want is the IDs of what the list shows, of folds their titles.
func TestFolds(t *testing.T) {
	closed := []string{"alpine", "Advanced options for Alpine Linux", "Snapshots", "other"}
	tests := []struct {
		name     string
		msgs     []any
		want     []string
		selected string
	}{
		{"closed at first", []any{found("alpine", folded()...)}, closed, "alpine"},
		{"Enter opens", []any{found("", folded()...), key(KeyDown), key(KeyEnter)}, []string{"alpine", "Advanced options for Alpine Linux", "old-0", "old-1", "Recovery", "Snapshots", "other"}, "Advanced options for Alpine Linux"},
		{"and closes", []any{found("", folded()...), key(KeyDown), key(KeyEnter), key(KeyEnter)}, closed, "Advanced options for Alpine Linux"},
		{"+ opens, Left inside closes", []any{found("", folded()...), key(KeyDown), typedKey('+'), key(KeyDown), key(KeyLeft)}, closed, "Advanced options for Alpine Linux"},
		{"Esc inside closes", []any{found("", folded()...), key(KeyDown), key(KeyRight), key(KeyDown), key(KeyEsc)}, closed, "Advanced options for Alpine Linux"},
		{"Right on an entry does nothing", []any{found("", folded()...), key(KeyRight)}, closed, "alpine"},
		{"nested, Left twice", []any{found("", folded()...), key(KeyDown), text("+jjj+j"), key(KeyLeft), key(KeyLeft), key(KeyLeft)}, closed, "Advanced options for Alpine Linux"},
		{"a default inside is shown", []any{found("old-2", folded()...)}, []string{"alpine", "Advanced options for Alpine Linux", "old-0", "old-1", "Recovery", "old-2", "Snapshots", "other"}, "old-2"},
		{"unless the user has closed it", []any{found("old-0", folded()...), text("-"), found("old-0", folded()...)}, closed, "Advanced options for Alpine Linux"},
		{"a number finds what is folded", []any{found("", folded()...), text("4")}, append(append(closed[:2:2], "old-0", "old-1", "Recovery", "old-2"), closed[2:]...), "old-2"},
		{"what a filter found is shown without it", []any{found("", folded()...), text("/recovery"), key(KeyEnter), key(KeyEsc)}, []string{"alpine", "Advanced options for Alpine Linux", "old-0", "old-1", "Recovery", "old-2", "Snapshots", "other"}, "old-2"},
		{"a filter looks into folds", []any{found("", folded()...), text("/recovery mode")}, []string{"old-2"}, "old-2"},
		{"an entry of two volumes apart is grouped", []any{found("", lts(), guessed(), virt())}, []string{"root-lts", "root-virt", "stick-lts"}, "root-lts"},
		{"a locked volume is a row", []any{withLocked(found("", lts())), key(KeyEnd)}, []string{"root-lts", "sda3"}, "sda3"},
		{"the selection stays when its volume is all that is left", []any{withLocked(found("", lts())), key(KeyEnd), withLocked(found(""))}, []string{"sda3"}, "sda3"},
	}
	name := func(it item) string {
		switch {
		case it.fold:
			return it.title
		case it.locked:
			return device(it.volume)
		}
		return it.id
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, actions := run(New(config()), tt.msgs...)
			var got []string
			for _, it := range m.items() {
				got = append(got, name(it))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("the list is\n%q, want\n%q", got, tt.want)
			}
			if it, _ := m.selectedItem(); name(it) != tt.selected {
				t.Errorf("selected %q, want %q", name(it), tt.selected)
			}
			if len(actions) > 0 {
				t.Errorf("asked for %q", asked(actions))
			}
		})
	}
}

// TestUnlock: the passphrase goes out once, whole, and stays nowhere.
func TestUnlock(t *testing.T) {
	disk := withLocked(found("root-lts", lts()))
	open := []any{disk, key(KeyEnd), key(KeyEnter)}
	wrong, opened := UnlockedMsg{Device: "/dev/sda3", Wrong: true}, UnlockedMsg{Device: "/dev/sda3"}
	word := []any{text("hunter2"), key(KeyEnter)}
	join := func(parts ...[]any) []any { return slices.Concat(parts...) }
	tests := []struct {
		name   string
		msgs   []any
		want   []string // passphrases handed out
		handOn bool
		closed bool // the prompt has gone
		shows  string
	}{
		{name: "Enter asks", msgs: open, shows: "Passphrase of sda3"},
		{name: "Enter hands it out", msgs: join(open, word), want: []string{"hunter2"}, shows: "Unlocking sda3"},
		{name: "letters beyond ASCII, Backspace", msgs: join(open, []any{text("aéЖ"), key(KeyBackspace), key(KeyEnter)}), want: []string{"aé"}},
		{name: "Ctrl-U clears", msgs: join(open, []any{text("abc"), control('u')}, word), want: []string{"hunter2"}},
		{name: "a paste, without its line end", msgs: join(open, []any{PasteMsg{"pass word\n"}, key(KeyEnter)}), want: []string{"pass word"}},
		{name: "nothing typed, nothing sent", msgs: join(open, []any{key(KeyEnter)}), shows: "No passphrase was typed yet."},
		{name: "too long", msgs: join(open, []any{PasteMsg{strings.Repeat("x", 513)}}), shows: "at most 512"},
		{name: "Esc cancels and forgets", msgs: join(open, []any{text("abc"), key(KeyEsc), key(KeyEnter), key(KeyEnter)}), shows: "No passphrase was typed yet."},
		{name: "letters are not commands", msgs: join(open, []any{text("spqre?"), key(KeyEnter)}), want: []string{"spqre?"}},
		{name: "Tab hands it on", msgs: join(open, []any{key(KeyTab)}, word), want: []string{"hunter2"}, handOn: true},
		{name: "and back", msgs: join(open, []any{key(KeyTab), key(KeyTab)}, word), want: []string{"hunter2"}},
		{name: "a wrong one asks again", msgs: join(open, word, []any{wrong}), want: []string{"hunter2"}, shows: "Tries left: 2"},
		{name: "and nothing of it is left", msgs: join(open, word, []any{wrong, key(KeyEnter)}), want: []string{"hunter2"}, shows: "No passphrase was typed yet."},
		{name: "three wrong ones end it", msgs: join(open, word, []any{wrong}, word, []any{wrong}, word, []any{wrong}), want: []string{"hunter2", "hunter2", "hunter2"}, closed: true, shows: "3 passphrases were wrong"},
		{name: "nothing is typed while one is tried", msgs: join(open, word, []any{text("abc"), key(KeyEnter)}), want: []string{"hunter2"}},
		{name: "Esc meanwhile goes back, Enter comes back", msgs: join(open, word, []any{key(KeyEsc), key(KeyEnter), wrong, text("x"), key(KeyEnter)}), want: []string{"hunter2", "x"}},
		{name: "wrong, seen in the list", msgs: join(open, word, []any{key(KeyEsc), wrong}), want: []string{"hunter2"}, closed: true, shows: "does not unlock sda3"},
		{name: "an error ends it", msgs: join(open, word, []any{UnlockedMsg{Device: "/dev/sda3", Error: "This kernel lacks dm-crypt."}}), want: []string{"hunter2"}, closed: true, shows: "lacks dm-crypt"},
		{name: "open", msgs: join(open, word, []any{opened}), want: []string{"hunter2"}, closed: true, shows: "sda3 is unlocked"},
		{name: "its entry is selected when it comes", msgs: join(open, word, []any{opened, found("root-lts", lts()), found("root-lts", lts(), virt())}), want: []string{"hunter2"}, closed: true, shows: "sda3 is unlocked: Alpine Linux 3.22, linux-virt is selected"},
		{name: "the answer about another one is ignored", msgs: join(open, word, []any{UnlockedMsg{Device: "/dev/sdz"}}), want: []string{"hunter2"}, shows: "Unlocking"},
		{name: "the disk is pulled out", msgs: join(open, []any{text("abc"), found("", lts())}), closed: true, shows: "sda3 is gone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, actions := run(New(config()), tt.msgs...)
			var got []string
			handOn := false
			for _, a := range actions {
				u := a.(Unlock)
				if u.Device != vault.Device {
					t.Errorf("opens %s", u.Device)
				}
				if s := fmt.Sprintf("%v %+v %#v", u, u, u); strings.Contains(s, "hunter") {
					t.Errorf("printing the action shows %q", s)
				}
				got = append(got, string(u.Passphrase))
				handOn = u.HandOn
			}
			if !slices.Equal(got, tt.want) || handOn != tt.handOn {
				t.Errorf("handed out %q, hand on %t; want %q, %t", got, handOn, tt.want, tt.handOn)
			}
			if _, open := m.page().(unlock); open == tt.closed {
				t.Errorf("the page is %T", m.page())
			}
			shown := m.View(Size{100, 30}, ASCII).String()
			if !strings.Contains(shown, tt.shows) {
				t.Errorf("the screen does not show %q:\n%s", tt.shows, shown)
			}
			if strings.Contains(shown, "hunter") {
				t.Errorf("the passphrase is on the screen:\n%s", shown)
			}
		})
	}
	t.Run("what was typed is overwritten", func(t *testing.T) {
		for _, way := range []Msg{key(KeyEsc), control('u'), RequestMsg{Action: Boot{Entry: lts()}}, found("", lts())} {
			m, _ := run(New(config()), append(open, text("hunter2"))...)
			b := m.page().(unlock).secret.b[:maxSecret]
			run(m, way)
			if string(b) != string(make([]byte, maxSecret)) {
				t.Errorf("%#v leaves %q", way, b)
			}
		}
	})
	t.Run("the screen does not depend on it", func(t *testing.T) {
		m, _ := run(New(config()), open...)
		empty := m.View(Size{80, 24}, UTF8).String()
		m, _ = run(m, text("hunter2"))
		if got := m.View(Size{80, 24}, UTF8).String(); got != empty {
			t.Errorf("got\n%s\nwant\n%s", got, empty)
		}
	})
}

func TestLoading(t *testing.T) {
	progress := func(n int64) Msg { return ProgressMsg{"root-lts", "Loading initramfs-lts", n, 40e6} }
	begin := []any{found("root-lts", lts()), at(0), key(KeyEnter), at(0.2), progress(10e6)}
	tests := []struct {
		name    string
		msgs    []any
		want    string
		shows   string
		without string
	}{
		{name: "no bar at first", msgs: begin, want: "boot root-lts", shows: "Booting Alpine", without: "10 MB"},
		{name: "a bar after half a second", msgs: append(begin, at(0.8)), want: "boot root-lts", shows: "Loading initramfs-lts: 10 MB of 40 MB"},
		{name: "progress of another one", msgs: append(begin, at(0.8), ProgressMsg{"x", "Loading x", 1, 2}), want: "boot root-lts", without: "Loading x"},
		{name: "Esc stops it", msgs: append(begin, at(0.8), key(KeyEsc)), want: "boot root-lts, cancel", shows: "Stopping ..."},
		{name: "once", msgs: append(begin, key(KeyEsc), key(KeyEsc), control('c')), want: "boot root-lts, cancel"},
		{name: "Ctrl-C too", msgs: append(begin, control('c')), want: "boot root-lts, cancel"},
		{name: "stopped", msgs: append(begin, key(KeyEsc), CancelledMsg{}), want: "boot root-lts, cancel", shows: "Stopped. Nothing was booted."},
		{name: "and can be booted again", msgs: append(begin, key(KeyEsc), CancelledMsg{}, key(KeyEnter)), want: "boot root-lts, cancel, boot root-lts", shows: "Booting"},
		{name: "Esc without loading does nothing", msgs: []any{found("root-lts", lts()), key(KeyEsc)}},
		{name: "a failure after that", msgs: append(begin, key(KeyEsc), FailedMsg{"root-lts", "No."}, key(KeyEsc)), want: "boot root-lts, cancel"},
		{name: "more than all", msgs: append(begin, at(9), progress(90e6)), want: "boot root-lts", shows: "90 MB of 40 MB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, actions := run(New(config()), tt.msgs...)
			if got := asked(actions); got != tt.want {
				t.Errorf("asked for %q, want %q", got, tt.want)
			}
			s := m.View(Size{80, 24}, ASCII).String()
			if !strings.Contains(s, tt.shows) || tt.without != "" && strings.Contains(s, tt.without) {
				t.Errorf("want %q and not %q on the screen:\n%s", tt.shows, tt.without, s)
			}
		})
	}
}

func TestHidden(t *testing.T) {
	failed := FailedMsg{"root-lts", "No."}
	never := lts()
	never.Timeout = new(time.Duration)
	*never.Timeout = -1
	tests := []struct {
		name   string
		msgs   []any
		hidden bool
		want   string
	}{
		{name: "at first", hidden: true},
		{name: "while looking", msgs: []any{at(0), InventoryMsg{Inventory: inventory(false, lts())}}, hidden: true},
		{name: "while counting down", msgs: []any{found("root-lts", lts()), at(0), at(1)}, hidden: true},
		{name: "while booting", msgs: []any{found("root-lts", lts()), at(0), at(3)}, hidden: true, want: "boot root-lts unattended"},
		{name: "a key shows it and does nothing else", msgs: []any{found("root-lts", lts()), at(0), key(KeyEnter)}},
		{name: "an early key", msgs: []any{key(KeyOther), found("root-lts", lts())}},
		{name: "nothing to boot", msgs: []any{found("", lts())}},
		{name: "waiting for ever", msgs: []any{found("root-lts", never)}},
		{name: "a failure", msgs: []any{found("root-lts", lts()), at(0), at(3), failed}, want: "boot root-lts unattended"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := config()
			c.Hidden = true
			m, actions := run(New(c), tt.msgs...)
			if got := asked(actions); got != tt.want {
				t.Errorf("asked for %q, want %q", got, tt.want)
			}
			s := m.View(Size{80, 24}, ASCII).String()
			if lines := strings.Count(strings.TrimSpace(s), "\n") + 1; (lines == 1) != tt.hidden {
				t.Errorf("hidden %t, %d lines are shown:\n%s", tt.hidden, lines, s)
			}
		})
	}
}

// TestForm edits paths: kernel and initrds of the entry that is booted.
func TestForm(t *testing.T) {
	all := found("root-lts", lts(), virt())
	down := func(n int) []Msg { return slices.Repeat([]Msg{key(KeyDown)}, n) }
	kernel := []any{all, text("e"), down(1)}
	files := lts().Initrds
	tests := []struct {
		name    string
		msgs    []any
		want    string // actions
		kernel  string
		initrds []string
		shows   string
	}{
		{name: "the kernel", msgs: append(kernel, key(KeyBackspace), text("x"), key(KeyEnter)), want: "boot root-lts edited", kernel: "boot/vmlinuz-ltx", initrds: files},
		{name: "with more or fewer slashes", msgs: append(kernel, control('u'), text(" a//b/../c "), key(KeyF10)), want: "boot root-lts edited", kernel: "a/c", initrds: files},
		{name: "out of the volume", msgs: append(kernel, control('u'), text("../../etc/x"), key(KeyF10)), want: "boot root-lts edited", kernel: "etc/x", initrds: files},
		{name: "no kernel is refused", msgs: append(kernel, control('u'), key(KeyEnter)), shows: "no kernel"},
		{name: "an initrd less", msgs: []any{all, text("e"), down(2), control('u'), key(KeyEnter)}, want: "boot root-lts edited", kernel: "boot/vmlinuz-lts", initrds: files[1:]},
		{name: "an initrd more", msgs: []any{all, text("e"), down(9), text("/more"), key(KeyEnter)}, want: "boot root-lts edited", kernel: "boot/vmlinuz-lts", initrds: append(files[:2:2], "more")},
		{name: "and another", msgs: []any{all, text("e"), down(9), text("/a"), down(1), text("b"), key(KeyEnter)}, want: "boot root-lts edited", kernel: "boot/vmlinuz-lts", initrds: append(files[:2:2], "a", "b")},
		{name: "up again, nothing changed", msgs: []any{all, text("e"), down(3), key(KeyUp), key(KeyUp), key(KeyUp), key(KeyEnter)}, want: "boot root-lts", kernel: "boot/vmlinuz-lts", initrds: files},
		{name: "the original of one path", msgs: append(kernel, control('u'), text("x"), control('r'), key(KeyEnter)), want: "boot root-lts", kernel: "boot/vmlinuz-lts", initrds: files},
		{name: "Esc and e keep the paths, too", msgs: append(kernel, text("x"), key(KeyEsc), text("e"), key(KeyEnter)), want: "boot root-lts edited", kernel: "boot/vmlinuz-ltsx", initrds: files},
		{name: "Tab asks", msgs: append(kernel, control('w'), text("/boot/vm"), key(KeyTab)), want: "complete"},
		{name: "Tab in the command line only moves", msgs: []any{all, text("e"), key(KeyTab), text("x"), key(KeyEnter)}, want: "boot root-lts edited", kernel: "boot/vmlinuz-ltsx", initrds: files},
		{name: "one name is filled in", msgs: append(kernel, control('u'), text("/boot/vm"), key(KeyTab), CompletionMsg{1, []string{"boot/vmlinuz-virt"}}, key(KeyEnter)), want: "complete, boot root-lts edited", kernel: "boot/vmlinuz-virt", initrds: files},
		{name: "of several what is alike", msgs: append(kernel, control('u'), text("/boot/vm"), key(KeyTab), CompletionMsg{1, []string{"boot/vmlinuz-virt", "boot/vmlinuz-é", "boot/vmlinuz-è"}}), want: "complete", shows: "vmlinuz-virt vmlinuz-"},
		{name: "nothing", msgs: append(kernel, control('u'), text("/boot/vm"), key(KeyTab), CompletionMsg{1, nil}), want: "complete", shows: "Nothing on sda2 begins with /boot/vm."},
		{name: "an answer that is too late", msgs: append(kernel, control('u'), text("/boot/vm"), key(KeyTab), text("l"), CompletionMsg{1, []string{"boot/vmlinuz-virt"}}, key(KeyEnter)), want: "complete, boot root-lts edited", kernel: "boot/vml", initrds: files},
		{name: "an answer to an older question", msgs: append(kernel, control('u'), text("/b"), key(KeyTab), key(KeyTab), CompletionMsg{1, []string{"boot/"}}, key(KeyEnter)), want: "complete, complete, boot root-lts edited", kernel: "b", initrds: files},
		{name: "an answer in the list", msgs: append(kernel, key(KeyTab), key(KeyEsc), CompletionMsg{1, []string{"boot/vmlinuz-lts-more"}}, key(KeyEnter)), want: "complete, boot root-lts", kernel: "boot/vmlinuz-lts", initrds: files},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, actions := run(New(config()), tt.msgs...)
			if got := asked(actions); got != tt.want {
				t.Fatalf("asked for %q, want %q", got, tt.want)
			}
			if s := m.View(Size{100, 30}, ASCII).String(); !strings.Contains(s, tt.shows) {
				t.Errorf("the screen does not show %q:\n%s", tt.shows, s)
			}
			if tt.kernel == "" {
				return
			}
			if e := actions[len(actions)-1].(Boot).Entry; e.Kernel != tt.kernel || !slices.Equal(e.Initrds, tt.initrds) {
				t.Errorf("boots %q, %q; want %q, %q", e.Kernel, e.Initrds, tt.kernel, tt.initrds)
			}
		})
	}
}

func TestAdditions(t *testing.T) {
	serial := KeyMsg{Key: KeyF2, Size: Size{80, 24}, Console: "/dev/ttyS0"}
	tests := []struct {
		name    string
		cmdline string
		open    KeyMsg
		msgs    []any
		want    string
	}{
		{name: "single user", cmdline: "root=a", open: serial, msgs: []any{text("1")}, want: "root=a single"},
		{name: "and back", cmdline: "root=a", open: serial, msgs: []any{text("11")}, want: "root=a"},
		{name: "quiet is taken off", cmdline: `a="b  c" quiet x`, open: serial, msgs: []any{text("4")}, want: `a="b  c" x`},
		{name: "quiet comes back", cmdline: "quiet a", open: serial, msgs: []any{text("44")}, want: "a quiet"},
		{name: "several, by number", cmdline: "", open: serial, msgs: []any{text("26")}, want: "overlaytmpfs=yes kexec_load_disabled=0"},
		{name: "by arrows", cmdline: "a", open: serial, msgs: []any{key(KeyDown), key(KeyDown), key(KeyEnter)}, want: "a debug_init"},
		{name: "this serial line", cmdline: "a", open: serial, msgs: []any{text("7")}, want: "a console=ttyS0,115200"},
		{name: "this screen", cmdline: "a", open: KeyMsg{Key: KeyF2, Console: "/dev/tty1"}, msgs: []any{text("7")}, want: "a console=tty0"},
		{name: "a console of which no speed is known", cmdline: "a", open: KeyMsg{Key: KeyF2, Console: "/dev/hvc0"}, msgs: []any{text("7")}, want: "a console=hvc0"},
		{name: "a console without a name", cmdline: "a", open: KeyMsg{Key: KeyF2}, msgs: []any{text("7")}, want: "a"},
		{name: "Ctrl-O opens it, too", cmdline: "a", open: control('o').(KeyMsg), msgs: []any{text("5")}, want: "a nomodeset"},
		{name: "undo", cmdline: "a", open: serial, msgs: []any{text("1"), key(KeyEsc), control('z')}, want: "a"},
		{name: "from a path it goes to the command line", cmdline: "a", open: serial, msgs: []any{key(KeyEsc), key(KeyDown), serial, text("1"), key(KeyEsc), text(" b")}, want: "a single b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := lts()
			e.Cmdline = tt.cmdline
			c := config()
			c.Consoles = map[string]string{"/dev/ttyS0": "ttyS0,115200"}
			m, actions := run(New(c), append([]any{found("", e), typedKey('e'), tt.open}, tt.msgs...)...)
			if got := formOf(m).result().Cmdline; got != tt.want || len(actions) > 0 {
				t.Errorf("got %q and %q, want %q", got, asked(actions), tt.want)
			}
		})
	}
}

// TestScreens goes through the screens that ask for something outside.
// someSettings are one of each kind.
func someSettings() []Setting {
	return []Setting{
		{Name: "timeout", Value: "auto", Takes: "whole seconds", Help: "How long the countdown lasts.", Source: "built in"},
		{Name: "default", Takes: "the ID of an entry", Help: "Which entry is booted when nobody types.", Source: "kernel parameter", Overridden: true},
		{Name: "snapshots", Value: "no", Takes: "yes or no", Help: "Lists snapshots as well.", Words: []string{"yes", "no"}, Source: "/dev/sda1: /alpboot.conf:3"},
		{Name: "keymap", Value: "us", Takes: "the name of a layout", Help: "Keyboard layout.", Source: "built in"},
		{Name: "theme", Takes: "ROLE=FOREGROUND/BACKGROUND+ATTRIBUTE with commas between several, or mono", Help: "Colours of the parts of the menu, where they differ from the built-in ones.", Source: "built in"},
	}
}

func TestScreens(t *testing.T) {
	all := found("root-lts", lts(), virt())
	kept := all
	kept.Memory = "It is kept in EFI variables."
	placed := all
	placed.MemoryPlaces = []MemoryPlace{{"/dev/sda1", "EFI/alpboot/alpboot.state"}}
	locked := func(c *Config) { c.Locked = "This is locked." }
	writable := func(c *Config) {
		c.Settings, c.SettingsFile = someSettings(), "/alpboot.conf on /dev/sda1"
		c.Accepts = func(name, value string) bool { return value != "autox" }
	}
	log := LogMsg{[]LogLine{{Level: slog.LevelDebug, Text: "[0.1] sda: 4 partitions"}, {Level: slog.LevelInfo, Text: "[0.2] extlinux.conf has 2 entries"}, {Level: slog.LevelError, Text: "[0.3] sdb: read error"}}}
	maps := []string{"us/us", "de/de", "de/de-latin1"}
	tests := []struct {
		name           string
		config         func(*Config)
		msgs           []any
		want           []Action
		shows, without string
	}{
		{name: "the log after the notes", msgs: []any{all, log, text("l")}, shows: "4 partitions"},
		{name: "a level", msgs: []any{all, log, text("lvv")}, shows: "read error", without: "has 2 entries"},
		{name: "all levels again", msgs: []any{all, log, text("lvvvv")}, shows: "4 partitions"},
		{name: "search", msgs: []any{all, log, text("l/ENTRIES ext"), key(KeyEnter)}, shows: "has 2 entries", without: "read error"},
		{name: "search finds nothing", msgs: []any{all, log, text("l/nonsense")}, shows: "No line has these words."},
		{name: "Esc ends the search", msgs: []any{all, log, text("l/entries"), key(KeyEsc)}, shows: "read error"},
		{name: "notes of a volume are found by its name", msgs: []any{all, log, text("l/sdb1")}, shows: "BEEP", without: "4 partitions"},
		{name: "save asks where", msgs: []any{all, log, text("lw")}, shows: "One file is written there."},
		{name: "and saves there", msgs: []any{all, log, text("lw"), key(KeyDown), key(KeyEnter)}, want: []Action{SaveLog{"/dev/sdb1"}}, shows: "Saving the log to sdb1"},
		{name: "or not", msgs: []any{all, log, text("lw"), key(KeyEsc)}, shows: "4 partitions"},
		{name: "where there is no volume", msgs: []any{InventoryMsg{}, text("lw")}, shows: "There is no volume"},
		{name: "the machine", msgs: []any{all, text("m")}, want: []Action{System{}}, shows: "Not known yet ..."},
		{name: "shown", msgs: []any{all, text("m"), SystemMsg{[]string{"Firmware:", "UEFI 2.7, Secure Boot is off"}}}, want: []Action{System{}}, shows: "  UEFI 2.7"},
		{name: "a default for always", msgs: []any{kept, text("jdd")}, want: []Action{SetDefault{ID: "root-virt"}}},
		{name: "for once", msgs: []any{kept, text("jdo")}, want: []Action{SetDefault{ID: "root-virt", Once: true}}},
		{name: "forgotten", msgs: []any{kept, text("df")}, want: []Action{SetDefault{}}},
		{name: "not after Esc", msgs: []any{kept, text("d"), key(KeyEsc)}},
		{name: "where it is kept", msgs: []any{kept, text("d")}, shows: kept.Memory},
		{name: "nowhere", msgs: []any{all, text("dd")}, shows: "A default cannot be remembered"},
		{name: "nowhere yet", msgs: []any{placed, text("jd")}, shows: "/EFI/alpboot/alpboot.state on /dev/sda1"},
		{name: "a file for it is named", msgs: []any{placed, text("jd"), key(KeyEnter)}, shows: "alpboot.state.0 and .1", without: "forget"},
		{name: "and made", msgs: []any{placed, text("jd"), key(KeyEnter), text("d")}, want: []Action{SetDefault{ID: "root-virt", Make: placed.MemoryPlaces[0]}}},
		{name: "or not", msgs: []any{placed, text("jd"), key(KeyEnter), key(KeyEsc)}},
		{name: "settings", config: writable, msgs: []any{all, text("o")}, shows: "timeout    auto  built in"},
		{name: "a setting from a list", config: writable, msgs: []any{all, text("ojj"), key(KeyEnter), key(KeyUp), key(KeyEnter)}, shows: "snapshots  yes   changed, not written yet"},
		{name: "a setting that is typed", config: writable, msgs: []any{all, text("o"), key(KeyEnter), control('u'), text("10"), key(KeyEnter)}, shows: "timeout    10  changed"},
		{name: "not one that is wrong", config: writable, msgs: []any{all, text("o"), key(KeyEnter), text("x"), key(KeyEnter)}, shows: "That is not understood"},
		{name: "the default among the entries", config: writable, msgs: []any{all, text("oj"), key(KeyEnter), text("virt"), key(KeyEnter)}, shows: "default    root-virt"},
		{name: "what will be written", config: writable, msgs: []any{all, text("oj"), key(KeyEnter), text("virt"), key(KeyEnter), text("w")}, shows: "default = root-virt"},
		{name: "what has no effect", config: writable, msgs: []any{all, text("oj"), key(KeyEnter), text("virt"), key(KeyEnter), text("w")}, shows: "default has no effect for now: kernel parameter counts more."},
		{name: "is written when that is confirmed", config: writable, msgs: []any{all, text("ojj"), key(KeyEnter), key(KeyUp), key(KeyEnter), text("w"), key(KeyEnter)}, want: []Action{SaveSettings{[]Change{{"snapshots", "yes"}}}}, shows: "Writing /alpboot.conf on /dev/sda1 ..."},
		{name: "and not otherwise", config: writable, msgs: []any{all, text("ojj"), key(KeyEnter), key(KeyUp), key(KeyEnter), text("w"), key(KeyEsc), key(KeyEsc)}},
		{name: "a change outlives the page", config: writable, msgs: []any{all, text("ojj"), key(KeyEnter), key(KeyUp), key(KeyEnter), key(KeyEsc), text("o")}, shows: "changed, not written yet"},
		{name: "until it is written", config: writable, msgs: []any{all, text("ojj"), key(KeyEnter), key(KeyUp), key(KeyEnter), SettingsSavedMsg{Text: "Done."}}, shows: "Done.", without: "not written yet"},
		{name: "or undone", config: writable, msgs: []any{all, text("ojj"), key(KeyEnter), key(KeyUp), key(KeyEnter), text("u")}, shows: "snapshots  no ", without: "not written yet"},
		{name: "nothing to write", config: writable, msgs: []any{all, text("ow")}, shows: "Nothing was changed."},
		{name: "nowhere to write", config: func(c *Config) { writable(c); c.SettingsFile, c.NoSettingsFile = "", "There is no FAT." }, msgs: []any{all, text("ow")}, shows: "There is no FAT."},
		{name: "nothing is edited where only what is signed starts", config: locked, msgs: []any{all, text("e")}, shows: "This is locked.", without: "edit"},
		{name: "from the details neither", config: locked, msgs: []any{all, text("ie")}, want: []Action{Inspect{lts()}}, shows: "This is locked.", without: "edit"},
		{name: "what was edited does not start", config: locked, msgs: []any{all, RequestMsg{Action: Boot{Entry: lts(), Edited: true}}}, shows: "This is locked."},
		{name: "no shell is opened there", config: locked, msgs: []any{all, text("s")}, shows: "This is locked."},
		{name: "however it is asked for", config: locked, msgs: []any{all, RequestMsg{Action: Shell{}}}, shows: "This is locked."},
		{name: "what is signed starts there", config: locked, msgs: []any{all, key(KeyEnter)}, want: []Action{Boot{Entry: lts()}}},
		{name: "firmware setup", config: func(c *Config) { c.Firmware = true }, msgs: []any{all, text("pf")}, want: []Action{FirmwareSetup{}}},
		{name: "not offered", msgs: []any{all, text("pfa")}, without: "setup of the firmware"},
		{name: "alpboot again", config: func(c *Config) { c.Relaunch = true }, msgs: []any{all, text("pa")}, want: []Action{Relaunch{}}},
		{name: "keyboard", config: func(c *Config) { c.Keymaps = maps }, msgs: []any{all, text("K"), key(KeyDown), key(KeyEnter)}, want: []Action{SetKeymap{"de/de"}}, shows: "Keyboard layout: de/de."},
		{name: "by name", config: func(c *Config) { c.Keymaps = maps }, msgs: []any{all, text("Klatin"), key(KeyEnter)}, want: []Action{SetKeymap{"de/de-latin1"}}},
		{name: "none of that name", config: func(c *Config) { c.Keymaps = maps }, msgs: []any{all, text("Kxyz"), key(KeyEnter), key(KeyEsc)}},
		{name: "no layouts", msgs: []any{all, text("K")}, shows: "There are no keyboard layouts", without: "keyboard  ?"},
		{name: "what the files are", msgs: []any{all, InspectedMsg{"root-lts", []File{{Path: "boot/vmlinuz-lts", Size: 11_400_000, About: "bzImage for x86_64"}, {Path: "boot/initramfs-lts", Size: -1, Problem: "it is cut off"}}, nil}, text("i")},
			want: []Action{Inspect{lts()}}, shows: "/boot/vmlinuz-lts, bzImage for x86_64, 11 MB"},
		{name: "and what is wrong with them", msgs: []any{all, InspectedMsg{"root-lts", []File{{Path: "boot/initramfs-lts", Size: -1, Problem: "it is cut off"}}, nil}, text("i")},
			want: []Action{Inspect{lts()}}, shows: "/boot/initramfs-lts: it is cut off"},
		{name: "what came of it", msgs: []any{all, ResultMsg{Text: "The log is in alpboot.log."}}, shows: "The log is in alpboot.log."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := config()
			if tt.config != nil {
				tt.config(&c)
			}
			m, actions := run(New(c), tt.msgs...)
			if !reflect.DeepEqual(actions, tt.want) {
				t.Errorf("asked for %+v, want %+v", actions, tt.want)
			}
			s := m.View(Size{100, 30}, ASCII).String()
			if !strings.Contains(s, tt.shows) || tt.without != "" && strings.Contains(s, tt.without) {
				t.Errorf("want %q and not %q on the screen:\n%s", tt.shows, tt.without, s)
			}
		})
	}
	t.Run("the end of the log stays in view", func(t *testing.T) {
		m, _ := run(New(config()), all, LogMsg{slices.Repeat(log.Lines, 2000)}, text("lG"), LogMsg{[]LogLine{{Level: slog.LevelInfo, Text: "the last line"}}})
		if s := m.View(Size{80, 24}, ASCII).String(); !strings.Contains(s, "the last line") {
			t.Errorf("got\n%s", s)
		}
		m, _ = run(m, key(KeyUp), LogMsg{[]LogLine{{Level: slog.LevelInfo, Text: "after it"}}})
		if s := m.View(Size{80, 24}, ASCII).String(); strings.Contains(s, "after it") {
			t.Errorf("scrolled up, it moves:\n%s", s)
		}
		if len(m.log) != maxLog {
			t.Errorf("%d lines are kept", len(m.log))
		}
	})
}

func TestRelease(t *testing.T) {
	for _, tt := range []struct{ title, version, kernel, want string }{
		{"Alpine Linux", "6.12.63-0-lts", "boot/vmlinuz-lts", "6.12.63-0-lts"},
		{"Alpine Linux", "", "boot/vmlinuz-virt", "virt"},
		{"Linux virt", "", "boot/vmlinuz-virt", ""},
		{"Alpine Linux", "6.12.63", "boot/vmlinuz-rpi", "6.12.63 rpi"},
		{"Debian", "6.1.0-56-amd64", "boot/vmlinuz-6.1.0-56-amd64", "6.1.0-56-amd64"},
		{"Debian", "", "vmlinuz", ""},
	} {
		if got := release(boot.Entry{Title: tt.title, Version: tt.version, Kernel: tt.kernel}); got != tt.want {
			t.Errorf("%s, %q, %s: got %q, want %q", tt.title, tt.version, tt.kernel, got, tt.want)
		}
	}
}

// Entries of one title are told apart in every row and sentence: by columns and
// headings where there is room for them, else in the title.
func TestEntriesOfOneTitle(t *testing.T) {
	vol := boot.Volume{Device: "/dev/sda1"}
	const long = "Alpine Linux v3.23, with Linux and a long title"
	inv := boot.Inventory{Settled: true, Volumes: []boot.VolumeStatus{{Volume: vol}}, Entries: []boot.Entry{
		{ID: "a", Title: long, Apart: "6.18.1", Version: "6.18.1", Kernel: "k", Volume: vol},
		{ID: "b", Title: long, Apart: "6.12.1", Version: "6.12.1", Kernel: "k", Volume: vol},
	}}
	m, _ := run(New(config()), InventoryMsg{Inventory: inv})
	wide := m.View(Size{100, 24}, ASCII).String()
	for _, want := range []string{long + "  6.18.1", long + "  6.12.1"} {
		if !strings.Contains(wide, want) {
			t.Errorf("no %q in\n%s", want, wide)
		}
	}
	narrow := m.View(Size{40, 24}, ASCII).String()
	for _, want := range []string{"... (6.18.1)", "... (6.12.1)"} {
		if !strings.Contains(narrow, want) {
			t.Errorf("no %q in\n%s", want, narrow)
		}
	}
	m, _ = run(m, key(KeyDown), key(KeyEnter))
	if m.booting.title != long+" (6.12.1)" {
		t.Errorf("%q is booted", m.booting.title)
	}
}

func TestEditor(t *testing.T) {
	const w = 80 - 2*margin
	long := strings.Repeat("x", w) + strings.Repeat("y", w) + "zz"
	tests := []struct {
		name string
		text string
		msgs []any
		want string // with | for the cursor
	}{
		{"begins at the end", "a b", nil, "a b|"},
		{"insert", "ac", []any{key(KeyLeft), text("b")}, "ab|c"},
		{"letters beyond ASCII", "é", []any{key(KeyLeft), text("ü"), key(KeyRight), key(KeyBackspace)}, "ü|"},
		{"Home and End", "ab", []any{key(KeyHome), text("1"), key(KeyEnd), text("2")}, "1ab2|"},
		{"Ctrl-A and Ctrl-E", "ab", []any{control('a'), text("1"), control('e'), text("2")}, "1ab2|"},
		{"Delete and Ctrl-D", "abcd", []any{control('a'), key(KeyDelete), control('d')}, "|cd"},
		{"Delete at the end", "ab", []any{key(KeyDelete)}, "ab|"},
		{"Backspace at the beginning", "ab", []any{control('a'), key(KeyBackspace)}, "|ab"},
		{"Ctrl-U", "root=a quiet", []any{alt2('b'), control('u')}, "|quiet"},
		{"Ctrl-K", "root=a quiet", []any{alt2('b'), control('k')}, "root=a |"},
		{"Ctrl-W takes a parameter", "quiet root=UUID=1-2 ", []any{control('w')}, "quiet |"},
		{"Ctrl-Y puts it back", "a b=c", []any{control('w'), control('a'), control('y'), text(" ")}, "b=c |a "},
		{"words are parts of parameters", "root=/dev/sda1 ro", []any{alt2('b'), alt2('b')}, "root=/dev/|sda1 ro"},
		{"words forward", "root=/dev/sda1 ro", []any{control('a'), alt2('f'), KeyMsg{Key: KeyRight, Mod: ModCtrl}}, "root=/dev|/sda1 ro"},
		{"undo takes a typed word and the space before it", "a", []any{text(" quiet"), control('z')}, "a|"},
		{"undo to the beginning and beyond", "a", []any{text(" b c"), control('u'), control('_'), control('z'), control('z'), control('z'), control('z'), control('z')}, "a|"},
		{"the original", "a b", []any{control('u'), text("x"), control('r')}, "a b|"},
		{"and undo of that", "a b", []any{control('u'), text("x"), control('r'), control('z')}, "x|"},
		{"up a line", long, []any{key(KeyUp)}, strings.Repeat("x", w) + "yy|" + strings.Repeat("y", w-2) + "zz"},
		{"up two lines and more", long, []any{key(KeyUp), key(KeyUp), key(KeyUp)}, "xx|" + strings.Repeat("x", w-2) + strings.Repeat("y", w) + "zz"},
		{"down to a shorter line", long, []any{control('a'), key(KeyDown), key(KeyRight), key(KeyRight), key(KeyRight), key(KeyDown)}, long + "|"},
		{"down in the last line", "ab", []any{control('a'), key(KeyDown)}, "|ab"},
		{"control characters are not typed", "a", []any{control('g'), KeyMsg{Key: KeyRune, Rune: 0x1b}, KeyMsg{Key: KeyRune, Rune: 0x7f}, KeyMsg{Key: KeyRune, Rune: -1}}, "a|"},
		{"bytes that are no UTF-8 stay", "a\xff\xfeb", []any{key(KeyLeft), key(KeyLeft), text("-")}, "a\xff-|\xfeb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := lts()
			e.Cmdline = tt.text
			m, _ := run(New(config()), append([]any{found("", e), typedKey('e')}, tt.msgs...)...)
			if e := m.page().(form).fields[0].editor; e.text[:e.pos]+"|"+e.text[e.pos:] != tt.want {
				t.Errorf("got  %q, cursor at %d\nwant %q", e.text, e.pos, tt.want)
			}
			for _, size := range sizes {
				checkCells(t, m.View(size, UTF8), UTF8)
			}
		})
	}
}

func alt2(r rune) Msg { return KeyMsg{Key: KeyRune, Rune: r, Mod: ModAlt} }

func edited(m Model) string { return m.page().(form).line().text }

// formOf returns the form that is shown, or that the list of changes is above.
func formOf(m Model) form {
	if f, ok := m.page().(form); ok {
		return f
	}
	return m.back().page().(form)
}

// TestEditorShares fails when an edit of one model shows in another one that
// was made from the same.
func TestEditorShares(t *testing.T) {
	m, _ := run(New(config()), found("", lts()), text("e"), control('u'), text("a b"))
	one, _ := run(m, text(" one"))
	two, _ := run(m, text(" two"))
	one, _ = run(one, control('z'), control('z'))
	two, _ = run(two, control('z'))
	if edited(one) != "a" || edited(two) != "a b" {
		t.Errorf("undone to %q and %q", edited(one), edited(two))
	}
}

// TestRandom sends messages at random. No state may panic, paint a cell that no
// console should get, lose the selection, or have no way back to the list.
func TestRandom(t *testing.T) {
	steps := 100_000
	if testing.Short() {
		steps = 4000
	}
	rng := rand.New(rand.NewPCG(2026, 11))
	usual := append([]Size{{0, 0}, {1, 1}, {19, 5}, {20, 5}, {21, 7}, {59, 16}, {60, 15}, {300, 3}, {-1, 4}}, sizes...)
	anySize := func() Size {
		if rng.IntN(8) > 0 {
			return usual[rng.IntN(len(usual))]
		}
		return Size{1 + rng.IntN(300), 1 + rng.IntN(100)}
	}
	pool := append([]boot.Entry{lts(), virt(), guessed(), broken(), {ID: "empty"}, {ID: "none", Problem: "No."}}, append(folded(), many()[:20]...)...)
	pool[3].Title = "漢字\x1b[2J\u0301" + strings.Repeat("long ", 60)
	keys := []Key{KeyOther, KeyEnter, KeyEsc, KeyTab, KeyBackspace, KeyDelete, KeyUp, KeyDown, KeyLeft, KeyRight, KeyHome, KeyEnd, KeyPgUp, KeyPgDn, KeyF1, KeyF2, KeyF10}
	runes := []rune("eeiilphr/s?jkgGhtbq19 odmKvw+-\x1b\x00éx漢=-")
	now := start
	c := config()
	c.Firmware, c.Relaunch, c.Keymaps = true, true, []string{"us/us", "de/de", "de/de-latin1\x1b"}
	c.Settings, c.SettingsFile = someSettings(), "/alpboot.conf on /dev/sda1"
	m := New(c)
	one := func() Msg {
		size := anySize()
		switch n := rng.IntN(100); {
		case n < 40:
			return KeyMsg{Key: keys[rng.IntN(len(keys))], Mod: Mod(rng.IntN(8) / 6), Size: size}
		case n < 70:
			return KeyMsg{Key: KeyRune, Rune: runes[rng.IntN(len(runes))], Size: size}
		case n < 78:
			return KeyMsg{Key: KeyRune, Rune: 'a' + rune(rng.IntN(26)), Mod: Mod(1 + rng.IntN(2)), Size: size}
		case n < 80:
			return PasteMsg{strings.Repeat("past\x1be\n", rng.IntN(500))}
		case n < 88:
			now = now.Add(time.Duration(rng.IntN(400)-20) * time.Second)
			return TickMsg{now}
		case n < 90:
			return []Msg{
				UnlockedMsg{Device: vault.Device, Wrong: rng.IntN(3) > 0}, UnlockedMsg{Device: vault.Device, Error: "No."},
				SettingsSavedMsg{"Done.", rng.IntN(2) == 0}, ConfigMsg{c},
				CancelledMsg{}, ProgressMsg{m.booting.id, "Loading", rng.Int64N(9), rng.Int64N(9)}, ResultMsg{"Done.", rng.IntN(2) == 0},
				CompletionMsg{m.seq, []string{"boot/", "boot/vmlinuz-lts\x1b", "漢"}[:rng.IntN(4)]},
				LogMsg{[]LogLine{{slog.Level(rng.IntN(5)*4 - 8), strings.Repeat("log\x1b ", rng.IntN(60)), rng.IntN(2) == 0}}}, SystemMsg{[]string{"Machine:", "CPU: x\x1b"}},
				RequestMsg{Action: []Action{Boot{Entry: pool[rng.IntN(len(pool))]}, Unlock{Device: vault.Device}, Cancel{}, Rescan{}, Shell{}, Reboot{}}[rng.IntN(6)]},
				InspectedMsg{"root-lts", []File{{Path: "boot/vmlinuz-lts", Size: rng.Int64N(99) - 9, About: "bzImage\x1b"}}, nil},
			}[rng.IntN(12)]
		case n < 94:
			var es []boot.Entry
			for _, i := range rng.Perm(len(pool))[:rng.IntN(len(pool))] {
				es = append(es, pool[i])
			}
			msg := InventoryMsg{Inventory: inventory(rng.IntN(2) == 0, es...)}
			switch rng.IntN(6) {
			case 0:
				msg.Inventory.Volumes = nil
			case 1, 2, 3:
				msg = withLocked(msg)
			}
			if len(es) > 0 {
				msg.Default = es[rng.IntN(len(es))].ID
				msg.Memory = "It is kept in EFI variables."
			} else {
				msg.MemoryPlaces = []MemoryPlace{{"/dev/sda1", "alpboot.state"}}
			}
			return msg
		case n < 97:
			return FailedMsg{pool[rng.IntN(len(pool))].ID, "It failed\x1b."}
		case n < 98:
			return StatusMsg{strings.Repeat("busy ", rng.IntN(80))}
		case n < 99:
			return NoticeMsg{fmt.Sprint("notice ", rng.IntN(4))}
		}
		return ShellDoneMsg{}
	}
	seen := map[string]bool{}
	for step := range steps {
		msg := one()
		before := m
		show := func() string { return before.View(Size{80, 24}, UTF8).String() }
		shown := ""
		if step%8 == 0 {
			shown = show()
		}
		next, action := m.Update(msg)
		if step%8 == 0 && show() != shown {
			t.Fatalf("step %d: %#v changed the model before it from\n%s\nto\n%s", step, msg, shown, show())
		}
		m = next
		seen[pageName(m)] = true
		if b, ok := action.(Boot); ok {
			if b.Entry.Kernel == "" {
				t.Fatalf("step %d: %#v boots an entry without a kernel", step, msg)
			}
			if _, failed := m.failed[b.Entry.ID]; b.Unattended && (failed || b.Entry.Problem != "") {
				t.Fatalf("step %d: %s is booted unattended", step, b.Entry.ID)
			}
		}
		items := m.items()
		i := m.selection(items)
		if (len(items) > 0) != (i >= 0) || i >= len(items) {
			t.Fatalf("step %d: %#v leaves selection %d of %d", step, msg, i, len(items))
		}
		if _, isKey := msg.(KeyMsg); !isKey && m.typed && m.entryIndex(m.list.wanted) >= 0 && m.list.filter == "" && items[i].id != m.list.wanted {
			t.Fatalf("step %d: %#v moves the selection to %q from %q", step, msg, items[i].id, m.list.wanted)
		}
		size, cs := anySize(), Charset(rng.IntN(2))
		s := m.View(size, cs)
		checkCells(t, s, cs)
		if pageName(m) == "menu.list" && size.W >= 40 && size.H >= 12 && i >= 0 {
			if !slices.ContainsFunc(s.Cells, func(c Cell) bool { return c.Style == Selected }) {
				t.Fatalf("step %d: the selection is not on the screen of %v:\n%s", step, size, s)
			}
		}
		if step%4 != 0 {
			continue
		}
		back, actions := run(m, key(KeyEsc), key(KeyEsc))
		if a := asked(actions); pageName(back) != "menu.list" || a != "" && (a != "cancel" || m.booting.id == "") {
			t.Fatalf("step %d: Esc leads to %s and asks for %q", step, pageName(back), asked(actions))
		}
	}
	if len(seen) != 23 && !testing.Short() {
		t.Errorf("only pages %v were seen", seen)
	}
}

// pageName names what a user would call different screens.
func pageName(m Model) string {
	name := fmt.Sprintf("%T", m.page())
	switch p := m.page().(type) {
	case list:
		if p.filtering {
			name += " filtering"
		}
	case pick:
		name += " " + p.head
	case pager:
		name += fmt.Sprintf(" %T", p.doc)
		switch doc := p.doc.(type) {
		case details:
			name += fmt.Sprint(doc.why)
		case logText:
			name += fmt.Sprint(doc.typing)
		}
	}
	return name
}

// TestTables fails where a key means two things on one page or has a name that
// is none, or where the footer of a page lacks the way back.
func TestTables(t *testing.T) {
	pages := sections()
	log, everywhere := &pages[7], pages[len(pages)-1]
	log.bindings = pager{doc: logText{}}.keys(Model{})
	for _, s := range append(pages[:len(pages)-1], section{"searching", logText{}.searchKeys(pager{})}, section{"keyboard", pick{searches: true}.keys(Model{})}) {
		seen := map[string]string{}
		for _, b := range append(s.bindings, everywhere.bindings...) {
			if b.do == nil {
				t.Errorf("%s: %s does nothing", s.name, b.keys)
			}
			for _, name := range b.names() {
				if other, ok := seen[name]; ok {
					t.Errorf("%s: %s is bound to %q and %q", s.name, name, other, b.help)
				}
				seen[name] = b.help
				base := name[strings.LastIndexByte(name[:len(name)-1], '-')+1:]
				if len(base) > 1 && base != "Space" && name != "1-9" && !slices.Contains(keyNames[KeyEnter:], base) {
					t.Errorf("%s: there is no key %s", s.name, name)
				}
			}
		}
		if help := seen["Right"]; help != "" && !strings.HasPrefix(help, "a character") && !strings.HasPrefix(help, "open a group") {
			t.Errorf("%s: the right arrow does %q", s.name, help)
		}
		if find(s.bindings, key(KeyEsc)) == nil {
			t.Errorf("%s: Esc does nothing", s.name)
		}
	}
	for _, size := range sizes {
		footer := New(config()).View(size, ASCII)
		if !strings.Contains(footer.String(), "? help") {
			t.Errorf("%v: the footer has no help", size)
		}
	}
}

func TestSmall(t *testing.T) {
	m, _ := run(New(config()), found("root-lts", lts()))
	for w := range 25 {
		for h := range 8 {
			s := m.View(Size{w, h}, UTF8)
			checkCells(t, s, UTF8)
			if small := w < minWidth || h < minHeight; small && w > 8 && h > 0 && !strings.HasPrefix(s.String(), "alpboot:") {
				t.Errorf("%dx%d shows %q", w, h, s.String())
			}
		}
	}
}

// A large console shows a block in its middle, with the whole row of the selection
// highlighted and the details below the list; the cursor is in the block.
func TestBlock(t *testing.T) {
	m, _ := run(New(config()), found("root-lts", lts(), virt()), key(KeyDown))
	size := Size{240, 67}
	s := m.View(size, UTF8)
	x, y := (size.W-widest)/2, (size.H-usual)/2
	for i, c := range s.Cells {
		if in := i%size.W >= x && i%size.W < x+widest && i/size.W >= y && i/size.W < y+usual; !in && c != (Cell{Rune: ' '}) {
			t.Fatalf("column %d of row %d, outside of the block, has %q", i%size.W, i/size.W, c.Rune)
		}
	}
	for i := x + margin; i < x+widest-margin; i++ {
		if s.At(i, y+2).Style != Selected {
			t.Fatalf("column %d of the selected row is not highlighted", i)
		}
	}
	if text := s.String(); strings.Count(text[:strings.Index(text, "Cmdline")], "\n") > y+12 {
		t.Errorf("the details are not below the list:\n%s", text)
	}
	m, _ = run(m, text("e"))
	if c := m.View(size, UTF8).Cursor; c == nil || c.X < x || c.Y < y {
		t.Errorf("the cursor of the editor is at %v", c)
	}
	m, _ = run(New(config()), found("", many()...), key(KeyDown))
	if rows := strings.Count(m.View(size, UTF8).String(), "Snapshot"); rows < 40 {
		t.Errorf("of many entries %d are shown, though there is room", rows)
	}
}
