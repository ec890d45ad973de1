package session

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/measure"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/tpm"
	"github.com/alpboot/alpboot/boot/tpm/tpmtest"
)

// decoded returns the values of a token.
func decoded(t *testing.T, text string) (token map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &token); err != nil {
		t.Fatal(err)
	}
	return token
}

// sealed is a disk of which the passphrase is sealed to a TPM, and what that TPM says: it
// is an emulator's that systemd-cryptenroll has sealed to.
func sealed(t *testing.T) (disk hardware.Device, conversation io.ReadWriteCloser) {
	t.Helper()
	const file = "../tpm/testdata/unseal.txt"
	token, err := os.ReadFile("../tpm/testdata/token.json")
	if err != nil {
		t.Fatal(err)
	}
	values := decoded(t, string(token))
	s, err := tpm.ParseToken(values)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := tpm.New(tpmtest.Replay(t, file)).Unseal(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	disk = encrypted(t)
	disk.Tokens, disk.Passphrase = []map[string]any{{}, values}, string(tpm.Passphrase(secret))
	return disk, tpmtest.Replay(t, file)
}

// A volume that a TPM unlocks is unlocked before anybody is asked, and its default starts.
// Its passphrase is not handed on to what nobody has signed, and is wiped.
func TestUnlockedByTPM(t *testing.T) {
	disk, conversation := sealed(t)
	onDisks(t, func(t *testing.T, b *fixture) {
		b.withTPM(&tpmtest.Fake{})
		b.first = conversation
		b.start("alpboot.timeout=0 alpboot.hand-on-passphrase")
		b.wait(10 * time.Second)
		b.did(append(slices.Clone(booted), bootedVirt()...)...) // the jump fails each time
		if want := "root=UUID=u1 cryptroot=UUID=c1 cryptdm=root"; b.hw.cmdline != want {
			t.Errorf("the command line is %q, want %q", b.hw.cmdline, want)
		}
		if strings.Contains(b.logged(), disk.Passphrase) {
			t.Error("the passphrase is in the log")
		}
		b.stop()
		if len(b.unlocked) == 0 {
			t.Fatal("nothing was unlocked")
		}
		for _, p := range b.unlocked {
			if len(bytes.Trim(p, "\x00")) > 0 {
				t.Errorf("%q stays behind", p)
			}
		}
	}, disk)
}

// refusing is a TPM that answers to every command with a code.
type refusing struct{ code byte }

func (refusing) Write(b []byte) (int, error) { return len(b), nil }
func (r refusing) Read(b []byte) (int, error) {
	return copy(b, []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 9, r.code}), nil
}
func (refusing) Close() error { return nil }

// Where the TPM does not unlock a volume the passphrase is asked for, with the reason,
// and unlocks it.
func TestNotUnlockedByTPM(t *testing.T) {
	disk, _ := sealed(t)
	for _, tt := range []struct {
		name, token string
		first       io.ReadWriteCloser
		hangs       bool
		shows       string
	}{
		{name: "another machine, or start", first: refusing{0x9d}, shows: "/dev/sda2 is not unlocked: unsealing by the TPM: making the primary key: this machine has not started as it had when the secret was sealed"},
		{name: "no answer", hangs: true, shows: "/dev/sda2 is not unlocked: unsealing by the TPM:"},
		{name: "a PIN", token: `{"type":"systemd-tpm2","tpm2-pin":true}`, shows: "is not unlocked: the token needs a PIN. Its passphrase is asked for."},
		{name: "a signed policy", token: `{"type":"systemd-tpm2","tpm2_pubkey_pcrs":[11]}`, shows: "is not unlocked: the token needs a signed policy."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := disk
			if tt.token != "" {
				disk.Tokens = []map[string]any{decoded(t, tt.token)}
			} else {
				disk.Tokens = disk.Tokens[1:]
			}
			onDisks(t, func(t *testing.T, b *fixture) {
				f := &tpmtest.Fake{}
				b.withTPM(f)
				b.first = tt.first
				if tt.hangs {
					defer f.Hang()()
				}
				b.start("alpboot.timeout=0")
				b.wait(3 * time.Second)
				b.shows(tt.shows, "Nothing can be booted before a passphrase unlocks a volume.")
				b.press(menu.KeyEnter, disk.Passphrase, menu.KeyEnter)
				b.shows("Linux lts")
				b.did()
			}, disk)
		})
	}
}

// A default on another disk waits for a TPM, but not for long.
func TestDefaultWaitsForTPM(t *testing.T) {
	disk, _ := sealed(t)
	other := bootDisk(t, "/dev/sdb1", "u2", "")
	other.Block.Disk = "/dev/sdb"
	onDisks(t, func(t *testing.T, b *fixture) {
		f := &tpmtest.Fake{}
		b.withTPM(f)
		defer f.Hang()()
		b.start("alpboot.timeout=0")
		b.wait(3 * time.Second) // measuring alone takes three seconds
		b.did()
		b.wait(4 * time.Second)
		b.hw.mu.Lock()
		defer b.hw.mu.Unlock()
		if !slices.Contains(b.hw.done, booted[0]) {
			t.Errorf("was done: %q", b.hw.done)
		}
	}, disk, other)
}

// What the TPM has unsealed is not in memory any more when a shell opens, and is not
// unsealed again after it.
func TestShellForgets(t *testing.T) {
	disk, conversation := sealed(t)
	onDisks(t, func(t *testing.T, b *fixture) {
		b.withTPM(&tpmtest.Fake{})
		b.first = conversation
		b.start(byHand + " alpboot.hand-on-passphrase")
		b.shows("Linux lts")
		ended := make(chan error)
		b.hw.shell = ended
		b.press("s")
		b.wait(2 * time.Second)
		b.did("shell on /dev/ttyS0 with 0 mounted")
		for _, p := range b.unlocked {
			if len(bytes.Trim(p, "\x00")) > 0 {
				t.Errorf("%q stays behind", p)
			}
		}
		close(ended)
		b.wait(5 * time.Second)
		b.shows("Its passphrase is asked for.")
	}, disk)
}

// Before a shell opens where a volume has a token, PCR 8 is extended: the TPM unseals
// nothing any more that is sealed to an empty one. The log of what is started has it.
func TestShellIsMeasured(t *testing.T) {
	disk, _ := sealed(t)
	for _, has := range []bool{true, false} {
		disk := disk
		if !has {
			disk.Tokens = nil
		}
		onDisks(t, func(t *testing.T, b *fixture) {
			f := &tpmtest.Fake{}
			b.withTPM(f)
			b.start(byHand)
			b.press("s")
			b.wait(2 * time.Second)
			b.did("shell on /dev/ttyS0 with 0 mounted")
			want := make([]byte, 32)
			whats := slices.Clone(measuredLTS)
			whats[0] += " cryptroot=UUID=c1 cryptdm=root"
			if has {
				want = measure.Replay([]measure.Event{measure.Shell([]tpm.Algorithm{tpm.SHA256})}, tpm.SHA256)[measure.CmdlinePCR]
				whats = slices.Insert(whats, 0, "shell")
			}
			if got := f.PCR(measure.CmdlinePCR); !bytes.Equal(got[:], want) {
				t.Errorf("with a token: %t: PCR 8 is %x, want %x", has, got, want)
			}
			b.press(menu.KeyEnter, disk.Passphrase, menu.KeyEnter)
			b.wait(2 * time.Second)
			b.press(menu.KeyHome, menu.KeyEnter)
			b.wait(2 * time.Second)
			b.agrees(f, whats...)
		}, disk)
	}
}

// What a TPM has unlocked is handed on to what is signed alone.
func TestSealedIsForTheSigned(t *testing.T) {
	o := secrets{}
	v := boot.Volume{Device: "/dev/sda2", UUID: "c1"}
	k := o.own(menu.Unlock{Device: v.Device, Passphrase: []byte("x"), HandOn: true})
	k.sealed = true
	o.keep(k, v)
	e := boot.Entry{Cmdline: "cryptroot=UUID=c1"}
	for _, signed := range []bool{true, false} {
		if line, got := o.handOn(e, nil, signed); (string(got) == "x") != signed || (line == e.Cmdline) == signed {
			t.Errorf("signed %t: %q, %q", signed, line, got)
		}
	}
}
