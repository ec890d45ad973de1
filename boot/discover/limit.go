package discover

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// What is kept of what volumes hold. Each format has limits of its own, but there
// are nine of them, and a stick may have 256 partitions. docs/discovery.md names
// these.
const (
	maxEntries    = 1000     // of one volume
	maxText       = 2 << 20  // bytes of the texts of its entries
	maxCmdline    = 4096     // bytes of one command line; kernels take 2047
	maxNoteText   = 64 << 10 // bytes of its notes
	maxAllEntries = 5000     // of all volumes
	maxAllText    = 8 << 20  // bytes of the texts of these
	maxAlike      = 16       // entries of one kernel that another one is compared with
)

// textOf returns how many bytes an entry's texts take.
func textOf(e *boot.Entry) int {
	n := len(e.ID) + len(e.Title) + len(e.Version) + len(e.Source.File) + len(e.Kernel) + len(e.Cmdline) + len(e.Once) + len(e.Problem)
	for _, list := range [][]string{e.Initrds, e.Submenu, e.Notes} {
		for _, s := range list {
			n += len(s)
		}
	}
	return n
}

// keep adds an entry unless there are too many, or it would be too much text.
func (r *parsed) keep(e boot.Entry) {
	if n := len(e.Cmdline); n > maxCmdline {
		e.Cmdline = strings.ToValidUTF8(e.Cmdline[:maxCmdline], "")
		e.Problem = fmt.Sprintf("Its command line has %d bytes, and kernels take 2047 at most.", n)
	}
	n := textOf(&e)
	if r.full() || r.text+n > maxText {
		r.dropped++
		return
	}
	r.text += n
	r.entries = append(r.entries, detached(e))
}

// detached returns e with texts of its own: as parts of a configuration file they
// would keep all of it in memory.
func detached(e boot.Entry) boot.Entry {
	for _, s := range []*string{&e.ID, &e.Title, &e.Version, &e.Source.File, &e.Kernel, &e.Cmdline, &e.Once, &e.Problem} {
		*s = strings.Clone(*s)
	}
	for _, list := range []*[]string{&e.Initrds, &e.Submenu, &e.Notes} {
		*list = slices.Clone(*list)
		for i, s := range *list {
			(*list)[i] = strings.Clone(s)
		}
	}
	return e
}

func (r *parsed) full() bool { return len(r.entries) == maxEntries }

// finish notes what was left out.
func (r *parsed) finish() {
	left := maxNoteText
	for i, n := range r.notes {
		if left -= len(n.Text); left < 0 {
			r.notes = append(r.notes[:i:i], boot.Note{Text: fmt.Sprintf("%d more notes are left out.", len(r.notes)-i)})
			break
		}
	}
	if r.dropped > 0 {
		r.notes = append(r.notes, boot.Note{Text: fmt.Sprintf("%d entries are left out: of one volume %d are listed at most, and %d MiB of their texts.", r.dropped, maxEntries, maxText>>20)})
	}
}

// fit cuts what has been read on v to what there is room for beside the others.
func (st *state) fit(v *volume) {
	entries, text := maxAllEntries, maxAllText
	for _, o := range st.vols {
		if o != v && o.parsed != nil {
			entries -= len(o.parsed.entries)
			text -= o.parsed.text
		}
	}
	r := v.parsed
	if len(r.entries) <= entries && r.text <= text {
		return
	}
	all := r.entries
	r.entries, r.text = nil, 0
	for i := range all {
		n := textOf(&all[i])
		if len(r.entries) == entries || r.text+n > text {
			break
		}
		r.text += n
		r.entries = append(r.entries, all[i])
	}
	r.notes = append(r.notes, boot.Note{Text: fmt.Sprintf("%d entries are left out: of all volumes %d are listed at most, and %d MiB of their texts.",
		len(all)-len(r.entries), maxAllEntries, maxAllText>>20)})
}
