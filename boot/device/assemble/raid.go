package assemble

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/device/mapper"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

// array plans an md array from its members, which come in the order of their
// paths.
func (p *plan) array(members []Member) {
	newest := slices.MaxFunc(builtIn(members), func(a, b Member) int { return cmp.Compare(a.RAID.Events, b.RAID.Events) }).RAID
	var agree []Member
	for _, m := range members {
		if m.RAID.Level != newest.Level || m.RAID.Devices != newest.Devices && newest.Level != 1 || m.RAID.Chunk != newest.Chunk && newest.Level == 0 {
			p.report(m, "disagrees with the other members of %s", title(newest))
			continue
		}
		agree = append(agree, m)
	}
	switch newest.Level {
	case 1:
		p.mirror(agree, newest)
	case 0, superblock.LevelLinear:
		p.span(agree, newest)
	default:
		for _, m := range agree {
			p.report(m, "is a member of %s, and alpboot cannot read arrays of this level", title(newest))
		}
	}
}

// title names an array in sentences.
func title(r *superblock.RAID) string {
	name := r.Name
	if name == "" {
		name = r.UUID
	}
	return fmt.Sprintf("the %s array %s", r.Level, name)
}

// mirror plans a RAID1: its newest member is read as far as the array goes.
func (p *plan) mirror(members []Member, newest *superblock.RAID) {
	roles := map[int]bool{}
	var usable []Member
	for _, m := range members {
		if m.RAID.Role >= 0 {
			roles[m.RAID.Role] = true
		}
		if m.RAID.Unusable == "" {
			usable = append(usable, m)
		}
	}
	if len(roles) < newest.Devices && !p.complete {
		return
	}
	for _, m := range members {
		if m.RAID.Unusable != "" {
			p.report(m, "%s, in %s", m.RAID.Unusable, title(newest))
		}
	}
	if len(usable) == 0 {
		return
	}
	// Where a resync was not finished, md reads from the member of the lowest role.
	slices.SortStableFunc(usable, func(a, b Member) int {
		return cmp.Or(lastIf(a.Removable, b.Removable), cmp.Compare(b.RAID.Events, a.RAID.Events), lastIf(a.RAID.BadBlocks, b.RAID.BadBlocks), cmp.Compare(a.RAID.Role, b.RAID.Role))
	})
	best := usable[0]
	if stale(best.RAID, newest) {
		p.report(best, "is an older state of %s, read because no newer member can be", title(newest))
	}
	for _, m := range usable[1:] {
		switch {
		case stale(m.RAID, best.RAID):
			p.report(m, "is an older state of %s than %s, and left out", title(newest), best.name())
		case stale(best.RAID, m.RAID):
			p.report(m, "is a newer state of %s than %s, and left out, as it is not built in", title(newest), best.name())
		}
	}
	size := best.RAID.Used
	if size == 0 {
		size = best.RAID.DataSize
	}
	p.makeArray(best.RAID, mapper.Table{mapper.Linear(0, uint64(size)/512, area(best))}, best)
}

// lastIf sorts what is true behind what is not.
func lastIf(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// stale reports whether a member missed changes of its array. As for md, one
// change may have been under way when the machine stopped.
func stale(r, newest *superblock.RAID) bool {
	return r.Events < newest.Events && r.Events+1 < newest.Events
}

// span plans a RAID0 or linear array, which needs all its members.
func (p *plan) span(members []Member, newest *superblock.RAID) {
	byRole := map[int]Member{}
	broken := false
	members = slices.Clone(members)
	slices.SortStableFunc(members, func(a, b Member) int { return lastIf(a.Removable, b.Removable) })
	for _, m := range members {
		other, taken := byRole[m.RAID.Role]
		switch {
		case m.RAID.Unusable != "":
			p.report(m, "%s, in %s", m.RAID.Unusable, title(newest))
			continue
		case stale(m.RAID, newest):
			p.report(m, "is an older state of %s, and left out", title(newest))
			continue
		case taken && m.Removable && !other.Removable:
			p.report(m, "is the same member of %s as %s, and left out, as it is not built in", title(newest), other.name())
			continue
		case taken:
			p.report(m, "is the same member of %s as %s: unplug the one that is a copy", title(newest), other.name())
			broken = true
			continue
		}
		byRole[m.RAID.Role] = m
	}
	if missing := newest.Devices - len(byRole); missing > 0 && !broken {
		if p.complete {
			for _, m := range byRole {
				p.report(m, "is one of %d members of %s, of which %d cannot be found", newest.Devices, title(newest), missing)
			}
		}
		return
	}
	if broken {
		return
	}
	ordered := make([]Member, newest.Devices)
	for role := range ordered {
		ordered[role] = byRole[role]
	}
	if newest.Level == 0 && newest.Devices > 1 {
		p.stripes(ordered, newest)
		return
	}
	var table mapper.Table
	for _, m := range ordered {
		size := m.RAID.DataSize
		if m.RAID.Chunk > 0 {
			size -= size % m.RAID.Chunk
		}
		table = append(table, mapper.Linear(table.Sectors(), uint64(size)/512, area(m)))
	}
	p.makeArray(newest, table, ordered...)
}

// stripes plans a RAID0 of several members. What is left of the larger ones
// behind the end of the smallest would have stripes of its own.
func (p *plan) stripes(members []Member, newest *superblock.RAID) {
	chunk := newest.Chunk
	chunks := int64(0)
	if chunk >= 512 && chunk%512 == 0 {
		chunks = members[0].RAID.DataSize / chunk
	}
	var areas []mapper.Area
	for _, m := range members {
		if chunks == 0 || m.RAID.DataSize/chunk != chunks {
			for _, m := range members {
				p.report(m, "is a member of %s, and alpboot cannot read those whose members differ in size", title(newest))
			}
			return
		}
		areas = append(areas, area(m))
	}
	length := uint64(chunks) * uint64(chunk) / 512 * uint64(len(members))
	p.makeArray(newest, mapper.Table{mapper.Striped(0, length, uint64(chunk)/512, areas)}, members...)
}

// area is where the data of a member begin.
func area(m Member) mapper.Area {
	return mapper.Area{Path: m.Path, Offset: uint64(m.RAID.DataOffset) / 512}
}

func (p *plan) makeArray(r *superblock.RAID, table mapper.Table, members ...Member) {
	if slices.ContainsFunc(table, func(t mapper.Target) bool { return t.Length == 0 }) {
		p.report(members[0], "is a member of %s, which holds nothing", title(r))
		return
	}
	name := r.Name[strings.LastIndexByte(r.Name, ':')+1:] // of HOST:NAME
	if name == "" {
		name = r.UUID
	}
	p.add("md-"+name, r.UUID[:min(8, len(r.UUID))], Mapping{UUID: "ALPBOOT-MD-" + r.UUID, Table: table}, members)
}

func paths(members []Member) []string {
	var out []string
	for _, m := range members {
		out = append(out, m.Path)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
