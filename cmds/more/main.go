// Command more shows text page by page: of files, or of standard input.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	keys, err := os.Open("/dev/tty") // standard input may be the text
	rows := 0
	if err == nil {
		rows = 24
		if size, err := unix.IoctlGetWinsize(int(keys.Fd()), unix.TIOCGWINSZ); err == nil && size.Row > 1 {
			rows = int(size.Row)
		}
	}
	os.Exit(run(os.Args[1:], os.Stdin, keys, os.Stdout, os.Stderr, rows))
}

// run pages for a terminal of so many rows; without a terminal there are none.
func run(files []string, stdin, keys io.Reader, stdout, stderr io.Writer, rows int) int {
	if len(files) == 0 {
		files = []string{"-"}
	}
	answers := bufio.NewReader(keys)
	shown, code := 0, 0
	for _, name := range files {
		text := stdin
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				fmt.Fprintln(stderr, "more:", err)
				code = 1
				continue
			}
			defer f.Close()
			text = f
		}
		lines := bufio.NewReader(text)
		for {
			line, err := lines.ReadSlice('\n')
			if len(line) > 0 && rows > 0 && shown == rows-1 {
				io.WriteString(stdout, "-- Enter: more; q and Enter: end -- ")
				if answer, err := answers.ReadString('\n'); err != nil || answer == "q\n" {
					return code
				}
				shown = 0
			}
			stdout.Write(line)
			if err == bufio.ErrBufferFull {
				continue
			}
			shown++
			if err != nil {
				if err != io.EOF {
					fmt.Fprintln(stderr, "more:", err)
					code = 1
				}
				break
			}
		}
	}
	return code
}
