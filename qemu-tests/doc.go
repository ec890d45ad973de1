// Package qemutests boots the menu in virtual machines, with real kernels and
// disks in Alpine's layouts, and reads the screen as a user does. Each test
// begins with a sentence of what that user would see.
//
//	go test ./qemu-tests                    # all of them
//	go test ./qemu-tests -run TestLayouts   # some
//	go test -short ./qemu-tests             # none
//
// What they boot is made by package assets. Logs of failed tests, and their
// disks, stay in build/x86_64/qemu-tests/; the message of a failure holds the
// screen and the command that starts the same machine by hand.
package qemutests
