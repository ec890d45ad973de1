package payload

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Variable is an environment variable that names a coreboot ROM without a
// payload for QEMU's machine q35, where there is no apt-get to get the source.
const Variable = "ALPBOOT_COREBOOT_ROM"

// corebootConfig is that of the ROM, of the size that many boards have.
const corebootConfig = `CONFIG_ANY_TOOLCHAIN=y
CONFIG_VENDOR_EMULATION=y
CONFIG_BOARD_EMULATION_QEMU_X86_Q35=y
CONFIG_COREBOOT_ROMSIZE_KB_8192=y
CONFIG_CBFS_SIZE=0x800000
CONFIG_PAYLOAD_NONE=y
CONFIG_CONSOLE_SERIAL=y
CONFIG_DEFAULT_CONSOLE_LOGLEVEL_3=y
`

// Coreboot returns a ROM for QEMU's machine q35 without a payload, built from
// Debian's source package in half a minute. It stays in cache.
//
// apt gets the source in a directory of its own: the system's settings stay
// as they are.
func Coreboot(cache string) (string, error) {
	if file := os.Getenv(Variable); file != "" {
		return filepath.Abs(file)
	}
	rom := filepath.Join(cache, "coreboot-q35-8.rom")
	if _, err := os.Stat(rom); err == nil {
		return rom, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, ".coreboot-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := fetchSource(work, "coreboot"); err != nil {
		return "", fmt.Errorf("%w\n(or set %s to a ROM)", err, Variable)
	}
	tarballs, err := filepath.Glob(filepath.Join(work, "coreboot_*.orig.tar.xz"))
	if err != nil || len(tarballs) != 1 {
		return "", fmt.Errorf("the source package of coreboot holds %d tarballs", len(tarballs))
	}
	tree := filepath.Join(work, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return "", err
	}
	if _, err := Run(tree, "tar", "-x", "--strip-components=1", "-f", tarballs[0]); err != nil {
		return "", err
	}
	// It is older than the compiler, which warns of more.
	kconfig := filepath.Join(tree, "src/Kconfig")
	b, err := os.ReadFile(kconfig)
	if err != nil {
		return "", err
	}
	b = regexp.MustCompile(`(?s)(config WARNINGS_ARE_ERRORS.*?default )y`).ReplaceAll(b, []byte("${1}n"))
	if err := os.WriteFile(kconfig, b, 0o644); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(tree, "defconfig.q35"), []byte(corebootConfig), 0o644); err != nil {
		return "", err
	}
	for _, args := range [][]string{{"defconfig", "KBUILD_DEFCONFIG=defconfig.q35"}, {"-j2"}} {
		if _, err := Run(tree, "make", args...); err != nil {
			return "", fmt.Errorf("building coreboot (Debian: acpica-tools, lib32gcc-12-dev): %w", err)
		}
	}
	return rom, os.Rename(filepath.Join(tree, "build/coreboot.rom"), rom)
}

// fetchSource downloads the source package called name of this Debian into dir,
// without touching the system's list of sources.
func fetchSource(dir, name string) error {
	sources, err := sourceList()
	if err != nil {
		return err
	}
	list := filepath.Join(dir, "sources.list")
	if err := os.WriteFile(list, []byte(sources), 0o644); err != nil {
		return err
	}
	lists := filepath.Join(dir, "lists")
	if err := os.MkdirAll(filepath.Join(lists, "partial"), 0o755); err != nil {
		return err
	}
	options := []string{"-qq", "-o", "Dir::Etc::sourcelist=" + list, "-o", "Dir::Etc::sourceparts=/nonexistent",
		"-o", "Dir::State::lists=" + lists, "-o", "APT::Sandbox::User="}
	for _, args := range [][]string{{"update"}, {"source", "--download-only", name}} {
		if _, err := Run(dir, "apt-get", append(options, args...)...); err != nil {
			return err
		}
	}
	return nil
}

// sourceList returns a sources.list with the source packages of the mirror that
// this system gets its packages from.
func sourceList() (string, error) {
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(`(?m)^VERSION_CODENAME=(\w+)$`).FindSubmatch(release)
	if m == nil || !strings.Contains(string(release), "ID=debian") {
		return "", fmt.Errorf("source packages are only got from Debian")
	}
	for _, file := range []string{"/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if u := regexp.MustCompile(`(?m)^(?:URIs:|deb(?: \[[^]]*\])?)\s+(https?://\S+/debian)/?\s`).FindSubmatch(append(b, '\n')); u != nil {
			const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
			return fmt.Sprintf("deb-src [signed-by=%s] %s %s main\n", keyring, u[1], m[1]), nil
		}
	}
	return "", fmt.Errorf("where this Debian gets its packages from is not in /etc/apt/sources.list or debian.sources")
}
