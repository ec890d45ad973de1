// Package report is what a target reports about itself: written by its init on
// the consoles, read back by the test.
//
// The form is lines between two marks, with values quoted as Go strings, so
// that a value can neither end a line nor be cut by a terminal:
//
//	=== alpboot target ===
//	release "6.12.117+deb12-cloud-amd64"
//	banner "Linux version 6.12.117+deb12-cloud-amd64 ..."
//	cmdline "root=UUID=... quiet"
//	file "who" "lts\n"
//	measured "sys/class/tpm/tpm0/pcr-sha256/8" "0000...\n"
//	=== end of target ===
package report

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Marks of a report's first and last line.
const (
	FirstLine = "=== alpboot target ==="
	LastLine  = "=== end of target ==="
)

// Payload is the directory of the initramfs whose files are reported, and KeyFile a
// file that is reported as well: where Alpine's initramfs looks for a passphrase
// that a boot loader hands on. EndFile holds the [End] of the target, ConfirmFile
// where it reports that it is up.
const (
	Payload     = "payload"
	KeyFile     = "crypto_keyfile.bin"
	EndFile     = "end"
	ConfirmFile = "confirm"
	Modules     = "modules" // a directory of modules to load, in the order of their names
)

// The files of [Report.Measured].
const (
	PCR8       = "sys/class/tpm/tpm0/pcr-sha256/8"
	PCR9       = "sys/class/tpm/tpm0/pcr-sha256/9"
	MeasureLog = "alpboot/tpm2-measure.log"
)

// End is what a target does after its report.
type End string

const (
	PowerOff End = ""     // it powers the machine off
	Stay     End = "stay" // it waits for a person to press Enter, then powers off
	Exit     End = "exit" // its init exits, so that the kernel panics
	Hang     End = "hang" // it sleeps for ever
	Feed     End = "feed" // it feeds the watchdog for ten minutes, then powers off
	Reset    End = "reset"
)

// Report is what was booted.
type Report struct {
	Release string            // of the kernel, as uname -r
	Banner  string            // the kernel's first line, as in its log
	Cmdline string            // exactly as the kernel got it
	Files   map[string]string // content of each file of Payload, by its path there, and of KeyFile
	// Measured is the content of those files that have to do with a TPM, by their
	// paths: PCRs 8 and 9, and the log that the menu hands on.
	Measured map[string]string

	End     End    // not part of the text
	Confirm string // DEVICE TYPE FILE of a [remember.File]; "" not to confirm; not part of the text
}

// Collect reads a report from the root filesystem of a running target. What
// could be read is returned with the error.
func Collect(root fs.FS) (Report, error) {
	var errs []error
	read := func(name string) string {
		b, err := fs.ReadFile(root, name)
		if err != nil {
			errs = append(errs, err)
		}
		return strings.TrimSuffix(string(b), "\n")
	}
	r := Report{
		Release: read("proc/sys/kernel/osrelease"),
		Banner:  read("proc/version"),
		Cmdline: read("proc/cmdline"),
		Files:   map[string]string{}, Measured: map[string]string{},
	}
	for _, name := range []string{PCR8, PCR9, MeasureLog} {
		if b, err := fs.ReadFile(root, name); err == nil {
			r.Measured[name] = string(b)
		}
	}
	err := fs.WalkDir(root, Payload, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(root, name)
		r.Files[strings.TrimPrefix(name, Payload+"/")] = string(b)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	if b, err := fs.ReadFile(root, KeyFile); err == nil {
		r.Files[KeyFile] = string(b)
	}
	for file, value := range map[string]*string{EndFile: (*string)(&r.End), ConfirmFile: &r.Confirm} {
		b, err := fs.ReadFile(root, file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		*value = string(b)
	}
	return r, errors.Join(errs...)
}

// String returns the report as it is written on a console.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\nrelease %q\nbanner %q\ncmdline %q\n", FirstLine, r.Release, r.Banner, r.Cmdline)
	for _, n := range slices.Sorted(maps.Keys(r.Files)) {
		fmt.Fprintf(&b, "file %q %q\n", n, r.Files[n])
	}
	for _, n := range slices.Sorted(maps.Keys(r.Measured)) {
		fmt.Fprintf(&b, "measured %q %q\n", n, r.Measured[n])
	}
	fmt.Fprintf(&b, "%s\n", LastLine)
	return b.String()
}

// Parse finds the last whole report in the log of a console.
func Parse(log string) (Report, error) {
	log = strings.ReplaceAll(log, "\r", "")
	start := strings.LastIndex(log, FirstLine+"\n")
	if start < 0 {
		return Report{}, errors.New("the log holds no report of a target")
	}
	text, _, ok := strings.Cut(log[start+len(FirstLine)+1:], LastLine)
	if !ok {
		return Report{}, errors.New("the report of the target has no end")
	}
	r := Report{Files: map[string]string{}, Measured: map[string]string{}}
	for line := range strings.Lines(text) {
		var values []string
		key, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		for rest != "" {
			q, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return Report{}, fmt.Errorf("line %q of the target's report: %w", line, err)
			}
			v, _ := strconv.Unquote(q)
			values = append(values, v)
			rest = strings.TrimPrefix(rest[len(q):], " ")
		}
		switch {
		case key == "release" && len(values) == 1:
			r.Release = values[0]
		case key == "banner" && len(values) == 1:
			r.Banner = values[0]
		case key == "cmdline" && len(values) == 1:
			r.Cmdline = values[0]
		case key == "file" && len(values) == 2:
			r.Files[values[0]] = values[1]
		case key == "measured" && len(values) == 2:
			r.Measured[values[0]] = values[1]
		default:
			return Report{}, fmt.Errorf("line %q of the target's report is not understood", line)
		}
	}
	return r, nil
}
