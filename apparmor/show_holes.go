// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"context"
	"math/bits"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// A deny rule that logs leaves nothing in the tables but that its permissions are not there: a hole in what other rules allow. Where a glob would be right but for
// a few such holes, it is taken, and the holes become deny rules again.

const (
	holeBudget = 24 // rules for the holes of one glob
	holeShare  = 4  // a glob of whose states more than one of so many are bad has no holes, it is too wide
)

// widenOver returns a glob that matches the text and has the bits but for holes, which it adds to those of the cover. It is false where that is no better.
func (c *cover) widenOver(ctx context.Context, text []byte, chosen uint64) (glob, bool) {
	w := &widening{cover: c, good: c.newStates()}
	for state, may := range c.may {
		if chosen&^may == 0 {
			w.good.add(uint32(state))
		}
	}
	for i := 1; i < len(text); i++ {
		if text[i-1] != '/' || text[i] == '/' {
			continue
		}
		from := c.newStates()
		from.add(c.automaton.Walk(c.start, string(text[:i])))
		reached := c.newStates()
		w.closure(w.after(from, piece{set: wildSet(false)}), anyBytes, reached, nil)
		all, bad := 0, 0
		for word := range reached {
			all += bits.OnesCount64(reached[word])
			bad += bits.OnesCount64(reached[word] &^ w.good[word])
		}
		if bad == 0 {
			return nil, false // there is a glob without holes
		}
		if bad*holeShare > all {
			continue
		}
		candidate := append(literalGlob(string(text[:i])), piece{set: wildSet(false)}, piece{repeat: anyBytes})
		holes, ok := c.holesOf(ctx, []covered{{bits: chosen, pattern: candidate.pattern()}})
		if !ok {
			continue
		}
		c.holes = append(c.holes, holes...)
		return c.anyComponents(ctx, candidate, i, chosen), true
	}
	return nil, false
}

// anyComponents makes * of components before the end, where that needs no further holes.
func (c *cover) anyComponents(ctx context.Context, g glob, end int, chosen uint64) glob {
	for begin := 1; begin < end; {
		next := begin
		for !g[next].slash() {
			next++
		}
		wide := append(append(append(glob(nil), g[:begin]...), piece{set: wildSet(false)}, piece{repeat: anyName}), g[next:]...)
		if holes, ok := c.holesOf(ctx, []covered{{bits: chosen, pattern: wide.pattern()}}); next > begin && ok && len(holes) == 0 {
			end += 2 - (next - begin)
			g, next = wide, begin+2
		}
		begin = next + 1
	}
	return g
}

// holesOf finds globs of what the given ones have and may not have, beyond the holes that are known.
func (c *cover) holesOf(ctx context.Context, given []covered) ([]covered, bool) {
	rules := make([]dfa.Rule, len(given))
	for i, one := range given {
		rules[i] = dfa.Rule{Pattern: one.pattern, Tag: i}
	}
	other, err := dfa.Compile(ctx, rules, func(tags []int) (dfa.Accept, error) {
		var sum uint64
		for _, tag := range tags {
			sum |= given[tag].bits
		}
		return dfa.Accept{One: uint32(sum), Two: uint32(sum >> 32)}, nil
	}, dfa.Limits{States: coverStates})
	if err != nil {
		return nil, false
	}
	sub := &cover{fixed: c.fixed, endByte: c.endByte, noZero: true, choose: lowestSet, budget: holeBudget, start: 1}
	c.product(other, sub)
	for _, hole := range c.holes {
		sub.extra = append(sub.extra, dfa.Rule{Pattern: hole.pattern, Tag: len(sub.bits)})
		sub.bits = append(sub.bits, hole.bits)
	}
	ok, err := sub.run(ctx)
	return sub.found, ok && err == nil && len(sub.stuck) == 0
}

// product makes the automaton of both at once, and what is needed of holes in each of its states.
func (c *cover) product(other *dfa.Automaton, sub *cover) {
	type place struct{ a, b uint32 }
	joint := map[[2]uint8]uint8{}
	var representatives []byte
	a := &dfa.Automaton{}
	for b := range 256 {
		key := [2]uint8{c.automaton.Class[b], other.Class[b]}
		class, ok := joint[key]
		if !ok {
			class = uint8(len(joint))
			joint[key] = class
			representatives = append(representatives, byte(b))
		}
		a.Class[b] = class
	}
	a.Classes = len(representatives)
	places := []place{{}, {c.start, dfa.Start}}
	numbers := map[place]uint32{places[0]: 0, places[1]: 1}
	for i := 0; i < len(places); i++ {
		for _, b := range representatives {
			to := place{c.automaton.Step(places[i].a, b), other.Step(places[i].b, b)}
			number, ok := numbers[to]
			if !ok {
				number = uint32(len(places))
				numbers[to] = number
				places = append(places, to)
			}
			a.Next = append(a.Next, number)
		}
		at := places[i]
		has := given(other.Accept[at.b])
		sub.need = append(sub.need, has&^c.may[at.a])
		sub.may = append(sub.may, c.unallowed(at.a))
	}
	a.Accept = make([]dfa.Accept, len(places))
	sub.automaton = a
}

// unallowed are the bits that a deny rule may take in a state: those of letters that nothing allows there, w only where a is not allowed either.
func (c *cover) unallowed(state uint32) uint64 {
	const mask = uint64(permBase)
	allowed := c.allow[state]
	for _, shift := range []int{0, otherBits} {
		if allowed>>shift&uint64(permAppend|permWrite) != 0 {
			allowed |= uint64(permWrite) << shift
		}
	}
	return (mask | mask<<otherBits) &^ allowed
}
