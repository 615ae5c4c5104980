// SPDX-License-Identifier: Apache-2.0

package dfa

import "slices"

// interner numbers sets of places. The empty one is 0 where it was the first.
type interner struct {
	all    []int32 // the sets, one after the other
	bounds []int   // set i is all[bounds[i]:bounds[i+1]]
	slots  []int32 // by hash, open addressing: the number of a set and one, 0 where there is none
}

func (in *interner) setOf(number int32) []int32 {
	return in.all[in.bounds[number]:in.bounds[number+1]]
}

func (in *interner) count() int { return max(len(in.bounds)-1, 0) }

// intern is the number of a sorted set.
func (in *interner) intern(places []int32) (number int32, fresh bool) {
	if 2*(in.count()+1) > len(in.slots) {
		in.grow()
	}
	at := in.find(places)
	if in.slots[at] != 0 {
		return in.slots[at] - 1, false
	}
	if in.bounds == nil {
		in.bounds = []int{0}
	}
	in.all = append(in.all, places...)
	in.bounds = append(in.bounds, len(in.all))
	in.slots[at] = int32(in.count())
	return in.slots[at] - 1, true
}

// find is the slot of the set, or the empty one where it belongs.
func (in *interner) find(places []int32) int {
	hash := uint64(len(places))
	for _, place := range places {
		hash = (hash ^ uint64(place)) * 0x9e3779b97f4a7c15
		hash ^= hash >> 29
	}
	mask := len(in.slots) - 1
	at := int(hash>>20) & mask
	for in.slots[at] != 0 && !slices.Equal(in.setOf(in.slots[at]-1), places) {
		at = (at + 1) & mask
	}
	return at
}

func (in *interner) grow() {
	in.slots = make([]int32, max(2*len(in.slots), 1024))
	for number := range int32(in.count()) {
		in.slots[in.find(in.setOf(number))] = number + 1
	}
}
