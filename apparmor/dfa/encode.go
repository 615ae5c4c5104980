// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// Encode makes the comb tables: 16 bits wide, with equivalence classes, without differential encoding; the oldest form, which every kernel since 3.4 loads.
// The same automaton gives the same bytes. An automaton with more states than such tables hold is a *LimitError.
func (a *Automaton) Encode() ([]byte, error) {
	states := len(a.Accept)
	if states >= maximumStates16 {
		return nil, &LimitError{"states", maximumStates16 - 1}
	}
	c := a.pack()
	var flags uint16
	if a.OutOfBand != nil {
		flags = flagOutOfBand
	}
	out := binary.BigEndian.AppendUint32(nil, tablesMagic)
	out = binary.BigEndian.AppendUint32(out, headerLength)
	out = binary.BigEndian.AppendUint32(out, 0) // length, set below
	out = binary.BigEndian.AppendUint16(out, flags)
	out = append(out, "notflex\x00\x00\x00"...)

	out = appendTable(out, tableAccept, 4, states, func(i int) uint32 { return a.Accept[i].One })
	out = appendTable(out, tableAccept2, 4, states, func(i int) uint32 { return a.Accept[i].Two })
	out = appendTable(out, tableClass, 1, 256, func(i int) uint32 { return uint32(a.Class[i]) })
	out = appendTable(out, tableBase, 4, states, func(i int) uint32 { return c.base[i] })
	out = appendTable(out, tableDefault, 2, states, func(i int) uint32 { return c.fallback[i] })
	out = appendTable(out, tableNext, 2, len(c.next), func(i int) uint32 { return c.next[i] })
	out = appendTable(out, tableCheck, 2, len(c.next), func(i int) uint32 { return c.check[i] })
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)))
	return out, nil
}

func appendTable(out []byte, id tableID, width, count int, value func(i int) uint32) []byte {
	out = binary.BigEndian.AppendUint16(out, uint16(id))
	out = binary.BigEndian.AppendUint16(out, uint16(width))
	out = binary.BigEndian.AppendUint32(out, 0)
	out = binary.BigEndian.AppendUint32(out, uint32(count))
	for i := range count {
		switch width {
		case 1:
			out = append(out, byte(value(i)))
		case 2:
			out = binary.BigEndian.AppendUint16(out, uint16(value(i)))
		default:
			out = binary.BigEndian.AppendUint32(out, value(i))
		}
	}
	for len(out)%8 != 0 {
		out = append(out, 0)
	}
	return out
}

// comb is the transitions of all states laid over each other: what of a state is not its default stands at its base and the class.
type comb struct {
	base, fallback []uint32
	next, check    []uint32
}

// tooth is one transition that is stored; class -1 is the symbol that is no byte.
type tooth struct {
	class int
	to    uint32
}

// pack lays the states with most transitions first, each at the first place where it fits.
func (a *Automaton) pack() *comb {
	states := len(a.Accept)
	c := &comb{base: make([]uint32, states), fallback: make([]uint32, states)}
	teeth := make([][]tooth, states)
	order := make([]int, 0, states)
	for s := 1; s < states; s++ {
		c.fallback[s], teeth[s] = a.teeth(uint32(s))
		if len(teeth[s]) > 0 {
			order = append(order, s)
		}
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(len(teeth[y]), len(teeth[x])) })
	taken := make([]bool, 256)
	top, free := 0, 0
	for _, s := range order {
		for free < len(taken) && taken[free] {
			free++
		}
		base := max(free-teeth[s][0].class, 0)
		if teeth[s][0].class < 0 {
			base = max(base, 1)
		}
		for !fits(taken, teeth[s], base) {
			base++
		}
		for len(taken) < base+256 {
			taken = append(taken, make([]bool, 256)...)
		}
		c.base[s] = uint32(base)
		if teeth[s][0].class < 0 {
			c.base[s] |= baseOutOfBand
		}
		top = max(top, base)
		for _, t := range teeth[s] {
			taken[base+t.class] = true
		}
	}
	c.next, c.check = make([]uint32, top+256), make([]uint32, top+256)
	for _, s := range order {
		for _, t := range teeth[s] {
			at := int(c.base[s]&baseIndex) + t.class
			c.next[at], c.check[at] = t.to, uint32(s)
		}
	}
	return c
}

func fits(taken []bool, teeth []tooth, base int) bool {
	for _, t := range teeth {
		if at := base + t.class; at < len(taken) && taken[at] {
			return false
		}
	}
	return true
}

// teeth are the state's default, which is the state that most classes lead to, and the other transitions.
func (a *Automaton) teeth(state uint32) (fallback uint32, teeth []tooth) {
	row := a.Row(state)
	counts := make(map[uint32]int, 8)
	for _, to := range row {
		counts[to]++
	}
	most := 0
	for _, to := range row { // in the order of classes, so that a tie is always decided alike
		if counts[to] > most {
			most, fallback = counts[to], to
		}
	}
	if to := a.StepOutOfBand(state); to != 0 {
		teeth = append(teeth, tooth{-1, to})
	}
	for class, to := range row {
		if to != fallback {
			teeth = append(teeth, tooth{class, to})
		}
	}
	return fallback, teeth
}
