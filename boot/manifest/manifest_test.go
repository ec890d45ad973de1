package manifest

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func example() *Manifest {
	return &Manifest{
		Epoch: 7,
		Files: []File{
			{"vmlinuz-lts", 5, sha256.Sum256([]byte("linux"))},
			{"initramfs-lts", 6, sha256.Sum256([]byte("initrd"))},
			{"amd ucode.img", 0, sha256.Sum256(nil)},
			{"linux.efi", 3, sha256.Sum256([]byte("uki"))},
		},
		Entries: []Entry{
			{"vmlinuz-lts", 0, []string{"amd ucode.img", "initramfs-lts"}, "root=UUID=1 quiet"},
			{"vmlinuz-lts", 0, nil, ""},
			{"linux.efi", 2, nil, "quiet"},
		},
	}
}

func TestRoundTrip(t *testing.T) {
	m := example()
	got, err := Parse(m.Bytes())
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	good := string(example().Bytes())
	hash := fmt.Sprintf("%x", sha256.Sum256(nil))
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", `it does not begin with "alpboot manifest 1"`},
		{"nothing in it", "alpboot manifest 1\n", ""}, // nothing is allowed
		{"a profile of none", good + "profile 0\n", "profile takes a number from 1"},
		{"a second profile", good + "profile 3\n", "a second profile"},
		{"another version", strings.Replace(good, "manifest 1", "manifest 2", 1), `it does not begin with "alpboot manifest 1"`},
		{"an unknown word", good + "hook x\n", `"hook" is not known`},
		{"a second epoch", good + "epoch 9\n", "a second epoch"},
		{"a negative one", strings.Replace(good, "epoch 7", "epoch -7", 1), "epoch takes a number"},
		{"a file twice", good + "file " + hash + " 1 vmlinuz-lts\n", "a second file"},
		{"a path that leads out", good + "file " + hash + " 1 ../vmlinuz\n", "file takes a SHA-256, a size and a path"},
		{"an absolute one", good + "file " + hash + " 1 /vmlinuz\n", "file takes a SHA-256, a size and a path"},
		{"a short hash", good + "file " + hash[2:] + " 1 x\n", "file takes a SHA-256, a size and a path"},
		{"a hash in capitals", good + "file " + strings.ToUpper(hash) + " 1 x\n", "file takes a SHA-256, a size and a path"},
		{"a size that is none", good + "file " + hash + " 0x1 x\n", "file takes a SHA-256, a size and a path"},
		{"two kernels", good + "kernel vmlinuz-lts\n", "a second kernel"},
		{"two command lines", good + "cmdline init=/bin/sh\n", "a second cmdline"},
		{"a command line of nothing", "alpboot manifest 1\ncmdline x\n", "cmdline before any entry"},
		{"an entry without a kernel", good + "entry\n", `an entry has "", which is not among its files`},
		{"a kernel that is not listed", good + "entry\nkernel x\n", `an entry has "x", which is not among its files`},
		{"a carriage return", strings.ReplaceAll(good, "\n", "\r\n"), "it is not text"},
		{"long", good + strings.Repeat("x", MaxSize), "it is longer than 262144 bytes"},
	} {
		m, err := Parse([]byte(tt.text))
		switch {
		case tt.want == "":
			if err == nil && m.Allows(".", Entry{Kernel: "x"}) == nil {
				t.Errorf("%s: it allows something", tt.name)
			}
		case err == nil || !strings.HasSuffix(err.Error(), tt.want):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestAllows(t *testing.T) {
	m := example()
	both := []string{"amd ucode.img", "initramfs-lts"}
	in := func(dir string, names ...string) (list []string) {
		for _, n := range names {
			list = append(list, dir+n)
		}
		return list
	}
	for _, tt := range []struct {
		name, dir string
		entry     Entry
		want      string
	}{
		{"as listed", ".", Entry{"vmlinuz-lts", 0, both, "root=UUID=1 quiet"}, ""},
		{"in a directory", "boot", Entry{"boot/vmlinuz-lts", 0, in("boot/", both...), "root=UUID=1 quiet"}, ""},
		{"without initrds", ".", Entry{"vmlinuz-lts", 0, nil, ""}, ""},
		{"a profile of a unified kernel image", ".", Entry{"linux.efi", 2, nil, "quiet"}, ""},
		{"another profile", ".", Entry{"linux.efi", 1, nil, "quiet"}, "has no entry that starts /linux.efi with these initrds and profile 1"},
		{"another command line", ".", Entry{"vmlinuz-lts", 0, both, "root=UUID=1 quiet init=/bin/sh"}, "has another command line for these files"},
		{"one blank more", ".", Entry{"vmlinuz-lts", 0, both, "root=UUID=1  quiet"}, "has another command line for these files"},
		{"in another order", ".", Entry{"vmlinuz-lts", 0, []string{both[1], both[0]}, "root=UUID=1 quiet"}, "has no entry that starts /vmlinuz-lts with these initrds"},
		{"one initrd less", "boot", Entry{"boot/vmlinuz-lts", 0, in("boot/", both[1]), "root=UUID=1 quiet"}, "has no entry that starts /boot/vmlinuz-lts with these initrds"},
		{"one more", ".", Entry{"vmlinuz-lts", 0, append(both, "evil"), "root=UUID=1 quiet"}, "does not list /evil"},
		{"another kernel", ".", Entry{"vmlinuz-virt", 0, both, "root=UUID=1 quiet"}, "does not list /vmlinuz-virt"},
		{"an initrd of another directory", "boot", Entry{"boot/vmlinuz-lts", 0, []string{"initramfs-lts"}, ""}, "does not list /initramfs-lts"},
		{"a directory whose name is longer", "boot", Entry{"boot2/vmlinuz-lts", 0, nil, ""}, "does not list /boot2/vmlinuz-lts"},
	} {
		got := ""
		if err := m.Allows(tt.dir, tt.entry); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestDirs(t *testing.T) {
	for name, want := range map[string][]string{
		"@/boot/vmlinuz": {"@/boot", "@", "."}, "vmlinuz": {"."}, ".": nil, "": nil, "../x": nil,
	} {
		if got := Dirs(name); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// What is parsed means the same when it is written and parsed again.
func FuzzParse(f *testing.F) {
	f.Add(example().Bytes())
	f.Add([]byte("alpboot manifest 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(m.Bytes())
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Errorf("%+v was %+v: %v", again, m, err)
		}
	})
}

// The boot counter in the name of a unified kernel image changes at each start, and is no
// part of what was signed.
func TestCounter(t *testing.T) {
	sum := strings.Repeat("00", 32)
	for _, listed := range []string{"EFI/Linux/alpine.efi", "EFI/Linux/alpine+3.efi", "EFI/Linux/alpine+1-2.efi"} {
		m, err := Parse([]byte("alpboot manifest 1\nfile " + sum + " 5 " + listed + "\nentry\nkernel " + listed + "\ncmdline quiet\n"))
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]bool{
			"EFI/Linux/alpine.efi": true, "EFI/Linux/alpine+3.efi": true, "EFI/Linux/alpine+2-1.efi": true, "EFI/Linux/alpine+0-3.EFI": false,
			"EFI/Linux/alpine+x.efi": false, "EFI/Linux/other+3.efi": false, "alpine+3.efi": false,
		} {
			err := m.Allows(".", Entry{Kernel: name, Cmdline: "quiet"})
			if file, ok := m.File(".", name); ok != want || ok && file.Size != 5 || (err == nil) != want {
				t.Errorf("%s is listed as %s: %t, %v; want %t", name, listed, ok, err, want)
			}
		}
	}
	two := "file " + sum + " 5 a+3.efi\nfile " + sum + " 5 a+2-1.efi\n"
	if m, err := Parse([]byte("alpboot manifest 1\n" + two)); err == nil {
		t.Errorf("two files of one name: %+v", m)
	}
	if _, err := Parse([]byte("alpboot manifest 1\n" + strings.ReplaceAll(two, ".efi", ""))); err != nil {
		t.Errorf("other files: %v", err)
	}
}
