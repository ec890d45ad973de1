// Command lsboot lists what can be booted from disks, image files or folders:
// the same discovery as in the menu, without the menu.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
