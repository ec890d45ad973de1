package boot

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Counter is a path with the boot counter that systemd-boot keeps in file names
// (Boot Loader Specification, section Boot Counting): NAME+LEFT-DONE.ENDING, of
// which -DONE may be missing.
type Counter struct {
	Left, Done int // starts that are left, and those that there have been

	base, ending         string
	leftWidth, doneWidth int
}

// CountedOut is the note of an entry whose counter has no starts left.
const CountedOut = "It has failed to boot until no tries were left, as the counter in its file name shows."

// ParseCounter returns the counter in the name of a file, false when there is
// none.
func ParseCounter(file string) (c Counter, ok bool) {
	c.ending = path.Ext(file)
	name := strings.TrimSuffix(file, c.ending)
	i := strings.LastIndexByte(name, '+')
	if i <= 0 || strings.HasSuffix(name[:i], "/") || strings.Contains(name[i:], "/") {
		return Counter{}, false
	}
	left, done, both := strings.Cut(name[i+1:], "-")
	c.base, c.leftWidth, c.doneWidth = name[:i], len(left), len(done)
	if c.Left, ok = count(left); !ok {
		return Counter{}, false
	}
	if both {
		if c.Done, ok = count(done); !ok {
			return Counter{}, false
		}
	}
	return c, true
}

// maxCount is the largest number that systemd-boot reads.
const maxCount = 1<<31 - 1

func count(digits string) (int, bool) {
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), err == nil
}

// Plain returns the path without the counter.
func (c Counter) Plain() string { return c.base + c.ending }

// Next returns the path after one more start. The numbers keep their widths, so that
// the name takes as much room in a directory as before.
func (c Counter) Next() string {
	return fmt.Sprintf("%s+%0*d-%0*d%s", c.base, c.leftWidth, max(c.Left-1, 0), c.doneWidth, min(c.Done+1, maxCount), c.ending)
}

// Counter returns the boot counter of an entry of the Boot Loader Specification,
// in the name of its configuration file or its image, and the path of that file
// on e.Volume; false for any other.
func (e Entry) Counter() (c Counter, file string, ok bool) {
	file = e.Conf
	if e.Format == "bls" || e.Format == "uki" {
		file = e.Source.File
	}
	c, ok = ParseCounter(file)
	return c, file, ok
}
