package session

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
	"github.com/alpboot/alpboot/boot/menu"
)

// stale is what the variable of a start before may hold.
var stale = string(efivar.AppendText(nil, `\loader\entries\other+1-2.conf`))

// counterFixture starts a menu with an EFI system partition that has an entry in
// loader/entries/conf, and returns its root. started, once the entry is started, is
// what the variable names then.
func counterFixture(t *testing.T, b *fixture, conf, cmdline string) (dir string, started *string) {
	dir = b.addESP(map[string]string{
		"vmlinuz":                 string(boottest.BzImage("6.12.1")),
		"loader/entries/" + conf:  "title Arch\nlinux /vmlinuz\noptions quiet\n",
		"loader/entries/old.conf": "title Old\nlinux /vmlinuz\noptions single\n",
	})
	b.vars.Values[efivar.BootCountPath] = stale
	b.hw.jumpErr = nil
	started = new(string)
	var once sync.Once // what is started after that has failed does not count
	b.hw.always = func(what string) {
		if what == "hand over" {
			once.Do(func() {
				value, _ := b.vars.Get(efivar.BootCountPath, efivar.Loader)
				*started = efivar.Text(value)
			})
		}
	}
	b.start(cmdline + ` alpboot.default=Arch`)
	return dir, started
}

// listing returns the names in a directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range list {
		names = append(names, d.Name())
	}
	return strings.Join(names, " ")
}

// TestCounting asserts what becomes of the name of an entry's file, and of
// systemd-boot's variable, when the entry is started.
func TestCounting(t *testing.T) {
	for _, tt := range []struct{ conf, then, path string }{
		{"arch+3-00.conf", "arch+2-01.conf", `\loader\entries\arch+2-01.conf`},
		{"arch+3.conf", "arch+2-1.conf", `\loader\entries\arch+2-1.conf`},
		{"arch.conf", "arch.conf", ""},
	} {
		for _, how := range []string{"by hand", "unattended"} {
			t.Run(tt.conf+" "+how, func(t *testing.T) {
				onDisks(t, func(t *testing.T, b *fixture) {
					cmdline := "alpboot.timeout=0"
					if how == "by hand" {
						cmdline = byHand
					}
					dir, started := counterFixture(t, b, tt.conf, cmdline)
					if how == "by hand" {
						b.press(menu.KeyEnter)
					}
					b.wait(2 * time.Second)
					if got, want := listing(t, filepath.Join(dir, "loader/entries")), tt.then+" old.conf"; got != want {
						t.Errorf("there is %s, want %s", got, want)
					}
					if *started != tt.path {
						t.Errorf("the started system reads %q, want %q", *started, tt.path)
					}
					writes := slices.Compact(b.disks.Written())
					if want := map[bool][]string{true: {"/dev/sda9"}}[tt.path != ""]; !slices.Equal(writes, want) {
						t.Errorf("written to: %q, want %q", writes, want)
					}
				})
			})
		}
	}
}

// A unified kernel image has the counter in its own name.
func TestCountingImages(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		image, err := ukitest.FromText(".osrel PRETTY_NAME=Debian\n.cmdline quiet\n.linux 6.1\n.initrd 070701\n")
		if err != nil {
			t.Fatal(err)
		}
		dir := b.addESP(map[string]string{"EFI/Linux/uki+2-0.efi": string(image)})
		b.hw.jumpErr = nil
		b.start(byHand)
		b.press(menu.KeyEnter)
		if got := listing(t, filepath.Join(dir, "EFI/Linux")); got != "uki+1-1.efi" {
			t.Errorf("there is %s", got)
		}
		b.start(byHand)
		b.press(menu.KeyEnter) // under its new name
		if got := listing(t, filepath.Join(dir, "EFI/Linux")); got != "uki+0-2.efi" {
			t.Errorf("there is %s", got)
		}
	})
}

// A rename that the power cut off may have left an empty file on FAT.
func TestCountingAfterPowerCut(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		dir, started := counterFixture(t, b, "arch+3-00.conf", byHand)
		writeFile(t, filepath.Join(dir, "loader/entries/arch+2-01.conf"), "")
		b.press(menu.KeyEnter)
		b.wait(2 * time.Second)
		if got := listing(t, filepath.Join(dir, "loader/entries")); got != "arch+2-01.conf old.conf" {
			t.Errorf("there is %s", got)
		}
		if *started == "" {
			t.Error("the started system does not know of the counter")
		}
	})
}

// Esc stops the start after it was counted: the file has its name again.
func TestCountingUndone(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		dir, _ := counterFixture(t, b, "arch+3-00.conf", byHand)
		var once sync.Once
		b.hw.always = func(what string) {
			if what == "write /dev/sda9" {
				once.Do(func() { time.AfterFunc(10*time.Millisecond, func() { b.burst(menu.KeyEsc) }) })
			}
		}
		b.press(menu.KeyEnter)
		b.wait(5 * time.Second)
		b.shows("Stopped. Nothing was booted.")
		b.did("load vmlinuz", "write /dev/sda9", "unload", "write /dev/sda9")
		if got := listing(t, filepath.Join(dir, "loader/entries")); got != "arch+3-00.conf old.conf" {
			t.Errorf("there is %s", got)
		}
		if value, ok := b.vars.Values[efivar.BootCountPath]; ok {
			t.Errorf("%s is %q", efivar.BootCountPath, value)
		}
	})
}

// What cannot be counted is started all the same, as systemd-boot does, and its
// last line says so.
func TestCountingFails(t *testing.T) {
	for name, tt := range map[string]struct {
		fail    func(b *fixture, dir string)
		problem string
	}{
		"the medium is read-only": {
			func(b *fixture, dir string) {
				b.disks.SetFault("/dev/sda9", hardware.Write, hardware.Fault{Err: errors.New("/dev/sda9 can only be read")})
			},
			"/dev/sda9: this start cannot be counted in the name of /loader/entries/arch+3-00.conf: /dev/sda9 can only be read. Starting Arch.",
		},
		"the name is taken": {
			func(b *fixture, dir string) {
				writeFile(t, filepath.Join(dir, "loader/entries/arch+2-01.conf"), "title x\n")
			},
			"there is a file /loader/entries/arch+2-01.conf. Starting Arch.",
		},
		"the variable cannot be written": {
			func(b *fixture, dir string) { b.vars.Fail = errors.New("the firmware has no room for it") },
			"the firmware has no room for it. Starting Arch.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			onDisks(t, func(t *testing.T, b *fixture) {
				dir, started := counterFixture(t, b, "arch+3-00.conf", byHand)
				tt.fail(b, dir)
				b.press(menu.KeyEnter)
				b.wait(2 * time.Second)
				if !strings.Contains(b.screen.last, tt.problem) {
					t.Errorf("the last line is %q, want %q", b.screen.last, tt.problem)
				}
				if *started != "" && b.vars.Fail == nil {
					t.Errorf("the started system reads %q", *started)
				}
				if !slices.Contains(get(b.hw, func() []string { return slices.Clone(b.hw.done) }), "hand over") {
					t.Error("it was not started")
				}
			})
		})
	}
}
