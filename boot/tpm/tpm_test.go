package tpm_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/tpm"
	"github.com/alpboot/alpboot/boot/tpm/tpmtest"
)

func TestFind(t *testing.T) {
	for _, tt := range []struct{ files, want string }{
		{"", ""},
		{"sys/class/tpm/tpm0/tpm_version_major=2 sys/class/tpmrm/tpmrm0/dev=1", "tpmrm0"},
		{"sys/class/tpm/tpm0/tpm_version_major=2", "tpm0"},
		{"sys/class/tpm/tpm0/tpm_version_major=1", ""},
		{"sys/class/tpm/tpm0/dev=10", ""},
	} {
		root := fstest.MapFS{}
		for f := range strings.FieldsSeq(tt.files) {
			name, text, _ := strings.Cut(f, "=")
			root[name] = boottest.File(text + "\n")
		}
		if got := tpm.Find(root); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.files, got, tt.want)
		}
	}
}

// talk has all commands done once, and returns what PCR 9 holds then in the bank
// sha256.
func talk(t *testing.T, rw io.ReadWriteCloser) string {
	t.Helper()
	ctx := t.Context()
	d := tpm.New(rw)
	banks, err := d.Banks(ctx)
	if err != nil || len(banks) == 0 {
		t.Fatalf("banks %v, %v", banks, err)
	}
	const pcr, text = 9, "kernel"
	var digests []tpm.Digest
	want := map[tpm.Algorithm][]byte{}
	for _, b := range banks {
		if !b.Has(pcr) || b.New() == nil {
			t.Errorf("bank %v", b)
			continue
		}
		h := b.New()
		h.Write([]byte(text))
		sum := h.Sum(nil)
		digests = append(digests, tpm.Digest{Algorithm: b.Algorithm, Sum: sum})
		before, err := d.Read(ctx, pcr, b.Algorithm)
		if err != nil || !bytes.Equal(before, make([]byte, h.Size())) {
			t.Errorf("%v: PCR %d is %x, %v at the start", b.Algorithm, pcr, before, err)
		}
		h.Reset()
		h.Write(before)
		h.Write(sum)
		want[b.Algorithm] = h.Sum(nil)
	}
	if err := d.Extend(ctx, pcr, digests); err != nil {
		t.Fatal(err)
	}
	for _, b := range banks {
		got, err := d.Read(ctx, pcr, b.Algorithm)
		if err != nil || !bytes.Equal(got, want[b.Algorithm]) {
			t.Errorf("%v: PCR %d is %x, want %x; %v", b.Algorithm, pcr, got, want[b.Algorithm], err)
		}
	}
	if got, err := d.Read(ctx, 8, tpm.SHA256); err != nil || !bytes.Equal(got, make([]byte, sha256.Size)) {
		t.Errorf("PCR 8 is %x, %v", got, err)
	}
	// What it refuses.
	var code tpm.Code
	if err := d.Extend(ctx, 99, digests); !errors.As(err, &code) || !strings.HasPrefix(err.Error(), "extending PCR 99 of the TPM: ") {
		t.Errorf("extending PCR 99: %v", err)
	}
	if got, err := d.Read(ctx, pcr, 0x12); err == nil {
		t.Errorf("a bank that it does not have: %x", got)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	return fmt.Sprintf("%X", want[tpm.SHA256])
}

const conversation = "testdata/swtpm.txt"

// TestSwtpm has a real emulator do all commands, and a tool of others read what came
// of it. With -update the conversation is kept for TestConversation.
func TestSwtpm(t *testing.T) {
	conn, socket := tpmtest.Start(t)
	r := &tpmtest.Recorder{TPM: conn}
	want := talk(t, r)
	if boottest.Update() {
		r.Keep(t, conversation)
	}
	boottest.NeedTools(t, "tpm2_pcrread")
	out, err := exec.Command("tpm2_pcrread", "-T", "swtpm:path="+socket, "sha256:9").CombinedOutput()
	if err != nil || !strings.Contains(string(out), want) {
		t.Errorf("tpm2_pcrread: %v\n%s\nwant %s", err, out, want)
	}
}

// TestConversation is the same where there is no emulator.
func TestConversation(t *testing.T) { talk(t, tpmtest.Replay(t, conversation)) }

// TestFake asserts that the TPM which other tests use answers as a real one.
func TestFake(t *testing.T) {
	f := &tpmtest.Fake{}
	d := tpm.New(f.Open())
	banks, err := d.Banks(t.Context())
	if err != nil || len(banks) != 2 || banks[1] != (tpm.Bank{Algorithm: tpm.SHA256, PCRs: 0xffffff}) {
		t.Fatalf("banks %v, %v", banks, err)
	}
	digests := []tpm.Digest{{Algorithm: tpm.SHA1, Sum: make([]byte, 20)}, {Algorithm: tpm.SHA256, Sum: make([]byte, 32)}}
	if err := d.Extend(t.Context(), 8, digests); err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(make([]byte, 64))
	if got, err := d.Read(t.Context(), 8, tpm.SHA256); err != nil || !bytes.Equal(got, want[:]) || f.PCR(8) != want {
		t.Errorf("PCR 8 is %x, %v", got, err)
	}
	f.Refuse(1, 0x101)
	if err := d.Extend(t.Context(), 8, digests); err != nil {
		t.Error(err)
	}
	if err := d.Extend(t.Context(), 8, digests); err == nil {
		t.Error("it was to refuse that")
	}
	d.Close()
	if n := f.Opened(); n != 0 {
		t.Errorf("%d are open", n)
	}
}

// A command that changes nothing is run again when the driver has given it up.
func TestLate(t *testing.T) {
	f := &tpmtest.Fake{}
	d := tpm.New(f.Open())
	defer d.Close()
	f.Late("dn.nd.ddd")
	if banks, err := d.Banks(t.Context()); err != nil || len(banks) != 2 {
		t.Errorf("banks %v, %v", banks, err)
	}
	if _, err := d.Read(t.Context(), 8, tpm.SHA256); err != nil {
		t.Error(err)
	}
	if _, err := d.Read(t.Context(), 8, tpm.SHA256); !errors.Is(err, tpm.ErrLate) {
		t.Errorf("after three times: %v", err)
	}
}

// One that does not answer is given up when the context ends, asked for nothing more,
// and closed when it answers after all.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &tpmtest.Fake{}
		release := f.Hang()
		d := tpm.New(f.Open())
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := d.Banks(ctx)
		if err == nil || err.Error() != "asking the TPM for its banks: it does not answer" || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := d.Extend(t.Context(), 8, nil); err == nil || time.Since(start) != 3*time.Second {
			t.Errorf("it was asked again, until %v: %v", time.Since(start), err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if n := f.Opened(); n != 1 {
			t.Errorf("%d are open while it is waited for", n)
		}
		release()
		synctest.Wait()
		if n := f.Opened(); n != 0 {
			t.Errorf("%d are open at the end", n)
		}
	})
}

func TestCode(t *testing.T) {
	for code, want := range map[tpm.Code]string{
		0x101:   "it has failed its self-test; switching the machine off and on may help (TPM_RC 0x101)",
		0x921:   "it refuses for a while, as too many wrong passwords were tried (TPM_RC 0x921)",
		0x98e:   "a wrong password (TPM_RC 0x98e)",
		0x99d:   "this machine has not started as it had when the secret was sealed (TPM_RC 0x99d)",
		0x1df:   "the secret was sealed by another TPM (TPM_RC 0x1df)",
		0x18b:   "it has no such key (TPM_RC 0x18b)",
		0x2c4:   "a value is not one that it takes (TPM_RC 0x2c4)",
		0xb0143: "it does not know this command (TPM_RC 0xb0143)",
		0x1:     "it refuses (TPM_RC 0x001)",
	} {
		if got := code.Error(); got != want {
			t.Errorf("%#x: %q, want %q", uint32(code), got, want)
		}
	}
	err := fmt.Errorf("reading: %w", tpm.Code(0x99d))
	if !errors.Is(err, tpm.PolicyFail) || errors.Is(err, tpm.AuthFail) || errors.Is(errors.New("another"), tpm.PolicyFail) {
		t.Error("a code with the number of a session is not recognised")
	}
}

// answers is a TPM that answers what it is told to, byte by byte.
type answers struct {
	io.Reader
	io.Writer
}

func (answers) Close() error { return nil }

func answering(text string) *tpm.Device {
	return tpm.New(answers{iotest.OneByteReader(strings.NewReader(text)), io.Discard})
}

// An answer that makes no sense is an error, and no more.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct{ name, answer, want string }{
		{"none", "", "unexpected EOF"},
		{"half a header", "\x80\x01\x00\x00", "unexpected EOF"},
		{"half", "\x80\x01\x00\x00\x00\x0c\x00\x00\x00\x00\x00", "unexpected EOF"},
		{"too short a size", "\x80\x01\x00\x00\x00\x02\x00\x00\x00\x00", "its answer makes no sense"},
		{"a size beyond all bounds", "\x80\x01\xff\xff\xff\xff\x00\x00\x00\x00", "its answer makes no sense"},
		{"nothing", "\x80\x01\x00\x00\x00\x0a\x00\x00\x00\x00", "its answer makes no sense"},
		{"another tag", "\x00\xc4\x00\x00\x00\x0a\x00\x00\x00\x00", "its answer makes no sense"},
		{"of TPM 1.2", "\x00\xc4\x00\x00\x00\x0a\x00\x00\x00\x1e", "it is not a TPM 2.0 (TPM_RC 0x01e)"},
		{"another capability", "\x80\x01\x00\x00\x00\x13\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x00", "its answer makes no sense"},
		{"banks that are not there", "\x80\x01\x00\x00\x00\x13\x00\x00\x00\x00\x00\x00\x00\x00\x05\xff\xff\xff\xff", "its answer makes no sense"},
		{"more than that", "\x80\x01\x00\x00\x00\x14\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00", "its answer makes no sense"},
	} {
		_, err := answering(tt.answer).Banks(t.Context())
		if want := "asking the TPM for its banks: " + tt.want; err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", tt.name, err, want)
		}
	}
	if _, err := answering("\x80\x01\x00\x00\x00\x13\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00").Banks(t.Context()); err != nil {
		t.Errorf("no banks: %v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, line := range []string{
		"\x80\x01\x00\x00\x00\x19\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x01\x00\x0b\x03\xff\xff\xff",
		"\x80\x01\x00\x00\x00\x3e\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x0b\x03\x00\x02\x00\x00\x00\x00\x01\x00\x20" + strings.Repeat("d", 32),
		"\x80\x02\x00\x00\x00\x13\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"\x80\x01\x00\x00\x00\x0a\x00\x00\x09\x21",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		ctx := t.Context()
		banks, err := answering(answer).Banks(ctx)
		if err == nil && slices.ContainsFunc(banks, func(b tpm.Bank) bool { return b.PCRs == 0 }) {
			t.Errorf("a bank without PCRs: %v", banks)
		}
		value, err := answering(answer).Read(ctx, 9, tpm.SHA256)
		if err == nil && (len(value) == 0 || !strings.Contains(answer, string(value))) {
			t.Errorf("PCR 9 is %x", value)
		}
		if err := answering(answer).Extend(ctx, 9, nil); err == nil && !strings.HasPrefix(answer, "\x80\x02") {
			t.Error("PCR 9 was extended")
		}
	})
}
