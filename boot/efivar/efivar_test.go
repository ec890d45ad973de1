package efivar

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/alpboot/alpboot/boot/boottest"
)

func ExampleLoadOption() {
	b := LoadOption{
		Attributes: Active, Description: "Linux", Data: AppendText(nil, "quiet"),
		Partition: Partition{Number: 1, Signature: [16]byte{0: 1, 15: 2}, GPT: true}, File: `\EFI\Linux\vmlinuz`,
	}.Bytes()
	o, err := ParseLoadOption(b)
	if err != nil {
		fmt.Println(err)
	}
	text, _ := o.Text()
	fmt.Println(o.Description, o.Partition.UUID(), o.File, text)
	// Output: Linux 00000001-0000-0000-0000-000000000002 \EFI\Linux\vmlinuz quiet
}

// What a user can choose is what the firmware's own menu would offer, in its
// order, without what runs now.
func TestOthers(t *testing.T) {
	vars := &boottest.Variables{Values: map[string]string{
		"BootOrder":   string(AppendNumbers(nil, []uint16{4, 2, 1, 3, 0, 5, 6})),
		"BootCurrent": string(AppendNumbers(nil, []uint16{2})),
		"Boot0000":    string(LoadOption{Attributes: Active | Hidden, Description: "hidden"}.Bytes()),
		"Boot0001":    string(LoadOption{Attributes: Active, Description: "EFI Internal Shell"}.Bytes()),
		"Boot0002":    string(LoadOption{Attributes: Active, Description: "alpboot"}.Bytes()),
		"Boot0003":    string(LoadOption{Description: "not active"}.Bytes()),
		"Boot0004":    string(LoadOption{Attributes: Active, Description: "Windows Boot Manager"}.Bytes()),
		"Boot0005":    "damaged",
		"Boot0007":    string(LoadOption{Attributes: Active, Description: "not in the order"}.Bytes()),
	}}
	got, err := Others(vars)
	if err != nil || len(got) != 2 || got[0].Number != 4 || got[0].Description != "Windows Boot Manager" || got[1].Description != "EFI Internal Shell" {
		t.Errorf("Others = %+v, %v", got, err)
	}
	if err := SetNext(vars, got[0].Number); err != nil || vars.Values["BootNext"] != "\x04\x00" {
		t.Errorf("BootNext is %q, %v", vars.Values["BootNext"], err)
	}
	if got, err := Others(&boottest.Variables{}); err != nil || got != nil {
		t.Errorf("without variables: %v, %v", got, err)
	}
}

// The layout of a load option, byte by byte, as efibootmgr writes it.
func TestLoadOptionBytes(t *testing.T) {
	o := LoadOption{Attributes: Active, Description: "A", File: `\E\b.efi`,
		Partition: Partition{Number: 1, Start: 0x800, Size: 0x1000, Signature: [16]byte{0xaa, 15: 0xbb}, GPT: true}}
	want := slices.Concat([]byte{1, 0, 0, 0, 68, 0, 'A', 0, 0, 0},
		[]byte{4, 1, 42, 0, 1, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0},
		[]byte{0xaa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xbb, 2, 2},
		[]byte{4, 4, 22, 0}, []byte("\\\x00E\x00\\\x00b\x00.\x00e\x00f\x00i\x00\x00\x00"),
		[]byte{0x7f, 0xff, 4, 0})
	if got := o.Bytes(); !slices.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func TestPartitionUUID(t *testing.T) {
	sig := [16]byte{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	for want, p := range map[string]Partition{
		"33221100-5544-7766-8899-aabbccddeeff": {Number: 1, Signature: sig, GPT: true},
		"33221100-0b":                          {Number: 11, Signature: [16]byte(append(sig[:4:4], make([]byte, 12)...))},
		"":                                     {Number: 1, Start: 5, GPT: true},
	} {
		if got := p.UUID(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if o, err := ParseLoadOption(LoadOption{Partition: p, File: "x"}.Bytes()); err != nil || o.Partition != p {
			t.Errorf("got %+v, want %+v (%v)", o.Partition, p, err)
		}
	}
}

func TestStartedFrom(t *testing.T) {
	const uuid = "33221100-5544-7766-8899-aabbccddeeff"
	sig := [16]byte{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	option := string(LoadOption{Partition: Partition{Number: 1, Signature: sig, GPT: true}, File: `\EFI\BOOT\BOOTX64.EFI`}.Bytes())
	drive := string(LoadOption{Description: "USB HARDDRIVE"}.Bytes())
	for _, tt := range []struct {
		name   string
		values map[string]string
		want   string
	}{
		{name: "no variables"},
		{name: "as the stub has left it", values: map[string]string{"LoaderDevicePartUUID": string(AppendText(nil, strings.ToUpper(uuid))), "BootCurrent": "\x03\x00"}, want: uuid},
		{name: "as the firmware's boot option names it", values: map[string]string{"BootCurrent": "\x03\x00", "Boot0003": option}, want: uuid},
		{name: "an option that names only the drive", values: map[string]string{"BootCurrent": "\x03\x00", "Boot0003": drive}},
		{name: "an option that is not there", values: map[string]string{"BootCurrent": "\x03\x00"}},
		{name: "damaged", values: map[string]string{"BootCurrent": "\x03\x00", "Boot0003": "\x01"}},
		{name: "damaged, too", values: map[string]string{"BootCurrent": "\x03", "LoaderDevicePartUUID": ""}},
	} {
		if got := StartedFrom(&boottest.Variables{Values: tt.values}); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A device path may begin with nodes of the hardware, and cut a file's path.
func TestPathOfSeveralNodes(t *testing.T) {
	file := func(name string) []byte {
		text := AppendText(nil, name)
		return append([]byte{4, 4, byte(len(text) + 4), 0}, text...)
	}
	path := slices.Concat([]byte{2, 1, 12, 0, 0xd0, 0x41, 3, 0x0a, 0, 0, 0, 0}, file(`\EFI`), file(`a`), file(`\b.efi`), []byte{0x7f, 1, 4, 0}, file(`other`))
	o, err := ParseLoadOption(slices.Concat([]byte{1, 0, 0, 0, byte(len(path)), 0, 0, 0}, path))
	if err != nil || o.File != `\EFI\a\b.efi` || o.Partition != (Partition{}) {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestRead(t *testing.T) {
	vars := fstest.MapFS{
		"BootOrder-" + Global: {Data: []byte{7, 0, 0, 0, 1, 0, 0xff, 2, 9}},
		"Empty-" + Global:     {}, "Short-" + Global: {Data: []byte{7}}, "Huge-" + Global: {Data: make([]byte, 1<<20)},
	}
	if b, err := Read(vars, "BootOrder-"+Global); err != nil || !slices.Equal(Numbers(b), []uint16{1, 0x2ff}) {
		t.Errorf("got %v, %v", b, err)
	}
	for name, want := range map[string]string{"Empty": "not exist", "None": "not exist", "Short": "cut short", "Huge": "too large"} {
		if b, err := Read(vars, name+"-"+Global); err == nil || !strings.HasPrefix(err.Error(), "reading the EFI variable "+name+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, %v", name, b, err)
		}
	}
	if _, err := Read(vars, "Empty-"+Global); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestSetup(t *testing.T) {
	for value, want := range map[string]bool{"\x01\x00\x00\x00\x00\x00\x00\x00": true, "\x05\x00\x00\x00\x00\x00\x00\x00": true, "\x04\x00\x00\x00\x00\x00\x00\x00": false, "\x01": false} {
		if got := HasSetup(&boottest.Variables{Values: map[string]string{"OsIndicationsSupported": value}}); got != want {
			t.Errorf("%x: %v", value, got)
		}
	}
	if HasSetup(&boottest.Variables{}) {
		t.Error("there is no such variable")
	}
	m := &boottest.Variables{Values: map[string]string{"OsIndications": "\x04\x00\x00\x00\x00\x00\x00\x00"}}
	if err := RequestSetup(m); err != nil || m.Values["OsIndications"] != "\x05\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("got %x, %v", m.Values["OsIndications"], err)
	}
	m = &boottest.Variables{}
	if err := RequestSetup(m); err != nil || m.Values["OsIndications"] != "\x01\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("got %x, %v", m.Values["OsIndications"], err)
	}
}

// FuzzLoadOption checks that what is read can be written and read again.
func FuzzLoadOption(f *testing.F) {
	f.Add(LoadOption{Attributes: Active, Description: "é", File: `\k`, Data: []byte("ro")}.Bytes())
	f.Add(LoadOption{Partition: Partition{Number: 1, Signature: [16]byte{1}, GPT: true}, File: "a"}.Bytes())
	f.Add([]byte("\x01\x00\x00\x00\x10\x00a\x00\x00\x00\x04\x04\x08\x00\\\x00a\x00\x04\x04\x06\x00b\x00\x7f\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := ParseLoadOption(b)
		if err != nil {
			return
		}
		if text, ok := o.Text(); ok && !utf8.ValidString(text) || strings.Contains(o.File, "\x00") {
			t.Errorf("%q, %q", text, o.File)
		}
		again, err := ParseLoadOption(o.Bytes())
		if err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		if o.Partition.Signature == [16]byte{} { // which is one of no kind
			o.Partition.GPT = again.Partition.GPT
		}
		if again.Attributes != o.Attributes || again.Description != o.Description || again.File != o.File || again.Partition != o.Partition || !bytes.Equal(again.Data, o.Data) {
			t.Errorf("got %+v, want %+v", again, o)
		}
	})
}
