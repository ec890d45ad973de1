package esp

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/efivar"
)

func order(numbers ...uint16) string { return string(efivar.AppendNumbers(nil, numbers)) }

var (
	part = efivar.Partition{Number: 1, Start: 2048, Size: 131072, Signature: [16]byte{1, 2, 3}, GPT: true}
)

func TestRegister(t *testing.T) {
	grub := string(loadOption(efivar.Partition{Number: 2, Signature: [16]byte{9}}, Entry{"GRUB", "EFI/alpine/grubx64.efi"}))
	ours, previous := string(loadOption(part, entries()[0])), string(loadOption(part, entries()[1]))
	for _, tt := range []struct {
		name   string
		before map[string]string
		want   map[string]string
		after  map[string]string // unregistered
	}{
		{
			name: "no entries", before: map[string]string{},
			want:  map[string]string{"Boot0000": ours, "Boot0001": previous, "BootOrder": order(0, 1)},
			after: map[string]string{"BootOrder": ""},
		},
		{
			name: "first", before: map[string]string{"Boot0000": grub, "Boot0002": grub, "BootOrder": order(2, 0)},
			want:  map[string]string{"Boot0000": grub, "Boot0001": ours, "Boot0002": grub, "Boot0003": previous, "BootOrder": order(1, 3, 2, 0)},
			after: map[string]string{"Boot0000": grub, "Boot0002": grub, "BootOrder": order(2, 0)},
		},
		{
			name: "the user's order stays", before: map[string]string{"Boot0000": grub, "Boot0007": ours, "Boot0008": previous, "BootOrder": order(0, 8, 7)},
			want:  map[string]string{"Boot0000": grub, "Boot0007": ours, "Boot0008": previous, "BootOrder": order(0, 8, 7)},
			after: map[string]string{"Boot0000": grub, "BootOrder": order(0)},
		},
		{
			name:   "the partition has moved, and the entry fell out of the order",
			before: map[string]string{"Boot0000": grub, "Boot0007": string(loadOption(efivar.Partition{Number: 3, Start: 5, Signature: part.Signature, GPT: true}, entries()[0])), "BootOrder": order(0)},
			want:   map[string]string{"Boot0000": grub, "Boot0007": ours, "Boot0001": previous, "BootOrder": order(7, 1, 0)},
			after:  map[string]string{"Boot0000": grub, "BootOrder": order(0)},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := &boottest.Variables{Values: maps.Clone(tt.before)}
			if err := Register(v, part, entries()...); err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(v.Values, tt.want) {
				t.Errorf("got  %q\nwant %q", v.Values, tt.want)
			}
			writes := len(v.Log)
			if err := Register(v, part, entries()...); err != nil || len(v.Log) != writes {
				t.Errorf("again: %v, %d writes", err, len(v.Log)-writes)
			}
			if n, err := Unregister(v, part, Current, Previous); err != nil || n != len(tt.want)-len(tt.after) && len(tt.after) > 1 {
				t.Fatal(n, err)
			}
			if !maps.Equal(v.Values, tt.after) {
				t.Errorf("unregistered\ngot  %q\nwant %q", v.Values, tt.after)
			}
		})
	}
	for _, v := range []*boottest.Variables{{Fail: errors.New("no space left")}, {Lossy: true}} {
		v.Values = map[string]string{}
		if err := Register(v, part, entries()...); err == nil || !strings.Contains(err.Error(), "Boot0000") {
			t.Errorf("%+v: %v", v, err)
		}
	}
}

func TestSign(t *testing.T) {
	sfdisk, err := exec.LookPath("sfdisk")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	for _, tt := range []struct {
		name, script string
		want         efivar.Partition
	}{
		{
			name:   "GPT",
			script: "label: gpt\nstart=2048, size=2048\nstart=4096, size=2048, type=U, uuid=00112233-4455-6677-8899-AABBCCDDEEFF\n",
			want:   efivar.Partition{Number: 2, Start: 4096, GPT: true, Signature: [16]byte{0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}},
		},
		{
			name:   "MBR",
			script: "label: dos\nlabel-id: 0x12345678\nstart=2048, size=2048\nstart=4096, size=2048\n",
			want:   efivar.Partition{Number: 2, Start: 4096, Signature: [16]byte{0x78, 0x56, 0x34, 0x12}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(file, make([]byte, 4<<20), 0o666); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(sfdisk, "-q", file)
			cmd.Stdin = strings.NewReader(tt.script)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			p := efivar.Partition{Number: 2, Start: 4096}
			if err := Sign(&p, f, 512); err != nil || p != tt.want {
				t.Errorf("got %+v, %v\nwant %+v", p, err, tt.want)
			}
			if p.GPT {
				p.Start = 5000
				if err := Sign(&p, f, 512); err == nil {
					t.Error("a partition that has moved is not noticed")
				}
			}
		})
	}
}

// The model is what Mounted does, as far as it can be seen without a power cut.
func TestMounted(t *testing.T) {
	m := Mounted(t.TempDir())
	if err := m.Write(Current, version(1)); err != nil {
		t.Fatal(err)
	}
	if err := m.Write(Current, version(2)); err == nil {
		t.Error("Write replaced a file")
	}
	if err := m.Write("a", version(2)); err != nil {
		t.Fatal(err)
	}
	if err := m.Rename("a", Current); err == nil {
		t.Error("Rename replaced a file")
	}
	if err := m.Exchange("a", Current); errors.Is(err, ErrNoExchange) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"a": version(1), Current: version(2)} {
		if got, err := m.Read(name); err != nil || string(got) != string(want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if err := m.Rename("a", "b/c"); err != nil {
		t.Error(err)
	}
	if names, err := m.List("b"); err != nil || !slices.Equal(names, []string{"c"}) {
		t.Errorf("%q, %v", names, err)
	}
	if names, err := m.List("absent"); err != nil || names != nil {
		t.Errorf("%q, %v", names, err)
	}
	if _, err := m.Read("absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if free, err := m.Free(); err != nil || free <= 0 {
		t.Errorf("%d bytes free, %v", free, err)
	}
	if err := m.Remove("b/c"); err != nil {
		t.Error(err)
	}
	if _, err := m.Partition(); err == nil || !strings.Contains(err.Error(), "not where a partition is mounted") {
		t.Errorf("a directory is a partition: %v", err)
	}
}
