// Command help lists the commands of the image, all or those with a word in
// name or summary.
package main

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/alpboot/alpboot/initramfs"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout)) }

func run(args []string, stdout io.Writer) int {
	word := strings.ToLower(strings.Join(args, " "))
	found := 1
	for _, c := range initramfs.List("", false) {
		if l := fmt.Sprintf("%-10s %s", path.Base(c.Path), c.Summary); strings.Contains(strings.ToLower(l), word) {
			fmt.Fprintln(stdout, l)
			found = 0
		}
	}
	if word == "" {
		fmt.Fprint(stdout, "\n\"help | more\" pages through this list, \"help WORD\" searches it, \"COMMAND --help\" shows flags.\n")
	}
	return found
}
