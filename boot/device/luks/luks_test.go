package luks_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device/luks"
)

// goldens are volumes that cryptsetup 2.6.1 made, cut off behind the first
// sectors of the data and with nothing in the free key slots, with the keys that
// luksDump --dump-volume-key printed.
var goldens = []struct {
	name    string
	size    int // of the image
	used    int // by header and first key slot
	options []string
	key     string
	table   string // with %s for the key
}{
	{
		name:    "luks1",
		size:    1<<20 + 4096,
		used:    72 << 10,
		options: []string{"--type", "luks1", "--cipher", "aes-cbc-essiv:sha256", "--key-size", "128", "--hash", "sha1", "--pbkdf-force-iterations", "1000", "--uuid", "c3a1f2a8-1f64-4f0c-8e0f-0d4b9a0f5a01"},
		key:     "24c14cdd4c3760c33b10203f1cab2682",
		table:   "aes-cbc-essiv:sha256 %s 0 7:0 2048",
	},
	{
		name:    "luks2",
		size:    1<<20 + 8192,
		used:    160 << 10,
		options: []string{"--type", "luks2", "--luks2-keyslots-size", "256k", "--offset", "2048", "--cipher", "aes-xts-plain64", "--key-size", "256", "--sector-size", "4096", "--label", "golden", "--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "64", "--pbkdf-parallel", "2", "--uuid", "c3a1f2a8-1f64-4f0c-8e0f-0d4b9a0f5a02"},
		key:     "52cbfb588d32d7b3f2c9e03072908ae6eac71b70512b90620add1b460248870e",
		table:   "aes-xts-plain64 %s 0 7:0 2048 1 sector_size:4096",
	},
}

// golden returns a copy of one of the volumes in testdata.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := unpacked[name]()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b)
}

var unpacked = map[string]func() ([]byte, error){
	"luks1": sync.OnceValues(func() ([]byte, error) { return unpack("testdata/luks1.gz") }),
	"luks2": sync.OnceValues(func() ([]byte, error) { return unpack("testdata/luks2.gz") }),
}

func unpack(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// TestGolden needs no tools. With -update it has cryptsetup make the volumes
// again; their keys are then other ones.
func TestGolden(t *testing.T) {
	for _, tt := range goldens {
		t.Run(tt.name, func(t *testing.T) {
			if boottest.Update() {
				update(t, tt.name, tt.size, tt.used, tt.options)
			}
			h, k := unlockBytes(t, golden(t, tt.name))
			if got := hex.EncodeToString(k.Bytes()); got != tt.key {
				t.Errorf("key %s, want %s", got, tt.key)
			}
			if _, _, got := k.Table("7:0"); got != fmt.Sprintf(tt.table, tt.key) {
				t.Errorf("table %q, want %q", got, tt.table)
			}
			if want := tt.options[len(tt.options)-1]; h.UUID != want {
				t.Errorf("UUID %q, want %q", h.UUID, want)
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
				for _, v := range []any{k, *k, []*luks.Key{k}} {
					if s := fmt.Sprintf(verb, v); strings.Contains(s, tt.key[:8]) || strings.Contains(s, fmt.Sprint(k.Bytes()[:4])[1:8]) {
						t.Errorf("%s of %T shows the key", verb, v)
					}
				}
			}
			k.Wipe()
			if slices.Max(k.Bytes()) != 0 {
				t.Error("the key is still there after Wipe")
			}
		})
	}
}

func update(t *testing.T, name string, size, used int, options []string) {
	image := format(t, options...)
	key := volumeKey(t, image, passphrase)
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[used:]) // noise in free key slots
	b = b[:size]
	var z bytes.Buffer
	w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression)
	w.Write(b)
	w.Close()
	if err := os.WriteFile("testdata/"+name+".gz", z.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: key %x", name, key)
}

// unlockBytes opens a volume that passphrase must open.
func unlockBytes(t *testing.T, b []byte) (*luks.Header, *luks.Key) {
	t.Helper()
	h, err := luks.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	k, err := h.Unlock(context.Background(), []byte(passphrase), enough)
	if err != nil {
		t.Fatal(err)
	}
	return h, k
}

// metadata is a JSON area as cryptsetup writes it, with the key slots of
// luks2.gz.
func metadata(t testing.TB) string {
	t.Helper()
	text, _, _ := strings.Cut(string(golden(t, "luks2")[4096:16384]), "\x00")
	return text
}

// volume is luks2.gz with another JSON area, and checksums that fit.
func volume(t testing.TB, metadata string) []byte {
	t.Helper()
	const size = 16 << 10
	if len(metadata) > size-4096 {
		t.Skip("too long for the header")
	}
	b := golden(t, "luks2")
	for _, at := range []int{0, size} {
		h := b[at:][:size]
		clear(h[4096:])
		copy(h[4096:], metadata)
		sign(h)
	}
	return b
}

// sign returns one copy of a LUKS2 header its checksum.
func sign(header []byte) {
	clear(header[448:512])
	sum := sha256.Sum256(header)
	copy(header[448:], sum[:])
}

// replace changes the JSON area; each old text must be there.
func replace(t testing.TB, metadata string, oldNew ...string) string {
	t.Helper()
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(metadata, oldNew[i]) {
			t.Fatalf("%s is not in %s", oldNew[i], metadata)
		}
		metadata = strings.ReplaceAll(metadata, oldNew[i], oldNew[i+1])
	}
	return metadata
}

// TestHostile changes the headers.
func TestHostile(t *testing.T) {
	be := binary.BigEndian
	luks1 := func(change func(b []byte)) func(t *testing.T) []byte {
		return func(t *testing.T) []byte {
			b := golden(t, "luks1")
			change(b)
			return b
		}
	}
	luks2 := func(oldNew ...string) func(t *testing.T) []byte {
		return func(t *testing.T) []byte { return volume(t, replace(t, metadata(t), oldNew...)) }
	}
	for _, tt := range []struct {
		name string
		make func(t *testing.T) []byte
		is   error
		want string // in the error
	}{
		{"nothing", func(*testing.T) []byte { return nil }, luks.ErrNone, ""},
		{"zeros", func(*testing.T) []byte { return make([]byte, 1<<20) }, luks.ErrNone, ""},
		{"luks1 alone", luks1(func(b []byte) { clear(b[6:]) }), luks.ErrDamaged, "version 0"},
		{"luks3", luks1(func(b []byte) { b[7] = 3 }), luks.ErrDamaged, "version 3"},
		{"luks1: no key", luks1(func(b []byte) { be.PutUint32(b[108:], 0) }), luks.ErrDamaged, "key of 0 bytes"},
		{"luks1: huge key", luks1(func(b []byte) { be.PutUint32(b[108:], 1<<31) }), luks.ErrDamaged, "key of 2147483648 bytes"},
		{"luks1: key of an odd size", luks1(func(b []byte) { be.PutUint32(b[108:], 17) }), luks.ErrDamaged, "key of 17 bytes"},
		{"luks1: huge stripes", luks1(func(b []byte) { be.PutUint32(b[208+44:], 1<<31) }), luks.ErrDamaged, "stripes"},
		{"luks1: no stripes", luks1(func(b []byte) { be.PutUint32(b[208+44:], 0) }), luks.ErrDamaged, "stripes"},
		{"luks1: slot beyond the end", luks1(func(b []byte) { be.PutUint32(b[208+40:], 1<<31) }), luks.ErrDamaged, "outside the device"},
		{"luks1: many iterations", luks1(func(b []byte) { be.PutUint32(b[208+4:], 1<<31) }), luks.ErrUnsupported, "2147483648 PBKDF2 iterations"},
		{"luks1: many iterations of the digest", luks1(func(b []byte) { be.PutUint32(b[164:], 1<<31) }), luks.ErrUnsupported, "PBKDF2 iterations"},
		{"luks1: odd state of the slot", luks1(func(b []byte) { b[208]++ }), luks.ErrUnsupported, "no key slot is in use"},
		{"luks1: data beyond the end", luks1(func(b []byte) { be.PutUint32(b[104:], 1<<31) }), luks.ErrDamaged, "cut short"},
		{"luks1: a table in the cipher", luks1(func(b []byte) { copy(b[40:], "xts-plain64 00 0 /dev/sda 0\x00") }), luks.ErrDamaged, "cipher"},
		{"luks1: serpent", luks1(func(b []byte) { copy(b[8:], "serpent\x00") }), luks.ErrUnsupported, "serpent"},
		{"luks1: no encryption", luks1(func(b []byte) { copy(b[8:], "cipher_null\x00"); copy(b[40:], "ecb\x00") }), luks.ErrUnsupported, "cipher_null"},
		{"cut off in the header", func(t *testing.T) []byte { return golden(t, "luks2")[:9000] }, luks.ErrDamaged, "cut short"},
		{"cut off in the key slots", func(t *testing.T) []byte { return golden(t, "luks2")[:64<<10] }, luks.ErrDamaged, "cut short"},
		{"huge header", func(t *testing.T) []byte {
			b := golden(t, "luks2")
			for _, at := range []int{0, 16 << 10} {
				be.PutUint64(b[at+8:], 1<<40)
			}
			return b
		}, luks.ErrDamaged, "header of"},
		{"no JSON", func(t *testing.T) []byte { return volume(t, "") }, luks.ErrDamaged, "JSON"},
		{"JSON of another kind", func(t *testing.T) []byte { return volume(t, "[]") }, luks.ErrDamaged, "missing"},
		{"empty JSON", func(t *testing.T) []byte { return volume(t, "{}") }, luks.ErrDamaged, "segments is missing"},
		{"argon2 without a cost", luks2(`"time":4`, `"time":0`), luks.ErrDamaged, "keyslots.0.kdf.time"},
		{"argon2 without threads", luks2(`"cpus":2`, `"cpus":0`), luks.ErrDamaged, "keyslots.0.kdf.cpus"},
		{"argon2 in many threads", luks2(`"cpus":2`, `"cpus":256`), luks.ErrDamaged, "keyslots.0.kdf.cpus"},
		{"argon2 with more memory than there can be", luks2(`"memory":64`, `"memory":4294967295`), luks.ErrUnsupported, "over 4096.0 GiB takes too long"},
		{"argon2 with many passes", luks2(`"time":4`, `"time":4294967295`), luks.ErrUnsupported, "takes too long"},
		{"unknown key derivation", luks2(`"type":"argon2id"`, `"type":"scrypt"`), luks.ErrUnsupported, `key derivation "scrypt"`},
		{"negative number", luks2(`"time":4`, `"time":-4`), luks.ErrDamaged, "time"},
		{"fraction", luks2(`"time":4`, `"time":4.5`), luks.ErrDamaged, "time"},
		{"unknown digest hash", luks2(`"type":"pbkdf2","keyslots":["0"],"segments":["0"],"hash":"sha256"`, `"type":"pbkdf2","keyslots":["0"],"segments":["0"],"hash":"md5"`), luks.ErrUnsupported, `hash "md5"`},
		{"unknown requirement", luks2(`"config":{`, `"config":{"requirements":{"mandatory":["moon-phase"]},`), luks.ErrUnsupported, `"moon-phase"`},
		{"reencryption", luks2(`"config":{`, `"config":{"requirements":{"mandatory":["online-reencrypt-v2"]},`), luks.ErrUnsupported, "reencryption"},
		{"OPAL", luks2(`"type":"crypt"`, `"type":"hw-opal-crypt"`), luks.ErrUnsupported, "OPAL"},
		{"integrity", luks2(`"type":"crypt"`, `"integrity":{"type":"hmac(sha256)"},"type":"crypt"`), luks.ErrUnsupported, "integrity"},
		{"unencrypted segment", luks2(`"type":"crypt"`, `"type":"linear"`), luks.ErrUnsupported, `"linear"`},
		{"two segments", luks2(`"segments":{"0":{`, `"segments":{"1":{"type":"linear"},"0":{`), luks.ErrUnsupported, "several segments"},
		{"no segment", luks2(`"segments":{"0":{`, `"segments":{"0":{"flags":["backup-final"],`), luks.ErrDamaged, "no segment"},
		{"odd sectors", luks2(`"sector_size":4096`, `"sector_size":1000`), luks.ErrDamaged, "sectors of 1000 bytes"},
		{"large sectors", luks2(`"sector_size":4096`, `"sector_size":8192`), luks.ErrDamaged, "sector_size"},
		{"data beyond the end", luks2(`"size":"dynamic"`, `"size":"1099511627776"`), luks.ErrDamaged, "do not fit"},
		{"data of half a sector", luks2(`"size":"dynamic"`, `"size":"512"`), luks.ErrDamaged, "sector"},
		{"data off the sectors", luks2(`"offset":"1048576"`, `"offset":"1048577"`), luks.ErrDamaged, "sector"},
		{"a table in the cipher", luks2(`"encryption":"aes-xts-plain64"`, `"encryption":"aes-xts-plain64 00 0 /dev/sda 0"`), luks.ErrDamaged, "cipher"},
		{"no encryption", luks2(`"encryption":"aes-xts-plain64"`, `"encryption":"cipher_null-ecb"`), luks.ErrUnsupported, "cipher_null"},
		{"many slots", func(t *testing.T) []byte {
			var slots strings.Builder
			for i := range 33 {
				fmt.Fprintf(&slots, `"%d":{},`, 100+i)
			}
			return volume(t, replace(t, metadata(t), `"keyslots":{`, `"keyslots":{`+slots.String()))
		}, luks.ErrDamaged, "34 key slots"},
		{"slot of an odd name", luks2(`"keyslots":{"0"`, `"keyslots":{"x"`), luks.ErrDamaged, `called "x"`},
		{"slot of nothing", luks2(`"keyslots":["0"]`, `"keyslots":["1"]`), luks.ErrUnsupported, "no key slot is in use"},
		{"slot outside", luks2(`"offset":"32768"`, `"offset":"4611686018427387904"`), luks.ErrDamaged, "outside the device"},
		{"slot too small", luks2(`"size":"131072"`, `"size":"4096"`), luks.ErrDamaged, "too small"},
		{"reencryption slot", luks2(`"type":"luks2"`, `"type":"reencrypt"`), luks.ErrUnsupported, `"reencrypt"`},
		{"slots left alone", luks2(`"type":"luks2"`, `"priority":0,"type":"luks2"`), luks.ErrUnsupported, "left alone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.make(t)
			h, err := luks.Open(bytes.NewReader(b), int64(len(b)))
			if err == nil {
				_, err = h.Unlock(context.Background(), []byte(passphrase), enough)
			}
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %v: %s", err, tt.is, tt.want)
			}
		})
	}
}

// TestCipherOfData has a cipher that only the kernel needs to know.
func TestCipherOfData(t *testing.T) {
	text := metadata(t)
	i := strings.Index(text, `"segments"`)
	b := volume(t, text[:i]+replace(t, text[i:], "aes-xts-plain64", "capi:xts(serpent)-plain64", `"iv_tweak":"0"`, `"iv_tweak":"8"`, `"size":"dynamic"`, `"size":"4096"`))
	h, k := unlockBytes(t, b)
	_, length, params := k.Table("/dev/sda2")
	want := fmt.Sprintf("capi:xts(serpent)-plain64 %x 8 /dev/sda2 2048 1 sector_size:4096", k.Bytes())
	if length != 8 || params != want {
		t.Errorf("got %d sectors, %q, want 8, %q", length, params, want)
	}
	if got := h.Needs(); !slices.Equal(got, []string{"CONFIG_DM_CRYPT", "CONFIG_CRYPTO_XTS", "CONFIG_CRYPTO_SERPENT"}) {
		t.Errorf("needs %q", got)
	}
}

// The tokens for a TPM are there to be used, as they stand in the header; others have a
// note.
func TestTokens(t *testing.T) {
	const of = `{"type":"systemd-tpm2","keyslots":["0"],"tpm2-pcrs":[7, 8]}`
	b := volume(t, replace(t, metadata(t), `"tokens":{}`, `"tokens":{"0":{"type":"clevis","keyslots":["0"]},"1":`+of+`}`))
	h, err := luks.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Tokens) != 1 || fmt.Sprint(h.Tokens[0]) != "map[keyslots:[0] tpm2-pcrs:[7 8] type:systemd-tpm2]" {
		t.Errorf("the tokens are %q", h.Tokens)
	}
	if len(h.Notes) != 1 || !strings.Contains(h.Notes[0], `a token of type "clevis", which is not used here`) {
		t.Errorf("the notes are %q", h.Notes)
	}
}

// twoSlots is luks2.gz with a second key slot, 1, of the same contents.
func twoSlots(t testing.TB, oldNew ...string) []byte {
	text := metadata(t)
	start := strings.Index(text, `"keyslots":{"0":`) + len(`"keyslots":{"0":`)
	end := strings.Index(text, `,"tokens"`)
	second := replace(t, text[start:end-1], oldNew...)
	return volume(t, text[:end-1]+`,"1":`+second+"}"+replace(t, text[end:], `"keyslots":["0"]`, `"keyslots":["0","1"]`))
}

func TestMemory(t *testing.T) {
	b := twoSlots(t, `"memory":64`, `"memory":1048576`)
	h, err := luks.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, passphrase string
		memory           int64
		is               []error // nil: it opens
		want             string
	}{
		{"enough for one slot", passphrase, 64 << 10, nil, ""},
		{"enough for one slot, which is another's", "wrong", 64 << 10, []error{luks.ErrPassphrase, luks.ErrMemory}, "key slot 1 needs 1.0 GiB for argon2id, and there are 64 KiB"},
		{"not enough", passphrase, 64<<10 - 1, []error{luks.ErrMemory}, "key slot 0 needs 64 KiB for argon2id"},
		{"none", passphrase, 0, []error{luks.ErrMemory}, "there are 0 KiB"},
		{"less than none", passphrase, -1, []error{luks.ErrMemory}, "there are 0 KiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := h.Unlock(context.Background(), []byte(tt.passphrase), luks.Options{Memory: tt.memory})
			if tt.is == nil && err != nil {
				t.Fatal(err)
			}
			for _, is := range []error{luks.ErrPassphrase, luks.ErrMemory} {
				if errors.Is(err, is) != slices.Contains(tt.is, is) {
					t.Errorf("got %v", err)
				}
			}
			if err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestOneBadSlot tries the slots that are left.
func TestOneBadSlot(t *testing.T) {
	b := twoSlots(t, `"type":"luks2"`, `"type":"luks9","priority":2`)
	h, k := unlockBytes(t, b)
	if k.Slot != 0 {
		t.Errorf("got %v", k)
	}
	if notes := strings.Join(h.Notes, "\n"); !strings.Contains(notes, "Key slot 1") || !strings.Contains(notes, `"luks9"`) {
		t.Errorf("notes %q", notes)
	}
}

func TestCancel(t *testing.T) {
	b := golden(t, "luks1")
	binary.BigEndian.PutUint32(b[208+4:], 100_000_000)
	h, err := luks.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := h.Unlock(ctx, []byte(passphrase), enough); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("it took %v to give up", d)
	}
}

// TestReadErrors has a device that fails.
func TestReadErrors(t *testing.T) {
	b := golden(t, "luks2")
	_, err := luks.Open(failing{bytes.NewReader(b), 0}, int64(len(b)))
	if !errors.Is(err, iotest.ErrTimeout) || errors.Is(err, luks.ErrDamaged) {
		t.Errorf("Open returns %v", err)
	}
	h, err := luks.Open(failing{bytes.NewReader(b), 32 << 10}, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Unlock(context.Background(), []byte(passphrase), enough); !errors.Is(err, iotest.ErrTimeout) || errors.Is(err, luks.ErrPassphrase) {
		t.Errorf("Unlock returns %v", err)
	}
}

// failing fails to read what ends behind an offset.
type failing struct {
	r  *bytes.Reader
	at int64
}

func (f failing) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > f.at {
		return 0, iotest.ErrTimeout
	}
	return f.r.ReadAt(b, off)
}

// patience is a context that is done after it was asked a number of times: as
// good as a short time, and the same in each run.
type patience struct {
	context.Context
	left int
}

func (p *patience) Err() error {
	if p.left--; p.left < 0 {
		return context.Canceled
	}
	return nil
}

// tryAll opens and unlocks what a fuzzer made up, within a short time.
func tryAll(t *testing.T, b []byte) {
	ctx := &patience{context.Background(), 2}
	h, err := luks.Open(bytes.NewReader(b), int64(len(b)))
	if h == nil && err == nil || err != nil && (h != nil) != errors.Is(err, luks.ErrUnsupported) {
		t.Fatalf("Open returns %v, %v", h, err)
	}
	if err != nil {
		return
	}
	h.Needs()
	k, err := h.Unlock(ctx, []byte(passphrase), luks.Options{Memory: 64 << 10, Ignored: true})
	if err != nil {
		return
	}
	start, length, params := k.Table("/dev/sda")
	if n := len(strings.Fields(params)); start != 0 || length == 0 || length*512 > uint64(len(b)) || n != 5 && n != 7 {
		t.Errorf("table %d %d %q", start, length, params)
	}
	k.Wipe()
}

// FuzzHeader takes its input for the start of a device that is otherwise one
// of the goldens, with checksums that fit, and for a device of its own.
func FuzzHeader(f *testing.F) {
	luks1, luks2 := golden(f, "luks1"), golden(f, "luks2")
	f.Add(luks1[:592])
	f.Add(luks2[:512])
	f.Add(luks2[16<<10:][:512])
	f.Fuzz(func(t *testing.T, header []byte) {
		tryAll(t, header)
		if len(header) > 4096 {
			return
		}
		b := bytes.Clone(luks1)
		copy(b, header)
		tryAll(t, b)
		b = bytes.Clone(luks2)
		copy(b, header)
		sign(b[:16<<10])
		tryAll(t, b)
	})
}

// FuzzMetadata fuzzes the JSON area.
func FuzzMetadata(f *testing.F) {
	f.Add(metadata(f))
	f.Add(replace(f, metadata(f), `"config":{`, `"config":{"requirements":{"mandatory":["x"]},`))
	f.Add(`{"keyslots":{},"segments":{},"digests":{},"config":{},"tokens":{}}`)
	f.Fuzz(func(t *testing.T, text string) { tryAll(t, volume(t, text)) })
}
