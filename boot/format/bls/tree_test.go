package bls_test

import (
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/bls"
)

func TestTrees(t *testing.T) {
	boottest.Run(t, "testdata/*.txtar", boottest.Format(bls.Format()))
}
