package mapper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"golang.org/x/sys/unix"
)

func TestName(t *testing.T) {
	tests := []struct{ in, want string }{
		{"root", "root"},
		{"luks-6b1ea1d5-44c0", "luks-6b1ea1d5-44c0"},
		{"a b", `a\x20b`},
		{"a/b", `a\x2fb`},
		{`a\b`, `a\x5cb`},
		{"ü", `\xc3\xbc`},
		{"#+-.:=@_", "#+-.:=@_"},
		{"", "unnamed"},
		{".", `\x2e`},
		{"..", `\x2e.`},
		{"control", `\x63ontrol`},
		{"controls", "controls"},
		{"\x00\n", `\x00\x0a`},
		{strings.Repeat("n", 127), strings.Repeat("n", 127)},
	}
	for _, tt := range tests {
		if got := Name(tt.in); got != tt.want {
			t.Errorf("Name(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	a, b := Name(strings.Repeat("n", 128)+"a"), Name(strings.Repeat("n", 128)+"b")
	if len(a) != 127 || len(b) != 127 || a == b {
		t.Errorf("long names become %q and %q", a, b)
	}
}

var lvNames = []struct{ vg, lv, want string }{
	{"vg0", "lv_root", "vg0-lv_root"},
	{"my-vg", "root", "my--vg-root"},
	{"vg", "a--b-", "vg-a----b--"},
}

func TestLVName(t *testing.T) {
	for _, tt := range lvNames {
		if got := LVName(tt.vg, tt.lv); got != tt.want {
			t.Errorf("LVName(%q, %q) = %q, want %q", tt.vg, tt.lv, got, tt.want)
		}
	}
}

// TestLVNameAgreesWithDmsetup has dmsetup take the names apart again.
func TestLVNameAgreesWithDmsetup(t *testing.T) {
	boottest.NeedTools(t, "dmsetup")
	for _, tt := range lvNames {
		out, err := exec.Command("dmsetup", "splitname", "--noheadings", "--separator", "|", "-o", "vg_name,lv_name", tt.want, "LVM").Output()
		if says := strings.TrimSpace(string(out)); err != nil || says != tt.vg+"|"+tt.lv {
			t.Errorf("dmsetup takes %s for %q, %v", tt.want, says, err)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"", "vg0-root", "..", "control", "a b\xff", strings.Repeat("/", 60)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := Name(s); !valid(got) {
			t.Errorf("Name(%q) = %q", s, got)
		}
	})
}

// splitArgs is dm_split_args of the kernel.
func splitArgs(s string) (args []string) {
	var word []byte
	in := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			word, in = append(word, s[i]), true
		case c == ' ' || c >= '\t' && c <= '\r' || c == 0xa0:
			if in {
				args = append(args, string(word))
			}
			word, in = nil, false
		default:
			word, in = append(word, c), true
		}
	}
	if in {
		args = append(args, string(word))
	}
	return args
}

func TestParams(t *testing.T) {
	tests := []struct {
		target Target
		want   []string
	}{
		{Linear(0, 8, Area{"/dev/sda2", 2048}), []string{"/dev/sda2", "2048"}},
		{Linear(0, 8, Area{`/dev/mapper/a\x20b`, 0}), []string{`/dev/mapper/a\x20b`, "0"}},
		{Linear(0, 8, Area{"/tmp/a b\xa0\\", 1}), []string{"/tmp/a b\xa0\\", "1"}},
		{Striped(0, 256, 128, []Area{{"/dev/sda", 1}, {"/dev/sdb", 2}}), []string{"2", "128", "/dev/sda", "1", "/dev/sdb", "2"}},
	}
	for _, tt := range tests {
		if got := splitArgs(tt.target.Params); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q is read as %q, want %q", tt.target.Params, got, tt.want)
		}
	}
}

// TestEncode reads a table back as the kernel does (populate_table in
// drivers/md/dm-ioctl.c).
func TestEncode(t *testing.T) {
	table := Table{
		Linear(0, 100, Area{"/dev/sda", 7}),
		{Start: 100, Length: 1 << 40, Type: "fifteen-letters", Params: ""},
		{Start: 100 + 1<<40, Length: 1, Type: "crypt", Params: strings.Repeat("x", 33), Secret: true},
	}
	r := request{name: "vg-root", flags: readOnlyFlag, targets: len(table), data: encode(table)}
	b := r.encode()
	ne := binary.NativeEndian
	if v, size, start := ne.Uint32(b), ne.Uint32(b[12:]), ne.Uint32(b[16:]); v != 4 || int(size) != len(b) || start != 312 {
		t.Fatalf("version %d, size %d of %d, data from %d", v, size, len(b), start)
	}
	if !bytes.HasPrefix(b[48:], []byte("vg-root\x00")) || b[176] != 0 {
		t.Errorf("name and UUID: %q", b[48:305])
	}
	at := 312
	for i, want := range table {
		if at%8 != 0 {
			t.Errorf("target %d is not aligned", i)
		}
		typ, _, _ := bytes.Cut(b[at+24:at+40], []byte{0})
		params, _, _ := bytes.Cut(b[at+40:], []byte{0})
		got := Target{Start: ne.Uint64(b[at:]), Length: ne.Uint64(b[at+8:]), Type: string(typ), Params: string(params), Secret: want.Secret}
		if got != want {
			t.Errorf("target %d is %+v, want %+v", i, got, want)
		}
		at += int(ne.Uint32(b[at+20:]))
	}
	if at != len(b) {
		t.Errorf("the targets end at %d of %d", at, len(b))
	}
}

func TestDecodeTypes(t *testing.T) {
	ne := binary.NativeEndian
	entry := func(next uint32, name string) []byte {
		b := make([]byte, 32)
		ne.PutUint32(b, next)
		copy(b[16:], name)
		return b
	}
	tests := []struct {
		name string
		in   []byte
		want []string
	}{
		{"two", append(entry(32, "striped"), entry(0, "linear")...), []string{"striped", "linear"}},
		{"none", nil, nil},
		{"leads outside", entry(4000, "crypt"), []string{"crypt"}},
		{"leads to itself", entry(3, "crypt"), []string{"crypt"}},
	}
	for _, tt := range tests {
		if got := decodeTypes(tt.in); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestRefused has mappings that are refused before the kernel is asked.
func TestRefused(t *testing.T) {
	good := Linear(0, 8, Area{"/dev/sda", 0})
	many := make(Table, maxTargets+1)
	for i := range many {
		many[i] = Linear(uint64(i), 1, Area{"/dev/sda", 0})
	}
	tests := []struct {
		name, uuid string
		table      Table
		want       string
	}{
		{"", "", Table{good}, "name"},
		{"a/b", "", Table{good}, "name"},
		{"..", "", Table{good}, "name"},
		{strings.Repeat("n", 128), "", Table{good}, "name"},
		{"x", strings.Repeat("u", 129), Table{good}, "UUID"},
		{"x", "u", nil, "empty"},
		{"x", "u", Table{Linear(8, 8, Area{"/dev/sda", 0})}, "at sector 8 instead of 0"},
		{"x", "u", Table{good, good}, "at sector 0 instead of 8"},
		{"x", "u", Table{Linear(0, 0, Area{"/dev/sda", 0})}, "0 sectors"},
		{"x", "u", Table{Linear(0, 1<<63, Area{"/dev/sda", 0})}, "sectors"},
		{"x", "u", Table{{Length: 8, Type: "a type that is too long"}}, "type"},
		{"x", "u", Table{{Length: 8, Type: "crypt", Params: "secret\x00"}}, "type"},
		{"x", "u", Table{{Length: 8, Type: "crypt", Params: strings.Repeat("secret", 1<<18)}}, "longer than"},
		{"x", "u", many, "more than 16384"},
	}
	for _, tt := range tests {
		d, err := new(Mapper).Create(tt.name, tt.uuid, tt.table)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("Create(%q, %q): %v, %v; want %q", tt.name, tt.uuid, d, err, tt.want)
		}
	}
}

func TestNeed(t *testing.T) {
	var asked []string
	fails := errors.New("no such module")
	m := Mapper{Need: func(d string) error {
		asked = append(asked, d)
		if d == "dm-crypt" {
			return fails
		}
		return nil
	}}
	_, err := m.Create("x", "", Table{
		Linear(0, 8, Area{"/dev/sda", 0}),
		{Start: 8, Length: 8, Type: "crypt", Params: "aes-xts-plain64 key"},
	})
	if !errors.Is(err, fails) || !strings.Contains(err.Error(), "dm-crypt") || strings.Contains(err.Error(), "key") {
		t.Errorf("Create: %v", err)
	}
	if want := []string{"dm-mod", "dm-crypt"}; !reflect.DeepEqual(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// TestNoDeviceMapper is for kernels that have none; TestCreate is for those
// that have one.
func TestNoDeviceMapper(t *testing.T) {
	if c, err := open(); err == nil {
		c.Close()
		t.Skip("this kernel has device-mapper")
	} else if !errors.Is(err, errNone) {
		t.Skip(err)
	}
	_, err := new(Mapper).Create("x", "", Table{Linear(0, 8, Area{"/dev/sda", 0})})
	if err == nil || !strings.Contains(err.Error(), "mapping x failed: this kernel has no device-mapper") {
		t.Errorf("Create: %v", err)
	}
	if name, ok, err := new(Mapper).Exists("LVM-1"); name != "" || ok || err != nil {
		t.Errorf("Exists: %q, %v, %v", name, ok, err)
	}
}

func TestLoadError(t *testing.T) {
	linear := Table{Linear(0, 8, Area{"/dev/sda", 0})}
	crypt := Table{{Length: 8, Type: "crypt", Params: "key"}}
	tests := []struct {
		errno unix.Errno
		table Table
		want  string
	}{
		{unix.EBUSY, linear, "in use"},
		{unix.ENXIO, linear, "gone"},
		{unix.ENOENT, crypt, "cipher"},
		{unix.EACCES, linear, "root"},
		{unix.ENOMEM, linear, "loading its table"},
	}
	for _, tt := range tests {
		if err := (control{}).loadError(tt.errno, tt.table); !errors.Is(err, tt.errno) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.errno, err, tt.want)
		}
	}
}
