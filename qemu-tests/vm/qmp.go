package vm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// monitor speaks QEMU's machine protocol, QMP:
// https://www.qemu.org/docs/master/interop/qmp-spec.html
type monitor struct {
	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
}

// newMonitor greets QEMU and leaves the protocol's negotiation mode.
func newMonitor(conn net.Conn) (*monitor, error) {
	m := &monitor{conn: conn, in: bufio.NewReader(conn)}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := m.in.ReadBytes('\n'); err != nil {
		return nil, fmt.Errorf("waiting for QEMU's greeting: %w", err)
	}
	return m, m.execute("qmp_capabilities", nil, nil)
}

// execute runs one command and decodes what it returns into result, which may
// be nil. Events that come in between are passed over.
func (m *monitor) execute(command string, arguments, result any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conn.SetDeadline(time.Now().Add(30 * time.Second))
	req := map[string]any{"execute": command}
	if arguments != nil {
		req["arguments"] = arguments
	}
	if err := json.NewEncoder(m.conn).Encode(req); err != nil {
		return fmt.Errorf("QMP %s: %w", command, err)
	}
	for {
		line, err := m.in.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("QMP %s: %w", command, err)
		}
		var resp struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := json.Unmarshal(line, &resp); err != nil {
			return fmt.Errorf("QMP %s: %w", command, err)
		}
		switch {
		case resp.Error != nil:
			return fmt.Errorf("QMP %s: %s", command, resp.Error.Desc)
		case resp.Return != nil && result != nil:
			return json.Unmarshal(resp.Return, result)
		case resp.Return != nil:
			return nil
		}
	}
}

// QMP runs a command of QEMU's machine protocol, such as device_add, and
// decodes what it returns into result, which may be nil.
func (m *VM) QMP(command string, arguments, result any) error {
	return m.monitor.execute(command, arguments, result)
}

// Screendump writes a picture of the VGA screen to a PNG file.
func (m *VM) Screendump(file string) error {
	return m.QMP("screendump", map[string]any{"filename": file, "format": "png"}, nil)
}

// Where a VGA card in text mode keeps its characters, two bytes each, and how
// many rows have room there.
const (
	textMemory = 0xb8000
	textRows   = 0x8000 / 2 / Columns
)

// Text returns the characters that a VGA card in text mode holds. That is more
// than the screen shows: rows that Linux has scrolled away stay in its memory.
// A full row goes on in the next one, as a console breaks long lines; what is
// not ASCII is a question mark.
func (m *VM) Text() (string, error) {
	file := filepath.Join(m.dir, "text")
	defer os.Remove(file)
	if err := m.QMP("pmemsave", map[string]any{"val": textMemory, "size": textRows * Columns * 2, "filename": file}, nil); err != nil {
		return "", err
	}
	memory, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for row := range slices.Chunk(memory, Columns*2) {
		var line []byte
		for i := 0; i < len(row); i += 2 {
			c := row[i]
			switch {
			case c == 0:
				c = ' '
			case c < ' ' || c > '~':
				c = '?'
			}
			line = append(line, c)
		}
		if line = bytes.TrimRight(line, " "); len(line) < Columns {
			line = append(line, '\n')
		}
		b.Write(line)
	}
	return b.String(), nil
}

// AwaitText waits at most limit until ok accepts what [VM.Text] returns; what
// names that in the error.
func (m *VM) AwaitText(limit time.Duration, what string, ok func(text string) bool) error {
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	start, held := time.Now(), m.heldBack()
	for {
		text, err := m.Text()
		switch {
		case err != nil:
			return fmt.Errorf("waiting for %s on the VGA screen: %w", what, err)
		case ok(text):
			return nil
		case time.Since(start)-(m.heldBack()-held) > limit:
			return fmt.Errorf("waiting for %s on the VGA screen: not within %v; it holds\n%s\nTo run this machine by hand:\n  %s",
				what, limit, strings.TrimRight(text, "\n"), m.Reproduce())
		}
		<-look.C
	}
}

// SendKey presses keys on the machine's own keyboard.
func (m *VM) SendKey(keys ...Key) error {
	for _, k := range keys {
		chords := k.qcodes()
		if chords == nil {
			return fmt.Errorf("no key of a PC keyboard is known for %q", string(k))
		}
		for _, chord := range chords {
			var values []map[string]string
			for _, name := range chord {
				values = append(values, map[string]string{"type": "qcode", "data": name})
			}
			if err := m.QMP("send-key", map[string]any{"keys": values}, nil); err != nil {
				return err
			}
		}
	}
	return nil
}
