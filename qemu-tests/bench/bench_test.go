package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/kernel"
)

func TestSmallestFindsTheLimit(t *testing.T) {
	for _, tt := range []struct{ needs, want int }{
		{needs: 150, want: 152},
		{needs: 192, want: 192},
		{needs: 1, want: 32},
		{needs: 512, want: 512},
		{needs: 4096, want: 0},
	} {
		starts := 0
		got := smallest(func(mib int) bool { starts++; return mib >= tt.needs })
		if got != tt.want {
			t.Errorf("needing %d MiB: got %d, want %d", tt.needs, got, tt.want)
		}
		if starts > 8 {
			t.Errorf("needing %d MiB: %d machines were started", tt.needs, starts)
		}
	}
}

// A stub must still be taken for the kernel that it was made of, or its loading
// would not compare.
func TestStubIsStillAKernel(t *testing.T) {
	image := boottest.BzImage("6.12.1-0-lts")
	image = append(image, make([]byte, 0x400)...) // room for the 64-bit entry
	b := stub(image)
	if in, err := kernel.Identify(bytes.NewReader(b), int64(len(b))); err != nil || in.Version != "6.12.1-0-lts" {
		t.Errorf("identified as %+v, %v", in, err)
	}
	start := kernel.SetupSize(b)
	if len(b) != len(image) || !bytes.Equal(b[:start], image[:start]) {
		t.Error("more than the first instructions was changed")
	}
	const out = "\xee" // of both entries
	if n := bytes.Count(b, []byte(out)) - bytes.Count(image, []byte(out)); n != 2 {
		t.Errorf("%d places write to the port, want 2", n)
	}
}

func TestPeakLine(t *testing.T) {
	f := peakLine.FindStringSubmatch("text\r\npeak: 0.644 s, 14480 KiB at most, -12 KiB kept, 28204 KiB in the process\r\n")
	if len(f) != 5 || f[1] != "0.644" || f[2] != "14480" || f[3] != "-12" || f[4] != "28204" {
		t.Errorf("got %q", f)
	}
}

func TestReadBoots(t *testing.T) {
	const events = `{"Action":"run","Test":"TestA/b"}
{"Action":"output","Test":"TestA/b","Output":"    payload_test.go:137: menu after 3.6 s, target's banner after 10.9 s\n"}
{"Action":"output","Test":"TestA/b","Output":"some other line\n"}
{"Action":"pass","Test":"TestA/b"}
{"Action":"fail","Test":"TestC"}
{"Action":"fail"}
`
	boots, err := readBoots(strings.NewReader(events), io.Discard)
	if want := []Boot{{"TestA/b", 3600, 10900}}; !slices.Equal(boots, want) {
		t.Errorf("got %v, want %v", boots, want)
	}
	if err == nil || err.Error() != "TestC failed" {
		t.Errorf("the error is %v", err)
	}
	if _, err := readBoots(strings.NewReader("no JSON"), io.Discard); err == nil {
		t.Error("no error for what is no JSON")
	}
}
