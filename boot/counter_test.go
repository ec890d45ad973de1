package boot_test

import (
	"path"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot"
)

func TestCounter(t *testing.T) {
	for _, series := range [][]string{
		{"loader/entries/foo+3.conf", "loader/entries/foo+2-1.conf", "loader/entries/foo+1-2.conf", "loader/entries/foo+0-3.conf", "loader/entries/foo+0-4.conf"},
		{"EFI/Linux/a b+10.efi", "EFI/Linux/a b+09-1.efi", "EFI/Linux/a b+08-2.efi"},
		{"foo+3-00.conf", "foo+2-01.conf"},
		{"foo+0100-9.conf", "foo+0099-10.conf"},
		{"6.12+deb13+1-0.conf", "6.12+deb13+0-1.conf"},
		{"foo+2147483647-2147483647.EFI", "foo+2147483646-2147483647.EFI"},
	} {
		plain := series[0][:strings.LastIndexByte(series[0], '+')] + path.Ext(series[0])
		for i, file := range series {
			c, ok := boot.ParseCounter(file)
			if !ok {
				t.Errorf("%s has no counter", file)
				break
			}
			if i+1 < len(series) && c.Next() != series[i+1] {
				t.Errorf("after %s comes %s, want %s", file, c.Next(), series[i+1])
			}
			if c.Plain() != plain {
				t.Errorf("%s without the counter is %s, want %s", file, c.Plain(), plain)
			}
		}
	}
	for _, file := range []string{
		"", "foo.conf", "foo+.conf", "foo+-.conf", "foo+3-.conf", "foo+-3.conf", "foo+3-1-2.conf", "foo+x.conf", "foo+3x.conf", "foo+3 .conf",
		"+3.conf", "dir/+3.conf", "dir+3/foo.conf", "dir+3.d/foo", "foo+2147483648.conf", "foo+3.efi.bak", "foo+٣.conf",
	} {
		if c, ok := boot.ParseCounter(file); ok {
			t.Errorf("%q has the counter %+v", file, c)
		}
	}
}

func TestCounterOfEntry(t *testing.T) {
	for want, e := range map[string]boot.Entry{
		"loader/entries/a+3.conf": {Format: "bls", Source: boot.Source{File: "loader/entries/a+3.conf"}, Kernel: "b+2.efi"},
		"loader/entries/c+3.conf": {Format: "grub", Source: boot.Source{File: "grub.cfg"}, Conf: "loader/entries/c+3.conf"},
		"EFI/Linux/a+2-0.efi":     {Format: "uki", Source: boot.Source{File: "EFI/Linux/a+2-0.efi"}},
	} {
		if _, file, ok := e.Counter(); !ok || file != want {
			t.Errorf("got %q, %t, want %q", file, ok, want)
		}
	}
	for _, e := range []boot.Entry{
		{Format: "extlinux", Source: boot.Source{File: "a+1.conf"}, Kernel: "vmlinuz+3.efi"}, {Format: "bls", Source: boot.Source{File: "a.conf"}, Kernel: "b+2.efi"},
	} {
		if c, _, ok := e.Counter(); ok {
			t.Errorf("%+v has the counter %+v", e, c)
		}
	}
}

func FuzzParseCounter(f *testing.F) {
	for _, s := range []string{"foo+3-00.conf", "a/b+10.efi", "+1.x", "x+0-2147483647.efi"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		c, ok := boot.ParseCounter(file)
		if !ok {
			return
		}
		n, ok := boot.ParseCounter(c.Next())
		if !ok || n.Plain() != c.Plain() || n.Left != max(c.Left-1, 0) || n.Done < c.Done || path.Dir(c.Next()) != path.Dir(file) {
			t.Errorf("after %q comes %q", file, c.Next())
		}
	})
}
