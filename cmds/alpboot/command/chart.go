package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/alpboot/alpboot/boot/chart"
	"github.com/alpboot/alpboot/boot/kexec"
)

// startOf returns when what ran in a start of the menu: of the log that words name, else
// of that which has started this machine.
func startOf(machine fs.FS, words []string) ([]chart.Span, error) {
	if len(words) == 0 {
		text, entered := kexec.Handed(machine)
		spans := chart.Entered(chart.Unmarshal(text), entered)
		if len(spans) == 0 {
			return nil, errors.New("the menu has handed nothing on to this system about its start: it does where it starts one by kexec_load on x86. Name a log that it has saved (the keys l and w there)")
		}
		return spans, nil
	}
	const most = 16 << 20 // bytes of a log
	f, err := os.Open(words[0])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil, err
	}
	spans := chart.Read(string(b))
	if len(spans) == 0 {
		return nil, fmt.Errorf("%s has nothing about a start in it: the keys l and w in the menu save a log that has", words[0])
	}
	return spans, nil
}

// showChart prints spans, and with picture draws them there.
func showChart(w io.Writer, spans []chart.Span, asText bool, picture string) error {
	if asText {
		if err := chart.Text(w, spans); err != nil {
			return err
		}
	}
	if picture == "" {
		return nil
	}
	var drawn bytes.Buffer
	if err := chart.SVG(&drawn, spans); err != nil {
		return err
	}
	return os.WriteFile(picture, drawn.Bytes(), 0o644)
}
