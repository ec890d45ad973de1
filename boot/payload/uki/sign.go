package uki

import (
	"errors"
	"fmt"
	"strings"

	"github.com/alpboot/alpboot/boot/payload/efi"
)

// sign signs a program with the key and certificate that KEY,CERT names.
func sign(p *efi.Program, identity string) (*efi.Program, error) {
	keyFile, certFile, ok := strings.Cut(identity, ",")
	if !ok || keyFile == "" || certFile == "" {
		return nil, errors.New("--sign takes two files with a comma between them: KEY,CERT")
	}
	key, cert, err := efi.ReadIdentity(keyFile, certFile)
	if err != nil {
		return nil, err
	}
	if p, err = p.Sign(key, cert); err != nil {
		return nil, fmt.Errorf("signing with %s: %w", keyFile, err)
	}
	return p, nil
}
