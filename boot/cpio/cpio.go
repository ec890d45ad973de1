// Package cpio makes small initrds: uncompressed archives in newc format
// (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).
package cpio

import "fmt"

// File is a file of an archive. One whose name ends in a slash is a directory, which
// has to come before what is in it.
type File struct {
	Name string // without a slash at the beginning
	Mode int    // permissions
	Data []byte
}

// Archive returns an archive of files. Its length is a multiple of 4, as that of an
// initrd has to be which another one follows.
func Archive(files ...File) []byte {
	const header, trailer = 110, "TRAILER!!!"
	size := 0
	for _, f := range append(files, File{Name: trailer}) {
		size += header + len(f.Name) + 1 + 3 + len(f.Data) + 3
	}
	b := make([]byte, 0, size) // at once: a secret is not left behind in a smaller one
	pad := func() { b = append(b, make([]byte, -len(b)&3)...) }
	add := func(name string, mode int, data []byte) {
		const links = 1
		b = fmt.Appendf(b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
			0, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
		pad()
		b = append(b, data...)
		pad()
	}
	for _, f := range files {
		const directory, regular = 0o040000, 0o100000
		if n := len(f.Name) - 1; n >= 0 && f.Name[n] == '/' {
			add(f.Name[:n], directory|f.Mode, nil)
		} else {
			add(f.Name, regular|f.Mode, f.Data)
		}
	}
	add(trailer, 0, nil)
	return b
}
