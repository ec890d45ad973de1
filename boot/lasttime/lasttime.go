// Package lasttime finds out what became of a start: what the kernel has left in EFI
// variables when it panicked, what a watchdog reports, and the end of the log that
// OpenRC keeps. Records are read and left as they are.
package lasttime

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/pstore"
	"github.com/alpboot/alpboot/boot/watchdog"
)

// Finding is what was found in one place.
type Finding struct {
	Known []string // sentences
	Lines []string // of the log, whole
}

// Records returns what the kernel that was started at a time, in seconds since
// 1970, and the watchdog have left.
func Records(root fs.FS, since int64) (f Finding) {
	vars, err := fs.Sub(root, efivar.Path)
	var dumps []pstore.Dump
	if err == nil {
		dumps, err = pstore.Read(vars)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.Lines = append(f.Lines, fmt.Sprintf("what kernels have left in EFI variables: %v", err))
	}
	reason := ""
	for _, d := range dumps {
		if d.Time.Unix() < since {
			continue
		}
		reason = cmp.Or(d.Reason(), reason, "Its kernel has left a record")
		f.Lines = append(f.Lines, "left by the kernel in EFI variables at "+Clock(d.Time.Unix())+":")
		for line := range strings.Lines(d.Text) {
			f.Lines = append(f.Lines, "  "+strings.TrimRight(line, "\n"))
		}
	}
	if reason != "" {
		f.Known = append(f.Known, boot.Clean(reason)+".")
	}
	for _, d := range watchdog.List(root) {
		if did := d.Last.String(); did != "" {
			f.Known = append(f.Known, fmt.Sprintf("The watchdog (%s) %s.", d.Identity, did))
		}
	}
	return f
}

// LogName is the log that OpenRC keeps with rc_logger="YES", on its root volume.
const LogName = "var/log/rc.log"

// Log returns the end of a log that was written at a time, in seconds since 1970, or
// later. Where names it in sentences. The error is fs.ErrNotExist when there is
// none.
func Log(fsys fs.FS, name, where string, since int64) (f Finding, err error) {
	text, at, err := tail(fsys, name)
	if err != nil {
		return f, err
	}
	if at.Unix() < since {
		return Finding{Lines: []string{where + " is older than that start"}}, nil
	}
	f.Lines = []string{"the end of " + where + ":"}
	last := ""
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(boot.Clean(line)); line != "" {
			last = line
			f.Lines = append(f.Lines, "  "+line)
		}
	}
	if last != "" {
		f.Known = []string{"The last line of its rc.log: " + last}
	}
	return f, nil
}

// Clock returns a time in seconds since 1970 in words.
func Clock(seconds int64) string {
	return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04 UTC")
}

// maxTail is how much of a log is shown.
const maxTail = 16 << 10

// tail returns the last whole lines of a file, and when it was written.
func tail(fsys fs.FS, name string) (text string, at time.Time, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", time.Time{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", time.Time{}, err
	}
	if !st.Mode().IsRegular() {
		return "", time.Time{}, fmt.Errorf("%s is not a regular file", name)
	}
	skip := st.Size() - maxTail
	if skip > 0 {
		seeker, ok := f.(io.Seeker)
		if !ok {
			return "", time.Time{}, fmt.Errorf("%s is too large", name)
		}
		if _, err := seeker.Seek(skip, io.SeekStart); err != nil {
			return "", time.Time{}, err
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxTail))
	text = string(b)
	if skip > 0 {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text, st.ModTime(), err
}
