// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"encoding/binary"
)

// minimize merges the states that no string tells apart.
func (b *builder) minimize() *Automaton {
	part := make([]uint32, len(b.says))
	numbers := map[Accept]uint32{}
	for i, says := range b.says {
		if _, known := numbers[says]; !known {
			numbers[says] = uint32(len(numbers))
		}
		part[i] = numbers[says]
	}
	key := make([]byte, 0, 4*(b.width+1))
	for count := len(numbers); ; {
		finer := make([]uint32, len(part))
		known := map[string]uint32{}
		for i := range part {
			key = binary.LittleEndian.AppendUint32(key[:0], part[i])
			for _, to := range b.next[i*b.width:][:b.width] {
				key = binary.LittleEndian.AppendUint32(key, part[to])
			}
			number, seen := known[string(key)]
			if !seen {
				number = uint32(len(known))
				known[string(key)] = number
			}
			finer[i] = number
		}
		part = finer
		if len(known) == count {
			break
		}
		count = len(known)
	}
	return b.assemble(part)
}

// assemble makes the automaton of the parts. States are numbered as a breadth-first walk in the order of bytes meets them, and bytes that no state tells
// apart share a class: an automaton has one such form, whatever it was made from.
func (b *builder) assemble(part []uint32) *Automaton {
	const unseen = ^uint32(0)
	numbers := make([]uint32, len(part))
	for i := range numbers {
		numbers[i] = unseen
	}
	order := []int{0, 1} // of the old states, one for each part
	numbers[part[0]] = 0
	if numbers[part[1]] == unseen {
		numbers[part[1]] = 1
	}
	for i := 1; i < len(order); i++ {
		for _, to := range b.next[order[i]*b.width:][:b.width] {
			if numbers[part[to]] == unseen {
				numbers[part[to]] = uint32(len(order))
				order = append(order, int(to))
			}
		}
	}
	a := &Automaton{Accept: make([]Accept, len(order))}
	columns := map[string]uint8{}
	var column []byte
	var kept []int // by class of the result, the column of ours
	merged := make([]uint8, b.width-1)
	for class := range b.width - 1 {
		column = column[:0]
		for _, old := range order {
			column = binary.LittleEndian.AppendUint32(column, numbers[part[b.next[old*b.width+class]]])
		}
		number, known := columns[string(column)]
		if !known {
			number = uint8(len(kept))
			columns[string(column)] = number
			kept = append(kept, class)
		}
		merged[class] = number
	}
	for i := range a.Class {
		a.Class[i] = merged[b.class[i]]
	}
	a.Classes = len(kept)
	outs := make([]uint32, len(order))
	band := false
	for i, old := range order {
		row := b.next[old*b.width:][:b.width]
		for _, class := range kept {
			a.Next = append(a.Next, numbers[part[row[class]]])
		}
		outs[i] = numbers[part[row[b.width-1]]]
		band = band || outs[i] != 0
		a.Accept[i] = b.says[old]
	}
	if band {
		a.OutOfBand = outs
	}
	return a
}
