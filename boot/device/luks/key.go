package luks

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Key is an unlocked volume: its key, and where and how the data are stored. It prints
// as the number of its key slot only.
type Key struct {
	Slot       int    // that the passphrase unlocked
	Cipher     string // of the data, in the words of dm-crypt
	IVOffset   uint64 // what is added to the number of a sector before it becomes an IV
	Offset     uint64 // of the data on the device, in sectors of 512 bytes
	Length     uint64 // of the data, in sectors of 512 bytes
	SectorSize int    // bytes that are encrypted at once: 512 to 4096

	key []byte
}

// Table returns the one line of the device-mapper table that maps the plain data
// of the device, a path or major:minor without white space: start and length
// in sectors, and the parameters of the target crypt as
// Documentation/admin-guide/device-mapper/dm-crypt.rst defines them. They hold
// the key in plain text, so the ioctl must have DM_SECURE_DATA_FLAG; a Go
// string cannot be wiped and stays in memory until the kernel is left.
//
// Discards are not passed through: the mapping is meant to be read-only, which
// is for the caller to ask for (DM_READONLY_FLAG).
func (k *Key) Table(device string) (start, length uint64, params string) {
	params = fmt.Sprintf("%s %s %d %s %d", k.Cipher, hex.EncodeToString(k.key), k.IVOffset, device, k.Offset)
	if k.SectorSize != sectorSize {
		params += fmt.Sprintf(" 1 sector_size:%d", k.SectorSize)
	}
	return 0, k.Length, params
}

// Wipe overwrites the key, which is of no use afterwards.
func (k *Key) Wipe() { clear(k.key) }

// Format prints the key slot and nothing secret, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "LUKS key of slot %d", k.Slot) }

// Needs names the options that a kernel must be built with, or have as modules,
// to decrypt the data, as far as the name of the cipher shows: what to report when
// device-mapper answers ENOENT or EINVAL to the table.
func (h *Header) Needs() []string {
	needs := []string{"CONFIG_DM_CRYPT"}
	words := strings.FieldsFunc(strings.ToUpper(h.Cipher), func(r rune) bool { return strings.ContainsRune("-:,()", r) })
	for _, word := range words {
		switch word {
		case "CAPI", "PLAIN", "PLAIN64", "PLAIN64BE", "BENBI", "NULL", "LMK", "TCW", "EBOIV", "ELEPHANT", "RANDOM": // dm-crypt's own
		default:
			if option := "CONFIG_CRYPTO_" + word; !slices.Contains(needs, option) {
				needs = append(needs, option)
			}
		}
	}
	return needs
}
