package pstore

import (
	"bytes"
	"compress/flate"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/klauspost/compress/zstd"
)

// variable returns a file of efivarfs.
func variable(value string) *fstest.MapFile {
	return &fstest.MapFile{Data: append([]byte{7, 0, 0, 0}, value...)}
}

func packed(t testing.TB, text string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func packedZstd(t testing.TB, text string) string {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	return string(w.EncodeAll([]byte(text), nil))
}

func TestRead(t *testing.T) {
	vars := fstest.MapFS{
		"BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c":                  variable("\x00\x00"),
		"dump-type0-1-1-1700-D-" + vendor:                                 variable("Oops#1 Part1\n<1>[ 5.0] BUG: kernel NULL pointer\n"),
		"dump-type0-2-2-1711-C-" + vendor:                                 variable(packed(t, "Panic#2 Part2\n<4>[ 5.1] second line\n")),
		"dump-type0-1-2-1710-C-" + vendor:                                 variable(packed(t, "Panic#2 Part1\n<0>[ 6.0] Kernel panic - not syncing: Fatal\n<0>[ 6.1] end\n")),
		"dump-type0-3-2-1711-C-" + vendor:                                 variable(packedZstd(t, "Panic#2 Part3\n<4>[ 5.0] first line")),
		"dump-type0-1-1-900-C-" + strings.ToUpper(vendor):                 variable(packed(t, "Panic#1 Part1\nof the start before\n")),
		"dump-type0-1-1-800-" + vendor:                                    variable("of an old kernel"),
		"dump-type4-1-1-1712-D-" + vendor:                                 variable("not the kernel's log"),
		"dump-type0-x-1-1712-D-" + vendor:                                 variable("not a number"),
		"dump-type0-1-1-1712-D-" + "8be4df61-93ca-11d2-aa0d-00e098032b8c": variable("another vendor's"),
		"dump-type0-1-1-1713-C-" + vendor:                                 variable("\xff\xffneither packed nor text"),
	}
	dumps, err := Read(vars)
	if err == nil || !strings.Contains(err.Error(), "unpacking dump-type0-1-1-1713-C") {
		t.Errorf("error %v", err)
	}
	var got []string
	for _, d := range dumps {
		got = append(got, fmt.Sprintf("%d %q: %s", d.Time.Unix(), d.Text, d.Reason()))
	}
	want := []string{
		`800 "of an old kernel\n": `,
		`900 "of the start before\n": `,
		`1700 "<1>[ 5.0] BUG: kernel NULL pointer\n": BUG: kernel NULL pointer`,
		`1710 "<4>[ 5.0] first line\n<4>[ 5.1] second line\n<0>[ 6.0] Kernel panic - not syncing: Fatal\n<0>[ 6.1] end\n": Kernel panic - not syncing: Fatal`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	if dumps, err := Read(fstest.MapFS{}); dumps != nil || err != nil {
		t.Errorf("no variables: %v, %v", dumps, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("dump-type0-1-1-1700-C", []byte(packed(f, "Panic#1 Part1\nKernel panic - x\n")))
	f.Add("dump-type0-1-1-1700-C", []byte(packedZstd(f, "Panic#1 Part1\nKernel panic - x\n")))
	f.Add("dump-type0-1-1-1700-D", []byte("text without an end"))
	f.Add("dump-type0-99999999999999999999-1-1", []byte{})
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		file := name + "-" + vendor
		p, ok := parse(file)
		if !ok {
			return
		}
		p.file = "x"
		text, err := p.text(fstest.MapFS{"x": variable(string(value))})
		if len(text) > 3*maxPart || err != nil && text != "" {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
		d := Dump{time.Unix(p.time, 0), text}
		if r := d.Reason(); strings.Contains(r, "\n") {
			t.Fatalf("the reason has lines: %q", r)
		}
	})
}

// Whatever the variables hold, reading them takes memory and time within limits.
func TestManyParts(t *testing.T) {
	vars := fstest.MapFS{}
	for i := range 2 * maxParts {
		vars[fmt.Sprintf("dump-type0-%d-1-1700-D-%s", i+1, vendor)] = variable(fmt.Sprintf("line %d", i+1))
	}
	dumps, err := Read(vars)
	if err != nil || len(dumps) != 1 || strings.Count(dumps[0].Text, "\n") != maxParts {
		t.Errorf("%d dumps, %v", len(dumps), err)
	}
}
