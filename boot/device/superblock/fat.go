package superblock

import (
	"encoding/binary"
	"math/bits"
)

// A FAT boot sector has no magic number of its own: the names in it are only
// for show, 0x55AA ends a master boot record too, and either begins with code.
// It is recognised by a geometry all of which makes sense (Microsoft,
// "FAT: General Overview of On-Disk Format"; libblkid's superblocks/vfat.c).

// Largest number of clusters.
const (
	fat12Clusters = 0xff4
	fat16Clusters = 0xfff4
	fat32Clusters = 0x0ffffff6
)

// fat is the geometry of a FAT volume, in sectors where nothing else is stated.
type fat struct {
	sectorSize  int64 // bytes
	clusterSize int64
	reserved    int64
	rootEntries int64 // 0 in FAT32
	dataStart   int64
	rootStart   int64 // FAT12 and 16
	rootCluster uint32
	sectors     int64
	serial      []byte
}

func probeFAT(d *disk) (Superblock, error) {
	f, ok := readFAT(d)
	if !ok {
		return Superblock{}, nil
	}
	// The label in the boot sector is not used: nothing keeps it up to
	// date, and neither blkid nor GRUB believes it.
	return Superblock{Type: VFAT, UUID: formatSerial(f.serial), Label: f.label(d)}, nil
}

func readFAT(d *disk) (fat, bool) {
	le := binary.LittleEndian
	s := d.bytes(0, 512)
	if s == nil {
		return fat{}, false
	}
	name16, name32 := string(s[0x36:0x3e]), string(s[0x52:0x5a])
	strong := name32 == "FAT32   " || name32[:5] == "MSWIN" || name16[:5] == "MSDOS" ||
		name16 == "FAT16   " || name16 == "FAT12   " || name16 == "FAT     "
	weak := s[0] == 0xeb || s[0] == 0xe9 || s[510] == 0x55 && s[511] == 0xaa
	if !strong {
		if !weak || s[510] != 0x55 || s[511] != 0xaa {
			return fat{}, false
		}
		// OS/2 puts a boot sector like that of FAT before these.
		if name16 == "JFS     " || name16 == "HPFS    " {
			return fat{}, false
		}
	}
	f := fat{
		sectorSize:  int64(le.Uint16(s[0x0b:])),
		clusterSize: int64(s[0x0d]),
		reserved:    int64(le.Uint16(s[0x0e:])),
		rootEntries: int64(le.Uint16(s[0x11:])),
		sectors:     int64(le.Uint16(s[0x13:])),
	}
	fats, media, fatSize := int64(s[0x10]), s[0x15], int64(le.Uint16(s[0x16:]))
	if f.sectors == 0 {
		f.sectors = int64(le.Uint32(s[0x20:]))
	}
	is32 := fatSize == 0
	if is32 {
		fatSize = int64(le.Uint32(s[0x24:]))
		f.rootEntries = 0
		f.rootCluster = le.Uint32(s[0x2c:])
		f.serial = s[0x43:0x47]
	} else {
		f.serial = s[0x27:0x2b]
	}
	switch {
	case fats == 0, f.reserved == 0, fatSize == 0, f.sectors == 0:
		return fat{}, false
	case media != 0xf0 && media < 0xf8:
		return fat{}, false
	case bits.OnesCount8(s[0x0d]) != 1:
		return fat{}, false
	case f.sectorSize < 512 || f.sectorSize > 4096 || bits.OnesCount16(uint16(f.sectorSize)) != 1:
		return fat{}, false
	}
	f.rootStart = f.reserved + fats*fatSize
	f.dataStart = f.rootStart + (f.rootEntries*32+f.sectorSize-1)/f.sectorSize
	if f.dataStart > f.sectors {
		return fat{}, false
	}
	clusters := (f.sectors - f.dataStart) / f.clusterSize
	limit := int64(fat12Clusters)
	switch {
	case is32:
		limit = fat32Clusters
	case clusters > fat12Clusters:
		limit = fat16Clusters
	}
	return f, clusters <= limit
}

// label returns the label in the root directory.
func (f fat) label(d *disk) string {
	if f.rootCluster == 0 {
		label, _ := fatLabel(d.bytes(f.rootStart*f.sectorSize, f.rootEntries*32))
		return label
	}
	cluster := f.rootCluster
	// As many clusters as blkid follows; the chain may be a loop.
	for range 100 {
		if cluster < 2 || cluster > fat32Clusters {
			break
		}
		at := f.dataStart + int64(cluster-2)*f.clusterSize
		if label, done := fatLabel(d.bytes(at*f.sectorSize, f.clusterSize*f.sectorSize)); done {
			return label
		}
		next := d.bytes(f.reserved*f.sectorSize+int64(cluster)*4, 4)
		if next == nil {
			break
		}
		cluster = binary.LittleEndian.Uint32(next) & 0x0fffffff
	}
	return ""
}

// fatLabel looks for the label among the entries of a root directory, and reports
// whether it or the directory's end was found.
func fatLabel(entries []byte) (label string, done bool) {
	const attrDir, attrVolume, attrLongName, attrMask = 0x10, 0x08, 0x0f, 0x3f
	le := binary.LittleEndian
	for ; len(entries) >= 32; entries = entries[32:] {
		e := entries[:32]
		attr := e[11]
		switch {
		case e[0] == 0:
			return "", true
		case e[0] == 0xe5, attr&attrMask == attrLongName:
		case le.Uint16(e[20:]) != 0 || le.Uint16(e[26:]) != 0: // it has a cluster
		case attr&(attrVolume|attrDir) == attrVolume:
			return text(e[:11]), true
		}
	}
	return "", false
}
