// Package tpm asks a TPM 2.0 for what a boot loader needs of it: which banks of
// PCRs it has, the value of a PCR, that one is extended, and a secret that was
// sealed to PCRs. It marshals the
// commands itself ("Trusted Platform Module Library", parts 2 and 3, of the
// Trusted Computing Group), as a library for all of them is twenty times as large.
//
// A TPM is an [io.ReadWriteCloser] that takes a command by one Write, and answers
// to the Reads that follow: a device node of Linux, opened by [Open], or the
// socket of an emulator.
package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Find returns the name in /dev of the TPM 2.0 of the machine whose root directory
// is root; "" when it has none. It prefers the node with a resource manager, which
// others can use at the same time. Nothing is asked of the TPM itself.
func Find(root fs.FS) string {
	if _, err := fs.Stat(root, "sys/class/tpmrm/tpmrm0"); err == nil {
		return "tpmrm0"
	}
	if b, err := fs.ReadFile(root, "sys/class/tpm/tpm0/tpm_version_major"); err == nil && strings.TrimSpace(string(b)) == "2" {
		return "tpm0"
	}
	return ""
}

// Open opens the node of a TPM. Its calls block, which [Device] expects: opened by
// package os it would be a non-blocking one, and then the driver reports the end of
// the file for an answer that is not there yet.
func Open(node string) (io.ReadWriteCloser, error) {
	fd, err := unix.Open(node, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: node, Err: err}
	}
	return os.NewFile(uintptr(fd), node), nil
}

// Device is a TPM 2.0. Its methods are for one goroutine at a time. A method
// returns when its context ends, whatever the TPM does: see [Device.Close].
type Device struct {
	rw   io.ReadWriteCloser
	lost error // it still owes an answer
}

// New returns the TPM that rw is. Close closes rw.
func New(rw io.ReadWriteCloser) *Device { return &Device{rw: rw} }

// Close closes the TPM. One that has not answered in time is closed when it does,
// by the goroutine that was left waiting for its answer.
func (d *Device) Close() error {
	if d.lost != nil {
		return nil
	}
	return d.rw.Close()
}

// Codes of the specification, part 2.
const (
	tagNoSessions = 0x8001 // TPM_ST_NO_SESSIONS
	tagSessions   = 0x8002 // TPM_ST_SESSIONS

	codePCRExtend     = 0x182 // TPM_CC_PCR_Extend
	codeGetCapability = 0x17a // TPM_CC_GetCapability
	codePCRRead       = 0x17e // TPM_CC_PCR_Read
	codeCreatePrimary = 0x131 // TPM_CC_CreatePrimary
	codeLoad          = 0x157 // TPM_CC_Load
	codeUnseal        = 0x15e // TPM_CC_Unseal
	codeFlush         = 0x165 // TPM_CC_FlushContext
	codeStartSession  = 0x176 // TPM_CC_StartAuthSession
	codePolicyPCR     = 0x17f // TPM_CC_PolicyPCR

	capabilityPCRs = 5          // TPM_CAP_PCRS
	passwordHandle = 0x40000009 // TPM_RS_PW
	ownerHandle    = 0x40000001 // TPM_RH_OWNER
	nullHandle     = 0x40000007 // TPM_RH_NULL
)

const (
	headerSize = 10
	maxAnswer  = 4096 // what the drivers of Linux pass on
)

// Bank is a set of PCRs that are extended by one algorithm.
type Bank struct {
	Algorithm
	PCRs uint32 // bit n is set when the bank has PCR n
}

// Has reports whether the bank has a PCR.
func (b Bank) Has(pcr int) bool { return b.PCRs>>pcr&1 == 1 }

// Banks returns the banks that are allocated: that have any PCR.
func (d *Device) Banks(ctx context.Context) ([]Bank, error) {
	body := be.AppendUint32(nil, capabilityPCRs)
	body = be.AppendUint32(body, 0) // the first property
	body = be.AppendUint32(body, 1) // how many
	r, err := d.ask(ctx, tagNoSessions, codeGetCapability, body)
	if err != nil {
		return nil, fmt.Errorf("asking the TPM for its banks: %w", err)
	}
	r.next(1) // whether there is more
	if r.uint32() != capabilityPCRs {
		r.bad = true
	}
	var banks []Bank
	for _, b := range r.selection() {
		if b.PCRs != 0 {
			banks = append(banks, b)
		}
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("asking the TPM for its banks: %w", err)
	}
	return banks, nil
}

// Read returns the value of a PCR in one bank.
func (d *Device) Read(ctx context.Context, pcr int, a Algorithm) ([]byte, error) {
	r, err := d.ask(ctx, tagNoSessions, codePCRRead, appendSelection(nil, a, pcr))
	var value []byte
	if err == nil {
		r.uint32() // how often any PCR was changed
		selected := r.selection()
		n := r.uint32()
		if n == 1 {
			value = r.next(int(r.uint16()))
		}
		err = r.end()
		if err == nil && (len(selected) != 1 || selected[0].Algorithm != a || n != 1 || len(value) == 0) {
			err = fmt.Errorf("it has no bank of %v", a)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading PCR %d of the TPM: %w", pcr, err)
	}
	return value, nil
}

// appendSelection appends a TPML_PCR_SELECTION.
func appendSelection(b []byte, a Algorithm, pcrs ...int) []byte {
	var mask [3]byte
	for _, pcr := range pcrs {
		mask[pcr/8] |= 1 << (pcr % 8)
	}
	b = be.AppendUint32(b, 1)
	b = be.AppendUint16(b, uint16(a))
	return append(append(b, byte(len(mask))), mask[:]...)
}

// Digest is one by an algorithm.
type Digest struct {
	Algorithm
	Sum []byte
}

// Extend extends a PCR by digests, one for each bank. A bank without one stays as
// it is. After [ErrLate] the PCR may have been extended, or not.
func (d *Device) Extend(ctx context.Context, pcr int, digests []Digest) error {
	body := be.AppendUint32(nil, uint32(pcr)) // its handle
	body = appendAuth(body, passwordHandle, nil)
	body = be.AppendUint32(body, uint32(len(digests)))
	for _, x := range digests {
		body = append(be.AppendUint16(body, uint16(x.Algorithm)), x.Sum...)
	}
	r, err := d.run(ctx, tagSessions, codePCRExtend, body)
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return fmt.Errorf("extending PCR %d of the TPM: %w", pcr, err)
	}
	return nil
}

// appendAuth appends the authorization by a session: passwordHandle for a password, or
// a policy, which has none and ends with the command.
func appendAuth(b []byte, session uint32, password []byte) []byte {
	b = be.AppendUint32(b, uint32(9+len(password))) // bytes that follow
	b = be.AppendUint32(b, session)
	return appendSized(append(b, 0, 0, 0), password) // no nonce, no attributes
}

// ask runs a command that changes nothing, and runs it again when the answer was late.
func (d *Device) ask(ctx context.Context, tag uint16, code uint32, body []byte) (r *reader, err error) {
	for range 3 {
		if r, err = d.run(ctx, tag, code, body); !errors.Is(err, ErrLate) {
			break
		}
	}
	return r, err
}

// ErrLate means that the driver has given up a command: Linux waits for many of
// them no longer than 0.75 s, which a TPM that tests itself, or one of a virtual
// machine on a busy host, may need. It can be asked again.
var ErrLate error = unix.ETIME

// run has the TPM do a command and returns the parameters of its answer. When ctx
// ends first, the goroutine that waits for the answer is left behind, and closes
// the TPM when that has come: there is no way to interrupt a driver that waits.
func (d *Device) run(ctx context.Context, tag uint16, code uint32, body []byte) (*reader, error) {
	if d.lost != nil {
		return nil, d.lost
	}
	command := be.AppendUint16(nil, tag)
	command = be.AppendUint32(command, uint32(headerSize+len(body)))
	command = append(be.AppendUint32(command, code), body...)

	type result struct {
		answer []byte
		err    error
	}
	done, abandoned := make(chan result), make(chan struct{})
	go func() {
		answer, err := exchange(d.rw, command)
		select {
		case done <- result{answer, err}:
		case <-abandoned:
			d.rw.Close()
		}
	}()
	select {
	case got := <-done:
		if got.err != nil {
			return nil, got.err
		}
		return parse(got.answer, tag == tagSessions, code == codeCreatePrimary || code == codeLoad)
	case <-ctx.Done():
		close(abandoned)
		d.lost = ErrNoAnswer
		return nil, d.lost
	}
}

// ErrNoAnswer means that a TPM has not answered in time. It is not asked again.
var ErrNoAnswer = errors.New("it does not answer")

// exchange sends a command and returns the answer to it.
func exchange(rw io.ReadWriter, command []byte) ([]byte, error) {
	if _, err := rw.Write(command); err != nil {
		return nil, err
	}
	b, n := make([]byte, maxAnswer), 0
	for {
		m, err := rw.Read(b[n:])
		n += m
		if n >= headerSize {
			switch size := int64(be.Uint32(b[2:])); {
			case size == int64(n):
				return b[:n], nil
			case size < int64(n) || size > maxAnswer:
				return nil, errAnswer
			}
		}
		switch {
		case err == io.EOF || err == nil && m == 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
	}
}

var errAnswer = errors.New("its answer makes no sense")

// parse returns the parameters of an answer, or what the TPM has against the
// command. In one to a command with sessions a handle is no parameter.
func parse(answer []byte, sessions, handle bool) (*reader, error) {
	r := &reader{rest: answer}
	tag, size, code := r.uint16(), r.uint32(), Code(r.uint32())
	switch {
	case r.bad || int64(size) != int64(len(answer)):
		return nil, errAnswer
	case code != 0:
		return nil, code
	case !sessions && tag == tagNoSessions:
		return r, nil
	case sessions && tag == tagSessions:
		p := &reader{}
		if handle {
			p.handle = r.uint32()
		}
		// What authorizes the answer follows. A password authorizes none.
		p.rest = r.next(int(r.uint32()))
		if r.bad {
			return nil, errAnswer
		}
		return p, nil
	}
	return nil, errAnswer
}

var be = binary.BigEndian

// reader reads an answer from front to back. Beyond its end there are zeros, and bad
// is set.
type reader struct {
	rest   []byte
	bad    bool
	handle uint32 // that comes before the parameters
}

func (r *reader) next(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) uint16() uint16 {
	if b := r.next(2); b != nil {
		return be.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.next(4); b != nil {
		return be.Uint32(b)
	}
	return 0
}

// selection reads a TPML_PCR_SELECTION.
func (r *reader) selection() (banks []Bank) {
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		b := Bank{Algorithm: Algorithm(r.uint16())}
		size := r.next(1)
		if r.bad {
			return nil
		}
		for i, bits := range r.next(int(size[0])) {
			if i < 4 {
				b.PCRs |= uint32(bits) << (8 * i)
			}
		}
		banks = append(banks, b)
	}
	return banks
}

// end reports whether all of it was read, and no more.
func (r *reader) end() error {
	if r.bad || len(r.rest) > 0 {
		return errAnswer
	}
	return nil
}
