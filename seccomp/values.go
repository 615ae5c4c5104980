// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"math"
	"slices"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// view is how a condition looks at an argument: which bits of seccomp_data, and what sign the first of them has.
type view struct {
	index  int
	bits   uint8 // 8, 16, 32 or 64
	signed bool
}

// viewOf returns what a condition compares of an argument that the kernel reads as t, where a register has word bits in seccomp_data. What the kernel does
// not read, or of which that is not known, is compared in full.
func viewOf(c Condition, t syscalls.Type, word int) view {
	v := view{index: c.Index, bits: t.Bits, signed: t.Signed}
	if c.Width != 0 {
		v.bits, v.signed = uint8(c.Width), false
	}
	if v.bits == 0 {
		v.bits, v.signed = 64, false
	}
	v.bits = min(v.bits, uint8(word))
	return v
}

// mask has the bits of the view.
func (v view) mask() uint64 { return math.MaxUint64 >> (64 - v.bits) }

// interval is the values from low to high, both included, as unsigned numbers.
type interval struct{ low, high uint64 }

// bound is where a value stands in the view's order: its rank, from 0 for the least value that the argument can have, or beside the range of the type.
type bound struct {
	rank  uint64
	below bool // less than every value
	above bool // greater than every value
}

// rank returns the place of a profile's value. Profiles hold uint64, so a negative number is written in two's complement of 64 bits or of the
// argument's own.
func (v view) rank(value uint64) bound {
	mask := v.mask()
	half := mask>>1 + 1
	extended := value|mask>>1 == math.MaxUint64 // sign extended from the view's width to 64 bits
	switch {
	case value <= mask && v.signed:
		return bound{rank: value ^ half}
	case value <= mask:
		return bound{rank: value}
	case extended && v.signed:
		return bound{rank: value&mask ^ half}
	case extended:
		return bound{rank: value & mask}
	case v.signed && int64(value) < 0:
		return bound{below: true}
	}
	return bound{above: true}
}

// values returns the values of the argument for which an ordering condition holds, ascending, as seccomp_data shows them.
func (v view) values(c Condition) []interval {
	ranks := v.ranks(c.Op, v.rank(c.Value))
	if !v.signed {
		return ranks
	}
	half := v.mask()>>1 + 1
	var raw []interval
	for _, r := range ranks { // negative numbers, the lower half of the ranks, are the upper half of the values
		if r.high >= half {
			raw = append(raw, interval{max(r.low, half) - half, r.high - half})
		}
		if r.low < half {
			raw = append(raw, interval{r.low + half, min(r.high, half-1) + half})
		}
	}
	slices.SortFunc(raw, func(a, b interval) int {
		if a.low < b.low {
			return -1
		}
		return 1
	})
	return raw
}

// ranks returns the ranks for which an ordering condition holds.
func (v view) ranks(op Operator, b bound) []interval {
	all := interval{0, v.mask()}
	inside := !b.below && !b.above
	var out []interval
	add := func(low, high uint64, ok bool) {
		if ok {
			out = append(out, interval{low, high})
		}
	}
	switch op {
	case Equal:
		add(b.rank, b.rank, inside)
	case NotEqual:
		add(all.low, all.high, !inside)
		add(0, b.rank-1, inside && b.rank > 0)
		add(b.rank+1, all.high, inside && b.rank < all.high)
	case Less:
		add(all.low, all.high, b.above)
		add(0, b.rank-1, inside && b.rank > 0)
	case LessEqual:
		add(all.low, all.high, b.above)
		add(0, b.rank, inside)
	case Greater:
		add(all.low, all.high, b.below)
		add(b.rank+1, all.high, inside && b.rank < all.high)
	case GreaterEqual:
		add(all.low, all.high, b.below)
		add(b.rank, all.high, inside)
	}
	return out
}

// masked returns the bits that a MASKED_EQ condition looks at and what they have to be. As libseccomp does, the value is masked first.
func (v view) masked(c Condition) (mask, value uint64) {
	mask = c.Mask & v.mask()
	return mask, c.Value & mask
}

// intersect returns the values that are in both lists, which ascend and do not overlap.
func intersect(a, b []interval) []interval {
	var out []interval
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if low, high := max(a[i].low, b[j].low), min(a[i].high, b[j].high); low <= high {
			out = append(out, interval{low, high})
		}
		if a[i].high < b[j].high {
			i++
		} else {
			j++
		}
	}
	return out
}

// contains reports whether a value is in the ascending list.
func contains(list []interval, value uint64) bool {
	_, found := slices.BinarySearchFunc(list, value, func(r interval, value uint64) int {
		switch {
		case r.high < value:
			return -1
		case r.low > value:
			return 1
		}
		return 0
	})
	return found
}
