package superblock

import (
	"encoding/binary"
	"hash/crc32"
)

// foreign is a filesystem or container that alpboot does not read, by what it is
// recognised. It is there to be named.
type foreign struct {
	typ, name   string // as blkid's TYPE, and as a person calls it
	at          int64  // of the superblock
	offset      int64  // of the magic in it
	magic       string
	uuid, label int64 // in the superblock; 0 where there is none that is easy to read
	labelLen    int64
	owns        bool // it owns its device whatever else shows through
}

// foreigns lists them. Offsets and magic numbers are those of the headers of
// Linux (include/uapi/linux/magic.h, fs/*/), of OpenZFS, and of util-linux'
// libblkid/src/superblocks for what has no driver in Linux.
func foreigns() []foreign {
	const kib, mib = 1 << 10, 1 << 20
	return []foreign{
		// BitLocker: the boot sector of Windows Vista, then 7 and later; on sticks
		// it looks like FAT, and only an identifier differs.
		{typ: "BitLocker", name: "a volume encrypted by BitLocker", magic: "\xeb\x52\x90-FVE-FS-", owns: true},
		{typ: "BitLocker", name: "a volume encrypted by BitLocker", magic: "\xeb\x58\x90-FVE-FS-", owns: true},
		{typ: "BitLocker", name: "a volume encrypted by BitLocker", offset: 0x1a8, magic: "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01", owns: true},

		{typ: "bcachefs", name: "bcachefs", at: 4 * kib, offset: 24, magic: "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", uuid: 56, label: 72, labelLen: 32},
		{typ: "bcachefs", name: "bcachefs", at: 4 * kib, offset: 24, magic: "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", uuid: 56, label: 72, labelLen: 32},
		{typ: "jfs", name: "JFS", at: 32 * kib, magic: "JFS1", uuid: 136, label: 152, labelLen: 16},
		{typ: "reiserfs", name: "ReiserFS", at: 64 * kib, offset: 52, magic: "ReIsErFs"},
		{typ: "reiserfs", name: "ReiserFS", at: 8 * kib, offset: 52, magic: "ReIsErFs"},
		{typ: "reiserfs", name: "ReiserFS", at: 64 * kib, offset: 52, magic: "ReIsEr2Fs", uuid: 84, label: 100, labelLen: 16},
		{typ: "reiserfs", name: "ReiserFS", at: 64 * kib, offset: 52, magic: "ReIsEr3Fs", uuid: 84, label: 100, labelLen: 16},
		{typ: "reiser4", name: "Reiser4", at: 64 * kib, magic: "ReIsEr4", uuid: 20, label: 36, labelLen: 16},
		{typ: "apfs", name: "APFS, the filesystem of macOS", offset: 32, magic: "NXSB", uuid: 72},
		{typ: "ReFS", name: "ReFS, a filesystem of Windows", magic: "\x00\x00\x00ReFS\x00"},
		{typ: "VMFS_volume_member", name: "a part of a VMFS, the filesystem of VMware", at: mib, magic: "\x0d\xd0\x01\xc0"},
		{typ: "VMFS", name: "VMFS, the filesystem of VMware", at: 2 * mib, magic: "\x5e\xf1\xab\x2f"},
		{typ: "udf", name: "UDF", at: 32 * kib, offset: 1, magic: "BEA01"},
		{typ: "gfs2", name: "GFS2", at: 64 * kib, magic: "\x01\x16\x19\x70"},
		{typ: "cramfs", name: "cramfs", magic: "\x45\x3d\xcd\x28", label: 48, labelLen: 16},
		{typ: "ufs", name: "UFS, the filesystem of the BSDs", at: 8 * kib, offset: 0x55c, magic: "\x54\x19\x01\x00"},
		{typ: "ufs", name: "UFS, the filesystem of the BSDs", at: 64 * kib, offset: 0x55c, magic: "\x19\x01\x54\x19"},
		{typ: "stratis", name: "a part of a Stratis pool", at: 512, offset: 4, magic: "!Stra0tis\x86\xff\x02^\x41rh"},
		{typ: "vdo", name: "a VDO volume", magic: "dmvdo001"},
		{typ: "DM_integrity", name: "a dm-integrity volume", magic: "integrt\x00"},
		{typ: "DM_verity_hash", name: "the hashes of a dm-verity volume", magic: "verity\x00\x00"},
		{typ: "ceph_bluestore", name: "a part of a Ceph cluster", magic: "bluestore block device"},
	}
}

// Name returns what a person calls a type: BitLocker for one of blkid's words, the
// type itself where that is it.
func Name(typ string) string {
	switch typ {
	case NTFS:
		return "NTFS, the filesystem of Windows"
	case "hfsplus":
		return "HFS+, the filesystem of older Macs"
	}
	for _, f := range foreigns() {
		if f.typ == typ {
			return f.name
		}
	}
	return typ
}

// probeOwners recognises what owns its device as a whole.
func probeOwners(d *disk) (Superblock, error) { return probeForeign(d, true) }

func probeOthers(d *disk) (Superblock, error) {
	for _, probe := range []prober{probeHFSPlus, probeNILFS2} {
		if sb, err := probe(d); sb.Type != "" {
			return sb, err
		}
	}
	return probeForeign(d, false)
}

func probeForeign(d *disk, owners bool) (Superblock, error) {
	for _, f := range foreigns() {
		if f.owns != owners || !d.has(f.at+f.offset, f.magic) {
			continue
		}
		sb := Superblock{Type: f.typ}
		if f.uuid > 0 {
			if b := d.bytes(f.at+f.uuid, 16); b != nil && !isZero(b) {
				sb.UUID = formatUUID(b)
			}
		}
		if f.label > 0 {
			sb.Label = text(d.bytes(f.at+f.label, f.labelLen))
		}
		return sb, nil
	}
	return Superblock{}, nil
}

// probeHFSPlus follows struct hfsplus_vh in fs/hfsplus/hfsplus_raw.h. Its magic is
// short, so that the version belongs to it.
func probeHFSPlus(d *disk) (Superblock, error) {
	if d.has(1024, "H+\x00\x04") || d.has(1024, "HX\x00\x05") {
		return Superblock{Type: "hfsplus"}, nil
	}
	return Superblock{}, nil
}

// probeNILFS2 follows struct nilfs_super_block in include/uapi/linux/nilfs2_ondisk.h.
func probeNILFS2(d *disk) (Superblock, error) {
	le := binary.LittleEndian
	s := d.bytes(1024, 1024)
	if s == nil || le.Uint16(s[6:]) != 0x3434 {
		return Superblock{}, nil
	}
	size := int(le.Uint16(s[8:]))
	if size < 20 || size > len(s) {
		return Superblock{}, nil
	}
	sum := ^le.Uint32(s[12:])
	for _, b := range [][]byte{s[:16], make([]byte, 4), s[20:size]} {
		sum = crc32.Update(sum, crc32.IEEETable, b)
	}
	if ^sum != le.Uint32(s[16:]) {
		return Superblock{}, nil // two bytes do not prove it
	}
	return Superblock{Type: "nilfs2", UUID: formatUUID(s[152:168]), Label: text(s[168:248])}, nil
}
