//go:build !alpboot_minimal

package signature

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Sizes of RSA keys, in bits: shorter ones can be broken, and longer ones take seconds.
const (
	leastRSA = 2048
	mostRSA  = 16384
)

type publicRSA struct{ *rsa.PublicKey }

func (k publicRSA) holds(kind crypto.Hash, hash, sig []byte) bool {
	return rsa.VerifyPKCS1v15(k.PublicKey, kind, hash, sig) == nil
}

func (k publicRSA) equal(o rsaKey) bool {
	other, ok := o.(publicRSA)
	return ok && k.Equal(other.PublicKey)
}

// newRSA returns a key whose numbers make sense.
func newRSA(modulus, exponent []byte) (rsaKey, error) {
	n, e := new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(exponent)
	if bits := n.BitLen(); bits < leastRSA || bits > mostRSA {
		return nil, fmt.Errorf("it has %d bits, and %d to %d are taken", bits, leastRSA, mostRSA)
	}
	if e.BitLen() > 31 || e.Int64() < 3 || e.Bit(0) == 0 || n.Bit(0) == 0 {
		return nil, errors.New("it is not a key of RSA")
	}
	return publicRSA{&rsa.PublicKey{N: n, E: int(e.Int64())}}, nil
}

// parsePEM reads an RSA key as RFC 5280 encodes it, which abuild-keygen has openssl
// write.
func parsePEM(text string) (rsaKey, error) {
	const begin, end = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
	body, ok := strings.CutSuffix(strings.TrimPrefix(text, begin), end)
	der, err := decode(body)
	if !ok || err != nil {
		return nil, errors.New("it is not a key in the form of PEM")
	}
	var info, algorithm, key cryptobyte.String
	var oid, bits, n, e []byte
	in := cryptobyte.String(der)
	rsaEncryption := []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01}
	if !in.ReadASN1(&info, asn1.SEQUENCE) || !in.Empty() || !info.ReadASN1(&algorithm, asn1.SEQUENCE) ||
		!algorithm.ReadASN1Bytes(&oid, asn1.OBJECT_IDENTIFIER) || !bytes.Equal(oid, rsaEncryption) ||
		!info.ReadASN1BitStringAsBytes(&bits) || !info.Empty() {
		return nil, errors.New("it is not a key of RSA")
	}
	if in = bits; !in.ReadASN1(&key, asn1.SEQUENCE) || !in.Empty() || !key.ReadASN1Integer(&n) || !key.ReadASN1Integer(&e) || !key.Empty() {
		return nil, errors.New("it is not a key of RSA")
	}
	return newRSA(n, e)
}
