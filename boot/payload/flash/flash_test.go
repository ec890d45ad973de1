package flash

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

const ovmf = "/usr/share/OVMF/OVMF_CODE_4M.fd"

// firmware reads Debian's OVMF.
func firmware(t *testing.T) *Image {
	t.Helper()
	b, err := os.ReadFile(ovmf)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("%v (Debian: package ovmf)", err)
	}
	im, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// program makes something that begins as an EFI program and cannot be compressed.
func program(size int) []byte {
	b := make([]byte, size)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	copy(b, "MZ")
	return b
}

func TestApply(t *testing.T) {
	im := firmware(t)
	if im.Program(Shell) == nil || len(im.Volumes) != 2 {
		t.Fatalf("no Shell in %d volumes", len(im.Volumes))
	}
	before := bytes.Clone(im.Bytes())
	for _, tt := range []struct {
		name   string
		change Change
		size   int
		want   string // of the error
	}{
		{name: "as small as before", change: Change{Program: program(100 << 10)}, size: len(before)},
		{name: "larger", change: Change{Program: program(3 << 20), Remove: []string{"TlsDxe", "HttpDxe"}}, size: 5 << 20},
		{name: "too small a size", change: Change{Program: program(3 << 20), Size: 4 << 20}, want: "the flash image has room for 4194304 bytes"},
		{name: "too large for the drivers' volume", change: Change{Program: program(10 << 20)}, want: "which cannot be enlarged, has room for 12582912 bytes"},
		{name: "no such driver", change: Change{Program: program(1000), Remove: []string{"AbsentDxe"}}, want: "no drivers called AbsentDxe"},
		{name: "nothing to replace", change: Change{Program: program(1000), Replace: "00000000-0000-0000-0000-000000000001"}, want: "no matches"},
		{name: "not a program", change: Change{Program: []byte("text")}, want: "pe32"},
		{name: "odd size", change: Change{Program: program(1000), Size: 4<<20 + 1}, want: "multiple of 4096"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			made, err := im.Apply(tt.change)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				var room *NoRoomError
				if strings.Contains(tt.want, "room") && (!errors.As(err, &room) || room.Need <= room.Have) {
					t.Errorf("%+v", room)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(made.Bytes()) != tt.size {
				t.Errorf("%d bytes, want %d", len(made.Bytes()), tt.size)
			}
			if !bytes.Equal(made.Program(Shell), tt.change.Program) {
				t.Error("the payload is not in it")
			}
			// The processor starts 16 bytes below the end.
			if !bytes.Equal(made.Bytes()[tt.size-16:], before[len(before)-16:]) {
				t.Error("the reset vector has changed")
			}
			if got := binary.LittleEndian.Uint64(made.Bytes()[32:]); got != uint64(made.Volumes[1].Offset) {
				t.Errorf("the first volume has %#x bytes, and the second one begins at %#x", got, made.Volumes[1].Offset)
			}
			for _, f := range made.Files {
				if slices.Contains(tt.change.Remove, f.Name) {
					t.Errorf("%s is still there", f.Name)
				}
			}
			if len(made.Files) != len(im.Files)-len(tt.change.Remove) {
				t.Errorf("%d files, want %d", len(made.Files), len(im.Files)-len(tt.change.Remove))
			}
		})
	}
	if !bytes.Equal(im.Bytes(), before) {
		t.Error("the original has changed")
	}
}

// What was made is read, and not only written.
func TestCheckNotices(t *testing.T) {
	im := firmware(t)
	c := Change{Program: program(1000), Replace: Shell, Remove: []string{"LogoDxe"}}
	made, err := im.Apply(c)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := im.Apply(c); err != nil || !bytes.Equal(again.Bytes(), made.Bytes()) {
		t.Errorf("the same input makes other bytes; %v", err)
	}
	for _, tt := range []struct {
		name   string
		change func(made *Image)
		want   string
	}{
		{"checksum", func(m *Image) { m.raw = bytes.Clone(m.raw); m.raw[50] ^= 1 }, "checksum of the volume"},
		{"reset vector", func(m *Image) { m.raw = bytes.Clone(m.raw); m.raw[len(m.raw)-16] ^= 1 }, "processor begins with"},
		{"another file", func(m *Image) { m.Files = slices.Clone(m.Files); m.Files[20].sum[0] ^= 1 }, "has changed"},
		{"a file too few", func(m *Image) { m.Files = m.Files[1:] }, "files instead of"},
		{"the order of files", func(m *Image) {
			m.Files = slices.Clone(m.Files)
			m.Files[20], m.Files[21] = m.Files[21], m.Files[20]
		}, "where"},
		{"the payload", func(m *Image) {
			m.Files = slices.Clone(m.Files)
			for i := range m.Files {
				if m.Files[i].GUID == Shell {
					m.Files[i].program = nil
				}
			}
		}, "does not hold the payload"},
	} {
		bad := *made
		tt.change(&bad)
		if err := im.check(&bad, c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := im.check(made, c); err != nil {
		t.Error(err)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, b := range map[string][]byte{"empty": nil, "text": []byte(strings.Repeat("text ", 100)), "zeros": make([]byte, 4096)} {
		if _, err := Parse(b); !errors.Is(err, ErrNotImage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// volume makes the smallest firmware volume with one file in it.
func volume() []byte {
	b := bytes.Repeat([]byte{0xff}, 0x1000)
	le := binary.LittleEndian
	clear(b[:72])
	copy(b[16:], "\x78\xe5\x8c\x8c\x3d\x8a\x1c\x4f\x99\x35\x89\x61\x85\xc3\x2d\xd3") // FFS 2
	le.PutUint64(b[32:], 0x1000)
	copy(b[40:], "_FVH")
	le.PutUint32(b[44:], 0x800) // erased bits are ones
	le.PutUint16(b[48:], 72)
	b[55] = 2
	le.PutUint32(b[56:], 1)
	le.PutUint32(b[60:], 0x1000)
	le.PutUint16(b[50:], -sum16(b[:72]))
	f := b[72:]
	copy(f, make([]byte, 24))
	f[18] = byte(7) // a driver
	f[20] = 24 + 8
	copy(f[24:], "\x08\x00\x00\x10MZ..")
	return b
}

func FuzzParse(f *testing.F) {
	f.Add(volume())
	f.Add(volume()[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Contains(b, []byte("\x98\x58\x4e\xee")) || bytes.Contains(b, []byte("\xbd\xe6\x2a\xd4")) {
			return // a compressed section: the decompressors take their time
		}
		im, err := Parse(b)
		if err == nil && len(im.Volumes) == 0 {
			t.Error("an image without a volume")
		}
	})
}

// What a group does not find in an image it passes over.
func TestRemovals(t *testing.T) {
	im := &Image{Files: []File{{Name: "Fat"}, {Name: "Ip4Dxe"}, {Name: "UiApp"}, {}}}
	got, err := removals([]string{"UiApp", "disks", "network", "Fat"}, im)
	if want := []string{"UiApp", "Fat", "Ip4Dxe"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if _, err := removals([]string{""}, im); err == nil {
		t.Error("a driver without a name is removed")
	}
}
