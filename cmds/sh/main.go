// Command sh is the shell of the image. It understands what a POSIX shell does,
// and much of bash.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
