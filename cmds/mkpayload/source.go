package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

const modulePath = "github.com/alpboot/alpboot"

// source is the checkout of alpboot that is built from.
type source struct {
	Dir       string
	GoVersion string // of go.mod: 1.26.0
}

func findSource(ctx context.Context) (source, error) {
	out, err := command(ctx, "", "go", "list", "-m", "-json", modulePath)
	if err != nil {
		return source{}, fmt.Errorf("must run inside a checkout of alpboot: %w", err)
	}
	var s source
	if err := json.Unmarshal(out, &s); err != nil {
		return source{}, fmt.Errorf("reading what go list says of %s: %w", modulePath, err)
	}
	return s, nil
}

// describe gives the version of the checkout: what git says of it, else the
// newest release in CHANGELOG.md, as an unpacked archive has no history.
func (s source) describe(ctx context.Context) string {
	if out, err := command(ctx, s.Dir, "git", "describe", "--always", "--tags", "--dirty"); err == nil {
		return strings.TrimSpace(string(out))
	}
	b, _ := os.ReadFile(filepath.Join(s.Dir, "CHANGELOG.md"))
	if m := regexp.MustCompile(`(?m)^## \[?v?(\d+\.\d+\.\d+[^\]\s]*)`).FindSubmatch(b); m != nil {
		return string(m[1])
	}
	return "dev"
}

// command runs a program in dir and gives its standard output; the error holds
// the last lines that it wrote to standard error.
func command(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, explain(err, name, stderr.Bytes())
	}
	return out, nil
}

// explain makes the error of a program that failed a sentence.
func explain(err error, name string, stderr []byte) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%s is not installed", name)
	}
	lines := strings.Split(strings.TrimSpace(string(stderr)), "\n")
	if said := strings.Join(lines[max(0, len(lines)-3):], "; "); said != "" {
		return fmt.Errorf("%s: %w: %s", name, err, said)
	}
	return fmt.Errorf("%s: %w", name, err)
}
