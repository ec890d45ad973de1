package kept_test

import (
	"path"
	"testing"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/kept"
	"github.com/google/go-cmp/cmp"
)

func TestTrees(t *testing.T) {
	boottest.Run(t, "testdata/*.txtar", boottest.Format(kept.Format()))
}

func TestReplaced(t *testing.T) {
	for dir, want := range map[string]string{
		"boot/alpboot/6.18.32-0-lts":    "boot/vmlinuz-lts",
		"alpboot/6.18.32-0-virt":        "vmlinuz-virt",
		"@/boot/alpboot/6.12.1-0-lts~2": "@/boot/vmlinuz-lts",
	} {
		if got := kept.Replaced(boot.Entry{Format: "kept", Kernel: path.Join(dir, "kernel")}); got != want {
			t.Errorf("%s: got %q, want %q", dir, got, want)
		}
	}
	if got := kept.Replaced(boot.Entry{Format: "bare", Kernel: "boot/alpboot/6.18.32-0-lts/kernel"}); got != "" {
		t.Errorf("an entry of another format: %q", got)
	}
}

// FuzzParseRecord asserts that what is read of a record can be written and read
// again, and names no file outside of its directory.
func FuzzParseRecord(f *testing.F) {
	f.Add(kept.Record{Release: "6.18.32-0-lts", Order: 3, Initrds: []string{"intel-ucode.img", "initramfs"}, Cmdline: "root=UUID=1 quiet"}.String())
	f.Add("release ../..\ninitrd ../../etc/shadow\n")
	f.Add("order 99999999999999999999\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := kept.ParseRecord(text)
		if err != nil {
			return
		}
		for _, name := range append(r.Initrds, r.Release) {
			if path.Base(name) != name || name == "." || name == ".." {
				t.Errorf("%q leaves its directory", name)
			}
		}
		again, err := kept.ParseRecord(r.String())
		if d := cmp.Diff(r, again); err != nil || d != "" {
			t.Errorf("%v\n%s", err, d)
		}
	})
}
