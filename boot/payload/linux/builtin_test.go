package linux

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload/payloadtest"
	content "github.com/alpboot/alpboot/initramfs"
)

func TestBuiltinConfig(t *testing.T) {
	b := builtin{[]byte("x"), `quiet a="b c" d=\e`}
	options := make(map[string]string)
	for _, o := range parseConfig(b.config()) {
		options[o.name] = o.value
	}
	for name, want := range map[string]string{
		"CONFIG_CMDLINE":                    `"quiet a=\"b c\" d=\\e"`,
		"CONFIG_CMDLINE_BOOL":               "y",
		"CONFIG_INITRAMFS_SOURCE":           `"alpboot.cpio"`,
		"CONFIG_INITRAMFS_COMPRESSION_NONE": "y",
	} {
		if options[name] != want {
			t.Errorf("%s is %s, want %s", name, options[name], want)
		}
	}
	// An option that is in both would be there twice.
	fragment, err := content.KernelConfig("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range parseConfig(fragment) {
		if options[o.name] != "" {
			t.Errorf("%s is in the fragment too", o.name)
		}
	}
}

func TestNewBuiltin(t *testing.T) {
	archive := payloadtest.Initramfs(t, payloadtest.Release)
	files := map[string][]byte{"plain": archive, "text": []byte("text"), "lz4": []byte("\x02\x21\x4c\x18....")}
	for _, ending := range []string{".xz", ".gz", ".zst"} {
		files["packed"+strings.TrimPrefix(ending, ".")] = payloadtest.Compressed(t, ending, archive)
	}
	if xz, err := exec.LookPath("xz"); err == nil {
		cmd := exec.Command(xz, "-c", "--check=crc32", "--x86", "--lzma2")
		cmd.Stdin = bytes.NewReader(archive)
		if files["filtered"], err = cmd.Output(); err != nil {
			t.Fatal(err)
		}
	}
	dir := payloadtest.Tree(t, files)
	for name := range files {
		b, err := newBuiltin(filepath.Join(dir, name), "quiet")
		if bad := name == "text" || name == "lz4"; bad != (err != nil) || !bad && !bytes.Equal(b.initramfs, archive) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := newBuiltin(filepath.Join(dir, "plain"), "two\nlines"); err == nil {
		t.Error("a command line of two lines is taken")
	}
	if _, err := newBuiltin(filepath.Join(dir, "absent"), ""); err == nil || !strings.Contains(err.Error(), "mkpayload initramfs") {
		t.Errorf("absent: %v", err)
	}
}

// What was compiled is kept for the same inputs, and only for them.
func TestWorkDirectory(t *testing.T) {
	k := Build{Arch: "x86_64", Cache: t.TempDir(), Keep: true}
	mark := func(key string) bool {
		t.Helper()
		work, done, err := k.workDirectory(key)
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		_, err = os.Stat(filepath.Join(work, "objects"))
		if err := os.MkdirAll(filepath.Join(work, "objects"), 0o777); err != nil {
			t.Fatal(err)
		}
		return err == nil
	}
	var kept []bool
	for _, key := range []string{"a", "a", "b", "b", "a"} {
		kept = append(kept, mark(key))
	}
	if want := []bool{false, true, false, true, false}; !slices.Equal(kept, want) {
		t.Errorf("kept %v, want %v", kept, want)
	}

	// Names in the cache differ where contents do.
	seen := make(map[string]bool)
	for _, b := range []*builtin{nil, {[]byte("a"), "b"}, {[]byte("a"), "c"}, {[]byte("b"), "b"}} {
		k.builtin = b
		seen[k.cached("key")] = true
	}
	if len(seen) != 4 {
		t.Errorf("names %v", seen)
	}
}
