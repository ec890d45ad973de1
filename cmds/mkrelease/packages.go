package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/cmds/alpboot/command"
)

// nfpm is what writes packages: a tool, as a library it would bring 90 modules
// into go.mod.
const nfpm = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2"

// The formats of packages.
const (
	deb = "deb"
	rpm = "rpm"
	apk = "apk"
)

// content is a file of a package, a link or a setting.
type content struct {
	name    string // where it is installed
	from    string // file of the checkout, or of the stage, where it begins with @
	link    string // instead: what it points to
	mode    fs.FileMode
	setting bool     // what a user has changed there stays
	only    []string // formats; empty for all
}

const (
	services  = "boot/reboot/openrc/"
	packaging = "cmds/mkrelease/package/"
	alpine    = "cmds/mkrelease/alpine/"
	shareDir  = "/usr/share/alpboot/"
)

// contents lists what packages hold, besides what depends on what was built:
// payloads, manual pages, completions. What kexec-reboot install puts in place is
// the same file in a package.
func contents() []content {
	list := []content{
		{name: "/usr/sbin/alpboot", from: "@alpboot", mode: 0o755},
		{name: "/usr/sbin/lsboot", link: "alpboot"},
		{name: "/usr/sbin/kexec-reboot", link: "alpboot"},
		{name: "/usr/bin/mkpayload", from: "@mkpayload", mode: 0o755},
		{name: "/usr/share/doc/alpboot/copyright", from: "@copyright", mode: 0o644},
		{name: shareDir + "changed", from: packaging + "changed", mode: 0o755},

		// Debian's and Fedora's ways to be told of a kernel.
		{name: "/etc/kernel/postinst.d/zzz-alpboot", from: packaging + "kernel-hook", mode: 0o755, setting: true, only: []string{deb}},
		{name: "/etc/kernel/postrm.d/zzz-alpboot", from: packaging + "kernel-hook", mode: 0o755, setting: true, only: []string{deb}},
		{name: "/usr/lib/kernel/install.d/95-alpboot.install", from: packaging + "kernel-hook", mode: 0o755, only: []string{rpm}},
		{name: "/usr/lib/systemd/system/alpboot-health.service", from: "boot/reboot/systemd/alpboot-health.service", mode: 0o644, only: []string{deb, rpm}},

		// Alpine's: a program is not in /etc, but a link to it, as apk 2 and the
		// trigger of kernel-hooks read nothing else.
		{name: "/usr/share/kernel-hooks.d/alpboot.hook", from: alpine + "alpboot.hook", mode: 0o755, only: []string{apk}},
		{name: "/etc/kernel-hooks.d/60-alpboot.hook", link: "../../usr/share/kernel-hooks.d/alpboot.hook", only: []string{apk}},
		{name: "/etc/kernel-hooks.d/alpboot.conf", from: alpine + "alpboot.conf", mode: 0o644, setting: true, only: []string{apk}},
		{name: shareDir + "alpboot-keep.hook", from: services + "alpboot-keep.hook", mode: 0o755, only: []string{apk}},
		{name: "/etc/apk/commit_hooks.d/alpboot-keep", link: "../../../usr/share/alpboot/alpboot-keep.hook", only: []string{apk}},
	}
	for _, name := range []string{"alpboot-health", "alpboot-keep", "alpboot-watchdog", "kexec-exec", "kexec-load"} {
		list = append(list, content{name: "/etc/init.d/" + name, from: services + name, mode: 0o755, only: []string{apk}})
	}
	for _, name := range []string{"alpboot-health", "kexec-load"} {
		list = append(list, content{name: "/etc/conf.d/" + name, from: services + name + ".confd", mode: 0o644, setting: true, only: []string{apk}})
	}
	return list
}

// scripts are the packages' scripts: how each package manager tells an
// installation from an upgrade. Program changed does the rest. Alpine's are files,
// which its APKBUILD has as well.
var scripts = map[string]map[string]string{
	deb: {
		"postinstall": "[ \"$1\" = configure ] || exit 0\nif [ -n \"$2\" ]; then what=upgraded; else what=installed; fi\n",
		"preremove":   "[ \"$1\" = remove ] || exit 0\nwhat=removing\n",
	},
	rpm: {
		"postinstall": "if [ \"$1\" -gt 1 ]; then what=upgraded; else what=installed; fi\n",
		"preremove":   "[ \"$1\" = 0 ] || exit 0\nwhat=removing\n",
	},
	apk: {
		"postinstall": "alpboot.post-install",
		"postupgrade": "alpboot.post-upgrade",
		"preremove":   "alpboot.pre-deinstall",
	},
}

// script returns a script of a package. It never fails: a package whose script has
// failed is half installed.
func (r *release) script(format, name string) ([]byte, error) {
	text := scripts[format][name]
	if format == apk {
		return os.ReadFile(filepath.Join(r.src.Dir, alpine, text))
	}
	return []byte("#!/bin/sh\n" + text + shareDir + "changed $what\nexit 0\n"), nil
}

// packages makes the tarballs and packages for a processor.
func (r *release) packages(ctx context.Context, arch, programs string, payloads map[string]string) error {
	list := contents()
	for i, c := range list {
		if name, ok := strings.CutPrefix(c.from, "@"); ok && name != "copyright" {
			list[i].from = filepath.Join(programs, name)
		}
	}
	image := []string{partAlpboot, partBuilder}
	// alpboot install takes it apart for a BIOS. With the initramfs Alpine's hook
	// makes one on Alpine's kernel.
	for _, f := range []struct {
		name string
		only []string
	}{{"alpboot.efi", nil}, {"initramfs.cpio.xz", []string{apk}}} {
		if file, ok := payloads[f.name]; ok {
			list = append(list, content{name: shareDir + f.name, from: file, mode: 0o644, only: f.only})
			image = append(image, partImage, partLinux, partStub)
		}
	}
	pages, err := r.documentation()
	if err != nil {
		return err
	}
	list = append(list, pages...)
	for i, c := range list {
		switch {
		case c.link != "" || filepath.IsAbs(c.from):
		case strings.HasPrefix(c.from, "@"):
			list[i].from = filepath.Join(r.stage, c.from[1:])
		default:
			list[i].from = filepath.Join(r.src.Dir, c.from)
		}
	}
	slices.SortFunc(list, func(a, b content) int { return strings.Compare(a.name, b.name) })
	for _, program := range []string{"alpboot", "mkpayload"} {
		if err := r.tarballOf(program, arch, list); err != nil {
			return err
		}
	}
	for _, format := range []string{deb, rpm, apk} {
		if err := r.pack(ctx, format, arch, list, forProcessor(arch, image)); err != nil {
			return fmt.Errorf("making the %s package: %w", format, err)
		}
	}
	return nil
}

// documentation stages manual pages and completions.
func (r *release) documentation() ([]content, error) {
	pages, err := filepath.Glob(filepath.Join(r.src.Dir, "docs", "*.[1-8]"))
	if err != nil {
		return nil, err
	}
	var list []content
	for _, page := range pages {
		b, err := os.ReadFile(page)
		if err != nil {
			return nil, err
		}
		packed, err := compress(b)
		if err != nil {
			return nil, err
		}
		name := filepath.Base(page)
		if err := r.staged("man/"+name+".gz", packed, 0o644); err != nil {
			return nil, err
		}
		list = append(list, content{name: "/usr/share/man/man" + path.Ext(name)[1:] + "/" + name + ".gz", from: "@man/" + name + ".gz", mode: 0o644})
	}
	for shell, files := range map[string][]content{
		"bash": {{name: "/usr/share/bash-completion/completions/alpboot"}},
		"fish": {{name: "/usr/share/fish/vendor_completions.d/alpboot.fish"}},
		"zsh": {
			{name: "/usr/share/zsh/site-functions/_alpboot", only: []string{apk, rpm}},
			{name: "/usr/share/zsh/vendor-completions/_alpboot", only: []string{deb}},
		},
	} {
		var script, problem bytes.Buffer
		if code := command.Run([]string{"alpboot", "completion", shell}, &script, &problem); code != 0 {
			return nil, fmt.Errorf("the completion for %s: %s", shell, problem.String())
		}
		if err := r.staged("completion/"+shell, script.Bytes(), 0o644); err != nil {
			return nil, err
		}
		for _, f := range files {
			f.from, f.mode = "@completion/"+shell, 0o644
			list = append(list, f)
			// bash and fish look for a file with the name of the command.
			for _, other := range []string{"lsboot", "kexec-reboot"} {
				if base := path.Base(f.name); shell != "zsh" {
					list = append(list, content{name: path.Join(path.Dir(f.name), strings.Replace(base, "alpboot", other, 1)), link: base, only: f.only})
				}
			}
		}
	}
	return list, nil
}

// tarballOf makes the tarball with a program, the links to it and what describes it.
func (r *release) tarballOf(program, arch string, list []content) error {
	name := fmt.Sprintf("%s-%s-%s", program, r.version, archNames[arch][0])
	var members []member
	for _, c := range list {
		base := path.Base(c.name)
		page := strings.HasPrefix(c.name, "/usr/share/man/")
		own := !page && (base == program || c.link == program) || base == "copyright" ||
			(page || strings.Contains(c.name, "completion") || strings.Contains(c.name, "site-functions")) && (base == "mkpayload.1.gz") == (program == "mkpayload")
		if !own || len(c.only) > 0 && c.only[0] != apk {
			continue
		}
		if page {
			base = "man/" + base
		} else if strings.HasPrefix(c.name, "/usr/share/") && base != "copyright" {
			base = "completions/" + base
		}
		m := member{name: name + "/" + base, mode: c.mode, link: c.link}
		if c.link == "" {
			b, err := os.ReadFile(c.from)
			if err != nil {
				return err
			}
			m.content = b
		}
		members = append(members, m)
	}
	b, err := tarball(members, r.epoch)
	if err != nil {
		return err
	}
	return r.write(name+".tar.gz", b, program+"-"+arch)
}

// The configuration of nfpm: JSON, which is YAML too.
type nfpmConfig struct {
	Name        string         `json:"name"`
	Arch        string         `json:"arch"`
	Platform    string         `json:"platform"`
	Version     string         `json:"version"`
	Schema      string         `json:"version_schema"`
	Release     string         `json:"release"`
	Section     string         `json:"section"`
	Priority    string         `json:"priority"`
	Maintainer  string         `json:"maintainer"`
	Description string         `json:"description"`
	Homepage    string         `json:"homepage"`
	License     string         `json:"license"`
	NoGlobbing  bool           `json:"disable_globbing"`
	MTime       string         `json:"mtime"`
	Depends     []string       `json:"depends,omitempty"`
	Recommends  []string       `json:"recommends,omitempty"`
	Contents    []nfpmContent  `json:"contents"`
	Scripts     map[string]any `json:"scripts"`
	RPM         map[string]any `json:"rpm,omitempty"`
	APK         map[string]any `json:"apk,omitempty"`
	Deb         map[string]any `json:"deb,omitempty"`
}

type nfpmContent struct {
	From string        `json:"src"`
	Name string        `json:"dst"`
	Type string        `json:"type,omitempty"`
	Info *nfpmFileInfo `json:"file_info,omitempty"`
}

type nfpmFileInfo struct {
	Mode  uint32 `json:"mode,omitempty"`
	Owner string `json:"owner"`
	Group string `json:"group"`
	MTime string `json:"mtime"`
}

const (
	summary     = "Boot loader that is itself Linux"
	description = summary + `
alpboot is a small Linux kernel and a Go userland that scans every disk, finds
what can be booted, shows a menu, and starts the choice by kexec. This package
has the boot images, alpboot install, which puts one in place, and what a
running system needs to reboot by kexec and to come back from a bad start.`
)

// compression is that of .deb and .rpm. Of 26.7 MB of programs and image it makes 14.4
// MB in 4 seconds, as nfpm's xz does in 53; gzip makes 15.1 MB. dpkg reads it since
// 1.21.18, rpm since 4.14.
const compression = "zstd:best"

// installPacker puts nfpm into a directory, and returns its path.
func installPacker(ctx context.Context, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "install", nfpm)
	cmd.Env = append(payload.Environ("GOFLAGS", "GOARCH", "GOOS"), "GOBIN="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", payload.Explain(err, "go install "+nfpm, out)
	}
	return filepath.Join(dir, "nfpm"), nil
}

// pack makes a package.
func (r *release) pack(ctx context.Context, format, arch string, list []content, parts []string) error {
	when := r.epoch.Format("2006-01-02T15:04:05Z07:00")
	config := nfpmConfig{
		Name: "alpboot", Arch: arch, Platform: "linux", Version: r.version, Schema: "semver", Release: "1",
		Section: "admin", Priority: "optional", Maintainer: "alpboot <alpboot@localhost>", Description: description, Homepage: projectURL,
		License: strings.Join(r.terms(parts), " AND "), NoGlobbing: true, MTime: when, Scripts: map[string]any{},
	}
	switch format {
	case deb:
		config.Deb = map[string]any{"compression": compression}
	case rpm:
		config.RPM = map[string]any{"buildhost": "alpboot", "group": "System Environment/Base", "summary": summary, "compression": compression}
	case apk:
		config.Release = "0" // abuild counts from there
		config.Depends = []string{"kernel-hooks"}
	}
	for _, c := range list {
		if len(c.only) > 0 && !slices.Contains(c.only, format) {
			continue
		}
		info := &nfpmFileInfo{Mode: uint32(c.mode), Owner: "root", Group: "root", MTime: when}
		n := nfpmContent{From: c.from, Name: c.name, Info: info}
		switch {
		case c.link != "":
			n.From, n.Type = c.link, "symlink"
		case c.setting:
			n.Type = "config|noreplace"
		}
		config.Contents = append(config.Contents, n)
	}
	for name := range scripts[format] {
		file := "scripts-" + format + "/" + name
		text, err := r.script(format, name)
		if err != nil {
			return err
		}
		if err := r.staged(file, text, 0o755); err != nil {
			return err
		}
		if name == "postupgrade" {
			config.APK = map[string]any{"scripts": map[string]string{name: filepath.Join(r.stage, file)}}
			continue
		}
		config.Scripts[name] = filepath.Join(r.stage, file)
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	if err := r.staged("nfpm.json", text, 0o644); err != nil {
		return err
	}
	names := map[string]string{
		deb: "alpboot_" + r.version + "-1_" + arch + ".deb",
		rpm: "alpboot-" + r.version + "-1." + payload.Unames()[arch] + ".rpm",
		apk: "alpboot-" + r.version + "-r0." + payload.Unames()[arch] + ".apk",
	}
	target := filepath.Join(r.stage, names[format])
	if r.packer == "" {
		if r.packer, err = installPacker(ctx, r.stage); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, r.packer, "package", "-f", filepath.Join(r.stage, "nfpm.json"), "-p", format, "-t", target)
	cmd.Env = append(payload.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(r.epoch.Unix(), 10))
	if out, err := cmd.CombinedOutput(); err != nil {
		return payload.Explain(err, "nfpm", out)
	}
	b, err := os.ReadFile(target)
	if err != nil {
		return err
	}
	return r.write(names[format], b, parts...)
}
