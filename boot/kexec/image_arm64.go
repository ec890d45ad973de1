package kexec

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/kernel/unpack"
)

// layoutFormat is the format of kernels that layOut takes.
const layoutFormat = kernel.Image

// layOut places the Image p, mapped as image, and the initrds on this machine.
func layOut(root fs.FS, p *plan, image []byte, initrds [][]byte) (entry uint64, segs []Segment, err error) {
	header := make([]byte, imageHeader)
	if _, err := p.kernel.reader().ReadAt(header, 0); err != nil {
		return 0, nil, fmt.Errorf("kernel %s: %w", p.kernel.name(), err)
	}
	tree, err := fs.ReadFile(root, "sys/firmware/fdt")
	if err != nil {
		return 0, nil, fmt.Errorf("finding the device tree of this machine: %w", err)
	}
	free := systemRAM(root)
	if len(free) == 0 {
		return 0, nil, fmt.Errorf("finding the free memory of this machine: /proc/iomem shows none")
	}
	return layoutImage(free, tree, header, image, initrds, p.cmdline, random(seedSize))
}

// unpack brings the kernel into the one form that both system calls take.
func (l *Loader) unpack(ctx context.Context, p *plan) error {
	if p.info.Format != kernel.Zboot && p.info.Format != kernel.ImageGz {
		return nil
	}
	f, err := memfile(p.kernel.name())
	if err != nil {
		return err
	}
	p.closers = append(p.closers, func() { f.Close() })
	if err := unpack.Image(l.count(ctx, f, "Unpacking", 0), p.kernel.reader(), p.kernel.size); err != nil {
		return err
	}
	whole, err := wholeFile(f)
	if err != nil {
		return err
	}
	if p.info, err = kernel.Identify(f, whole.size); err != nil {
		return err
	}
	l.progress("Unpacking", whole.size, whole.size)
	p.kernel = whole
	_, err = p.header()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}
