// Package lukstest makes LUKS volumes with data in them for tests: with
// cryptsetup, and without root rights or device-mapper.
package lukstest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Programs is what [Encrypt] needs, for boottest.NeedTools.
const Programs = "cryptsetup"

// shift is how far cryptsetup moves the data to make room for the header.
const shift = 16 << 20

// Encrypt writes the image file plain to dst as a LUKS volume, 16 MiB larger,
// that passphrase opens. Args are options of cryptsetup reencrypt, such as
// --sector-size 4096, --label NAME or --cipher; for --type luks1 the volume is
// made as LUKS2 and converted.
//
// Unless args name a --pbkdf, PBKDF2 with few iterations protects the key, so
// that a virtual machine opens it at once. cryptsetup does all the encryption
// itself, in user space: that takes a second or two for 100 MiB. Its locks are left
// out, since they need root rights.
func Encrypt(dst, plain, passphrase string, args ...string) error {
	// cryptsetup takes the passphrase from a file, and makes a file of its own in
	// the directory that it is started in.
	dir, err := os.MkdirTemp("", "lukstest")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	keyFile := filepath.Join(dir, "passphrase")
	if err := os.WriteFile(keyFile, []byte(passphrase), 0o600); err != nil {
		return err
	}
	if dst, err = filepath.Abs(dst); err != nil {
		return err
	}
	size, err := copyFile(dst, plain)
	if err != nil {
		return err
	}
	// It works with twice the room and releases one half.
	if err := os.Truncate(dst, size+2*shift); err != nil {
		return err
	}
	if !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--pbkdf") }) {
		args = append(args, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
	}
	luks1 := false
	if i := slices.Index(args, "--type"); i >= 0 && i+1 < len(args) {
		luks1 = args[i+1] == "luks1"
		args = slices.Delete(slices.Clone(args), i, i+2)
	}
	command := slices.Concat([]string{"reencrypt", "--encrypt", "--type", "luks2", "--reduce-device-size", fmt.Sprintf("%dM", 2*shift>>20),
		"--batch-mode", "--disable-locks", "--key-file", keyFile}, args, []string{dst})
	if err := run(dir, command...); err != nil {
		return err
	}
	if err := os.Truncate(dst, size+shift); err != nil {
		return err
	}
	if luks1 {
		return run(dir, "convert", "--type", "luks1", "--batch-mode", dst)
	}
	return nil
}

func run(dir string, args ...string) error {
	cmd := exec.Command("cryptsetup", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// copyFile copies a file and returns its size.
func copyFile(dst, src string) (int64, error) {
	in, err := os.Open(src)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.Create(dst)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, in)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	return n, err
}
