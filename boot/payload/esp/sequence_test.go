package esp

import (
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"testing"
)

// fsck is what fsck.vfat -a does about names that lead nowhere or to the
// clusters of another file.
func (m *fatModel) fsck() {
	used := map[int]bool{}
	for _, name := range slices.Sorted(maps.Keys(m.disk.entries)) {
		chain := m.disk.entries[name]
		switch {
		case !m.disk.used[chain]:
			delete(m.disk.entries, name)
		case used[chain]:
			b := m.disk.data[chain]
			for m.disk.used[chain] {
				chain++
			}
			m.disk.entries[name], m.disk.used[chain], m.disk.data[chain] = chain, true, b
		}
		used[chain] = true
	}
	m.disk.used = used
	m.memory = m.disk.clone()
	clear(m.pending)
}

// foreign returns the files of other systems, by name.
func (m *fatModel) foreign() map[string]string {
	list := map[string]string{}
	for name := range m.memory.entries {
		if b, err := m.Read(name); err == nil && strings.Contains(string(b), "ID=other") && (strings.HasPrefix(name, replaced) || !strings.HasPrefix(name, Directory)) {
			list[name] = string(b)
		}
	}
	return list
}

// overwrite has another system write a file, over what is there.
func (m *fatModel) overwrite(name string, b []byte) {
	if _, there := m.memory.entries[name]; there {
		m.Remove(name)
		m.Sync()
	}
	m.put(name, b)
}

// Whatever is done in whatever order, and however it ends: files of other
// systems stay, at their place or kept, and come back to their place when
// alpboot returns it up. A file that was replaced by its own system is not missed.
func TestSequences(t *testing.T) {
	const sequences, length = 4000, 14
	arch := map[string]string{bootx64: "amd64", bootaa64: "arm64"}
	places := []string{bootx64, bootaa64, "EFI/other/grub.efi"}
	putBack, cuts := 0, 0
	for seed := range int64(sequences) {
		rng := rand.New(rand.NewSource(seed))
		m := newFAT()
		if rng.Intn(8) == 0 {
			m.freeBytes = 64<<10 + 100 // for one more image, if the previous one goes
		}
		owed := map[string]string{} // what belongs at a place that alpboot has
		written, dirty := 0, false
		other := func() []byte { written++; return program(fmt.Sprintf("ID=other%d\n", written)) }
		var story []string
		if rng.Intn(4) == 0 {
			b := other()
			m.put(oldKept, b)
			m.put(bootx64, version(1))
			owed[bootx64] = string(b)
			story = append(story, "installed by an older version")
		}
		for range length {
			before := m.foreign()
			place := places[rng.Intn(len(places))]
			removable := place != places[2]
			target := Target{Arch: arch[place], Removable: removable}
			what := rng.Intn(8)
			if what < 4 && dirty { // as other systems do before they mount it
				m.Sync()
				m.fsck()
				story = append(story, "fsck")
				before, dirty = m.foreign(), false
			}
			switch what {
			case 0, 1:
				m.overwrite(place, other())
				story = append(story, "other system writes "+place)
				delete(before, place)
				delete(owed, place)
			case 2:
				if before[place] == "" {
					continue
				}
				m.Remove(place)
				m.Sync()
				story = append(story, "other system removes "+place)
				delete(before, place)
			case 3:
				continue
			default:
				m.step, m.cutAt, m.failAt = 0, 0, 0
				switch rng.Intn(5) {
				case 0, 1:
					m.cutAt = 1 + rng.Intn(20)
				case 2:
					m.failAt = 1 + rng.Intn(20)
				}
				install, bootable := rng.Intn(3) > 0, rng.Intn(2) > 0
				n := rng.Intn(9)
				step := fmt.Sprintf("install version %d, removable %v, %s", n, removable, target.Arch)
				if !install {
					step = fmt.Sprintf("uninstall, removable %v, %s", removable, target.Arch)
				}
				cut, err := run(func() (err error) {
					target.Files = m
					if install {
						_, err = Install(target, version(n))
					} else {
						_, err = Uninstall(target, bootable)
					}
					return err
				})
				if cut {
					free := m.freeBytes
					m, dirty = m.cut(rng), true
					m.freeBytes = free
					step += fmt.Sprintf(", power cut in operation %d", m.cutAt)
					cuts++
				}
				m.cutAt, m.failAt = 0, 0
				story = append(story, fmt.Sprintf("%s (%v)", step, err))
				for main := range arch {
					now, _ := m.Read(main)
					switch {
					case now != nil && !Ours(now):
						delete(owed, main)
					case before[main] != "":
						owed[main] = before[main]
					}
				}
				if !install && removable && !cut && err == nil {
					if want, ok := owed[place]; ok {
						t.Fatalf("seed %d: %s was not put back: %q\n%s\n%s", seed, place, want, strings.Join(story, "\n"), m.names())
					}
					putBack++
				}
			}
			after := m.foreign()
			for name, b := range before {
				at := slices.DeleteFunc(slices.Collect(maps.Keys(after)), func(n string) bool { return after[n] != b })
				kept := slices.ContainsFunc(at, func(n string) bool { return n == name || strings.HasPrefix(n, replaced) || arch[n] != "" })
				if !kept || name == places[2] && after[name] != b {
					t.Fatalf("seed %d: %s is gone\n%s\n%s", seed, name, strings.Join(story, "\n"), m.names())
				}
			}
		}
	}
	if putBack == 0 || cuts == 0 {
		t.Errorf("%d uninstalled, %d power cuts: it tests nothing", putBack, cuts)
	}
	t.Logf("%d sequences, %d power cuts, uninstalled %d times", sequences, cuts, putBack)
}
