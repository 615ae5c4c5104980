// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"cmp"
	"math/bits"
	"slices"
)

// comb is the transitions of all states laid over each other: what of a state is not its default stands at its base and the code of the byte.
type comb struct {
	base  []uint32
	next  []uint32
	check []uint32
}

// coding says where in a row the transitions of a class stand: at the code of the class, or at those of its bytes where the tables have no classes.
type coding struct {
	codes    [257][]int16 // by class; outOfBandClass is the symbol that is no byte, which stands before the others
	groups   bool         // the tables have classes
	fallback []uint32     // by state, its default: the state that most codes lead to
	uses     [257]int     // by class, how many states have it lead elsewhere
}

const (
	outOfBandClass = 256
	outOfBandCode  = -1
)

// count finds the defaults.
func (c *coding) count(a *Automaton) {
	c.fallback = make([]uint32, len(a.Accept))
	counts := make([]int, len(a.Accept))
	for state := 1; state < len(a.Accept); state++ {
		row := a.Row(uint32(state))
		for class, to := range row {
			counts[to] += len(c.codes[class])
		}
		most := 0
		for _, to := range row { // in the order of classes, so that a tie is always decided alike
			if counts[to] > most {
				most, c.fallback[state] = counts[to], to
			}
		}
		for class, to := range row {
			counts[to] = 0
			if to != c.fallback[state] {
				c.uses[class]++
			}
		}
	}
	c.codes[outOfBandClass] = []int16{outOfBandCode}
}

// length is that of the table of transitions, at least.
func (c *coding) length() int {
	count := 0
	for class, codes := range c.codes {
		count += c.uses[class] * len(codes)
	}
	return max(count, 256)
}

// byteCoding has a code for each byte.
func (a *Automaton) byteCoding() *coding {
	c := &coding{}
	for b, class := range a.Class {
		c.codes[class] = append(c.codes[class], int16(b))
	}
	c.count(a)
	return c
}

// classCoding has a code for each class. Those that are used most stand at both ends of a row, in turn: the kernel wants 256 places after every base,
// and so the places after the last base are filled, too.
func (a *Automaton) classCoding() *coding {
	c := &coding{groups: true}
	order := make([]int, a.Classes)
	for class := range order {
		order[class] = class
		c.codes[class] = []int16{0}
	}
	c.count(a)
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(c.uses[y], c.uses[x]) })
	for i, class := range order {
		if i%2 == 0 {
			c.codes[class][0] = int16(i / 2)
		} else {
			c.codes[class][0] = int16(255 - i/2)
		}
	}
	return c
}

// tooth is one transition of a state.
type tooth struct {
	code int16
	to   uint32
}

// teeth are the transitions of the states that are not to their defaults: those of state i are all[bounds[i]:bounds[i+1]].
func (a *Automaton) teeth(c *coding) (all []tooth, bounds []int32) {
	bounds = make([]int32, 1, len(a.Accept)+1)
	for state := range uint32(len(a.Accept)) {
		if to := a.StepOutOfBand(state); to != 0 {
			all = append(all, tooth{outOfBandCode, to})
		}
		if state > 0 {
			for class, to := range a.Row(state) {
				if to == c.fallback[state] {
					continue
				}
				for _, code := range c.codes[class] {
					all = append(all, tooth{code, to})
				}
			}
		}
		bounds = append(bounds, int32(len(all)))
	}
	return all, bounds
}

// lay puts the states with most transitions first, each at the first place where it fits, and those with a single one where the others left room.
func (a *Automaton) lay(c *coding) *comb {
	states := len(a.Accept)
	laid := &comb{base: make([]uint32, states)}
	all, bounds := a.teeth(c)
	var order []int
	var single [257][]int // states, by code and one
	for state := range states {
		switch teeth := all[bounds[state]:bounds[state+1]]; len(teeth) {
		case 0:
		case 1:
			single[teeth[0].code+1] = append(single[teeth[0].code+1], state)
		default:
			order = append(order, state)
		}
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(bounds[y+1]-bounds[y], bounds[x+1]-bounds[x]) })
	room := &room{}
	top := 0
	for _, state := range order {
		base := room.place(all[bounds[state]:bounds[state+1]])
		top = max(top, base)
		laid.base[state] = uint32(base)
	}
	top = room.fill(&single, top, func(state, base int) { laid.base[state] = uint32(base) })
	laid.next, laid.check = make([]uint32, top+256), make([]uint32, top+256)
	for state := range states {
		for _, tooth := range all[bounds[state]:bounds[state+1]] {
			at := int(laid.base[state]) + int(tooth.code)
			laid.next[at], laid.check[at] = tooth.to, uint32(state)
		}
		if a.StepOutOfBand(uint32(state)) != 0 {
			laid.base[state] |= baseOutOfBand
		}
	}
	return laid
}

// fill gives the states with a single transition their bases, none above the lowest top that there can be, which is not below the one given.
//
// A transition of code c may stand at the places from c to c+top. So, going through the free places, each is for the lowest code that has states
// left: it is the first that will be out of reach. If one goes out of reach all the same, no other order would have done.
func (r *room) fill(single *[257][]int, top int, give func(state, base int)) (lowest int) {
	states := 0
	for _, those := range single {
		states += len(those)
	}
	low, high := top, max(top, 64*len(r.taken))+states // after all that is taken there is room
	for low < high {
		if middle := (low + high) / 2; r.schedule(single, middle, nil) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	r.schedule(single, low, give)
	return low
}

// schedule reports whether there is a base up to top for all, and gives them where give is set.
func (r *room) schedule(single *[257][]int, top int, give func(state, base int)) bool {
	var left [257]int
	first := 0 // the lowest code, and one, that has states left
	for code := range single {
		left[code] = len(single[code])
	}
	for bit := 0; ; bit++ {
		for first < len(left) && left[first] == 0 {
			first++
		}
		if first == len(left) {
			return true
		}
		if bit > first+top {
			return false
		}
		// Place 0 would be that of a base of 0 and the symbol that is no byte, which the kernel does not take.
		if bit < max(first, 1) || bit>>6 < len(r.taken) && r.taken[bit>>6]>>(bit&63)&1 != 0 {
			continue
		}
		left[first]--
		if give != nil {
			give(single[first][left[first]], bit-first)
		}
	}
}

// room knows which places of the tables are taken, a bit each; the bit of place 0 is the second, for the symbol that stands before a base of 0.
type room struct {
	taken []uint64
	low   [257]int // by code and one, the first word of bases where a transition of the code alone may fit
}

// window is whether the 64 places from the bit on are taken.
func (r *room) window(bit int) uint64 {
	word, shift := bit>>6, bit&63
	var low, high uint64
	if word < len(r.taken) {
		low = r.taken[word]
	}
	if word+1 < len(r.taken) {
		high = r.taken[word+1]
	}
	return low>>shift | high<<(63-shift)<<1
}

// place finds the first base where all teeth fit, and takes their places. It tries 64 bases at once.
func (r *room) place(teeth []tooth) int {
	word := 0
	for _, tooth := range teeth {
		code := int(tooth.code) + 1
		for r.window(r.low[code]*64+code) == ^uint64(0) {
			r.low[code]++
		}
		word = max(word, r.low[code])
	}
	for ; ; word++ {
		var taken uint64
		if word == 0 && teeth[0].code == outOfBandCode {
			taken = 1 // the kernel has it that such a state's base is 1 at least
		}
		for _, tooth := range teeth {
			if taken |= r.window(word*64 + int(tooth.code) + 1); taken == ^uint64(0) {
				break
			}
		}
		if taken == ^uint64(0) {
			continue
		}
		base := word*64 + bits.TrailingZeros64(^taken)
		for _, tooth := range teeth {
			bit := base + int(tooth.code) + 1
			for bit>>6 >= len(r.taken) {
				r.taken = append(r.taken, 0)
			}
			r.taken[bit>>6] |= 1 << (bit & 63)
		}
		return base
	}
}
