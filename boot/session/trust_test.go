package session

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/manifest"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/signature"
	"github.com/alpboot/alpboot/boot/signature/signaturetest"
	"github.com/alpboot/alpboot/boot/tpm"
	"github.com/alpboot/alpboot/boot/tpm/tpmtest"
)

// signDisk signs what is on a disk of bootDisk.
func signDisk(t *testing.T, dir string, key signaturetest.Key) {
	t.Helper()
	m := &manifest.Manifest{Epoch: 7}
	for _, flavour := range []string{"lts", "virt"} {
		for _, name := range []string{"vmlinuz-" + flavour, "initramfs-" + flavour} {
			b, err := os.ReadFile(filepath.Join(dir, "boot", name))
			if err != nil {
				t.Fatal(err)
			}
			m.Files = append(m.Files, manifest.File{Path: name, Size: int64(len(b)), SHA256: sha256.Sum256(b)})
		}
		m.Entries = append(m.Entries, manifest.Entry{Kernel: "vmlinuz-" + flavour, Initrds: []string{"initramfs-" + flavour}, Cmdline: "root=UUID=u1"})
	}
	writeFile(t, filepath.Join(dir, "boot", manifest.Name), string(m.Bytes()))
	writeFile(t, filepath.Join(dir, "boot", manifest.Name+signature.Minisig), key.Sign(m.Bytes()))
}

// onSignedDisk runs do with a machine whose image has the key of its owner, and whose disk the
// owner has signed. Change alters the disk afterwards, where that is set.
func onSignedDisk(t *testing.T, change func(t *testing.T, dir string), do func(t *testing.T, b *fixture, dir string)) {
	t.Helper()
	disk := bootDisk(t, "/dev/sda1", "u1", "")
	owner := signaturetest.New(1)
	signDisk(t, disk.Dir, owner)
	if change != nil {
		change(t, disk.Dir)
	}
	onDisks(t, func(t *testing.T, b *fixture) {
		b.files[signature.Dir+"/owner.pub"] = boottest.File(owner.Public())
		do(t, b, disk.Dir)
	}, disk)
}

// withCounter adds a TPM to a machine, whose counter of epochs is at n.
func (b *fixture) withCounter(n uint64) *tpmtest.Fake {
	f := &tpmtest.Fake{}
	f.Count(tpm.EpochCounter, n)
	b.withTPM(f)
	return f
}

// flip changes a bit in the middle of a file.
func flip(name string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		writeFile(t, filepath.Join(dir, name), string(b))
	}
}

// replace replaces a text in a file.
func replace(name, from, to string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Contains(b, []byte(from)) {
			t.Fatal(name, err)
		}
		writeFile(t, filepath.Join(dir, name), strings.ReplaceAll(string(b), from, to))
	}
}

// longer adds a byte to a file.
func longer(name string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, name), string(b)+"x")
	}
}

func remove(name string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// What is as its owner signed it starts; whatever was changed does not, with a sentence
// that names it, and the next entry is tried.
func TestOnlyWhatIsSigned(t *testing.T) {
	const unattended = "alpboot.timeout=0 alpboot.verify=enforce"
	both := append(slices.Clone(booted), bootedVirt()...) // the jump fails each time
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, dir string)
		did    []string
		shows  string // why the first entry was refused
	}{
		{name: "as it was signed", did: both},
		{name: "a power cut between a new manifest and its signature", change: func(t *testing.T, dir string) {
			for _, end := range []string{"", signature.Minisig} {
				if err := os.Rename(filepath.Join(dir, "boot/alpboot.manifest"+end), filepath.Join(dir, "boot/alpboot.manifest.new"+end)); err != nil {
					t.Fatal(err)
				}
			}
			writeFile(t, filepath.Join(dir, "boot/alpboot.manifest"), "half of it")
		}, did: both},
		{name: "one that was signed before, beside the one that is written", change: func(t *testing.T, dir string) {
			for _, end := range []string{"", signature.Minisig} {
				if err := os.Rename(filepath.Join(dir, "boot/alpboot.manifest"+end), filepath.Join(dir, "boot/alpboot.manifest.new"+end)); err != nil {
					t.Fatal(err)
				}
			}
			old := (&manifest.Manifest{}).Bytes()
			writeFile(t, filepath.Join(dir, "boot/alpboot.manifest"), string(old))
			writeFile(t, filepath.Join(dir, "boot/alpboot.manifest.minisig"), signaturetest.New(1).Sign(old))
		}, did: both},
		{name: "a bit of the kernel", change: flip("boot/vmlinuz-lts"), did: bootedVirt(), shows: "/boot/vmlinuz-lts on /dev/sda1: it was changed after it was signed; only what is signed starts here: start another entry, and run alpboot sign there if the change is yours"},
		{name: "a longer kernel", change: longer("boot/vmlinuz-lts"), did: bootedVirt(), shows: "/boot/vmlinuz-lts on /dev/sda1: it was changed after it was signed"},
		{name: "a bit of the initrd", change: flip("boot/initramfs-lts"), did: bootedVirt(), shows: "/boot/initramfs-lts on /dev/sda1: it was changed after it was signed"},
		{name: "the initrd is missing", change: remove("boot/initramfs-lts"), did: bootedVirt(), shows: "/boot/initramfs-lts"},
		{name: "the command line", change: replace("boot/extlinux.conf", "initramfs-lts\n APPEND root", "initramfs-lts\n APPEND init=/bin/sh root"), did: bootedVirt(), shows: "/boot/alpboot.manifest on /dev/sda1 has another command line for these files"},
		{name: "the initrd of another entry", change: replace("boot/extlinux.conf", "initramfs-lts", "initramfs-virt"), did: bootedVirt(), shows: "/boot/alpboot.manifest on /dev/sda1 has no entry that starts /boot/vmlinuz-lts with these initrds"},
		{name: "no initrd", change: replace("boot/extlinux.conf", " INITRD initramfs-lts\n", ""), did: bootedVirt(), shows: "has no entry that starts /boot/vmlinuz-lts with these initrds"},
		{name: "an initrd that is not listed", change: func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "boot/evil"), "\x1f\x8b\x08\x00 evil")
			replace("boot/extlinux.conf", "INITRD initramfs-lts", "INITRD initramfs-lts,evil")(t, dir)
		}, did: bootedVirt(), shows: "/boot/alpboot.manifest on /dev/sda1 does not list /boot/evil"},
		{name: "a bit of the manifest", change: flip("boot/alpboot.manifest"), shows: "the signature .minisig of /boot/alpboot.manifest on /dev/sda1 does not hold: it is not a signature of this content"},
		{name: "the signature", change: replace("boot/alpboot.manifest.minisig", "timestamp:1", "timestamp:2"), shows: "the signature .minisig of /boot/alpboot.manifest on /dev/sda1 does not hold: it is not a signature of this content"},
		{name: "by another key", change: func(t *testing.T, dir string) { signDisk(t, dir, signaturetest.New(2)) }, shows: "does not hold: it is by a key that is not among those of this image"},
		{name: "no signature", change: remove("boot/alpboot.manifest.minisig"), shows: "/boot/alpboot.manifest on /dev/sda1 is not signed by a key of this image"},
		{name: "no manifest", change: remove("boot/alpboot.manifest"), shows: "/dev/sda1 has no alpboot.manifest for /boot/vmlinuz-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onSignedDisk(t, tt.change, func(t *testing.T, b *fixture, _ string) {
				b.start(unattended)
				b.wait(10 * time.Second)
				b.did(tt.did...)
				if tt.did == nil { // nothing may start: the machine says so, and tries again later
					b.shows("Every entry has failed.")
				}
				if tt.shows != "" {
					e := strings.Join(b.screen.model.Details(b.idOf("Linux lts"), 1000, menu.ASCII), " ")
					if text := e + b.logged(); !strings.Contains(strings.ToLower(text), strings.ToLower(tt.shows)) {
						t.Errorf("nothing has %q:\n%s", tt.shows, text)
					}
				}
			})
		})
	}
}

// logged returns what was logged so far.
func (b *fixture) logged() string {
	var all strings.Builder
	for _, l := range b.session.Log.all() {
		all.WriteString(l.Text + "\n")
	}
	return all.String()
}

// A machine that nobody watches goes on when nothing may start, and opens no shell,
// whatever the settings have for that.
func TestNothingIsSigned(t *testing.T) {
	onSignedDisk(t, remove("boot/alpboot.manifest"), func(t *testing.T, b *fixture, _ string) {
		b.start("alpboot.timeout=0 alpboot.verify=enforce alpboot.exhausted=shell")
		b.wait(3 * time.Second)
		b.shows("Linux virt did not boot: /dev/sda1 has no alpboot.manifest for /boot/vmlinuz-virt; only what is signed starts here: start another entry, and run alpboot sign there", "Restarting in")
		b.wait(6 * time.Minute)
		b.did("hand over", "restart")
	})
}

// A disk that returns something else once its files have been checked gains nothing.
func TestChangedAfterTheCheck(t *testing.T) {
	for verify, changed := range map[string]bool{"off": true, "warn": false, "enforce": false} {
		t.Run(verify, func(t *testing.T) {
			onSignedDisk(t, nil, func(t *testing.T, b *fixture, dir string) {
				held := make(chan struct{})
				b.hw.held = held
				b.start(byHand + " alpboot.verify=" + verify)
				b.press(menu.KeyEnter)
				flip("boot/vmlinuz-lts")(t, dir)
				flip("boot/initramfs-lts")(t, dir)
				close(held)
				b.wait(2 * time.Second)
				b.did(booted...)
				kernel, initrd := string(boottest.BzImage("6.12.1-0-lts")), "\x1f\x8b\x08\x00 initramfs of lts"
				if (b.hw.kernel != kernel) != changed || (b.hw.initrd != initrd) != changed {
					t.Errorf("changed: want %t; kernel as signed: %t, initrd as signed: %t", changed, b.hw.kernel == kernel, b.hw.initrd == initrd)
				}
			})
		})
	}
}

// With warn, everything starts, and what is not signed says so.
func TestWarnsOfUnsigned(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, dir string)
		keys   []any
		want   string // "" for no warning
	}{
		{name: "signed", keys: []any{menu.KeyEnter}},
		{name: "changed", change: flip("boot/vmlinuz-lts"), keys: []any{menu.KeyEnter}, want: "It is not signed, and starts all the same (verify = warn): /boot/vmlinuz-lts on /dev/sda1: it was changed after it was signed."},
		{name: "edited", keys: []any{"e", " single", menu.KeyEnter}, want: "It is not signed, and starts all the same (verify = warn): it was edited"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onSignedDisk(t, tt.change, func(t *testing.T, b *fixture, _ string) {
				b.start(byHand + " alpboot.verify=warn")
				b.press(tt.keys...)
				b.wait(2 * time.Second)
				b.did(booted...)
				for where, text := range map[string]string{"screen": b.screen.last, "log": b.logged()} {
					if !strings.Contains(text, tt.want) || tt.want == "" && strings.Contains(text, "not signed") {
						t.Errorf("the %s has\n%s\nwant %q", where, text, tt.want)
					}
				}
			})
		})
	}
}

// What cannot be signed is locked, and the menu says so; the details have what is.
func TestLocks(t *testing.T) {
	guessed := hardware.Device{Block: bootDisk(t, "/dev/sdb1", "u2", "").Block, Dir: t.TempDir()}
	guessed.Superblock.Type, guessed.Superblock.UUID = "ext4", "u2"
	writeFile(t, filepath.Join(guessed.Dir, "boot/vmlinuz-edge"), string(boottest.BzImage("6.13.0-0-edge")))
	writeFile(t, filepath.Join(guessed.Dir, "boot/initramfs-edge"), "\x1f\x8b\x08\x00 initramfs of edge")
	writeFile(t, filepath.Join(guessed.Dir, "etc/os-release"), "ID=alpine\nPRETTY_NAME=\"Guessed Linux\"\n")
	onSignedDisk(t, nil, func(t *testing.T, b *fixture, _ string) {
		b.disks.Plug(guessed)
		b.addESP(map[string]string{"EFI/alpboot/alpboot.conf": "title = From the volume\n"})
		b.start(byHand + " alpboot.verify=enforce")
		b.wait(5 * time.Second)
		for _, key := range []string{"e", "s"} {
			b.press(key)
			b.shows(textLocked)
			b.press(menu.KeyDown)
		}
		b.press("o")
		b.shows(textLocked)
		b.press(menu.KeyEsc, menu.KeyHome, "i")
		b.shows("It is signed by owner.pub, in /boot/alpboot.manifest, epoch 7. Older ones start too: this machine has no TPM 2.0")
		b.press(menu.KeyEsc, "p")
		if text := b.screen.text(); strings.Contains(text, "restart alpboot") || strings.Contains(text, "From the volume") {
			t.Errorf("the screen: %s", text)
		}
		b.press(menu.KeyEsc, menu.KeyEnd, menu.KeyEnter)
		b.shows("Its command line is a guess, which nobody has signed.")
		b.press("t")
		b.shows("only what is signed starts here")
		b.press("m")
		b.shows("What starts: what the owner of this image has signed; its kernels need no other signature")
		b.did()
	})
}

// What was signed before the epoch that the TPM counts does not start any more; what a
// TPM does not know is no reason not to start.
func TestOldManifest(t *testing.T) {
	const none = "Older ones start too: "
	for _, tt := range []struct {
		name    string
		machine func(t *testing.T, b *fixture)
		details string
		refused bool
	}{
		{"the same epoch", func(_ *testing.T, b *fixture) { b.withCounter(7) }, "epoch 7. The counter of the TPM is at 7: no older one starts.", false},
		{"a later one", func(_ *testing.T, b *fixture) { b.withCounter(1) }, "epoch 7. The counter of the TPM is at 1", false},
		{"an older one", func(_ *testing.T, b *fixture) { b.withCounter(8) },
			"/boot/alpboot.manifest on /dev/sda1 has epoch 7, and the counter of this machine's TPM is at 8: what was signed before that does not count any more", true},
		{"an older one, before the TPM was found", func(_ *testing.T, b *fixture) {
			b.withCounter(8)
			b.files["sys/firmware/acpi/tables/TPM2"] = boottest.File("TPM2")
			b.late = time.Now().Add(6 * time.Second) // when the details have been asked for
		}, "/boot/alpboot.manifest on /dev/sda1 has epoch 7, and the counter of this machine's TPM is at 8", true},
		{"no TPM", func(*testing.T, *fixture) {}, none + "this machine has no TPM 2.0", false},
		{"a TPM that is never found", func(_ *testing.T, b *fixture) { b.files["sys/firmware/acpi/tables/TPM2"] = boottest.File("TPM2") },
			none + "this machine has no TPM 2.0, or none that its driver has found.", false},
		{"no counter", func(_ *testing.T, b *fixture) { b.withTPM(&tpmtest.Fake{}) }, none + "the TPM has no such counter.", false},
		{"a counter that has not counted", func(_ *testing.T, b *fixture) { b.withCounter(0) }, none + "the TPM has no such counter.", false},
		{"something else", func(_ *testing.T, b *fixture) { b.withCounter(9).NoCounter() }, none + "reading the counter 0x1a1b007 of the TPM: it is not a counter", false},
		{"a TPM that does not answer", func(t *testing.T, b *fixture) { t.Cleanup(b.withCounter(9).Hang()) }, none + "reading the counter 0x1a1b007 of the TPM: it does not answer.", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onSignedDisk(t, nil, func(t *testing.T, b *fixture, _ string) {
				tt.machine(t, b)
				b.start(byHand + " alpboot.verify=enforce")
				b.press(menu.KeyHome, "i")
				b.wait(4 * time.Second)
				b.shows(tt.details)
				b.press(menu.KeyEsc, menu.KeyEnter)
				b.wait(5 * time.Second)
				if !tt.refused {
					b.did(booted...)
					return
				}
				b.shows("Linux lts did not boot", tt.details)
				b.did()
				if n := b.tpm.Counters()[tpm.EpochCounter]; n != 8 {
					t.Errorf("the menu has the counter at %d", n)
				}
			})
		})
	}
}

// A power cut amid an upgrade leaves a kernel that is not signed yet: the one that was kept
// for that is, and starts.
func TestKeptIsSigned(t *testing.T) {
	onSignedDisk(t, func(t *testing.T, dir string) {
		const at = "boot/alpboot/6.12.0-0-lts/"
		writeFile(t, filepath.Join(dir, at, "kernel"), string(boottest.BzImage("6.12.0-0-lts")))
		writeFile(t, filepath.Join(dir, at, "initramfs"), "\x1f\x8b\x08\x00 kept")
		writeFile(t, filepath.Join(dir, at, "entry"), "release 6.12.0-0-lts\norder 1\ninitrd initramfs\noptions root=UUID=u1\n")
		b, err := os.ReadFile(filepath.Join(dir, "boot", manifest.Name))
		if err != nil {
			t.Fatal(err)
		}
		m, err := manifest.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"kernel", "initramfs"} {
			b, err := os.ReadFile(filepath.Join(dir, at, name))
			if err != nil {
				t.Fatal(err)
			}
			m.Files = append(m.Files, manifest.File{Path: "alpboot/6.12.0-0-lts/" + name, Size: int64(len(b)), SHA256: sha256.Sum256(b)})
		}
		m.Entries = append(m.Entries, manifest.Entry{Kernel: "alpboot/6.12.0-0-lts/kernel", Initrds: []string{"alpboot/6.12.0-0-lts/initramfs"}, Cmdline: "root=UUID=u1 alpboot.previous"})
		writeFile(t, filepath.Join(dir, "boot", manifest.Name), string(m.Bytes()))
		writeFile(t, filepath.Join(dir, "boot", manifest.Name+signature.Minisig), signaturetest.New(1).Sign(m.Bytes()))
		writeFile(t, filepath.Join(dir, "boot/vmlinuz-lts"), string(boottest.BzImage("6.12.2-0-lts")))
	}, func(t *testing.T, b *fixture, _ string) {
		var jumped []string // the initramfs of each
		b.hw.always = func(what string) {
			if strings.HasPrefix(what, "jump") {
				jumped = append(jumped, get(b.hw, func() string { return b.hw.initrd }))
			}
		}
		b.start("alpboot.timeout=0 alpboot.verify=enforce")
		b.wait(5 * time.Second)
		if len(jumped) == 0 || jumped[0] != "\x1f\x8b\x08\x00 kept" {
			t.Errorf("what was started has the initramfs %q", jumped)
		}
		if text := b.logged(); !strings.Contains(text, "/boot/vmlinuz-lts on /dev/sda1: it was changed after it was signed") {
			t.Errorf("logged:\n%s", text)
		}
	})
}

// Of a manifest and the next one that an interrupted run has left, the one counts whose
// epoch does.
func TestOldManifestBesideNew(t *testing.T) {
	onSignedDisk(t, func(t *testing.T, dir string) {
		for _, end := range []string{"", signature.Minisig} {
			if err := os.Rename(filepath.Join(dir, "boot/alpboot.manifest"+end), filepath.Join(dir, "boot/alpboot.manifest.new"+end)); err != nil {
				t.Fatal(err)
			}
		}
		signDisk(t, dir, signaturetest.New(1))
		old, err := os.ReadFile(filepath.Join(dir, "boot/alpboot.manifest"))
		if err != nil {
			t.Fatal(err)
		}
		old = bytes.Replace(old, []byte("epoch 7\n"), []byte("epoch 6\n"), 1)
		writeFile(t, filepath.Join(dir, "boot/alpboot.manifest"), string(old))
		writeFile(t, filepath.Join(dir, "boot/alpboot.manifest.minisig"), signaturetest.New(1).Sign(old))
	}, func(t *testing.T, b *fixture, _ string) {
		b.withCounter(7)
		b.start("alpboot.timeout=0 alpboot.verify=enforce")
		b.wait(5 * time.Second)
		b.did(append(slices.Clone(booted), bootedVirt()...)...)
	})
}

// Without a key in the image nothing counts as signed, and one that cannot be used is
// named.
func TestKeysOfTheImage(t *testing.T) {
	onSignedDisk(t, nil, func(t *testing.T, b *fixture, _ string) {
		clear(b.files)
		b.files["etc/alpboot/keys/broken.pub"] = boottest.File("ssh-ed25519 AAAA\n")
		b.start(byHand + " alpboot.verify=enforce")
		b.press("l")
		b.shows("The key broken.pub: it is not a key of SSH.", "this image has no key in /etc/alpboot/keys")
		b.press(menu.KeyEsc, menu.KeyEnter)
		b.wait(2 * time.Second)
		b.shows("Linux lts did not boot.", "it is by a key that is not among those of this image")
		b.did()
	})
}
