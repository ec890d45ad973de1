package main

import (
	"flag"
	"os"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/manual"
)

// The manual page is made from the table that --help is printed from.
func TestPage(t *testing.T) {
	t.Setenv("KERNEL_SRC", "")
	const file = "../../docs/mkpayload.1"
	c := manual.Command{Name: "mkpayload", Section: 1, About: "make what the boot loader alpboot is started from", Default: true, Text: about,
		More:    []manual.Section{{Title: "Exit status", Text: "0 when it was done, 1 when it failed, 2 for misuse, 130 when it was interrupted."}},
		SeeAlso: []string{"alpboot.conf(5)", "alpboot(8)"}}
	for _, v := range verbs() {
		f := &flagSet{FlagSet: flag.NewFlagSet(v.name, flag.ContinueOnError)}
		v.flags(f)
		args := ""
		if f.files {
			args = "FILE..."
		}
		c.Verbs = append(c.Verbs, manual.Verb{Name: v.name, Args: args, About: v.about, Text: sentence(v.about), Flags: f.FlagSet})
	}
	want := c.Page("November 28, 2026")
	if boottest.Update() {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s is not that of the table (%v); go test ./cmds/mkpayload -update writes it", file, err)
	}
}

const about = `Builds the menu as an initramfs, the kernel under it, and both as one file for each
kind of firmware; reports what is in such a file, and installs it. What compiles
runs inside a checkout of alpboot, the rest anywhere.`

// sentence returns what a verb does as a sentence.
func sentence(text string) string {
	return string(text[0]-'a'+'A') + text[1:] + "."
}
