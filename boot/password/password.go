// Package password checks passwords against what settings and configurations have
// of them: hashes of GRUB and crypt(3), what syslinux takes, and plain text.
//
// What is not read: yescrypt ($y$), MD5 ($1$) and SHA-256 ($5$). Nothing fits these.
package password

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strconv"
	"strings"
)

// Plain begins a password that a configuration has as text.
const Plain = "plain:"

const (
	grub  = "grub.pbkdf2.sha512."
	crypt = "$6$"
	salt4 = "$4$" // of syslinux's sha1pass

	// maxRounds is how much work a hash may ask for: seconds. A configuration may be hostile.
	maxRounds = 10_000_000
	maxText   = 4096
)

// IsHash reports whether text is a hash as grub-mkpasswd-pbkdf2 or openssl passwd -6 makes
// it.
func IsHash(text string) bool {
	return (strings.HasPrefix(text, grub) || strings.HasPrefix(text, crypt)) && parse(text) != nil
}

// Matches reports whether typed is the password that text stands for. It may take
// seconds, and ends when ctx does.
func Matches(ctx context.Context, text string, typed []byte) bool {
	check := parse(text)
	return check != nil && check(ctx, typed)
}

// parse returns what checks a password against text; nil where nothing can fit it.
func parse(text string) func(ctx context.Context, typed []byte) bool {
	if len(text) > maxText {
		return nil
	}
	if rest, ok := strings.CutPrefix(text, Plain); ok {
		return func(_ context.Context, typed []byte) bool {
			return subtle.ConstantTimeCompare(typed, []byte(rest)) == 1
		}
	}
	if rest, ok := strings.CutPrefix(text, grub); ok {
		return parseGRUB(rest)
	}
	if rest, ok := strings.CutPrefix(text, crypt); ok {
		return parseCrypt(rest)
	}
	if rest, ok := strings.CutPrefix(text, salt4); ok {
		return parseSalted(rest)
	}
	return nil
}

// parseGRUB parses ROUNDS.SALT.HASH, of which the last two are hexadecimal.
func parseGRUB(text string) func(context.Context, []byte) bool {
	fields := strings.Split(text, ".")
	if len(fields) != 3 {
		return nil
	}
	rounds := number(fields[0])
	salt, badSalt := hex.DecodeString(fields[1])
	want, badHash := hex.DecodeString(fields[2])
	// GRUB derives 64 bytes unless it is asked for another number. Each 64 cost all rounds.
	if rounds == 0 || badSalt != nil || badHash != nil || len(want) < 16 || len(want) > 2*sha512.Size {
		return nil
	}
	return func(ctx context.Context, typed []byte) bool {
		got, err := PBKDF2(ctx, sha512.New, typed, salt, uint64(rounds), len(want))
		return err == nil && subtle.ConstantTimeCompare(got, want) == 1
	}
}

// number parses a number of rounds, 0 for none that is taken.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxRounds {
		return 0
	}
	return n
}

// parseCrypt parses [rounds=N$]SALT$HASH.
func parseCrypt(text string) func(context.Context, []byte) bool {
	const encoded = 86
	rounds := 5000
	if rest, ok := strings.CutPrefix(text, "rounds="); ok {
		n, rest, _ := strings.Cut(rest, "$")
		if rounds = number(n); rounds == 0 {
			return nil
		}
		text = rest
	}
	salt, want, ok := strings.Cut(text, "$")
	if !ok || len(want) != encoded {
		return nil
	}
	return func(ctx context.Context, typed []byte) bool {
		got := sha512crypt(ctx, typed, []byte(salt), rounds)
		return subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
	}
}

// sha512crypt is what follows the salt in a hash of crypt(3): "Unix crypt using SHA-256
// and SHA-512" of Ulrich Drepper. It is empty when ctx has ended.
func sha512crypt(ctx context.Context, password, salt []byte, rounds int) string {
	salt = salt[:min(len(salt), 16)]
	rounds = max(rounds, 1000)
	sum := func(parts ...[]byte) []byte {
		h := sha512.New()
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	// long repeats b until there are n bytes.
	long := func(b []byte, n int) []byte { return bytes.Repeat(b, n/len(b)+1)[:n] }

	b := sum(password, salt, password)
	parts := [][]byte{password, salt, long(b, len(password))}
	for n := len(password); n > 0; n >>= 1 {
		if n&1 != 0 {
			parts = append(parts, b)
		} else {
			parts = append(parts, password)
		}
	}
	a := sum(parts...)
	p := long(sum(bytes.Repeat(password, len(password))), len(password))
	defer clear(p)
	s := long(sum(bytes.Repeat(salt, 16+int(a[0]))), len(salt))

	h := sha512.New()
	for i := range rounds {
		if i%1000 == 0 && ctx.Err() != nil {
			return ""
		}
		h.Reset()
		if i&1 != 0 {
			h.Write(p)
		} else {
			h.Write(a)
		}
		if i%3 != 0 {
			h.Write(s)
		}
		if i%7 != 0 {
			h.Write(p)
		}
		if i&1 != 0 {
			h.Write(a)
		} else {
			h.Write(p)
		}
		a = h.Sum(a[:0])
	}

	const letters = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var out []byte
	encode := func(v uint32, n int) {
		for range n {
			out = append(out, letters[v&0x3f])
			v >>= 6
		}
	}
	x, y, z := 0, 21, 42
	for range 21 {
		encode(uint32(a[x])<<16|uint32(a[y])<<8|uint32(a[z]), 4)
		x, y, z = y+1, z+1, x+1
	}
	encode(uint32(a[63]), 2)
	return string(out)
}

// parseSalted parses SALT$HASH, of which the hash is that of both in base64.
func parseSalted(text string) func(context.Context, []byte) bool {
	salt, rest, ok := strings.Cut(text, "$")
	want, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(rest, "=$"))
	if !ok || err != nil || len(want) != sha1.Size {
		return nil
	}
	return func(_ context.Context, typed []byte) bool {
		h := sha1.New()
		h.Write([]byte(salt))
		h.Write(typed)
		return subtle.ConstantTimeCompare(h.Sum(nil), want) == 1
	}
}

// PBKDF2 is RFC 8018, section 5.2, as crypto/pbkdf2 has it, but it ends when
// ctx does.
func PBKDF2(ctx context.Context, newHash func() hash.Hash, password, salt []byte, iterations uint64, size int) ([]byte, error) {
	const often = 1 << 14 // iterations, some milliseconds
	mac := hmac.New(newHash, password)
	var out, u []byte
	for block := uint32(1); len(out) < size; block++ {
		mac.Reset()
		mac.Write(salt)
		mac.Write(binary.BigEndian.AppendUint32(nil, block))
		out = mac.Sum(out)
		t := out[len(out)-mac.Size():]
		u = append(u[:0], t...)
		for i := uint64(1); i < iterations; i++ {
			if i%often == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			mac.Reset()
			mac.Write(u)
			u = mac.Sum(u[:0])
			subtle.XORBytes(t, t, u)
		}
	}
	return out[:size], nil
}
