// Command kexec-reboot restarts a running Linux without going through the
// firmware: it loads the next kernel, and starts it at the end of an orderly
// shutdown. On Alpine it puts the OpenRC services for that in place.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
