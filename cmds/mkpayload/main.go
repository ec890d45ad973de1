// Mkpayload builds what alpboot is started from: the initramfs with the menu,
// the kernel under it, and both as one file for each kind of firmware; it reports
// what is in such a file, and installs it. What compiles runs inside a checkout
// of alpboot, the rest anywhere. What makes the payloads is in boot/payload.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
