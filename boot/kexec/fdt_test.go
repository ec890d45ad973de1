package kexec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// treeOf makes a device tree of lines: "name {" begins a node, "}" ends it, and
// "name=value" is a property. The reserved pieces of memory come first.
func treeOf(reserved []span, text string) []byte {
	be := binary.BigEndian
	var names, structure []byte
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, "=")
		switch {
		case line == "":
		case line == "}":
			structure = be.AppendUint32(structure, fdtEndNode)
		case strings.HasSuffix(line, "{"):
			name = strings.TrimSpace(strings.TrimSuffix(line, "{"))
			structure = append(be.AppendUint32(structure, fdtBeginNode), name...)
			structure = append(structure, make([]byte, 4-len(name)%4)...)
		default:
			structure = be.AppendUint32(be.AppendUint32(be.AppendUint32(structure, fdtProp), uint32(len(value))), uint32(len(names)))
			names = append(append(names, name...), 0)
			structure = append(structure, value...)
			structure = be.AppendUint32(append(structure, make([]byte, -len(value)&3)...), fdtNop)
		}
	}
	structure = be.AppendUint32(structure, fdtEnd)
	b := make([]byte, fdtHeader)
	for _, r := range append(reserved, span{}) {
		b = be.AppendUint64(be.AppendUint64(b, r.from), r.to-r.from)
	}
	for i, v := range []uint32{fdtMagic, 0, uint32(len(b)), uint32(len(b) + len(structure)), fdtHeader, 17, 16, 0, uint32(len(names)), uint32(len(structure))} {
		be.PutUint32(b[4*i:], v)
	}
	b = append(append(b, structure...), names...)
	be.PutUint32(b[4:], uint32(len(b)))
	return b
}

// showTree is treeOf's other way round, with the reserved pieces of memory as
// lines before the nodes, and numbers in hexadecimal.
func showTree(t testing.TB, b []byte) string {
	t.Helper()
	be := binary.BigEndian
	var s strings.Builder
	for r := b[be.Uint32(b[16:]):]; be.Uint64(r[8:]) != 0; r = r[16:] {
		fmt.Fprintf(&s, "reserved %#x %#x\n", be.Uint64(r), be.Uint64(r[8:]))
	}
	off := be.Uint32(b[8:])
	names := be.Uint32(b[12:])
	if be.Uint32(b[4:]) != uint32(len(b)) || len(b)%8 != 0 {
		t.Errorf("a tree of %d bytes states that it has %d", len(b), be.Uint32(b[4:]))
	}
	tokens, err := fdtTokens(b[off:][:be.Uint32(b[36:])], b[names:][:be.Uint32(b[32:])])
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range tokens {
		switch k.kind {
		case fdtBeginNode:
			fmt.Fprintf(&s, "%s {\n", k.name)
		case fdtEndNode:
			s.WriteString("}\n")
		case fdtProp:
			v := k.raw[12:][:be.Uint32(k.raw[4:])]
			switch {
			case strings.HasSuffix(k.name, "seed"):
				fmt.Fprintf(&s, "%s=%d bytes\n", k.name, len(v))
			case strings.Contains(k.name, "initrd"):
				fmt.Fprintf(&s, "%s=%#x\n", k.name, k.number())
			default:
				fmt.Fprintf(&s, "%s=%s\n", k.name, strings.TrimRight(string(v), "\x00"))
			}
		}
	}
	return s.String()
}

// number64 returns eight bytes as text.
func number64(v uint64) string { return string(binary.BigEndian.AppendUint64(nil, v)) }

func TestTargetTree(t *testing.T) {
	const ours = "bootargs=root=/dev/vda2 quiet\nlinux,initrd-start=0x48000000\nlinux,initrd-end=0x48000123\nkaslr-seed=8 bytes\nrng-seed=128 bytes\nlinux,booted-from-kexec=\n"
	tests := []struct {
		name     string
		reserved []span
		tree     string
		noInitrd bool
		want     string
	}{
		{name: "what was there is replaced, the rest stays", tree: "{\ncompatible=virt\nchosen {\nstdout-path=/uart\nbootargs=old\nrng-seed=x\nlinux,elfcorehdr=1\nlinux,usable-memory-range=2\nlinux,uefi-system-table=3\nframe {\nbootargs=of the frame\n}\n}\nuart {\nbootargs=of the port\n}\n}",
			want: "reserved 0x48000000 0x123\n {\ncompatible=virt\nchosen {\n" + ours + "stdout-path=/uart\nlinux,uefi-system-table=3\nframe {\nbootargs=of the frame\n}\n}\nuart {\nbootargs=of the port\n}\n}\n"},
		{name: "no node", tree: "{\ncompatible=virt\nuart {\nchosen {\n}\n}\n}", want: "reserved 0x48000000 0x123\n {\ncompatible=virt\nuart {\nchosen {\n}\n}\nchosen {\n" + ours + "}\n}\n"},
		{name: "the old initrd's memory is free", reserved: []span{{0x1000, 0x2000}, {0x44000000, 0x44001000}},
			tree: "{\nchosen {\nlinux,initrd-start=" + number64(0x44000000) + "\nlinux,initrd-end=" + number64(0x44000800) + "\n}\n}",
			want: "reserved 0x1000 0x1000\nreserved 0x48000000 0x123\n {\nchosen {\n" + ours + "}\n}\n"},
		{name: "no initrd", noInitrd: true, tree: "{\nchosen {\nlinux,initrd-start=" + number64(1) + "\n}\n}",
			want: " {\nchosen {\nbootargs=root=/dev/vda2 quiet\nkaslr-seed=8 bytes\nrng-seed=128 bytes\nlinux,booted-from-kexec=\n}\n}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from, to := uint64(0x48000000), uint64(0x48000123)
			if tt.noInitrd {
				from, to = 0, 0
			}
			in := treeOf(tt.reserved, tt.tree)
			out, err := targetTree(append(slices.Clone(in), "padding"...), "root=/dev/vda2 quiet", from, to, make([]byte, seedSize))
			if err != nil {
				t.Fatal(err)
			}
			if got := showTree(t, out); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			// Once more, as in a kernel that was itself started so.
			again, err := targetTree(out, "root=/dev/vda2 quiet", from, to, make([]byte, seedSize))
			if err != nil || showTree(t, again) != showTree(t, out) || len(again) != len(out) {
				t.Errorf("a second time (%v):\n%s", err, showTree(t, again))
			}
		})
	}
}

func TestTargetTreeErrors(t *testing.T) {
	good := treeOf(nil, "{\nchosen {\na=b\n}\n}")
	change := func(off int, v uint32) []byte {
		b := bytes.Clone(good)
		binary.BigEndian.PutUint32(b[off:], v)
		return b
	}
	for name, b := range map[string][]byte{
		"empty": nil, "no tree": change(0, 1), "longer than the file": change(4, 1<<20), "old version": change(20, 2),
		"structure outside": change(8, 1<<31), "names outside": change(12, 1<<31), "reserved outside": change(16, 1<<31),
		"structure of no length": change(36, 0), "reserved without an end": change(16, uint32(len(good)-8)),
	} {
		if out, err := targetTree(b, "", 0, 0, nil); err == nil {
			t.Errorf("%s: %d bytes and no error", name, len(out))
		}
	}
}

// dtc, which reads trees as a kernel's libfdt does, finds nothing wrong.
func TestTargetTreeOracle(t *testing.T) {
	if _, err := exec.LookPath("dtc"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("dtc is not installed (Debian: package device-tree-compiler)")
	}
	out, err := targetTree(treeOf([]span{{0x1000, 0x2000}}, "{\ncompatible=virt\nchosen {\nbootargs=old\n}\nuart {\n}\n}"), "a b", 0x48000000, 0x48000123, make([]byte, seedSize))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "tree")
	if err := os.WriteFile(name, out, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command("dtc", "-I", "dtb", "-O", "dts", name).CombinedOutput()
	if err != nil || !strings.Contains(string(text), `bootargs = "a b";`) || !strings.Contains(string(text), "linux,initrd-end = <0x00 0x48000123>;") || !strings.Contains(string(text), "/memreserve/\t0x0000000048000000 0x0000000000000123;") {
		t.Errorf("%v\n%s", err, text)
	}
}

func FuzzTargetTree(f *testing.F) {
	f.Add(treeOf([]span{{1, 2}}, "{\na=b\nchosen {\nbootargs=old\nlinux,initrd-start=abcd\n}\n}"))
	f.Add(treeOf(nil, "{\n}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := targetTree(b, "quiet", 0x1000, 0x2000, nil)
		if err == nil && !strings.Contains(showTree(t, out), "bootargs=quiet\n") {
			t.Error("no command line")
		}
	})
}
