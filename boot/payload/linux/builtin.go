package linux

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/initramfs"
)

// builtin is what is built into a kernel.
type builtin struct {
	initramfs []byte // uncompressed: the kernel is compressed as a whole
	cmdline   string
}

// builtinName is the initramfs in the directory of the compiler's products, which
// paths in the configuration start from.
const builtinName = "alpboot.cpio"

func (b *builtin) write(objects string) error {
	return payload.WriteBytes(filepath.Join(objects, builtinName), b.initramfs)
}

// config returns the options that build it in.
func (b *builtin) config() string {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(b.cmdline)
	return fmt.Sprintf("\nCONFIG_INITRAMFS_SOURCE=%q\nCONFIG_INITRAMFS_COMPRESSION_NONE=y\nCONFIG_CMDLINE_BOOL=y\nCONFIG_CMDLINE=\"%s\"\n", builtinName, quoted)
}

// cached returns the name under which a kernel is kept, key being that of its
// configuration, source and compiler.
func (k Build) cached(key string) string {
	name := "vmlinuz-" + k.Arch + "-" + key
	if k.builtin != nil {
		sum := sha256.Sum256(append(append([]byte(k.builtin.cmdline), 0), k.builtin.initramfs...))
		name = fmt.Sprintf("bzImage-%s-%s-%x", k.Arch, key, sum[:8])
	}
	if k.Compress != "" {
		name += "-" + k.Compress
	}
	return name
}

// newBuiltin reads the initramfs that is built in.
func newBuiltin(file, cmdline string) (*builtin, error) {
	b, err := payload.ReadInitramfs(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s: name another with --initramfs, or make it with mkpayload initramfs", file)
	}
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(cmdline, "\n\x00") || len(cmdline) > 2047 {
		return nil, errors.New("the command line must be one line of at most 2047 characters")
	}
	kind, err := kernel.IdentifyInitrd(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	raw := b
	if kind != "cpio" {
		if raw, err = initramfs.Unpack(kind, b); err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", file, err)
		}
	}
	return &builtin{raw, cmdline}, nil
}
