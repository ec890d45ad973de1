package qemutests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/cmds/lsboot/layouttest"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

const (
	layoutTrees = "../cmds/lsboot/testdata/layouts"
	rowMark     = "@layout "
	saidMark    = "@standard error"
)

// What lsboot lists for each of the layouts in docs/layouts.md, as filesystems on
// real disk images that the menu's own kernel mounts, is what TestLayouts of
// cmds/lsboot has written down. The images are files on one disk; lsboot is run
// for each layout in one shell.
//
// Two kinds of layout cannot be seen so: what is encrypted, since lsboot asks
// for no passphrase, and the variables of UEFI firmware. TestLayouts has these with
// a machine of fakes.
func TestLayoutImages(t *testing.T) {
	needOwnKernel(t, "Debian's kernel for virtual machines lacks some of the filesystems")
	t.Parallel()
	boottest.NeedRoot(t) // for the subvolumes of btrfs
	boottest.NeedTools(t, layouttest.Programs...)
	menu := fstest.MapFS{ // what the menu shows meanwhile
		"boot/vmlinuz-lts":   {Data: boottest.BzImage("6.18.32-0-lts")},
		"boot/extlinux.conf": boottest.File("LABEL lts\nMENU LABEL In the menu\nLINUX vmlinuz-lts\nINITRD initramfs-lts\nAPPEND quiet\n"),
		"boot/initramfs-lts": {Data: []byte("\x1f\x8b\x08\x00")},
	}
	tree := t.TempDir()
	layouttest.PutFiles(t, tree, menu)
	script := ""
	rows := map[string]map[string]string{} // names of devices by that of the layout
	for _, l := range layouttest.Load(t, layoutTrees) {
		if l.Locked() || l.EFIVars != nil {
			continue
		}
		dir := filepath.Join(tree, "layouts", l.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		images, names := l.Write(t, dir)
		rows[l.Name] = names
		script += fmt.Sprintf("cd /images/layouts/%[1]s\necho '%[2]s%[1]s'\nlsboot --json %[3]s 2>/said\necho '%[4]s'\ncat /said\n", l.Name, rowMark, strings.Join(images, " "), saidMark)
	}
	script += "echo '" + rowMark + "end'\n"
	layouttest.PutFiles(t, tree, fstest.MapFS{"layouts/list": boottest.File(script)})
	image := made.Path("qemu-tests", t.Name(), "disk.img")
	if err := os.WriteFile(image, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 4<<30); err != nil { // nearly all of it holes
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.Remove(image)
		}
	})
	boottest.Tool(t, "mkfs.ext4", "-q", "-F", "-d", tree, image)
	before := sum(t, image)

	// Messages of the kernel would stand amid what lsboot prints.
	m := start(t, anyKernel, "alpboot.timeout=-1 loglevel=1", vm.Drive{File: image, Access: vm.Writeable})
	m.row(menuLimit, "In the menu")
	m.shell()
	m.Type("mkdir /images && mount -r -t ext4 /dev/vda /images && sh /images/layouts/list\r")
	m.Await(15*time.Minute, vm.InLog("\n"+rowMark+"end"))

	log := strings.ReplaceAll(m.Serial(0).Log(), "\r", "")
	log = regexp.MustCompile(`(?m)^\[ *\d+\.\d+\] .*\n`).ReplaceAllString(log, "") // warnings of the kernel
	seen := 0
	for _, section := range strings.Split(log, "\n"+rowMark)[1:] {
		name, text, _ := strings.Cut(section, "\n")
		got, said, _ := strings.Cut(text, saidMark)
		names, ok := rows[name]
		if !ok {
			continue
		}
		seen++
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join(layoutTrees, name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			for image, device := range names {
				got = strings.NewReplacer(`"`+image+`"`, `"`+device+`"`, `"`+image+`:/`, `"`+device+`:/`, ` `+image+`:/`, ` `+device+`:/`).Replace(got)
			}
			if d := cmp.Diff(listed(t, string(want), ""), listed(t, got, said)); d != "" {
				t.Errorf("-golden +images:\n%s\n%s", d, said)
			}
		})
	}
	if seen != len(rows) {
		t.Errorf("%d layouts were listed, want %d", seen, len(rows))
	}
	if sum(t, image) != before {
		t.Error("the disk has changed")
	}
}

// listed reads what lsboot --json prints. IDs of entries on a volume without UUID
// and label hang on the name of the device, and are left out. Said is what lsboot
// has said besides.
func listed(t *testing.T, text, said string) (entries []map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		t.Fatalf("%v in:\n%s\n%s", err, text, said)
	}
	for _, e := range entries {
		if v, _ := e["volume"].(map[string]any); v["uuid"] == "" && v["label"] == "" {
			delete(e, "id")
		}
	}
	return entries
}
