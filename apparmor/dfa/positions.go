// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"encoding/binary"
	"slices"
)

// positions is an automaton without empty moves: its states are the places in the patterns where one symbol is to be matched next, and the ends of
// patterns. Places from which the same follows are the same place.
type positions struct {
	sets   []set // distinct sets of bytes
	tokens map[set]int32

	elements map[string]int32 // structure of a node -> its number
	names    []*node

	places []place
	known  map[string]int32
	key    []byte
}

// place is one state before closures are made: a position proper (matches a symbol, then goes on in next), an end, or a fork to several places.
type place struct {
	kind    placeKind
	set     int32   // of match: into sets, or outOfBandSet
	next    int32   // of match
	tag     int32   // of end
	outs    []int32 // of fork
	closure []int32 // the positions and ends that the place stands for, made on demand
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

func newPositions() *positions {
	p := &positions{tokens: map[set]int32{}, elements: map[string]int32{}, known: map[string]int32{}}
	p.places = append(p.places, place{kind: fork})
	return p
}

func (p *positions) setNumber(s set) int32 {
	number, known := p.tokens[s]
	if !known {
		number = int32(len(p.sets))
		p.sets = append(p.sets, s)
		p.tokens[s] = number
	}
	return number
}

// intern returns the place of p.key, or the one that is made of it.
func (p *positions) intern(made place) int32 {
	if number, known := p.known[string(p.key)]; known {
		return number
	}
	number := int32(len(p.places))
	p.places = append(p.places, made)
	p.known[string(p.key)] = number
	return number
}

func (p *positions) match(set, next int32) int32 {
	if next == nowhere {
		return nowhere
	}
	p.key = binary.LittleEndian.AppendUint32(append(p.key[:0], 'm'), uint32(set))
	p.key = binary.LittleEndian.AppendUint32(p.key, uint32(next))
	return p.intern(place{kind: match, set: set, next: next})
}

func (p *positions) end(tag int) int32 {
	p.key = binary.LittleEndian.AppendUint32(append(p.key[:0], 'e'), uint32(tag))
	return p.intern(place{kind: end, tag: int32(tag)})
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
	p.key = append(p.key[:0], 'f')
	for _, out := range outs {
		p.key = binary.LittleEndian.AppendUint32(p.key, uint32(out))
	}
	return p.intern(place{kind: fork, outs: outs})
}

// loop is the place where the element is matched any number of times, and next goes on.
func (p *positions) loop(element, next int32) int32 {
	if next == nowhere {
		return nowhere
	}
	p.key = binary.LittleEndian.AppendUint32(append(p.key[:0], 'l'), uint32(element))
	p.key = binary.LittleEndian.AppendUint32(p.key, uint32(next))
	before := len(p.places)
	here := p.intern(place{kind: fork})
	if int(here) < before {
		return here
	}
	body := p.before(p.names[element].parts[0], here)
	p.places[here].outs = []int32{body, next}
	return here
}

// closureOf are the positions and ends that the place stands for, sorted.
func (p *positions) closureOf(number int32) []int32 {
	if p.places[number].closure != nil {
		return p.places[number].closure
	}
	closure := []int32{}
	seen := map[int32]bool{number: true}
	stack := []int32{number}
	for len(stack) > 0 {
		here := &p.places[stack[len(stack)-1]]
		if here.kind != fork {
			closure = append(closure, stack[len(stack)-1])
		}
		stack = stack[:len(stack)-1]
		for _, out := range here.outs {
			if !seen[out] {
				seen[out] = true
				stack = append(stack, out)
			}
		}
	}
	slices.Sort(closure)
	p.places[number].closure = closure
	return closure
}
