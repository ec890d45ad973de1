package bare_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/bare"
)

// TestTrees does what discovery does: it parses each volume, looks for roots,
// and completes each entry with all of them.
func TestTrees(t *testing.T) {
	boottest.Run(t, "testdata/*.txtar", func(t *testing.T, tree boottest.Tree) string {
		var all boot.Listing
		var roots []bare.Root
		for _, v := range tree.Volumes {
			roots = append(roots, bare.FindRoots(v.FS, v.Volume)...)
			l, err := bare.Parse(v.FS, v.Volume)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range l.Entries {
				e.Volume = v.Volume
				all.Entries = append(all.Entries, e)
			}
			all.Notes = append(all.Notes, l.Notes...)
		}
		for i, e := range all.Entries {
			all.Entries[i] = bare.Complete(e, roots)
		}
		var b strings.Builder
		for _, r := range roots {
			fmt.Fprintf(&b, "root %s %q alpine=%t locked=%t boot=%q modules=%q\n", r.Volume.Device, r.Dir, r.Alpine, r.Locked, r.Boot, r.Releases)
		}
		return b.String() + boottest.Text(all, nil)
	})
}
