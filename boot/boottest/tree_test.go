package boottest

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot"
	"golang.org/x/tools/txtar"
)

func TestTree(t *testing.T) {
	tree, err := newTree(txtar.Parse([]byte(`Two volumes. A note: this is not a directive.
volume a: device=/dev/sda1 disk=/dev/sda uuid=u label="two words" type=ext4
volume b:
symlink: a/boot/boot -> .
directory: b/empty
-- a/boot/x --
data
-- want --
nothing
`)))
	if err != nil {
		t.Fatal(err)
	}
	want := boot.Volume{Device: "/dev/sda1", Disk: "/dev/sda", UUID: "u", Label: "two words", Type: "ext4"}
	if len(tree.Volumes) != 2 || tree.Volumes[0].Volume != want {
		t.Fatalf("volumes %+v", tree.Volumes)
	}
	a, b := tree.Volumes[0].FS, tree.Volumes[1].FS
	if data, err := fs.ReadFile(a, "boot/boot/boot/x"); string(data) != "data\n" {
		t.Errorf("through the link: %q, %v", data, err)
	}
	if st, err := fs.Stat(b, "empty"); err != nil || !st.IsDir() {
		t.Errorf("directory: %v, %v", st, err)
	}
	if _, err := fs.Stat(a, "want"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the want section is on a volume: %v", err)
	}
}

func TestTreeErrors(t *testing.T) {
	for _, in := range []string{
		"volume: size=3\n",
		"volume: device\n",
		"symlink: a\n",
		"volume a: type=ext4\n-- b/x --\n",
		"volume: type=ext4\nvolume a: type=ext4\n-- a/x --\n",
		"-- ../x --\n",
	} {
		if _, err := newTree(txtar.Parse([]byte(in))); err == nil {
			t.Errorf("no error for %q", in)
		}
	}
}

func TestText(t *testing.T) {
	wait, never := 1500*time.Millisecond, time.Duration(-1)
	got := Text(boot.Listing{
		Entries: []boot.Entry{
			{
				ID: "i", Title: "T", Submenu: []string{"M", "N"}, Snapshot: true, UKI: true, Version: "v", Format: "f", Source: boot.Source{File: "c", Line: 2}, Volume: boot.Volume{Device: "/dev/a"},
				Kernel: "k", Initrds: []string{"1", "2"}, Cmdline: "q", Default: true, Timeout: &wait, Guessed: true, Problem: "P.", Notes: []string{"N."},
			},
			{Title: "U", Timeout: &never},
		},
		Notes: []boot.Note{{Text: "M."}},
	}, errors.New("e"))
	want := `entry T
  id       i
  submenu  M
  submenu  N
  version  v
  format   f
  source   /c:2
  volume   /dev/a
  kernel   k
  initrd   1
  initrd   2
  uki
  cmdline  q
  default
  timeout  1.5s
  snapshot
  guessed
  problem  P.
  note     N.
entry U
  timeout  never
note M.
error e
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := Text(boot.Listing{}, nil); !strings.Contains(got, "nothing") {
		t.Errorf("of nothing: %q", got)
	}
}
