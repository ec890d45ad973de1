// Command alpboot is for a system that alpboot boots: what starts it now and next,
// whether it would come back, and the way into something else. It is lsboot and
// kexec-reboot too, when it is called by these names.
package main

import (
	"os"

	"github.com/alpboot/alpboot/cmds/alpboot/command"
)

func main() { os.Exit(command.Run(os.Args, os.Stdout, os.Stderr)) }
