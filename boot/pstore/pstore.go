// Package pstore reads what kernels that panicked have left in EFI variables.
//
// Linux's driver efi-pstore cuts the end of the kernel's log in parts, the last
// lines first, and writes each to a variable dump-type0-PART-COUNT-TIME-C, whose
// value is raw deflate, or ...-D for plain text (drivers/firmware/efi/efi-pstore.c
// and fs/pstore/platform.c of Linux 6.12). Before 6.6 it may be zstd, as Alpine had
// it. Count is that of the dumps since the kernel's start, time is in seconds.
package pstore

import (
	"bytes"
	"cmp"
	"compress/flate"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/alpboot/alpboot/boot/efivar"
)

// vendor is the GUID of the variables: LINUX_EFI_CRASH_GUID.
const vendor = "cfc8fc79-be2e-4ddc-97f0-9f98bfe298a0"

// Dump is the end of the log of a kernel that panicked, or met an error which it
// survived.
type Dump struct {
	Time time.Time
	Text string // lines, the oldest first
}

// maxPart is more than a part unpacks to: the kernel writes 1 KiB.
const maxPart = 64 << 10

// maxParts is more than firmware has room for.
const maxParts = 256

// part is one variable.
type part struct {
	file          string
	number, count int
	time          int64
	packed        bool
}

// parse returns the part that a file of efivarfs is; ok is false for any other.
func parse(file string) (p part, ok bool) {
	name, ok := strings.CutSuffix(strings.ToLower(file), "-"+vendor)
	words := strings.Split(name, "-")
	if !ok || len(words) < 5 || len(words) > 6 || words[0] != "dump" || words[1] != "type0" {
		return part{}, false
	}
	var errs [3]error
	p = part{file: file, packed: len(words) == 6 && words[5] == "c"}
	p.number, errs[0] = strconv.Atoi(words[2])
	p.count, errs[1] = strconv.Atoi(words[3])
	p.time, errs[2] = strconv.ParseInt(words[4], 10, 64)
	return p, errs == [3]error{} && p.number >= 0 && p.count >= 0 && p.time >= 0
}

// text returns what a part holds, without the line that numbers it.
func (p part) text(vars fs.FS) (string, error) {
	b, err := efivar.Read(vars, p.file)
	if err != nil {
		return "", err
	}
	if p.packed {
		// What was unpacked before an error is text all the same.
		if b, err = unpack(b); len(b) == 0 && err != nil {
			return "", fmt.Errorf("unpacking %s: %w", path.Base(p.file), err)
		}
	}
	text := strings.ToValidUTF8(string(b), string(utf8.RuneError))
	if first, rest, ok := strings.Cut(text, "\n"); ok && strings.Contains(first, "#") && strings.Contains(first, "Part") {
		text = rest
	}
	return strings.Trim(text, "\x00"), nil
}

func unpack(b []byte) ([]byte, error) {
	const magic = "\x28\xb5\x2f\xfd"
	r := io.Reader(flate.NewReader(bytes.NewReader(b)))
	if bytes.HasPrefix(b, []byte(magic)) {
		d, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPart), zstd.WithDecoderMaxWindow(maxPart))
		if err != nil {
			return nil, err
		}
		defer d.Close()
		r = d
	}
	return io.ReadAll(io.LimitReader(r, maxPart))
}

// Read returns the dumps in vars, the root of an efivarfs, the oldest first. With
// an error there is what could be read. Nothing is erased.
func Read(vars fs.FS) ([]Dump, error) {
	files, err := fs.ReadDir(vars, ".")
	if err != nil {
		return nil, fmt.Errorf("reading the EFI variables: %w", err)
	}
	var parts []part
	for _, f := range files {
		if p, ok := parse(f.Name()); ok && len(parts) < maxParts {
			parts = append(parts, p)
		}
	}
	// Parts of one dump are a second or two apart, as firmware writes slowly.
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.count, b.count), cmp.Compare(a.number, b.number))
	})
	var dumps []Dump
	var texts []string // of the last one, the newest first
	var before part
	join := func() {
		if len(dumps) > 0 {
			slices.Reverse(texts)
			dumps[len(dumps)-1].Text, texts = strings.Join(texts, ""), nil
		}
	}
	for _, p := range parts {
		text, partErr := p.text(vars)
		if partErr != nil {
			err = cmp.Or(err, partErr)
			continue
		}
		if len(dumps) == 0 || p.count != before.count || p.number <= before.number {
			join()
			dumps = append(dumps, Dump{Time: time.Unix(p.time, 0)})
		}
		before = p
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		texts = append(texts, text)
	}
	join()
	return dumps, err
}

// reasons are how the kernel begins the line that says why, the weightiest first.
var reasons = []string{"Kernel panic - ", "BUG: ", "kernel BUG at ", "Oops: ", "general protection fault", "watchdog: "}

// Reason returns the line of the text with the reason of the panic, without its
// time; "" when there is none.
func (d Dump) Reason() string {
	for _, reason := range reasons {
		for line := range strings.Lines(d.Text) {
			if i := strings.Index(line, reason); i >= 0 {
				return strings.TrimSpace(line[i:])
			}
		}
	}
	return ""
}
