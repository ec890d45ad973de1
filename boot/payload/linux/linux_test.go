package linux

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
	content "github.com/alpboot/alpboot/initramfs"
	"github.com/alpboot/alpboot/qemu-tests/arm64"
)

func TestMergeConfig(t *testing.T) {
	base := "# Linux\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"old\"\nCONFIG_AB=y\n"
	fragment := "# a reason, CONFIG_A=n in words\nCONFIG_B=y\nCONFIG_C=\"-new\"\n# CONFIG_D is not set\n"
	want := "CONFIG_A=y\nCONFIG_AB=y\nCONFIG_B=y\nCONFIG_C=\"-new\"\n# CONFIG_D is not set\n"
	if got := mergeConfig(base, fragment); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A kernel is packed in another way by the one option that says how.
func TestPackedBy(t *testing.T) {
	const fragment = "# xz or zstd\nCONFIG_KERNEL_XZ=y\nCONFIG_XZ_DEC_X86=y\n"
	for _, tt := range []struct{ compress, want string }{
		{"", fragment},
		{"xz", fragment},
		{"zstd", "# xz or zstd\nCONFIG_KERNEL_ZSTD=y\nCONFIG_XZ_DEC_X86=y\n"},
	} {
		if got, err := packedBy(fragment, tt.compress); err != nil || got != tt.want {
			t.Errorf("%q: got %q, %v", tt.compress, got, err)
		}
	}
	if _, err := packedBy(fragment, "gzip"); err == nil {
		t.Error("gzip was taken")
	}
}

// Kernels that differ in how they are packed are kept beside each other.
func TestCachedNames(t *testing.T) {
	b := &builtin{cmdline: "quiet"}
	names := map[string]bool{}
	for _, k := range []Build{{}, {Compress: "zstd"}, {builtin: b}, {builtin: b, Compress: "zstd"}} {
		names[k.cached("key")] = true
	}
	if len(names) != 4 {
		t.Errorf("names in the cache: %v", names)
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
	for uname, target := range targets {
		t.Run(uname, func(t *testing.T) {
			if payload.Unames()[target.goarch] != uname {
				t.Errorf("Go's %s is %s", target.goarch, payload.Unames()[target.goarch])
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
	payloadtest.NeedTools(t, "gcc", "ld")
	dir := payloadtest.Tree(t, map[string][]byte{"tree/Kconfig": []byte("a"), "tree/Makefile": []byte("b"), "tree/.git/index": []byte("c"), "linux.tar": []byte("d")})
	tree := filepath.Join(dir, "tree")
	key := func(source, fragment string) string {
		k, err := Build{Arch: "x86_64", Source: source}.key(t.Context(), fragment)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	keys := map[string]string{"at first": key(tree, "CONFIG_A=y")}
	if key(tree, "CONFIG_A=y") != keys["at first"] {
		t.Error("the same inputs make another key")
	}
	if err := os.WriteFile(filepath.Join(tree, ".git/index"), []byte("changed"), 0o666); err != nil {
		t.Fatal(err)
	}
	if key(tree, "CONFIG_A=y") != keys["at first"] {
		t.Error("git's own files make another key")
	}
	if key(tree, "# why\nCONFIG_A=y") != keys["at first"] {
		t.Error("a comment makes another key")
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
	payloadtest.NeedTools(t, tools...)
	dir := payloadtest.Tree(t, map[string][]byte{"linux.tar": []byte("d")})
	k := Build{Arch: "x86_64", Source: filepath.Join(dir, "linux.tar"), Cache: filepath.Join(dir, "cache"), Output: filepath.Join(dir, "out/vmlinuz"), Jobs: 1}
	fragment, err := content.KernelConfig(targets[k.Arch].config)
	if err != nil {
		t.Fatal(err)
	}
	key, err := k.key(t.Context(), fragment)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(k.Cache, 0o777); err != nil {
		t.Fatal(err)
	}
	want := payloadtest.BzImage(payloadtest.Release)
	if err := os.WriteFile(filepath.Join(k.Cache, "vmlinuz-x86_64-"+key), want, 0o666); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	if err := k.Write(t.Context(), payloadtest.Output(&said)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(k.Output); err != nil || !bytes.Equal(got, want) {
		t.Errorf("wrote %d bytes, %v", len(got), err)
	}
	if !strings.Contains(said.String(), "Linux "+payloadtest.Release) || !strings.Contains(said.String(), "built before") {
		t.Errorf("said %q", said.String())
	}

	// With --rebuild it starts over, finds no kernel source, and leaves nothing.
	k.Rebuild, k.Output = true, filepath.Join(dir, "out/second")
	if err := k.Write(t.Context(), payloadtest.Output(t.Output())); err == nil || !strings.Contains(err.Error(), "unpacking") {
		t.Errorf("a file that is not a tarball: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(k.Cache, ".build-*")); left != nil {
		t.Errorf("left behind: %q", left)
	}
	if _, err := os.Stat(k.Output); err == nil {
		t.Error("wrote a kernel all the same")
	}
}

// For arm64 the PE file that unpacks itself is written, or what is in it.
func TestKernelARM64(t *testing.T) {
	payloadtest.NeedTools(t, append(tools, "aarch64-linux-gnu-gcc")...)
	image := make([]byte, 4096)
	binary.LittleEndian.PutUint64(image[16:], uint64(len(image)))
	copy(image[0x38:], "ARM\x64")
	copy(image[2048:], "Linux version 6.12.1-alpboot (alpboot@alpboot)")
	packed, err := arm64.Zboot(image)
	if err != nil {
		t.Fatal(err)
	}
	dir := payloadtest.Tree(t, map[string][]byte{"linux.tar": []byte("d")})
	k := Build{Arch: "aarch64", Source: filepath.Join(dir, "linux.tar"), Cache: filepath.Join(dir, "cache"), Jobs: 1}
	fragment, err := content.KernelConfig("arm64")
	if err != nil {
		t.Fatal(err)
	}
	key, err := k.key(t.Context(), fragment)
	if err != nil {
		t.Fatal(err)
	}
	if err := payload.WriteBytes(filepath.Join(k.Cache, k.cached(key)), packed); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"vmlinuz": packed, "Image": image} {
		k.Output, k.Raw = filepath.Join(dir, "out", name), name == "Image"
		var said strings.Builder
		if err := k.Write(t.Context(), payloadtest.Output(&said)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(k.Output); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if !strings.Contains(said.String(), "Linux 6.12.1-alpboot,") {
			t.Errorf("%s: said %q", name, said.String())
		}
	}
	k.Arch = "riscv64"
	if err := k.Write(t.Context(), payloadtest.Output(t.Output())); err == nil || !strings.Contains(err.Error(), "no kernel configuration for riscv64") {
		t.Errorf("riscv64: %v", err)
	}
}

func TestKernelSource(t *testing.T) {
	payloadtest.NeedTools(t, "gcc", "ld")
	dir := payloadtest.Tree(t, map[string][]byte{"empty/README": nil})
	for source, want := range map[string]string{
		filepath.Join(dir, "empty"):  "is not a tree of Linux",
		filepath.Join(dir, "absent"): "no such file",
	} {
		k := Build{Arch: "x86_64", Source: source, Cache: dir, Output: filepath.Join(dir, "vmlinuz")}
		if _, err := k.key(t.Context(), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", source, err, want)
		}
	}
}
