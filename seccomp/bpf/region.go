// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"math/bits"
)

// ErrInexact is what errors.Is finds where a program or a question is beyond exact treatment: never is an inexact answer given instead.
var ErrInexact = errors.New("cannot be explored exactly")

// regionSteps bounds one narrowing of a region, in conditions looked at. It is reached only by dozens of contradictory masked conditions on one word.
const regionSteps = 1 << 22

// Region is a set of calls: all those of which each word of struct seccomp_data is in a set of its own, which is an interval less what conditions
// take from it. It is a value; narrowing returns new ones. Emptiness and witnesses are exact. The zero value has just the call of all zeros;
// start from Everything.
type Region struct {
	// The least and the greatest value of each word, by offset/4. Both are in the region.
	spans [dataSize / 4]span
	// What the spans do not say, the latest first, and the words that it is about, a bit each.
	conditions  *condition
	conditional uint16
	empty       bool
}

type span struct{ low, high uint32 }

// condition is a test that a word passes.
type condition struct {
	test
	word  uint8 // offset/4
	older *condition
}

// test is a property of a word w: (w^flip)&mask == value or, if ordered, >= value; or the contrary. The value has no bits outside of the mask, but in
// a test that nothing passes.
type test struct {
	mask, flip, value uint32
	ordered, negated  bool
}

const whole = ^uint32(0)

// equal is the test (w & mask) == value.
func equal(mask, value uint32) test {
	if value&^mask != 0 {
		return test{value: 1}
	}
	return test{mask: mask, value: value}
}

// atLeast is the test (w^flip) & mask >= value.
func atLeast(mask, flip, value uint32) test {
	value, ok := next(value, ^mask, 0) // what the masked word can be
	switch {
	case !ok:
		return test{value: 1}
	case value == 0:
		return test{}
	case flip&mask == 0 && mask == -(mask&-mask): // the bits below do not matter, so they need not be masked
		return test{mask: whole, value: value, ordered: true}
	}
	return test{mask: mask, flip: flip & mask, value: value, ordered: true}
}

func (t test) holds(w uint32) bool {
	w = (w ^ t.flip) & t.mask
	return (w == t.value || t.ordered && w > t.value) != t.negated
}

// flipped returns the test that a word passes if the word with the bits of flip turned around passes t.
func (t test) flipped(flip uint32) test {
	t.flip ^= flip & t.mask
	if !t.ordered {
		t.value, t.flip = t.value^t.flip, 0
	}
	return t
}

// beyond returns the least value above w that can pass an unordered test without flip that w fails, if there is one.
func (t test) beyond(w uint32) (uint32, bool) {
	if !t.negated {
		return next(w, t.mask, t.value)
	}
	w |= t.mask&-t.mask - 1 // all up to here have the same masked bits
	return w + 1, w != whole
}

// isInterval reports whether the test compares the whole word.
func (t test) isInterval() bool { return t.ordered && t.mask == whole && t.flip == 0 }

// isHole reports whether the test keeps one value out.
func (t test) isHole() bool { return t.negated && !t.ordered && t.mask == whole }

// Everything is the region of all calls.
func Everything() Region {
	var r Region
	for i := range r.spans {
		r.spans[i].high = whole
	}
	return r
}

// Empty reports whether the region has no call.
func (r *Region) Empty() bool { return r.empty }

// Witness returns the least call of the region in the sense that each word is as small as possible. The region must not be empty.
func (r *Region) Witness(order Order) Data {
	var data Data
	for i, s := range r.spans {
		data.SetWord(order, uint32(i)*4, s.low)
	}
	return data
}

// Contains reports whether a call is in the region.
func (r *Region) Contains(order Order, data *Data) bool {
	for i, s := range r.spans {
		if w := data.Word(order, uint32(i)*4); r.empty || w < s.low || w > s.high {
			return false
		}
	}
	for c := r.conditions; c != nil; c = c.older {
		if !c.holds(data.Word(order, uint32(c.word)*4)) {
			return false
		}
	}
	return true
}

// Range returns the least and the greatest value of the word at an offset. Not every value between them need be in the region.
func (r *Region) Range(offset uint32) (low, high uint32) {
	s := r.spans[offset/4]
	return s.low, s.high
}

// Equal divides the region by whether word == value.
func (r *Region) Equal(word Word, value uint32) (holds, fails Region, err error) {
	return r.divide(word.Offset, equal(word.Mask, value))
}

// AtLeast divides the region by whether word >= value, unsigned.
func (r *Region) AtLeast(word Word, value uint32) (holds, fails Region, err error) {
	return r.divide(word.Offset, atLeast(word.Mask, 0, value))
}

func (r *Region) divide(offset uint32, t test) (holds, fails Region, err error) {
	holds, fails = *r, *r
	if r.empty {
		return holds, fails, nil
	}
	steps := regionSteps
	word := uint8(offset / 4)
	yes, no := r.split(word, t, &steps)
	if steps < 0 {
		return Region{empty: true}, Region{empty: true}, fmt.Errorf("%w: too many masked conditions on the word at offset %d", ErrInexact, offset)
	}
	holds.set(word, yes)
	fails.set(word, no)
	return holds, fails, nil
}

// half is what a test leaves of a word.
type half struct {
	exists bool
	span   span
	added  *condition // what the span does not say; may be nil
}

// set narrows the region to a half of its word.
func (r *Region) set(word uint8, h half) {
	r.empty = !h.exists
	r.spans[word] = h.span
	if h.added != nil {
		r.conditions = h.added
		r.conditional |= 1 << word
	}
}

// split divides the values of a word by a test that is not negated. It takes from steps for the conditions that it looks at; less than zero is left
// if they were too few, and then the result means nothing.
func (r *Region) split(word uint8, t test, steps *int) (holds, fails half) {
	s := r.spans[word]
	all := half{exists: true, span: s}
	switch {
	case s.low == s.high || t.mask == 0:
		if t.holds(s.low) {
			return all, half{}
		}
		return half{}, all
	case t.isInterval():
		if t.value <= s.low {
			return all, half{}
		}
		if t.value > s.high {
			return half{}, all
		}
		return r.within(word, span{t.value, s.high}, nil, steps), r.within(word, span{s.low, t.value - 1}, nil, steps)
	case t.mask == whole && !t.ordered:
		holds = r.within(word, span{max(t.value, s.low), min(t.value, s.high)}, nil, steps)
		switch {
		case !holds.exists:
			return half{}, all
		case t.value == s.low:
			return holds, r.within(word, span{s.low + 1, s.high}, nil, steps)
		case t.value == s.high:
			return holds, r.within(word, span{s.low, s.high - 1}, nil, steps)
		}
		t.negated = true
		return holds, half{true, s, &condition{t, word, r.conditions}}
	}
	holds = r.within(word, s, &condition{t, word, r.conditions}, steps)
	if !holds.exists {
		return half{}, all
	}
	t.negated = true
	fails = r.within(word, s, &condition{t, word, r.conditions}, steps)
	if !fails.exists {
		return all, half{}
	}
	return holds, fails
}

// within returns what is left of the word in the span, under another condition if there is one.
func (r *Region) within(word uint8, s span, added *condition, steps *int) half {
	if s.low > s.high {
		return half{}
	}
	if added == nil && r.conditional&(1<<word) == 0 {
		return half{true, s, nil}
	}
	conditions := added
	if added == nil {
		conditions = r.conditions
	}
	low, ok := least(conditions, word, s, steps)
	if !ok {
		return half{}
	}
	high, ok := greatest(conditions, word, span{low, s.high}, steps)
	if low == high {
		added = nil // the span says it all
	}
	return half{ok, span{low, high}, added}
}

// least returns the least value in the span that fulfils the conditions on the word.
func least(conditions *condition, word uint8, s span, steps *int) (uint32, bool) {
	return climb(conditions, word, 0, s, steps)
}

// greatest returns the greatest value in the span that fulfils the conditions on the word: the least one in a world with all bits turned around.
func greatest(conditions *condition, word uint8, s span, steps *int) (uint32, bool) {
	w, ok := climb(conditions, word, whole, span{^s.high, ^s.low}, steps)
	return ^w, ok
}

// leaps is how often climb tries the next value before it searches.
const leaps = 8

// climb returns the least value of the span that fulfils the conditions on the word, all bits of which are turned around by flip.
func climb(conditions *condition, word uint8, flip uint32, s span, steps *int) (uint32, bool) {
	for tries := 0; ; {
		c := violated(conditions, word, s.low^flip, steps)
		if c == nil {
			return s.low, true
		}
		if !c.isHole() {
			tries++
		}
		if c.ordered || tries > leaps {
			return newSolver(conditions, word, flip, steps).least(s.low, s.high, 0, 0)
		}
		above, ok := c.flipped(flip).beyond(s.low)
		if !ok || above > s.high {
			return 0, false
		}
		s.low = above
	}
}

// violated returns a condition on the word that the value does not fulfil, nil if there is none.
func violated(conditions *condition, word uint8, w uint32, steps *int) *condition {
	for c := conditions; c != nil; c = c.older {
		*steps--
		if c.word == word && !c.holds(w) {
			return c
		}
	}
	return nil
}

// next returns the least value from low on whose known bits are those of fixed (which has no others), if there is one.
func next(low, known, fixed uint32) (uint32, bool) {
	differ := low&known ^ fixed
	if differ == 0 {
		return low, true
	}
	top := uint32(1) << (bits.Len32(differ) - 1)
	if fixed&top == 0 { // low is too great at the top: a free zero above it has to become one
		free := ^known & ^low & -(top << 1)
		if free == 0 {
			return 0, false
		}
		top = free & -free
		return low&-(top<<1) | top | fixed&(top-1), true
	}
	return low&-(top<<1) | fixed&(top<<1-1), true
}
