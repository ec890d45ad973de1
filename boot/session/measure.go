package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/measure"
	"github.com/alpboot/alpboot/boot/tpm"
)

// measuring measures what is started into the machine's TPM. The job that is loading
// has it, and the session between two.
type measuring struct {
	root fs.FS
	open func(name string) (io.ReadWriteCloser, error)
	log  *slog.Logger

	events []measure.Event // that are in the PCRs since this menu began
	err    error           // why the last start is not measured
	silent bool            // the TPM has not answered, and is not asked again
	waited bool            // in vain for the driver of the TPM
}

// tpmLimit is how long a TPM may take for what it is asked at a time.
const tpmLimit = 3 * time.Second

// ask has do ask the TPM, if there is one, and reports whether that worked. What does
// not work is logged, and no reason not to start.
func (m *measuring) ask(do func(ctx context.Context, d *tpm.Device) error) bool {
	name := tpm.Find(m.root)
	if name == "" {
		return false
	}
	if m.silent {
		m.err = fmt.Errorf("the TPM has not answered before: %w", tpm.ErrNoAnswer)
	} else {
		m.err = askTPM(name, m.open, do)
		m.silent = errors.Is(m.err, tpm.ErrNoAnswer)
	}
	if m.err != nil {
		m.log.Warn("the start is not measured", "error", m.err)
	}
	return m.err == nil
}

func askTPM(name string, open func(name string) (io.ReadWriteCloser, error), do func(ctx context.Context, d *tpm.Device) error) error {
	rw, err := open(name)
	if err != nil {
		return err
	}
	d := tpm.New(rw)
	defer d.Close()
	ctx, cancel := context.WithTimeout(context.Background(), tpmLimit) // also when the start is stopped: a TPM is not left in the middle
	defer cancel()
	return do(ctx, d)
}

// digest returns what the start of t adds to the PCRs; nothing without a TPM that
// works. The error is that of a file.
func (m *measuring) digest(ctx context.Context, t kexec.Target, progress func(done, total int64)) ([]measure.Event, error) {
	m.err = nil
	var algorithms []tpm.Algorithm
	ok := m.ask(func(ctx context.Context, d *tpm.Device) (err error) {
		var others []tpm.Algorithm
		if algorithms, others, err = measure.Algorithms(ctx, d); len(others) > 0 {
			m.log.Warn("banks of the TPM stay as they are, as their digests are not computed here", "banks", others)
		}
		return err
	})
	if !ok {
		return nil, nil
	}
	return measure.Events(ctx, t, algorithms, progress)
}

// load loads t, which extends the PCRs by events, and then extends them. The system
// finds the log in its initramfs, and in it what is in the PCRs: where one cannot be
// extended t is loaded again, with another log.
func (m *measuring) load(ctx context.Context, loader *kexec.Loader, t kexec.Target, events []measure.Event) error {
	readable := len(t.Initrds) > 0 || len(events) > 2 // a unified kernel image has its own
	for {
		err := m.loadWithLog(ctx, loader, t, events, readable)
		if err != nil || len(events) == 0 {
			return err
		}
		extended := 0
		ok := m.ask(func(ctx context.Context, d *tpm.Device) (err error) {
			extended, err = measure.Extend(ctx, d, events)
			return err
		})
		for _, e := range events[:extended] {
			d := e.Digests[len(e.Digests)-1]
			m.log.Info("measured", "pcr", e.PCR, "what", e.What, d.Algorithm.String(), fmt.Sprintf("%x", d.Sum))
		}
		m.events = append(m.events, events[:extended]...)
		if ok {
			return nil
		}
		events = nil
	}
}

// loadWithLog loads t with the log that the PCRs have when events are in them, if it
// is readable: a system without an initrd would never see it.
func (m *measuring) loadWithLog(ctx context.Context, loader *kexec.Loader, t kexec.Target, events []measure.Event, readable bool) error {
	log := append(m.inherited(), measure.Log(append(m.events[:len(m.events):len(m.events)], events...))...)
	if len(log) > 0 && readable {
		f, err := kexec.MemFile("tpm2-measure.log", bytes.NewReader(measure.Archive(log)))
		if err != nil {
			return fmt.Errorf("passing the log of what was measured to the system: %w", err)
		}
		defer f.Close()
		t.Initrds = append(t.Initrds[:len(t.Initrds):len(t.Initrds)], f)
	}
	return loader.Load(ctx, t)
}

// inherited returns the log of another menu that has started this one.
func (m *measuring) inherited() []byte {
	log, _ := fs.ReadFile(m.root, measure.LogFile)
	return log
}

// problem returns why the last start is not measured, as a sentence.
func (m *measuring) problem() string {
	if m.err == nil {
		return ""
	}
	return sentence(fmt.Errorf("this start is not measured: %w", m.err))
}

// pcrLines returns what is in the PCRs that a start is measured into, for the page
// about the machine; nothing without a TPM.
func (s *session) pcrLines() (lines []string) {
	name := tpm.Find(s.Root)
	if name == "" {
		return nil
	}
	err := askTPM(name, s.Machine.TPM, func(ctx context.Context, d *tpm.Device) error {
		list, _, err := measure.Algorithms(ctx, d)
		if err != nil {
			return err
		}
		a := list[len(list)-1]
		for _, p := range []struct {
			pcr  int
			what string
		}{{measure.CmdlinePCR, "command lines"}, {measure.FilesPCR, "kernels and initrds"}} {
			value, err := d.Read(ctx, p.pcr, a)
			if err != nil {
				return err
			}
			text := fmt.Sprintf("%v %x", a, value)
			if len(bytes.Trim(value, "\x00")) == 0 {
				text = "nothing was measured"
			}
			lines = append(lines, fmt.Sprintf("PCR %d (%s): %s", p.pcr, p.what, text))
		}
		return nil
	})
	if err != nil {
		lines = append(lines, fmt.Sprintf("The PCRs cannot be read: %v", err))
	}
	return lines
}
