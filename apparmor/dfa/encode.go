// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"encoding/binary"
	"errors"
)

// Encode makes the comb tables: 16 bits wide, without differential encoding; the oldest form, which every kernel since 3.4 loads. Equivalence classes
// are used where they make the tables smaller. The same automaton gives the same bytes. One with more states than such tables hold is a *LimitError,
// and one that leaves its trap is an error.
func (a *Automaton) Encode() ([]byte, error) {
	states := len(a.Accept)
	if states >= maximumStates16 {
		return nil, &LimitError{"states", maximumStates16 - 1}
	}
	if !a.trapped() {
		return nil, errors.New("automaton: transitions out of the trap")
	}
	coding := a.classCoding()
	c := a.lay(coding)
	if len(c.next) < smallTables {
		with := len(c.next) + classLength/transitionLength
		if other := a.byteCoding(); other.length() < with {
			if plain := a.lay(other); len(plain.next) < with {
				c, coding = plain, other
			}
		}
	}
	if len(c.next) > baseIndex {
		return nil, &LimitError{"transitions", baseIndex}
	}
	var flags uint16
	if a.OutOfBand != nil {
		flags = flagOutOfBand
	}
	size := headerLength + aligned(tableHeader+4*states)*3 + aligned(tableHeader+2*states) + 2*aligned(tableHeader+2*len(c.next)) + aligned(tableHeader+256)
	out := binary.BigEndian.AppendUint32(make([]byte, 0, size), tablesMagic)
	out = binary.BigEndian.AppendUint32(out, headerLength)
	out = binary.BigEndian.AppendUint32(out, 0) // length, set below
	out = binary.BigEndian.AppendUint16(out, flags)
	out = append(out, "notflex\x00\x00\x00"...)

	out = appendTable(out, tableAccept, 4, states, func(i int) uint32 { return a.Accept[i].One })
	out = appendTable(out, tableAccept2, 4, states, func(i int) uint32 { return a.Accept[i].Two })
	if coding.groups {
		out = appendTable(out, tableClass, 1, 256, func(i int) uint32 { return uint32(coding.codes[a.Class[i]][0]) })
	}
	out = appendTable(out, tableBase, 4, states, func(i int) uint32 { return c.base[i] })
	out = appendTable(out, tableDefault, 2, states, func(i int) uint32 { return coding.fallback[i] })
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
