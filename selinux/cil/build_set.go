// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"iter"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// bitset is a policydb.Bitmap while it is being worked out; its last word may be zero until it is trimmed.
type bitset []uint64

const wordBits = 64

func (b *bitset) set(bit uint32) {
	word := int(bit / wordBits)
	for len(*b) <= word {
		*b = append(*b, 0)
	}
	(*b)[word] |= 1 << (bit % wordBits)
}

func (b bitset) has(bit uint32) bool { return policydb.Bitmap(b).Has(bit) }

func (b bitset) all() iter.Seq[uint32] { return policydb.Bitmap(b).All() }

func (b bitset) len() int { return policydb.Bitmap(b).Len() }

func (b *bitset) union(other bitset) {
	for len(*b) < len(other) {
		*b = append(*b, 0)
	}
	for i, word := range other {
		(*b)[i] |= word
	}
}

// and keeps what other has too.
func (b *bitset) and(other bitset) {
	*b = (*b)[:min(len(*b), len(other))]
	for i := range *b {
		(*b)[i] &= other[i]
	}
}

// without removes what other has.
func (b bitset) without(other bitset) {
	for i := range min(len(b), len(other)) {
		b[i] &^= other[i]
	}
}

func (b *bitset) xor(other bitset) {
	for len(*b) < len(other) {
		*b = append(*b, 0)
	}
	for i, word := range other {
		(*b)[i] ^= word
	}
}

// trimmed has no zero words at its end, as policydb wants it.
func (b bitset) trimmed() policydb.Bitmap {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return nil
	}
	return policydb.Bitmap(b)
}

// equal compares the bits, whatever zero words follow.
func (b bitset) equal(other bitset) bool { return b.trimmed().Equal(other.trimmed()) }

// span is the bits from low to high.
func span(low, high uint32) bitset {
	b := make(bitset, high/wordBits+1)
	for bit := low; bit <= high; bit++ {
		b[bit/wordBits] |= 1 << (bit % wordBits)
	}
	return b
}

// domain is what expressions over one kind of symbols need: what is there at all, and what one symbol stands for.
type domain[T any] struct {
	everything bitset
	add        func(into *bitset, symbol T)
	between    func(into *bitset, low, high T) // of setRange; nil where there are no ranges
}

// evaluate adds what the expression stands for.
func (d *domain[T]) evaluate(e *expression[T], into *bitset) {
	switch e.operator {
	case setSymbol:
		d.add(into, e.symbol)
	case setAll:
		into.union(d.everything)
	case setOr:
		for i := range e.operands {
			d.evaluate(&e.operands[i], into)
		}
	case setRange:
		d.between(into, e.operands[0].symbol, e.operands[1].symbol)
	default:
		into.union(d.combine(e))
	}
}

// combine works out the operators that take away.
func (d *domain[T]) combine(e *expression[T]) bitset {
	var first bitset
	d.evaluate(&e.operands[0], &first)
	if e.operator == setNot {
		rest := append(bitset(nil), d.everything...)
		rest.without(first)
		return rest
	}
	for i := range e.operands[1:] {
		var other bitset
		d.evaluate(&e.operands[i+1], &other)
		if e.operator == setAnd {
			first.and(other)
		} else {
			first.xor(other)
		}
	}
	return first
}
