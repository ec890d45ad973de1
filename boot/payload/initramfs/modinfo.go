package initramfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/alpboot/alpboot/boot/module"
)

// modinfo is what a kernel module has in its .modinfo section.
type modinfo struct {
	depends  []string // names of modules
	softdeps []string // values of softdep=: "pre: a b post: c"
	aliases  []string
	vermagic string // its kernel's release, and options
}

// maxModule bounds a decompressed module; the largest of Debian's is 20 MiB.
const maxModule = 256 << 20

// readModule reads a kernel module file, decompressing it by its ending.
func readModule(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := decompress(f, path.Ext(name), maxModule)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// parseModinfo reads the .modinfo section of a decompressed module: strings
// KEY=VALUE, each ended by a zero byte (include/linux/moduleparam.h).
func parseModinfo(image []byte) (modinfo, error) {
	var info modinfo
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return info, fmt.Errorf("is not a kernel module: %w", err)
	}
	s := f.Section(".modinfo")
	if s == nil || s.Type == elf.SHT_NOBITS || s.Size > uint64(len(image)) {
		return info, errors.New("is not a kernel module: it has no .modinfo section")
	}
	data, err := s.Data()
	if err != nil {
		return info, fmt.Errorf("is not a kernel module: reading its .modinfo section: %w", err)
	}
	for field := range strings.SplitSeq(string(data), "\x00") {
		key, value, _ := strings.Cut(field, "=")
		// They go into files of lines: white space would forge a line.
		if strings.ContainsAny(value, "\r\n") {
			continue
		}
		switch key {
		case "depends":
			for d := range strings.SplitSeq(value, ",") {
				if d != "" {
					info.depends = append(info.depends, module.NameOf(d))
				}
			}
		case "softdep":
			info.softdeps = append(info.softdeps, value)
		case "alias":
			info.aliases = append(info.aliases, value)
		case "vermagic":
			info.vermagic = value
		}
	}
	return info, nil
}
