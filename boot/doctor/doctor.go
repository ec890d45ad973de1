// Package doctor finds out whether a machine would come back: it checks each link
// from its firmware to its root filesystem, for the entry that the boot menu would
// boot now and for the one that comes after it.
//
// It reads what it is given and writes nothing. Package reboot gathers it on a
// running system.
package doctor

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/payload/inspect"
	"github.com/alpboot/alpboot/boot/settings"
)

// Machine is what is examined.
type Machine struct {
	Root fs.FS  // of the running system, with /proc and /sys
	Arch string // processor, as GOARCH spells it

	Inventory boot.Inventory // what is found where kernels lie
	Wants     choice.Wants   // what bears on the choice
	Settings  settings.Settings
	Nowhere   string   // why the menu remembers nothing; "" when it does
	Services  []string // of OpenRC, that kexec-reboot install puts in place

	Open    func(v boot.Volume, name string) (fs.File, error) // a file of a volume of the inventory
	Free    func(v boot.Volume) (bytes int64, ok bool)        // what can still be written to it
	Devices []Device                                          // all block devices
	Vars    efivar.Variables                                  // nil for a machine without UEFI
	Epoch   uint64                                            // of manifests, that the counter of the TPM is at; 0 for none
}

// Device is a block device and what is on it.
type Device struct {
	Name string // as the kernel calls it: vda2, dm-0
	Path string // of its node; that of a mapping by its name

	UUID, Label, Type   string // of the filesystem
	PartUUID, PartLabel string
}

// The levels of a [Finding].
const (
	Warning = "warning" // it would come back; something is not as it should be
	Broken  = "broken"  // it would not come back
)

// Finding is something that is not as it should be.
type Finding struct {
	Level string `json:"level"`
	Check string `json:"check"`           // which link: see docs/reference.md
	Entry string `json:"entry,omitempty"` // ID of the entry that it is about
	Text  string `json:"text"`            // what is wrong, as a sentence
	Do    string `json:"do"`              // what to do, as a sentence

	early bool // the menu notices it before it starts the entry
}

// Report is what was found out. Its JSON form is for monitoring: names stay, and
// more may come.
type Report struct {
	State    string    `json:"state"`              // healthy, warnings or broken
	Boots    string    `json:"boots,omitempty"`    // name of the entry that would boot now
	Because  string    `json:"because,omitempty"`  // why that one
	Fallback string    `json:"fallback,omitempty"` // name of the one that comes after it
	Findings []Finding `json:"findings"`
}

// The states of a [Report].
const (
	Healthy  = "healthy"
	Warnings = "warnings"
	NotBack  = Broken
)

// Examine checks a machine.
func Examine(m Machine) Report {
	x := &examination{Machine: m, read: map[string]*archive{}}
	x.Inventory.Entries = slices.Clone(x.Inventory.Entries)
	for i := range x.Inventory.Entries { // what is booted once is not what the machine comes back to
		x.Inventory.Entries[i].Once = ""
	}
	x.Wants.State.Next, x.Wants.State.OneShot = "", ""
	x.Inventory.Settled = true
	x.entries()
	x.firmware()
	x.signed()
	x.room()
	x.fstab()
	x.system()
	r := Report{State: Healthy, Boots: x.boots.Name(), Because: x.because, Findings: x.findings}
	if x.boots.ID == "" {
		r.Boots = ""
	}
	if x.fallback.ID != "" {
		r.Fallback = x.fallback.Name()
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(a.Level, b.Level) }) // broken first
	switch {
	case len(r.Findings) == 0:
		r.Findings = []Finding{} // null in JSON is not a list
	case r.Findings[0].Level == Broken:
		r.State = NotBack
	default:
		r.State = Warnings
	}
	return r
}

// examination is one call of Examine.
type examination struct {
	Machine
	boots, fallback boot.Entry // the zero Entry for none
	because         string
	read            map[string]*archive // initrds that were read
	list            []option            // boot options of the firmware, once listed is set
	listed          bool
	menu            *inspect.Report // alpboot's own image; nil when what is in it is not known
	findings        []Finding
}

// find adds a finding.
func (x *examination) find(level, check, do, format string, args ...any) {
	x.findings = append(x.findings, Finding{Level: level, Check: check, Text: fmt.Sprintf(format, args...), Do: do})
}

// entries checks what boots now and what comes after it.
func (x *examination) entries() {
	c := choice.Default(x.Inventory, x.Wants)
	for _, note := range c.Notes {
		x.find(Warning, "choice", "See alpboot log, and choose with alpboot default.", "%s", note)
	}
	for _, e := range x.Inventory.Entries {
		if e.Problem != "" && !e.Removable && !e.Snapshot {
			level := Warning
			if c.ID == "" {
				level = Broken
			}
			x.findings = append(x.findings, Finding{Level: level, Check: "kernel", Entry: e.ID, Text: e.Name() + " cannot be booted: " + e.Problem, Do: x.kernelAgain(e)})
		}
	}
	e, ok := choice.Find(x.Inventory.Entries, c.ID)
	if !ok || c.ID == "" {
		do := "See the other findings, or choose with alpboot default."
		if len(x.Inventory.Entries) == 0 {
			do = "Mount the filesystem that the kernels are on, if it is not, and try again."
		}
		x.find(Broken, "choice", do, "Nothing is booted unattended: %s", c.Wait)
		return
	}
	x.boots, x.because = e, c.Because
	w := x.Wants
	w.Failed = maps.Clone(w.Failed)
	if w.Failed == nil {
		w.Failed = map[string]bool{}
	}
	w.Failed[e.ID] = true
	if next := choice.Default(x.Inventory, w); next.ID != "" {
		x.fallback, _ = choice.Find(x.Inventory.Entries, next.ID)
	}
	first, second := x.entry(x.boots), []Finding(nil)
	if x.fallback.ID != "" {
		second = x.entry(x.fallback)
	}
	// What boots now may fail where the menu notices, and the next one is whole.
	if isBroken(first) && x.fallback.ID != "" && !isBroken(second) {
		counted := x.Settings.Confirm > 0 && x.Nowhere == ""
		if counted || !slices.ContainsFunc(first, func(f Finding) bool { return f.Level == Broken && !f.early }) {
			warn(first, fmt.Sprintf(" %s is booted in its place.", x.fallback.Name()))
		}
	}
	if !isBroken(first) {
		warn(second, "")
	}
	x.findings = append(x.findings, first...)
	for _, f := range second { // what both share is said once
		if !slices.ContainsFunc(first, func(g Finding) bool { return g.Text == f.Text }) {
			x.findings = append(x.findings, f)
		}
	}
}

func isBroken(list []Finding) bool {
	return slices.ContainsFunc(list, func(f Finding) bool { return f.Level == Broken })
}

// warn makes warnings of what is broken.
func warn(list []Finding, more string) {
	for i := range list {
		if list[i].Level == Broken {
			list[i].Level, list[i].Text = Warning, list[i].Text+more
		}
	}
}

// Print writes a report as people read it: a line for what boots, and one for each
// finding.
func (r Report) Print(w io.Writer) error {
	line := func(format string, args ...any) error {
		_, err := fmt.Fprintln(w, boot.Visible(fmt.Sprintf(format, args...)))
		return err
	}
	var err error
	if r.Boots != "" {
		after := "nothing comes after it"
		if r.Fallback != "" {
			after = "after it comes " + r.Fallback
		}
		err = line("%s boots now, as %s; %s.", r.Boots, r.Because, after)
	}
	for _, f := range r.Findings {
		err = cmp.Or(err, line("%-8s %-11s %s %s", f.Level, f.Check, f.Text, f.Do))
	}
	return cmp.Or(err, line("%s", map[string]string{
		Healthy: "This machine would come back.", Warnings: "This machine would come back, but see above.", NotBack: "This machine would not come back.",
	}[r.State]))
}
