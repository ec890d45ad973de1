// Command clear clears the screen, and what has scrolled off it.
package main

import "os"

func main() {
	if _, err := os.Stdout.WriteString("\x1b[H\x1b[2J\x1b[3J"); err != nil {
		os.Exit(1)
	}
}
