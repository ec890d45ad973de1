package term

import (
	"fmt"

	"github.com/gdamore/tcell/v2"

	"github.com/alpboot/alpboot/boot/menu"
)

// OpenScreen takes the terminal device dev for a program that draws on it
// itself. Its Fini restores it.
func OpenScreen(dev string) (tcell.Screen, error) {
	d, err := openDevice(dev, menu.Size{})
	if err != nil {
		return nil, err
	}
	s, err := tcell.NewTerminfoScreenFromTtyTerminfo(d, terminal(!virtual(dev)))
	if err == nil {
		err = initScreen(s)
	}
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("%s: %w", dev, err)
	}
	return s, nil
}
