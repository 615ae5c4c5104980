// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"math"
	"math/bits"
)

// alternates turns the conditions of one entry into lists of which one has to hold in full. That is one list, unless conditions on the same
// argument contradict each other, EQ 1 and EQ 2: then any of them is meant, which is how runc reads an argument that is named twice, while what
// is said of other arguments still has to hold. Conditions contradict each other if no 64-bit number fulfils all of them, whatever the kernel
// reads of it, since that may differ from call to call. It also returns the first argument that
// was taken apart, or with no lists the one that made them too many.
func alternates(arguments []argument) (lists [][]Condition, apart *argument) {
	if len(arguments) == 0 {
		return unconditional, nil
	}
	if len(arguments) == 1 {
		return [][]Condition{{arguments[0].Condition}}, nil
	}
	lists = [][]Condition{nil}
	done := make([]bool, len(arguments))
	for i := range arguments {
		if done[i] {
			continue
		}
		var same []Condition // on this argument, at this width
		for j := i; j < len(arguments); j++ {
			if arguments[j].Index == arguments[i].Index && arguments[j].Width == arguments[i].Width {
				same, done[j] = append(same, arguments[j].Condition), true
			}
		}
		if satisfiable(same) {
			for k := range lists {
				lists[k] = append(lists[k], same...)
			}
			continue
		}
		if apart == nil {
			apart = &arguments[i]
		}
		if lists = product(lists, same); lists == nil {
			return nil, &arguments[i]
		}
	}
	return lists, apart
}

// unconditional is one list, which always holds.
var unconditional = [][]Condition{nil}

// product returns each list with each condition added to it; nil if that is too much.
func product(lists [][]Condition, conditions []Condition) [][]Condition {
	if len(lists)*len(conditions) > maximumAlternate {
		return nil
	}
	var all [][]Condition
	for _, list := range lists {
		for _, c := range conditions {
			all = append(all, append(list[:len(list):len(list)], c))
		}
	}
	return all
}

// satisfiable reports whether one number fulfils all conditions, which are on one argument at one width.
func satisfiable(conditions []Condition) bool {
	if len(conditions) < 2 {
		return true
	}
	v := view{index: conditions[0].Index, bits: 64}
	if w := conditions[0].Width; w != 0 {
		v.bits = uint8(w)
	}
	ranges := []interval{{0, v.mask()}}
	var mask, value uint64
	for _, c := range conditions {
		if c.Op != MaskedEqual {
			ranges = intersect(ranges, v.values(c))
			continue
		}
		m, x := v.masked(c)
		if common := mask & m; common&x != common&value {
			return false
		}
		mask, value = mask|m, value|x
	}
	for _, r := range ranges {
		if x, ok := leastMasked(r.low, mask, value); ok && x <= r.high {
			return true
		}
	}
	return false
}

// leastMasked returns the least x >= low with x & mask == value.
func leastMasked(low, mask, value uint64) (x uint64, ok bool) {
	x = low&^mask | value
	if x == low {
		return x, true
	}
	differs := 63 - bits.LeadingZeros64(x^low) // the highest bit that had to change
	below := uint64(1)<<differs - 1
	if x > low {
		return x &^ (below &^ mask), true
	}
	filled := x | mask | below | 1<<differs // so that adding one carries into the next free bit above
	if filled == math.MaxUint64 {
		return 0, false
	}
	return (filled+1)&^mask | value, true
}
