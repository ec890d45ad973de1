// Reboot writes out what is cached and restarts the machine at once: it is
// meant for the image, where no service has to be stopped first.
package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/version"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, restart))
}

func restart() error {
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

func run(args []string, stdout, stderr io.Writer, restart func() error) int {
	switch {
	case len(args) == 1 && (args[0] == "--version" || args[0] == "-version"):
		fmt.Fprintln(stdout, "reboot", version.String())
		return 0
	case len(args) > 0:
		fmt.Fprintln(stderr, "usage: reboot [--version]")
		return 2
	}
	if err := restart(); err != nil {
		fmt.Fprintln(stderr, "reboot: restarting the machine:", err)
		return 1
	}
	return 0
}
