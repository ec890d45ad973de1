package tpm

import (
	"context"
	"errors"
	"fmt"
)

// EpochCounter is the index of the counter that the epochs of manifests are compared
// with. It is one of those that the owner of a machine hands out (0x01800000 to
// 0x01bfffff in the registry of the Trusted Computing Group), away from its beginning,
// where programs take the first one that is free.
const EpochCounter = 0x01a1b007

// probeCounter is the index of a counter that is there for a moment: see
// [Device.NextCount].
const probeCounter = EpochCounter + 1

// ErrNoCounter means that a TPM has no counter of that index, or one that has never
// counted.
var ErrNoCounter = errors.New("the TPM has no such counter")

const (
	codeUndefineSpace = 0x122 // TPM_CC_NV_UndefineSpace
	codeDefineSpace   = 0x12a // TPM_CC_NV_DefineSpace
	codeNVIncrement   = 0x134 // TPM_CC_NV_Increment
	codeNVRead        = 0x14e // TPM_CC_NV_Read
	codeNVReadPublic  = 0x169 // TPM_CC_NV_ReadPublic

	// counterAttributes are TPMA_NV_OWNERWRITE, TPM_NT_COUNTER, TPMA_NV_OWNERREAD,
	// TPMA_NV_AUTHREAD and TPMA_NV_NO_DA. Only the owner may count, or remove it, which is
	// everybody while the owner has no password. Everybody may read, by the empty
	// password of the index, also while the TPM is locked out. It is not an orderly one
	// (TPMA_NV_ORDERLY), which may lose counts when the power is cut.
	counterAttributes = 1<<1 | counterType<<4 | 1<<17 | 1<<18 | 1<<25
	counterType       = 1 // TPM_NT_COUNTER
	counterSize       = 8
	written           = 1 << 29 // TPMA_NV_WRITTEN
)

// Counter returns the value of a counter. The error is [ErrNoCounter] when there is
// none.
func (d *Device) Counter(ctx context.Context, index uint32) (uint64, error) {
	n, err := d.counter(ctx, index)
	if err != nil && err != ErrNoCounter {
		err = fmt.Errorf("reading the counter %#x of the TPM: %w", index, err)
	}
	return n, err
}

func (d *Device) counter(ctx context.Context, index uint32) (uint64, error) {
	r, err := d.ask(ctx, tagNoSessions, codeNVReadPublic, be.AppendUint32(nil, index))
	if errors.Is(err, BadHandle) {
		return 0, ErrNoCounter
	}
	if err != nil {
		return 0, err
	}
	public := &reader{rest: r.next(int(r.uint16()))}
	r.next(int(r.uint16())) // its name
	found := public.uint32()
	public.uint16() // the algorithm of its name
	attributes := public.uint32()
	public.next(int(public.uint16())) // its policy
	size := public.uint16()
	if err := errors.Join(r.end(), public.end()); err != nil || found != index {
		return 0, errAnswer
	}
	switch {
	case attributes>>4&0xf != counterType || size != counterSize:
		return 0, errors.New("it is not a counter, and nobody but the owner can have put it there")
	case attributes&written == 0:
		return 0, ErrNoCounter
	}
	body := be.AppendUint32(be.AppendUint32(nil, index), index) // by its own authorization
	body = appendAuth(body, passwordHandle, nil)
	body = be.AppendUint16(be.AppendUint16(body, counterSize), 0)
	if r, err = d.ask(ctx, tagSessions, codeNVRead, body); err != nil {
		return 0, err
	}
	value := r.next(int(r.uint16()))
	if r.end() != nil || len(value) != counterSize {
		return 0, errAnswer
	}
	return be.Uint64(value), nil
}

// DefineCounter makes a counter, which has no value before it has counted once. Owner is
// the password of the owner of the TPM, which is empty on most machines.
func (d *Device) DefineCounter(ctx context.Context, index uint32, owner []byte) error {
	public := be.AppendUint16(be.AppendUint32(nil, index), uint16(SHA256))
	public = be.AppendUint32(public, counterAttributes)
	public = be.AppendUint16(public, 0) // no policy
	public = be.AppendUint16(public, counterSize)
	body := appendAuth(be.AppendUint32(nil, ownerHandle), passwordHandle, owner)
	body = appendSized(appendSized(body, nil), public) // no password of its own
	return d.change(ctx, "making", index, codeDefineSpace, body)
}

// Count has a counter count once, and returns its new value. One that has never
// counted takes the highest value that any counter of the TPM has ever had, and one
// more.
func (d *Device) Count(ctx context.Context, index uint32, owner []byte) (uint64, error) {
	body := appendAuth(be.AppendUint32(be.AppendUint32(nil, ownerHandle), index), passwordHandle, owner)
	if err := d.change(ctx, "raising", index, codeNVIncrement, body); err != nil {
		return 0, err
	}
	return d.Counter(ctx, index)
}

// RemoveCounter removes a counter.
func (d *Device) RemoveCounter(ctx context.Context, index uint32, owner []byte) error {
	body := appendAuth(be.AppendUint32(be.AppendUint32(nil, ownerHandle), index), passwordHandle, owner)
	return d.change(ctx, "removing", index, codeUndefineSpace, body)
}

// NextCount returns a value that a new counter will not have exceeded after it has
// counted once, if no other counts meanwhile. There is no command that asks for it: a counter is
// made, counts, and is removed.
func (d *Device) NextCount(ctx context.Context, owner []byte) (uint64, error) {
	err := d.RemoveCounter(ctx, probeCounter, owner) // left by a power cut
	if err != nil && !errors.Is(err, BadHandle) {
		return 0, err
	}
	if err := d.DefineCounter(ctx, probeCounter, owner); err != nil {
		return 0, err
	}
	n, err := d.Count(ctx, probeCounter, owner)
	if removeErr := d.RemoveCounter(ctx, probeCounter, owner); err == nil {
		err = removeErr
	}
	return n + 1, err
}

// change has the TPM do a command that answers nothing.
func (d *Device) change(ctx context.Context, what string, index, code uint32, body []byte) error {
	r, err := d.run(ctx, tagSessions, code, body)
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return fmt.Errorf("%s the counter %#x of the TPM: %w", what, index, err)
	}
	return nil
}
