package choice_test

import (
	"fmt"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/remember"
)

func ExampleDefault() {
	inv := boot.Inventory{
		Settled: true,
		Entries: []boot.Entry{
			{ID: "lts-1", Title: "Linux lts", Default: true},
			{ID: "virt-2", Title: "Linux virt"},
		},
	}
	w := choice.Wants{State: remember.State{Default: "virt-2", Next: "lts-1"}}
	c := choice.Default(inv, w)
	fmt.Println(c.ID, c.Once, c.Notes)

	w.State = c.State // saved before the entry is started
	fmt.Println(choice.Default(inv, w).ID)
	// Output:
	// lts-1 true [Linux lts is booted once, as it was asked for.]
	// virt-2
}
