package command

import (
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
	"github.com/alpboot/alpboot/boot/manifest"
	"github.com/alpboot/alpboot/boot/signature"
	"github.com/alpboot/alpboot/boot/tpm"
	"github.com/alpboot/alpboot/boot/tpm/tpmtest"
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

// minisigned returns a system with a key of minisign, and asks it to sign.
func minisigned(t *testing.T, chip *tpmtest.Fake) (f *fake, sign func(code int, args ...string) (stdout, stderr string)) {
	t.Helper()
	boottest.NeedTools(t, "minisign")
	f = newFake(t, alpine())
	f.uuids = map[string]string{"/dev/sda3": "1"}
	if chip != nil {
		f.withTPM(t, chip)
	}
	key := filepath.Join(t.TempDir(), "key")
	boottest.Tool(t, "minisign", "-G", "-W", "-p", key+".pub", "-s", key)
	return f, func(code int, args ...string) (stdout, stderr string) {
		t.Helper()
		return f.ask(t, code, append([]string{"sign", "--key", key}, args...)...)
	}
}

// epoch returns that of the manifest; 0 when there is none.
func (f *fake) epoch(t *testing.T) uint64 {
	t.Helper()
	b, err := os.ReadFile(f.path("/boot/alpboot.manifest"))
	if err != nil {
		return 0
	}
	m, err := manifest.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return m.Epoch
}

// What is revoked is what the TPM counts: the manifest has its epoch, and no older one
// would start.
func TestRevokeOlder(t *testing.T) {
	chip := &tpmtest.Fake{}
	f, sign := minisigned(t, chip)
	has := func(what string, epoch, counter uint64) {
		t.Helper()
		if got, counters := f.epoch(t), chip.Counters(); got != epoch || counters[tpm.EpochCounter] != counter || len(counters) > 1 {
			t.Errorf("%s: epoch %d and counters %v, want %d and %d", what, got, counters, epoch, counter)
		}
		if n := chip.Opened(); n != 0 {
			t.Errorf("%s: the TPM was left open %d times", what, n)
		}
	}
	sign(exitDone)
	has("signed", 1, 0)
	if out, _ := sign(exitDone, "--revoke-older", "--dry-run"); !strings.HasSuffix(out, "Would raise the counter of the TPM to 2 or more, which is the epoch then\n") {
		t.Errorf("says %q", out)
	}
	has("only asked", 1, 0)
	out, stderr := sign(exitDone, "--revoke-older")
	if want := "Raised the counter of the TPM to 2: what was signed in an older epoch does not start any more on this machine\n"; !strings.HasSuffix(out, want) || strings.Contains(stderr, "alpboot: ") {
		t.Errorf("says %q, %q, want %q", out, stderr, want)
	}
	has("revoked", 2, 2)
	sign(exitDone, "--revoke-older")
	has("revoked again", 3, 3)
	if _, stderr := sign(exitFailed, "--epoch", "2"); !strings.Contains(stderr, "nothing was signed: the counter of the TPM is at 3, and what is signed in epoch 2 would not start") {
		t.Errorf("says %q", stderr)
	}
	sign(exitDone, "--epoch", "9")
	has("a later one, not revoked", 9, 3)
	sign(exitDone, "--revoke-older")
	has("revoked what was later", 10, 10)
	if err := os.Remove(f.path("/boot/alpboot.manifest")); err != nil {
		t.Fatal(err)
	}
	sign(exitDone)
	has("after the manifest was lost", 10, 10)
}

// A counter begins where others of the TPM have been, and is raised when what is signed
// in its epoch has been written: a power cut leaves what starts.
func TestRevokeOnUsedTPM(t *testing.T) {
	chip := &tpmtest.Fake{}
	chip.Count(0x01800001, 40)
	f, sign := minisigned(t, chip)
	sign(exitDone)
	var saw []string
	f.TPM = func(string) (io.ReadWriteCloser, error) {
		saw = append(saw, fmt.Sprintf("epoch %d, counter %d", f.epoch(t), chip.Counters()[tpm.EpochCounter]))
		return chip.Open(), nil
	}
	sign(exitDone, "--revoke-older")
	if want := []string{"epoch 1, counter 0", "epoch 1, counter 0", "epoch 42, counter 0"}; !slices.Equal(saw, want) {
		t.Errorf("when the TPM was asked there was %q, want %q", saw, want)
	}
	if want := map[uint32]uint64{0x01800001: 40, tpm.EpochCounter: 42}; f.epoch(t) != 42 || !maps.Equal(chip.Counters(), want) {
		t.Errorf("epoch %d, counters %v, want %v", f.epoch(t), chip.Counters(), want)
	}
}

// What cannot be revoked is refused before anything is signed.
func TestRevokeRefuses(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("its owner's\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		chip   func() *tpmtest.Fake
		first  []string // of a run before; nil for none
		args   []string
		code   int
		stderr string
	}{
		{"no TPM", func() *tpmtest.Fake { return nil }, nil, nil, exitFailed, "nothing was signed, as no epoch can be revoked here: this machine has no TPM 2.0"},
		{"an epoch far from the counter", func() *tpmtest.Fake { return &tpmtest.Fake{} }, []string{"--epoch", "20261128"}, nil, exitFailed, "epoch 20261129 is too far from what the counter of the TPM can be at next, 2, as it counts one by one; run alpboot sign --epoch 2 first"},
		{"an owner with a password", func() *tpmtest.Fake { f := &tpmtest.Fake{}; f.SetOwner("its owner's"); return f }, nil, nil, exitFailed, "nothing was signed: the owner of the TPM has a password, for which there is --owner"},
		{"with that password", func() *tpmtest.Fake { f := &tpmtest.Fake{}; f.SetOwner("its owner's"); return f }, nil, []string{"--owner", secret}, exitDone, ""},
		{"something else at the index", func() *tpmtest.Fake { f := &tpmtest.Fake{}; f.Count(tpm.EpochCounter, 1); f.NoCounter(); return f }, nil, nil, exitFailed, "it is not a counter"},
		{"an epoch along with it", func() *tpmtest.Fake { return &tpmtest.Fake{} }, nil, []string{"--epoch", "3"}, exitMisuse, "--revoke-older goes neither with --epoch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chip := tt.chip()
			f, sign := minisigned(t, chip)
			if tt.first != nil {
				sign(exitDone, tt.first...)
			}
			before := f.epoch(t)
			if _, stderr := sign(tt.code, append([]string{"--revoke-older"}, tt.args...)...); !strings.Contains(stderr, tt.stderr) {
				t.Errorf("says %q, want %q", stderr, tt.stderr)
			}
			if (f.epoch(t) != before) != (tt.code == exitDone) {
				t.Errorf("epoch %d was followed by %d", before, f.epoch(t))
			}
		})
	}
}

// A unified kernel image is signed without the boot counter in its name, which the next
// start changes. Of two whose names differ by no more than that, one is signed.
func TestSignCounted(t *testing.T) {
	image := func(cmdline string) string {
		b, err := ukitest.FromText(".osrel PRETTY_NAME=Alpine\n.cmdline " + cmdline + "\n.linux " + release + "\n.initrd 070701\n")
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	f, sign := minisigned(t, nil)
	f.write(t, map[string]string{"/boot/EFI/Linux/alpine+3.efi": image("quiet")})
	if out, stderr := sign(exitDone); out != "Signed /boot/alpboot.manifest: 3 entries, 5 files, epoch 1\n" || strings.Contains(stderr, "alpine") {
		t.Errorf("says %q, %q", out, stderr)
	}
	b, err := os.ReadFile(f.path("/boot/alpboot.manifest"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Allows("boot", manifest.Entry{Kernel: "boot/EFI/Linux/alpine+2-1.efi", Cmdline: "quiet"}); err != nil || !strings.Contains(string(b), " EFI/Linux/alpine.efi\n") {
		t.Errorf("the manifest %v\n%s", err, b)
	}
	f.write(t, map[string]string{"/boot/EFI/Linux/alpine.efi": image("other")})
	out, stderr := sign(exitDone)
	if !strings.Contains(out, "3 entries, 5 files") || !strings.Contains(stderr, "differs from another file by no more than the boot counter in its name") {
		t.Errorf("of two: says %q, %q", out, stderr)
	}
}
