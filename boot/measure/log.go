package measure

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"

	"github.com/alpboot/alpboot/boot/cpio"
	"github.com/alpboot/alpboot/boot/tpm"
)

// LogFile is where a system that is started finds the log, in its initramfs.
const LogFile = "alpboot/tpm2-measure.log"

// Archive returns an initrd that holds a log as [LogFile].
func Archive(log []byte) []byte {
	return cpio.Archive(cpio.File{Name: path.Dir(LogFile) + "/", Mode: 0o755}, cpio.File{Name: LogFile, Mode: 0o600, Data: log})
}

// record is an event as systemd writes it to /run/log/systemd/tpm2-measure.log: of the
// Canonical Event Log Format of the Trusted Computing Group, without recnum.
type record struct {
	PCR         int      `json:"pcr"`
	Digests     []digest `json:"digests"`
	ContentType string   `json:"content_type"`
	Content     content  `json:"content"`
}

type digest struct {
	Algorithm string `json:"hashAlg"`
	Sum       string `json:"digest"`
}

// content lacks the boot ID and the time that systemd has there, so that two starts
// of the same have the same log.
type content struct {
	String string `json:"string"`
}

// separator comes before each record (RFC 7464).
const separator = 0x1e

// Log returns events as a log.
func Log(events []Event) []byte {
	var b []byte
	for _, e := range events {
		r := record{PCR: e.PCR, Digests: []digest{}, ContentType: "systemd", Content: content{e.What}}
		for _, d := range e.Digests {
			r.Digests = append(r.Digests, digest{d.Algorithm.String(), hex.EncodeToString(d.Sum)})
		}
		line, _ := json.Marshal(r) // nothing in it can fail
		b = append(append(append(b, separator), line...), '\n')
	}
	return b
}

// ReadLog reads a log. Digests by algorithms that are not computed here are left out.
func ReadLog(log []byte) ([]Event, error) {
	var events []Event
	for i, text := range bytes.Split(log, []byte{separator}) {
		if i == 0 {
			if len(bytes.TrimSpace(text)) > 0 {
				return nil, fmt.Errorf("the log does not begin with a record")
			}
			continue
		}
		var r record
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("record %d of the log: %w", i, err)
		}
		if r.PCR < 0 || r.PCR > 23 {
			return nil, fmt.Errorf("record %d of the log: there is no PCR %d", i, r.PCR)
		}
		e := Event{PCR: r.PCR, What: r.Content.String}
		for _, d := range r.Digests {
			j := slices.IndexFunc(tpm.Algorithms(), func(a tpm.Algorithm) bool { return a.String() == d.Algorithm })
			if j < 0 {
				continue
			}
			a := tpm.Algorithms()[j]
			sum, err := hex.DecodeString(d.Sum)
			if err == nil && len(sum) != a.New().Size() {
				err = fmt.Errorf("%d bytes are not a digest", len(sum))
			}
			if err != nil {
				return nil, fmt.Errorf("record %d of the log: %v: %w", i, a, err)
			}
			e.Digests = append(e.Digests, tpm.Digest{Algorithm: a, Sum: sum})
		}
		events = append(events, e)
	}
	return events, nil
}
