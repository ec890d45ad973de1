// Loadbench measures how long kexec-reboot and kexec-tools take to load the
// same kernel and initrd in the same virtual machine, and how much memory.
//
//	go run ./qemu-tests/openrc/loadbench
package main

import "os"

func main() { os.Exit(run(os.Stdout, os.Stderr)) }
