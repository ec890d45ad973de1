package main

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/cmds/alpboot/command"
)

// A root is a directory that packages are installed into: busybox, and what the
// package brings. The programs of the package are testdata/standin.
type root struct {
	*testing.T
	dir string
}

func newRoot(t *testing.T) root {
	t.Helper()
	boottest.NeedRoot(t) // chroot
	boottest.NeedTools(t, "busybox")
	if out, err := exec.Command("ldd", pathOf(t, "busybox")).CombinedOutput(); err == nil {
		boottest.Skip(t, "busybox is not static:", string(out))
	}
	r := root{t, t.TempDir()}
	b, err := os.ReadFile(pathOf(t, "busybox"))
	if err != nil {
		t.Fatal(err)
	}
	r.write("bin/busybox", b, 0o755)
	for _, name := range []string{"sh", "cat", "mkdir", "timeout", "echo", "run-parts", "rm", "env"} {
		r.link("bin/"+name, "busybox")
	}
	for _, name := range []string{"var/log", "tmp", "dev"} {
		r.mkdir(name)
	}
	r.write("dev/null", nil, 0o666)
	// It is the running system: the root of process 1.
	r.link("proc/1/root", "/")
	return r
}

func (r root) path(name string) string { return filepath.Join(r.dir, name) }

func (r root) mkdir(name string) {
	r.Helper()
	if err := os.MkdirAll(r.path(name), 0o755); err != nil {
		r.Fatal(err)
	}
}

func (r root) write(name string, b []byte, mode fs.FileMode) {
	r.Helper()
	r.mkdir(filepath.Dir(name))
	if err := os.WriteFile(r.path(name), b, mode); err != nil {
		r.Fatal(err)
	}
}

func (r root) link(name, to string) {
	r.Helper()
	r.mkdir(filepath.Dir(name))
	if err := os.Symlink(to, r.path(name)); err != nil {
		r.Fatal(err)
	}
}

func (r root) has(name string) bool {
	_, err := os.Lstat(r.path(name))
	return err == nil
}

// run runs a program in the root, and asserts that it succeeds.
func (r root) run(args ...string) string {
	r.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: r.dir}
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// outside runs a package manager on the root.
func (r root) outside(args ...string) string {
	r.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// calls asserts which programs of the package were called since the last time.
func (r root) calls(when string, want ...string) {
	r.Helper()
	b, _ := os.ReadFile(r.path("var/log/calls"))
	os.Remove(r.path("var/log/calls"))
	got := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(b) == 0 {
		got = nil
	}
	if !slices.Equal(got, want) {
		r.Errorf("%s: called %q, want %q", when, got, want)
	}
}

// fails makes the programs of the package fail with a sentence, or succeed again.
func (r root) fails(sentence string) {
	r.Helper()
	if sentence == "" {
		os.Remove(r.path("var/log/answer"))
		return
	}
	r.write("var/log/answer", []byte(sentence+"\n"), 0o644)
}

// says asserts what a user reads.
func (r root) says(when, out string, want ...string) {
	r.Helper()
	for _, w := range want {
		if !strings.Contains(out, w) {
			r.Errorf("%s: no %q in\n%s", when, w, out)
		}
	}
}

const (
	update    = "alpboot update --if-installed"
	doctor    = "alpboot doctor"
	signing   = "alpboot sign --if-needed"
	uninstall = "kexec-reboot uninstall"
	hint      = "alpboot install puts the boot menu in place"
)

// Debian's dpkg: installation, upgrades of the package and of a kernel, removal.
func testDebian(t *testing.T, older, newer string) {
	boottest.NeedTools(t, "dpkg")
	r := newRoot(t)
	r.write("var/lib/dpkg/status", nil, 0o644)
	r.mkdir("var/lib/dpkg/info")
	r.mkdir("var/lib/dpkg/updates")
	dpkg := func(args ...string) string {
		r.Helper()
		return r.outside(append([]string{"dpkg", "--root=" + r.dir, "--force-unsafe-io"}, args...)...)
	}
	kernel := func() string {
		r.Helper()
		return r.run("/bin/run-parts", "--arg=6.12.2", "--arg=/boot/vmlinuz-6.12.2", "/etc/kernel/postinst.d") +
			r.run("/bin/run-parts", "--arg=6.12.1", "--arg=/boot/vmlinuz-6.12.1", "/etc/kernel/postrm.d")
	}

	r.says("installed", dpkg("-i", filepath.Join(older, "alpboot_1.2.3-1_amd64.deb")), hint)
	r.calls("installed")
	if got := r.run("/usr/sbin/lsboot"); got != "" {
		t.Errorf("lsboot prints %q", got)
	}
	r.calls("by another name", "lsboot")

	out := dpkg("-i", filepath.Join(newer, "alpboot_1.3.0-1_amd64.deb"))
	r.calls("upgraded", update)
	if strings.Contains(out, hint) {
		t.Errorf("an upgrade explains how to install:\n%s", out)
	}
	kernel()
	r.calls("a kernel", update, doctor, update, doctor)
	r.write("etc/alpboot/sign.key", nil, 0o600)
	kernel()
	r.calls("a kernel, where a key is set up", signing, update, doctor, signing, update, doctor)
	if err := os.Remove(filepath.Join(r.dir, "etc/alpboot/sign.key")); err != nil {
		t.Fatal(err)
	}

	r.fails("the disk is full")
	r.says("a failed update", dpkg("-i", filepath.Join(newer, "alpboot_1.3.0-1_amd64.deb")), "the disk is full", "was not updated", "run: alpboot update")
	r.says("a kernel that would not boot", kernel(), "alpboot: after this change of a kernel:\nthe disk is full\n")
	r.says("removed", dpkg("-r", "alpboot"), "not all services were removed")
	r.fails("")
	r.calls("failing", update, update, doctor, update, doctor, uninstall)
	if r.has("usr/sbin/alpboot") || r.has("usr/share/alpboot") || r.has("usr/bin/mkpayload") {
		t.Error("programs are left")
	}
	// A setting stays until it is purged: the hook is one to dpkg.
	if out := kernel(); out != "" {
		t.Errorf("the hook of a package that was removed prints %q", out)
	}
	dpkg("-P", "alpboot")
	if r.has("etc/kernel/postinst.d/zzz-alpboot") {
		t.Error("the hook is left after a purge")
	}
	r.calls("purged")

	// Where alpboot install was never run nothing is done, and nothing is said.
	dpkg("-i", filepath.Join(newer, "alpboot_1.3.0-1_amd64.deb"))
	r.write("var/log/status", []byte("3"), 0o644)
	if out := kernel(); out != "" {
		t.Errorf("where alpboot is not installed the hook prints %q", out)
	}
	r.calls("not installed", update, update)
	os.Remove(r.path("var/log/status"))

	// In a root that somebody builds it does not examine the machine.
	if err := os.RemoveAll(r.path("proc")); err != nil {
		t.Fatal(err)
	}
	kernel()
	r.calls("in another root", update, update)
}

// Fedora's rpm, and kernel-install of systemd.
func testFedora(t *testing.T, older, newer string) {
	boottest.NeedTools(t, "rpm")
	r := newRoot(t)
	rpm := func(args ...string) string {
		r.Helper()
		return r.outside(append([]string{"rpm", "--root", r.dir, "--dbpath", "/var/lib/rpm", "--nodeps", "--force-debian"}, args...)...)
	}
	kernel := func() string {
		r.Helper()
		const plugin = "/usr/lib/kernel/install.d/95-alpboot.install"
		return r.run(plugin, "add", "6.12.2", "/boot/x/6.12.2", "/lib/modules/6.12.2/vmlinuz") +
			r.run(plugin, "remove", "6.12.1", "/boot/x/6.12.1")
	}
	r.says("installed", rpm("-i", filepath.Join(older, "alpboot-1.2.3-1.x86_64.rpm")), hint)
	r.calls("installed")
	if out := rpm("-V", "alpboot"); out != "" {
		t.Errorf("rpm -V prints %s", out)
	}
	rpm("-U", filepath.Join(newer, "alpboot-1.3.0-1.x86_64.rpm"))
	r.calls("upgraded", update)
	kernel()
	r.calls("a kernel", update, doctor, update, doctor)
	r.fails("the disk is full")
	r.says("a kernel that would not boot", kernel(), "alpboot: after this change of a kernel:\nthe disk is full\n")
	r.says("removed", rpm("-e", "alpboot"), "not all services were removed")
	r.calls("failing", update, doctor, update, doctor, uninstall)
	for _, name := range []string{"usr/sbin/alpboot", "usr/lib/kernel/install.d/95-alpboot.install", "usr/share/alpboot/changed"} {
		if r.has(name) {
			t.Errorf("%s is left", name)
		}
	}
}

// apkPackage is a package of Alpine as apk 2 and 3 read it: one gzip stream with
// what is about it and its scripts, and one with its files.
type apkPackage struct {
	info    map[string]string
	scripts map[string][]byte
	files   map[string]file
}

func readAPK(t *testing.T, name string) apkPackage {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	// The streams follow each other: a header of gzip begins the second one.
	at := bytes.Index(b[2:], []byte{0x1f, 0x8b, 8}) + 2
	p := apkPackage{info: map[string]string{}, scripts: map[string][]byte{}, files: untar(t, b[at:])}
	for name, f := range untar(t, b[:at]) {
		if name != ".PKGINFO" {
			p.scripts[name] = f.content
			continue
		}
		for line := range strings.Lines(string(f.content)) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), " = "); ok {
				p.info[key] = value
			}
		}
	}
	if sum := sha256.Sum256(b[at:]); p.info["datahash"] != hex.EncodeToString(sum[:]) {
		t.Errorf("%s: datahash %s", name, p.info["datahash"])
	}
	for name, f := range p.files {
		if f.Typeflag == '0' {
			if sum := sha1.Sum(f.content); f.PAXRecords["APK-TOOLS.checksum.SHA1"] != hex.EncodeToString(sum[:]) {
				t.Errorf("%s: checksum %q", name, f.PAXRecords["APK-TOOLS.checksum.SHA1"])
			}
		}
		if f.Uid != 0 || f.Gid != 0 {
			t.Errorf("%s belongs to %d:%d", name, f.Uid, f.Gid)
		}
	}
	return p
}

// unpack puts the files of a package in place, and removes those of the one before
// it that are not in it.
func (r root) unpack(p, before apkPackage) {
	r.Helper()
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		f := p.files[name]
		switch f.Typeflag {
		case '5':
			r.mkdir(name)
		case '2':
			os.Remove(r.path(name))
			r.link(name, f.Linkname)
		default:
			r.write(name, f.content, fs.FileMode(f.Mode))
		}
	}
	for name, f := range before.files {
		if _, stays := p.files[name]; !stays && f.Typeflag != '5' {
			os.Remove(r.path(name))
		}
	}
}

// An apkTool is how a version of apk-tools calls what packages bring.
type apkTool struct {
	root
	version int // 2 or 3
}

// script runs a script of a package, which apk 2 and 3 put into a directory and call
// with versions; apk 3 has two variables more.
func (r apkTool) script(p apkPackage, script string, args ...string) string {
	r.Helper()
	b, ok := p.scripts["."+script]
	if !ok {
		r.Errorf("the package has no %s", script)
		return ""
	}
	name := "lib/apk/exec/" + p.info["pkgname"] + "-" + p.info["pkgver"] + "." + script
	r.write(name, b, 0o755)
	call := append([]string{"/" + name}, args...)
	if r.version == 3 {
		call = append([]string{"/bin/env", "APK_PACKAGE=" + p.info["pkgname"], "APK_SCRIPT=" + script}, call...)
	}
	out := r.run(call...)
	os.RemoveAll(r.path("lib/apk"))
	return out
}

// commitHooks runs the hooks of apk: apk 2 reads the first directory, apk 3 both.
func (r apkTool) commitHooks(phase string) {
	r.Helper()
	for _, dir := range []string{"etc/apk/commit_hooks.d", "lib/apk/commit_hooks.d"}[:r.version-1] {
		list, _ := os.ReadDir(r.path(dir))
		for _, d := range list {
			if !strings.HasPrefix(d.Name(), ".") {
				r.run("/"+dir+"/"+d.Name(), phase)
			}
		}
	}
}

// kernelTrigger runs the hooks as the trigger of Alpine's kernel-hooks does.
func (r root) kernelTrigger(flavour, newer, older string) (out string) {
	r.Helper()
	list, err := os.ReadDir(r.path("etc/kernel-hooks.d"))
	if err != nil {
		r.Fatal(err)
	}
	for _, d := range list {
		name := "etc/kernel-hooks.d/" + d.Name()
		target := name
		if to, err := os.Readlink(r.path(name)); err == nil {
			target = filepath.Join(filepath.Dir(name), to)
		}
		if st, err := os.Stat(r.path(target)); err == nil && st.Mode()&0o111 != 0 {
			out += r.run("/"+name, flavour, newer, older)
		}
	}
	return out
}

// Alpine, as apk 2 and apk 3 go about it.
func testAlpine(t *testing.T, older, newer string, version int) {
	r := apkTool{newRoot(t), version}
	one := readAPK(t, filepath.Join(older, "alpboot-1.2.3-r0.x86_64.apk"))
	next := readAPK(t, filepath.Join(newer, "alpboot-1.3.0-r0.x86_64.apk"))
	if one.info["pkgname"] != "alpboot" || one.info["pkgver"] != "1.2.3-r0" || one.info["arch"] != "x86_64" || one.info["depend"] != "kernel-hooks" {
		t.Errorf("it is %v", one.info)
	}
	for name, f := range one.files {
		if strings.HasPrefix(name, "etc/") && f.Typeflag == '0' && f.Mode&0o111 != 0 && !strings.HasPrefix(name, "etc/init.d/") {
			t.Errorf("%s is a program in /etc", name)
		}
	}

	r.commitHooks("pre-commit")
	r.unpack(one, apkPackage{})
	// What kexec-reboot install would put in place is there, to the byte.
	r.mkdir("etc/runlevels")
	var out, errs bytes.Buffer
	if code := command.Run([]string{"kexec-reboot", "install", "--root", r.dir, "--dry-run"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "added     kexec-load to the runlevel default") {
		t.Errorf("kexec-reboot install: exit status %d\n%s%s", code, out.String(), errs.String())
	}
	for _, word := range []string{"created", "replaced", "kept", "updated"} {
		if strings.Contains(out.String(), word+" ") {
			t.Errorf("the package lacks what kexec-reboot install puts in place:\n%s", out.String())
		}
	}
	r.says("installed", r.script(one, "post-install", "1.2.3-r0"), hint)
	r.commitHooks("post-commit")
	r.calls("installed", "kexec-reboot keep post-commit")

	r.commitHooks("pre-commit")
	r.unpack(next, one)
	r.script(next, "post-upgrade", "1.3.0-r0", "1.2.3-r0")
	r.commitHooks("post-commit")
	r.calls("upgraded", "kexec-reboot keep pre-commit", update, "kexec-reboot keep post-commit")

	r.commitHooks("pre-commit")
	r.kernelTrigger("lts", "6.12.2-0", "6.12.1-0")
	r.commitHooks("post-commit")
	r.calls("a kernel, while the menu has its own", "kexec-reboot keep pre-commit", update, doctor, "kexec-reboot keep post-commit")

	// On Alpine's kernel the image is built again.
	r.write("var/lib/alpboot/alpboot.efi", []byte("image"), 0o644)
	const update = update + " --image /var/lib/alpboot/alpboot.efi"
	r.write("etc/kernel-hooks.d/alpboot.conf", []byte("flavor=lts cmdline='quiet a=b' sign=k,c microcode=/boot/amd-ucode.img key=/etc/alpboot/me.pub settings=/etc/alpboot/menu.conf\n"), 0o644)
	r.kernelTrigger("lts", "6.12.3-0", "6.12.2-0")
	r.calls("the menu's kernel", "mkpayload uki --kernel /boot/vmlinuz-lts --modules /lib/modules/6.12.3-0-lts --initramfs /usr/share/alpboot/initramfs.cpio.xz "+
		"-o /var/lib/alpboot/alpboot.efi --cmdline quiet a=b --sign k,c --microcode /boot/amd-ucode.img --key /etc/alpboot/me.pub --settings /etc/alpboot/menu.conf", update, doctor)
	r.kernelTrigger("edge", "6.13.0-0", "")
	r.calls("another kernel", update, doctor)
	r.kernelTrigger("lts", "", "6.12.3-0")
	r.calls("removed", update, doctor)
	r.write("usr/share/kernel/lts/kernel.release", []byte("6.12.3-0-lts\n"), 0o644)
	r.fails("no room")
	r.says("a build that fails", r.script(next, "post-upgrade", "1.3.0-r0", "1.2.3-r0"), "no room", "apk fix alpboot", "run: alpboot update")
	r.calls("a build that fails", "mkpayload uki --kernel /boot/vmlinuz-lts --modules /lib/modules/6.12.3-0-lts --initramfs /usr/share/alpboot/initramfs.cpio.xz "+
		"-o /var/lib/alpboot/alpboot.efi --cmdline quiet a=b --sign k,c --microcode /boot/amd-ucode.img --key /etc/alpboot/me.pub --settings /etc/alpboot/menu.conf", update)
	r.fails("")

	r.commitHooks("pre-commit")
	r.script(next, "pre-deinstall", "1.3.0-r0")
	r.calls("removing", "kexec-reboot keep pre-commit", uninstall)
	r.unpack(apkPackage{}, next)
	r.commitHooks("post-commit")
	r.calls("removed")
}

// abuild runs a function of the APKBUILD as abuild does: by busybox's shell, which
// has read the file, in the directory of the source. What abuild itself brings is
// only recorded, and so is the go command.
func abuild(t *testing.T, function, srcdir, builddir, pkgdir string) (calls string) {
	t.Helper()
	boottest.NeedTools(t, "busybox")
	log := filepath.Join(t.TempDir(), "calls")
	cmd := exec.Command("busybox", "sh", "-euc", `
default_prepare() { echo default_prepare >>"$log"; }
go() {
	echo "go $*" >>"$log"
	case $1 in
	env) echo arm64 ;;
	build) while [ "$1" != -o ]; do shift; done; printf '#!/bin/sh\necho "$0 $*" >>"$log"\n' >"$2"; chmod +x "$2" ;;
	esac
}
. "$srcdir"/APKBUILD
`+function)
	cmd.Dir = builddir
	cmd.Env = append(os.Environ(), "srcdir="+srcdir, "builddir="+builddir, "pkgdir="+pkgdir, "log="+log, "CARCH=aarch64", "CI=yes")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", function, err, out)
	}
	b, err := os.ReadFile(log)
	if err != nil && function != "package" {
		t.Fatal(err)
	}
	return string(b)
}

// The APKBUILD builds what its package function installs, which is what the package
// of a release has, but for what only one of them has.
func TestAPKBUILD(t *testing.T) {
	src := filepath.Join("..", "..")
	abs, err := filepath.Abs(src)
	if err != nil {
		t.Fatal(err)
	}
	tree, pkgdir := t.TempDir(), t.TempDir()
	for _, name := range []string{"boot", "cmds", "docs", "README.md"} {
		if err := os.Symlink(filepath.Join(abs, name), filepath.Join(tree, name)); err != nil {
			t.Fatal(err)
		}
	}
	srcdir := filepath.Join(abs, alpine)
	calls := abuild(t, "prepare; build", srcdir, tree, pkgdir)
	for _, want := range []string{
		"default_prepare\n", "go mod download\n", "/boot/version.Version=1.0.0 ./cmds/alpboot\n", "/boot/version.Version=1.0.0 ./cmds/mkpayload\n",
		"./mkpayload initramfs --arch arm64 -o initramfs.cpio.xz\n",
	} {
		if !strings.Contains(calls, want) {
			t.Errorf("build does not call %q but\n%s", want, calls)
		}
	}
	for name, text := range map[string]string{
		"alpboot": "#!/bin/sh\necho \"$@\"\n", "mkpayload": "program", "initramfs.cpio.xz": "image",
	} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	abuild(t, "package", srcdir, tree, pkgdir)
	got := map[string]string{}
	err = filepath.WalkDir(pkgdir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%v", info.Mode().Perm())
		if to, err := os.Readlink(name); err == nil {
			what = to
			if _, err := os.Stat(name); err != nil {
				t.Errorf("a link leads nowhere: %v", err)
			}
		}
		name = strings.TrimPrefix(name, pkgdir)
		if service := strings.HasPrefix(name, "/etc/init.d/"); strings.HasPrefix(name, "/etc/") && strings.HasSuffix(what, "x") && !service {
			t.Errorf("%s is a program in /etc", name)
		}
		got[strings.TrimSuffix(name, ".gz")] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r := release{stage: t.TempDir()}
	r.src.Dir = abs
	pages, err := r.documentation()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{shareDir + "initramfs.cpio.xz": "-rw-r--r--"}
	for _, c := range append(contents(), pages...) {
		if len(c.only) > 0 && !slices.Contains(c.only, apk) || c.name == "/usr/share/doc/alpboot/copyright" {
			continue
		}
		what := fmt.Sprintf("%v", c.mode)
		if c.link != "" {
			what = c.link
		}
		want[strings.TrimSuffix(c.name, ".gz")] = what
	}
	for _, page := range []string{"man8/alpboot.8", "man7/alpboot-menu.7", "man5/alpboot.conf.5", "man1/mkpayload.1", "man8/kexec-reboot.8", "man8/lsboot.8"} {
		if want["/usr/share/man/"+page] == "" {
			t.Errorf("a release lacks the manual page %s", page)
		}
	}
	for name, what := range got {
		if !strings.HasPrefix(name, "/usr/share/doc/") && want[name] != what {
			t.Errorf("the APKBUILD installs %s (%s), a release %q", name, what, want[name])
		}
	}
	for name, what := range want {
		if got[name] != what {
			t.Errorf("a release installs %s (%s), the APKBUILD %q", name, what, got[name])
		}
	}
}

// What aports asks of an APKBUILD: its fields, the files that it names, and
// subpackages whose files its package function installs.
func TestAPKBUILDFields(t *testing.T) {
	boottest.NeedTools(t, "busybox")
	out, err := payload.Run(t.Context(), aportDir, "busybox", "sh", "-euc", `srcdir=/src
. ./APKBUILD
for name in pkgname pkgver pkgrel pkgdesc url arch license depends makedepends install subpackages source options; do
	eval "echo $name: \$$name"
done`)
	if err != nil {
		t.Fatal(err)
	}
	field := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		field[name] = value
	}
	if d := field["pkgdesc"]; d == "" || len(d) > 128 || strings.HasSuffix(d, ".") {
		t.Errorf("pkgdesc is %q", d)
	}
	if !isVersion.MatchString(field["pkgver"]) || field["pkgrel"] != "0" || field["license"] != ownLicense || field["url"] != projectURL || field["arch"] != "x86_64 aarch64" {
		t.Errorf("the fields are %q", field)
	}
	for _, word := range []string{"-doc", "-openrc", "-bash-completion", "-zsh-completion", "-fish-completion"} {
		if !slices.Contains(strings.Fields(field["subpackages"]), "alpboot"+word) {
			t.Errorf("there is no subpackage %s", word)
		}
	}
	for _, name := range strings.Fields(field["install"]) {
		b, err := os.ReadFile(filepath.Join(aportDir, name))
		if err != nil || !strings.HasPrefix(string(b), "#!/bin/sh\n") || !strings.HasPrefix(name, "alpboot.") {
			t.Errorf("the script %s: %v", name, err)
		}
	}
	for _, name := range strings.Fields(field["source"])[1:] {
		if _, err := os.Stat(filepath.Join(aportDir, name)); err != nil {
			t.Error(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(aportDir, "APKBUILD"))
	if err != nil {
		t.Fatal(err)
	}
	for n, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		if strings.TrimRight(line, " \t") != line || strings.HasPrefix(line, " ") {
			t.Errorf("line %d of the APKBUILD has spaces where aports has tabs or nothing", n+1)
		}
	}
	for _, function := range []string{"prepare", "build", "check", "package"} {
		if !strings.Contains(string(b), "\n"+function+"() {\n") {
			t.Errorf("there is no %s()", function)
		}
	}
}

// aportDir is the directory of the APKBUILD, from here.
const aportDir = "alpine"

// check runs tests that are there, of nearly all packages, and skips what the machine
// that builds cannot do.
func TestAPKBUILDCheck(t *testing.T) {
	abs, err := filepath.Abs(aportDir)
	if err != nil {
		t.Fatal(err)
	}
	calls := abuild(t, "check", abs, filepath.Join("..", ".."), t.TempDir())
	args, ok := strings.CutPrefix(calls, "go test -short ")
	if !ok {
		t.Fatalf("check runs %q", calls)
	}
	out, err := payload.Run(t.Context(), filepath.Join("..", ".."), "go", append([]string{"list"}, strings.Fields(args)...)...)
	if err != nil || len(strings.Fields(string(out))) < 50 {
		t.Errorf("go list %s: %v\n%s", args, err, out)
	}
}

func pathOf(t *testing.T, program string) string {
	t.Helper()
	name, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	return name
}
