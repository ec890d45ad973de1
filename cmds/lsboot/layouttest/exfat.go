package layouttest

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing/fstest"
	"unicode/utf16"
)

// fillExFAT writes files into an empty exFAT that mkfs.exfat has made, since no
// program does that without the kernel's help. Each file and directory is in
// clusters one after the other. Names are ASCII. It follows Microsoft's "exFAT
// file system specification".
func fillExFAT(image string, files fstest.MapFS) error {
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	le := binary.LittleEndian
	boot := make([]byte, 512)
	if _, err := f.ReadAt(boot, 0); err != nil {
		return err
	}
	sector := int64(1) << boot[108]
	x := exfat{File: f, cluster: sector << boot[109], heap: int64(le.Uint32(boot[88:])) * sector}
	root := le.Uint32(boot[96:])
	top := make([]byte, x.cluster)
	if _, err := f.ReadAt(top, x.at(root)); err != nil {
		return err
	}
	end := 0
	for ; top[end] != 0; end += 32 {
		if top[end] == 0x81 { // allocation bitmap
			x.bitmap = make([]byte, le.Uint64(top[end+24:]))
			x.bitmapAt = x.at(le.Uint32(top[end+20:]))
		}
	}
	if _, err := f.ReadAt(x.bitmap, x.bitmapAt); err != nil {
		return fmt.Errorf("reading the allocation bitmap: %w", err)
	}
	entries, err := x.directory(files, ".")
	if err != nil {
		return err
	}
	if end+len(entries) > len(top) {
		return fmt.Errorf("%d bytes of names are too many", len(entries))
	}
	copy(top[end:], entries)
	if _, err := f.WriteAt(top, x.at(root)); err != nil {
		return err
	}
	if _, err := f.WriteAt(x.bitmap, x.bitmapAt); err != nil {
		return err
	}
	return f.Close()
}

type exfat struct {
	*os.File
	cluster, heap, bitmapAt int64
	bitmap                  []byte
}

// at returns where a cluster lies; they count from 2.
func (x exfat) at(cluster uint32) int64 { return x.heap + int64(cluster-2)*x.cluster }

// directory writes what is in a directory, and returns the entries for it.
func (x exfat) directory(files fstest.MapFS, dir string) (entries []byte, err error) {
	list, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		name := path.Join(dir, d.Name())
		const isDirectory, isFile = 0x10, 0x20
		attributes, data := uint16(isFile), []byte(nil)
		if d.IsDir() {
			attributes = isDirectory
			if data, err = x.directory(files, name); err == nil {
				data = append(data, make([]byte, x.cluster-int64(len(data))%x.cluster)...)
			}
		} else {
			data, err = fs.ReadFile(files, name)
		}
		if err != nil {
			return nil, err
		}
		first, err := x.write(data)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entrySet(d.Name(), attributes, first, uint64(len(data)))...)
	}
	return entries, nil
}

// write puts data into free clusters one after the other, and returns the first; 0
// for no data.
func (x exfat) write(data []byte) (first uint32, err error) {
	if len(data) == 0 {
		return 0, nil
	}
	// All are taken in order: what is free begins behind the last one in use.
	last := len(x.bitmap)*8 - 1
	for last >= 0 && x.bitmap[last/8]&(1<<(last%8)) == 0 {
		last--
	}
	n := (len(data) + int(x.cluster) - 1) / int(x.cluster)
	for i := last + 1; i <= last+n; i++ {
		if i/8 >= len(x.bitmap) {
			return 0, fmt.Errorf("the exFAT is full")
		}
		x.bitmap[i/8] |= 1 << (i % 8)
	}
	first = uint32(last+1) + 2
	_, err = x.WriteAt(data, x.at(first))
	return first, err
}

// entrySet returns the directory entries of a file: file, stream extension, names.
func entrySet(name string, attributes uint16, first uint32, size uint64) []byte {
	le := binary.LittleEndian
	units := utf16.Encode([]rune(name))
	names := slices.Collect(slices.Chunk(units, 15))
	b := make([]byte, 32*(2+len(names)))
	b[0], b[1] = 0x85, byte(1+len(names))
	le.PutUint16(b[4:], attributes)
	for _, at := range []int{8, 12, 16} { // 1 January 2026
		le.PutUint32(b[at:], (2026-1980)<<25|1<<21|1<<16)
	}
	stream := b[32:]
	stream[0], stream[1] = 0xc0, 1
	if size > 0 {
		stream[1] |= 2 // no FAT chain
	}
	stream[3] = byte(len(units))
	var upper []byte
	for _, u := range utf16.Encode([]rune(strings.ToUpper(name))) {
		upper = le.AppendUint16(upper, u)
	}
	le.PutUint16(stream[4:], rolling(upper))
	le.PutUint64(stream[8:], size)
	le.PutUint32(stream[20:], first)
	le.PutUint64(stream[24:], size)
	for i, part := range names {
		entry := b[32*(2+i):]
		entry[0] = 0xc1
		for j, u := range part {
			le.PutUint16(entry[2+2*j:], u)
		}
	}
	le.PutUint16(b[2:], rolling(slices.Concat(b[:2], b[4:]))) // without itself
	return b
}

// rolling is the checksum of entries and names.
func rolling(b []byte) (sum uint16) {
	for _, c := range b {
		sum = sum>>1 | sum<<15
		sum += uint16(c)
	}
	return sum
}
