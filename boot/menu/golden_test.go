package menu

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/google/go-cmp/cmp"
)

var sizes = []Size{{80, 24}, {80, 25}, {132, 43}, {160, 50}, {40, 12}}

// many returns so many entries that no screen shows them all.
func many() []boot.Entry {
	var es []boot.Entry
	for i := range 60 {
		e := virt()
		e.ID = fmt.Sprint("many-", i)
		e.Title = fmt.Sprintf("Snapshot %d of the system, taken before an update of packages that had a long name", i+1)
		e.Volume.Device = fmt.Sprintf("/dev/sd%c1", 'c'+i/20)
		es = append(es, e)
	}
	return es
}

// In place of the first message these are for a menu with Config.Hidden, and
// for one on a machine that offers everything.
const (
	hiddenUntilKey = "hidden"
	offersAll      = "all"
	writesAll      = "settings"
	asksAll        = "password"
)

// TestGolden compares every state with testdata/NAME.golden: the text in both
// character sets and, for 80x24, the roles of the cells.
func TestGolden(t *testing.T) {
	hostile := lts()
	hostile.ID = "hostile"
	hostile.Title = "\x1b[2J\x1b]0;owned\x07 \u202eevil\u202c 漢字 e\u0301 \u009b31m é\x00 “quoted” …"
	hostile.Cmdline = "quiet\nroot=\x1b[31m/dev/sda\x7f \xff\xfe 🦙"
	hostile.Volume.Label = "\x1b[5mBOOT\r\n"
	hostile.Notes = []string{"a note\x1b[0m with an escape"}
	all := []boot.Entry{lts(), virt(), guessed(), broken()}
	settled := func(es ...boot.Entry) Msg { return found("root-lts", es...) }
	tests := []struct {
		name string
		msgs []any
	}{
		{"start", nil},
		{"looking", []any{InventoryMsg{Inventory: inventory(false)}}},
		{"no-disk", []any{InventoryMsg{Inventory: boot.Inventory{Settled: true}}}},
		{"no-entry", []any{found("")}},
		{"arriving", []any{InventoryMsg{Inventory: inventory(false, lts(), virt())}}},
		{"countdown", []any{settled(all...), at(0), at(1)}},
		{"exhausted", []any{InventoryMsg{Inventory: inventory(true, all...), Exhausted: &Exhausted{What: "Restarting", Why: "Every entry has failed.", In: time.Minute}}, at(0), at(21)}},
		{"added", []any{InventoryMsg{Inventory: inventory(true, all...), Default: "root-lts", Added: map[string]string{"root-lts": "panic=30"}}, at(0), at(1)}},
		{"list", []any{settled(all...), at(0), key(KeyDown)}},
		{"folds", []any{found("alpine", folded()...), at(0), key(KeyDown)}},
		{"folds-open", []any{withLocked(InventoryMsg{Inventory: inventory(true, folded()...), Default: "old-1", Last: "alpine"}), key(KeyOther)}},
		{"locked", []any{withLocked(found("")), key(KeyOther)}},
		{"slow", []any{at(0), InventoryMsg{Inventory: inventory(false, lts(), virt())}, at(1), at(9)}},
		{"list-problem", []any{settled(all...), key(KeyEnd), NoticeMsg{"kexec_load_disabled is 1: nothing can be booted from here. Restart with p."}}},
		{"list-notice", []any{settled(all...), key(KeyEnd), NoticeMsg{"Linux lts did not come up, try 1 of 3 at 2026-11-28 09:12 UTC. Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)."}}},
		{"list-notice-countdown", []any{settled(all...), FailedMsg{"root-lts", "It was started before and never reported being up."}, found("root-virt", all...), NoticeMsg{"Linux lts did not come up, try 1 of 3 at 2026-11-28 09:12 UTC. Nothing was kept of it: this machine has no EFI variables to keep it in."}, at(0), at(1)}},
		{"list-scrolled", []any{found("", many()...), key(KeyPgDn), key(KeyPgDn)}},
		{"list-end", []any{found("", many()...), key(KeyEnd)}},
		{"booting", []any{settled(all...), key(KeyEnter), StatusMsg{"Loading boot/vmlinuz-lts (11 MB) ..."}}},
		{"failed", []any{settled(all...), key(KeyEnter), FailedMsg{"root-lts", "The kernel refused vmlinuz-lts: it is not signed by a key that this machine trusts."}}},
		{"loading", []any{settled(all...), at(0), key(KeyEnter), at(0.3), at(1), ProgressMsg{"root-lts", "Loading initramfs-lts", 12_345_678, 41_000_000}}},
		{"hidden", []any{hiddenUntilKey}},
		{"unlock", []any{withLocked(found("", lts())), key(KeyEnd), key(KeyEnter), text("secret"), key(KeyTab)}},
		{"unlock-wrong", []any{withLocked(found("", lts())), key(KeyEnd), key(KeyEnter), text("secret"), key(KeyEnter), UnlockedMsg{Device: vault.Device, Wrong: true}}},
		{"unlock-busy", []any{withLocked(found("", lts())), key(KeyEnd), key(KeyEnter), text("secret"), key(KeyEnter)}},
		{"password", []any{asksAll, settled(all...), at(0), text("s"), text("secret")}},
		{"password-entry", []any{found("root-lts", lts(), withPassword(virt())), key(KeyDown), key(KeyEnter)}},
		{"password-wrong", []any{asksAll, settled(all...), at(0), text("e"), text("secret"), key(KeyEnter), PasswordMsg{}}},
		{"password-busy", []any{asksAll, settled(all...), at(0), text("e"), text("secret"), key(KeyEnter)}},
		{"password-pause", []any{asksAll, settled(all...), at(0), text("s"), secretTyped, wrong, secretTyped, wrong, secretTyped, wrong}},
		{"filter", []any{settled(all...), text("/ext4 virt")}},
		{"filter-none", []any{settled(all...), text("/windows")}},
		{"filter-none-kept", []any{settled(all...), text("/windows"), key(KeyEnter)}},
		{"filter-kept", []any{settled(all...), text("/virt"), key(KeyEnter)}},
		{"details", []any{at(0), settled(all...), InspectedMsg{"stick-lts", []File{{Path: "boot/vmlinuz-lts", Size: 11_400_000, About: "bzImage for x86_64", Made: start.AddDate(0, 0, -40)}, {Path: "boot/initramfs-lts", Size: 24_100_000, About: "cpio, gzip"}}, []string{"The kernel was built without a driver for the screen (CONFIG_DRM_SIMPLEDRM): the screen stays as it is."}}, key(KeyDown), key(KeyDown), typedKey('i')}},
		{"reason", []any{settled(all...), key(KeyEnd), key(KeyEnter)}},
		{"notes", []any{settled(all...), NoticeMsg{"The clock says 1970: it may have lost its battery."}, typedKey('l')}},
		{"log", []any{settled(all...), LogMsg{[]LogLine{{Level: slog.LevelDebug, Text: "[    1.2] sda: 4 partitions", Kernel: true}, {Level: slog.LevelInfo, Text: "[    1.5] sda2: 2 entries in /boot/extlinux.conf"}, {Level: slog.LevelError, Text: "[    2.0] nvme0n1p3: bad superblock"}}}, text("lv"), key(KeyEnd)}},
		{"log-search", []any{settled(all...), LogMsg{[]LogLine{{Level: slog.LevelInfo, Text: "[    1.5] sda2: 2 entries in /boot/extlinux.conf"}}}, text("l/entries")}},
		{"save", []any{settled(all...), text("lw"), key(KeyDown)}},
		{"machine", []any{settled(all...), text("m"), SystemMsg{[]string{"Firmware:", "UEFI 2.70 by EDK II; Secure Boot is off; no TPM", "Memory:", "2048 MB", "Disks:", "sda 240 GB QEMU HARDDISK", "sdb 16 GB USB stick"}}}},
		{"default", []any{InventoryMsg{Inventory: inventory(true, all...), Memory: "It is kept in EFI variables."}, text("d")}},
		{"settings", []any{writesAll, settled(all...), text("ojj"), key(KeyEnter), key(KeyUp), key(KeyEnter)}},
		{"settings-typed", []any{writesAll, settled(all...), text("o"), key(KeyEnter), control('u'), text("10")}},
		{"settings-default", []any{writesAll, settled(all...), text("oj"), key(KeyEnter), key(KeyDown)}},
		{"settings-write", []any{writesAll, settled(all...), text("oj"), key(KeyEnter), text("virt"), key(KeyEnter), text("w")}},
		{"default-where", []any{InventoryMsg{Inventory: inventory(true, all...), MemoryPlaces: []MemoryPlace{{"/dev/sda1", "EFI/alpboot/alpboot.state"}}}, text("d")}},
		{"keyboard", []any{offersAll, settled(all...), text("Kde"), key(KeyDown)}},
		{"power-all", []any{offersAll, settled(all...), text("p")}},
		{"help", []any{settled(all...), typedKey('?')}},
		{"power", []any{settled(all...), typedKey('p')}},
		{"power-off", []any{settled(all...), text("po")}},
		{"edit", []any{settled(all...), typedKey('e'), control('a'), text("debug ")}},
		{"edit-path", []any{settled(all...), typedKey('e'), key(KeyDown), key(KeyTab), CompletionMsg{1, []string{"boot/vmlinuz-lts", "boot/vmlinuz-lts.old"}}}},
		{"additions", []any{settled(all...), typedKey('e'), KeyMsg{Key: KeyF2, Console: "/dev/ttyS0"}, text("13")}},
		{"edit-long", []any{settled(all...), typedKey('e'), PasteMsg{strings.Repeat(" option=value", 200)}, key(KeyEnter)}},
		{"hostile", []any{found("hostile", hostile), typedKey('x')}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, msgs := config(), tt.msgs
			if len(msgs) > 0 {
				switch msgs[0] {
				case hiddenUntilKey:
					c.Hidden, msgs = true, msgs[1:]
				case asksAll:
					c, msgs = asking(), msgs[1:]
				case writesAll:
					c.Settings, c.SettingsFile, msgs = someSettings(), "/EFI/alpboot/alpboot.conf on /dev/sda1", msgs[1:]
				case offersAll:
					c.Firmware, c.Relaunch, c.Others = true, true, []Other{{3, "Windows Boot Manager"}, {1, "EFI Internal Shell"}}
					c.Keymaps, msgs = []string{"us/us", "de/de", "de/de-latin1"}, msgs[1:]
				}
			}
			m, _ := run(New(c), msgs...)
			var b strings.Builder
			for _, size := range sizes {
				for _, cs := range []Charset{UTF8, ASCII} {
					s := m.View(size, cs)
					fmt.Fprintf(&b, "== %dx%d %s\n%s", size.W, size.H, map[Charset]string{UTF8: "UTF-8", ASCII: "ASCII"}[cs], s)
					if s.Cursor != nil {
						fmt.Fprintf(&b, "-- cursor in column %d of row %d\n", s.Cursor.X, s.Cursor.Y)
					}
					if size == sizes[0] && cs == UTF8 {
						fmt.Fprintf(&b, "-- roles\n%s", roles(s))
					}
					checkCells(t, s, cs)
				}
			}
			golden(t, filepath.Join("testdata", tt.name+".golden"), b.String())
		})
	}
	files, _ := filepath.Glob("testdata/*.golden")
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".golden")
		if !slices.ContainsFunc(tests, func(tt struct {
			name string
			msgs []any
		}) bool {
			return tt.name == name
		}) {
			t.Errorf("%s belongs to no test", f)
		}
	}
}

// roles returns a letter for the role of each cell, '.' for Normal.
func roles(s Screen) string {
	var b strings.Builder
	for y := range s.Size.H {
		var row strings.Builder
		for x := range s.Size.W {
			row.WriteByte(".THSDBK#I"[s.At(x, y).Style])
		}
		b.WriteString(strings.TrimRight(row.String(), "."))
		b.WriteByte('\n')
	}
	return b.String()
}

// checkCells fails where a cell holds what no console should get.
func checkCells(t *testing.T, s Screen, cs Charset) {
	t.Helper()
	if len(s.Cells) != s.Size.W*s.Size.H {
		t.Fatalf("%d cells for %v", len(s.Cells), s.Size)
	}
	for i, c := range s.Cells {
		if c.Rune < ' ' || c.Rune >= 0x7f && (cs == ASCII || cell(c.Rune, cs) != c.Rune) {
			t.Fatalf("cell %d,%d of %v holds %q", i%s.Size.W, i/s.Size.W, s.Size, c.Rune)
		}
	}
	if p := s.Cursor; p != nil && (p.X < 0 || p.Y < 0 || p.X >= s.Size.W || p.Y >= s.Size.H) {
		t.Fatalf("cursor %v is outside %v", *p, s.Size)
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if boottest.Update() {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got, -update writes it):\n%s", file, diff)
	}
}
