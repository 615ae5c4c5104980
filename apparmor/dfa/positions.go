// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"encoding/binary"
	"slices"
)

// positions is an automaton without empty moves: its states are the places in the patterns where one symbol is to be matched next, and the ends of
// patterns. Places from which the same follows are the same place, so what patterns of one tag end with in common is there once.
type positions struct {
	sets    []set // distinct sets of bytes; the first 256 are the single bytes
	numbers map[set]int32

	elements map[string]int32 // structure of a node -> its number in nodes
	nodes    []*node

	places  []place
	matches map[[2]int32]int32 // set and next -> place
	loops   map[[2]int32]int32 // element and next -> place
	forks   map[string]int32   // outs -> place
	key     []byte

	visited []int32 // by place, the mark of the closure it was met in
	mark    int32
	stack   []int32
}

// place is one state before closures are made: a position proper (matches a symbol, then goes on in next), an end, or a fork to several places.
type place struct {
	kind    placeKind
	set     int32   // of match: into sets, or outOfBandSet
	next    int32   // of match
	tag     int     // of end
	outs    []int32 // of fork
	closure []int32 // the ends and matches that the place stands for, sorted; made on demand
}

type placeKind uint8

const (
	match placeKind = iota
	end
	fork
)

const outOfBandSet = -1

// nowhere is the place from which nothing matches.
const nowhere = int32(0)

// newPositions has the ends of the tags, which are sorted: the end of tags[i] is place i+1. Ends come before all matches in every closure.
func newPositions(tags []int) *positions {
	p := &positions{
		numbers: map[set]int32{}, elements: map[string]int32{},
		matches: map[[2]int32]int32{}, loops: map[[2]int32]int32{}, forks: map[string]int32{},
		places: []place{{kind: fork}},
	}
	for b := range 256 {
		var one set
		one.add(byte(b))
		p.setNumber(one)
	}
	for _, tag := range tags {
		p.places = append(p.places, place{kind: end, tag: tag})
	}
	return p
}

func (p *positions) setNumber(s set) int32 {
	number, known := p.numbers[s]
	if !known {
		number = int32(len(p.sets))
		p.sets = append(p.sets, s)
		p.numbers[s] = number
	}
	return number
}

func (p *positions) add(made place) int32 {
	p.places = append(p.places, made)
	return int32(len(p.places) - 1)
}

func (p *positions) match(set, next int32) int32 {
	if next == nowhere {
		return nowhere
	}
	key := [2]int32{set, next}
	number, known := p.matches[key]
	if !known {
		number = p.add(place{kind: match, set: set, next: next})
		p.matches[key] = number
	}
	return number
}

func (p *positions) fork(outs []int32) int32 {
	slices.Sort(outs)
	outs = slices.Compact(outs)
	if len(outs) > 0 && outs[0] == nowhere {
		outs = outs[1:]
	}
	switch len(outs) {
	case 0:
		return nowhere
	case 1:
		return outs[0]
	}
	p.key = p.key[:0]
	for _, out := range outs {
		p.key = binary.LittleEndian.AppendUint32(p.key, uint32(out))
	}
	number, known := p.forks[string(p.key)]
	if !known {
		number = p.add(place{kind: fork, outs: outs})
		p.forks[string(p.key)] = number
	}
	return number
}

// loop is the place where the element is matched any number of times, and next goes on.
func (p *positions) loop(element, next int32) int32 {
	if next == nowhere {
		return nowhere
	}
	key := [2]int32{element, next}
	if number, known := p.loops[key]; known {
		return number
	}
	here := p.add(place{kind: fork})
	p.loops[key] = here
	p.places[here].outs = []int32{p.before(p.nodes[element].parts[0], here), next}
	return here
}

// closureOf are the ends and matches that the place stands for, sorted.
func (p *positions) closureOf(number int32) []int32 {
	if p.places[number].closure != nil {
		return p.places[number].closure
	}
	if len(p.visited) < len(p.places) {
		p.visited = make([]int32, len(p.places))
	}
	p.mark++
	closure := []int32{}
	p.stack = append(p.stack[:0], number)
	for len(p.stack) > 0 {
		at := p.stack[len(p.stack)-1]
		p.stack = p.stack[:len(p.stack)-1]
		if p.visited[at] == p.mark {
			continue
		}
		p.visited[at] = p.mark
		here := &p.places[at]
		if here.kind != fork {
			closure = append(closure, at)
		}
		p.stack = append(p.stack, here.outs...)
	}
	slices.Sort(closure)
	p.places[number].closure = closure
	return closure
}
