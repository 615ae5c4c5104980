// SPDX-License-Identifier: Apache-2.0

package bpf

// question is what a conditional jump asks of the call: whether a word passes a test or, if contrary, whether it does not. Sums wrap around, so that
// one test cannot say how they compare: then the word is to be divided at the cuts first, and all values between cuts give the same answer.
type question struct {
	test     test
	cuts     [2]uint32
	word     uint8 // offset/4
	contrary bool
	divides  bool // there are cuts instead of a test
}

func settled(answer bool) question { return question{contrary: !answer} } // the empty test always holds

// ask returns the question of a conditional jump on two symbols, of which not both are numbers, if it is one about a single word.
func ask(operation uint16, a, b symbol) (question, bool) {
	switch {
	case a == b:
		return askItself(operation, a)
	case a.form == number:
		return askReversed(operation, a, b)
	case b.form != number:
		return question{}, false
	}
	switch k := b.k; operation {
	case JEQ:
		return a.equals(k), true
	case JGE:
		return a.reaches(k), true
	case JGT:
		if k == whole {
			return settled(false), true
		}
		return a.reaches(k + 1), true
	case JSET:
		return a.sets(k)
	}
	return question{}, false
}

// askItself compares a symbol with itself.
func askItself(operation uint16, a symbol) (question, bool) {
	switch operation {
	case JEQ, JGE:
		return settled(true), true
	case JGT:
		return settled(false), true
	}
	return a.sets(whole)
}

// askReversed compares a number with a symbol.
func askReversed(operation uint16, a, b symbol) (question, bool) {
	switch operation {
	case JGE: // k >= v is not v > k
		operation = JGT
	case JGT:
		operation = JGE
	default:
		return ask(operation, b, a)
	}
	q, ok := ask(operation, b, a)
	q.contrary = !q.contrary
	return q, ok
}

// equals asks whether the symbol is k.
func (s symbol) equals(k uint32) question {
	q := question{word: s.word}
	switch s.form {
	case sum:
		q.test = equal(whole, k-s.k)
	case difference:
		q.test = equal(whole, s.k-k)
	default:
		if (k^s.k)&^s.moved(s.mask) != 0 {
			return settled(false)
		}
		q.test = equal(s.mask, s.origin(k^s.k))
	}
	return q
}

// sets asks whether the symbol has one of the bits of k.
func (s symbol) sets(k uint32) (question, bool) {
	switch {
	case k == 0:
		return settled(false), true
	case s.form == masked:
		v, ok := and(s, k)
		if ok && v.form == number {
			return settled(v.k != 0), true
		}
		q := v.equals(0)
		q.contrary = !q.contrary
		return q, ok
	case k == -(k & -k): // a bit of k is set if and only if the symbol is at least the lowest of them
		return s.reaches(k & -k), true
	}
	return question{}, false
}

// reaches asks whether the symbol is at least k.
func (s symbol) reaches(k uint32) question {
	q := question{word: s.word}
	switch {
	case k == 0:
		return settled(true)
	case s.isWord():
		q.test = test{mask: whole, value: k, ordered: true}
		return q
	case s.form == sum:
		q.divides, q.cuts = true, [2]uint32{k - s.k, -s.k}
		return q
	case s.form == difference:
		q.divides, q.cuts = true, [2]uint32{s.k - k + 1, s.k + 1}
		return q
	}
	// The highest bit in which what is constant in the symbol differs from k decides if the variable bits above it are equal.
	variable := s.moved(s.mask)
	differ := topBit((s.k ^ k) &^ variable)
	if differ != 0 {
		variable &^= differ<<1 - 1
	}
	value, ok := k&variable, true
	if differ&k != 0 { // it is less there, so it has to be greater above
		value, ok = next(value+1, ^variable, 0)
	}
	if !ok {
		return settled(false)
	}
	q.test = atLeast(s.origin(variable), s.origin(s.k&variable), s.origin(value))
	return q
}
