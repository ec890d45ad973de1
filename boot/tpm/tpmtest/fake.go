// Package tpmtest is for tests: a TPM in memory, a real emulator (swtpm), and
// conversations with it that are kept in files.
package tpmtest

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"maps"
	"sync"

	"golang.org/x/sys/unix"
)

// Fake is a TPM 2.0 in memory with banks sha1 and sha256, which answers to the
// commands GetCapability, PCR_Read and PCR_Extend, to those of counters, and to no
// other. Its zero value is one that was just started, and never used.
type Fake struct {
	mu     sync.Mutex
	pcrs   map[uint16]map[uint32][]byte
	refuse uint32        // code of an answer to PCR_Extend
	after  int           // how many PCR_Extend work before
	hang   chan struct{} // Read waits for it
	late   string        // see Late
	answer []byte
	opened int

	counters map[uint32]uint64 // by index; 0 has never counted
	highest  uint64            // that one of them has had
	password string            // of the owner
	kind     uint32            // of every index that is there, in place of a counter
}

// Count has a counter at a value.
func (f *Fake) Count(index uint32, value uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counters == nil {
		f.counters = map[uint32]uint64{}
	}
	f.counters[index], f.highest = value, max(f.highest, value)
}

// Counters returns the values of all counters, by their indices.
func (f *Fake) Counters() map[uint32]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.counters)
}

// SetOwner gives the owner a password.
func (f *Fake) SetOwner(password string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.password = password
}

// NoCounter has what is at the indices of counters be something else.
func (f *Fake) NoCounter() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kind = 2 // TPM_NT_BITS
}

// Refuse has all but the first so many commands PCR_Extend answered by a code.
func (f *Fake) Refuse(after int, code uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after, f.refuse = after, code
}

// Hang has no command answered until release is called.
func (f *Fake) Hang() (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hang = make(chan struct{})
	return sync.OnceFunc(func() { close(f.hang) })
}

// Late has the driver give up some of the next commands, a letter each: d for one that
// the TPM carries out all the same, n for one that it does not, a dot for one whose
// answer is in time.
func (f *Fake) Late(commands string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.late = commands
}

// Open returns the TPM, open.
func (f *Fake) Open() io.ReadWriteCloser {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	return &node{f}
}

// Opened returns how many of those that Open has returned are not closed.
func (f *Fake) Opened() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened
}

// PCR returns the value of a PCR in the bank sha256.
func (f *Fake) PCR(pcr int) [sha256.Size]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return [sha256.Size]byte(f.value(sha256Bank, uint32(pcr)))
}

type node struct{ *Fake }

func (n *node) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opened--
	return nil
}

const (
	sha1Bank   = 0x04
	sha256Bank = 0x0b
)

func hashOf(bank uint16) hash.Hash {
	switch bank {
	case sha1Bank:
		return sha1.New()
	case sha256Bank:
		return sha256.New()
	}
	return nil
}

func (f *Fake) value(bank uint16, pcr uint32) []byte {
	if v := f.pcrs[bank][pcr]; v != nil {
		return v
	}
	return make([]byte, hashOf(bank).Size())
}

var be = binary.BigEndian

// Write takes a command that is well-formed.
func (f *Fake) Write(b []byte) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.late != "" {
		how := f.late[0]
		f.late = f.late[1:]
		switch how {
		case 'n':
			return 0, unix.ETIME
		case 'd':
			defer func() { n, err = 0, unix.ETIME }()
		}
	}
	const noSessions, sessions = 0x8001, 0x8002
	answer := func(tag uint16, code uint32, body []byte) {
		f.answer = be.AppendUint16(nil, tag)
		f.answer = be.AppendUint32(f.answer, uint32(10+len(body)))
		f.answer = append(be.AppendUint32(f.answer, code), body...)
	}
	switch body := b[10:]; be.Uint32(b[6:]) {
	case 0x17a: // GetCapability
		const all = "\x03\xff\xff\xff"
		answer(noSessions, 0, []byte("\x00\x00\x00\x00\x05\x00\x00\x00\x02\x00\x04"+all+"\x00\x0b"+all))
	case 0x17e: // PCR_Read, of one
		bank, pcr := be.Uint16(body[4:]), uint32(0)
		for pcr = 0; body[7+pcr/8]>>(pcr%8)&1 == 0; pcr++ {
		}
		v := f.value(bank, pcr)
		out := append([]byte{0, 0, 0, 1}, body[:10]...)
		out = be.AppendUint16(append(out, 0, 0, 0, 1), uint16(len(v)))
		answer(noSessions, 0, append(out, v...))
	case 0x182: // PCR_Extend
		if f.refuse != 0 {
			if f.after == 0 {
				answer(noSessions, f.refuse, nil)
				break
			}
			f.after--
		}
		pcr := be.Uint32(body)
		digests := body[8+be.Uint32(body[4:]):]
		n := be.Uint32(digests)
		digests = digests[4:]
		for range n {
			bank := be.Uint16(digests)
			h := hashOf(bank)
			h.Write(f.value(bank, pcr))
			h.Write(digests[2 : 2+h.Size()])
			digests = digests[2+h.Size():]
			if f.pcrs == nil {
				f.pcrs = map[uint16]map[uint32][]byte{sha1Bank: {}, sha256Bank: {}}
			}
			f.pcrs[bank][pcr] = h.Sum(nil)
		}
		answer(sessions, 0, []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	case 0x169: // NV_ReadPublic
		index := be.Uint32(body)
		n, ok := f.counters[index]
		if !ok {
			answer(noSessions, 0x18b, nil)
			break
		}
		attributes := uint32(0x02060012)
		if n > 0 {
			attributes |= 1 << 29
		}
		if f.kind != 0 {
			attributes = attributes&^0xf0 | f.kind<<4
		}
		public := be.AppendUint16(be.AppendUint32(nil, index), sha256Bank)
		public = append(be.AppendUint32(public, attributes), 0, 0, 0, 8)
		out := append(be.AppendUint16(nil, uint16(len(public))), public...)
		answer(noSessions, 0, append(be.AppendUint16(out, 2), 0, sha256Bank))
	case 0x14e: // NV_Read
		n := f.counters[be.Uint32(body[4:])]
		answer(sessions, 0, be.AppendUint64([]byte{0, 0, 0, 10, 0, 8}, n))
		f.answer = append(f.answer, 0, 0, 1, 0, 0)
		be.PutUint32(f.answer[2:], uint32(len(f.answer)))
	case 0x12a, 0x134, 0x122: // NV_DefineSpace, NV_Increment, NV_UndefineSpace
		code := be.Uint32(b[6:])
		handles := 8
		if code == 0x12a {
			handles = 4
		}
		auth := body[handles+4:][:be.Uint32(body[handles:])]
		rest := body[handles+4+len(auth):]
		index := be.Uint32(body[4:])
		if code == 0x12a {
			index = be.Uint32(rest[4:]) // after an empty password and a size
		}
		n, ok := f.counters[index]
		switch {
		case string(auth[9:]) != f.password:
			answer(noSessions, 0x9a2, nil)
		case ok == (code == 0x12a):
			answer(noSessions, map[bool]uint32{true: 0x14c, false: 0x28b}[ok], nil)
		default:
			if f.counters == nil {
				f.counters = map[uint32]uint64{}
			}
			switch {
			case code == 0x122:
				delete(f.counters, index)
			case code == 0x12a:
				f.counters[index] = 0
			case n == 0:
				f.counters[index] = f.highest + 1
			default:
				f.counters[index]++
			}
			f.highest = max(f.highest, f.counters[index])
			answer(sessions, 0, []byte("\x00\x00\x00\x00\x00\x00\x01\x00\x00"))
		}
	default:
		answer(noSessions, 0x143, nil)
	}
	return len(b), nil
}

// Read returns the answer.
func (f *Fake) Read(b []byte) (int, error) {
	f.mu.Lock()
	hang := f.hang
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := copy(b, f.answer)
	if f.answer = f.answer[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
