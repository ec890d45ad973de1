package target

import (
	"bytes"
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/target/report"
	"github.com/klauspost/compress/gzip"
	"github.com/u-root/u-root/pkg/cpio"
)

func TestInitramfsHoldsWhatItWasGiven(t *testing.T) {
	im := Image{Init: []byte("program"), Files: map[string]string{"who": "lts", "a/b/c": "deep"}, End: report.Stay, Confirm: "efi", Compression: Gzip}
	b, err := Initramfs(im)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Initramfs(im)
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("the same image yields different bytes (%v)", err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(zr); err != nil {
		t.Fatal(err)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(plain.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range records {
		if parent := r.Name[:max(0, bytes.LastIndexByte([]byte(r.Name), '/'))]; parent != "" && !seen[parent] {
			t.Errorf("%s comes before its directory: the kernel would drop it", r.Name)
		}
		seen[r.Name] = true
	}
	for _, want := range []string{"init", "dev/console", "end", "confirm", "payload/who", "payload/a/b/c"} {
		if !seen[want] {
			t.Errorf("%s is missing; there are %v", want, seen)
		}
	}
}

func TestUnknownCompressionIsRefused(t *testing.T) {
	if _, err := Initramfs(Image{Compression: "lha"}); err == nil {
		t.Error("no error")
	}
}
