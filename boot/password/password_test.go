package password

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
)

// The vectors of $6$ are those of its specification; the others are of the real tools.
func TestMatches(t *testing.T) {
	for _, tt := range []struct{ name, text, password string }{
		{"crypt", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world!"},
		{"with rounds and a long salt", "$6$rounds=10000$saltstringsaltstring$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.", "Hello world!"},
		{"a short salt", "$6$rounds=1400$anotherlongsaltstring$POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiDwGqd8p4ur1", "a very much longer text to encrypt.  This one even stretches over morethan one line."},
		{"few rounds", "$6$rounds=10$roundstoolow$kUMsbe306n21p9R.FRkW3IGn.S9NPN0x50YhH1xhLsPuWGsUSklZt58jaTfF4ZEQpyUNGc0dqbpBYYBaHHrsX.", "the minimum number is still observed"},
		{"GRUB", "grub.pbkdf2.sha512.10.0EF274A917CB66B8.42915885150BA3A33AA3BC5ADA483FE1", "secret"},
		{"syslinux", "$4$abc$3gpAjvUZzWLnN5A5Y0FSh0iVxQw$", "secret"},
		{"text", Plain + "$6$ is text here", "$6$ is text here"},
	} {
		if !Matches(t.Context(), tt.text, []byte(tt.password)) {
			t.Errorf("%s: %q does not match %s", tt.name, tt.password, tt.text)
		}
		for _, wrong := range []string{"", tt.password + "x", tt.password[1:]} {
			if Matches(t.Context(), tt.text, []byte(wrong)) {
				t.Errorf("%s: %q matches %s", tt.name, wrong, tt.text)
			}
		}
	}
}

// The real tools make what is taken, for passwords of many lengths.
func TestTools(t *testing.T) {
	boottest.NeedTools(t, "openssl")
	for _, n := range []int{1, 15, 16, 63, 64, 65, 127, 200} {
		password := strings.Repeat("pä", n)[:n]
		out, err := exec.Command("openssl", "passwd", "-6", password).Output()
		if err != nil {
			t.Fatal(err)
		}
		hashed := strings.TrimSpace(string(out))
		if !IsHash(hashed) || !Matches(t.Context(), hashed, []byte(password)) {
			t.Errorf("%d bytes: openssl makes %s", n, hashed)
		}
	}
	boottest.NeedTools(t, "grub-mkpasswd-pbkdf2")
	cmd := exec.Command("grub-mkpasswd-pbkdf2", "--iteration-count=1000")
	cmd.Stdin = strings.NewReader("geheim\ngeheim\n")
	out, err := cmd.CombinedOutput()
	_, hashed, ok := strings.Cut(strings.TrimSpace(string(out)), "password is ")
	if err != nil || !ok || !IsHash(hashed) || !Matches(t.Context(), hashed, []byte("geheim")) {
		t.Errorf("grub-mkpasswd-pbkdf2 prints %s: %v", out, err)
	}
}

func TestIsHash(t *testing.T) {
	hashed := strings.Repeat("a", 86)
	for _, tt := range []struct {
		text string
		want bool
	}{
		{"$6$salt$" + hashed, true},
		{"$6$rounds=656000$salt$" + hashed, true},
		{"$6$salt$" + hashed[1:], false},
		{"$6$" + hashed, false},
		{"$6$rounds=99999999$salt$" + hashed, false}, // minutes
		{"$6$rounds=-1$salt$" + hashed, false},
		{"$y$j9T$x$" + hashed, false},
		{"$5$salt$" + hashed, false},
		{"$1$salt$" + hashed[:22], false},
		{"$4$abc$3gpAjvUZzWLnN5A5Y0FSh0iVxQw$", false}, // of syslinux alone
		{Plain + "secret", false},
		{"secret", false},
		{"", false},
		{"grub.pbkdf2.sha512.10000.AB.00112233445566778899AABBCCDDEEFF", true},
		{"grub.pbkdf2.sha512.10000.AB.0011", false},
		{"grub.pbkdf2.sha512.0.AB.00112233445566778899AABBCCDDEEFF", false},
		{"grub.pbkdf2.sha512.99999999.AB.00112233445566778899AABBCCDDEEFF", false},
		{"grub.pbkdf2.sha512.10000.AX.00112233445566778899AABBCCDDEEFF", false},
		{"grub.pbkdf2.sha512.10000.AB." + strings.Repeat("00", 1000), false},
		{"grub.pbkdf2.sha512.10000.AB", false},
	} {
		if got := IsHash(tt.text); got != tt.want {
			t.Errorf("%s: %t", tt.text, got)
		}
	}
}

// A password is not checked to its end when nobody waits for that any more.
func TestEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, text := range []string{
		fmt.Sprintf("$6$rounds=%d$salt$%s", maxRounds, strings.Repeat("a", 86)),
		fmt.Sprintf("grub.pbkdf2.sha512.%d.AB.00112233445566778899AABBCCDDEEFF", maxRounds),
	} {
		if !IsHash(text) || Matches(ctx, text, []byte("x")) {
			t.Errorf("%s: %t", text, IsHash(text))
		}
	}
}

func FuzzMatches(f *testing.F) {
	for _, text := range []string{"$6$rounds=1000$salt$x", "grub.pbkdf2.sha512.10.AB.00112233445566778899AABBCCDDEEFF", "$4$a$b$", Plain + "x", "$y$"} {
		f.Add(text, "x")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.Fuzz(func(t *testing.T, text, typed string) {
		if Matches(ctx, text, []byte(typed)) && text != Plain+typed && !strings.HasPrefix(text, salt4) && !strings.HasPrefix(text, grub) {
			t.Errorf("%q matches %q", typed, text)
		}
	})
}
