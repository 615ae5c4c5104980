// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"context"
	"encoding/binary"
	"slices"
)

// subsets makes the deterministic automaton: its states are sets of places.
//
// Most of a state's places are those of wildcards, which many states have in common, and each of the others goes on with few bytes. So where the
// wildcards of a state lead to is worked out once for all states that have the same ones, and the rest is added to that.
type subsets struct {
	*positions
	interner
	table
	limits  Limits
	accept  func(tags []int) (Accept, error)
	accepts map[string]Accept // by the places of the ends

	members [][]uint8 // by number of set: the classes in it
	wide    []bool    // by number of set

	wildcards map[int32][]int32 // by number of the set of wildcard places: by class, the number of the set of places that they lead to
	stateOf   []int32           // by number of a set, -1 where it is none
	states    []int32           // by state, the number of its set
	spare     []uint32          // room for rows
	memory    int

	wideHere       []int32 // of the state at hand, its wildcards
	narrow         [][]int32
	touched        []uint16
	merged, buffer []int32
}

// fewPlaces are joined one after the other, more of them by sorting.
const fewPlaces = 4

// widest is how many classes a place may go on with that is no wildcard.
const widest = 3

func newSubsets(p *positions, limits Limits, accept func(tags []int) (Accept, error)) *subsets {
	return &subsets{positions: p, limits: limits, accept: accept, accepts: map[string]Accept{}, wildcards: map[int32][]int32{}}
}

// classes parts the bytes into those that no set in use tells apart.
func (s *subsets) classes() {
	used := make([]bool, len(s.sets))
	for i := range s.places {
		if here := &s.places[i]; here.kind == match && here.set != outOfBandSet {
			used[here.set] = true
		}
	}
	var none set
	blocks := []set{none.not()}
	for i := range s.sets {
		if !used[i] {
			continue
		}
		for j := range len(blocks) {
			in := blocks[j].and(&s.sets[i])
			if in != none && in != blocks[j] {
				blocks = append(blocks, blocks[j].minus(&in))
				blocks[j] = in
			}
		}
	}
	slices.SortFunc(blocks, func(x, y set) int { return int(x.first()) - int(y.first()) })
	for number := range blocks {
		for one := range blocks[number].bytes {
			s.class[one] = uint8(number)
		}
	}
	s.width = len(blocks) + 1
	s.members, s.wide = make([][]uint8, len(s.sets)), make([]bool, len(s.sets))
	for i := range s.sets {
		if !used[i] {
			continue
		}
		for number := range blocks {
			if s.sets[i].has(blocks[number].first()) {
				s.members[i] = append(s.members[i], uint8(number))
			}
		}
		s.wide[i] = len(s.members[i]) > widest
	}
}

// run makes all states that can be reached.
func (s *subsets) run(ctx context.Context, start int32) error {
	s.classes()
	s.narrow = make([][]int32, s.width)
	if _, err := s.state(s.numbered(nil)); err != nil {
		return err
	}
	set := s.numbered(s.closureOf(start))
	if set == 0 {
		// The start is a state of its own even where it is as dead as the trap: the kernel has it in state 1.
		s.states, s.says = append(s.states, 0), append(s.says, Accept{})
	} else if _, err := s.state(set); err != nil {
		return err
	}
	for i := 0; i < len(s.states); i++ {
		if i&0x3f == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.expand(s.states[i]); err != nil {
			return err
		}
	}
	return nil
}

// expand makes the row of a state.
func (s *subsets) expand(set int32) error {
	s.wideHere, s.touched = s.wideHere[:0], s.touched[:0]
	for _, number := range s.setOf(set) {
		here := &s.places[number]
		switch {
		case here.kind == end:
		case here.set == outOfBandSet:
			s.lead(s.width-1, here.next)
		case s.wide[here.set]:
			s.wideHere = append(s.wideHere, number)
		default:
			for _, class := range s.members[here.set] {
				s.lead(int(class), here.next)
			}
		}
	}
	base, err := s.wildcardRow(s.numbered(s.wideHere))
	if err != nil {
		return err
	}
	for _, class := range s.touched {
		joined := s.numbered(s.join(s.setOf(base[class]), s.narrow[class]))
		s.narrow[class] = append(s.narrow[class][:0], joined)
	}
	row := s.newRow()
	for class, target := range base {
		if len(s.narrow[class]) > 0 {
			target = s.narrow[class][0]
			s.narrow[class] = s.narrow[class][:0]
		}
		number := s.stateOf[target]
		if number < 0 {
			if number, err = s.state(target); err != nil {
				return err
			}
		}
		row[class] = uint32(number)
	}
	return nil
}

// newRow is the row of the next state.
func (s *subsets) newRow() []uint32 {
	if len(s.spare) < s.width {
		s.spare = make([]uint32, s.width*min(max(len(s.rows), 16), 1024))
	}
	row := s.spare[:s.width:s.width]
	s.spare = s.spare[s.width:]
	s.rows = append(s.rows, row)
	return row
}

// lead notes that a class leads on.
func (s *subsets) lead(class int, next int32) {
	if len(s.narrow[class]) == 0 {
		s.touched = append(s.touched, uint16(class))
	}
	s.narrow[class] = append(s.narrow[class], next)
}

// wildcardRow is, by class, the set that the places of a set lead to, all of them wildcards.
func (s *subsets) wildcardRow(set int32) ([]int32, error) {
	if row, known := s.wildcards[set]; known {
		return row, nil
	}
	if err := s.use(4 * s.width); err != nil {
		return nil, err
	}
	// Wildcards are mostly the same few sets of bytes, and classes that the same sets have lead to the same.
	var sets []int32
	nexts := map[int32][]int32{} // by set, the places after its wildcards
	for _, number := range s.setOf(set) {
		here := &s.places[number]
		if _, known := nexts[here.set]; !known {
			sets = append(sets, here.set)
		}
		nexts[here.set] = append(nexts[here.set], here.next)
	}
	groups := make([]int32, s.width)
	follows := [][]int32{nil} // by group, the sets that have its classes
	for _, bytes := range sets {
		split := make([]int32, len(follows))
		for _, class := range s.members[bytes] {
			old := groups[class]
			if split[old] == 0 {
				split[old] = int32(len(follows))
				follows = append(follows, append(slices.Clone(follows[old]), bytes))
			}
			groups[class] = split[old]
		}
	}
	live := make([]bool, len(follows))
	for _, group := range groups {
		live[group] = true
	}
	targets := make([]int32, len(follows))
	var places []int32
	for group, sets := range follows {
		if !live[group] {
			continue
		}
		places = places[:0]
		for _, bytes := range sets {
			places = append(places, nexts[bytes]...)
		}
		targets[group] = s.numbered(s.join(nil, places))
	}
	row := make([]int32, s.width)
	for class, group := range groups {
		row[class] = targets[group]
	}
	s.wildcards[set] = row
	return row, nil
}

// join is the union of a set and the closures of the places, until the next call.
func (s *subsets) join(set, places []int32) []int32 {
	s.merged = append(s.merged[:0], set...)
	if len(places) > fewPlaces {
		for _, next := range places {
			s.merged = append(s.merged, s.closureOf(next)...)
		}
		slices.Sort(s.merged)
		s.merged = slices.Compact(s.merged)
		return s.merged
	}
	for _, next := range places {
		s.buffer = union(s.buffer[:0], s.merged, s.closureOf(next))
		s.merged, s.buffer = s.buffer, s.merged
	}
	return s.merged
}

// union appends the sorted union of two sorted sets.
func union(to, a, b []int32) []int32 {
	for len(a) > 0 && len(b) > 0 {
		switch x, y := a[0], b[0]; {
		case x < y:
			to, a = append(to, x), a[1:]
		case x > y:
			to, b = append(to, y), b[1:]
		default:
			to, a, b = append(to, x), a[1:], b[1:]
		}
	}
	return append(append(to, a...), b...)
}

// use counts memory.
func (s *subsets) use(bytes int) error {
	s.memory += bytes
	if s.memory+4*len(s.all)+16*len(s.bounds) > s.limits.Memory {
		return &LimitError{"memory", s.limits.Memory}
	}
	return nil
}

// numbered is the number of a sorted set of places.
func (s *subsets) numbered(places []int32) int32 {
	number, fresh := s.intern(places)
	if fresh {
		s.stateOf = append(s.stateOf, -1)
	}
	return number
}

// state makes the set a state.
func (s *subsets) state(set int32) (int32, error) {
	if len(s.states) >= s.limits.States {
		return 0, &LimitError{"states", s.limits.States}
	}
	if err := s.use(12*s.width + 12); err != nil {
		return 0, err
	}
	says, err := s.meaning(s.setOf(set))
	if err != nil {
		return 0, err
	}
	s.stateOf[set] = int32(len(s.states))
	s.states = append(s.states, set)
	s.says = append(s.says, says)
	return s.stateOf[set], nil
}

// meaning is what the ends among the places come to; they are the first.
func (s *subsets) meaning(places []int32) (Accept, error) {
	ends := 0
	for ends < len(places) && s.places[places[ends]].kind == end {
		ends++
	}
	if ends == 0 {
		return Accept{}, nil
	}
	s.key = s.key[:0]
	for _, number := range places[:ends] {
		s.key = binary.LittleEndian.AppendUint32(s.key, uint32(number))
	}
	if says, known := s.accepts[string(s.key)]; known {
		return says, nil
	}
	tags := make([]int, ends)
	for i, number := range places[:ends] {
		tags[i] = s.places[number].tag
	}
	says, err := s.accept(tags)
	if err != nil {
		return Accept{}, err
	}
	s.accepts[string(s.key)] = says
	return says, nil
}
