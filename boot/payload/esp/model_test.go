package esp

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand"
	"path"
	"slices"
	"strings"
)

// fatModel is a FAT filesystem as far as a power cut matters: directory
// entries name chains of clusters, chains are in use or free, and what is
// written stays in memory until it is synced. Then, or when power goes, each
// place on the disk has one of the states that it went through, and the places
// know nothing of each other.
type fatModel struct {
	disk, memory fatState
	pending      map[string][]func(*fatState) // by place, in order

	step      int // operations so far
	failAt    int // the operation that fails, 0 for none
	cutAt     int // the one during which power goes
	old       bool
	freeBytes int64
}

type fatState struct {
	entries map[string]int // name -> chain
	used    map[int]bool   // chains
	data    map[int][]byte
}

func newFAT() *fatModel {
	m := &fatModel{pending: map[string][]func(*fatState){}, freeBytes: 1 << 30}
	m.disk = fatState{map[string]int{}, map[int]bool{}, map[int][]byte{}}
	m.memory = m.disk.clone()
	return m
}

func (s fatState) clone() fatState {
	return fatState{maps.Clone(s.entries), maps.Clone(s.used), maps.Clone(s.data)}
}

// powerCut is what the model panics with.
type powerCut struct{}

var errIO = errors.New("input/output error")

// op counts an operation that consists of changes, and returns an error when it
// is the one that fails. Power may go in the midst of it.
func (m *fatModel) op(changes ...change) error {
	m.step++
	if m.step == m.failAt {
		return errIO
	}
	for _, c := range changes {
		m.pending[c.place] = append(m.pending[c.place], c.do)
		c.do(&m.memory)
	}
	if m.step == m.cutAt {
		panic(powerCut{})
	}
	return nil
}

type change struct {
	place string
	do    func(*fatState)
}

func entry(name string, chain int) change {
	return change{"entry " + name, func(s *fatState) {
		if chain == 0 {
			delete(s.entries, name)
		} else {
			s.entries[name] = chain
		}
	}}
}

func use(chain int, used bool) change {
	return change{fmt.Sprint("chain ", chain), func(s *fatState) { s.used[chain] = used }}
}

func content(chain int, b []byte) change {
	return change{fmt.Sprint("data ", chain), func(s *fatState) { s.data[chain] = b }}
}

// cut returns the filesystem as it is found after a power cut, one of many ways.
func (m *fatModel) cut(rng *rand.Rand) *fatModel {
	after := newFAT()
	after.disk = m.disk.clone()
	for _, place := range slices.Sorted(maps.Keys(m.pending)) {
		list := m.pending[place]
		for _, do := range list[:rng.Intn(len(list)+1)] {
			do(&after.disk)
		}
	}
	after.memory = after.disk.clone()
	return after
}

func (m *fatModel) Sync() error {
	if err := m.op(); err != nil {
		return err
	}
	for _, list := range m.pending {
		for _, do := range list {
			do(&m.disk)
		}
	}
	clear(m.pending)
	return nil
}

func (m *fatModel) Read(name string) ([]byte, error) {
	chain, ok := m.memory.entries[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	if !m.memory.used[chain] {
		return nil, errIO
	}
	return m.memory.data[chain], nil
}

func (m *fatModel) Write(name string, b []byte) error {
	if _, there := m.memory.entries[name]; there {
		return fs.ErrExist
	}
	chain := 1
	for m.memory.used[chain] {
		chain++ // the first free one, so that stale entries do harm
	}
	half := b[:len(b)/2]
	if err := m.op(use(chain, true), entry(name, chain), content(chain, half)); err != nil {
		return err
	}
	if err := m.op(content(chain, b)); err != nil {
		return err
	}
	return m.Sync()
}

func (m *fatModel) Rename(from, to string) error {
	if _, there := m.memory.entries[to]; there {
		return fs.ErrExist
	}
	return m.op(entry(to, m.memory.entries[from]), entry(from, 0))
}

func (m *fatModel) Exchange(a, b string) error {
	if m.old {
		return ErrNoExchange
	}
	return m.op(entry(a, m.memory.entries[b]), entry(b, m.memory.entries[a]))
}

func (m *fatModel) Remove(name string) error {
	chain, ok := m.memory.entries[name]
	if !ok {
		return fs.ErrNotExist
	}
	return m.op(entry(name, 0), use(chain, false))
}

func (m *fatModel) List(dir string) ([]string, error) {
	var names []string
	for name := range m.memory.entries {
		if rest, ok := strings.CutPrefix(name, strings.TrimPrefix(dir+"/", "/")); ok {
			first, _, _ := strings.Cut(rest, "/")
			if !slices.Contains(names, first) {
				names = append(names, first)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

func (m *fatModel) Free() (int64, error) { return m.freeBytes, nil }

// starts returns what firmware would start from the disk at the first of these
// paths that leads to a whole file.
func (m *fatModel) starts(names ...string) string {
	for _, name := range names {
		if chain, ok := m.disk.entries[name]; ok && m.disk.used[chain] && whole(m.disk.data[chain]) {
			return string(m.disk.data[chain])
		}
	}
	return ""
}

// put makes a file that was there before.
func (m *fatModel) put(name string, b []byte) {
	if err := m.Write(name, b); err != nil {
		panic(path.Base(name) + ": " + err.Error())
	}
	m.step = 0
}
