package limine_test

import (
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/limine"
)

func TestTrees(t *testing.T) {
	boottest.Run(t, "testdata/*.txtar", boottest.Format(limine.Format()))
}
