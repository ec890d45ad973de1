package disk

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// make fills a file with a filesystem that holds the directory tree.
func (fs FS) make(file, tree string) error {
	var args []string
	option := func(name, value string) {
		if value != "" {
			args = append(args, name, value)
		}
	}
	switch fs.Type {
	case "ext4":
		args = append(args, "-q", "-F", "-d", tree)
		option("-L", fs.Label)
		option("-U", fs.UUID)
		args = append(args, fs.Options...)
		return tool("", "mkfs.ext4", append(args, file)...)
	case "btrfs":
		args = append(args, "-q", "-f", "--rootdir", tree)
		option("-L", fs.Label)
		option("-U", fs.UUID)
		args = append(args, fs.Options...)
		return alone(func() error { return tool("", "mkfs.btrfs", append(args, file)...) })
	case "xfs":
		proto, err := protoFile(tree)
		if err != nil {
			return err
		}
		defer os.Remove(proto)
		args = append(args, "-q", "-f", "-p", proto)
		option("-L", fs.Label)
		if fs.UUID != "" {
			args = append(args, "-m", "uuid="+fs.UUID)
		}
		args = append(args, fs.Options...)
		return tool("", "mkfs.xfs", append(args, file)...)
	case "vfat":
		option("-n", fs.Label)
		option("-i", fs.UUID)
		args = append(args, fs.Options...)
		if err := tool("", "mkfs.vfat", append(args, file)...); err != nil {
			return err
		}
		top, err := filepath.Glob(filepath.Join(tree, "*"))
		if err != nil || len(top) == 0 {
			return err
		}
		return tool("", "mcopy", append([]string{"-s", "-i", file}, append(top, "::")...)...)
	case "iso9660":
		args = append(args, "-as", "mkisofs", "-quiet", "-R", "-J")
		option("-V", fs.Label)
		args = append(args, fs.Options...)
		return tool("", "xorriso", append(args, "-o", file, tree)...)
	case "swap":
		option("-L", fs.Label)
		option("-U", fs.UUID)
		return tool("", "mkswap", append(args, file)...)
	case "minix", "exfat", "ntfs":
		if len(fs.Files) > 0 {
			return fmt.Errorf("files cannot be put there")
		}
		return tool("", "mkfs."+fs.Type, append(fs.Options, file)...)
	}
	return fmt.Errorf("it is not known how")
}

// protoFile writes down a directory as mkfs.xfs -p takes it: a line of name,
// type, rights and owners for each file, $ at the end of each directory.
func protoFile(tree string) (string, error) {
	var b strings.Builder
	b.WriteString("/dev/null\n0 0\nd--755 0 0\n")
	var walk func(dir string) error
	walk = func(dir string) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if strings.ContainsAny(name, " \t\n") {
				return fmt.Errorf("mkfs.xfs takes no white space in names: %q", name)
			}
			switch e.Type() {
			case fs.ModeDir:
				fmt.Fprintf(&b, "%s d--755 0 0\n", e.Name())
				if err := walk(name); err != nil {
					return err
				}
			case fs.ModeSymlink:
				target, err := os.Readlink(name)
				if err != nil {
					return err
				}
				fmt.Fprintf(&b, "%s l--777 0 0 %s\n", e.Name(), target)
			default:
				fmt.Fprintf(&b, "%s ---644 0 0 %s\n", e.Name(), name)
			}
		}
		b.WriteString("$\n")
		return nil
	}
	if err := walk(tree); err != nil {
		return "", err
	}
	file := tree + ".proto"
	return file, os.WriteFile(file, []byte(b.String()), 0o644)
}
