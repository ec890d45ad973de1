package command

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/alpboot/alpboot/boot/chart"
)

// showChart prints when what ran in the start of the menu that a log which it has
// saved is of, and with picture draws it there.
func showChart(w io.Writer, log string, asText bool, picture string) error {
	const most = 16 << 20 // bytes of a log
	f, err := os.Open(log)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return err
	}
	spans := chart.Read(string(b))
	if len(spans) == 0 {
		return fmt.Errorf("%s has nothing about a start in it: the keys l and w in the menu save a log that has", log)
	}
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
