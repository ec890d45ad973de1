package term

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/menu"
)

// When another entry is marked, the console beeps as often as its number, with
// silence between two beeps that a person can count. What is marked meanwhile ends
// that; nothing is heard while a shell or a kernel has the console.
func TestBell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(menu.Size{W: 80, H: 24})
		c, err := start("fake", f, true, Options{})
		if err != nil {
			t.Fatal(err)
		}
		heard := 0
		// beeps returns when there were beeps in the time d from now on.
		beeps := func(d time.Duration) string {
			var at []string
			for began := time.Now(); time.Since(began) < d; time.Sleep(50 * time.Millisecond) {
				synctest.Wait()
				f.mu.Lock()
				n := strings.Count(f.sent.String(), "\a")
				f.mu.Unlock()
				for ; heard < n; heard++ {
					at = append(at, time.Since(began).String())
				}
			}
			return strings.Join(at, " ")
		}
		hear := func(what, want string) {
			t.Helper()
			if got := beeps(4 * time.Second); got != want {
				t.Errorf("%s: beeps after %q, want %q", what, got, want)
			}
		}
		m := menu.New(menu.Config{Beep: true, FallbackTimeout: -1})
		tell := func(msg menu.Msg) {
			m, _ = m.Update(msg)
			c.Draw(m)
		}
		inv := boot.Inventory{Entries: entries()}
		tell(menu.InventoryMsg{Inventory: inv, Default: "virt"})
		hear("before all disks have answered", "")
		inv.Settled = true
		tell(menu.InventoryMsg{Inventory: inv, Default: "virt"})
		hear("the default is entry 2", "400ms 700ms")
		tell(menu.InventoryMsg{Inventory: inv, Default: "virt"})
		hear("nothing has changed", "")
		tell(menu.KeyMsg{Key: menu.KeyDown})
		hear("entry 3", "400ms 700ms 1s")
		tell(menu.KeyMsg{Key: menu.KeyDown})
		if got := beeps(800 * time.Millisecond); got != "400ms 700ms" {
			t.Errorf("entry 4: beeps after %q", got)
		}
		tell(menu.KeyMsg{Key: menu.KeyHome})
		hear("entry 1, while those of 4 were heard", "400ms")
		tell(menu.KeyMsg{Key: menu.KeyEnd})
		synctest.Wait()
		if err := c.Suspend(""); err != nil {
			t.Fatal(err)
		}
		hear("others have the console", "")
		if err := c.Resume(); err != nil {
			t.Fatal(err)
		}
		tell(menu.ConfigMsg{Config: menu.Config{FallbackTimeout: -1}})
		tell(menu.KeyMsg{Key: menu.KeyHome})
		hear("it is not asked for", "")
		c.Close()
		synctest.Wait()
	})
}
