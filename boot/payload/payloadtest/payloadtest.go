// Package payloadtest makes the small files that tests of payloads are made of.
package payloadtest

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/mkuimage/cpio"
	"github.com/ulikunitz/xz"

	"github.com/alpboot/alpboot/boot/payload"
)

// NeedTools skips the test when a program is missing; on CI none may be.
func NeedTools(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// Output returns what reports to w, all of it.
func Output(w io.Writer) payload.Output {
	return payload.Output{Stdout: w, Progress: func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }}
}

// Release is that of the kernel and its modules.
const Release = "6.12.1-0-test"

// Module makes the smallest ELF file with a .modinfo section of those
// fields.
func Module(fields ...string) []byte {
	const (
		headerSize  = 64
		sectionSize = 64
		names       = "\x00.modinfo\x00.shstrtab\x00"
	)
	info := strings.Join(fields, "\x00") + "\x00"
	le := binary.LittleEndian
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, headerSize-7)...)
	le.PutUint16(b[16:], 1)  // relocatable
	le.PutUint16(b[18:], 62) // x86-64
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[40:], uint64(headerSize+len(info)+len(names))) // section headers
	le.PutUint16(b[52:], headerSize)
	le.PutUint16(b[58:], sectionSize)
	le.PutUint16(b[60:], 3)
	le.PutUint16(b[62:], 2)
	b = append(b, info+names...)
	section := func(name, kind uint32, offset, size int) {
		s := make([]byte, sectionSize)
		le.PutUint32(s, name)
		le.PutUint32(s[4:], kind)
		le.PutUint64(s[24:], uint64(offset))
		le.PutUint64(s[32:], uint64(size))
		b = append(b, s...)
	}
	section(0, 0, 0, 0)
	section(1, 1, headerSize, len(info))
	section(10, 3, headerSize+len(info), len(names))
	return b
}

// BzImage makes the header of an x86 kernel image that names a release.
func BzImage(release string) []byte {
	b := make([]byte, 0x8000)
	le := binary.LittleEndian
	b[0x1f1] = 4                   // setup sectors
	le.PutUint32(b[0x1f4:], 0x100) // size of the rest, in 16 bytes
	le.PutUint16(b[0x1fe:], 0xaa55)
	copy(b[0x202:], "HdrS\x0f\x02")
	le.PutUint16(b[0x20e:], 0x300)
	b[0x211] = 1               // loaded high
	le.PutUint16(b[0x236:], 3) // 64 bit
	copy(b[0x500:], release+" (a@b) #1\x00")
	return b
}

// Compressed compresses by the ending of a file name.
func Compressed(t *testing.T, ending string, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	var err error
	switch ending {
	case ".gz":
		w = gzip.NewWriter(&buf)
	case ".xz":
		w, err = xz.NewWriter(&buf)
	case ".zst":
		w, err = zstd.NewWriter(&buf)
	default:
		return b
	}
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// Tree writes files below a new directory, compressing modules by their name.
func Tree(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, Compressed(t, filepath.Ext(name), b), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// EFIProgram makes a PE32+ file with one section that holds body; given a
// kernel image as b, the file is that too.
func EFIProgram(b []byte, machine uint16, body string) []byte {
	const at, optional = 0x40, 112 + 16*8 // before the kernel's own header
	le := binary.LittleEndian
	b = append(bytes.Clone(b), make([]byte, max(0, 0x8000-len(b)))...)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], at)
	copy(b[at:], "PE\x00\x00")
	le.PutUint16(b[at+4:], machine)
	le.PutUint16(b[at+6:], 1)
	le.PutUint16(b[at+20:], optional)
	o := b[at+24:]
	le.PutUint16(o, 0x20b)
	le.PutUint32(o[32:], 0x1000) // alignment in memory and in the file
	le.PutUint32(o[36:], 0x200)
	le.PutUint32(o[56:], 0x10000)
	le.PutUint32(o[60:], 0x1000)
	le.PutUint32(o[108:], 16)
	s := o[optional:]
	copy(s, ".text")
	le.PutUint32(s[8:], 0x7000)
	le.PutUint32(s[12:], 0x1000)
	le.PutUint32(s[16:], 0x7000)
	le.PutUint32(s[20:], 0x1000)
	copy(b[0x2000:], body)
	return b
}

// Archive makes a cpio archive of these records.
func Archive(t testing.TB, records ...cpio.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	w := cpio.Newc.Writer(&b)
	for _, r := range records {
		if err := w.WriteRecord(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Initramfs makes an initramfs with the menu and modules for a kernel.
func Initramfs(t testing.TB, moduleRelease string) []byte {
	return Archive(t,
		cpio.StaticFile("bbin/bb", strings.Repeat("b", 1001), 0o755),
		cpio.Symlink("bbin/bootmenu", "bb"),
		cpio.Symlink("bbin/init", "bb"),
		cpio.StaticFile("lib/modules/"+moduleRelease+"/modules.dep", "x", 0o644))
}

// Processors as EFI programs name them.
const (
	MachineAMD64 = 0x8664
	MachineARM64 = 0xaa64
)

// UKITree makes the files that a UKI is made of.
func UKITree(t *testing.T) string {
	return Tree(t, map[string][]byte{
		"vmlinuz":   EFIProgram(BzImage(Release), MachineAMD64, ""),
		"no-stub":   BzImage(Release),
		"stub":      EFIProgram(nil, MachineAMD64, ".initrd\x00"),
		"new-stub":  EFIProgram(nil, MachineAMD64, ".initrd\x00.ucode\x00"),
		"arm-stub":  EFIProgram(nil, MachineARM64, ""),
		"initramfs": []byte("070701 the initramfs"),
		"microcode": []byte("070701 kernel/x86/microcode/GenuineIntel.bin 12345"),
		"splash":    []byte("BM picture"),
		"release":   []byte("ID=mine\n"),
		"text":      []byte("some text"),
		"long":      bytes.Repeat([]byte("x"), 1<<16+1),
	})
}

// Parts are those of a payload in the directory that UKITree makes.
func Parts() payload.Parts {
	return payload.Parts{Arch: "amd64", Kernel: "vmlinuz", Initramfs: "initramfs", Cmdline: "a=b c"}
}

// ROM makes dir/test.rom, an empty coreboot ROM of 256 KiB.
func ROM(t *testing.T, dir string) {
	t.Helper()
	NeedTools(t, "cbfstool")
	if err := os.WriteFile(filepath.Join(dir, "bootblock"), bytes.Repeat([]byte("boot"), 128), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := payload.Run(t.Context(), dir, "cbfstool", "test.rom", "create", "-m", "x86", "-s", "256K", "-B", "bootblock"); err != nil {
		t.Fatal(err)
	}
}

// Identity writes dir/key.pem and dir/cert.pem, a certificate for the key.
func Identity(t *testing.T, dir string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Unix(1<<33, 0)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"key.pem": {Type: "PRIVATE KEY", Bytes: pkcs8}, "cert.pem": {Type: "CERTIFICATE", Bytes: cert}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Lookup is the files of an archive by name.
type Lookup map[string]fstest.MapFile

// RecordsFS makes records readable as a filesystem; a name that is not there
// returns an empty file to the caller's map Lookup.
func RecordsFS(t *testing.T, records []cpio.Record) Lookup {
	t.Helper()
	m := make(Lookup)
	for _, r := range records {
		b := make([]byte, r.FileSize)
		if _, err := r.ReadAt(b, 0); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		m[r.Name] = fstest.MapFile{Data: b}
	}
	return m
}

// Vermagic is the field of a module for the kernel.
const Vermagic = "vermagic=" + Release + " SMP mod_unload"

// ModuleTree is a kernel and some of its modules.
func ModuleTree() map[string][]byte {
	m := "lib/modules/" + Release + "/"
	return map[string][]byte{
		"vmlinuz":                              BzImage(Release),
		m + "kernel/fs/ext4/ext4.ko.gz":        Module("alias=fs-ext4", "depends=jbd2,mbcache", "softdep=pre: crc32c_generic", Vermagic, "parm=x:y"),
		m + "kernel/fs/jbd2/jbd2.ko.xz":        Module("depends=mbcache", Vermagic),
		m + "kernel/fs/mbcache.ko.zst":         Module("depends=", Vermagic),
		m + "kernel/crypto/crc32c_generic.ko":  Module("alias=crc32c", "alias=crypto-crc32c", "depends=built_in", Vermagic),
		m + "kernel/drivers/block/loop.ko":     Module(Vermagic),
		m + "kernel/drivers/gpu/drm/i915.ko":   Module(Vermagic),
		m + "kernel/net/packet/af_packet.ko":   Module("alias=net-pf-17", Vermagic),
		m + "kernel/drivers/hid/hid-apple.ko":  Module("alias=hid:b0003g*v000005ACp*", "alias=forged\nalias * evil", Vermagic),
		m + "modules.builtin":                  []byte("kernel/drivers/ata/ahci.ko\n"),
		m + "kernel/drivers/ata/notes.ko.text": []byte("not a module"),
	}
}
