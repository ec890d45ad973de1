package luks_test

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device/luks"
	"github.com/u-root/u-root/pkg/cpio"
)

func TestArchive(t *testing.T) {
	for _, p := range []string{"", "a", "four", passphrase, "a line\n", strings.Repeat("long ", 100)} {
		b := luks.Archive([]byte(p))
		if len(b)%4 != 0 {
			t.Errorf("%q: %d bytes", p, len(b))
		}
		records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(b)))
		if err != nil || len(records) != 1 {
			t.Fatalf("%q: %v, %v", p, records, err)
		}
		r := records[0]
		content, err := io.ReadAll(io.NewSectionReader(r, 0, 1<<20))
		if r.Name != "crypto_keyfile.bin" || r.Mode != 0o100400 || string(content) != p || err != nil {
			t.Errorf("%q: %v holds %q, %v", p, r.Info, content, err)
		}
	}
}

// TestArchiveAgreesWithCpio has cpio list and unpack it.
func TestArchiveAgreesWithCpio(t *testing.T) {
	boottest.NeedTools(t, "cpio")
	run := func(args ...string) string {
		cmd := exec.Command("cpio", args...)
		cmd.Stdin = bytes.NewReader(luks.Archive([]byte(passphrase)))
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", cmd, err)
		}
		return string(out)
	}
	if got := run("--quiet", "-i", "--to-stdout", "crypto_keyfile.bin"); got != passphrase {
		t.Errorf("content %q", got)
	}
	list := strings.Fields(run("--quiet", "-itvn"))
	if len(list) != 9 || list[0] != "-r--------" || list[2] != "0" || list[3] != "0" || list[8] != "crypto_keyfile.bin" {
		t.Errorf("listed as %q", list)
	}
}

func TestForTarget(t *testing.T) {
	vol := boot.Volume{
		Device:    "/dev/sda2",
		UUID:      "c3a1f2a8-1f64-4f0c-8e0f-0d4b9a0f5a02",
		Label:     "crypt",
		PartUUID:  "0ab1c2d3-02",
		PartLabel: "root",
	}
	const key = " cryptkey=/crypto_keyfile.bin"
	for _, tt := range []struct {
		name, cmdline string
		vol           boot.Volume
		want          string // "": as it is, and no
	}{
		{"as setup-disk writes it", "root=UUID=1 cryptroot=UUID=c3a1f2a8-1f64-4f0c-8e0f-0d4b9a0f5a02 cryptdm=root quiet", vol, "root=UUID=1 cryptroot=UUID=c3a1f2a8-1f64-4f0c-8e0f-0d4b9a0f5a02 cryptdm=root quiet" + key},
		{"another volume", "cryptroot=UUID=c3a1f2a8-1f64-4f0c-8e0f-0d4b9a0f5a03 cryptdm=root", vol, ""},
		{"not encrypted", "root=UUID=c3a1f2a8-1f64-4f0c-8e0f-0d4b9a0f5a02", vol, ""},
		{"empty", "", vol, ""},
		{"nothing known of the volume", "cryptroot=UUID= quiet", boot.Volume{}, ""},
		{"no name", "cryptroot= quiet", boot.Volume{}, ""},
		{"link", "cryptroot=/dev/disk/by-uuid/c3a1f2a8-1f64-4f0c-8e0f-0d4b9a0f5a02", vol, "cryptroot=/dev/disk/by-uuid/c3a1f2a8-1f64-4f0c-8e0f-0d4b9a0f5a02" + key},
		{"label", "cryptroot=LABEL=crypt", vol, "cryptroot=LABEL=crypt" + key},
		{"partition", "cryptroot=PARTUUID=0ab1c2d3-02", vol, "cryptroot=PARTUUID=0ab1c2d3-02" + key},
		{"partition's label", "cryptroot=/dev/disk/by-partlabel/root", vol, "cryptroot=/dev/disk/by-partlabel/root" + key},
		{"device", "cryptroot=/dev/sda2", vol, "cryptroot=/dev/sda2" + key},
		{"device without its directory", "cryptroot=sda2", vol, "cryptroot=sda2" + key},
		{"another device", "cryptroot=/dev/sda3", vol, ""},
		{"the last one counts", "cryptroot=/dev/sda3 cryptroot=/dev/sda2", vol, "cryptroot=/dev/sda3 cryptroot=/dev/sda2" + key},
		{"the last one counts, and is another", "cryptroot=/dev/sda2 cryptroot=/dev/sda3", vol, ""},
		{"key of its own", "cryptroot=/dev/sda2 cryptkey", vol, ""},
		{"key file of its own", "cryptroot=/dev/sda2 cryptkey=/boot/key:0:64", vol, ""},
		{"no key wanted", "cryptroot=/dev/sda2 nocryptkey", vol, ""},
		{"header elsewhere", "cryptroot=/dev/sda2 cryptheader=/dev/sdb1", vol, ""},
		{"switched off", "cryptroot=/dev/sda2 nocryptroot", vol, ""},
		{"no quoting", `x="a cryptroot=/dev/sda2 b"`, vol, `x="a cryptroot=/dev/sda2 b"` + key},
	} {
		got, ok := luks.ForTarget(tt.cmdline, tt.vol)
		want := tt.want
		if want == "" {
			want = tt.cmdline
		}
		if got != want || ok != (tt.want != "") {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, ok, want)
		}
	}
}
