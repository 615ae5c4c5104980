// SPDX-License-Identifier: Apache-2.0

package bpf

import "math/bits"

// solver finds the least word that passes a list of tests, by fixing bits: those that a test leaves no choice about, and else the two ways of a bit of
// a test that the least candidate fails (the procedure of Davis, Putnam, Logemann and Loveland, with the candidate as a guide).
type solver struct {
	tests []test
	steps *int // left, in tests looked at; nothing is found when there are none
}

// newSolver takes the conditions on a word, of which the bits of flip are turned around.
func newSolver(conditions *condition, word uint8, flip uint32, steps *int) *solver {
	s := &solver{steps: steps}
	for c := conditions; c != nil; c = c.older {
		if c.word == word {
			s.tests = append(s.tests, c.flipped(flip))
		}
	}
	return s
}

// least returns the least value from low to high that passes the tests and whose known bits are those of fixed, if there is one.
func (s *solver) least(low, high, known, fixed uint32) (uint32, bool) {
	if low > high {
		return 0, false
	}
	common := whole << bits.Len32(low^high) // the leading bits that the whole interval shares
	if (low^fixed)&known&common != 0 {
		return 0, false
	}
	known, fixed, ok := s.propagate(known|common, fixed|low&common)
	if !ok {
		return 0, false
	}
	candidate, ok := next(low, known, fixed)
	if !ok || candidate > high {
		return 0, false
	}
	failed := s.failed(candidate)
	if failed == nil {
		return candidate, true
	}
	bit := topBit(failed.mask &^ known)
	best, found := s.least(candidate, high, known|bit, fixed)
	if found {
		if best == candidate {
			return best, true
		}
		high = best - 1
	}
	if other, ok := s.least(candidate, high, known|bit, fixed|bit); ok {
		return other, true
	}
	return best, found
}

// propagate fixes the bits about which a test leaves no choice, until there is none. It is not ok if a test cannot be passed any more.
func (s *solver) propagate(known, fixed uint32) (uint32, uint32, bool) {
	for changed := true; changed; {
		changed = false
		for i := range s.tests {
			if *s.steps--; *s.steps < 0 {
				return 0, 0, false
			}
			forced, value, ok := s.tests[i].forces(known, fixed)
			if !ok {
				return 0, 0, false
			}
			if forced != 0 {
				known, fixed, changed = known|forced, fixed|value, true
			}
		}
	}
	return known, fixed, true
}

// forces returns bits that are not known yet but have to have a value if the test is to be passed. It is not ok if the test cannot be passed.
func (t *test) forces(known, fixed uint32) (forced, value uint32, ok bool) {
	open := t.mask &^ known
	if t.ordered {
		return t.forcesOrder((fixed^t.flip)&t.mask&known, open)
	}
	differs := (fixed^t.value)&t.mask&known != 0
	switch {
	case !t.negated:
		return open, t.value & open, !differs
	case differs:
		return 0, 0, true
	case open&(open-1) == 0: // a single bit, or none
		return open, ^t.value & open, open != 0
	}
	return 0, 0, true
}

// forcesOrder does so for an ordered test, of whose masked word some bits are settled and others open.
func (t *test) forcesOrder(settled, open uint32) (forced, value uint32, ok bool) {
	top := topBit(open)
	if t.negated { // settled|any of open < value
		switch {
		case settled >= t.value:
			return 0, 0, false
		case settled|top >= t.value && top != 0:
			return top, t.flip & top, true
		}
		return 0, 0, true
	}
	switch {
	case settled|open < t.value:
		return 0, 0, false
	case settled|open&^top < t.value && top != 0:
		return top, ^t.flip & top, true
	}
	return 0, 0, true
}

func (s *solver) failed(candidate uint32) *test {
	for i := range s.tests {
		if !s.tests[i].holds(candidate) {
			return &s.tests[i]
		}
	}
	return nil
}

// topBit returns the highest bit that is set, 0 for 0.
func topBit(v uint32) uint32 {
	if v == 0 {
		return 0
	}
	return 1 << (bits.Len32(v) - 1)
}
