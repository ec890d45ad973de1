package initramfs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/u-root/gobusybox/src/pkg/bb"
	"github.com/u-root/gobusybox/src/pkg/golang"

	"github.com/alpboot/alpboot/boot/payload/checkout"
)

// busybox is how the Go commands of the image become one binary.
type busybox struct {
	goarch   string
	commands []string // import paths
	minimal  bool
	version  string
	source   checkout.Checkout
}

// build compiles the binary and returns its path, below the empty directory dir.
//
// gobusybox rewrites the sources; the compiler is called here, because what
// gobusybox does with them is not what is needed. It builds in GOPATH mode, in
// which a program gets the GODEBUG defaults of Go 1.20 unless it states
// otherwise: old timers, panic(nil), weak TLS. And it always rebuilds all.
func (b busybox) build(ctx context.Context, dir string) (string, error) {
	tags := []string{"tcell_minimal", "alpboot_image"}
	if b.minimal {
		tags = append(tags, "alpboot_minimal")
	}
	env := golang.Default(golang.DisableCGO(), golang.WithGOOS("linux"), golang.WithGOARCH(b.goarch),
		golang.WithBuildTag(tags...), golang.WithWorkingDir(b.source.Dir))
	var log lineLog
	err := bb.BuildBusybox(&log, &bb.Opts{
		Env:          env,
		GenSrcDir:    dir,
		CommandPaths: b.commands,
		GenerateOnly: true,
	})
	if err != nil {
		return "", fmt.Errorf("generating the source of the commands: %w\n%s", err, log.String())
	}

	if err := trim(filepath.Join(dir, "src")); err != nil {
		return "", err
	}

	main := filepath.Join(dir, "src/bb.u-root.com/bb")
	goLine := strings.Join(strings.SplitN(b.source.GoVersion, ".", 3)[:2], ".")
	godebug := fmt.Sprintf("//go:debug default=go%s\n\npackage main\n", goLine)
	if err := os.WriteFile(filepath.Join(main, "godebug.go"), []byte(godebug), 0o666); err != nil {
		return "", err
	}

	binary := filepath.Join(dir, "bb")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-tags="+strings.Join(env.BuildTags, ","),
		"-gcflags=all=-l", // no inlining: a quarter smaller
		"-ldflags=-s -w -buildid= -X="+checkout.Module+"/boot/version.Version="+b.version,
		"-o="+binary, ".")
	cmd.Dir = main
	// Nothing in the user's environment may change what is built.
	cmd.Env = append(os.Environ(), "GO111MODULE=off", "GOPATH="+dir, "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=",
		"GOFIPS140=off", "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+b.goarch, "GOAMD64=v1", "GOARM64=v8.0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compiling the commands: %w\n%s", err, out)
	}
	// Its mode goes into the image, and the compiler leaves that to the umask.
	return binary, os.Chmod(binary, 0o755)
}

// names returns the names of the commands.
func (b busybox) names() []string {
	var list []string
	for _, c := range b.commands {
		list = append(list, path.Base(c))
	}
	return list
}

// lineLog keeps what gobusybox prints for when it fails.
type lineLog struct {
	strings.Builder
}

func (l *lineLog) Printf(format string, args ...any) { fmt.Fprintf(l, format+"\n", args...) }
