package reboot

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device/mountinfo"
	"github.com/alpboot/alpboot/boot/format/kept"
	"github.com/alpboot/alpboot/boot/manifest"
	"github.com/alpboot/alpboot/boot/signature"
	"github.com/alpboot/alpboot/boot/tpm"
)

// SignOptions are what is signed, and with which key.
type SignOptions struct {
	Key      string // file; "" for the one that is set up
	Epoch    uint64 // 0 for that of what was signed before, else 1
	IfNeeded bool   // do nothing where no key is set up, or what is signed is so already
	DryRun   bool   // only print what would be signed

	// RevokeOlder signs in a new epoch, and raises the counter of the machine's TPM to
	// it: what was signed before does not start there any more.
	RevokeOlder bool
	Owner       string // file with the password of the TPM's owner; "" for none
}

// signKey is the key that is set up, or a link to it.
const signKey = "/etc/alpboot/sign.key"

// Sign lists what the boot menu may start in manifests, one a filesystem, and has a
// program sign them: minisign, ssh-keygen or openssl, which ask for a passphrase or a
// touch themselves.
func (s *System) Sign(ctx context.Context, o SignOptions) error {
	key := o.Key
	if key == "" {
		if key = s.path(signKey); !s.exists(signKey) {
			if o.IfNeeded {
				return nil
			}
			return fmt.Errorf("which key? name it with --key, or make %s a link to it", signKey)
		}
	}
	by, err := readSigner(key)
	if err != nil {
		return err
	}
	b := s.bootMenu(ctx)
	defer b.close()
	for _, v := range b.inv.Volumes {
		if v.Overdue {
			return fmt.Errorf("nothing was signed: %s", v.Problem)
		}
	}
	all, err := s.signings(b)
	if err != nil {
		return err
	}
	revocation, err := s.setEpochs(ctx, all, o)
	if err != nil {
		return err
	}
	if o.IfNeeded {
		all = slices.DeleteFunc(all, func(sg *signing) bool { return sg.isSigned(by.suffix) })
	}
	if len(all) == 0 {
		return nil
	}
	if o.DryRun {
		for _, sg := range all {
			s.say("Would write %s:\n%s", sg.where(), bytes.TrimSuffix(sg.content, []byte("\n")))
		}
		if revocation != nil {
			s.say("Would raise the counter of the TPM to %d or more, which is the epoch then", revocation.to)
		}
		return nil
	}
	if err := by.sign(ctx, all, s.Stderr); err != nil {
		return err
	}
	for _, sg := range all {
		if err := sg.write(by.suffix); err != nil {
			return fmt.Errorf("writing %s: %w", sg.where(), err)
		}
		s.say("Signed %s: %s, %s, epoch %d", sg.where(), boot.Counted(len(sg.Entries), "entry", "entries"), boot.Counted(len(sg.Files), "file", "files"), sg.Epoch)
	}
	if revocation != nil {
		return revocation.count(ctx) // last: until then what was signed before starts too
	}
	return nil
}

// setEpochs completes manifests by their epochs. What is to be done when they are signed
// is nil, or a revocation.
func (s *System) setEpochs(ctx context.Context, all []*signing, o SignOptions) (r *revocation, err error) {
	counted, err := s.epochCounter(ctx)
	if err != nil && !errors.Is(err, errNoTPM) && !errors.Is(err, tpm.ErrNoCounter) && !o.RevokeOlder && !o.IfNeeded {
		s.Warn("whether the menu would take epoch 1 is not known: %v", err)
	}
	switch {
	case o.RevokeOlder:
		last := uint64(0)
		for _, sg := range all {
			last = max(last, sg.Epoch)
		}
		if r, err = s.revoke(ctx, last, o.Owner, o.DryRun); err != nil {
			return nil, err
		}
		o.Epoch = r.to
	case o.Epoch != 0 && o.Epoch < counted:
		return nil, fmt.Errorf("nothing was signed: the counter of the TPM is at %d, and what is signed in epoch %d would not start", counted, o.Epoch)
	}
	for _, sg := range all {
		if err := sg.finish(cmp.Or(o.Epoch, max(sg.Epoch, counted, 1))); err != nil {
			return nil, fmt.Errorf("%s: %w", sg.mount.Point, err)
		}
	}
	return r, nil
}

// signing is a manifest to be signed.
type signing struct {
	manifest.Manifest
	mount mountinfo.Mount
	point string       // the directory that shows it here
	dir   string       // of the manifest, below that
	found []boot.Entry // what its entries are made of, until it is complete

	content, sig []byte
}

func (sg *signing) name() string  { return path.Join(sg.dir, manifest.Name) }
func (sg *signing) where() string { return path.Join(sg.mount.Point, sg.name()) }

// signings returns what is to be signed: each entry that a configuration lists and that
// can be booted from what is mounted here. Their epochs are those of what was signed
// before.
func (s *System) signings(b *bootMenu) ([]*signing, error) {
	byDevice := map[string]*signing{}
	var all []*signing
	left := func(e boot.Entry, why string) { s.Warn("%s is not signed: %s", e.Name(), why) }
	for _, e := range slices.Concat(b.inv.Entries, b.hidden()) {
		mnt, ok := b.m.mounts[e.Volume.Device]
		switch {
		case e.IsOwn():
			continue
		case e.Problem != "":
			left(e, e.Problem)
			continue
		case e.Guessed:
			left(e, "its command line is a guess: a configuration has to list it")
			continue
		case !ok:
			left(e, e.Volume.Device+" is not mounted")
			continue
		}
		names, ok := belowMount(e, mnt)
		if !ok {
			left(e, "its files are not below "+mnt.Point)
			continue
		}
		sg := byDevice[e.Volume.Device]
		if sg == nil {
			sg = &signing{mount: mnt, point: s.path(mnt.Point), dir: "boot"}
			byDevice[e.Volume.Device] = sg
			all = append(all, sg)
		}
		if slices.ContainsFunc(names, func(n string) bool { return !strings.HasPrefix(n, "boot/") }) {
			sg.dir = "."
		}
		sg.found = append(sg.found, e)
		sg.Entries = append(sg.Entries, manifest.Entry{Kernel: names[0], Profile: e.Profile, Initrds: names[1:], Cmdline: e.Cmdline})
	}
	if len(all) == 0 {
		return nil, errors.New("there is nothing to sign: no configuration on what is mounted lists a kernel")
	}
	for _, sg := range all {
		if err := sg.complete(left); err != nil {
			return nil, fmt.Errorf("%s: %w", sg.mount.Point, err)
		}
	}
	return all, nil
}

// hidden returns the entries of what is kept for the case that an upgrade does not boot,
// while it is the same as what is installed. They are signed before the upgrade, so that
// there is always one that starts.
func (b *bootMenu) hidden() (list []boot.Entry) {
	for _, v := range b.inv.Volumes {
		if _, mounted := b.m.mounts[v.Volume.Device]; !mounted || v.Volume.Type == "" || v.Busy || v.Locked {
			continue
		}
		for _, e := range kept.Hidden(b.scan.FS(v.Volume), v.Volume) {
			e.Volume = v.Volume
			list = append(list, e)
		}
	}
	return list
}

// belowMount returns the files of an entry below the mount that shows them, the kernel
// first.
func belowMount(e boot.Entry, m mountinfo.Mount) (names []string, ok bool) {
	for _, name := range append([]string{e.Kernel}, e.Initrds...) {
		if m.Root != "/" {
			if name, ok = cutDir(name, m.Root); !ok {
				return nil, false
			}
		}
		names = append(names, name)
	}
	return names, true
}

// complete reads the files of the entries, and the epoch of what was signed before. What
// cannot be listed goes to left, with the reason.
func (sg *signing) complete(left func(e boot.Entry, why string)) error {
	root, err := os.OpenRoot(sg.point)
	if err != nil {
		return err
	}
	defer root.Close()
	var list []manifest.Entry
	for at, e := range sg.Entries {
		e.Initrds = slices.Clone(e.Initrds)
		var files []manifest.File
		twice := ""
		for i, name := range append([]string{e.Kernel}, e.Initrds...) {
			f, err := hashOf(root, name)
			if err != nil {
				return err
			}
			if f.Path = manifest.Plain(name); sg.dir != "." {
				f.Path = strings.TrimPrefix(f.Path, sg.dir+"/")
			}
			if i == 0 {
				e.Kernel = f.Path
			} else {
				e.Initrds[i-1] = f.Path
			}
			if listed, ok := sg.Manifest.File(".", f.Path); ok && listed != f {
				twice = name
			} else if !ok {
				files = append(files, f)
			}
		}
		if twice != "" {
			left(sg.found[at], fmt.Sprintf("/%s differs from another file by no more than the boot counter in its name, and has another content", twice))
			continue
		}
		for _, f := range files {
			if !slices.Contains(sg.Files, f) { // an entry may name one twice
				sg.Files = append(sg.Files, f)
			}
		}
		if !slices.ContainsFunc(list, e.Equal) {
			list = append(list, e)
		}
	}
	sg.Entries = list
	if old, err := boot.ReadFile(root.FS(), sg.name(), manifest.MaxSize); err == nil {
		if m, err := manifest.Parse(old); err == nil {
			sg.Epoch = m.Epoch
		}
	}
	return nil
}

// finish makes the content of the manifest.
func (sg *signing) finish(epoch uint64) error {
	sg.Epoch = epoch
	sg.content = sg.Bytes()
	if _, err := manifest.Parse(sg.content); err != nil {
		return fmt.Errorf("what is to be signed cannot be listed: %w", err)
	}
	return nil
}

// hashOf returns what a manifest has of a file, but for its path.
func hashOf(root *os.Root, name string) (f manifest.File, err error) {
	st, err := root.Stat(name) // first: to open a FIFO would wait
	if err != nil {
		return f, err
	}
	if !st.Mode().IsRegular() {
		return f, fmt.Errorf("/%s is not a regular file", name)
	}
	r, err := root.Open(name)
	if err != nil {
		return f, err
	}
	defer r.Close()
	hash := sha256.New()
	f.Size, err = io.Copy(hash, r)
	f.SHA256 = [sha256.Size]byte(hash.Sum(nil))
	return f, err
}

// isSigned reports whether the manifest is there, with a signature of that form. Whether
// it holds only the menu can find out, which has the keys.
func (sg *signing) isSigned(suffix string) bool {
	fsys := os.DirFS(sg.point)
	old, err := boot.ReadFile(fsys, sg.name(), manifest.MaxSize)
	_, sigErr := fs.Stat(fsys, sg.name()+suffix)
	return err == nil && sigErr == nil && bytes.Equal(old, sg.content)
}

// write replaces the manifest and its signature. A power cut may come between the two:
// then the menu takes the pair that is written first and removed last.
func (sg *signing) write(suffix string) error {
	if sg.mount.ReadOnly() {
		return errors.New("it is mounted read-only")
	}
	root, err := os.OpenRoot(sg.point)
	if err != nil {
		return err
	}
	defer root.Close()
	old, _ := boot.ReadFile(root.FS(), sg.name(), manifest.MaxSize)
	next := sg.name() + manifest.New
	for _, name := range []string{next, sg.name()} {
		if err := replace(root, name, sg.content); err != nil {
			return err
		}
		if err := replace(root, name+suffix, sg.sig); err != nil {
			return err
		}
	}
	stale := []string{next, next + suffix}
	if !bytes.Equal(old, sg.content) { // signatures by other keys are of something else
		beside, _ := fs.Glob(root.FS(), sg.name()+".*")
		for _, name := range beside {
			end := strings.TrimPrefix(name, sg.name())
			if end != suffix && (end == signature.Minisig || end == signature.SSHSig || strings.HasPrefix(end, signature.RSA256)) {
				stale = append(stale, name)
			}
		}
	}
	for _, name := range stale {
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// replace writes a file as a whole.
func replace(root *os.Root, name string, content []byte) error {
	next := name + "~"
	if err := root.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = root.Rename(next, name)
	}
	if err != nil {
		root.Remove(next)
		return err
	}
	dir, err := root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// signer is a program that signs files, each with the signature beside it.
type signer struct {
	key    string
	suffix string // of signatures
	single bool   // it takes one file
	args   func(files []string) []string
}

// readSigner returns what signs with a key, by what is in its file.
func readSigner(key string) (signer, error) {
	f, err := os.Open(key)
	if err != nil {
		return signer{}, fmt.Errorf("the key: %w", err)
	}
	defer f.Close()
	line, _ := bufio.NewReader(io.LimitReader(f, signature.MaxKey)).ReadString('\n')
	by := signer{key: key}
	switch line = strings.TrimSpace(line); {
	case strings.HasPrefix(line, "untrusted comment:"):
		by.suffix = signature.Minisig
		by.args = func(files []string) []string { return append([]string{"minisign", "-S", "-s", key, "-m"}, files...) }
	case line == "-----BEGIN OPENSSH PRIVATE KEY-----", strings.HasPrefix(line, "ssh-"), strings.HasPrefix(line, "sk-"):
		by.suffix = signature.SSHSig
		by.args = func(files []string) []string {
			return append([]string{"ssh-keygen", "-Y", "sign", "-n", signature.Namespace, "-f", key}, files...)
		}
	case strings.HasPrefix(line, "-----BEGIN ") && strings.HasSuffix(line, "PRIVATE KEY-----"):
		name, err := filepath.EvalSymlinks(key)
		if err != nil {
			return by, err
		}
		by.suffix, by.single = signature.RSA256+filepath.Base(name)+".pub", true
		by.args = func(files []string) []string {
			return []string{"openssl", "dgst", "-sha256", "-sign", key, "-out", files[0] + by.suffix, files[0]}
		}
	default:
		return by, fmt.Errorf("%s is not a key to sign with: take a secret key of minisign, one of ssh-keygen (the public one for an agent), or one of abuild-keygen", key)
	}
	program := by.args([]string{""})[0]
	if _, err := exec.LookPath(program); err != nil {
		return by, fmt.Errorf("%s is not installed, which signs with keys like %s", program, key)
	}
	return by, nil
}

// sign has all signed, by one call of the program where it takes several files: it asks
// for a passphrase once. What it says goes to w.
func (by signer) sign(ctx context.Context, all []*signing, w io.Writer) error {
	dir, err := os.MkdirTemp("", "alpboot-sign-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var files []string
	for i, sg := range all {
		file := filepath.Join(dir, strconv.Itoa(i), manifest.Name)
		if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, sg.content, 0o600); err != nil {
			return err
		}
		files = append(files, file)
	}
	calls := [][]string{files}
	if by.single {
		calls = slices.Collect(slices.Chunk(files, 1))
	}
	for _, some := range calls {
		args := by.args(some)
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, w, w
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s did not sign: %w", args[0], err)
		}
	}
	for i, sg := range all {
		if sg.sig, err = boot.ReadFile(os.DirFS(filepath.Dir(files[i])), manifest.Name+by.suffix, signature.MaxSignature); err != nil {
			return fmt.Errorf("%s: %w", by.key, err)
		}
	}
	return nil
}
