// Starter is the first process of a machine of package arm64: it runs the
// commands in the file /commands, a line each, and then switches the machine off.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

func main() { os.Exit(run()) }

func run() int {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		os.MkdirAll(m[1], 0o755)
		unix.Mount(m[0], m[1], m[0], 0, "")
	}
	b, err := os.ReadFile("/commands")
	if err != nil {
		fmt.Println("starter:", err)
	}
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
		fmt.Println("starter:", strings.TrimSpace(line))
		if err := cmd.Run(); err != nil {
			fmt.Println("starter:", err)
			break
		}
	}
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}
