package tpm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
)

// Sealed is a secret that a TPM returns while its PCRs have the values to which the
// secret was sealed.
type Sealed struct {
	Private, Public []byte // as TPM2_Create returns them, without their sizes
	Parent          uint32 // the handle of the key that they are sealed by; 0 for the primary key that systemd has
	RSA             bool   // that key is one by RSA instead of elliptic curves
	Bank            Algorithm
	PCRs            []int
}

// Unseal returns a secret. An error that is [PolicyFail] means that the PCRs have
// other values. The secret is not encrypted on its way from the chip. The caller
// clears it.
func (d *Device) Unseal(ctx context.Context, s Sealed) (secret []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("unsealing by the TPM: %w", err)
		}
	}()
	parent := s.Parent
	if parent == 0 {
		if parent, err = d.createPrimary(ctx, s.RSA); err != nil {
			return nil, err
		}
		defer d.flush(ctx, parent)
	}
	body := appendAuth(be.AppendUint32(nil, parent), passwordHandle, nil)
	body = appendSized(appendSized(body, s.Private), s.Public)
	r, err := d.run(ctx, tagSessions, codeLoad, body)
	if err != nil {
		return nil, err
	}
	key := r.handle
	defer d.flush(ctx, key)

	session, err := d.policySession(ctx)
	if err != nil {
		return nil, err
	}
	body = appendSized(be.AppendUint32(nil, session), nil) // the PCRs as they are now
	body = appendSelection(body, s.Bank, s.PCRs...)
	if _, err = d.run(ctx, tagNoSessions, codePolicyPCR, body); err == nil {
		r, err = d.run(ctx, tagSessions, codeUnseal, appendAuth(be.AppendUint32(nil, key), session, nil))
	}
	if err != nil {
		d.flush(ctx, session)
		return nil, err
	}
	secret = r.next(int(r.uint16()))
	return secret, r.end()
}

// createPrimary makes the key of the owner that systemd seals by where the TPM has
// none that is kept, and returns its handle.
func (d *Device) createPrimary(ctx context.Context, rsa bool) (uint32, error) {
	const (
		algRSA, algECC, algAES, algNull, algCFB = 0x01, 0x23, 0x06, 0x10, 0x43
		curveP256                               = 0x03

		// restricted, decrypt, fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth
		attributes = 1<<16 | 1<<17 | 1<<1 | 1<<4 | 1<<5 | 1<<6
	)
	words := func(b []byte, list ...uint16) []byte {
		for _, w := range list {
			b = be.AppendUint16(b, w)
		}
		return b
	}
	kind := uint16(algECC)
	if rsa {
		kind = algRSA
	}
	public := words(nil, kind, uint16(SHA256))
	public = be.AppendUint32(public, attributes)
	public = words(public, 0, algAES, 128, algCFB, algNull) // no policy; AES-128-CFB for what is sealed; no scheme
	if rsa {
		public = words(public, 2048, 0, 0, 0) // bits, the usual exponent, no unique value
	} else {
		public = words(public, curveP256, algNull, 0, 0) // no key derivation, no unique point
	}
	body := appendAuth(be.AppendUint32(nil, ownerHandle), passwordHandle, nil)
	body = appendSized(body, []byte{0, 0, 0, 0}) // no password, no data
	body = appendSized(body, public)
	body = append(body, 0, 0, 0, 0, 0, 0) // nothing from outside, no PCRs
	r, err := d.run(ctx, tagSessions, codeCreatePrimary, body)
	if err != nil {
		return 0, fmt.Errorf("making the primary key: %w", err)
	}
	return r.handle, nil
}

// policySession starts a session of a policy. The nonce protects passwords and
// encryption, of which there are none.
func (d *Device) policySession(ctx context.Context) (uint32, error) {
	const policy, algNull, nonceSize = 1, 0x10, 16
	body := be.AppendUint32(be.AppendUint32(nil, nullHandle), nullHandle)
	body = appendSized(body, make([]byte, nonceSize))
	body = append(appendSized(body, nil), policy) // no salt
	body = be.AppendUint16(be.AppendUint16(body, algNull), uint16(SHA256))
	r, err := d.run(ctx, tagNoSessions, codeStartSession, body)
	if err != nil {
		return 0, err
	}
	handle := r.uint32()
	r.next(int(r.uint16())) // the nonce of the TPM
	return handle, r.end()
}

// flush has the TPM forget a key or session. It has room for three.
func (d *Device) flush(ctx context.Context, handle uint32) {
	d.run(ctx, tagNoSessions, codeFlush, be.AppendUint32(nil, handle))
}

// appendSized appends a TPM2B: bytes with their number.
func appendSized(b, data []byte) []byte {
	return append(be.AppendUint16(b, uint16(len(data))), data...)
}

// ParseToken takes a LUKS2 token of the type systemd-tpm2, as systemd-cryptenroll
// writes it, if no more than the values of PCRs is needed for it. The error says what
// else is. The values are those of JSON: numbers of any type that is printed as it is there.
func ParseToken(t map[string]any) (Sealed, error) {
	text := func(name string) string {
		v := t[name]
		if list, ok := v.([]any); ok && len(list) == 1 { // systemd 256 and later
			v = list[0]
		}
		s, _ := v.(string)
		return s
	}
	pcrs, _ := t["tpm2-pcrs"].([]any)
	signed, _ := t["tpm2_pubkey_pcrs"].([]any)
	bank, primary := text("tpm2-pcr-bank"), text("tpm2-primary-alg")
	s := Sealed{RSA: primary == "rsa", Bank: SHA256}
	if bank == SHA1.String() {
		s.Bank = SHA1
	}
	switch {
	case text("type") != "systemd-tpm2":
		return Sealed{}, fmt.Errorf("it is a token of type %q", text("type"))
	case t["tpm2-pin"] == true:
		return Sealed{}, errors.New("the token needs a PIN")
	case t["tpm2_pcrlock"] == true:
		return Sealed{}, errors.New("the token needs a policy of systemd-pcrlock")
	case len(signed) > 0:
		return Sealed{}, errors.New("the token needs a signed policy")
	case len(pcrs) == 0:
		return Sealed{}, errors.New("the token is not bound to PCRs")
	case bank != "" && bank != s.Bank.String(), primary != "" && primary != "rsa" && primary != "ecc":
		return Sealed{}, fmt.Errorf("the token has a bank or key that is not known: %.20q, %.20q", bank, primary)
	}
	for _, v := range pcrs {
		pcr, err := strconv.Atoi(fmt.Sprint(v))
		if err != nil || pcr < 0 || pcr > 23 {
			return Sealed{}, fmt.Errorf("the token has PCR %.20v, which does not exist", v)
		}
		s.PCRs = append(s.PCRs, pcr)
	}
	srk, err := base64.StdEncoding.DecodeString(text("tpm2_srk"))
	if err != nil {
		return Sealed{}, fmt.Errorf("the token cannot be read: %w", err)
	}
	if len(srk) > 0 { // a key as its library stores it: the handle comes first
		const persistent = 0x81
		r := &reader{rest: srk}
		if s.Parent = r.uint32(); s.Parent>>24 != persistent {
			return Sealed{}, errors.New("the token has a key that is not kept in the TPM")
		}
	}
	blob, err := base64.StdEncoding.DecodeString(text("tpm2-blob"))
	if err != nil {
		return Sealed{}, fmt.Errorf("the token cannot be read: %w", err)
	}
	r := &reader{rest: blob}
	s.Private = r.next(int(r.uint16()))
	s.Public = r.next(int(r.uint16()))
	if r.bad || len(s.Private) == 0 || len(s.Public) == 0 {
		return Sealed{}, errors.New("the token has no whole secret")
	}
	return s, nil
}

// Passphrase returns what opens a volume by an unsealed secret of systemd: its text
// in base64.
func Passphrase(secret []byte) []byte { return base64.StdEncoding.AppendEncode(nil, secret) }
