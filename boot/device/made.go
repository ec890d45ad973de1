package device

import (
	"errors"
	"io/fs"
)

// Filesystem is a mounted filesystem. Close unmounts it.
type Filesystem interface {
	fs.FS
	Close() error
}

// Made is a read-only device that was made of others.
type Made struct {
	Node  string // its device node
	Name  string // what a user calls it: /dev/sdb1:/boot/alpine.iso; "" for Node
	Size  int64  // bytes
	Close func() error
}

// ErrInUse is the error for a member of a set of volumes that the kernel has
// assembled already.
var ErrInUse = errors.New("it is in use")
