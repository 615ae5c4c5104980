// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"iter"
	"math/bits"
)

// Bitmap is a set of small numbers, 64 to a word, the lowest first; its last word is not zero. The numbers are those of the file: values less one
// for types, roles, users and categories (policydb's own convention), the values themselves for permissive types and policy capabilities.
type Bitmap []uint64

const wordBits = 64

// Has reports whether the bit is set.
func (b Bitmap) Has(bit uint32) bool {
	word := bit / wordBits
	return word < uint32(len(b)) && b[word]&(1<<(bit%wordBits)) != 0
}

// All yields the bits that are set, in rising order.
func (b Bitmap) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for i, word := range b {
			for ; word != 0; word &= word - 1 {
				if !yield(uint32(i*wordBits + bits.TrailingZeros64(word))) {
					return
				}
			}
		}
	}
}

// Len counts the bits that are set.
func (b Bitmap) Len() int {
	count := 0
	for _, word := range b {
		count += bits.OnesCount64(word)
	}
	return count
}

// Contains reports whether every bit of other is in b.
func (b Bitmap) Contains(other Bitmap) bool {
	if len(other) > len(b) {
		return false // the last word is not zero
	}
	for i, word := range other {
		if word&^b[i] != 0 {
			return false
		}
	}
	return true
}

// Equal reports whether both have the same bits.
func (b Bitmap) Equal(other Bitmap) bool {
	if len(b) != len(other) {
		return false
	}
	for i, word := range b {
		if word != other[i] {
			return false
		}
	}
	return true
}

// highBit is one more than the highest bit that is set, rounded up to a whole word, as policies have it.
func (b Bitmap) highBit() uint32 { return uint32(len(b)) * wordBits }

// set adds a bit to the set itself.
func (b *Bitmap) set(bit uint32) {
	for uint32(len(*b)) <= bit/wordBits {
		*b = append(*b, 0)
	}
	(*b)[bit/wordBits] |= 1 << (bit % wordBits)
}

// intersection is what both have.
func (b Bitmap) intersection(other Bitmap) Bitmap {
	var both Bitmap
	for i := range min(len(b), len(other)) {
		if word := b[i] & other[i]; word != 0 {
			for len(both) <= i {
				both = append(both, 0)
			}
			both[i] = word
		}
	}
	return both
}
