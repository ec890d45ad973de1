package grub_test

import (
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/grub"
)

func TestTrees(t *testing.T) {
	boottest.Run(t, "testdata/*.txtar", boottest.Format(grub.Format()))
}
