package unpack

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/alpboot/alpboot/boot/boottest"
)

// rawImage makes an arm64 Image of size bytes with a banner at an offset.
func rawImage(size, at int, text string) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0x40; i < size; i++ {
		b[i] = "etaoin shrdlu"[r.IntN(13)]
	}
	binary.LittleEndian.PutUint64(b[16:], uint64(size))
	copy(b[0x38:], "ARM\x64")
	copy(b[at:], text)
	return b
}

// zboot wraps a payload as Makefile.zboot of the kernel does, for arm64. Size is
// the number that follows it; gzip has it inside.
func zboot(method string, payload []byte, size int) []byte {
	const head = 0x200
	b := make([]byte, head, head+len(payload)+512)
	le := binary.LittleEndian
	copy(b, "MZ\x00\x00zimg")
	le.PutUint32(b[8:], head)
	le.PutUint32(b[12:], uint32(len(payload)))
	copy(b[24:], method)
	le.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	le.PutUint16(b[0x44:], 0xaa64)
	b = append(b, payload...)
	if method != "gzip" {
		b = le.AppendUint32(b, uint32(size))
	}
	return append(b, make([]byte, 300)...)
}

func pack(t testing.TB, method string, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	var err error
	switch method {
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "zstd":
		w, err = zstd.NewWriter(&buf)
	case "lzma":
		w, err = lzma.NewWriter(&buf)
	case "xz":
		w, err = xz.WriterConfig{CheckSum: xz.CRC32}.NewWriter(&buf)
	default:
		return b
	}
	if err == nil {
		if _, err = w.Write(b); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

const release = "6.12.117-0-virt"

func TestImage(t *testing.T) {
	raw := rawImage(300_000, 200_000, "Linux version "+release+" (build@alpine) #1")
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 0x55
		return b
	}
	gz, xzed := pack(t, "gzip", raw), pack(t, "xz", raw)
	filtered := bytes.Clone(xzed)
	filtered[12+2] = 0x0a // the filter for ARM64
	tests := []struct {
		name string
		file []byte
		err  string // what the error contains; "" when raw comes out
	}{
		{name: "raw", file: raw},
		{name: "Image.gz", file: gz},
		{name: "gzip", file: zboot("gzip", gz, 0)},
		{name: "zstd", file: zboot("zstd", pack(t, "zstd", raw), len(raw))},
		{name: "lzma", file: zboot("lzma", pack(t, "lzma", raw), len(raw))},
		{name: "xz", file: zboot("xz", xzed, len(raw))},
		{name: "lz4", file: zboot("lz4", raw, len(raw)), err: "lz4, and alpboot unpacks gzip"},
		{name: "no method", file: zboot("\x01", raw, len(raw)), err: "no compression"},
		{name: "check sum of gzip", file: flip(gz, len(gz)-6), err: "checksum"},
		{name: "check sum of zboot's gzip", file: zboot("gzip", flip(gz, len(gz)-6), 0), err: "checksum"},
		{name: "damaged xz", file: zboot("xz", flip(xzed, len(xzed)/2), len(raw)), err: "unpacking"},
		{name: "xz with a filter", file: zboot("xz", filtered, len(raw)), err: "filter"},
		{name: "another size", file: zboot("lzma", pack(t, "lzma", raw), len(raw)+1), err: "damaged"},
		{name: "cut", file: zboot("gzip", gz, 0)[:4000], err: "truncated"},
		{name: "cut Image.gz", file: gz[:len(gz)/2], err: "unexpected EOF"},
		{name: "no kernel", file: []byte("hello"), err: "not a kernel"},
		{name: "absurd size", file: zboot("zstd", pack(t, "zstd", raw), 1<<31), err: "256 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			err := Image(&out, bytes.NewReader(tt.file), int64(len(tt.file)))
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if err != nil {
				return
			}
			if !bytes.Equal(out.Bytes(), raw) {
				t.Errorf("%d bytes came out, not the %d that went in", out.Len(), len(raw))
			}
			got, err := Version(bytes.NewReader(tt.file), int64(len(tt.file)), 1<<20)
			if got != release || err != nil {
				t.Errorf("version %q, %v", got, err)
			}
			if got, err := Version(bytes.NewReader(tt.file), int64(len(tt.file)), 100_000); got != "" || err != nil {
				t.Errorf("version beyond the limit: %q, %v", got, err)
			}
		})
	}
}

func TestImageStopsAtItsLimit(t *testing.T) {
	raw := rawImage(300_000, 1000, "")
	file := pack(t, "gzip", raw)
	for _, limit := range []int64{100_000, 299_999, 300_000} {
		n := counting(0)
		err := image(&n, bytes.NewReader(file), int64(len(file)), limit)
		if tooLarge := limit < int64(len(raw)); errors.Is(err, ErrTooLarge) != tooLarge || !tooLarge && err != nil || int64(n) > limit+1 {
			t.Errorf("limit %d: %d bytes and %v", limit, n, err)
		}
	}
}

// The writer's error comes through at once: that is how unpacking is cancelled.
func TestImageStopsWithItsWriter(t *testing.T) {
	file := pack(t, "gzip", rawImage(1<<20, 1000, ""))
	full := errors.New("full")
	if err := Image(failing{full}, bytes.NewReader(file), int64(len(file))); !errors.Is(err, full) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestVersion(t *testing.T) {
	const size = 300_000
	tests := []struct {
		name string
		at   int
		text string
		want string
	}{
		{name: "at the beginning", at: 0x40, text: "Linux version 6.1.0 (", want: "6.1.0"},
		{name: "across two blocks", at: 64<<10 + 128 - 20, text: "Linux version 6.1.0-r1 (", want: "6.1.0-r1"},
		{name: "across two later blocks", at: 128<<10 + 128 - 3, text: "Linux version 6.1.0-r1 (", want: "6.1.0-r1"},
		{name: "a format string before it", at: 1000, text: "Linux version %s (%s)\x00Linux version 6.1.0-r2 (", want: "6.1.0-r2"},
		{name: "none", at: 1000},
		{name: "control characters", at: 1000, text: "Linux version 6\x1b[2J ("},
		{name: "at the end", at: size - 16, text: "Linux version 6."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := rawImage(size, tt.at, tt.text)
			if got, err := Version(bytes.NewReader(b), size, size); got != tt.want || err != nil {
				t.Errorf("got %q and %v, want %q", got, err, tt.want)
			}
		})
	}
}

// What the programs make that the kernel's build calls is unpacked.
func TestImageOracle(t *testing.T) {
	boottest.NeedTools(t, "gzip", "xz", "zstd")
	raw := rawImage(400_000, 300_000, "Linux version "+release+" (")
	for _, tt := range []struct {
		method string
		args   []string // scripts/Makefile.lib
	}{
		{"gzip", []string{"gzip", "-n", "-f", "-9", "-c"}},
		{"zstd", []string{"zstd", "-q", "-22", "--ultra", "-c"}},
		{"lzma", []string{"xz", "--format=lzma", "-9", "-c"}},
		{"xz", []string{"xz", "--check=crc32", "--lzma2=,dict=128MiB", "-c"}},
	} {
		t.Run(tt.method, func(t *testing.T) {
			cmd := exec.Command(tt.args[0], tt.args[1:]...)
			cmd.Stdin, cmd.Stderr = bytes.NewReader(raw), os.Stderr
			packed, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			file := zboot(tt.method, packed, len(raw))
			var out bytes.Buffer
			if err := Image(&out, bytes.NewReader(file), int64(len(file))); err != nil || !bytes.Equal(out.Bytes(), raw) {
				t.Errorf("%d bytes, %v", out.Len(), err)
			}
		})
	}
}

func FuzzImage(f *testing.F) {
	raw := rawImage(5000, 3000, "Linux version "+release+" (")
	f.Add(raw)
	f.Add(pack(f, "gzip", raw))
	for _, m := range []string{"gzip", "zstd", "lzma", "xz", "lz4"} {
		f.Add(zboot(m, pack(f, m, raw), len(raw)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n := counting(0)
		if err := Image(&n, bytes.NewReader(b), int64(len(b))); err == nil && n > Limit {
			t.Errorf("%d bytes", n)
		}
		v, _ := Version(bytes.NewReader(b), int64(len(b)), 1<<20)
		if strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("version %q", v)
		}
	})
}

type counting int64

func (c *counting) Write(b []byte) (int, error) { *c += counting(len(b)); return len(b), nil }

// The cost of a version: BenchmarkVersion with ALPBOOT_ARM64_KERNEL set to a real
// kernel has it for that one.
func BenchmarkVersion(b *testing.B) {
	raw := rawImage(16<<20, 15<<20, "Linux version "+release+" (")
	if file := os.Getenv("ALPBOOT_ARM64_KERNEL"); file != "" {
		var err error
		if raw, err = os.ReadFile(file); err != nil {
			b.Fatal(err)
		}
	}
	for _, m := range []string{"", "gzip", "zstd", "xz"} {
		file := raw
		if m != "" {
			file = zboot(m, pack(b, m, raw), len(raw))
		}
		b.Run(m, func(b *testing.B) {
			for b.Loop() {
				if v, err := Version(bytes.NewReader(file), int64(len(file)), 64<<20); v == "" || err != nil {
					b.Fatal(v, err)
				}
			}
		})
	}
}
