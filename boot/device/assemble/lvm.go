package assemble

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/device/lvm"
	"github.com/alpboot/alpboot/boot/device/mapper"
)

// groups plans the volume groups of members, which come in the order of their
// paths.
func (p *plan) groups(members []Member) {
	groups := map[string][]Member{} // by the UUID of the group
	owner := map[string]string{}    // group by the UUID of a physical volume, as groups have it
	own := func(m Member, group string) {
		for _, pv := range m.PV.VG.PVs {
			if owner[pv.UUID] == "" {
				owner[pv.UUID] = group
			}
		}
	}
	for _, m := range members {
		if m.PV.VG != nil {
			groups[m.PV.VG.UUID] = append(groups[m.PV.VG.UUID], m)
		}
	}
	for _, removable := range []bool{false, true} {
		for _, uuid := range sorted(groups) {
			for _, m := range groups[uuid] {
				if m.Removable == removable {
					own(m, uuid)
				}
			}
		}
	}
	for _, m := range members { // those that carry no metadata
		uuid := owner[m.PV.UUID]
		switch {
		case m.PV.VG != nil:
		case uuid != "":
			groups[uuid] = append(groups[uuid], m)
		case p.complete:
			p.report(m, "is a physical volume of LVM, and no volume group that is there has it")
		}
	}
	for _, uuid := range sorted(groups) {
		p.group(groups[uuid])
	}
}

// group plans the volumes of a volume group.
func (p *plan) group(members []Member) {
	s := choose(members)
	vg := s.newest()
	if vg == nil { // a copy without metadata was chosen
		return
	}
	for _, pv := range vg.PVs {
		if _, ok := s.chosen[pv.UUID]; !ok && !p.complete {
			return // it may come, and have newer metadata
		}
	}
	for _, m := range s.copies {
		p.report(m, "is a copy of %s, which is used instead in volume group %s", s.chosen[m.PV.UUID].name(), vg.Name)
	}
	var first *Member // gets what has no better place
	for _, uuid := range sorted(s.chosen) {
		m := s.chosen[uuid]
		if !slices.ContainsFunc(vg.PVs, func(pv lvm.VGPV) bool { return pv.UUID == uuid }) {
			p.report(m, "is a physical volume that volume group %s has no longer", vg.Name)
			continue
		}
		if first == nil || m.Path < first.Path {
			first = &m
		}
	}
	if first == nil {
		return
	}
	volumes := 0
	for _, lv := range vg.LVs {
		if !lv.Visible || lv.Pool() {
			continue
		}
		if volumes++; volumes > maxVolumes {
			p.report(*first, "holds volume group %s, of whose logical volumes only %d are used", vg.Name, maxVolumes)
			return
		}
		p.volume(s, vg, lv, *first)
	}
}

// volume plans a logical volume.
func (p *plan) volume(s set, vg *lvm.VG, lv lvm.LV, first Member) {
	var used []Member
	table, err := vg.Table(lv.Name, func(uuid string) (string, bool) {
		m, ok := s.chosen[uuid]
		if ok {
			used = append(used, m)
		}
		return m.Path, ok
	})
	if err == nil && s.mixed(used) {
		err = fmt.Errorf("logical volume %s/%s lies on several devices, and there are copies of some: unplug the copies", vg.Name, lv.Name)
	}
	if err != nil {
		if len(used) > 0 {
			first = used[0]
		}
		p.reportVolume(first, vg, err)
		return
	}
	p.add(mapper.LVName(vg.Name, lv.Name), vg.UUID[:min(6, len(vg.UUID))], Mapping{UUID: vg.MappingUUID(lv), Table: table}, used)
}

// reportVolume notes a problem of a logical volume, of which there may be many.
func (p *plan) reportVolume(m Member, vg *lvm.VG, err error) {
	holds := fmt.Sprintf("holds a part of volume group %s, whose ", vg.Name)
	if texts := p.reported[m.Path]; len(texts) > 0 && strings.Contains(texts[0], holds) {
		p.reported[m.Path] = append(texts, err.Error())
		return
	}
	p.report(m, "%s%v", holds, err)
}

// set is one device for each physical volume.
type set struct {
	chosen map[string]Member // by the UUID of the physical volume
	copies []Member          // the others
	copied map[string]bool   // the UUIDs of physical volumes that are there more than once
	disk   string            // that copies were chosen from; "" when there are none
}

// choose makes a set of members. A copy that is removable is never chosen where
// one is built in. Of other copies, the physical volumes of one disk are preferred:
// that with the newest metadata, then with the most physical volumes, then the
// first.
func choose(members []Member) set {
	s := set{chosen: map[string]Member{}, copied: map[string]bool{}}
	byUUID := map[string][]Member{}
	for _, m := range members {
		byUUID[m.PV.UUID] = append(byUUID[m.PV.UUID], m)
	}
	members = slices.DeleteFunc(slices.Clone(members), func(m Member) bool {
		return m.Removable && slices.ContainsFunc(byUUID[m.PV.UUID], func(o Member) bool { return !o.Removable })
	})
	for uuid, same := range byUUID {
		left := builtIn(same)
		if len(left) < len(same) {
			s.copies = append(s.copies, slices.DeleteFunc(slices.Clone(same), func(m Member) bool { return !m.Removable })...)
		}
		byUUID[uuid] = left
	}
	type count struct {
		seqno uint64
		pvs   map[string]bool
	}
	disks := map[string]*count{}
	for uuid, same := range byUUID {
		s.copied[uuid] = len(same) > 1
		if len(same) == 1 {
			continue
		}
		for _, m := range same {
			disks[m.onDisk()] = &count{pvs: map[string]bool{}}
		}
	}
	for _, m := range members {
		if c := disks[m.onDisk()]; c != nil {
			c.pvs[m.PV.UUID] = true
			c.seqno = max(c.seqno, seqno(m))
		}
	}
	order := sorted(disks)
	slices.SortStableFunc(order, func(a, b string) int {
		return cmp.Or(cmp.Compare(disks[b].seqno, disks[a].seqno), cmp.Compare(len(disks[b].pvs), len(disks[a].pvs)))
	})
	if len(order) > 0 {
		s.disk = order[0]
	}
	for uuid, same := range byUUID {
		slices.SortStableFunc(same, func(a, b Member) int {
			return cmp.Or(
				lastIf(a.onDisk() != s.disk, b.onDisk() != s.disk),
				cmp.Compare(seqno(b), seqno(a)),
				cmp.Compare(a.Path, b.Path),
			)
		})
		s.chosen[uuid] = same[0]
		s.copies = append(s.copies, same[1:]...)
	}
	return s
}

func seqno(m Member) uint64 {
	if m.PV.VG == nil {
		return 0
	}
	return m.PV.VG.Seqno
}

// newest returns the newest metadata of a set, of those that are built in if
// there are any; of equal ones those on the disk that copies were chosen from.
func (s set) newest() *lvm.VG {
	var best Member
	for _, uuid := range sorted(s.chosen) {
		m := s.chosen[uuid]
		if m.PV.VG == nil {
			continue
		}
		if best.PV == nil || cmp.Or(
			lastIf(m.Removable, best.Removable),
			cmp.Compare(seqno(best), seqno(m)),
			lastIf(m.onDisk() != s.disk, best.onDisk() != s.disk),
			cmp.Compare(m.Path, best.Path),
		) < 0 {
			best = m
		}
	}
	if best.PV == nil {
		return nil
	}
	return best.PV.VG
}

// mixed reports whether a volume that is on members could be assembled of
// devices that are out of step: some were copied, and they do not all lie
// on one disk.
func (s set) mixed(members []Member) bool {
	copied, disks := false, map[string]bool{}
	for _, m := range members {
		copied = copied || s.copied[m.PV.UUID]
		disks[m.onDisk()] = true
	}
	return copied && len(disks) > 1
}
