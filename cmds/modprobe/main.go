// Command modprobe loads and unloads kernel modules, in the words of kmod's
// modprobe(8) as far as the image has a use for them. The kernel calls it by
// itself for what it misses: modprobe -q -- fs-erofs.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, thisMachine)) }
