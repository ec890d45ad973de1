// Command kexec loads a kernel and jumps to it: boot/kexec by hand.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
