// Command lsblk lists the block devices, what they hold, and where it is
// mounted.
package main

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/mountinfo"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

func main() { os.Exit(run(os.DirFS("/"), probe, os.Stdout, os.Stderr)) }

// probe returns what the device at path holds.
func probe(path string) (superblock.Superblock, error) {
	f, err := device.Open(path)
	if err != nil {
		return superblock.Superblock{}, err
	}
	defer f.Close()
	return superblock.Probe(f, f.Size)
}

func run(root fs.FS, probe func(path string) (superblock.Superblock, error), stdout, stderr io.Writer) (code int) {
	sysfs, err := fs.Sub(root, "sys")
	var blocks []device.Block
	var errs []error
	if err == nil {
		blocks, errs = device.List(sysfs)
	}
	mounts := make(map[string]string)
	for _, m := range mountinfo.Read(root) {
		mounts[m.Source] = cmp.Or(mounts[m.Source], m.Point)
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSIZE\tTYPE\tMOUNTED\tUUID\tLABEL")
	for _, b := range blocks {
		name, kind := strings.TrimPrefix(b.Path, "/dev/"), "disk"
		if b.Disk != "" {
			name, kind = "  "+name, "-"
		} else if b.Partitions == 0 {
			kind = "-"
		}
		// What cannot be read, or is in doubt, is shown as unknown.
		sb, _ := probe(b.Path)
		if sb.Type != "" {
			kind = sb.Type
		}
		label := sb.Label
		if b.Disk == "" && label == "" {
			label = b.Model
		}
		row := []string{name, size(b.Size), kind, mounts[b.Path], sb.UUID, label}
		for i := range row {
			if row[i] == "" {
				row[i] = "-"
			}
			row[i] = boot.Visible(row[i])
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
	for _, err := range errs {
		fmt.Fprintln(stderr, "lsblk:", err)
		code = 1
	}
	return code
}

// size returns n bytes as people write them.
func size(n int64) string {
	f, unit := float64(n), 0
	for f >= 1024 && unit < 5 {
		f /= 1024
		unit++
	}
	if f < 10 && unit > 0 {
		return fmt.Sprintf("%.1f%c", f, "BKMGTP"[unit])
	}
	return fmt.Sprintf("%.0f%c", f, "BKMGTP"[unit])
}
