package session

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/menu"
)

// freeName returns a name for the log that no file has yet.
func freeName(root *os.Root) (string, error) {
	const most = 100
	for i := 1; i <= most; i++ {
		name := "alpboot-log.txt"
		if i > 1 {
			name = fmt.Sprintf("alpboot-log-%d.txt", i)
		}
		if _, err := root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("there are %d logs already", most)
}

// saveText makes a new file of text and returns its name.
func saveText(root *os.Root, text string) (name string, err error) {
	if name, err = freeName(root); err != nil {
		return "", err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		root.Remove(name) // half of it helps nobody
	}
	return name, err
}

// saveLog writes all that is known to a file on a volume, as the user asked.
func (s *session) saveLog(device string) {
	text, scan := s.report(), s.view.scan
	s.wg.Go(func() {
		name := ""
		err := scan.Write(s.ctx, device, func(root *os.Root) (err error) {
			name, err = saveText(root, text())
			return err
		})
		result := menu.ResultMsg{Text: fmt.Sprintf("The log is in the file /%s on %s.", name, device)}
		if err != nil {
			result = menu.ResultMsg{Text: fmt.Sprintf("The log was not saved: %v.", err), Bad: true}
		}
		s.log.Info(result.Text)
		s.send(result)
	})
}

// plain returns text without what could disturb a terminal that shows the file.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}

// report returns a function that makes the text of the log: that takes longer.
func (s *session) report() func() string {
	inv, notes := s.view.known(), slices.Concat(s.allNotes(), s.choice.Notes)
	system := s.systemLines()
	return func() string {
		var b strings.Builder
		for _, l := range system() {
			if strings.HasSuffix(l, ":") {
				b.WriteString("\n" + l + "\n")
				continue
			}
			b.WriteString("  " + plain(l) + "\n")
		}
		section := func(name string) { b.WriteString("\n" + name + ":\n") }
		section("Notes")
		for _, n := range notes {
			b.WriteString("  " + n + "\n")
		}
		section("Volumes")
		for _, v := range inv.Volumes {
			fmt.Fprintf(&b, "  %s %s UUID=%s LABEL=%s\n", v.Volume.Device, v.Volume.Type, v.Volume.UUID, boot.Clean(v.Volume.Label))
			if v.Problem != "" {
				b.WriteString("    " + v.Problem + "\n")
			}
			for _, n := range v.Notes {
				b.WriteString("    " + n.String() + "\n")
			}
		}
		section("Entries")
		for i, e := range inv.Entries {
			fmt.Fprintf(&b, "  %d. %s (%s)\n    %s %s on %s, /%s, %q\n    %s\n", i+1, boot.Clean(e.Title), e.ID, e.Format, e.Source, e.Volume.Device, e.Kernel, e.Initrds, e.Cmdline)
			for _, n := range append(slices.Clone(e.Notes), e.Problem) {
				if n != "" {
					b.WriteString("    " + n + "\n")
				}
			}
		}
		section("Log")
		b.WriteString(s.Log.text())
		return strings.TrimLeft(b.String(), "\n")
	}
}
