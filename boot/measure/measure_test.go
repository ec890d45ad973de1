package measure_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/measure"
	"github.com/alpboot/alpboot/boot/tpm"
	"github.com/alpboot/alpboot/boot/tpm/tpmtest"
)

// file makes a file.
func file(t *testing.T, name, text string) *os.File {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

const (
	vmlinuz = "a kernel"
	line    = "root=UUID=u1 quiet"
)

func target(t *testing.T) kexec.Target {
	return kexec.Target{
		Kernel: file(t, "vmlinuz", vmlinuz), Cmdline: line,
		Initrds: []*os.File{file(t, "ucode", "microcode"), file(t, "initramfs", strings.Repeat("x", 1<<20))},
	}
}

// start measures t into a TPM and returns the log.
func start(t *testing.T, conn io.ReadWriteCloser, target kexec.Target) []byte {
	t.Helper()
	d := tpm.New(conn)
	list, others, err := measure.Algorithms(t.Context(), d)
	if err != nil || len(others) > 0 {
		t.Fatalf("%v, %v", others, err)
	}
	events, err := measure.Events(t.Context(), target, list, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := measure.Extend(t.Context(), d, events); n != len(events) || err != nil {
		t.Fatalf("%d of %d: %v", n, len(events), err)
	}
	log := measure.Log(events)
	// The TPM has what the log makes of it, in each bank, and nothing in the PCRs of
	// systemd.
	again, err := measure.ReadLog(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		values := measure.Replay(again, a)
		if len(values) != 2 {
			t.Errorf("PCRs %v", values)
		}
		for _, pcr := range []int{8, 9, 11, 12, 13} {
			want := values[pcr]
			if want == nil {
				want = make([]byte, a.New().Size())
			}
			if got, err := d.Read(t.Context(), pcr, a); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%v: PCR %d is %x, and the log makes it %x; %v", a, pcr, got, want, err)
			}
		}
	}
	d.Close()
	return log
}

// Where the driver has given an extension up, the PCR is extended once, whether the TPM
// has done it or not. The commands are: read PCR 8, extend it; read PCR 9, extend it
// three times.
func TestLate(t *testing.T) {
	for _, late := range []string{".d", ".n", ".n.nd", "d.n", "...d", "..d.n.d", "...d.n.d.n"} {
		f := &tpmtest.Fake{}
		f.Late("." + late) // after the one that asks for the banks
		start(t, f.Open(), target(t))
	}
	f := &tpmtest.Fake{}
	d := tpm.New(f.Open())
	defer d.Close()
	list, _, err := measure.Algorithms(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	events, err := measure.Events(t.Context(), target(t), list, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Late("...n.n.n") // that of the kernel, each time
	if n, err := measure.Extend(t.Context(), d, events); n != 1 || !errors.Is(err, tpm.ErrLate) {
		t.Errorf("%d extended, %v", n, err)
	}
	if f.PCR(9) != [32]byte{} {
		t.Error("PCR 9 was extended")
	}
}

// TestSwtpm asserts on a real emulator, with four banks, that a log makes of the PCRs
// what the TPM has.
func TestSwtpm(t *testing.T) {
	conn, socket := tpmtest.Start(t)
	log := start(t, conn, target(t))
	events, err := measure.ReadLog(log)
	if err != nil || len(events[0].Digests) != 4 {
		t.Fatalf("%v, %v", events, err)
	}
	// A tool of others makes the same of the bytes that were measured.
	boottest.NeedTools(t, "tpm2_pcrreset", "tpm2_pcrevent", "tpm2_pcrread")
	tool := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(args[0], append([]string{"-T", "swtpm:path=" + socket}, args[1:]...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	read := func(pcr string) string {
		_, value, _ := strings.Cut(tool("tpm2_pcrread", "sha256:"+pcr), "0x")
		return strings.TrimSpace(value)
	}
	for _, tt := range []struct {
		pcr   string
		texts []string
	}{
		{"8", []string{line}},
		{"9", []string{vmlinuz, "microcode", strings.Repeat("x", 1<<20)}},
	} {
		tool("tpm2_pcrreset", "16")
		for _, text := range tt.texts {
			tool("tpm2_pcrevent", "16", file(t, "text", text).Name())
		}
		if got, want := read(tt.pcr), read("16"); got != want || len(got) != 64 {
			t.Errorf("PCR %s is %s, want %s", tt.pcr, got, want)
		}
	}
}

// Two starts of the same are the same, and an edited command line changes PCR 8 only.
func TestReproducible(t *testing.T) {
	in := target(t)
	var first, second, edited tpmtest.Fake
	log := start(t, first.Open(), in)
	if again := start(t, second.Open(), in); !bytes.Equal(log, again) {
		t.Errorf("the log of the first start is\n%s\nand of the second\n%s", log, again)
	}
	in.Cmdline += " single"
	start(t, edited.Open(), in)
	if first.PCR(8) != second.PCR(8) || first.PCR(9) != second.PCR(9) {
		t.Error("two starts differ")
	}
	if edited.PCR(8) == first.PCR(8) || edited.PCR(9) != first.PCR(9) {
		t.Error("an edited command line does not change PCR 8, or changes PCR 9")
	}
	for i, text := range []string{vmlinuz, "microcode", strings.Repeat("x", 1<<20)} {
		var other tpmtest.Fake
		in := target(t)
		flipped := file(t, "flipped", text[:len(text)-1]+"!")
		if i == 0 {
			in.Kernel = flipped
		} else {
			in.Initrds[i-1] = flipped
		}
		start(t, other.Open(), in)
		if other.PCR(8) != first.PCR(8) || other.PCR(9) == first.PCR(9) {
			t.Errorf("a byte of file %d: PCR 8 changes, or PCR 9 does not", i)
		}
	}
}

// The log is what systemd would write.
func TestLog(t *testing.T) {
	sum := sha256.Sum256([]byte(line))
	e := measure.Event{PCR: 8, What: "kernel_cmdline: " + line, Digests: []tpm.Digest{{Algorithm: tpm.SHA256, Sum: sum[:]}}}
	const want = "\x1e" + `{"pcr":8,"digests":[{"hashAlg":"sha256","digest":"bbaf72d6a9b88bd0edc20bfe492b324abfc451c82bdb413483b003aa2e7f7ee4"}],` +
		`"content_type":"systemd","content":{"string":"kernel_cmdline: root=UUID=u1 quiet"}}` + "\n"
	if got := string(measure.Log([]measure.Event{e})); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, bad := range []string{
		"{}", "\x1e{", "\x1e{\"pcr\":24}", "\x1e{\"pcr\":-1}",
		"\x1e" + `{"pcr":8,"digests":[{"hashAlg":"sha256","digest":"00"}]}`, "\x1e" + `{"pcr":8,"digests":[{"hashAlg":"sha1","digest":"zz"}]}`,
	} {
		if events, err := measure.ReadLog([]byte(bad)); err == nil {
			t.Errorf("%q: %v", bad, events)
		}
	}
	// systemd's own has more in its records.
	events, err := measure.ReadLog([]byte("\x1e" + `{"pcr":11,"digests":[{"hashAlg":"sm3_256","digest":"00"}],"content_type":"systemd","content":{"string":"ready","bootId":"x","timestamp":1,"eventType":"phase"}}`))
	if err != nil || len(events) != 1 || events[0].What != "ready" || events[0].PCR != 11 || events[0].Digests != nil {
		t.Errorf("%v, %v", events, err)
	}
}

// Of a unified kernel image the kernel and the initrds of the profile that is started
// are measured.
func TestUnifiedImage(t *testing.T) {
	linux := string(boottest.BzImage("6.12.1"))
	image := func(second string) *os.File {
		return file(t, "linux.efi", string(ukitest.Image(
			ukitest.Section{Name: ".linux", Data: []byte(linux)}, ukitest.Section{Name: ".initrd", Data: []byte("common")},
			ukitest.Section{Name: ".profile", Data: []byte("ID=first")},
			ukitest.Section{Name: ".profile", Data: []byte("ID=second")}, ukitest.Section{Name: ".initrd", Data: []byte(second)})))
	}
	events := func(profile int, second string) (whats []string, sums [][]byte) {
		t.Helper()
		list, err := measure.Events(t.Context(), kexec.Target{Kernel: image(second), Profile: profile, Initrds: []*os.File{file(t, "extra", "more")}}, []tpm.Algorithm{tpm.SHA256}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list[1:] {
			what, _, _ := strings.Cut(e.What, ":")
			whats, sums = append(whats, what), append(sums, e.Digests[0].Sum)
		}
		return whats, sums
	}
	want := func(texts ...string) (sums [][]byte) {
		for _, text := range texts {
			s := sha256.Sum256([]byte(text))
			sums = append(sums, s[:])
		}
		return sums
	}
	whats, sums := events(0, "second")
	if d := cmp.Diff([]string{"kernel", "initrd", "initrd"}, whats); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want(linux, "common", "more"), sums); d != "" {
		t.Errorf("profile 0: -want +got:\n%s", d)
	}
	if _, sums = events(1, "second"); cmp.Diff(want(linux, "second", "more"), sums) != "" {
		t.Errorf("profile 1: %x", sums)
	}
}

// What stops or fails while files are read is an error; what is read is counted.
func TestEventsFail(t *testing.T) {
	in := target(t)
	var last, all int64
	if _, err := measure.Events(t.Context(), in, []tpm.Algorithm{tpm.SHA1}, func(done, total int64) { last, all = done, total }); err != nil {
		t.Fatal(err)
	}
	if want := int64(len(vmlinuz) + len("microcode") + 1<<20); last != want || all != want {
		t.Errorf("%d of %d bytes, want %d", last, all, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := measure.Events(ctx, in, []tpm.Algorithm{tpm.SHA1}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	in.Initrds[1].Close()
	if _, err := measure.Events(t.Context(), in, []tpm.Algorithm{tpm.SHA1}, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

// TestArchive has cpio unpack what is handed on.
func TestArchive(t *testing.T) {
	boottest.NeedTools(t, "cpio")
	dir := t.TempDir()
	cmd := exec.Command("cpio", "--quiet", "-id")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(measure.Archive([]byte("the log")))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, err := os.ReadFile(filepath.Join(dir, measure.LogFile)); err != nil || string(got) != "the log" {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzReadLog(f *testing.F) {
	f.Add([]byte("\x1e" + `{"pcr":8,"digests":[{"hashAlg":"sha1","digest":"e4ab2ff4387c1bd7b14e1d6d4e19ac5ac6fdd72a"}],"content":{"string":"x"}}` + "\n\x1e{}"))
	f.Fuzz(func(t *testing.T, log []byte) {
		events, err := measure.ReadLog(log)
		if err != nil {
			return
		}
		again, err := measure.ReadLog(measure.Log(events))
		if err != nil || cmp.Diff(events, again) != "" {
			t.Errorf("%v becomes %v, %v", events, again, err)
		}
		measure.Replay(events, tpm.SHA1)
	})
}
