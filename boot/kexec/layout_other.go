//go:build !amd64 && !arm64

package kexec

import (
	"context"
	"errors"
	"io/fs"
)

// layoutFormat is the format of kernels that layOut takes: none.
const layoutFormat = ""

func layOut(fs.FS, *plan, []byte, [][]byte) (entry uint64, segs []Segment, err error) {
	return 0, nil, errors.New("kexec_load is not written for this processor: a kernel with CONFIG_KEXEC_FILE is needed")
}

func (l *Loader) unpack(context.Context, *plan) error { return nil }
