// Command bootmenu is what the initramfs starts: it finds what can be booted,
// shows the menu on the consoles of the machine, and boots the choice.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
