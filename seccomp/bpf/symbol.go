// SPDX-License-Identifier: Apache-2.0

package bpf

import "math/bits"

// symbol is what a register or a cell holds while a program is explored: a number, or a function of one word of the call.
type symbol struct {
	form  form
	word  uint8  // offset/4
	shift int8   // form masked: to the left; negative: to the right
	mask  uint32 // form masked: of the word before the shift, without the bits that the shift would lose
	k     uint32
}

type form uint8

const (
	number     form = iota // k
	masked                 // (word & mask) << shift ^ k
	sum                    // word + k
	difference             // k - word
)

func constant(k uint32) symbol { return symbol{form: number, k: k} }

func loaded(word uint8) symbol { return symbol{form: masked, word: word, mask: whole} }

// isWord reports whether the symbol is just the word.
func (s symbol) isWord() bool { return s.form == masked && s.mask == whole && s.k == 0 }

// apply returns the symbol's value for a value of its word.
func (s symbol) apply(w uint32) uint32 {
	switch s.form {
	case masked:
		return s.moved(w&s.mask) ^ s.k
	case sum:
		return w + s.k
	case difference:
		return s.k - w
	}
	return s.k
}

// moved shifts bits of the word to where they are in the symbol.
func (s symbol) moved(w uint32) uint32 {
	if s.shift < 0 {
		return w >> -s.shift
	}
	return w << s.shift
}

// origin shifts bits of the symbol to where they are in the word.
func (s symbol) origin(v uint32) uint32 {
	if s.shift < 0 {
		return v << -s.shift
	}
	return v >> s.shift
}

// calculate returns the result of an ALU operation, if it is a symbol.
func calculate(operation uint16, a, b symbol) (symbol, bool) {
	if operation == NEG {
		return negative(a)
	}
	if b.form != number {
		if a.form != number {
			return combine(operation, a, b)
		}
		switch operation {
		case ADD, MUL, OR, AND, XOR:
			a, b = b, a
		case SUB:
			n, ok := negative(b)
			if !ok {
				return symbol{}, false
			}
			return add(n, a.k)
		default:
			return symbol{}, false
		}
	}
	k := b.k
	if a.form == number {
		v, ok := arithmetic(operation, a.k, k)
		return constant(v), ok
	}
	switch operation {
	case ADD:
		return add(a, k)
	case SUB:
		return add(a, -k)
	case AND:
		return and(a, k)
	case OR:
		a, ok := and(a, ^k)
		if !ok {
			return symbol{}, false
		}
		return xor(a, k)
	case XOR:
		return xor(a, k)
	case LSH:
		return shifted(a, int8(k%32))
	case RSH:
		return shifted(a, -int8(k%32))
	case MUL, DIV:
		return scale(operation, a, k)
	}
	return symbol{}, false
}

// combine is calculate for two functions of words: known where they are the same.
func combine(operation uint16, a, b symbol) (symbol, bool) {
	if a != b {
		return symbol{}, false
	}
	switch operation {
	case SUB, XOR:
		return constant(0), true
	case AND, OR:
		return a, true
	}
	return symbol{}, false
}

func scale(operation uint16, a symbol, k uint32) (symbol, bool) {
	switch {
	case k == 0 && operation == MUL:
		return constant(0), true
	case bits.OnesCount32(k) != 1:
		return symbol{}, false
	case operation == MUL:
		return shifted(a, int8(bits.TrailingZeros32(k)))
	}
	return shifted(a, -int8(bits.TrailingZeros32(k)))
}

func negative(a symbol) (symbol, bool) {
	switch {
	case a.form == number:
		return constant(-a.k), true
	case a.isWord():
		return symbol{form: difference, word: a.word}, true
	case a.form == masked && a.mask == whole && a.shift == 0 && a.k == whole: // -^w
		return symbol{form: sum, word: a.word, k: 1}, true
	case a.form == sum:
		return symbol{form: difference, word: a.word, k: -a.k}, true
	case a.form == difference:
		return symbol{form: sum, word: a.word, k: -a.k}, true
	}
	return symbol{}, false
}

func add(a symbol, k uint32) (symbol, bool) {
	switch {
	case k == 0:
		return a, true
	case a.form != masked:
		a.k += k
		return a, true
	case a.isWord():
		return symbol{form: sum, word: a.word, k: k}, true
	}
	// A constant beside the bits of the word is added without a carry into them.
	if variable := a.moved(a.mask); (a.k|(a.k+k))&variable == 0 {
		a.k += k
		return a, true
	}
	return symbol{}, false
}

func and(a symbol, k uint32) (symbol, bool) {
	switch {
	case k == whole:
		return a, true
	case k == 0:
		return constant(0), true
	case a.form != masked:
		return symbol{}, false
	}
	a.mask &= a.origin(k)
	a.k &= k
	return a.settled(), true
}

func xor(a symbol, k uint32) (symbol, bool) {
	switch {
	case a.form == masked:
		a.k ^= k
		return a, true
	case k == 0:
		return a, true
	case k == whole: // ^v == -v - 1
		n, ok := negative(a)
		n.k--
		return n, ok
	}
	return symbol{}, false
}

// shifted shifts to the left, or by a negative distance to the right.
func shifted(a symbol, distance int8) (symbol, bool) {
	if distance == 0 {
		return a, true
	}
	if a.form != masked {
		return symbol{}, false
	}
	if distance > 0 {
		a.mask &= a.origin(whole >> distance)
		a.k <<= distance
	} else {
		a.mask &= a.origin(whole << -distance)
		a.k >>= -distance
	}
	a.shift += distance
	return a.settled(), true
}

// settled returns the symbol as a number if nothing of the word is left in it.
func (s symbol) settled() symbol {
	if s.mask == 0 {
		return constant(s.k)
	}
	return s
}
