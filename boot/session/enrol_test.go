package session

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
	"github.com/alpboot/alpboot/boot/securekeys"
)

// der returns a value in DER.
func der(tag byte, parts ...string) string {
	body := strings.Join(parts, "")
	if len(body) < 0x80 {
		return string([]byte{tag, byte(len(body))}) + body
	}
	return string([]byte{tag, 0x82, byte(len(body) >> 8), byte(len(body))}) + body
}

// certificate returns as much of one as has names.
func certificate(subject string) string {
	name := der(0x30, der(0x31, der(0x30, der(0x06, "\x55\x04\x03"), der(0x0c, subject))))
	return der(0x30, der(0x30, der(0xa0, der(0x02, "\x02")), der(0x02, "\x01"), der(0x30), name, der(0x30), name, der(0x30)))
}

// ownUKI is alpboot's own image, signed by subject; "" for not at all.
func ownUKI(subject string) string {
	b := ukitest.Image(
		ukitest.Section{Name: ".osrel", Data: []byte("ID=alpboot\n")},
		ukitest.Section{Name: ".linux", Data: boottest.BzImage("6.12.1-alpboot")},
		ukitest.Section{Name: ".initrd", Data: []byte("070701")})
	if subject == "" {
		return string(b)
	}
	message := der(0x30, der(0x06, "x"), der(0xa0, der(0x30, der(0x02, "\x01"), der(0x31), der(0x30), der(0xa0, certificate(subject)))))
	le := binary.LittleEndian
	const optional = 0x80 + 24
	le.PutUint32(b[optional+108:], 16)
	le.PutUint32(b[optional+112+4*8:], uint32(len(b)))
	le.PutUint32(b[optional+112+4*8+4:], uint32(8+len(message)))
	b = le.AppendUint32(b, uint32(8+len(message)))
	b = append(b, 0, 2, 2, 0)
	return string(b) + message
}

// updates are files with keys to enrol.
func updates(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, v := range securekeys.Variables() {
		entries := []securekeys.Entry{securekeys.Certificate([]byte(certificate("owner's " + v.Name)))}
		if v.Name == "db" {
			entries = append(entries, securekeys.Certificate([]byte(certificate("Microsoft"))))
		}
		b, err := securekeys.NewUpdate(v, time.Unix(1<<30, 0), securekeys.AppendLists(nil, entries...), func([]byte) ([]byte, error) { return []byte("signature"), nil })
		if err != nil {
			t.Fatal(err)
		}
		files[securekeys.Dir+"/"+v.Name+securekeys.Suffix] = string(b)
	}
	return files
}

// In setup mode the power page enrols what was shown, PK last, and what would lock out the
// menu itself is refused.
func TestEnrol(t *testing.T) {
	written := []string{"sign db", "sign KEK", "sign PK"}
	for _, tt := range []struct {
		name   string
		change func(b *fixture, files map[string]string)
		shows  string // on the page; "" where the power page offers nothing
		wrote  []string
		result string
	}{
		{"by the owner's key", func(*fixture, map[string]string) {},
			"db: owner's db, Microsoft KEK: owner's KEK PK: owner's PK alpboot's own image, /EFI/alpboot/alpboot.efi on /dev/sda9, is signed by owner's db.", written, "The keys are enrolled."},
		{"an image that is not signed", func(_ *fixture, files map[string]string) { files["EFI/alpboot/alpboot.efi"] = ownUKI("") },
			"Alpboot's own image, /EFI/alpboot/alpboot.efi on /dev/sda9, would not start any more: it is not signed; sign it by db.key first", nil, ""},
		{"an image by another key", func(_ *fixture, files map[string]string) { files["EFI/alpboot/alpboot.efi"] = ownUKI("somebody") },
			"would not start any more: it is signed by somebody, which is not among them", nil, ""},
		{"no image", func(_ *fixture, files map[string]string) { delete(files, "EFI/alpboot/alpboot.efi") },
			"it is not known whether it would still start", written, "The keys are enrolled."},
		{"a missing file", func(_ *fixture, files map[string]string) { delete(files, "loader/keys/alpboot/KEK.auth") },
			"/loader/keys/alpboot/KEK.auth on /dev/sda9 is missing: run alpboot keys --esp", nil, ""},
		{"a damaged file", func(_ *fixture, files map[string]string) { files["loader/keys/alpboot/PK.auth"] = "damaged" },
			"/loader/keys/alpboot/PK.auth on /dev/sda9: it is truncated or damaged", nil, ""},
		{"firmware that refuses", func(*fixture, map[string]string) {},
			"db: owner's db", nil, "The keys are not enrolled, and the firmware stays in setup mode: sign db: no room."},
		{"not in setup mode", func(b *fixture, _ map[string]string) { b.vars.Values["SetupMode"] = "\x00" }, "", nil, ""},
		{"no such files", func(_ *fixture, files map[string]string) {
			for name := range updates(t) {
				delete(files, name)
			}
		}, "", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onDisk(t, func(t *testing.T, b *fixture) {
				b.files["proc/sys/kernel/osrelease"] = boottest.File("6.12.1-alpboot\n")
				b.vars.Values["SetupMode"] = "\x01"
				files := updates(t)
				files["EFI/alpboot/alpboot.efi"] = ownUKI("owner's db")
				tt.change(b, files)
				b.addESP(files)
				b.start(byHand)
				b.wait(5 * time.Second)
				b.press("p")
				if tt.shows == "" {
					if text := b.screen.text(); strings.Contains(text, "enrol the keys") {
						t.Errorf("the screen: %s", text)
					}
					return
				}
				b.press("s")
				b.shows(tt.shows)
				if strings.Contains(tt.result, "no room") {
					b.hw.set(func(*target) { b.vars.Fail = errors.New("no room") })
				}
				b.press("e")
				b.wait(2 * time.Second)
				var wrote []string
				for _, what := range b.vars.Log {
					if strings.HasPrefix(what, "sign ") {
						wrote = append(wrote, what)
					}
				}
				if !slices.Equal(wrote, tt.wrote) {
					t.Errorf("it did %q, want %q", wrote, tt.wrote)
				}
				if tt.wrote != nil && b.vars.Values["PK"] != files["loader/keys/alpboot/PK.auth"] {
					t.Errorf("PK is %q", b.vars.Values["PK"])
				}
				b.shows(tt.result)
			})
		})
	}
}
