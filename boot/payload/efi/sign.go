package efi

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // for signatures of others
	"crypto/x509"
	"crypto/x509/pkix"
	"debug/pe"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// A certificate table holds WIN_CERTIFICATEs, each at a multiple of 8 bytes.
const (
	certHeaderSize = 8
	certRevision   = 0x0200
	certPKCS7      = 0x0002 // WIN_CERT_TYPE_PKCS_SIGNED_DATA

	// Each signature takes a hash over the program, and a key's size counts
	// with its square: a file could be made to take hours.
	maxSignatures = 64
	maxKeyBits    = 16384
)

var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidIndirectData  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}  // SPC_INDIRECT_DATA
	oidPEImage       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15} // SPC_PE_IMAGE_DATA
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
)

// PKCS #7 (RFC 2315) as far as Authenticode uses it.
type (
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"tag:0,optional"`
	}
	signedData struct {
		Version      int
		Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
		Content      contentInfo
		Certificates asn1.RawValue `asn1:"tag:0,optional"` // concatenated
		CRLs         asn1.RawValue `asn1:"tag:1,optional"`
		Signers      []signerInfo  `asn1:"set"`
	}
	signerInfo struct {
		Version         int
		Issuer          issuerAndSerial
		Digest          pkix.AlgorithmIdentifier
		Authenticated   asn1.RawValue `asn1:"tag:0,optional"`
		Encryption      pkix.AlgorithmIdentifier
		EncryptedDigest []byte
		Unauthenticated asn1.RawValue `asn1:"tag:1,optional"`
	}
	issuerAndSerial struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	attribute struct {
		Type   asn1.ObjectIdentifier
		Values asn1.RawValue // a set
	}
	indirectData struct {
		Data   asn1.RawValue
		Digest digestInfo
	}
	digestInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
)

// Digest returns the hash that Authenticode takes of a program: of all but the
// checksum and the place of the signatures.
func (p *Program) Digest(h crypto.Hash) []byte {
	d := h.New()
	o := p.header
	d.Write(p.raw[:o+offCheckSum])
	d.Write(p.raw[o+offCheckSum+4 : o+offSecurity])
	hashed := le.Uint32(p.raw[o+offSizeOfHeaders:])
	d.Write(p.raw[o+offSecurity+8 : hashed])
	sections := slices.Clone(p.sections)
	slices.SortStableFunc(sections, func(a, b pe.SectionHeader) int { return int(int64(a.Offset) - int64(b.Offset)) })
	sum := int64(hashed)
	for _, s := range sections {
		if s.Size > 0 {
			d.Write(p.raw[s.Offset : s.Offset+s.Size])
			sum += int64(s.Size)
		}
	}
	certs, _ := p.certificates()
	if end := int64(len(p.raw) - len(certs)); end > sum {
		d.Write(p.raw[sum:end])
	}
	return d.Sum(nil)
}

// certificates returns the certificate table, which ends with the file.
func (p *Program) certificates() ([]byte, error) {
	at, size := int64(le.Uint32(p.raw[p.header+offSecurity:])), int64(le.Uint32(p.raw[p.header+offSecurity+4:]))
	switch {
	case size == 0:
		return nil, nil
	case at < int64(le.Uint32(p.raw[p.header+offSizeOfHeaders:])), at+size != int64(len(p.raw)):
		return nil, fmt.Errorf("its signatures are at bytes %d to %d of %d: the file is truncated or damaged", at, at+size, len(p.raw))
	}
	return p.raw[at:], nil
}

// Sign returns the program with one signature more, by an RSA key and the
// certificate for it, with SHA-256. It holds no time, so that the same input
// always has the same bytes.
func (p *Program) Sign(key *rsa.PrivateKey, cert *x509.Certificate) (*Program, error) {
	public, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || !public.Equal(key.Public()) {
		return nil, errors.New("the certificate is not for this key")
	}
	certs, err := p.certificates()
	if err != nil {
		return nil, err
	}
	out := bytes.Clone(p.raw)
	at := len(out) - len(certs)
	if certs == nil {
		out = append(out, make([]byte, -len(out)&7)...)
		at = len(out)
	}
	padded, err := Parse(out)
	if err != nil {
		return nil, err
	}
	der, err := signature(padded.Digest(crypto.SHA256), key, cert)
	if err != nil {
		return nil, err
	}
	out = append(out, make([]byte, -len(out)&7)...)
	out = le.AppendUint32(out, uint32(certHeaderSize+len(der)))
	out = le.AppendUint16(out, certRevision)
	out = le.AppendUint16(out, certPKCS7)
	out = append(out, der...)
	out = append(out, make([]byte, -len(out)&7)...)
	le.PutUint32(out[p.header+offSecurity:], uint32(at))
	le.PutUint32(out[p.header+offSecurity+4:], uint32(len(out)-at))
	setCheckSum(out, p.header+offCheckSum)
	return Parse(out)
}

// signature returns the PKCS #7 message for a digest.
func signature(digest []byte, key *rsa.PrivateKey, cert *x509.Certificate) ([]byte, error) {
	sha := pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}
	// SpcPeImageData: no flags, and a file name without meaning, which is the
	// choice [2] of SpcLink as the choice [0] of SpcString, in UTF-16.
	var image struct {
		Type  asn1.ObjectIdentifier
		Value struct {
			Flags asn1.BitString
			File  asn1.RawValue
		}
	}
	image.Type = oidPEImage
	obsolete := []byte("\x00<\x00<\x00<\x00O\x00b\x00s\x00o\x00l\x00e\x00t\x00e\x00>\x00>\x00>")
	image.Value.File = wrapped(0, wrapped(2, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: obsolete}))
	data, err := asn1.Marshal(image)
	if err != nil {
		return nil, err
	}
	content, err := asn1.Marshal(indirectData{asn1.RawValue{FullBytes: data}, digestInfo{sha, digest}})
	if err != nil {
		return nil, err
	}
	var value asn1.RawValue // what is signed of it is its value, without its tag and length
	if _, err := asn1.Unmarshal(content, &value); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(value.Bytes)
	attributes, err := attributeSet(oidIndirectData, sum[:])
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(attributes)
	encrypted, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, hash[:])
	if err != nil {
		return nil, err
	}
	signed, err := asn1.Marshal(signedData{
		Version:      1,
		Digests:      []pkix.AlgorithmIdentifier{sha},
		Content:      contentInfo{oidIndirectData, wrapped(0, asn1.RawValue{FullBytes: content})},
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: cert.Raw},
		Signers: []signerInfo{{
			Version:         1,
			Issuer:          issuerAndSerial{asn1.RawValue{FullBytes: cert.RawIssuer}, cert.SerialNumber},
			Digest:          sha,
			Authenticated:   asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner(attributes)},
			Encryption:      pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue},
			EncryptedDigest: encrypted,
		}},
	})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(contentInfo{oidSignedData, wrapped(0, asn1.RawValue{FullBytes: signed})})
}

// Detached returns a PKCS #7 signature of content, which is not in it, as the firmware
// wants it in updates of its variables: the signed data itself, without attributes.
func Detached(content []byte, key *rsa.PrivateKey, cert *x509.Certificate) ([]byte, error) {
	sha := pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}
	hash := sha256.Sum256(content)
	encrypted, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, hash[:])
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(signedData{
		Version:      1,
		Digests:      []pkix.AlgorithmIdentifier{sha},
		Content:      contentInfo{Type: oidData},
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: cert.Raw},
		Signers: []signerInfo{{
			Version:         1,
			Issuer:          issuerAndSerial{asn1.RawValue{FullBytes: cert.RawIssuer}, cert.SerialNumber},
			Digest:          sha,
			Encryption:      pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue},
			EncryptedDigest: encrypted,
		}},
	})
}

// attributeSet returns the attributes that are signed: what kind of content there
// is, and its hash.
func attributeSet(content asn1.ObjectIdentifier, sum []byte) ([]byte, error) {
	return asn1.MarshalWithParams([]struct {
		Type   asn1.ObjectIdentifier
		Values []any `asn1:"set"`
	}{
		{oidContentType, []any{content}},
		{oidMessageDigest, []any{sum}},
	}, "set")
}

// wrapped returns a value under an explicit tag.
func wrapped(tag int, v asn1.RawValue) asn1.RawValue {
	if v.FullBytes == nil {
		v.FullBytes, _ = asn1.Marshal(v) // fails for no RawValue
	}
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: v.FullBytes}
}

// inner returns the value in a DER encoding.
func inner(der []byte) []byte {
	var v asn1.RawValue
	asn1.Unmarshal(der, &v)
	return v.Bytes
}

// Signature is one signature of a program.
type Signature struct {
	Subject   string // of the certificate that it was made with; "" when that is not in it
	Issuer    string
	NotBefore time.Time
	NotAfter  time.Time
	Problem   string // why it does not hold, as a sentence; "" when it does
}

// Signatures returns the signatures of a program, each checked against its
// contents and against the certificate that comes with it. Whether anybody
// trusts that certificate is not asked: firmware has its list.
func (p *Program) Signatures() ([]Signature, error) {
	certs, err := p.certificates()
	if err != nil {
		return nil, err
	}
	var list []Signature
	for len(certs) >= certHeaderSize {
		if len(list) == maxSignatures {
			return list, fmt.Errorf("it has more than %d signatures, and no more are checked", maxSignatures)
		}
		n := int64(le.Uint32(certs))
		if n < certHeaderSize || n > int64(len(certs)) {
			return list, errors.New("the table of signatures is damaged")
		}
		if kind := le.Uint16(certs[6:]); kind == certPKCS7 {
			var s Signature
			if err := s.check(p, certs[certHeaderSize:n]); err != nil {
				s.Problem = err.Error()
			}
			list = append(list, s)
		} else {
			list = append(list, Signature{Problem: fmt.Sprintf("it is of kind %#x, which firmware does not take", kind)})
		}
		certs = certs[min(int64(len(certs)), (n+7)&^7):]
	}
	return list, nil
}

// check reads one PKCS #7 message and returns what is wrong with it.
func (s *Signature) check(p *Program, der []byte) error {
	damaged := func(err error) error { return fmt.Errorf("it cannot be read: %w", err) }
	var outer contentInfo
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return damaged(err)
	}
	var signed signedData
	if !outer.Type.Equal(oidSignedData) {
		return damaged(errors.New("not PKCS #7 signed data"))
	}
	if _, err := asn1.Unmarshal(outer.Content.Bytes, &signed); err != nil {
		return damaged(err)
	}
	if len(signed.Signers) != 1 {
		return fmt.Errorf("it has %d signers and must have one", len(signed.Signers))
	}
	signer := signed.Signers[0]
	certs, err := x509.ParseCertificates(signed.Certificates.Bytes)
	if err != nil {
		return damaged(err)
	}
	var by *x509.Certificate
	for _, c := range certs {
		if bytes.Equal(c.RawIssuer, signer.Issuer.Issuer.FullBytes) && signer.Issuer.Serial != nil && c.SerialNumber.Cmp(signer.Issuer.Serial) == 0 {
			by = c
		}
	}
	if by == nil {
		return errors.New("the certificate that it was made with is not in it")
	}
	s.Subject, s.Issuer, s.NotBefore, s.NotAfter = by.Subject.String(), by.Issuer.String(), by.NotBefore, by.NotAfter

	var data indirectData
	if !signed.Content.Type.Equal(oidIndirectData) {
		return errors.New("it is for something else than a program")
	}
	if _, err := asn1.Unmarshal(signed.Content.Content.Bytes, &data); err != nil {
		return damaged(err)
	}
	hash, err := hashOf(data.Digest.Algorithm.Algorithm)
	if err != nil {
		return err
	}
	if !bytes.Equal(data.Digest.Digest, p.Digest(hash)) {
		return errors.New("the program was changed after it was signed")
	}
	if hash, err = hashOf(signer.Digest.Algorithm); err != nil {
		return err
	}
	sum := func(b []byte) []byte {
		d := hash.New()
		d.Write(b)
		return d.Sum(nil)
	}
	// All attributes are signed as a set, though they stand under a tag.
	attributes, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: signer.Authenticated.Bytes})
	if err != nil {
		return damaged(err)
	}
	var signedSum []byte
	for rest := signer.Authenticated.Bytes; len(rest) > 0; {
		var a attribute
		if rest, err = asn1.Unmarshal(rest, &a); err != nil {
			return damaged(err)
		}
		if a.Type.Equal(oidMessageDigest) {
			if _, err := asn1.Unmarshal(a.Values.Bytes, &signedSum); err != nil {
				return damaged(err)
			}
		}
	}
	if !bytes.Equal(signedSum, sum(inner(signed.Content.Content.Bytes))) {
		return errors.New("it was made for another program")
	}
	public, ok := by.PublicKey.(*rsa.PublicKey)
	if !ok {
		return errors.New("it was not made with an RSA key")
	}
	if bits := public.N.BitLen(); bits > maxKeyBits {
		return fmt.Errorf("its key has %d bits, more than the %d that are checked", bits, maxKeyBits)
	}
	if err := rsa.VerifyPKCS1v15(public, hash, sum(attributes), signer.EncryptedDigest); err != nil {
		return errors.New("it was not made with the key of its certificate, or was changed")
	}
	return nil
}

func hashOf(algorithm asn1.ObjectIdentifier) (crypto.Hash, error) {
	switch {
	case algorithm.Equal(oidSHA256):
		return crypto.SHA256, nil
	case algorithm.Equal(oidSHA384):
		return crypto.SHA384, nil
	case algorithm.Equal(oidSHA512):
		return crypto.SHA512, nil
	}
	return 0, fmt.Errorf("its hash algorithm (%v) is not known", algorithm)
}

// setCheckSum writes the checksum of a program, at offset at: the sum of its
// words with the carry added, and its length.
func setCheckSum(b []byte, at int) {
	clear(b[at : at+4])
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i])
		if i+1 < len(b) {
			w |= uint32(b[i+1]) << 8
		}
		sum += w
		sum = sum&0xffff + sum>>16
	}
	le.PutUint32(b[at:], sum+uint32(len(b)))
}
