// Package payload makes the firmware payloads that virtual machines boot, by
// cmds/mkpayload, and the firmware images and keys that this needs.
package payload

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/alpboot/alpboot/qemu-tests/assets"
)

// Maker runs mkpayload with the kernel that is at hand and its initramfs. Its methods
// may be called at the same time.
type Maker struct {
	assets  *assets.Assets
	program func() (string, error)

	mu   sync.Mutex
	made map[string]func() (string, error)
}

// New returns a Maker whose files are below build/ of the checkout.
func New(a *assets.Assets) *Maker {
	return &Maker{
		assets: a,
		program: sync.OnceValues(func() (string, error) {
			file := a.Path("payload", "mkpayload")
			_, err := Run(a.Root(), "go", "build", "-o", file, "./cmds/mkpayload")
			return file, err
		}),
		made: map[string]func() (string, error){},
	}
}

// Make makes the payload called name by a verb of mkpayload and further
// arguments, once, and returns its path.
func (m *Maker) Make(name, verb string, args ...string) (string, error) {
	m.mu.Lock()
	get := m.made[name]
	if get == nil {
		get = sync.OnceValues(func() (string, error) {
			kernel, initramfs, err := m.assets.Menu()
			if err != nil {
				return "", err
			}
			file := m.assets.Path("payload", name)
			_, err = m.Run(append([]string{verb, "--kernel", kernel, "--initramfs", initramfs, "-o", file}, args...)...)
			return file, err
		})
		m.made[name] = get
	}
	m.mu.Unlock()
	return get()
}

// Run runs mkpayload and returns what it printed.
func (m *Maker) Run(args ...string) (string, error) {
	program, err := m.program()
	if err != nil {
		return "", err
	}
	return Run(m.assets.Root(), program, args...)
}

// Key decrypts the private key of the certificate that Debian's OVMF trusts in
// its image of variables "snakeoil", and returns both paths.
func (m *Maker) Key() (key, cert string, err error) {
	const dir = "/usr/share/ovmf/"
	key = m.assets.Path("payload", "snakeoil.key")
	_, err = Run("", "openssl", "pkey", "-in", dir+"PkKek-1-snakeoil.key", "-passin", "pass:snakeoil", "-out", key)
	return key, dir + "PkKek-1-snakeoil.pem", err
}

// Run runs a program in dir and returns what it printed on standard output; the
// error holds what it printed on both.
func Run(dir, name string, args ...string) (string, error) {
	var stdout, both strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Stdout = writers{&stdout, &both}
	cmd.Stderr = &both
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, both.String())
	}
	return stdout.String(), nil
}

// writers write to both of two builders.
type writers [2]*strings.Builder

func (w writers) Write(b []byte) (int, error) {
	for _, one := range w {
		one.Write(b)
	}
	return len(b), nil
}

// Copy copies a file, such as an image of variables that a machine will change.
func Copy(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}
