package tpmtest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
)

// Start starts swtpm with a TPM that has never been used, and returns a connection to
// it and how tools of TPM2 Software reach it, as their option -T. Where swtpm is
// missing the test is skipped.
func Start(t testing.TB) (conn io.ReadWriteCloser, tcti string) {
	t.Helper()
	socket := filepath.Join(directory(t), "socket")
	// Tools reach it through the same socket, one after the other: one connection
	// at a time is taken, until the process is killed.
	run(t, func() bool {
		c, err := net.Dial("unix", socket)
		conn = c
		return err == nil
	}, "--flags", "not-need-init,startup-clear", "--tpmstate", "dir="+filepath.Dir(socket),
		"--server", "type=unixio,path="+socket, "--ctrl", "type=unixio,path="+socket+".ctrl")
	t.Cleanup(func() { conn.Close() })
	return conn, socket
}

// Control starts swtpm with a TPM that has never been used, and returns its control
// socket, for QEMU. Where swtpm is missing the test is skipped.
func Control(t testing.TB) string {
	t.Helper()
	return control(t, directory(t))
}

// ControlOf is [Control] for the TPM that [Start] has started, as if it had been switched
// off and on since.
func ControlOf(t testing.TB, tcti string) string {
	t.Helper()
	const state = "tpm2-00.permall"
	dir := directory(t)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(tcti), state))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, state), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return control(t, dir)
}

func control(t testing.TB, dir string) string {
	t.Helper()
	socket := filepath.Join(dir, "socket")
	run(t, func() bool {
		_, err := os.Stat(socket)
		return err == nil
	}, "--terminate", "--flags", "startup-clear", "--tpmstate", "dir="+filepath.Dir(socket), "--ctrl", "type=unixio,path="+socket)
	return socket
}

// directory returns one for sockets, whose names must be short.
func directory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// run starts swtpm for the time of the test, and returns when it can be reached.
func run(t testing.TB, reached func() bool, args ...string) {
	t.Helper()
	boottest.NeedTools(t, "swtpm")
	cmd := exec.Command("swtpm", append([]string{"socket", "--tpm2"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for limit := time.After(time.Minute); ; {
		if reached() {
			return
		}
		select {
		case <-look.C:
		case err := <-ended:
			ended <- err
			t.Fatalf("swtpm ended: %v\n%s", err, out)
		case <-limit:
			t.Fatal("swtpm did not open its socket")
		}
	}
}

// Recorder passes everything on to a TPM, and keeps it.
type Recorder struct {
	TPM  io.ReadWriteCloser
	text strings.Builder
}

// Write implements io.Writer.
func (r *Recorder) Write(b []byte) (int, error) {
	fmt.Fprintf(&r.text, "> %x\n", b)
	return r.TPM.Write(b)
}

// Read implements io.Reader.
func (r *Recorder) Read(b []byte) (int, error) {
	n, err := r.TPM.Read(b)
	if n > 0 {
		fmt.Fprintf(&r.text, "< %x\n", b[:n])
	}
	return n, err
}

// Close implements io.Closer.
func (r *Recorder) Close() error { return r.TPM.Close() }

// Keep writes the conversation to a file.
func (r *Recorder) Keep(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(r.text.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}

// Replay returns a TPM that answers as in a conversation that was kept in a file, and
// fails the test for any other command.
func Replay(t *testing.T, file string) io.ReadWriteCloser {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return &replayed{t: t, lines: bufio.NewScanner(bytes.NewReader(b))}
}

type replayed struct {
	t     *testing.T
	lines *bufio.Scanner
}

func (r *replayed) next(kind string) []byte {
	if !r.lines.Scan() {
		r.t.Errorf("the conversation has no more lines")
		return nil
	}
	text, ok := strings.CutPrefix(r.lines.Text(), kind)
	b, err := hex.DecodeString(text)
	if !ok || err != nil {
		r.t.Errorf("the conversation has %q, %v", r.lines.Text(), err)
	}
	return b
}

func (r *replayed) Write(b []byte) (int, error) {
	if want := r.next("> "); !bytes.Equal(b, want) {
		r.t.Errorf("the command is %x, want %x", b, want)
	}
	return len(b), nil
}

func (r *replayed) Read(b []byte) (int, error) {
	answer := r.next("< ")
	if len(answer) == 0 {
		return 0, io.EOF
	}
	return copy(b, answer), nil
}

func (r *replayed) Close() error { return nil }
