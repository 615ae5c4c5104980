// SPDX-License-Identifier: Apache-2.0

package apparmor

import "slices"

// widening is a glob on its way from a string to the widest that may have the bits. Between each two pieces it knows the states that the pieces before lead to,
// and those from which all that the pieces behind match is good.
type widening struct {
	*cover
	glob    glob
	good    states
	text    []byte // as it was
	bits    uint64
	places  []int // of each piece in the text, -1 of wildcards
	forward []states
	back    []states
}

// widen returns a glob that matches the text, and nothing for which the bits may not be given.
func (c *cover) widen(text []byte, chosen uint64) glob {
	w := &widening{cover: c, glob: literalGlob(string(text)), good: c.newStates(), text: text, bits: chosen}
	for state, may := range c.may {
		if chosen&^may == 0 {
			w.good.add(uint32(state))
		}
	}
	for i := range text {
		w.places = append(w.places, i)
	}
	w.measure()
	w.wildcards(anyBytes)
	w.wildcards(anyName)
	w.sets()
	if c.flags != nil {
		w.optional(c.flags(w.glob))
	}
	return w.glob
}

// measure computes the states between the pieces.
func (w *widening) measure() {
	n := len(w.glob)
	w.forward = make([]states, n+1)
	w.back = make([]states, n+1)
	w.forward[0] = w.newStates()
	w.forward[0].add(w.start)
	for i, p := range w.glob {
		w.forward[i+1] = w.after(w.forward[i], p)
	}
	w.back[n] = w.good
	for i := n - 1; i >= 0; i-- {
		w.back[i] = w.before(w.back[i+1], w.glob[i])
	}
}

// edges are the classes that have a byte of the set, as representatives.
func (w *widening) edges(set *byteSet) []byte {
	var known [256]bool
	var list []byte
	for b := range 256 {
		if set.has(byte(b)) && !known[w.automaton.Class[b]] {
			known[w.automaton.Class[b]] = true
			list = append(list, byte(b))
		}
	}
	return list
}

// after are the states that a piece leads to.
func (w *widening) after(from states, p piece) states {
	to := w.newStates()
	if p.repeat == maybe {
		copy(to, from)
	}
	if !p.wild() {
		edges := w.edges(&p.set)
		for state := range from.each {
			for _, b := range edges {
				to.add(w.automaton.Step(state, b))
			}
		}
		return to
	}
	w.closure(from, p.repeat, to, nil)
	return to
}

// closure adds all that a wildcard leads to, and stops where that leaves the limit.
func (w *widening) closure(from states, how repeat, to, limit states) bool {
	set := wildSet(how == anyBytes)
	edges := w.edges(&set)
	var work []uint32
	for state := range from.each {
		if limit != nil && !limit.has(state) {
			return false
		}
		if !to.has(state) {
			to.add(state)
			work = append(work, state)
		}
	}
	for len(work) > 0 {
		state := work[len(work)-1]
		work = work[:len(work)-1]
		for _, b := range edges {
			next := w.automaton.Step(state, b)
			if to.has(next) {
				continue
			}
			if limit != nil && !limit.has(next) {
				return false
			}
			to.add(next)
			work = append(work, next)
		}
	}
	return true
}

// before are the states from which a piece leads to states of the set only.
func (w *widening) before(to states, p piece) states {
	from := w.newStates()
	set := p.set
	if p.wild() {
		set = wildSet(p.repeat == anyBytes)
	}
	edges := w.edges(&set)
	inside := func(state uint32, target states) bool {
		for _, b := range edges {
			if !target.has(w.automaton.Step(state, b)) {
				return false
			}
		}
		return true
	}
	if !p.wild() {
		for state := range w.automaton.Accept {
			if inside(uint32(state), to) && (p.repeat == once || to.has(uint32(state))) {
				from.add(uint32(state))
			}
		}
		return from
	}
	copy(from, to)
	for changed := true; changed; {
		changed = false
		for state := range from.each {
			if !inside(state, from) {
				from[state>>6] &^= 1 << (state & 63)
				changed = true
			}
		}
	}
	return from
}

// wildcards puts the wildcard in the place of as many pieces as it can, from the beginning on: empty at first, and where that does not go with one byte that is
// no slash before it.
func (w *widening) wildcards(how repeat) {
	for i := w.fixed; i <= len(w.glob); i++ {
		if i > 0 && w.glob[i-1].repeat != once || i < len(w.glob) && w.places[i] < 0 {
			continue
		}
		if w.wildcardAt(i, how) {
			w.measure()
		}
	}
}

func (w *widening) wildcardAt(i int, how repeat) bool {
	end := i
	for end < len(w.glob) && w.glob[end].repeat == once {
		end++
	}
	// Wherever the wildcard ends, it may lead to no other states than those from which some rest is good.
	limit := w.newStates()
	for j := i; j <= end; j++ {
		for word, more := range w.back[j] {
			limit[word] |= more
		}
	}
	var reached [3]states // from here, from behind one byte, and from behind one that is no slash
	for least, from := range []states{w.forward[i], w.after(w.forward[i], piece{set: wildSet(true)}), w.after(w.forward[i], piece{set: wildSet(false)})} {
		if least == 1 && how == anyName {
			continue
		}
		reached[least] = w.newStates()
		if !w.closure(from, how, reached[least], limit) {
			reached[least] = nil
		}
	}
	for j := end; j >= i; j-- {
		for least, states := range reached {
			if states == nil || !states.within(w.back[j]) || !w.covers(i, j, how) || least > 0 && j == i || least == 2 && w.glob[i].slash() {
				continue
			}
			put := []piece{{set: wildSet(least == 1)}, {repeat: how}}[1-min(least, 1):]
			w.glob = slices.Replace(w.glob, i, j, put...)
			w.places = slices.Replace(w.places, i, j, []int{-1, -1}[:len(put)]...)
			return true
		}
	}
	return false
}

// covers reports whether the wildcard matches what the pieces match that it replaces.
func (w *widening) covers(i, j int, how repeat) bool {
	set := wildSet(how == anyBytes)
	for _, p := range w.glob[i:j] {
		for word := range p.set {
			if p.set[word]&^set[word] != 0 {
				return false
			}
		}
	}
	return true
}

// sets widens single bytes to all that may stand in their place, where there are more than a few of these that nothing has given the bits yet.
func (w *widening) sets() {
	for i := w.fixed; i < len(w.glob); i++ {
		if w.places[i] < 0 || w.glob[i].slash() || !w.widenSet(i) {
			continue
		}
		for k := i; k < len(w.glob); k++ {
			w.forward[k+1] = w.after(w.forward[k], w.glob[k])
		}
	}
}

func (w *widening) widenSet(i int) bool {
	few := 2
	if w.few != nil {
		few = w.few(w.places[i])
	}
	var known, fits [256]bool
	var set byteSet
	fresh := 0
	text := slices.Clone(w.text)
	place := w.places[i]
	for b := range 256 {
		class := w.automaton.Class[b]
		if !known[class] {
			known[class] = true
			fits[class] = w.after(w.forward[i], single(byte(b))).within(w.back[i+1])
		}
		if !fits[class] || b == 0 && w.noZero {
			continue
		}
		set.add(byte(b))
		if text[place] = byte(b); fresh <= few && w.lacks(text, w.bits) {
			fresh++
		}
	}
	if fresh <= few || set.len() == 256 && w.fixed > 0 {
		return false // any byte at all, in a path, is what several rules come to, each of which says less
	}
	w.glob[i].set = set
	return true
}

// optional puts bytes that may be there beside those that are, ascending: the flags of a mount. A few of them are better as rules of their own.
func (w *widening) optional(from int) {
	const highest, few = 32, 2
	if from < 0 {
		return
	}
	before, places := slices.Clone(w.glob), slices.Clone(w.places)
	at, put := from, 0
	for flag := byte(1); flag <= highest; flag++ {
		if at < len(w.glob) {
			b, ok := w.glob[at].only()
			if !ok {
				break // any flags at all
			}
			if b == flag {
				at++
				continue
			}
		}
		more := single(flag)
		more.repeat = maybe
		w.glob = slices.Insert(w.glob, at, more)
		w.places = slices.Insert(w.places, at, -1)
		if w.measure(); !w.forward[len(w.glob)].within(w.good) {
			w.glob = slices.Delete(w.glob, at, at+1)
			w.places = slices.Delete(w.places, at, at+1)
			continue
		}
		at++
		put++
	}
	if put <= few {
		w.glob, w.places = before, places
	}
	w.measure()
}
