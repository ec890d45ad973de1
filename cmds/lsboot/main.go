// Command lsboot lists what can be booted from disks, image files or directories:
// the same discovery as in the menu, without the menu.
package main

import (
	"os"

	"github.com/alpboot/alpboot/cmds/lsboot/lsboot"
)

func main() { os.Exit(lsboot.Run(os.Args[1:], os.Stdout, os.Stderr)) }
