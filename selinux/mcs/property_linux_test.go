// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// model is what the registry should hold: for each pair its holders in order. Dead ones stay until a sweep.
type model struct {
	registry Registry
	record   string // of living containers
	docker   string // Docker's record, which has one pair
	theirs   Pair
	held     map[Pair][]string
	dead     map[string]bool
	next     int
}

func (m *model) holder() Holder {
	m.next++
	return Holder{ID: fmt.Sprint(m.next), Record: m.record}
}

func (m *model) random(r *rand.Rand) (Pair, string) {
	var pairs []Pair
	for pair := range m.held {
		pairs = append(pairs, pair)
	}
	if len(pairs) == 0 {
		return Pair{1, 2}, "nobody"
	}
	slices.SortFunc(pairs, func(a, b Pair) int { return a.cell() - b.cell() })
	pair := pairs[r.IntN(len(pairs))]
	return pair, m.held[pair][r.IntN(len(m.held[pair]))]
}

func (m *model) remove(pair Pair, id string) {
	m.held[pair] = slices.DeleteFunc(slices.Clone(m.held[pair]), func(held string) bool { return held == id })
	if len(m.held[pair]) == 0 {
		delete(m.held, pair)
	}
}

// step does one thing to both, at random, and compares the outcome.
func (m *model) step(r *rand.Rand) error {
	pair, id := m.random(r)
	switch r.IntN(8) {
	case 0, 1, 2:
		return m.take()
	case 3:
		if m.dead[id] {
			return nil
		}
		m.remove(pair, id)
		return m.registry.Release(pair, id)
	case 4:
		return m.reserve(Pair{uint16(r.IntN(4)), uint16(4 + r.IntN(3))}, r.IntN(2) == 0)
	case 5: // its process is killed, and its record removed
		if len(m.held) == 0 || m.dead[id] {
			return nil
		}
		m.dead[id] = true
		return m.registry.Update(pair, Holder{ID: id, Record: m.record + "/none"})
	case 6:
		return m.sweep()
	}
	return m.spoil(r)
}

func (m *model) take() error {
	holder := m.holder()
	pair, err := m.registry.Take(holder)
	if errors.Is(err, ErrFull) {
		free := 7*6/2 - len(m.held)
		if m.theirs != (Pair{}) && m.held[m.theirs] == nil {
			free--
		}
		if free != 0 {
			return fmt.Errorf("full, where %d are free", free)
		}
		return nil
	}
	if err == nil && (m.held[pair] != nil || pair == m.theirs) {
		return fmt.Errorf("took %s, which %v and docker have", pair, m.held[pair])
	}
	m.held[pair] = []string{holder.ID}
	return err
}

func (m *model) reserve(pair Pair, share bool) error {
	holder := m.holder()
	living := slices.DeleteFunc(slices.Clone(m.held[pair]), func(id string) bool { return m.dead[id] })
	err := m.registry.Reserve(pair, holder, share)
	var held *HeldError
	if refused := errors.As(err, &held); refused != (len(living) > 0 && !share) {
		return fmt.Errorf("reserve %s, share %v, of %v: %w", pair, share, living, err)
	} else if refused {
		return nil
	}
	m.held[pair] = append(living, holder.ID)
	return err
}

func (m *model) sweep() error {
	_, err := m.registry.Sweep()
	for pair, ids := range m.held {
		for _, id := range ids {
			if m.dead[id] {
				m.remove(pair, id)
			}
		}
	}
	return err
}

// spoil writes anything into the table, as a power cut may, or has Docker change its pair.
func (m *model) spoil(r *rand.Rand) error {
	if r.IntN(2) == 0 {
		m.theirs = Pair{uint16(r.IntN(3)), uint16(3 + r.IntN(4))}
		return os.WriteFile(m.docker, fmt.Appendf(nil, `{"ProcessLabel":"u:r:t:%s"}`, m.theirs.Level()), 0o600)
	}
	table := make([]byte, r.IntN(8*1024))
	for i := range table {
		table[i] = byte(r.IntN(2))
	}
	return os.WriteFile(filepath.Join(m.registry.Dir, occupiedName), table, 0o600)
}

func (m *model) check() error {
	entries, err := m.registry.List()
	if err != nil {
		return err
	}
	if len(entries) != len(m.held) {
		return fmt.Errorf("%d pairs are held, not %d", len(entries), len(m.held))
	}
	for _, entry := range entries {
		var ids []string
		for _, holder := range entry.Holders {
			ids = append(ids, holder.ID)
		}
		if !slices.Equal(ids, m.held[entry.Pair]) {
			return fmt.Errorf("%s is held by %v, not by %v", entry.Pair, ids, m.held[entry.Pair])
		}
	}
	return nil
}

// Everything that can be done, in any order, with a table of free pairs that is wrong now and then, comes to what a map of pairs would say.
func TestTheRegistryIsAMapOfPairsToHolders(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		root := memoryDirectory(t)
		m := &model{registry: Registry{Dir: filepath.Join(root, "mcs"), Low: 0, High: 6, Elsewhere: &Elsewhere{Root: root, Cache: root + "/mcs"}}, record: root,
			docker: filepath.Join(root, "var/lib/docker/containers/4f/config.v2.json"), held: map[Pair][]string{}, dead: map[string]bool{}}
		must(t, errors.Join(os.MkdirAll(filepath.Dir(m.docker), 0o700), os.Mkdir(m.registry.Dir, 0o700)))
		for step := range 60 {
			if err := errors.Join(m.step(r), m.check()); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
		}
	}
}

// A process is killed at every place where it could leave something half done: what it left is free or held by it, and the next taker is never given
// a pair that is held. Places are simulated by what each leaves on disk.
func TestWhateverAKilledProcessLeavesIsFreeOrSwept(t *testing.T) {
	dead := func() Holder { return gone(t, "dead") }
	for name, leave := range map[string]func(Registry, Pair) error{
		"a name, and no mark": func(registry Registry, pair Pair) error {
			if err := registry.Reserve(pair, dead(), false); err != nil {
				return err
			}
			return mark(registry, pair, 0)
		},
		"no name, and a mark": func(registry Registry, pair Pair) error { return mark(registry, pair, 1) },
		"half an update": func(registry Registry, pair Pair) error {
			err := registry.Reserve(pair, dead(), false)
			return errors.Join(err, os.WriteFile(filepath.Join(registry.Dir, draftName), []byte(`{"version":1,"hol`), 0o600))
		},
		"the lock file": func(registry Registry, pair Pair) error {
			return os.WriteFile(filepath.Join(registry.Dir, lockName), nil, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			registry := newRegistry(t)
			registry.Low, registry.High = 1, 3
			living := self(t, "living")
			must(t, registry.Reserve(Pair{1, 2}, living, false))
			must(t, leave(registry, Pair{1, 3}))
			_, err := registry.Sweep()
			must(t, err)
			var got []string
			for range 2 {
				pair, err := registry.Take(self(t, "next"))
				must(t, err)
				got = append(got, pair.String())
			}
			slices.Sort(got)
			if strings.Join(got, " ") != "c1,c3 c2,c3" {
				t.Errorf("took %v", got)
			}
		})
	}
}

func mark(registry Registry, pair Pair, taken byte) error {
	file, err := os.OpenFile(filepath.Join(registry.Dir, occupiedName), unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteAt([]byte{taken}, int64(pair.cell()))
	return err
}
