package initramfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/mkuimage/cpio"
	uinitramfs "github.com/u-root/mkuimage/uimage/initramfs"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/kernel/unpack"
	"github.com/alpboot/alpboot/boot/module"
	"github.com/alpboot/alpboot/boot/payload"
	content "github.com/alpboot/alpboot/initramfs"
)

// moduleTree is a directory lib/modules/RELEASE. It needs no depmod to have run:
// a package just unpacked has no index.
type moduleTree struct {
	dir     string
	release string
	files   map[string]string // name -> path from dir

	picked map[string]*pickedModule
	always []string
}

// pickedModule is a module that goes into the image.
type pickedModule struct {
	file  string // path from the directory, uncompressed: kernel/fs/ext4/ext4.ko
	image []byte
	info  modinfo
}

// moduleRecords returns what --kernel and --modules add to the image: the modules
// of the list in package initramfs with all that they depend on, decompressed
// (the image is compressed as a whole), and an index of them, as depmod would
// write it.
func moduleRecords(kernelFile, dir string, out payload.Output) ([]cpio.Record, error) {
	release, err := Release(kernelFile)
	if err != nil {
		return nil, err
	}
	tree, err := openModules(dir, release)
	if err != nil {
		return nil, err
	}
	for _, rule := range content.Modules() {
		if err := tree.pick(rule); err != nil {
			return nil, err
		}
	}
	if len(tree.picked) == 0 {
		out.Progress("none of the modules that the menu uses are in %s: the kernel must have them built in", tree.dir)
	}
	size := 0
	for _, m := range tree.picked {
		size += len(m.image)
	}
	out.Progress("packed %d of the %d modules of Linux %s: %.1f MiB", len(tree.picked), len(tree.files), release, float64(size)/(1<<20))
	return tree.records()
}

// PackModules returns an archive, for a kernel to unpack after the initramfs of
// another one, with the modules that the menu needs on this kernel; dir is their
// directory, and arch is the kernel's processor.
func PackModules(ctx context.Context, kernelFile, dir, arch string, out payload.Output) ([]byte, error) {
	raw, err := ModuleArchive(kernelFile, dir, out)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	err = pack(ctx, compressorFor("xz", arch), bytes.NewReader(raw), &packed)
	return packed.Bytes(), err
}

// ModuleArchive returns the archive of [PackModules] before it is packed.
func ModuleArchive(kernelFile, dir string, out payload.Output) ([]byte, error) {
	records, err := moduleRecords(kernelFile, dir, out)
	if err != nil {
		return nil, fmt.Errorf("packing kernel modules: %w", err)
	}
	files := uinitramfs.NewFiles()
	if err := addRecords(files, records); err != nil {
		return nil, err
	}
	var raw bytes.Buffer
	err = writeArchive(&raw, files)
	return raw.Bytes(), err
}

// Release reads the release, as uname -r prints it, from a kernel image.
func Release(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	info, err := kernel.Identify(f, st.Size())
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	if info.Version != "" {
		return info.Version, nil
	}
	// Only the raw kernel of other processors has it.
	release, err := unpack.Version(f, st.Size(), unpack.Limit)
	if err != nil {
		return "", fmt.Errorf("%s: looking for the kernel's release: %w", file, err)
	}
	if release == "" {
		return "", fmt.Errorf("%s: its release is not where it can be read", file)
	}
	return release, nil
}

// openModules finds the modules of a release in dir, which is their own directory
// or its parent.
func openModules(dir, release string) (*moduleTree, error) {
	t := &moduleTree{dir: dir, release: release, files: make(map[string]string), picked: make(map[string]*pickedModule)}
	if filepath.Base(filepath.Clean(dir)) != release {
		t.dir = filepath.Join(dir, release)
		if _, err := os.Stat(t.dir); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s holds no modules of Linux %s, which is what the kernel image is: it must be the directory lib/modules/%s or its parent", dir, release, release)
		}
	}
	err := filepath.WalkDir(t.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err // build and source are links out of it, and not followed
		}
		for _, ending := range []string{".ko", ".ko.gz", ".ko.xz", ".ko.zst"} {
			if strings.HasSuffix(name, ending) && d.Type().IsRegular() {
				rel, err := filepath.Rel(t.dir, name)
				if err != nil {
					return err
				}
				t.files[module.NameOf(rel)] = rel
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for modules: %w", err)
	}
	return t, nil
}

// pick takes the modules that a rule names.
func (t *moduleTree) pick(rule content.ModuleRule) error {
	for name, file := range t.files {
		ok, err := path.Match("kernel/"+normalPath(rule.Pattern), normalPath(plainFile(file)))
		if err != nil {
			return fmt.Errorf("modules.txt: %q: %w", rule.Pattern, err)
		}
		if !ok {
			continue
		}
		if err := t.add(name); err != nil {
			return err
		}
		if rule.Always && !slices.Contains(t.always, name) {
			t.always = append(t.always, name)
		}
	}
	return nil
}

// add takes the module called name and what it depends on; what is not there as
// a file is built in, or missing, which only the kernel knows.
func (t *moduleTree) add(name string) error {
	file, ok := t.files[name]
	if !ok || t.picked[name] != nil {
		return nil
	}
	image, err := readModule(filepath.Join(t.dir, file))
	if err != nil {
		return err
	}
	info, err := parseModinfo(image)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if r, _, _ := strings.Cut(info.vermagic, " "); r != t.release {
		return fmt.Errorf("%s is a module of Linux %s, but the kernel image is Linux %s", file, r, t.release)
	}
	t.picked[name] = &pickedModule{file: plainFile(file) + ".ko", image: image, info: info}
	for _, d := range info.depends {
		if err := t.add(d); err != nil {
			return err
		}
	}
	for _, s := range info.softdeps {
		for _, d := range strings.Fields(s) {
			if err := t.add(module.NameOf(d)); err != nil { // pre: and post: name no file
				return err
			}
		}
	}
	return nil
}

// records returns the files of the image: the modules and the index over them.
func (t *moduleTree) records() ([]cpio.Record, error) {
	dir := path.Join("lib/modules", t.release)
	var list []cpio.Record
	var dep, alias, softdep strings.Builder
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range t.picked {
			if !yield(name) {
				return
			}
		}
	})
	for _, name := range names {
		m := t.picked[name]
		list = append(list, cpio.StaticFile(path.Join(dir, m.file), string(m.image), 0o644))
		dep.WriteString(m.file + ":")
		for _, d := range t.dependencies(name) {
			dep.WriteString(" " + t.picked[d].file)
		}
		dep.WriteString("\n")
		for _, a := range m.info.aliases {
			fmt.Fprintf(&alias, "alias %s %s\n", a, name)
		}
		for _, s := range m.info.softdeps {
			fmt.Fprintf(&softdep, "softdep %s %s\n", name, s)
		}
	}
	builtin, err := os.ReadFile(filepath.Join(t.dir, "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	slices.Sort(t.always)
	for _, f := range []struct{ name, text string }{
		{"modules.dep", dep.String()},
		{"modules.alias", alias.String()},
		{"modules.softdep", softdep.String()},
		{"modules.builtin", string(builtin)},
		{"modules.always", strings.Join(append(t.always, ""), "\n")},
	} {
		list = append(list, cpio.StaticFile(path.Join(dir, f.name), f.text, 0o644))
	}
	return list, nil
}

// dependencies returns all that a module depends on, directly or not, in depmod's
// order: what must be loaded first comes last.
func (t *moduleTree) dependencies(name string) []string {
	var list []string
	seen := map[string]bool{name: true}
	var visit func(string)
	visit = func(n string) {
		for _, d := range t.picked[n].info.depends {
			if t.picked[d] != nil && !seen[d] {
				seen[d] = true
				visit(d)
				list = append(list, d)
			}
		}
	}
	visit(name)
	slices.Reverse(list)
	return list
}

// plainFile is the path of a module file without .ko and its compression.
func plainFile(file string) string {
	plain, _, _ := strings.Cut(file, ".ko")
	return plain
}

func normalPath(s string) string { return strings.ReplaceAll(s, "-", "_") }
