package cbfs

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// file makes a file of CBFS, as far from the start of the area as at.
func file(name string, kind Type, data []byte) []byte {
	head := append([]byte(name), make([]byte, 16-len(name)%16)...)
	b := append([]byte(fileMagic), make([]byte, 16)...)
	be.PutUint32(b[8:], uint32(len(data)))
	be.PutUint32(b[12:], uint32(kind))
	be.PutUint32(b[20:], uint32(fileHeader+len(head)))
	b = append(append(b, head...), data...)
	return append(b, make([]byte, -len(b)&(alignment-1))...)
}

// rom makes a ROM whose flash map names an area of size bytes that holds files.
func rom(size int, files ...[]byte) []byte {
	b := append([]byte(mapMagic), make([]byte, mapHeader-len(mapMagic)+mapArea)...)
	le := binary.LittleEndian
	le.PutUint16(b[54:], 1)
	le.PutUint32(b[mapHeader:], 512)
	le.PutUint32(b[mapHeader+4:], uint32(size))
	copy(b[mapHeader+8:], "COREBOOT")
	b = append(b, make([]byte, 512-len(b))...)
	area := bytes.Join(files, nil)
	return append(b, append(area, bytes.Repeat([]byte{0xff}, size-len(area))...)...)
}

func payload(segments ...Segment) []byte {
	head := make([]byte, 28*len(segments))
	var data []byte
	for i, s := range segments {
		h := head[28*i:]
		be.PutUint32(h, s.Type)
		be.PutUint32(h[4:], s.Compression)
		be.PutUint32(h[8:], uint32(len(head)+len(data)))
		be.PutUint64(h[12:], s.Load)
		be.PutUint32(h[20:], uint32(len(s.Data)))
		data = append(data, s.Data...)
	}
	return append(head, data...)
}

func sample() []byte {
	return rom(4096,
		file("fallback/ramstage", Stage, []byte("stage")),
		file(FallbackPayload, Payload, payload(Segment{Type: Code, Load: 0x100000, Data: []byte("kernel")}, Segment{Type: BSS}, Segment{Type: Entry, Load: 0x40000})),
		file("", Null, make([]byte, 1000)),
		file("bootblock", Raw, []byte("boot")))
}

func TestParse(t *testing.T) {
	r, err := Parse(sample())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range r.Files {
		names = append(names, f.Name)
	}
	if got, want := strings.Join(names, "|"), "fallback/ramstage|fallback/payload||bootblock"; got != want || r.Offset != 512 || r.Size != 4096 {
		t.Errorf("files %s in %d bytes at %d", got, r.Size, r.Offset)
	}
	s, err := r.Find(FallbackPayload).Segments()
	if err != nil || len(s) != 3 || string(s[0].Data) != "kernel" || s[0].Load != 0x100000 || s[2].Type != Entry {
		t.Errorf("segments %+v, %v", s, err)
	}
	if r.Find("absent") != nil || r.Find("") != nil {
		t.Error("found what is not there")
	}
	// From the payload's header to the boot block's.
	if got, want := r.Room(FallbackPayload), int64(192+1088); got != want {
		t.Errorf("room of %d bytes, want %d", got, want)
	}
	if got, want := r.Room("absent"), int64(1088); got != want {
		t.Errorf("room of %d bytes beside the payload, want %d", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(b []byte) []byte
		want   string
	}{
		{name: "text", change: func([]byte) []byte { return bytes.Repeat([]byte("text "), 20) }, want: ErrNotROM.Error()},
		{name: "zeros", change: func(b []byte) []byte { clear(b); return b }, want: ErrNotROM.Error()},
		{name: "empty", change: func([]byte) []byte { return nil }, want: ErrNotROM.Error()},
		{name: "no files", change: func(b []byte) []byte { clear(b[512:]); return b }, want: "no file where CBFS should be"},
		{name: "file too long", change: func(b []byte) []byte { be.PutUint32(b[512+8:], 1<<31); return b }, want: "is damaged"},
	} {
		if _, err := Parse(tt.change(sample())); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	for name, p := range map[string][]byte{
		"no entry":             payload(Segment{Type: Code}),
		"cut off":              payload(Segment{Type: Code, Data: []byte("0123")}, Segment{Type: Entry})[:57],
		"what cbfstool writes": []byte("short"),
	} {
		if s, err := (&File{Name: "x", Type: Payload, Data: p}).Segments(); err == nil {
			t.Errorf("%s: got %+v", name, s)
		}
	}
}

// cbfstool sees in a ROM what Parse sees; this one has a master header and no
// flash map.
func TestCbfstool(t *testing.T) {
	tool, err := exec.LookPath("cbfstool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "test.rom")
	content := filepath.Join(dir, "content")
	if err := os.WriteFile(content, []byte("content"), 0o666); err != nil {
		t.Fatal(err)
	}
	boot := filepath.Join(dir, "bootblock")
	if err := os.WriteFile(boot, make([]byte, 512), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{name, "create", "-m", "x86", "-s", "0x40000", "-B", boot},
		{name, "add", "-f", content, "-n", "a/file", "-t", "raw"},
	} {
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Fatalf("cbfstool %q: %v: %s", args, err, out)
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if f := r.Find("a/file"); f == nil || string(f.Data) != "content" || f.Type != Raw {
		t.Errorf("a/file is %+v", f)
	}
	out, err := exec.Command(tool, name, "print").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Files {
		if f.Name != "" && !strings.Contains(string(out), f.Name) {
			t.Errorf("cbfstool knows no %q:\n%s", f.Name, out)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample())
	old := append(file("x", Raw, []byte("y")), make([]byte, 256)...)
	h := old[len(old)-64:]
	be.PutUint32(h, masterMagic)
	be.PutUint32(h[8:], uint32(len(old)))
	binary.LittleEndian.PutUint32(old[len(old)-4:], ^uint32(63))
	f.Add(old)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			return
		}
		for i := range r.Files {
			if s, err := r.Files[i].Segments(); err == nil && s[len(s)-1].Type != Entry {
				t.Error("segments without an entry")
			}
		}
		if room := r.Room(FallbackPayload); room < 0 || room > r.Size {
			t.Errorf("room of %d bytes in %d", room, r.Size)
		}
	})
}
