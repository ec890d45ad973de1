// Package term shows a [menu.Model] on a console, such as /dev/tty1 or
// /dev/ttyS0, and turns what is typed there into messages.
//
// Every console has its own goroutine, size, character set and colours. None
// waits for another, and no caller waits for a console: a serial line that is
// slow or dead shows an old screen, and that is all.
package term

import (
	"errors"

	"github.com/alpboot/alpboot/boot/menu"
)

// Options say how a console is to be used; the zero value finds out.
type Options struct {
	Charset Charset
	Mono    bool      // no colours, attributes only; also when NO_COLOR is set
	Size    menu.Size // overrides what the console says
}

// Charset tells which characters a console can show.
type Charset uint8

// Auto is UTF-8 on virtual terminals and ASCII on all other lines.
const (
	Auto Charset = iota
	ASCII
	UTF8
)

// Console is one terminal that shows the menu.
type Console struct{}

// Open starts to show the menu on the terminal device dev. It does not wait
// for the line: the error is about dev not being there or no terminal.
func Open(dev string, o Options) (*Console, error) { return nil, errors.ErrUnsupported }

// Events gives what is typed on the console: [menu.KeyMsg] and
// [menu.PasteMsg]. It is closed when the console is closed or lost; see Err.
func (c *Console) Events() <-chan menu.Msg { return nil }

// Draw shows m as soon as the line can take it. It never waits; of several
// models drawn faster than the line takes them, the last one is shown.
func (c *Console) Draw(m menu.Model) {}

// Redraw paints the whole screen anew, for when something else has written
// over it. It never waits.
func (c *Console) Redraw() {}

// Size is the size in cells that is drawn for.
func (c *Console) Size() menu.Size { return menu.Size{} }

// Suspend gives the terminal back as it was, cleared but for the text last,
// for a shell or for a kernel to use it. Nothing is read from it or drawn on it
// until Resume.
func (c *Console) Suspend(last string) error { return nil }

// Resume takes the terminal again after Suspend and paints the last model.
func (c *Console) Resume() error { return nil }

// Close gives the terminal back as it was and ends the console.
func (c *Console) Close() error { return nil }

// Err is why Events was closed: nil after Close.
func (c *Console) Err() error { return nil }
