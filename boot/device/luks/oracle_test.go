package luks_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device/luks"
	"github.com/alpboot/alpboot/boot/device/luks/lukstest"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"golang.org/x/crypto/xts"
)

const passphrase = "größte Pass phrase"

// enough is more memory than the key slots of these tests take.
var enough = luks.Options{Memory: 64 << 20}

// quick has cryptsetup make key slots that open in a moment.
var (
	quickPBKDF2 = []string{"--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"}
	quickArgon  = []string{"--pbkdf-force-iterations", "4", "--pbkdf-memory", "1024", "--pbkdf-parallel", "2"}
)

// file writes a file for cryptsetup to read.
func file(t *testing.T, content string) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// space makes a file full of zeros.
func space(t *testing.T, size int64) string {
	t.Helper()
	name := file(t, "")
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	return name
}

// format makes a LUKS volume that passphrase opens, and returns its file.
func format(t *testing.T, args ...string) string {
	t.Helper()
	image := space(t, 20<<20)
	boottest.Tool(t, "cryptsetup", slices.Concat([]string{"luksFormat", "-q"}, args, []string{image, file(t, passphrase)})...)
	return image
}

// volumeKey returns the volume key as cryptsetup reads it.
func volumeKey(t *testing.T, image, passphrase string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "key")
	boottest.Tool(t, "cryptsetup", "luksDump", "-q", "--dump-volume-key", "--volume-key-file", out, "--key-file", file(t, passphrase), image)
	key, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// open opens the header of an image file.
func open(t *testing.T, image string) (*luks.Header, error) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return luks.Open(f, st.Size())
}

func mustOpen(t *testing.T, image string) *luks.Header {
	t.Helper()
	h, err := open(t, image)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return h
}

// unlock opens an image and checks the key against what cryptsetup says.
func unlock(t *testing.T, image, passphrase string) *luks.Key {
	t.Helper()
	k, err := mustOpen(t, image).Unlock(context.Background(), []byte(passphrase), enough)
	if err != nil {
		t.Fatalf("Unlock: %v", err)
	}
	if want := volumeKey(t, image, passphrase); !bytes.Equal(k.Bytes(), want) {
		t.Fatalf("key %x, cryptsetup says %x", k.Bytes(), want)
	}
	return k
}

// TestUnlockAgreesWithCryptsetup makes volumes in every supported way.
func TestUnlockAgreesWithCryptsetup(t *testing.T) {
	luks1 := []string{"--type", "luks1", "--pbkdf-force-iterations", "1000"}
	luks2 := slices.Concat([]string{"--type", "luks2"}, quickPBKDF2)
	argon := slices.Concat([]string{"--type", "luks2"}, quickArgon)
	for _, tt := range []struct {
		name       string
		kind, args []string
	}{
		{"luks1", luks1, nil},
		{"luks1, AES of 128 bits", luks1, []string{"-c", "aes-xts-plain64", "-s", "256"}},
		{"luks1, XTS with 32 bits of sector number", luks1, []string{"-c", "aes-xts-plain"}},
		{"luks1 as before cryptsetup 1.6", luks1, []string{"-c", "aes-cbc-essiv:sha256", "-s", "256", "--hash", "sha1"}},
		{"luks1, CBC of 128 bits", luks1, []string{"-c", "aes-cbc-essiv:sha256", "-s", "128"}},
		{"luks1, CBC plain64", luks1, []string{"-c", "aes-cbc-plain64", "-s", "192"}},
		{"luks1, sha1", luks1, []string{"--hash", "sha1"}},
		{"luks1, sha224", luks1, []string{"--hash", "sha224"}},
		{"luks1, sha384", luks1, []string{"--hash", "sha384"}},
		{"luks1, sha512", luks1, []string{"--hash", "sha512"}},
		{"luks1, ripemd160", luks1, []string{"--hash", "ripemd160"}},
		{"luks1, blake2b-512", luks1, []string{"--hash", "blake2b-512"}},
		{"luks1, data elsewhere", luks1, []string{"--offset", "16384"}},
		{"luks2", luks2, []string{"--label", "crypt label", "--subsystem", "a subsystem"}},
		{"luks2, argon2id", argon, []string{"--pbkdf", "argon2id"}},
		{"luks2, argon2i", argon, []string{"--pbkdf", "argon2i"}},
		{"luks2, sha512", luks2, []string{"--hash", "sha512"}},
		{"luks2, AES of 128 bits", luks2, []string{"-s", "256"}},
		{"luks2, CBC", luks2, []string{"-c", "aes-cbc-essiv:sha256", "-s", "256"}},
		{"luks2, sectors of 4096 bytes", luks2, []string{"--sector-size", "4096"}},
		{"luks2, sectors of 1024 bytes", luks2, []string{"--sector-size", "1024"}},
		{"luks2, large metadata", luks2, []string{"--luks2-metadata-size", "64k", "--luks2-keyslots-size", "4m"}},
		{"luks2, largest metadata", luks2, []string{"--luks2-metadata-size", "4m", "--luks2-keyslots-size", "4m"}},
		{"luks2, key slots in another cipher", luks2, []string{"-c", "aes-xts-plain64", "--keyslot-cipher", "aes-cbc-plain64", "--keyslot-key-size", "256"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			image := format(t, slices.Concat(tt.kind, tt.args)...)
			k := unlock(t, image, passphrase)
			if k.Slot != 0 || k.IVOffset != 0 || k.Offset == 0 || k.Length != 20<<20/512-k.Offset {
				t.Errorf("slot %d, IV offset %d, %d sectors at %d", k.Slot, k.IVOffset, k.Length, k.Offset)
			}
			h := mustOpen(t, image)
			if _, err := h.Unlock(context.Background(), []byte("wrong"), enough); !errors.Is(err, luks.ErrPassphrase) {
				t.Errorf("a wrong passphrase: %v", err)
			}
			if len(h.Notes) != 0 {
				t.Errorf("notes %q", h.Notes)
			}

			f, err := os.Open(image)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			sb, err := superblock.Probe(f, 20<<20)
			if err != nil || sb.UUID != h.UUID || sb.Label != h.Label || sb.UUID == "" {
				t.Errorf("UUID %q and label %q, superblock says %+v, %v", h.UUID, h.Label, sb, err)
			}
			if i := slices.Index(tt.args, "--subsystem"); i >= 0 && h.Subsystem != tt.args[i+1] {
				t.Errorf("subsystem %q", h.Subsystem)
			}
		})
	}
}

// TestSlots has several key slots, of which some are preferred, left alone or
// removed.
func TestSlots(t *testing.T) {
	t.Parallel()
	boottest.NeedTools(t, "cryptsetup")
	for _, kind := range []string{"luks1", "luks2"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			args := []string{"--type", kind, "--pbkdf-force-iterations", "1000"}
			if kind == "luks2" {
				args = append(args, "--pbkdf", "pbkdf2")
			}
			image := format(t, args...)
			key := file(t, passphrase)
			for slot, p := range map[string]string{"1": "one", "3": "three", "4": passphrase, "6": "six"} {
				boottest.Tool(t, "cryptsetup", slices.Concat([]string{"luksAddKey", "-q", "--key-slot", slot, "--key-file", key}, args[2:], []string{image, file(t, p)})...)
			}
			boottest.Tool(t, "cryptsetup", "luksKillSlot", "-q", "--key-file", key, image, "3")
			if kind == "luks2" {
				boottest.Tool(t, "cryptsetup", slices.Concat([]string{"luksAddKey", "-q", "--unbound", "--key-size", "512", "--key-slot", "5"}, args[2:], []string{image, file(t, "unbound")})...)
				boottest.Tool(t, "cryptsetup", "config", "--priority", "prefer", "--key-slot", "4", image)
				boottest.Tool(t, "cryptsetup", "config", "--priority", "ignore", "--key-slot", "6", image)
			}
			want := map[string]int{passphrase: 0, "one": 1, "three": -1, "unbound": -1, "six": 6}
			if kind == "luks2" {
				want[passphrase] = 4 // both would open: the preferred one is tried first
				want["six"] = -1
			}
			h := mustOpen(t, image)
			for p, slot := range want {
				k, err := h.Unlock(context.Background(), []byte(p), enough)
				switch {
				case slot < 0 && !errors.Is(err, luks.ErrPassphrase):
					t.Errorf("%q: got %v, %v, want no slot to open", p, k, err)
				case slot >= 0 && (err != nil || k.Slot != slot):
					t.Errorf("%q: got %v, %v, want slot %d", p, k, err, slot)
				}
			}
			if k, err := h.Unlock(context.Background(), []byte("six"), luks.Options{Ignored: true}); err != nil || k.Slot != 6 {
				t.Errorf("asked for the slot that is left alone: got %v, %v", k, err)
			}

			boottest.Tool(t, "cryptsetup", "luksErase", "-q", image)
			h, err := open(t, image)
			if !errors.Is(err, luks.ErrUnsupported) || h == nil {
				t.Fatalf("with all slots erased, Open returns %v, %v", h, err)
			}
			if _, again := h.Unlock(context.Background(), []byte(passphrase), enough); again != err {
				t.Errorf("Unlock returns %v after Open returned %v", again, err)
			}
		})
	}
}

// TestCopies damages the copies of a LUKS2 header.
func TestCopies(t *testing.T) {
	t.Parallel()
	image := format(t, slices.Concat([]string{"--type", "luks2", "--label", "old"}, quickPBKDF2)...)
	old, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	boottest.Tool(t, "cryptsetup", "config", "--label", "new", image)
	whole, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	const size = 16 << 10 // of one copy
	for _, tt := range []struct {
		name   string
		damage func(b []byte)
		label  string // "": nothing can be read
		note   string
	}{
		{"none", func([]byte) {}, "new", ""},
		{"first: a byte of the JSON area", func(b []byte) { b[5000]++ }, "new", "The first copy"},
		{"first: label", func(b []byte) { b[30]++ }, "new", "The first copy"},
		{"first: its size", func(b []byte) { b[9]++ }, "new", "The first copy"},
		{"first: overwritten sector", func(b []byte) { clear(b[:512]) }, "new", "The first copy"},
		{"second: a byte of the JSON area", func(b []byte) { b[size+5000]++ }, "new", "The second copy"},
		{"second: overwritten", func(b []byte) { clear(b[size:][:size]) }, "new", "The second copy"},
		{"first older", func(b []byte) { copy(b[:size], old) }, "new", "differ"},
		{"second older", func(b []byte) { copy(b[size:][:size], old[size:]) }, "new", "differ"},
		{"second older, first damaged", func(b []byte) { copy(b[size:][:size], old[size:]); b[5000]++ }, "old", "The first copy"},
		{"both", func(b []byte) { b[5000]++; b[size+5000]++ }, "", ""},
		{"second in place of the first", func(b []byte) { copy(b, b[size:][:size]); clear(b[size:][:size]) }, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := bytes.Clone(whole)
			tt.damage(b)
			h, err := luks.Open(bytes.NewReader(b), int64(len(b)))
			if tt.label == "" {
				if !errors.Is(err, luks.ErrDamaged) && !errors.Is(err, luks.ErrNone) {
					t.Errorf("Open returns %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Label != tt.label {
				t.Errorf("label %q, want %q", h.Label, tt.label)
			}
			if notes := strings.Join(h.Notes, "\n"); (tt.note == "") != (notes == "") || !strings.Contains(notes, tt.note) {
				t.Errorf("notes %q, want %q", notes, tt.note)
			}
			if _, err := h.Unlock(context.Background(), []byte(passphrase), enough); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestUnsupported has volumes as cryptsetup makes them that cannot be opened,
// and one with a token.
func TestUnsupported(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		make func(t *testing.T) string
		want string // in the error
	}{
		{"whirlpool", func(t *testing.T) string {
			return format(t, "--type", "luks1", "--hash", "whirlpool", "--pbkdf-force-iterations", "1000")
		}, `hash "whirlpool"`},
		{"detached luks1", func(t *testing.T) string {
			header := space(t, 16<<20)
			format(t, "--type", "luks1", "--header", header, "--pbkdf-force-iterations", "1000")
			return header
		}, "detached"},
		{"detached luks2", func(t *testing.T) string {
			header := space(t, 16<<20)
			format(t, slices.Concat([]string{"--type", "luks2", "--header", header}, quickPBKDF2)...)
			return header
		}, "detached"},
		{"reencryption that was begun", func(t *testing.T) string {
			image := space(t, 48<<20)
			// cryptsetup makes a file in the directory that it is started in.
			boottest.Tool(t, "env", slices.Concat([]string{"-C", t.TempDir(), "cryptsetup", "reencrypt", "--encrypt", "--init-only", "--disable-locks", "--type", "luks2",
				"--reduce-device-size", "32M", "-q", "--key-file", file(t, passphrase)}, quickPBKDF2, []string{image})...)
			return image
		}, "reencrypt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			boottest.NeedTools(t, "cryptsetup")
			h, err := open(t, tt.make(t))
			if !errors.Is(err, luks.ErrUnsupported) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Open returns %v, want %q in it", err, tt.want)
			}
			if h.UUID == "" {
				t.Error("no UUID beside the error")
			}
		})
	}
	t.Run("token", func(t *testing.T) {
		t.Parallel()
		image := format(t, slices.Concat([]string{"--type", "luks2"}, quickPBKDF2)...)
		boottest.Tool(t, "cryptsetup", "token", "import", "--json-file", file(t, `{"type":"clevis","keyslots":["0"]}`), image)
		unlock(t, image, passphrase)
		if notes := strings.Join(mustOpen(t, image).Notes, "\n"); !strings.Contains(notes, `"clevis"`) {
			t.Errorf("notes %q", notes)
		}
	})
}

// TestData has cryptsetup encrypt data, and decrypts them as dm-crypt does with
// the table that Key.Table returns.
func TestData(t *testing.T) {
	t.Parallel()
	boottest.NeedTools(t, lukstest.Programs)
	plain := make([]byte, 3<<20+4096)
	rand.Read(plain)
	source := file(t, string(plain))
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"luks2", nil},
		{"luks2, argon2id", slices.Concat([]string{"--pbkdf", "argon2id"}, quickArgon)},
		{"luks2, sectors of 4096 bytes", []string{"--sector-size", "4096", "--label", "big sectors"}},
		{"luks2, CBC", []string{"--cipher", "aes-cbc-essiv:sha256", "--key-size", "256"}},
		{"luks1", []string{"--type", "luks1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			image := file(t, "")
			if err := lukstest.Encrypt(image, source, passphrase, tt.args...); err != nil {
				t.Fatal(err)
			}
			h := mustOpen(t, image)
			if want := 2 - strings.Count(strings.Join(tt.args, " "), "luks1"); h.Version != want {
				t.Errorf("LUKS%d", h.Version)
			}
			k := unlock(t, image, passphrase)
			start, length, params := k.Table("/dev/loop0")
			if start != 0 || length != uint64(len(plain)/512) {
				t.Errorf("%d sectors from %d", length, start)
			}
			b, err := os.ReadFile(image)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(dmCrypt(t, params, "/dev/loop0", b, length), plain) {
				t.Errorf("the data decrypted by %q are not the plain ones", params[:20])
			}
		})
	}
}

// dmCrypt decrypts what the crypt target with these parameters would show.
func dmCrypt(t *testing.T, params, device string, disk []byte, length uint64) []byte {
	t.Helper()
	f := strings.Fields(params)
	if len(f) < 5 || f[3] != device {
		t.Fatalf("parameters %q", f)
	}
	number := func(s string) uint64 {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	key, err := hex.DecodeString(f[1])
	if err != nil {
		t.Fatal(err)
	}
	ivOffset, offset, unit := number(f[2]), number(f[4]), uint64(512)
	if len(f) > 5 {
		size, found := strings.CutPrefix(strings.Join(f[5:], " "), "1 sector_size:")
		if !found {
			t.Fatalf("options %q", f[5:])
		}
		unit = number(size)
	}
	data := bytes.Clone(disk[offset*512:][:length*512])
	for i := uint64(0); i < uint64(len(data)); i += unit {
		sector, iv := data[i:][:unit], ivOffset+i/512
		switch f[0] {
		case "aes-xts-plain64":
			c, err := xts.NewCipher(aes.NewCipher, key)
			if err != nil {
				t.Fatal(err)
			}
			c.Decrypt(sector, sector, iv)
		case "aes-cbc-essiv:sha256":
			sum := sha256.Sum256(key)
			essiv, err1 := aes.NewCipher(sum[:])
			c, err2 := aes.NewCipher(key)
			if err := cmp.Or(err1, err2); err != nil {
				t.Fatal(err)
			}
			var v [16]byte
			binary.LittleEndian.PutUint64(v[:], iv)
			essiv.Encrypt(v[:], v[:])
			cipher.NewCBCDecrypter(c, v[:]).CryptBlocks(sector, sector)
		default:
			t.Fatalf("cipher %q", f[0])
		}
	}
	return data
}

// BenchmarkDefault opens a volume as cryptsetup makes it without any options:
// with Argon2id, for two seconds of this machine and up to 1 GiB.
func BenchmarkDefault(b *testing.B) {
	boottest.NeedTools(b, "cryptsetup")
	dir := b.TempDir()
	image, key := filepath.Join(dir, "image"), filepath.Join(dir, "key")
	for name, size := range map[string]int64{image: 20 << 20, key: 0} {
		if err := os.WriteFile(name, []byte(passphrase), 0o600); err != nil {
			b.Fatal(err)
		}
		if size > 0 {
			if err := os.Truncate(name, size); err != nil {
				b.Fatal(err)
			}
		}
	}
	boottest.Tool(b, "cryptsetup", "luksFormat", "-q", image, key)
	f, err := os.Open(image)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for b.Loop() {
		h, err := luks.Open(f, 20<<20)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := h.Unlock(context.Background(), []byte(passphrase), luks.Options{Memory: 2 << 30}); err != nil {
			b.Fatal(err)
		}
	}
}
