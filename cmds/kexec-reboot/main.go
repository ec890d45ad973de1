// Command kexec-reboot restarts a running Linux without going through the
// firmware. It is alpboot by another name, without alpboot's own verbs.
package main

import (
	"os"

	"github.com/alpboot/alpboot/cmds/alpboot/command"
)

func main() { os.Exit(command.KexecReboot(os.Args[1:], os.Stdout, os.Stderr)) }
