package payload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Run runs a program in dir and returns its standard output; the error has the
// last lines that it wrote to standard error.
func Run(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, Explain(err, name, stderr.Bytes())
	}
	return out, nil
}

// Explain makes the error of a program that failed a sentence.
func Explain(err error, name string, stderr []byte) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%s is not installed", name)
	}
	lines := strings.Split(strings.TrimSpace(string(stderr)), "\n")
	if last := strings.Join(lines[max(0, len(lines)-3):], "; "); last != "" {
		return fmt.Errorf("%s: %w: %s", name, err, last)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// Environ returns the environment for a program, without variables that would
// change what it makes: these, and those of compressors, which take filters and
// block sizes from them.
func Environ(without ...string) []string {
	without = append(without, "XZ_OPT", "XZ_DEFAULTS", "ZSTD_CLEVEL", "ZSTD_NBTHREADS")
	return slices.DeleteFunc(os.Environ(), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return slices.Contains(without, name)
	})
}

// Quote joins arguments into a line that a POSIX shell splits into the same again.
func Quote(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		if a == "" || strings.ContainsFunc(a, func(r rune) bool {
			return !strings.ContainsRune("-_./,:=+@%", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		}) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		quoted[i] = a
	}
	return strings.Join(quoted, " ")
}
