package tpm_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/tpm"
	"github.com/alpboot/alpboot/boot/tpm/tpmtest"
)

const (
	token              = "testdata/token.json"
	unsealConversation = "testdata/unseal.txt"
)

// decoded returns the values of a token.
func decoded(t testing.TB, text []byte) (token map[string]any) {
	t.Helper()
	if err := json.Unmarshal(text, &token); err != nil {
		t.Fatal(err)
	}
	return token
}

// unseal unseals what a token has, extends PCR 8, to which it was sealed, and tries
// again. It returns the passphrase.
func unseal(t *testing.T, rw io.ReadWriteCloser, token []byte) []byte {
	t.Helper()
	s, err := tpm.ParseToken(decoded(t, token))
	if err != nil {
		t.Fatal(err)
	}
	d := tpm.New(rw)
	secret, err := d.Unseal(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	damaged := s
	damaged.Private = append(bytes.Clone(s.Private[:len(s.Private)-1]), s.Private[len(s.Private)-1]^1)
	if _, err := d.Unseal(t.Context(), damaged); !errors.Is(err, tpm.Integrity) {
		t.Errorf("a damaged secret: %v", err)
	}
	if err := d.Extend(t.Context(), 8, []tpm.Digest{{Algorithm: tpm.SHA256, Sum: make([]byte, 32)}}); err != nil {
		t.Fatal(err)
	}
	for range 4 { // nothing is left behind in the TPM, which has room for three
		if secret, err := d.Unseal(t.Context(), s); !errors.Is(err, tpm.PolicyFail) || secret != nil {
			t.Errorf("with another PCR 8: %x, %v", secret, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	return tpm.Passphrase(secret)
}

// TestUnseal has systemd-cryptenroll bind a volume to a real emulator, and unseals what
// opens it. With -update the conversation is kept for TestUnsealConversation.
func TestUnseal(t *testing.T) {
	boottest.NeedTools(t, "systemd-cryptenroll", "cryptsetup")
	conn, socket := tpmtest.Start(t)
	conn.Close() // it takes one connection at a time
	dir := t.TempDir()
	image, key := filepath.Join(dir, "image"), filepath.Join(dir, "key")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 32<<20), os.WriteFile(key, []byte("typed"), 0o600)); err != nil {
		t.Fatal(err)
	}
	boottest.Tool(t, "cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", image, key)
	enroll := exec.Command("systemd-cryptenroll", "--tpm2-device=swtpm:path="+socket, "--tpm2-pcrs=7+8", image)
	enroll.Env = append(os.Environ(), "PASSWORD=typed")
	if out, err := enroll.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "not supported") || strings.Contains(string(out), "not installed") {
			boottest.Skip(t, string(out)) // a systemd without the libraries
		}
		t.Fatalf("%v\n%s", err, out)
	}
	exported, err := exec.Command("cryptsetup", "token", "export", "--token-id", "0", image).Output()
	if err != nil {
		t.Fatal(err)
	}
	again, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	r := &tpmtest.Recorder{TPM: again}
	passphrase := unseal(t, r, exported)
	open := exec.Command("cryptsetup", "open", "--test-passphrase", "--key-file", "-", image)
	open.Stdin = bytes.NewReader(passphrase)
	if out, err := open.CombinedOutput(); err != nil {
		t.Errorf("%q does not open the volume: %v\n%s", passphrase, err, out)
	}
	if boottest.Update() {
		r.Keep(t, unsealConversation)
		if err := os.WriteFile(token, exported, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnsealConversation is the same where there is no emulator.
func TestUnsealConversation(t *testing.T) {
	b, err := os.ReadFile(token)
	if err != nil {
		t.Fatal(err)
	}
	if got := unseal(t, tpmtest.Replay(t, unsealConversation), b); len(got) != 44 {
		t.Errorf("the passphrase is %q", got)
	}
}

func TestParseToken(t *testing.T) {
	const blob = `"tpm2-blob":"AAFwAAFx"` // private p, public q
	for _, tt := range []struct{ text, want string }{
		{`{"type":"clevis"}`, `it is a token of type "clevis"`},
		{`{}`, `it is a token of type ""`},
		{`{"type":"systemd-tpm2","tpm2-pcrs":[7],"tpm2-pin":true,` + blob + `}`, "needs a PIN"},
		{`{"type":"systemd-tpm2","tpm2-pcrs":[7],"tpm2_pcrlock":true,` + blob + `}`, "systemd-pcrlock"},
		{`{"type":"systemd-tpm2","tpm2-pcrs":[],"tpm2_pubkey_pcrs":[11],` + blob + `}`, "a signed policy"},
		{`{"type":"systemd-tpm2","tpm2-pcrs":[],` + blob + `}`, "not bound to PCRs"},
		{`{"type":"systemd-tpm2","tpm2-pcrs":[24],` + blob + `}`, "PCR 24"},
		{`{"type":"systemd-tpm2","tpm2-pcrs":["x"],` + blob + `}`, "PCR x"},
		{`{"type":"systemd-tpm2","tpm2-pcrs":[7],"tpm2_srk":"!",` + blob + `}`, "cannot be read"},
		{`{"type":"systemd-tpm2","tpm2-pcrs":[-1],` + blob + `}`, "PCR -1"},
		{`{"type":"systemd-tpm2","tpm2-pcrs":[7],"tpm2-pcr-bank":"sm3",` + blob + `}`, "not known"},
		{`{"type":"systemd-tpm2","tpm2-pcrs":[7],"tpm2-primary-alg":"x",` + blob + `}`, "not known"},
		{`{"type":"systemd-tpm2","tpm2-pcrs":[7],"tpm2-blob":"!"}`, "cannot be read"},
		{`{"type":"systemd-tpm2","tpm2-pcrs":[7],"tpm2-blob":"AAFw"}`, "no whole secret"},
		{`{"type":"systemd-tpm2","tpm2-pcrs":[7]}`, "no whole secret"},
		{`{"type":"systemd-tpm2","tpm2-pcrs":[7],"tpm2_srk":"gAAAAQ==",` + blob + `}`, "not kept in the TPM"},
	} {
		if s, err := tpm.ParseToken(decoded(t, []byte(tt.text))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %+v, %v, want %s", tt.text, s, err, tt.want)
		}
	}
	s, err := tpm.ParseToken(decoded(t, []byte(`{"type":"systemd-tpm2","keyslots":["1"],"tpm2-pcrs":[7,8],"tpm2-pcr-bank":"sha1","tpm2-primary-alg":"rsa","tpm2-blob":["AAFwAAFx"],"tpm2_srk":"gQAAAQ=="}`)))
	if err != nil || string(s.Private) != "p" || string(s.Public) != "q" || s.Parent != 0x81000001 || !s.RSA || s.Bank != tpm.SHA1 || len(s.PCRs) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

func FuzzParseToken(f *testing.F) {
	b, err := os.ReadFile(token)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"type":"systemd-tpm2","tpm2-pcrs":[7],"tpm2-blob":["AAFwAAFx"],"tpm2_srk":"gQAAAQ=="}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var token map[string]any
		if json.Unmarshal(text, &token) != nil {
			return
		}
		s, err := tpm.ParseToken(token)
		if err == nil && (len(s.Private) == 0 || len(s.Public) == 0 || len(s.PCRs) == 0) {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzUnseal(f *testing.F) {
	b, err := os.ReadFile(token)
	if err != nil {
		f.Fatal(err)
	}
	s, err := tpm.ParseToken(decoded(f, b))
	if err != nil {
		f.Fatal(err)
	}
	s.Parent = 0x81000001
	loaded := "\x80\x02\x00\x00\x00\x17\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x01\x00\x00"
	session := "\x80\x01\x00\x00\x00\x10\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00"
	f.Add(loaded + session + "\x80\x01\x00\x00\x00\x0a\x00\x00\x00\x00" + "\x80\x02\x00\x00\x00\x16\x00\x00\x00\x00\x00\x00\x00\x03\x00\x01x\x00\x00\x01\x00\x00")
	f.Fuzz(func(t *testing.T, answers string) {
		secret, err := answering(answers).Unseal(t.Context(), s)
		if err == nil && !strings.Contains(answers, string(secret)) {
			t.Errorf("%x", secret)
		}
	})
}
