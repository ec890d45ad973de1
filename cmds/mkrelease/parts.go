package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/checkout"
	"github.com/alpboot/alpboot/initramfs"
)

// What files are made of, by processor.
const (
	partImage   = "image"   // the programs of the initramfs
	partMinimal = "minimal" // those of the minimal one
	partLinux   = "linux"
	partStub    = "stub"
	partAlpboot = "alpboot"
	partBuilder = "mkpayload"
)

func forProcessor(arch string, parts []string) []string {
	var list []string
	for _, p := range parts {
		list = append(list, p+"-"+arch)
	}
	return list
}

// component is something that others have written.
type component struct {
	name, version string
	license       string // as SPDX spells it
	purl          string
	comment       string
	dir           string // with its licence
}

// parts are components, by the part of a file.
type parts map[string][]component

// findParts finds out which modules programs are made of.
func (r *release) findParts(ctx context.Context) error {
	r.parts = parts{}
	out, err := payload.Run(ctx, r.src.Dir, "go", "env", "GOVERSION", "GOROOT")
	if err != nil {
		return err
	}
	version, root, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	library := component{name: "go", version: version, license: "BSD-3-Clause", purl: "pkg:golang/std@" + strings.TrimPrefix(version, "go"), dir: root}
	commands := map[string][]string{
		partImage:   initramfs.Commands(checkout.Module, false),
		partMinimal: initramfs.Commands(checkout.Module, true),
		partAlpboot: {checkout.Module + "/cmds/alpboot"},
		partBuilder: {checkout.Module + "/cmds/mkpayload"},
	}
	for _, arch := range r.archs {
		of, err := r.modules(ctx, arch, slices.Concat(slices.Collect(maps.Values(commands))...))
		if err != nil {
			return err
		}
		for part, list := range commands {
			all := []component{library}
			for _, command := range list {
				for _, c := range of[command] {
					if !slices.ContainsFunc(all, func(o component) bool { return o.name == c.name }) {
						all = append(all, c)
					}
				}
			}
			slices.SortFunc(all[1:], func(a, b component) int { return strings.Compare(a.name, b.name) })
			r.parts[part+"-"+arch] = all
		}
	}
	return nil
}

// modules returns the modules that each command is compiled of.
func (r *release) modules(ctx context.Context, arch string, commands []string) (map[string][]component, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-deps", "-json=ImportPath,Deps,Module"}, commands...)...)
	cmd.Dir = r.src.Dir
	cmd.Env = append(payload.Environ("GOFLAGS"), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the modules of %s: %w", commands[0], err)
	}
	ofPackage := map[string]component{} // but of our own ones and the library's
	known := map[string]component{}
	deps := map[string][]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var pkg struct {
			ImportPath string
			Deps       []string
			Module     *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		if err := d.Decode(&pkg); err != nil {
			return nil, fmt.Errorf("reading what go list prints: %w", err)
		}
		if slices.Contains(commands, pkg.ImportPath) {
			deps[pkg.ImportPath] = append(pkg.Deps, pkg.ImportPath)
		}
		m := pkg.Module
		if m == nil || m.Main {
			continue
		}
		c, ok := known[m.Path]
		if !ok {
			c = component{name: m.Path, version: m.Version, purl: "pkg:golang/" + m.Path + "@" + m.Version, dir: m.Dir}
			if c.license, err = licenseOf(m.Dir); err != nil {
				return nil, fmt.Errorf("the licence of %s: %w", m.Path, err)
			}
			known[m.Path] = c
		}
		ofPackage[pkg.ImportPath] = c
	}
	list := map[string][]component{}
	for command, pkgs := range deps {
		for _, pkg := range pkgs {
			if c, ok := ofPackage[pkg]; ok {
				list[command] = append(list[command], c)
			}
		}
	}
	return list, nil
}

// programParts replaces what was found out about programs by what is written in
// those that were built.
func (r *release) programParts(arch, dir string) error {
	for _, part := range []string{partAlpboot, partBuilder} {
		info, err := buildinfo.ReadFile(filepath.Join(dir, part))
		if err != nil {
			return fmt.Errorf("%s has no list of its modules: %w", part, err)
		}
		known := r.parts[part+"-"+arch]
		list := []component{known[0]} // the library
		for _, m := range info.Deps {
			i := slices.IndexFunc(known, func(c component) bool { return c.name == m.Path && c.version == m.Version })
			if i < 0 {
				return fmt.Errorf("%s was built with %s %s, whose licence is not in the copyright file: the checkout has changed meanwhile", part, m.Path, m.Version)
			}
			c := known[i]
			c.comment = "go.sum " + m.Sum
			list = append(list, c)
		}
		r.parts[part+"-"+arch] = list
	}
	return nil
}

var stubVersion = regexp.MustCompile(`#### LoaderInfo: systemd-stub ([^ #]+)`)

// kernelParts adds the kernel and the EFI stub, as their files name them.
func (r *release) kernelParts(ctx context.Context, arch string, files map[string]string) error {
	info, _, err := kernel.Describe(os.DirFS(filepath.Dir(files["vmlinuz"])), filepath.Base(files["vmlinuz"]))
	if err != nil {
		return fmt.Errorf("%s: %w", files["vmlinuz"], err)
	}
	if !slices.ContainsFunc(r.products, func(p product) bool { return strings.HasSuffix(p.name, ".linux-source.txt") }) {
		if _, err := r.linuxSource(ctx); err != nil {
			return err
		}
	}
	r.parts[partLinux+"-"+arch] = []component{{
		name: "linux", version: info.Version, license: "GPL-2.0-only WITH Linux-syscall-note",
		comment: "its source and configuration are files of this release",
	}}
	uki, ok := files["alpboot.efi"]
	if !ok {
		return nil
	}
	b, err := os.ReadFile(uki)
	if err != nil {
		return err
	}
	stub := component{name: "systemd-stub", version: "unknown", license: "LGPL-2.1-or-later"}
	if m := stubVersion.FindSubmatch(b); m != nil {
		stub.version = string(m[1])
	}
	r.parts[partStub+"-"+arch] = []component{stub}
	return nil
}

// licenceFiles are how projects name them.
var licenceFiles = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)(\..*|-.*)?$`)

// licenceTexts returns the texts of the licence files of a directory, by name.
func licenceTexts(dir string) (names []string, texts []string, err error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range list {
		if !d.Type().IsRegular() || !licenceFiles.MatchString(d.Name()) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, d.Name()))
		if err != nil {
			return nil, nil, err
		}
		names, texts = append(names, d.Name()), append(texts, string(b))
	}
	return names, texts, nil
}

// licences are told apart by sentences that only one of them has, those with more
// conditions first.
var licences = []struct{ id, sentence string }{
	{"Apache-2.0", "Apache License Version 2.0"},
	{"MPL-2.0", "Mozilla Public License Version 2.0"},
	{"BSD-3-Clause", "may be used to endorse or promote products derived from this software"},
	{"BSD-2-Clause", "Redistributions in binary form must reproduce the above copyright notice"},
	{"MIT", "Permission is hereby granted, free of charge, to any person obtaining a copy"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software for any purpose"},
}

var errNoLicence = errors.New("it has none that is known here: add it to licences in cmds/mkrelease/parts.go, or do without the module")

// licenseOf returns the licences of the files in a directory, as SPDX spells them.
func licenseOf(dir string) (string, error) {
	_, texts, err := licenceTexts(dir)
	if err != nil {
		return "", err
	}
	var found []string
	for _, text := range texts {
		text = strings.Join(strings.Fields(text), " ")
		three := false
		for _, l := range licences {
			if !strings.Contains(text, l.sentence) || slices.Contains(found, l.id) || l.id == "BSD-2-Clause" && three {
				continue
			}
			three = three || l.id == "BSD-3-Clause"
			found = append(found, l.id)
		}
	}
	if len(found) == 0 {
		return "", errNoLicence
	}
	return strings.Join(found, " AND "), nil
}

// copyright returns the text that goes with every file: whose work it is, and
// under which terms.
func (r *release) copyright() ([]byte, error) {
	var b bytes.Buffer
	section := func(title string, texts ...string) {
		fmt.Fprintf(&b, "%s\n%s\n\n", title, strings.Repeat("=", len(title)))
		for _, t := range texts {
			b.WriteString(strings.TrimSpace(t) + "\n\n")
		}
	}
	own, err := os.ReadFile(filepath.Join(r.src.Dir, "LICENSE"))
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, "alpboot %s is under the first of these licences. Its programs contain the Go\nmodules that follow, and its boot images also Linux and systemd's EFI stub. Which\nfile has which is in alpboot-%s.spdx.json.\n\n", r.version, r.version)
	section("alpboot", string(own))
	var all []component
	for _, list := range r.parts {
		for _, c := range list {
			if !slices.ContainsFunc(all, func(o component) bool { return o.name == c.name && o.version == c.version }) {
				all = append(all, c)
			}
		}
	}
	slices.SortFunc(all, func(a, b component) int { return strings.Compare(a.name, b.name) })
	for _, c := range all {
		_, texts, err := licenceTexts(c.dir)
		if err != nil {
			return nil, err
		}
		section(fmt.Sprintf("%s %s (%s)", c.name, c.version, c.license), texts...)
	}
	const common = "/usr/share/common-licenses"
	for _, l := range []struct{ title, about, file string }{
		{"Linux (GPL-2.0-only WITH Linux-syscall-note)", fmt.Sprintf("Its source: alpboot-%s.linux-source.txt, beside the boot images.", r.version), "GPL-2"},
		{"systemd's EFI stub (LGPL-2.1-or-later)", "Its source is that of Debian's package systemd, of the version that the stub states.", "LGPL-2.1"},
	} {
		text, err := os.ReadFile(filepath.Join(common, l.file))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no %s/%s, a text that goes with a release: make it on Debian", common, l.file)
		}
		if err != nil {
			return nil, err
		}
		section(l.title, l.about, string(text))
	}
	return b.Bytes(), nil
}
