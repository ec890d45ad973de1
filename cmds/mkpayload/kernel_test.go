package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	content "github.com/alpboot/alpboot/initramfs"
	"github.com/alpboot/alpboot/qemu-tests/arm64"
)

// needTools skips the test when a program is missing; on CI none may be.
func needTools(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

func TestMergeConfig(t *testing.T) {
	base := "# Linux\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"old\"\nCONFIG_AB=y\n"
	fragment := "# a reason, CONFIG_A=n in words\nCONFIG_B=y\nCONFIG_C=\"-new\"\n# CONFIG_D is not set\n"
	want := "CONFIG_A=y\nCONFIG_AB=y\nCONFIG_B=y\nCONFIG_C=\"-new\"\n# CONFIG_D is not set\n"
	if got := mergeConfig(base, fragment); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRefusedOptions(t *testing.T) {
	fragment := "CONFIG_KEPT=y\nCONFIG_LOST=y\nCONFIG_MODULE=y\nCONFIG_TEXT=\"a\"\n# CONFIG_OFF is not set\n# CONFIG_UNKNOWN is not set\n# CONFIG_FORCED is not set\nCONFIG_OFF2=n\n"
	result := "CONFIG_KEPT=y\nCONFIG_MODULE=m\nCONFIG_TEXT=\"b\"\n# CONFIG_OFF is not set\nCONFIG_FORCED=y\nCONFIG_OFF2=y\n"
	want := []string{
		`CONFIG_LOST=y: is not there at all`,
		`CONFIG_MODULE=y: is m`,
		`CONFIG_TEXT="a": is "b"`,
		`# CONFIG_FORCED is not set: is y`,
		`# CONFIG_OFF2 is not set: is y`,
	}
	if got := refusedOptions(fragment, result); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// Every line of a fragment must be understood, or its check would pass it by.
func TestFragment(t *testing.T) {
	if _, err := content.KernelConfig("s390x"); err == nil {
		t.Error("there is a configuration for s390x")
	}
	for uname, target := range kernelTargets {
		t.Run(uname, func(t *testing.T) {
			if archs[target.goarch] != uname {
				t.Errorf("Go's %s is %s", target.goarch, archs[target.goarch])
			}
			text, err := content.KernelConfig(target.config)
			if err != nil {
				t.Fatal(err)
			}
			seen := make(map[string]bool)
			for line := range strings.Lines(text) {
				line = strings.TrimSpace(line)
				o, ok := parseOption(line)
				if !ok {
					if line != "" && !strings.HasPrefix(line, "# ") && line != "#" || strings.HasPrefix(line, "# CONFIG_") {
						t.Errorf("is neither an option nor a comment: %q", line)
					}
					continue
				}
				if seen[o.name] {
					t.Errorf("%s comes twice", o.name)
				}
				seen[o.name] = true
				if o.value == "m" {
					t.Errorf("%s is a module, and the image carries none for this kernel", o.name)
				}
				if line != o.String() {
					t.Errorf("%q: write it %q", line, o)
				}
			}
			for _, name := range []string{"CONFIG_KEXEC", "CONFIG_KEXEC_FILE", "CONFIG_BLK_DEV_INITRD", "CONFIG_RD_XZ", "CONFIG_RD_ZSTD", "CONFIG_EFI_STUB"} {
				if !seen[name] {
					t.Errorf("%s is missing: nothing would boot", name)
				}
			}
		})
	}
}

func TestKernelKey(t *testing.T) {
	needTools(t, "gcc", "ld")
	dir := writeTree(t, map[string][]byte{"tree/Kconfig": []byte("a"), "tree/Makefile": []byte("b"), "tree/.git/index": []byte("c"), "linux.tar": []byte("d")})
	tree := filepath.Join(dir, "tree")
	key := func(source, fragment string) string {
		k, err := kernelBuild{arch: "x86_64", source: source}.key(t.Context(), fragment)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	keys := map[string]string{"at first": key(tree, "CONFIG_A=y")}
	if key(tree, "CONFIG_A=y") != keys["at first"] {
		t.Error("the same inputs give another key")
	}
	if err := os.WriteFile(filepath.Join(tree, ".git/index"), []byte("changed"), 0o666); err != nil {
		t.Fatal(err)
	}
	if key(tree, "CONFIG_A=y") != keys["at first"] {
		t.Error("git's own files give another key")
	}
	if key(tree, "# why\nCONFIG_A=y") != keys["at first"] {
		t.Error("a comment gives another key")
	}
	keys["other fragment"] = key(tree, "CONFIG_A=n")
	keys["tarball"] = key(filepath.Join(dir, "linux.tar"), "CONFIG_A=y")
	if err := os.Chtimes(filepath.Join(tree, "Makefile"), time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	keys["edited file"] = key(tree, "CONFIG_A=y")
	seen := make(map[string]string)
	for name, k := range keys {
		if other := seen[k]; other != "" {
			t.Errorf("%s and %s have the same key", name, other)
		}
		seen[k] = name
	}
}

// The build itself takes minutes; what is tested here is that it is not begun
// again for the same inputs, and that its product is checked.
func TestKernelCache(t *testing.T) {
	needTools(t, kernelTools...)
	dir := writeTree(t, map[string][]byte{"linux.tar": []byte("d")})
	k := kernelBuild{arch: "x86_64", source: filepath.Join(dir, "linux.tar"), cache: filepath.Join(dir, "cache"), output: filepath.Join(dir, "out/vmlinuz"), jobs: 1}
	fragment, err := content.KernelConfig(kernelTargets[k.arch].config)
	if err != nil {
		t.Fatal(err)
	}
	key, err := k.key(t.Context(), fragment)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(k.cache, 0o777); err != nil {
		t.Fatal(err)
	}
	want := bzImage(testRelease)
	if err := os.WriteFile(filepath.Join(k.cache, "vmlinuz-x86_64-"+key), want, 0o666); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if err := k.build(t.Context(), output{&stdout, &stderr}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(k.output); err != nil || !bytes.Equal(got, want) {
		t.Errorf("wrote %d bytes, %v", len(got), err)
	}
	if !strings.Contains(stdout.String(), "Linux "+testRelease) || !strings.Contains(stderr.String(), "built before") {
		t.Errorf("said %q and %q", stdout.String(), stderr.String())
	}

	// With --rebuild it starts over, finds no kernel source, and leaves nothing.
	k.force, k.output = true, filepath.Join(dir, "out/second")
	if err := k.build(t.Context(), output{io.Discard, io.Discard}); err == nil || !strings.Contains(err.Error(), "unpacking") {
		t.Errorf("a tarball that is none gives %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(k.cache, ".build-*")); left != nil {
		t.Errorf("left behind: %q", left)
	}
	if _, err := os.Stat(k.output); err == nil {
		t.Error("wrote a kernel all the same")
	}
}

// For arm64 the PE file that unpacks itself is written, or what is in it.
func TestKernelARM64(t *testing.T) {
	needTools(t, append(kernelTools, "aarch64-linux-gnu-gcc")...)
	image := make([]byte, 4096)
	binary.LittleEndian.PutUint64(image[16:], uint64(len(image)))
	copy(image[0x38:], "ARM\x64")
	copy(image[2048:], "Linux version 6.12.1-alpboot (alpboot@alpboot)")
	packed, err := arm64.Zboot(image)
	if err != nil {
		t.Fatal(err)
	}
	dir := writeTree(t, map[string][]byte{"linux.tar": []byte("d")})
	k := kernelBuild{arch: "aarch64", source: filepath.Join(dir, "linux.tar"), cache: filepath.Join(dir, "cache"), jobs: 1}
	fragment, err := content.KernelConfig("arm64")
	if err != nil {
		t.Fatal(err)
	}
	key, err := k.key(t.Context(), fragment)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeBytes(filepath.Join(k.cache, k.cached(key)), packed); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"vmlinuz": packed, "Image": image} {
		k.output, k.raw = filepath.Join(dir, "out", name), name == "Image"
		var stdout bytes.Buffer
		if err := k.build(t.Context(), output{&stdout, io.Discard}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(k.output); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if !strings.Contains(stdout.String(), "Linux 6.12.1-alpboot,") {
			t.Errorf("%s: said %q", name, stdout.String())
		}
	}
	for arch, want := range map[string]string{"amd64": "--raw is for arm64", "riscv64": "no kernel configuration for riscv64"} {
		err := runKernel(t.Context(), []string{"--arch", arch, "--raw", "--source", k.source, "--cache", k.cache}, output{io.Discard, io.Discard})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", arch, err, want)
		}
	}
}

func TestKernelSource(t *testing.T) {
	needTools(t, "gcc", "ld")
	dir := writeTree(t, map[string][]byte{"empty/README": nil})
	for source, want := range map[string]string{
		filepath.Join(dir, "empty"):  "is not a tree of Linux",
		filepath.Join(dir, "absent"): "no such file",
	} {
		k := kernelBuild{arch: "x86_64", source: source, cache: dir, output: filepath.Join(dir, "vmlinuz")}
		if _, err := k.key(t.Context(), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", source, err, want)
		}
	}
}
