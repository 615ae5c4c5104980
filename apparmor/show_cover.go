// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"context"
	"errors"
	"math/bits"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// A cover is a list of globs with bits that together say of every string what an automaton says: it is how readable rules are found for a compiled policy.
//
// The search takes a string for which bits are missing, the shortest first, and widens it as far as the automaton still has the bits for all that the glob then
// matches. What is found is compiled and compared with the automaton, and so on until nothing is missing: the result is exact or there is none.
type cover struct {
	automaton *dfa.Automaton
	start     uint32
	need, may []uint64 // by state: the bits that are to be given, and those that may be given
	fixed     int      // bytes at the beginning that stay as they are
	endByte   bool     // a NUL ends strings: none is looked for behind it
	choose    func(missing, may uint64) uint64
	literal   func(state uint32) bool // strings that lead there are not widened; nil: all are
	extra     []dfa.Rule              // patterns that give bits already; the tags are indices into bits
	bits      []uint64
	found     []covered
	current   *dfa.Automaton      // of all that is given
	compiled  int                 // of found, in current
	budget    int                 // globs
	stuck     []lack              // what no rule gives
	few       func(place int) int // how many bytes stay single at a place of the text; nil: two everywhere
	flags     func(g glob) int    // where the flags of mounts begin in a glob, behind which bytes may be made optional; nil: nowhere
	noZero    bool                // no set has a NUL
	allow     []uint64            // by state: the bits that holes may not take; nil: no holes are looked for
	holes     []covered
}

// covered is one glob of a cover.
type covered struct {
	glob    glob
	bits    uint64
	pattern dfa.Pattern
}

const (
	coverBudget = 1500 // globs of a cover: beyond, nobody reads it
	coverStates = 1 << 15
	coverRound  = 150 // globs between two compilations, at most: the first rounds are short, as what is found in them is the widest
)

// run finds the cover. It is false where that takes more globs than the budget.
func (c *cover) run(ctx context.Context) (bool, error) {
	if c.budget == 0 {
		c.budget = coverBudget
	}
	for {
		var limit *dfa.LimitError
		switch err := c.compile(ctx); {
		case errors.As(err, &limit):
			return false, nil
		case err != nil:
			return false, err
		}
		missing := c.missing()
		if len(missing) == 0 {
			return true, nil
		}
		for _, m := range missing {
			c.give(ctx, m)
		}
		if len(c.found) > c.budget || ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
}

// compile makes the automaton of what is given.
func (c *cover) compile(ctx context.Context) error {
	rules := append([]dfa.Rule(nil), c.extra...)
	masks := append([]uint64(nil), c.bits...)
	for _, one := range c.found {
		rules = append(rules, dfa.Rule{Pattern: one.pattern, Tag: len(masks)})
		masks = append(masks, one.bits)
	}
	var err error
	c.compiled = len(c.found)
	c.current, err = dfa.Compile(ctx, rules, func(tags []int) (dfa.Accept, error) {
		var sum uint64
		for _, tag := range tags {
			sum |= masks[tag]
		}
		return dfa.Accept{One: uint32(sum), Two: uint32(sum >> 32)}, nil
	}, dfa.Limits{States: coverStates})
	return err
}

func given(a dfa.Accept) uint64 { return uint64(a.One) | uint64(a.Two)<<32 }

// lack is a string for which bits are missing.
type lack struct {
	text    []byte
	missing uint64
	state   uint32
}

// missing walks both automata and collects the first strings that lack bits.
func (c *cover) missing() []lack {
	type place struct{ a, b uint32 }
	type arrival struct {
		from   int
		symbol byte
	}
	places := []place{{c.start, dfa.Start}}
	arrivals := []arrival{{-1, 0}}
	seen := map[place]bool{places[0]: true}
	symbols := c.symbols(c.current)
	var lacks []lack
	for i := 0; i < len(places) && len(lacks) < min(coverRound, 4+len(c.found)/2); i++ {
		at := places[i]
		if lost := c.need[at.a] &^ given(c.current.Accept[at.b]); lost != 0 {
			var text []byte
			for j := i; arrivals[j].from >= 0; j = arrivals[j].from {
				text = append(text, arrivals[j].symbol)
			}
			for x, y := 0, len(text)-1; x < y; x, y = x+1, y-1 {
				text[x], text[y] = text[y], text[x]
			}
			lacks = append(lacks, lack{text, lost, at.a})
		}
		for _, symbol := range symbols {
			to := place{c.automaton.Step(at.a, symbol), c.current.Step(at.b, symbol)}
			if to.a != 0 && !seen[to] {
				seen[to] = true
				places = append(places, to)
				arrivals = append(arrivals, arrival{i, symbol})
			}
		}
	}
	return lacks
}

// symbols are bytes, one for each pair of classes, that which reads best.
func (c *cover) symbols(other *dfa.Automaton) []byte {
	var symbols []byte
	var known [256][256]bool
	for _, span := range []string{"az", "//", "09", "AZ", "!~", "\x01\x1f", "\x7f\xff", "  ", "\x00\x00"} {
		for one := int(span[0]); one <= int(span[1]); one++ {
			if c.endByte && one == 0 {
				continue
			}
			if x, y := c.automaton.Class[one], other.Class[one]; !known[x][y] {
				known[x][y] = true
				symbols = append(symbols, byte(one))
			}
		}
	}
	return symbols
}

// give widens a string and adds the glob, unless one of this round has given it already.
func (c *cover) give(ctx context.Context, m lack) {
	for _, one := range c.found[c.compiled:] {
		if one.glob.matches(m.text) {
			m.missing &^= one.bits
		}
	}
	for m.missing != 0 {
		chosen := c.choose(m.missing, c.may[m.state])
		if chosen == 0 || chosen&^c.may[m.state] != 0 {
			// No rule has these bits without others.
			c.stuck = append(c.stuck, m)
			c.need[m.state] &^= m.missing
			return
		}
		widest := literalGlob(string(m.text))
		if over := chosen &^ (pairLinks | ^uint64(1<<auditBits-1)); c.allow != nil && chosen>>auditBits == 0 && over != 0 {
			if found, ok := c.widenOver(ctx, m.text, over); ok {
				c.found = append(c.found, covered{found, over, found.pattern()})
				m.missing &^= over
				continue
			}
		}
		if c.literal == nil || !c.literal(m.state) {
			widest = c.widen(m.text, chosen)
		}
		c.found = append(c.found, covered{widest, chosen, widest.pattern()})
		m.missing &^= chosen
	}
}

// lacks reports whether a string lacks some of the bits.
func (c *cover) lacks(text []byte, chosen uint64) bool {
	lost := chosen & c.need[c.automaton.Walk(c.start, string(text))]
	lost &^= given(c.current.Accept[c.current.Walk(dfa.Start, string(text))])
	for _, one := range c.found[min(c.compiled, len(c.found)):] {
		if lost&one.bits != 0 && one.glob.matches(text) {
			lost &^= one.bits
		}
	}
	return lost != 0
}

// matches reports whether the glob matches the text.
func (g glob) matches(text []byte) bool {
	places := make([]bool, len(text)+1)
	places[0] = true
	for _, p := range g {
		next := make([]bool, len(text)+1)
		set := p.set
		if p.wild() {
			set = wildSet(p.repeat == anyBytes)
		}
		for i, is := range places {
			if p.repeat == maybe {
				next[i] = next[i] || is
				if is && i < len(text) && set.has(text[i]) {
					next[i+1] = true
				}
			} else if p.repeat != once {
				next[i] = next[i] || is || i > 0 && next[i-1] && set.has(text[i-1])
			} else if is && i < len(text) && set.has(text[i]) {
				next[i+1] = true
			}
		}
		places = next
	}
	return places[len(text)]
}

// states is a set of states.
type states []uint64

func (c *cover) newStates() states { return make(states, (len(c.automaton.Accept)+63)/64) }

func (s states) add(state uint32)      { s[state>>6] |= 1 << (state & 63) }
func (s states) has(state uint32) bool { return s[state>>6]>>(state&63)&1 != 0 }

func (s states) within(other states) bool {
	for i, word := range s {
		if word&^other[i] != 0 {
			return false
		}
	}
	return true
}

func (s states) each(yield func(state uint32) bool) {
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			if !yield(uint32(i<<6 + bits.TrailingZeros64(word))) {
				return
			}
		}
	}
}
