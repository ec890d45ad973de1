package luks

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// LUKS2 On-Disk Format 1.1.2, section 2.
const (
	magic2      = "SKUL\xba\xbe" // of the second copy
	binarySize  = 4096           // of the binary header; the JSON area follows
	minHeader   = 16 << 10
	maxHeader   = 4 << 20
	labelAt     = 24
	algorithmAt = 72
	uuidAt      = 168
	subsystemAt = 208
	offsetAt    = 256
	checksumAt  = 448
)

// copy2 is one copy of a LUKS2 header whose checksum holds.
type copy2 struct {
	raw   []byte
	seqid uint64
}

// read2 finds the newest intact copy of a LUKS2 header and takes it in.
func (h *Header) read2() error {
	first, firstErr := h.readCopy(magic, 0)
	var second copy2
	var secondErr error
	if firstErr == nil {
		second, secondErr = h.readCopy(magic2, int64(len(first.raw)))
	} else {
		// The size that the first copy states cannot be trusted.
		for at := int64(minHeader); at <= maxHeader; at *= 2 {
			if second, secondErr = h.readCopy(magic2, at); secondErr == nil {
				break
			}
		}
	}
	best := first
	switch {
	case firstErr != nil && secondErr != nil:
		return firstErr
	case firstErr != nil:
		h.note("The first copy of the LUKS2 header is unusable (%v); the second one is used.", firstErr)
		best = second
	case secondErr != nil:
		h.note("The second copy of the LUKS2 header is unusable (%v); the first one is used.", secondErr)
	case first.seqid != second.seqid:
		h.note("The copies of the LUKS2 header differ; the newer one is used.")
		if second.seqid > first.seqid {
			best = second
		}
	}
	b := best.raw
	h.Version = 2
	h.UUID = boot.Clean(cString(b[uuidAt:][:40]))
	h.Label = boot.Clean(cString(b[labelAt:][:48]))
	h.Subsystem = boot.Clean(cString(b[subsystemAt:][:48]))
	text, _, _ := bytes.Cut(b[binarySize:], []byte{0})
	root, err := parseJSON(text)
	if err != nil {
		return damaged("its JSON area: %v", err)
	}
	return h.readMetadata(root)
}

// readCopy reads the copy of the header that begins at offset at, and checks it.
func (h *Header) readCopy(magic string, at int64) (copy2, error) {
	b := make([]byte, binarySize)
	if at > h.size-binarySize {
		return copy2{}, ErrNone
	}
	if err := readAt(h.r, h.size, b, at); err != nil {
		return copy2{}, fmt.Errorf("reading its header failed: %w", err)
	}
	if string(b[:6]) != magic {
		return copy2{}, ErrNone
	}
	be := binary.BigEndian
	if v := be.Uint16(b[6:]); v != 2 {
		return copy2{}, damaged("LUKS of version %d", v)
	}
	size := be.Uint64(b[8:])
	if size < minHeader || size > maxHeader || size&(size-1) != 0 {
		return copy2{}, damaged("a header of %d bytes", size)
	}
	if off := be.Uint64(b[offsetAt:]); off != uint64(at) || at != 0 && size != uint64(at) {
		return copy2{}, damaged("it is out of place")
	}
	algorithm := cString(b[algorithmAt:][:32])
	sum := newHash(algorithm)
	if sum == nil {
		return copy2{}, damaged("checksum %q is not known", algorithm)
	}
	if size > uint64(h.size-at) {
		return copy2{}, damaged("it is cut short")
	}
	all := make([]byte, size)
	if err := readAt(h.r, h.size, all, at); err != nil {
		return copy2{}, fmt.Errorf("reading its header failed: %w", err)
	}
	want := bytes.Clone(all[checksumAt:][:64])
	clear(all[checksumAt:][:64])
	digest := sum()
	digest.Write(all)
	if got := digest.Sum(nil); !bytes.Equal(got, want[:len(got)]) {
		return copy2{}, damaged("its checksum is wrong")
	}
	return copy2{raw: all, seqid: be.Uint64(all[16:])}, nil
}

// readMetadata takes in the JSON area: section 3 of the specification.
func (h *Header) readMetadata(root any) error {
	var bad error
	top := newObject(root, "", &bad)
	segments, slots, digests := top.object("segments"), top.object("keyslots"), top.object("digests")
	config := top.object("config")
	tokens := top.optional("tokens")
	if bad != nil {
		return bad
	}
	h.readTokens(tokens)

	id, err := h.readSegment(config, segments)
	if err != nil {
		return err
	}
	names := slots.names()
	if len(names) > maxSlots {
		return damaged("%d key slots", len(names))
	}
	for _, name := range names {
		n, err := strconv.ParseUint(name, 10, 8)
		if err != nil || n >= maxSlots {
			return damaged("a key slot called %q", name)
		}
		d, bound, digestErr := findDigest(digests, name, id)
		if !bound {
			continue // its key is for something else
		}
		s, err := readSlot(slots, name)
		s.id, s.digest = int(n), d
		h.keep(s, cmp.Or(err, digestErr))
	}
	slices.SortFunc(h.slots, func(a, b slot) int {
		if a.priority != b.priority {
			return int(b.priority) - int(a.priority)
		}
		return a.id - b.id
	})
	return h.checkSlots()
}

// readTokens takes in the tokens for a TPM; others are noted.
func (h *Header) readTokens(tokens object) {
	const most = 8
	var kinds []string
	for _, name := range tokens.names() {
		var bad error
		t := tokens.with(&bad).object(name)
		switch kind := t.text("type"); {
		case bad != nil, slices.Contains(kinds, kind):
		case kind != "systemd-tpm2":
			kinds = append(kinds, kind)
		case len(h.Tokens) < most:
			h.Tokens = append(h.Tokens, t.m)
		}
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		h.note("It has a token of type %q, which is not used here: a passphrase is asked for.", kind)
	}
}

// readSegment takes in where the data are and returns the segment's name.
func (h *Header) readSegment(config, segments object) (string, error) {
	var bad error
	requirements := config.with(&bad).optional("requirements").strings("mandatory")
	if bad != nil {
		return "", bad
	}
	if len(requirements) > 0 {
		switch r := requirements[0]; {
		case strings.HasPrefix(r, "online-reencrypt"), strings.HasPrefix(r, "offline-reencrypt"):
			return "", unsupported("a reencryption was begun and not finished; cryptsetup reencrypt --resume-only finishes it")
		case r == "opal":
			return "", unsupported("the drive itself encrypts (OPAL)")
		default:
			return "", unsupported("it requires %q", r)
		}
	}

	var id string
	var s object
	for _, name := range segments.names() {
		o := segments.with(&bad).object(name)
		// Copies for the time of a reencryption.
		backup := slices.ContainsFunc(o.strings("flags"), func(f string) bool { return strings.HasPrefix(f, "backup-") })
		if backup {
			continue
		}
		if id != "" {
			return "", unsupported("its data are in several segments")
		}
		id, s = name, o
	}
	if bad == nil && id == "" {
		bad = damaged("it has no segment with data")
	}
	if bad != nil {
		return "", bad
	}
	switch kind := s.text("type"); {
	case bad != nil:
		return "", bad
	case strings.HasPrefix(kind, "hw-opal"):
		return "", unsupported("the drive itself encrypts (OPAL)")
	case kind != "crypt":
		return "", unsupported("a segment of type %q", kind)
	case s.m["integrity"] != nil:
		return "", unsupported("authenticated encryption (integrity)")
	}
	h.Cipher = s.text("encryption")
	rest := s.m["size"] == "dynamic"
	data := segment{
		offset:     s.number("offset", 0, 1<<62),
		ivOffset:   s.number("iv_tweak", 0, 1<<63),
		sectorSize: s.number("sector_size", 512, 4096),
	}
	if !rest {
		data.length = s.number("size", 0, 1<<62)
	}
	if bad == nil {
		bad = checkCipher(h.Cipher)
	}
	if bad == nil && data.sectorSize&(data.sectorSize-1) != 0 {
		bad = damaged("sectors of %d bytes", data.sectorSize)
	}
	if bad == nil && data.offset == 0 {
		bad = unsupported("this is a detached header; the data are elsewhere")
	}
	if bad != nil {
		return "", bad
	}
	return id, h.setData(data, rest)
}

// findDigest returns the digest of the key that the slot holds, if that is the
// key of the segment; the error is why it cannot be used.
func findDigest(digests object, slot, segment string) (d digest, bound bool, err error) {
	for _, name := range digests.names() {
		var bad error
		o := digests.with(&bad).object(name)
		if !slices.Contains(o.strings("keyslots"), slot) || !slices.Contains(o.strings("segments"), segment) {
			continue
		}
		if kind := o.text("type"); bad == nil && kind != "pbkdf2" {
			return digest{}, true, unsupported("a digest of type %q", kind)
		}
		return digest{
			hash:       o.text("hash"),
			salt:       o.base64("salt", 1, maxSalt),
			iterations: o.number("iterations", 1, 1<<32-1),
			value:      o.base64("digest", 16, 128),
		}, true, bad
	}
	return digest{}, false, nil
}

// readSlot reads a key slot, all but its digest.
func readSlot(slots object, name string) (slot, error) {
	var bad error
	o := slots.with(&bad).object(name)
	if kind := o.text("type"); bad == nil && kind != "luks2" {
		return slot{}, unsupported("a key slot of type %q", kind)
	}
	s := slot{priority: 1, keySize: int(o.number("key_size", 1, maxKey))}
	if o.m["priority"] != nil {
		s.priority = o.number("priority", 0, 2)
	}
	k := o.object("kdf")
	s.kdf = kdf{kind: k.text("type"), salt: k.base64("salt", 1, maxSalt)}
	switch s.kdf.kind {
	case "pbkdf2":
		s.kdf.hash = k.text("hash")
		s.kdf.iterations = k.number("iterations", 1, 1<<32-1)
	case "argon2i", "argon2id":
		s.kdf.iterations = k.number("time", 1, 1<<32-1)
		s.kdf.memory = k.number("memory", 1, 1<<32-1)
		s.kdf.threads = k.number("cpus", 1, 255)
	}
	af := o.object("af")
	if kind := af.text("type"); bad == nil && kind != "luks1" {
		return s, unsupported("a key slot split by %q", kind)
	}
	s.stripes, s.afHash = int(af.number("stripes", 1, maxStripes)), af.text("hash")
	a := o.object("area")
	if kind := a.text("type"); bad == nil && kind != "raw" {
		return s, unsupported("a key slot area of type %q", kind)
	}
	s.area = area{
		offset:  int64(a.number("offset", 0, 1<<62)),
		cipher:  a.text("encryption"),
		keySize: int(a.number("key_size", 1, maxKey)),
	}
	if size := a.number("size", 0, 1<<62); bad == nil && int64(size) < s.areaSize() {
		bad = damaged("its area of %d bytes is too small", size)
	}
	return s, bad
}
