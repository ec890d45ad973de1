package lvm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// VG is a volume group, as the metadata on one of its physical volumes have it.
type VG struct {
	Name       string
	UUID       string
	Seqno      uint64 // of its changes so far: the newest metadata have most
	ExtentSize uint64 // in sectors of 512 bytes
	PVs        []VGPV
	LVs        []LV // in the order of the metadata, hidden ones among them
}

// VGPV is a physical volume as its volume group knows it.
type VGPV struct {
	Name    string // in the metadata: pv0
	UUID    string
	Device  string // its node when the metadata were written; only a hint
	Start   uint64 // of its first extent, in sectors of 512 bytes
	Extents uint64
	Missing bool // it was not there when the metadata were written, and is out of date
}

// LV is a logical volume.
type LV struct {
	Name     string
	UUID     string
	Visible  bool // to users; others are parts of these
	Segments []Segment

	rebuild bool   // an image that is still being filled
	pvmove  bool   // what pvmove moves, from the first area to the second
	not     string // why it holds no data of its own; "" when it does
}

// Segment is a part of a logical volume.
type Segment struct {
	Start, Extents uint64 // of the logical volume
	Type           string // linear, striped, raid0, mirror, raid1; LVM's word for all others
	Chunk          uint64 // of stripes, in sectors of 512 bytes
	Areas          []Area // what it is on: a single one, stripes, or mirrors
}

// Area is a place on a physical volume, or in another logical volume.
type Area struct {
	Name   string // of a VGPV or, when there is none, of an LV
	Extent uint64
}

// Limits on a volume group.
const (
	maxPVs      = 256
	maxLVs      = 4096
	maxSegments = 10_000
	maxAreas    = 128
	maxExtents  = 1<<32 - 1 // 32 bits in LVM
	maxSectors  = 1 << 54
)

// Pool reports whether lv is a pool, of which other volumes are made.
func (lv *LV) Pool() bool {
	if len(lv.Segments) == 0 {
		return false
	}
	// Behind a plus sign there are features, in the way of "cache+METADATA_FORMAT".
	kind, _, _ := strings.Cut(lv.Segments[0].Type, "+")
	return strings.HasSuffix(kind, "-pool")
}

// readVG reads the metadata of a volume group.
func readVG(text string) (*VG, error) {
	root, err := parse(text)
	if err != nil {
		return nil, err
	}
	if c := root.text("contents"); c != "" && c != "Text Format Volume Group" {
		return nil, fmt.Errorf("they are about %q", short(c))
	}
	i := slices.IndexFunc(root.nodes, func(n node) bool { return n.section })
	if i < 0 {
		return nil, errors.New("they name no volume group")
	}
	n := root.nodes[i]
	vg := &VG{Name: n.name}
	var ok bool
	if vg.UUID, ok = uuid(n.text("id")); !ok || !validName(vg.Name) {
		return nil, errors.New("name or UUID of the volume group are not valid")
	}
	if vg.Seqno, err = n.number("seqno", 1<<63); err != nil {
		return nil, err
	}
	if vg.ExtentSize, err = n.number("extent_size", maxExtents); err != nil {
		return nil, err
	}
	if vg.ExtentSize == 0 {
		return nil, errors.New("extents have no size")
	}
	if err := vg.readPVs(n.sections("physical_volumes")); err != nil {
		return nil, err
	}
	return vg, vg.readLVs(n.sections("logical_volumes"))
}

func (vg *VG) readPVs(sections []node) error {
	if len(sections) > maxPVs {
		return fmt.Errorf("more than %d physical volumes", maxPVs)
	}
	known := map[string]bool{}
	for _, n := range sections {
		pv := VGPV{
			Name:    n.name,
			Device:  clean(n.text("device")),
			Missing: n.has("status", "MISSING") || n.has("flags", "MISSING"),
		}
		var ok bool
		var err error
		if pv.UUID, ok = uuid(n.text("id")); !ok || !validName(pv.Name) || known[pv.Name] || known[pv.UUID] {
			return fmt.Errorf("name or UUID of the physical volume %q are not valid", short(n.name))
		}
		known[pv.Name], known[pv.UUID] = true, true
		if pv.Start, err = n.number("pe_start", maxSectors); err != nil {
			return err
		}
		if pv.Extents, err = n.number("pe_count", maxExtents); err != nil {
			return err
		}
		if pv.Extents > (maxSectors-pv.Start)/vg.ExtentSize {
			return fmt.Errorf("the physical volume %s is too large", pv.Name)
		}
		vg.PVs = append(vg.PVs, pv)
	}
	return nil
}

// store is what a snapshot states about another volume.
type store struct {
	visible bool
	not     string
}

func (vg *VG) readLVs(sections []node) error {
	if len(sections) > maxLVs {
		return fmt.Errorf("more than %d logical volumes", maxLVs)
	}
	known := map[string]bool{}
	segments := 0
	stores := map[string]store{} // by name
	for _, n := range sections {
		lv := LV{
			Name:    n.name,
			Visible: n.has("status", "VISIBLE"),
			rebuild: n.has("status", "REBUILD") || n.has("flags", "REBUILD"),
			pvmove:  n.has("status", "PVMOVE"),
		}
		var ok bool
		if lv.UUID, ok = uuid(n.text("id")); !ok || !validName(lv.Name) || known[lv.Name] || known[lv.UUID] {
			return fmt.Errorf("name or UUID of the logical volume %q are not valid", short(n.name))
		}
		known[lv.Name], known[lv.UUID] = true, true
		next := uint64(0)
		for _, s := range n.nodes {
			if !s.section {
				continue
			}
			if segments++; segments > maxSegments {
				return fmt.Errorf("more than %d segments", maxSegments)
			}
			segment, err := readSegment(s)
			if err != nil {
				return fmt.Errorf("the logical volume %s: %w", lv.Name, err)
			}
			if segment.Start != next || segment.Extents == 0 || segment.Start+segment.Extents > maxSectors/vg.ExtentSize {
				return fmt.Errorf("the logical volume %s: %s does not fit", lv.Name, short(s.name))
			}
			for _, a := range segment.Areas {
				if a.Extent > maxSectors/vg.ExtentSize {
					return fmt.Errorf("the logical volume %s: %s is outside", lv.Name, short(s.name))
				}
			}
			next += segment.Extents
			lv.Segments = append(lv.Segments, segment)
			if segment.Type == "snapshot" {
				// Users see the store by its own name instead.
				visible := lv.Visible
				lv.Visible = false
				if name := s.text("cow_store"); name != "" {
					stores[name] = store{visible, "is a snapshot"}
				}
				if name := s.text("merging_store"); name != "" {
					stores[name] = store{false, "is a snapshot that is being merged into its origin"}
					stores[s.text("origin")] = store{true, "has a snapshot being merged into it"}
				}
			}
		}
		vg.LVs = append(vg.LVs, lv)
	}
	for i := range vg.LVs {
		if s, ok := stores[vg.LVs[i].Name]; ok {
			vg.LVs[i].Visible, vg.LVs[i].not = s.visible, s.not
		}
	}
	return nil
}

// readSegment reads a segment of a logical volume.
func readSegment(n node) (s Segment, err error) {
	if s.Start, err = n.number("start_extent", maxExtents); err != nil {
		return s, err
	}
	if s.Extents, err = n.number("extent_count", maxExtents); err != nil {
		return s, err
	}
	s.Type = clean(n.text("type"))
	switch s.Type {
	case "striped", "linear":
		s.Type = "striped"
		if s.Areas, err = readAreas(n, "stripes", 0); err == nil && len(s.Areas) == 1 {
			s.Type = "linear"
			return s, nil
		}
	case "raid0":
		s.Areas, err = readAreas(n, "raid0_lvs", 1)
	case "raid0_meta":
		s.Type = "raid0"
		s.Areas, err = readAreas(n, "raids", 2)
	case "mirror":
		s.Areas, err = readAreas(n, "mirrors", 0)
		return s, err
	case "raid1":
		s.Areas, err = readAreas(n, "raids", 2)
		return s, err
	case "":
		return s, fmt.Errorf("%s has no type", short(n.name))
	default:
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if s.Chunk, err = n.number("stripe_size", maxExtents); err == nil && s.Chunk == 0 {
		err = errors.New("stripes have no size")
	}
	return s, err
}

// readAreas reads a list of areas. They are names with extents when step is 0;
// else every step-th value is the name of a logical volume, which is used from
// its start, and those before it are about metadata.
func readAreas(n node, list string, step int) ([]Area, error) {
	invalid := fmt.Errorf("%s has no usable list of %s", short(n.name), list)
	in := n.get(list)
	if in == nil {
		return nil, invalid
	}
	withExtent := step == 0
	if withExtent {
		step = 2
	}
	if len(in.values) == 0 || len(in.values)%step != 0 || len(in.values) > step*maxAreas {
		return nil, invalid
	}
	var areas []Area
	for ; len(in.values) > 0; in.values = in.values[step:] {
		name, extent := in.values[step-1], value{}
		if withExtent {
			name, extent = in.values[0], in.values[1]
		}
		if !name.isText || extent.isText || extent.number > maxExtents {
			return nil, invalid
		}
		areas = append(areas, Area{Name: name.text, Extent: extent.number})
	}
	return areas, nil
}

// uuid reads an identifier of 32 characters, with or without dashes, and
// writes it as LVM does.
func uuid(s string) (string, bool) {
	s = strings.ReplaceAll(s, "-", "")
	if len(s) != 32 || strings.ContainsFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '!' && c != '#'
	}) {
		return "", false
	}
	return s[:6] + "-" + s[6:10] + "-" + s[10:14] + "-" + s[14:18] + "-" + s[18:22] + "-" + s[22:26] + "-" + s[26:], true
}

// validName is validate_name of lib/misc/lvm-string.c.
func validName(s string) bool {
	if s == "" || len(s) > 127 || s == "." || s == ".." || s[0] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("+_.-", c)
	})
}

// clean returns a text for sentences: short, and of printable ASCII.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, short(s))
}
