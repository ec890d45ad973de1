package mapper_test

import (
	"bytes"
	"crypto/aes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/mapper"
	"golang.org/x/crypto/xts"
	"golang.org/x/sys/unix"
)

// needDeviceMapper skips a test where the kernel has no device-mapper, as that
// of containers has not. CI runs these in a virtual machine.
func needDeviceMapper(t *testing.T) {
	t.Helper()
	boottest.NeedRoot(t)
	f, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this kernel has no device-mapper: ", err)
	}
	f.Close()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// disk makes a read-only block device of random bytes.
func disk(t *testing.T, sectors int) (path string, content []byte) {
	t.Helper()
	content = make([]byte, sectors*512)
	_, _ = rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%032d", sectors)))).Read(content)
	image := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(image, content, 0o600))
	loop, err := device.Loop(image, 0, 0)
	must(t, err)
	t.Cleanup(func() { loop.Close() })
	return loop.Path, content
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	f, err := device.Open(path)
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size))
	must(t, err)
	return b
}

// TestCreate makes mappings and reads through them.
func TestCreate(t *testing.T) {
	needDeviceMapper(t)
	a, inA := disk(t, 4096)
	b, inB := disk(t, 2048)
	const key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	tests := []struct {
		name  string
		table mapper.Table
		want  []byte
	}{
		{
			name:  "one part",
			table: mapper.Table{mapper.Linear(0, 16, mapper.Area{Path: a, Offset: 8})},
			want:  inA[8*512 : 24*512],
		}, {
			name: "parts of two devices",
			table: mapper.Table{
				mapper.Linear(0, 2048, mapper.Area{Path: b}),
				mapper.Linear(2048, 100, mapper.Area{Path: a, Offset: 3000}),
			},
			want: slices.Concat(inB, inA[3000*512:3100*512]),
		}, {
			name:  "stripes",
			table: mapper.Table{mapper.Striped(0, 64, 16, []mapper.Area{{Path: b, Offset: 8}, {Path: a, Offset: 0}})},
			want:  slices.Concat(inB[8*512:24*512], inA[:16*512], inB[24*512:40*512], inA[16*512:32*512]),
		}, {
			name:  "encrypted",
			table: mapper.Table{{Length: 64, Type: "crypt", Params: "aes-xts-plain64 " + key + " 0 " + a + " 32", Secret: true}},
			want:  decrypt(t, key, inA[32*512:96*512]),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := mapper.Name(t.Name())
			uuid := "ALPBOOT-" + tt.name
			var m mapper.Mapper
			d, err := m.Create(name, uuid, tt.table)
			must(t, err)
			defer d.Close()
			if got := read(t, d.Path); !bytes.Equal(got, tt.want) {
				t.Errorf("%d bytes, want %d others", len(got), len(tt.want))
			}
			if d.Path != "/dev/mapper/"+name {
				t.Errorf("the path is %s", d.Path)
			}
			if is, err := os.ReadFile("/sys/class/block/" + d.Kernel + "/dm/name"); strings.TrimSpace(string(is)) != name {
				t.Errorf("%s is %q, %v", d.Kernel, is, err)
			}
			if ro, err := os.ReadFile("/sys/class/block/" + d.Kernel + "/ro"); string(ro) != "1\n" {
				t.Errorf("read-only: %q, %v", ro, err)
			}
			if f, err := os.OpenFile(d.Path, os.O_WRONLY, 0); err == nil {
				if _, err := f.Write(make([]byte, 512)); err == nil {
					t.Error("it can be written to")
				}
				f.Close()
			}
			if st, err := os.Stat(d.Path); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("its node: %v, %v", st, err)
			}
			if is, ok, err := m.Exists(uuid); is != name || !ok || err != nil {
				t.Errorf("Exists: %q, %v, %v", is, ok, err)
			}
			if _, err := m.Create(name, "other", tt.table); !errors.Is(err, unix.EBUSY) {
				t.Errorf("a second one of its name: %v", err)
			}
			if _, err := m.Create("other", uuid, tt.table); !errors.Is(err, unix.EBUSY) {
				t.Errorf("a second one of its UUID: %v", err)
			}
			must(t, d.Close())
			if _, err := os.Lstat(d.Path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("its node stays: %v", err)
			}
			if _, ok, err := m.Exists(uuid); ok || err != nil {
				t.Errorf("it stays after Close: %v", err)
			}
			if err := d.Close(); err != nil {
				t.Errorf("closed again: %v", err)
			}
		})
	}
}

// decrypt undoes aes-xts-plain64.
func decrypt(t *testing.T, key string, b []byte) []byte {
	t.Helper()
	k, err := hex.DecodeString(key)
	must(t, err)
	c, err := xts.NewCipher(aes.NewCipher, k)
	must(t, err)
	out := make([]byte, len(b))
	for at := 0; at < len(b); at += 512 {
		c.Decrypt(out[at:at+512], b[at:at+512], uint64(at/512))
	}
	return out
}

// TestCloseInUse closes a mapping that somebody reads.
func TestCloseInUse(t *testing.T) {
	needDeviceMapper(t)
	a, content := disk(t, 64)
	var m mapper.Mapper
	d, err := m.Create("in-use", "ALPBOOT-in-use", mapper.Table{mapper.Linear(0, 64, mapper.Area{Path: a})})
	must(t, err)
	f, err := os.Open(d.Path)
	must(t, err)
	must(t, d.Close())
	got, err := io.ReadAll(f)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("the reader got %d bytes, %v", len(got), err)
	}
	f.Close()
	for range 100 { // the kernel removes it in a work queue
		_, ok, err := m.Exists("ALPBOOT-in-use")
		must(t, err)
		if !ok {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("it stays after its last user")
}

// TestStaleNode has something in the way of the node.
func TestStaleNode(t *testing.T) {
	needDeviceMapper(t)
	a, content := disk(t, 64)
	must(t, os.WriteFile("/dev/mapper/stale", nil, 0o600))
	d, err := new(mapper.Mapper).Create("stale", "", mapper.Table{mapper.Linear(0, 64, mapper.Area{Path: a})})
	must(t, err)
	if got := read(t, d.Path); !bytes.Equal(got, content) {
		t.Error("the node leads elsewhere")
	}
	must(t, d.Close())
	if _, err := os.Lstat("/dev/mapper/stale"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its node stays: %v", err)
	}
}

func TestCreateFails(t *testing.T) {
	needDeviceMapper(t)
	a, _ := disk(t, 64)
	tests := []struct {
		name  string
		table mapper.Table
		want  string
	}{
		{"no-such-type", mapper.Table{{Length: 8, Type: "nonesuch", Params: "x"}}, "no mapping of the type nonesuch (driver dm-nonesuch)"},
		{"no-such-device", mapper.Table{mapper.Linear(0, 8, mapper.Area{Path: "/dev/nonesuch"})}, "gone"},
		{"too-small", mapper.Table{mapper.Linear(0, 65, mapper.Area{Path: a})}, "too small"},
		{"no-cipher", mapper.Table{{Length: 8, Type: "crypt", Params: "nonesuch-xts-plain64 0001020304050607 0 " + a + " 0", Secret: true}}, "cipher"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m mapper.Mapper
			_, err := m.Create(tt.name, "ALPBOOT-"+tt.name, tt.table)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.name) || strings.Contains(err.Error(), "0001020304050607") {
				t.Errorf("Create: %v, want %q", err, tt.want)
			}
			if _, ok, err := m.Exists("ALPBOOT-" + tt.name); ok || err != nil {
				t.Errorf("it stays: %v", err)
			}
		})
	}
}
