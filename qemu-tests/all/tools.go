package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Programs of other modules. They are run at these versions, and are not part of
// the module's requirements.
const (
	staticcheck = "honnef.co/go/tools/cmd/staticcheck@v0.8.2"
	govulncheck = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
)

// vulnerabilities is where govulncheck reads what is known of modules.
func vulnerabilities() string {
	if url := os.Getenv("GOVULNDB"); url != "" {
		return url
	}
	return "https://vuln.go.dev"
}

// unreachable returns why the database of govulncheck cannot be read, or nil
// when it can.
func unreachable(ctx context.Context, url string) error {
	if strings.HasPrefix(url, "file:") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, strings.TrimSuffix(url, "/")+"/index/db.json.gz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// goPackage is what go list reports of a package.
type goPackage struct {
	Dir, ImportPath                                    string
	GoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
}

// goList lists the packages of the module.
func goList(ctx context.Context) ([]goPackage, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-json=Dir,ImportPath,GoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var packages []goPackage
	var decoding error
	for in := json.NewDecoder(out); ; {
		var p goPackage
		if decoding = in.Decode(&p); decoding != nil {
			break
		}
		packages = append(packages, p)
	}
	if decoding == io.EOF {
		decoding = nil
	}
	if err := errors.Join(decoding, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	return packages, nil
}

// concurrency is what starts a goroutine, or serves several of them.
var concurrency = regexp.MustCompile(`(?m)^\s*go [a-zA-Z(]|\.Go\(|\bsynctest\.|\bsync\.(RW)?Mutex|\batomic\.`)

// concurrent reports whether the package or its tests start goroutines, or are
// meant for use by several.
func (p goPackage) concurrent() bool {
	return p.any(concurrency, p.GoFiles, p.TestGoFiles, p.XTestGoFiles)
}

// shortens matches what leaves out a part of the tests.
var shortens = regexp.MustCompile(`\btesting\.Short\(\)`)

// long reports whether -short leaves out some of the package's tests.
func (p goPackage) long() bool { return p.any(shortens, p.TestGoFiles, p.XTestGoFiles) }

// any reports whether one of the package's files matches.
func (p goPackage) any(re *regexp.Regexp, lists ...[]string) bool {
	return slices.ContainsFunc(slices.Concat(lists...), func(name string) bool {
		b, err := os.ReadFile(filepath.Join(p.Dir, name))
		return err == nil && re.Match(b)
	})
}
