package vm

import (
	"os"
	"testing"
	"time"
)

// Machine is a VM in a test: what goes wrong with it fails the test at once.
type Machine struct {
	*VM
	t testing.TB
}

// Start starts a machine for a test and ends it with the test. Its logs are
// thrown away when the test passes, unless o.Dir names a directory for them.
func Start(t testing.TB, o Options) *Machine {
	t.Helper()
	m, err := Launch(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.Stop()
		t.Logf("the machine ran for %.1f s and used %.1f s of processor time", m.ran.Seconds(), m.used.Seconds())
		if o.Dir == "" && !t.Failed() {
			os.RemoveAll(m.Dir())
		}
	})
	return &Machine{m, t}
}

// Await waits for a condition on the first serial port, at most limit, and
// returns when it was met.
func (m *Machine) Await(limit time.Duration, cond Condition) time.Duration {
	m.t.Helper()
	at, err := m.Serial(0).Await(limit, cond)
	if err != nil {
		m.t.Fatal(err)
	}
	return at
}

// Type types keys on the first serial port.
func (m *Machine) Type(keys ...Key) {
	m.Serial(0).Type(keys...)
}

// AwaitEnd waits until the machine has powered off, at most limit.
func (m *Machine) AwaitEnd(limit time.Duration) {
	m.t.Helper()
	if err := m.WaitEnd(limit); err != nil {
		m.t.Fatal(err)
	}
}
