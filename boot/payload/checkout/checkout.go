// Package checkout finds the checkout of alpboot that is built from.
package checkout

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/alpboot/alpboot/boot/payload"
)

// Module is the import path of alpboot.
const Module = "github.com/alpboot/alpboot"

// Checkout is a checkout of alpboot.
type Checkout struct {
	Dir       string
	GoVersion string // of go.mod: 1.26.0
}

// Find returns the checkout that the working directory is in.
func Find(ctx context.Context) (Checkout, error) {
	out, err := payload.Run(ctx, "", "go", "list", "-m", "-json", Module)
	if err != nil {
		return Checkout{}, fmt.Errorf("must run inside a checkout of alpboot: %w", err)
	}
	var s Checkout
	if err := json.Unmarshal(out, &s); err != nil {
		return Checkout{}, fmt.Errorf("reading what go list prints about %s: %w", Module, err)
	}
	return s, nil
}

// Version returns the version of the checkout: from git, else the
// newest release in CHANGELOG.md, as an unpacked archive has no history.
func (s Checkout) Version(ctx context.Context) string {
	if out, err := s.Git(ctx, "describe", "--always", "--tags", "--dirty"); err == nil {
		version := strings.TrimSpace(string(out))
		if tag := strings.TrimPrefix(version, "v"); tag != "" && tag[0] >= '0' && tag[0] <= '9' {
			version = tag
		}
		return version
	}
	b, _ := os.ReadFile(filepath.Join(s.Dir, "CHANGELOG.md"))
	if m := regexp.MustCompile(`(?m)^## \[?v?(\d+\.\d+\.\d+[^\]\s]*)`).FindSubmatch(b); m != nil {
		return string(m[1])
	}
	return "dev"
}

// Git runs git on the checkout and returns its standard output. An archive that was
// unpacked inside of another repository is none.
func (s Checkout) Git(ctx context.Context, args ...string) ([]byte, error) {
	if _, err := os.Stat(filepath.Join(s.Dir, ".git")); err != nil {
		return nil, fmt.Errorf("no git repository: %w", err)
	}
	return payload.Run(ctx, s.Dir, "git", args...)
}

// Build returns the directory that what is built for a processor goes to.
func (s Checkout) Build(goarch string) string {
	if goarch == "amd64" {
		goarch = "x86_64"
	}
	return filepath.Join(s.Dir, "build", goarch)
}

// Output returns a file in the build directory of the checkout that the working
// directory is in.
func Output(ctx context.Context, goarch, name string) (string, error) {
	src, err := Find(ctx)
	if err != nil {
		return "", err
	}
	return filepath.Join(src.Build(goarch), name), nil
}
