// Command tail prints the last lines of files, or of standard input, and with
// -f what is added to one.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	n := flag.Int("n", 10, "print this many `LINES`")
	follow := flag.Bool("f", false, "go on printing what is added to the file")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "Usage: tail [-f] [-n LINES] [FILE]...")
		flag.PrintDefaults()
	}
	flag.Parse()
	os.Exit(run(flag.Args(), max(*n, -*n), *follow, os.Stdin, os.Stdout, os.Stderr))
}

func run(files []string, n int, follow bool, stdin *os.File, stdout, stderr io.Writer) (code int) {
	if len(files) == 0 {
		files = []string{"-"}
	}
	for i, name := range files {
		f, err := stdin, error(nil)
		if name != "-" {
			if f, err = os.Open(name); err == nil {
				defer f.Close()
			}
		}
		if len(files) > 1 && err == nil {
			fmt.Fprintf(stdout, "==> %s <==\n", name)
		}
		if err == nil {
			err = tail(stdout, f, n)
		}
		for follow && err == nil && i == len(files)-1 {
			if _, err = io.Copy(stdout, f); err == nil {
				time.Sleep(time.Second / 4)
			}
		}
		if err != nil {
			fmt.Fprintln(stderr, "tail:", err)
			code = 1
		}
	}
	return code
}

// tail prints the last n lines of f, and leaves f at its end.
func tail(w io.Writer, f *os.File, n int) error {
	var lines [][]byte
	st, err := f.Stat()
	if err == nil && st.Mode().IsRegular() && st.Size() > 0 { // those of proc have no size
		size := st.Size()
		for step := int64(64 << 10); ; step *= 8 {
			start := max(0, size-step)
			// The first line may have lost its beginning.
			if lines, err = lastLines(io.NewSectionReader(f, start, size-start), n+1); err != nil || start == 0 || len(lines) > n {
				break
			}
		}
		if err == nil {
			_, err = f.Seek(size, io.SeekStart)
		}
	} else {
		lines, err = lastLines(f, n)
	}
	if err != nil {
		return err
	}
	_, err = w.Write(bytes.Join(lines[max(0, len(lines)-n):], nil))
	return err
}

// lastLines returns the last n lines of r.
func lastLines(r io.Reader, n int) (lines [][]byte, err error) {
	for b := bufio.NewReader(r); ; {
		line, err := b.ReadBytes('\n')
		if len(line) > 0 {
			lines = append(lines, line)
		}
		if len(lines) > n {
			lines = lines[len(lines)-n:]
		}
		if err == io.EOF {
			return lines, nil
		} else if err != nil {
			return nil, err
		}
	}
}
