// Run shows the menu in a virtual machine, on the terminal that it is started
// from. It is what make run calls; docs/quickstart.md shows how.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/alpboot/alpboot/qemu-tests/assets"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	fs.SetOutput(stderr)
	var o demo
	fs.StringVar(&o.disk, "disk", "", "`FILE` with your own disk, raw or qcow2, instead of the demo disk; it is not written to")
	fs.StringVar(&o.iso, "iso", "", "`FILE` with your own ISO image, instead of the demo disk")
	fs.IntVar(&o.memory, "memory", 512, "memory of the machine, in MiB")
	fs.StringVar(&o.parameters, "append", "", "further `PARAMETERS` for the menu's kernel, such as alpboot.timeout=-1")
	picture := fs.String("picture", "", "write a picture of the machine's screen with the menu to this PNG `FILE`, and show nothing here")
	film := fs.String("film", "", "write a film of a start to this GIF `FILE`, of a machine with two systems, and show nothing here")
	if err := fs.Parse(args); err != nil || fs.NArg() > 0 {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		fmt.Fprintln(stderr, "usage: run [--disk FILE | --iso FILE] [--memory MIB] [--append PARAMETERS] [--picture FILE | --film FILE]")
		return 2
	}
	a, err := assets.Open(stdout)
	var options vm.Options
	if err == nil && *film == "" {
		options, err = o.options(a, stdout)
	}
	switch {
	case err != nil:
	case *film != "":
		err = makeFilm(a, stdout, *film)
	case *picture != "":
		err = takePicture(options, *picture)
	default:
		err = show(options, stdin, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "run:", err)
		return 1
	}
	return 0
}
