package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
)

// The scripts of Alpine's package are understood by a POSIX shell.
func TestAlpineSyntax(t *testing.T) {
	shell := "sh"
	for _, s := range []string{"busybox", "dash"} {
		if _, err := exec.LookPath(s); err == nil {
			shell = s
			break
		}
	}
	for _, f := range []string{"alpboot.hook", "alpboot.conf", "alpboot.post-install", "alpboot.post-upgrade", "APKBUILD"} {
		args := []string{"-n", filepath.Join("alpine", f)}
		if shell == "busybox" {
			args = append([]string{"sh"}, args...)
		}
		if _, err := payload.Run(t.Context(), "", shell, args...); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// What the hook asks of mkpayload, in a root with nothing but its files.
func TestAlpineHook(t *testing.T) {
	for _, tt := range []struct {
		name   string
		args   []string
		config string
		want   string // lines of arguments, with the root left out
		fails  bool
	}{
		{
			name: "the kernel has changed", args: []string{"lts", "6.12.1-0", "6.6.9-0"},
			want: "uki --kernel /boot/vmlinuz-lts --modules /lib/modules/6.12.1-0-lts --initramfs /usr/share/alpboot/initramfs.cpio.xz -o /var/lib/alpboot/alpboot.efi\n" +
				"install --esp /boot/efi --uki /var/lib/alpboot/alpboot.efi\n",
		},
		{
			name: "settings", args: []string{"virt", "6.12.1-0", ""},
			config: "flavor=virt esp=/efi cmdline='quiet a=b' sign=k,c microcode=/boot/amd-ucode.img options='--removable --dry-run'\n",
			want: "uki --kernel /boot/vmlinuz-virt --modules /lib/modules/6.12.1-0-virt --initramfs /usr/share/alpboot/initramfs.cpio.xz -o /var/lib/alpboot/alpboot.efi --cmdline quiet a=b --sign k,c --microcode /boot/amd-ucode.img\n" +
				"install --esp /efi --uki /var/lib/alpboot/alpboot.efi --removable --dry-run\n",
		},
		{name: "another kernel", args: []string{"edge", "6.13.0-0", ""}},
		{name: "removed", args: []string{"lts", "", "6.12.1-0"}},
		{name: "called by hand", fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := payloadtest.Tree(t, map[string][]byte{
				"bin/mkpayload":                   []byte("#!/bin/sh\necho \"$@\" >>\"$ROOT/log\"\n"),
				"etc/kernel-hooks.d/alpboot.conf": []byte(tt.config),
			})
			if err := os.Chmod(filepath.Join(root, "bin/mkpayload"), 0o777); err != nil {
				t.Fatal(err)
			}
			t.Setenv("ROOT", root)
			t.Setenv("PATH", filepath.Join(root, "bin")+":"+os.Getenv("PATH"))
			_, err := payload.Run(t.Context(), "", "alpine/alpboot.hook", tt.args...)
			if (err != nil) != tt.fails {
				t.Errorf("error %v", err)
			}
			log, _ := os.ReadFile(filepath.Join(root, "log"))
			if got := strings.ReplaceAll(string(log), root, ""); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// The defaults in the settings' comments are those of the hook.
func TestAlpineSettings(t *testing.T) {
	hook, err := os.ReadFile("alpine/alpboot.hook")
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile("alpine/alpboot.conf")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(hook)) {
		if !strings.HasPrefix(line, "flavor=") {
			continue
		}
		for _, setting := range strings.Fields(line) {
			n++
			name, value, _ := strings.Cut(setting, "=")
			if !strings.Contains(string(config), "\n#"+name+"=") || value != "" && !strings.Contains(string(config), "\n#"+setting+"\n") {
				t.Errorf("alpboot.conf does not say %s", setting)
			}
		}
	}
	if n != 6 {
		t.Errorf("the hook has %d settings", n)
	}
}
