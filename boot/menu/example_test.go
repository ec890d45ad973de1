package menu_test

import (
	"fmt"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/menu"
)

func inventory() boot.Inventory {
	vol := boot.Volume{Device: "/dev/sda2", Type: "ext4"}
	return boot.Inventory{Settled: true, Entries: []boot.Entry{
		{ID: "lts", Title: "Alpine Linux", Version: "6.12.63-0-lts", Volume: vol, Kernel: "boot/vmlinuz-lts", Cmdline: "root=/dev/sda2"},
		{ID: "virt", Title: "Alpine Linux", Version: "6.12.63-0-virt", Volume: vol, Kernel: "boot/vmlinuz-virt", Cmdline: "root=/dev/sda2"},
	}}
}

// A Model is a value. Messages make the next one of it; what shall be done
// outside comes back as an Action.
func ExampleModel_Update() {
	m := menu.New(menu.Config{Version: "0.1", FallbackTimeout: 5 * time.Second})
	m, _ = m.Update(menu.InventoryMsg{Inventory: inventory(), Default: "lts"})
	m, _ = m.Update(menu.KeyMsg{Key: menu.KeyDown})
	_, action := m.Update(menu.KeyMsg{Key: menu.KeyEnter})
	switch a := action.(type) {
	case menu.Boot:
		fmt.Println("boot", a.Entry.Kernel, "with", a.Entry.Cmdline)
	}
	// Output: boot boot/vmlinuz-virt with root=/dev/sda2
}

// View paints a Model for a console of any size.
func ExampleModel_View() {
	m := menu.New(menu.Config{Version: "0.1", FallbackTimeout: 5 * time.Second})
	m, _ = m.Update(menu.InventoryMsg{Inventory: inventory(), Default: "virt"})
	fmt.Print(m.View(menu.Size{W: 60, H: 7}, menu.ASCII))
	// Output:
	// alpboot 0.1                                      2 entries
	//   1  Alpine Linux  6.12.63-0-lts
	//  >2  Alpine Linux  6.12.63-0-virt  default
	//
	//
	//
	//
	//  Booting in 5 s: Alpine Linux
	//  ##############################              Any key stops.
	//  Enter boot  e edit  s shell  p power  i details  ? help
}

// Report is for consoles without a screen.
func ExampleModel_Report() {
	m := menu.New(menu.Config{FallbackTimeout: 5 * time.Second})
	m, _ = m.Update(menu.InventoryMsg{Inventory: inventory(), Default: "lts"})
	for i, r := range m.Report(menu.ASCII).Rows {
		fmt.Println(i+1, r.Text)
	}
	// Output:
	// 1 Alpine Linux, 6.12.63-0-lts, default
	// 2 Alpine Linux, 6.12.63-0-virt
}
