// Command vi edits a text file on the whole screen, with the keys of vi that
// fingers know. It keeps every byte that was not edited, and puts a file in place
// only when it is written whole.
package main

import (
	"fmt"
	"os"

	"github.com/alpboot/alpboot/boot/menu/term"
)

func main() {
	if len(os.Args) != 2 || os.Args[1] == "--help" {
		fmt.Fprint(os.Stderr, "Usage: vi FILE\n\n", help)
		os.Exit(2)
	}
	e, err := open(os.Args[1])
	if err == nil {
		e.screen, err = term.OpenScreen("/dev/tty")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vi:", err)
		os.Exit(1)
	}
	defer e.screen.Fini()
	e.run()
}
