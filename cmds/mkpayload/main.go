// Mkpayload builds what alpboot is started from: the initramfs with the menu,
// and the kernel under it. It runs on the build machine, inside a checkout of
// alpboot. Each verb lies in a file of its name.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
