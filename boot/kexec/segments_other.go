//go:build !amd64

package kexec

import (
	"errors"
	"os"

	"github.com/alpboot/alpboot/boot/kernel"
)

func segments(kernelFile *os.File, info kernel.Info, initrd *os.File, cmdline string) (entry uint64, s []Segment, done func(), err error) {
	return 0, nil, nil, errors.New("kexec_load is not written for this processor: a kernel with CONFIG_KEXEC_FILE is needed")
}
