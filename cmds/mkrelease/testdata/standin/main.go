// Standin is a program of a package in tests: it appends its name and arguments to
// /var/log/calls, prints what /var/log/answer has, and fails where that is there. Its
// exit status is 3 where /var/log/status is there.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	f, err := os.OpenFile("/var/log/calls", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	fmt.Fprintln(f, strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " "))
	f.Close()
	if _, err := os.Stat("/var/log/status"); err == nil {
		os.Exit(3)
	}
	if b, err := os.ReadFile("/var/log/answer"); err == nil {
		os.Stdout.Write(b)
		os.Exit(1)
	}
}
