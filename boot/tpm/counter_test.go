package tpm_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/tpm"
	"github.com/alpboot/alpboot/boot/tpm/tpmtest"
)

// count makes the counter, has it count, and returns its value. Whatever is asked
// along with it must answer as a TPM does that was never used.
func count(t *testing.T, rw io.ReadWriteCloser) uint64 {
	t.Helper()
	ctx := t.Context()
	d := tpm.New(rw)
	if n, err := d.Counter(ctx, tpm.EpochCounter); err != tpm.ErrNoCounter {
		t.Errorf("before it was made it is at %d, %v", n, err)
	}
	next, err := d.NextCount(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.DefineCounter(ctx, tpm.EpochCounter, nil); err != nil {
		t.Fatal(err)
	}
	if err := d.DefineCounter(ctx, tpm.EpochCounter, nil); err == nil || !strings.Contains(err.Error(), "making the counter 0x1a1b007 of the TPM: it is there already") {
		t.Errorf("made twice: %v", err)
	}
	if n, err := d.Counter(ctx, tpm.EpochCounter); err != tpm.ErrNoCounter {
		t.Errorf("before it has counted it is at %d, %v", n, err)
	}
	first, err := d.Count(ctx, tpm.EpochCounter, nil)
	if err != nil || first == 0 || first > next {
		t.Errorf("it begins at %d, %v; want at most %d", first, err, next)
	}
	if n, err := d.Count(ctx, tpm.EpochCounter, nil); n != first+1 || err != nil {
		t.Errorf("after %d it is at %d, %v", first, n, err)
	}
	if _, err := d.Count(ctx, tpm.EpochCounter, []byte("wrong")); !errors.Is(err, tpm.BadAuth) {
		t.Errorf("with a wrong password: %v", err)
	}
	// Removed and made again, it does not begin anew.
	if err := d.RemoveCounter(ctx, tpm.EpochCounter, nil); err != nil {
		t.Fatal(err)
	}
	if err := d.RemoveCounter(ctx, tpm.EpochCounter, nil); !errors.Is(err, tpm.BadHandle) {
		t.Errorf("removed twice: %v", err)
	}
	if err := d.DefineCounter(ctx, tpm.EpochCounter, nil); err != nil {
		t.Fatal(err)
	}
	n, err := d.Count(ctx, tpm.EpochCounter, nil)
	if err != nil || n != first+2 {
		t.Errorf("removed at %d and made again it is at %d, %v", first+1, n, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	return n
}

const counterConversation = "testdata/counter.txt"

// TestCounter has a real emulator count, and tools of others read it and count. With
// -update the conversation is kept for TestCounterConversation.
func TestCounter(t *testing.T) {
	conn, socket := tpmtest.Start(t)
	r := &tpmtest.Recorder{TPM: conn}
	n := count(t, r)
	if boottest.Update() {
		r.Keep(t, counterConversation)
	}
	boottest.NeedTools(t, "tpm2_nvread", "tpm2_nvincrement", "tpm2_nvreadpublic")
	index := fmt.Sprintf("%#x", tpm.EpochCounter)
	tool := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(args[0], append([]string{"-T", "swtpm:path=" + socket}, args[1:]...)...).Output()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if got := tool("tpm2_nvread", index); len(got) != 8 || binary.BigEndian.Uint64([]byte(got)) != n {
		t.Errorf("tpm2_nvread: %x, want %d", got, n)
	}
	tool("tpm2_nvincrement", "-C", "o", index)
	if got := tool("tpm2_nvread", "-C", "o", index); binary.BigEndian.Uint64([]byte(got)) != n+1 {
		t.Errorf("tpm2_nvread, as the owner: %x, want %d", got, n+1)
	}
	if got, want := tool("tpm2_nvreadpublic", index), "friendly: ownerwrite|nt=0x1|ownerread|authread|no_da|written"; !strings.Contains(got, want) {
		t.Errorf("tpm2_nvreadpublic:\n%s\nwant %s", got, want)
	}
}

// TestCounterConversation is the same where there is no emulator.
func TestCounterConversation(t *testing.T) { count(t, tpmtest.Replay(t, counterConversation)) }

// TestFakeCounter asserts that the TPM which other tests use counts as a real one.
func TestFakeCounter(t *testing.T) {
	f := &tpmtest.Fake{}
	if n := count(t, f.Open()); n != f.Counters()[tpm.EpochCounter] || len(f.Counters()) != 1 {
		t.Errorf("it is at %d, and has %v", n, f.Counters())
	}
	f.SetOwner("secret")
	d := tpm.New(f.Open())
	if _, err := d.Count(t.Context(), tpm.EpochCounter, nil); !errors.Is(err, tpm.BadAuth) {
		t.Errorf("without the password: %v", err)
	}
	if _, err := d.Count(t.Context(), tpm.EpochCounter, []byte("secret")); err != nil {
		t.Error(err)
	}
	f.Late("dn.nd.") // the driver has given some of the commands up
	if n, err := d.Counter(t.Context(), tpm.EpochCounter); err != nil || n != f.Counters()[tpm.EpochCounter] {
		t.Errorf("with late answers it is at %d, %v", n, err)
	}
	f.NoCounter()
	if n, err := d.Counter(t.Context(), tpm.EpochCounter); err == nil || !strings.Contains(err.Error(), "it is not a counter") {
		t.Errorf("what is no counter is at %d, %v", n, err)
	}
}

func FuzzCounter(f *testing.F) {
	const public = "\x80\x01\x00\x00\x00\x1e\x00\x00\x00\x00\x00\x0e\x01\xa1\xb0\x07\x00\x0b\x22\x06\x00\x12\x00\x00\x00\x08\x00\x02\x00\x0b"
	const value = "\x80\x02\x00\x00\x00\x1d\x00\x00\x00\x00\x00\x00\x00\x0a\x00\x08\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x01\x00\x00"
	if n, err := answering(public+value).Counter(f.Context(), tpm.EpochCounter); n != 7 || err != nil {
		f.Fatal(n, err)
	}
	f.Add(public + value)
	f.Add("\x80\x01\x00\x00\x00\x0a\x00\x00\x01\x8b")
	f.Fuzz(func(t *testing.T, answers string) {
		n, err := answering(answers).Counter(t.Context(), tpm.EpochCounter)
		if err == nil && !strings.Contains(answers, string(binary.BigEndian.AppendUint64(nil, n))) {
			t.Errorf("it is at %d", n)
		}
	})
}
