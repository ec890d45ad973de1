// Package assemble plans how volumes that span or mirror devices are put
// together, read-only and without the md driver or LVM: from what the devices
// state about themselves it makes tables for device-mapper. It does no I/O.
//
// Arrays of RAID1 are read from one member that is up to date, RAID0 and linear
// ones from all. Of volume groups come all visible logical volumes that package
// lvm can map. For everything else there is a sentence.
//
// What is on devices may be hostile. At most 1024 members are read, and 256
// logical volumes of a group mapped; see package lvm for its own limits.
package assemble

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/device/lvm"
	"github.com/alpboot/alpboot/boot/device/mapper"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

// Member is a device that is a part of a set. One of RAID and PV is set.
type Member struct {
	Path string           // its node
	Name string           // what a user calls it; "" for Path
	Disk string           // of the whole disk that it is on; "" when it is one itself or is unknown
	RAID *superblock.RAID // a member of an md array
	PV   *lvm.PV          // a physical volume of LVM

	// Removable is set when it is on a disk that is not built in. It takes the
	// place of no member that is built in, however new it is.
	Removable bool
}

// name returns what a user calls m.
func (m Member) name() string { return cmp.Or(m.Name, m.Path) }

// onDisk returns the disk that m is on, or is.
func (m Member) onDisk() string {
	if m.Disk != "" {
		return m.Disk
	}
	return m.Path
}

// Mapping is a device that can be made with [mapper.Mapper.Create].
type Mapping struct {
	// Name is that of the mapping: as LVM has it (vg0-lv_root), or md- and the
	// name of the array without its host (md-0). Where several would have the
	// same one, a piece of the UUID follows (md-0#0123abcd).
	Name string

	// UUID is the same whenever the same volume is planned, whatever it is made
	// of then. For logical volumes it is that which LVM uses.
	UUID string

	Table   mapper.Table
	Members []string // the devices that it reads, sorted

	Removable bool // one of them is
}

const (
	maxMembers  = 1024
	maxVolumes  = 256 // of one group
	maxProblems = 8   // reported of one device
)

// Plan plans what can be made of members. Complete means that no further ones
// are expected for now: until then, what lacks a member is waited for, and
// nothing is reported of it. The same members make the same plan in whatever order
// they come.
//
// The mappings are sorted by name. Problems has a sentence for each device that
// that has one, by its path; a device may be used and have
// one all the same. Members without either are spare copies of what is used.
func Plan(members []Member, complete bool) (mappings []Mapping, problems map[string]string) {
	p := plan{complete: complete, reported: map[string][]string{}}
	members = slices.Clone(members)
	slices.SortStableFunc(members, func(a, b Member) int { return cmp.Compare(a.Path, b.Path) })
	members = slices.CompactFunc(members, func(a, b Member) bool { return a.Path == b.Path })
	for _, m := range members[min(len(members), maxMembers):] {
		p.report(m, "is left out, as there are more than %d devices that belong to others", maxMembers)
	}
	members = members[:min(len(members), maxMembers)]

	arrays := map[string][]Member{}
	var volumes []Member
	for _, m := range members {
		switch {
		case m.RAID != nil:
			arrays[m.RAID.UUID] = append(arrays[m.RAID.UUID], m)
		case m.PV != nil:
			volumes = append(volumes, m)
		}
	}
	for _, uuid := range sorted(arrays) {
		p.array(arrays[uuid])
	}
	p.groups(volumes)
	return p.mappings(), p.problems()
}

// plan is an unfinished plan.
type plan struct {
	complete bool
	made     []named
	reported map[string][]string // by path
}

// named is a mapping whose name may have to be made unique.
type named struct {
	Mapping
	name, piece string // before mangling; what to add to it
}

// add plans a mapping that is called name, with piece if others are, too. One
// with a removable member is not made before all members are there: until then,
// one that is built in may come.
func (p *plan) add(name, piece string, m Mapping, members []Member) {
	m.Members, m.Removable = paths(members), slices.ContainsFunc(members, isRemovable)
	if m.Removable && !p.complete {
		return
	}
	m.Name = mapper.Name(name)
	p.made = append(p.made, named{m, name, piece})
}

// report notes a problem of m, in words that go after its path.
func (p *plan) report(m Member, format string, args ...any) {
	subject := m.name() + " "
	if len(p.reported[m.Path]) > 0 {
		subject = "it "
	}
	p.reported[m.Path] = append(p.reported[m.Path], subject+fmt.Sprintf(format, args...))
}

func (p *plan) problems() map[string]string {
	problems := map[string]string{}
	for path, texts := range p.reported {
		text := strings.Join(texts[:min(len(texts), maxProblems)], "; ")
		if more := len(texts) - maxProblems; more > 0 {
			text += fmt.Sprintf("; and %d more", more)
		}
		problems[path] = text
	}
	return problems
}

// mappings names the mappings.
func (p *plan) mappings() []Mapping {
	// All of a name get the addition, so that none of them takes the name that
	// another one had before there were several. The only one that is built in
	// keeps it whatever is plugged in.
	for _, add := range []func(named) string{
		func(m named) string { return "#" + m.piece },
		func(m named) string { return "#" + m.UUID },
	} {
		count, builtIn := map[string]int{}, map[string]int{}
		for _, m := range p.made {
			count[m.Name]++
			if !m.Removable {
				builtIn[m.Name]++
			}
		}
		for i, m := range p.made {
			if count[m.Name] > 1 && (m.Removable || builtIn[m.Name] > 1) {
				p.made[i].Name = mapper.Name(m.name + add(m))
			}
		}
	}
	var out []Mapping
	for _, m := range p.made {
		out = append(out, m.Mapping)
	}
	slices.SortFunc(out, func(a, b Mapping) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UUID, b.UUID)) })
	return out
}

func isRemovable(m Member) bool { return m.Removable }

// builtIn returns the members that are built in, or all where none is.
func builtIn(members []Member) []Member {
	if fixed := slices.DeleteFunc(slices.Clone(members), isRemovable); len(fixed) > 0 {
		return fixed
	}
	return members
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
