package lvm

import (
	"errors"
	"fmt"
	"strings"

	"github.com/alpboot/alpboot/boot/device/mapper"
)

// MissingError reports that a physical volume is needed which is not there, or
// is out of date.
type MissingError struct{ PV VGPV }

func (e *MissingError) Error() string {
	was := ""
	if e.PV.Device != "" {
		was = "; it was " + e.PV.Device + " once"
	}
	if e.PV.Missing {
		return fmt.Sprintf("needs the physical volume %s (%s%s), which its volume group was changed without", e.PV.UUID, e.PV.Name, was)
	}
	return fmt.Sprintf("needs the physical volume %s (%s%s), which is not there", e.PV.UUID, e.PV.Name, was)
}

// MappingUUID returns LVM's UUID for the mapping of a logical volume.
func (vg *VG) MappingUUID(lv LV) string {
	return "LVM-" + strings.ReplaceAll(vg.UUID+lv.UUID, "-", "")
}

// Table returns the mapping of the logical volume with a name. What find returns
// is the node of the physical volume with a UUID, if it is there. An error is
// a sentence that begins with the logical volume; one that wraps a
// [*MissingError] means that it could be mapped if another device were there.
func (vg *VG) Table(name string, find func(pvUUID string) (path string, ok bool)) (mapper.Table, error) {
	r := resolver{vg: vg, find: find, steps: maxSteps, lvs: map[string]*LV{}, pvs: map[string]*VGPV{}}
	for i := range vg.LVs {
		r.lvs[vg.LVs[i].Name] = &vg.LVs[i]
	}
	for i := range vg.PVs {
		r.pvs[vg.PVs[i].Name] = &vg.PVs[i]
	}
	lv, err := r.lvs[name], errors.New("is not in the metadata")
	var runs []run
	if lv != nil {
		runs, err = r.volume(lv, 0, lv.extents()*vg.ExtentSize, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("logical volume %s/%s %w", vg.Name, name, err)
	}
	var table mapper.Table
	for _, run := range runs {
		if run.chunk == 0 {
			table = append(table, mapper.Linear(table.Sectors(), run.length, run.areas[0]))
		} else {
			table = append(table, mapper.Striped(table.Sectors(), run.length, run.chunk, run.areas))
		}
	}
	return table, nil
}

// extents is the length of a volume, whose segments have no gaps.
func (lv *LV) extents() uint64 {
	if len(lv.Segments) == 0 {
		return 0
	}
	last := lv.Segments[len(lv.Segments)-1]
	return last.Start + last.Extents
}

// run is a part of a volume that is on one area, or in stripes on several:
// then chunk is their size, and length a multiple of that and their number.
type run struct {
	length, chunk uint64
	areas         []mapper.Area
}

// maxSteps bounds the work of following a volume that refers to others.
const maxSteps = 100_000

// resolver follows logical volumes down to devices.
type resolver struct {
	vg    *VG
	lvs   map[string]*LV
	pvs   map[string]*VGPV
	find  func(string) (string, bool)
	steps int // that may still be made
}

// spend counts steps.
func (r *resolver) spend(n int) error {
	if r.steps -= n; r.steps < 0 {
		return errors.New("has too many parts")
	}
	return nil
}

// volume returns the runs of n sectors of a volume from off on. Its errors go on
// after the name of the outermost volume.
func (r *resolver) volume(lv *LV, off, n uint64, depth int) ([]run, error) {
	switch {
	case lv.not != "":
		return nil, fmt.Errorf("%s, which alpboot cannot map", lv.not)
	case depth > maxDepth:
		return nil, fmt.Errorf("is on volumes more than %d deep", maxDepth)
	case n == 0 || off+n > lv.extents()*r.vg.ExtentSize:
		return nil, fmt.Errorf("does not fit on %s", lv.Name)
	}
	if err := r.spend(len(lv.Segments)); err != nil {
		return nil, err
	}
	var runs []run
	for _, s := range lv.Segments {
		start, length := s.Start*r.vg.ExtentSize, s.Extents*r.vg.ExtentSize
		if off+n <= start || off >= start+length {
			continue
		}
		from := max(off, start)
		more, err := r.segment(lv, s, from-start, min(off+n, start+length)-from, depth)
		if err != nil {
			return nil, err
		}
		runs = append(runs, more...)
	}
	return runs, nil
}

// segment returns the runs of n sectors of a segment from off on.
func (r *resolver) segment(lv *LV, s Segment, off, n uint64, depth int) ([]run, error) {
	switch s.Type {
	case "linear":
		return r.area(s.Areas[0], off, n, depth)
	case "striped", "raid0":
		return r.striped(s, off, n, depth)
	case "mirror", "raid1":
		return r.mirrored(lv, s, off, n, depth)
	}
	return nil, fmt.Errorf("is of the type %s, which alpboot cannot map", s.Type)
}

// area returns the runs of n sectors from off sectors into an area on.
func (r *resolver) area(a Area, off, n uint64, depth int) ([]run, error) {
	off += a.Extent * r.vg.ExtentSize
	pv := r.pvs[a.Name]
	if pv == nil {
		if lv := r.lvs[a.Name]; lv != nil {
			return r.volume(lv, off, n, depth+1)
		}
		return nil, fmt.Errorf("is on %q, which is not in the metadata", clean(a.Name))
	}
	if off+n > pv.Extents*r.vg.ExtentSize {
		return nil, fmt.Errorf("reaches beyond the end of the physical volume %s", pv.Name)
	}
	path, ok := r.find(pv.UUID)
	if !ok || pv.Missing {
		return nil, &MissingError{*pv}
	}
	return []run{{length: n, areas: []mapper.Area{{Path: path, Offset: pv.Start + off}}}}, nil
}

// mirrored takes the first image that is complete.
func (r *resolver) mirrored(lv *LV, s Segment, off, n uint64, depth int) ([]run, error) {
	images := s.Areas
	if lv.pvmove {
		images = images[:1] // the other one is only being filled
	}
	err := errors.New("has no image that is complete")
	for i, a := range images {
		if image := r.lvs[a.Name]; image != nil && image.rebuild {
			continue
		}
		runs, failed := r.area(a, off, n, depth)
		if failed == nil {
			return runs, nil
		}
		// A missing device can come, so that is what is reported.
		if missing := (*MissingError)(nil); i == 0 || errors.As(failed, &missing) {
			err = failed
		}
	}
	return nil, err
}

// striped lays the areas of a segment side by side. An area that is in pieces
// itself, as an image of raid0 may be, makes several runs.
func (r *resolver) striped(s Segment, off, n uint64, depth int) ([]run, error) {
	k := uint64(len(s.Areas))
	if off%(k*s.Chunk) != 0 || n%(k*s.Chunk) != 0 {
		return nil, errors.New("has stripes that do not fit its extents, which alpboot cannot map")
	}
	columns := make([][]run, k)
	for i, a := range s.Areas {
		runs, err := r.area(a, off/k, n/k, depth)
		if err != nil {
			return nil, err
		}
		columns[i] = runs
	}
	var rows []run
	for left := n / k; left > 0; {
		if err := r.spend(len(columns)); err != nil {
			return nil, err
		}
		row := run{length: left, chunk: s.Chunk}
		for _, runs := range columns {
			if runs[0].chunk != 0 {
				return nil, errors.New("has stripes of stripes, which alpboot cannot map")
			}
			row.length = min(row.length, runs[0].length)
		}
		if row.length%s.Chunk != 0 {
			return nil, errors.New("has stripes that are cut, which alpboot cannot map")
		}
		for i, runs := range columns {
			row.areas = append(row.areas, runs[0].areas[0])
			if runs[0].length == row.length {
				columns[i] = runs[1:]
				continue
			}
			rest := runs[0]
			rest.length -= row.length
			rest.areas = []mapper.Area{{Path: rest.areas[0].Path, Offset: rest.areas[0].Offset + row.length}}
			columns[i] = append([]run{rest}, runs[1:]...)
		}
		left -= row.length
		row.length *= k
		rows = append(rows, row)
	}
	return rows, nil
}
