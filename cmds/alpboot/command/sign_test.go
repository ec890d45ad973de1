package command

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/manifest"
	"github.com/alpboot/alpboot/boot/signature"
)

// signKeys are keys that the real programs have made, by their kinds.
func signKeys(t *testing.T) (secret, public map[string]string) {
	t.Helper()
	boottest.NeedTools(t, "minisign", "ssh-keygen", "openssl")
	dir := t.TempDir()
	tool := func(args ...string) {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	tool("minisign", "-G", "-W", "-p", "mini.pub", "-s", "mini.key")
	tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "owner@home", "-f", "owner")
	tool("openssl", "genrsa", "-out", "me-1.rsa", "2048")
	tool("openssl", "rsa", "-in", "me-1.rsa", "-pubout", "-out", "me-1.rsa.pub")
	at := func(name string) string { return filepath.Join(dir, name) }
	return map[string]string{signature.Minisig: at("mini.key"), signature.SSHSig: at("owner"), signature.RSA256 + "me-1.rsa.pub": at("me-1.rsa")},
		map[string]string{signature.Minisig: at("mini.pub"), signature.SSHSig: at("owner.pub"), signature.RSA256 + "me-1.rsa.pub": at("me-1.rsa.pub")}
}

// signed returns the manifest of the fake system, whose signature must hold.
func (f *fake) signed(t *testing.T, suffix, public string) *manifest.Manifest {
	t.Helper()
	b, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signature.ParseKey(filepath.Base(public), b)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(f.path("/boot/alpboot.manifest"))
	if err != nil {
		t.Fatal(err)
	}
	sig, err := os.ReadFile(f.path("/boot/alpboot.manifest" + suffix))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signature.Verify(content, suffix, sig, []signature.Key{key}); err != nil {
		t.Errorf("the signature: %v", err)
	}
	m, err := manifest.Parse(content)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What alpboot sign has signed is what the menu asks for, with each kind of key.
func TestSign(t *testing.T) {
	secret, public := signKeys(t)
	for suffix, key := range secret {
		t.Run(strings.Trim(suffix, "."), func(t *testing.T) {
			f := newFake(t, with(alpine(), "/boot/alpboot.manifest.sig", "of another content", "/boot/alpboot.manifest.txt", "mine"))
			f.uuids = map[string]string{"/dev/sda3": "1"}
			before := f.all(t)
			out, _ := f.ask(t, exitDone, "sign", "--dry-run", "--key", key)
			if !strings.Contains(out, "Would write /boot/alpboot.manifest:\nalpboot manifest 1\nepoch 1\n") || !maps.Equal(before, f.all(t)) {
				t.Errorf("says %q, or something has changed", out)
			}
			out, stderr := f.ask(t, exitDone, "sign", "--key", key)
			if out != "Signed /boot/alpboot.manifest: 2 entries, 4 files, epoch 1\n" || strings.Contains(stderr, "alpboot: ") {
				t.Errorf("says %q, %q", out, stderr)
			}
			m := f.signed(t, suffix, public[suffix])
			for _, flavour := range []string{"lts", "virt"} {
				e := manifest.Entry{Kernel: "boot/vmlinuz-" + flavour, Initrds: []string{"boot/initramfs-" + flavour}, Cmdline: "root=UUID=1 of=" + flavour}
				if err := m.Allows("boot", e); err != nil {
					t.Errorf("%s: the manifest %v", flavour, err)
				}
			}
			made := maps.Clone(f.all(t))
			maps.DeleteFunc(made, func(name, text string) bool { return before[name] == text })
			if names, want := slices.Sorted(maps.Keys(made)), []string{"/boot/alpboot.manifest", "/boot/alpboot.manifest" + suffix}; !slices.Equal(names, want) {
				t.Errorf("wrote %q, want %q", names, want)
			}
			if f.exists("/boot/alpboot.manifest.sig") != (suffix == signature.SSHSig) || !f.exists("/boot/alpboot.manifest.txt") {
				t.Error("a signature of something else is left, or a file that is none was removed")
			}
		})
	}
}

// A hook signs when something has changed, and a key is set up.
func TestSignWhereNeeded(t *testing.T) {
	secret, public := signKeys(t)
	const key = "/etc/alpboot/sign.key"
	f := newFake(t, alpine())
	f.uuids = map[string]string{"/dev/sda3": "1"}
	if out, stderr := f.ask(t, exitDone, "sign", "--if-needed"); out+stderr != "" || f.exists("/boot/alpboot.manifest") {
		t.Errorf("without a key: says %q, %q", out, stderr)
	}
	if _, stderr := f.ask(t, exitFailed, "sign"); !strings.Contains(stderr, "name it with --key, or make "+key+" a link to it") {
		t.Errorf("without a key: says %q", stderr)
	}
	f.write(t, map[string]string{key: "-> " + secret[signature.Minisig]})
	if out, _ := f.ask(t, exitDone, "sign", "--epoch", "5"); !strings.Contains(out, "epoch 5") {
		t.Errorf("says %q", out)
	}
	before := f.all(t)
	if out, _ := f.ask(t, exitDone, "sign", "--if-needed"); out != "" || !maps.Equal(before, f.all(t)) {
		t.Errorf("nothing has changed: says %q", out)
	}
	f.write(t, map[string]string{"/boot/initramfs-lts": initramfs + "new"})
	if out, _ := f.do(t, exitDone, "keep", "post-commit"); out != "Signed /boot/alpboot.manifest: 2 entries, 4 files, epoch 5\n" {
		t.Errorf("an initramfs has changed: says %q", out)
	}
	if file, ok := f.signed(t, signature.Minisig, public[signature.Minisig]).File("boot", "boot/initramfs-lts"); !ok || file.Size != int64(len(initramfs+"new")) {
		t.Errorf("it lists %+v", file)
	}
}

// What cannot be signed is refused or left out, with the reason, and what is signed
// stays as it is.
func TestSignRefuses(t *testing.T) {
	secret, _ := signKeys(t)
	key := secret[signature.SSHSig]
	for _, tt := range []struct {
		name   string
		files  map[string]string
		args   []string
		code   int
		stderr string
	}{
		{"a public key of minisign in place of the secret one", alpine(), []string{"--key", strings.TrimSuffix(secret[signature.Minisig], "key") + "pub"}, exitFailed, "minisign did not sign"},
		{"no key", alpine(), []string{"--key", "/bin/sh"}, exitFailed, "/bin/sh is not a key to sign with"},
		{"a key that is not there", alpine(), []string{"--key", "/absent"}, exitFailed, "no such file"},
		{"no configuration", with(alpine(), "/boot/extlinux.conf", ""), []string{"--key", key}, exitFailed, "there is nothing to sign"},
		{"a filesystem that is mounted read-only", with(alpine(), "/proc/self/mountinfo", "21 1 8:3 / / ro,relatime - ext4 /dev/sda3 ro\n"), []string{"--key", key}, exitFailed, "it is mounted read-only"},
		{"an entry whose initrd is missing", with(alpine(), "/boot/initramfs-virt", ""), []string{"--key", key}, exitDone, "Linux virt is not signed: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.files)
			f.uuids = map[string]string{"/dev/sda3": "1"}
			if _, stderr := f.ask(t, tt.code, append([]string{"sign"}, tt.args...)...); !strings.Contains(stderr, tt.stderr) {
				t.Errorf("says %q, want %q", stderr, tt.stderr)
			}
			if f.exists("/boot/alpboot.manifest") != (tt.code == exitDone) {
				t.Error("something was written, or nothing")
			}
		})
	}
}
