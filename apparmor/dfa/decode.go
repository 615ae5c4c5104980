// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"encoding/binary"
	"fmt"
)

// maximumTransitions bounds the automata that Decode makes: 256 MiB of transitions. The kernel, which never unfolds the tables, has no such bound.
const maximumTransitions = 1 << 26

// Tables are the kernel's form of an automaton, as they are in a policy: checked, not interpreted.
type Tables struct {
	Flags                      uint16
	Base, Default, Next, Check []uint32
	Accept                     []Accept
	Class                      []byte // nil, or one of each byte
}

// Decode checks the tables as the kernel's aa_dfa_unpack and verify_dfa do, and reads the automaton that they stand for (with starts beside Start kept:
// states keep their numbers). It reads every form that apparmor_parser emits: with and without classes, 16 and 32 bits, differential encoding, out of band.
func Decode(data []byte) (*Automaton, error) {
	t, err := DecodeTables(data)
	if err != nil {
		return nil, err
	}
	return t.automaton()
}

// DecodeTables reads the tables and checks them as the kernel does.
func DecodeTables(data []byte) (*Tables, error) {
	if len(data) < headerFixed {
		return nil, fmt.Errorf("automaton: %d bytes are no header", len(data))
	}
	if magic := binary.BigEndian.Uint32(data); magic != tablesMagic {
		return nil, fmt.Errorf("automaton: magic number %#x where %#x is expected", magic, tablesMagic)
	}
	length := binary.BigEndian.Uint32(data[4:])
	if uint64(length) > uint64(len(data)) {
		return nil, fmt.Errorf("automaton: header of %d bytes in %d", length, len(data))
	}
	t := &Tables{Flags: binary.BigEndian.Uint16(data[12:])}
	if t.Flags&^(flagDifferences|flagOutOfBand) != 0 {
		return nil, fmt.Errorf("automaton: unknown flags %#x", t.Flags)
	}
	var seen [tableNext + 1][]byte
	var widths [tableNext + 1]int
	for rest := data[length:]; len(rest) > 0; {
		id, width, content, size, err := readTable(rest)
		if err != nil {
			return nil, err
		}
		if seen[id] != nil {
			return nil, fmt.Errorf("automaton: table %d twice", id)
		}
		seen[id], widths[id] = content, width
		rest = rest[size:]
	}
	for _, id := range []tableID{tableAccept, tableBase, tableDefault, tableNext, tableCheck} {
		if seen[id] == nil {
			return nil, fmt.Errorf("automaton: no table %d", id)
		}
	}
	t.Base, t.Default = words(seen[tableBase], 4), words(seen[tableDefault], widths[tableDefault])
	t.Next, t.Check = words(seen[tableNext], widths[tableNext]), words(seen[tableCheck], widths[tableCheck])
	states := len(t.Base)
	one, two := words(seen[tableAccept], 4), make([]uint32, states)
	if seen[tableAccept2] != nil { // the kernel wants it where permissions are in the accept words, which is not for us to know
		two = words(seen[tableAccept2], 4)
	}
	if len(one) != states || len(two) != states || len(t.Default) != states {
		return nil, fmt.Errorf("automaton: tables of %d, %d, %d and %d states", states, len(one), len(two), len(t.Default))
	}
	if len(t.Next) != len(t.Check) {
		return nil, fmt.Errorf("automaton: %d transitions with %d checks", len(t.Next), len(t.Check))
	}
	t.Class = seen[tableClass]
	if t.Class != nil && len(t.Class) != 256 {
		return nil, fmt.Errorf("automaton: classes of %d bytes", len(t.Class))
	}
	t.Accept = make([]Accept, states)
	for i := range t.Accept {
		t.Accept[i] = Accept{one[i], two[i]}
	}
	return t, t.verify()
}

// readTable reads one table: its content, and the length of it all with the padding.
func readTable(data []byte) (id tableID, width int, content []byte, size int, err error) {
	if len(data) < tableHeader {
		return 0, 0, nil, 0, fmt.Errorf("automaton: %d bytes are no table", len(data))
	}
	id, width = tableID(binary.BigEndian.Uint16(data)), int(binary.BigEndian.Uint16(data[2:]))
	count := uint64(binary.BigEndian.Uint32(data[8:]))
	fits := false
	switch id {
	case tableAccept, tableAccept2, tableBase:
		fits = width == 4
	case tableDefault, tableNext, tableCheck:
		fits = width == 2 || width == 4
	case tableClass:
		fits = width == 1
	default:
		return 0, 0, nil, 0, fmt.Errorf("automaton: unknown table %d", id)
	}
	if !fits {
		return 0, 0, nil, 0, fmt.Errorf("automaton: table %d with entries of %d bytes", id, width)
	}
	if count == 0 {
		return 0, 0, nil, 0, fmt.Errorf("automaton: table %d is empty", id)
	}
	total := (tableHeader + count*uint64(width) + 7) &^ 7
	if total > uint64(len(data)) {
		return 0, 0, nil, 0, fmt.Errorf("automaton: table %d has %d bytes of %d", id, len(data), total)
	}
	return id, width, data[tableHeader:][:count*uint64(width)], int(total), nil
}

func words(content []byte, width int) []uint32 {
	out := make([]uint32, len(content)/width)
	for i := range out {
		if width == 2 {
			out[i] = uint32(binary.BigEndian.Uint16(content[2*i:]))
		} else {
			out[i] = binary.BigEndian.Uint32(content[4*i:])
		}
	}
	return out
}

// verify is the kernel's verify_dfa.
func (t *Tables) verify() error {
	states, transitions := len(t.Base), len(t.Next)
	if states < 2 {
		return fmt.Errorf("automaton: %d states, where there are two at least", states)
	}
	for s, base := range t.Base {
		switch {
		case int(t.Default[s]) >= states:
			return fmt.Errorf("automaton: state %d: default %d of %d", s, t.Default[s], states)
		case base&^(baseIndex|baseDifferences|baseOutOfBand) != 0:
			return fmt.Errorf("automaton: state %d: unknown flags in %#x", s, base)
		case base&baseDifferences != 0 && t.Flags&flagDifferences == 0:
			return fmt.Errorf("automaton: state %d: differences that the header does not announce", s)
		case base&baseOutOfBand != 0 && t.Flags&flagOutOfBand == 0:
			return fmt.Errorf("automaton: state %d: an out of band transition that the header does not announce", s)
		case base&baseOutOfBand != 0 && base&baseIndex < 1:
			return fmt.Errorf("automaton: state %d: an out of band transition before the tables", s)
		case int(base&baseIndex)+255 >= transitions:
			return fmt.Errorf("automaton: state %d: base %d, which with 255 leaves the %d transitions", s, base&baseIndex, transitions)
		}
	}
	for i := range t.Next {
		if int(t.Next[i]) >= states || int(t.Check[i]) >= states {
			return fmt.Errorf("automaton: transition %d: %d to %d of %d states", i, t.Check[i], t.Next[i], states)
		}
	}
	return t.verifyChains()
}

// verifyChains refuses states that are, over others, differences to themselves.
func (t *Tables) verifyChains() error {
	const unseen, current, done = 0, 1, 2
	marks := make([]uint8, len(t.Base))
	for s := range t.Base {
		at := s
		for t.Base[at]&baseDifferences != 0 && marks[at] == unseen {
			marks[at] = current
			at = int(t.Default[at])
		}
		if t.Base[at]&baseDifferences != 0 && marks[at] == current {
			return fmt.Errorf("automaton: state %d: a circle of differences", s)
		}
		for at = s; t.Base[at]&baseDifferences != 0 && marks[at] == current; at = int(t.Default[at]) {
			marks[at] = done
		}
	}
	return nil
}

// automaton unfolds the tables.
func (t *Tables) automaton() (*Automaton, error) {
	a := &Automaton{Accept: t.Accept}
	own := t.own()
	a.Classes = t.classes(own, &a.Class)
	// One byte for each class, as an index into the tables.
	index := make([]int, a.Classes)
	for b := range 256 {
		index[a.Class[b]] = t.index(b)
	}
	if len(t.Base)*a.Classes > maximumTransitions {
		return nil, &LimitError{"transitions", maximumTransitions}
	}
	a.Next = make([]uint32, len(t.Base)*a.Classes)
	filled := make([]bool, len(t.Base))
	var chain []uint32
	for s := range t.Base {
		for at := uint32(s); !filled[at]; at = t.Default[at] {
			chain = append(chain, at)
			if t.Base[at]&baseDifferences == 0 {
				break
			}
		}
		for ; len(chain) > 0; chain = chain[:len(chain)-1] {
			at := chain[len(chain)-1]
			t.fill(a, at, index)
			filled[at] = true
		}
	}
	a.OutOfBand = t.outOfBand()
	return a, nil
}

// index is the place of a byte's transitions after a base.
func (t *Tables) index(b int) int {
	if t.Class != nil {
		return int(t.Class[b])
	}
	return b
}

// fill sets the row of a state; that of its default is there where it is needed.
func (t *Tables) fill(a *Automaton, state uint32, index []int) {
	row, base, fallback := a.Row(state), int(t.Base[state]&baseIndex), t.Default[state]
	if t.Base[state]&baseDifferences != 0 {
		copy(row, a.Row(fallback))
	} else {
		for class := range row {
			row[class] = fallback
		}
	}
	for class, offset := range index {
		if t.Check[base+offset] == state {
			row[class] = t.Next[base+offset]
		}
	}
}

// own are the transitions that are checked to be of a state: the indexes into next, by state.
func (t *Tables) own() [][]int32 {
	counts := make([]int32, len(t.Base)+1)
	for _, state := range t.Check {
		counts[state+1]++
	}
	for i := 1; i < len(counts); i++ {
		counts[i] += counts[i-1]
	}
	indexes := make([]int32, len(t.Check))
	at := append([]int32(nil), counts...)
	for i, state := range t.Check {
		indexes[at[state]] = int32(i)
		at[state]++
	}
	own := make([][]int32, len(t.Base))
	for s := range own {
		own[s] = indexes[counts[s]:counts[s+1]]
	}
	return own
}

// classes parts the bytes into those that have the same transitions of their own in every state, and so the same in all.
func (t *Tables) classes(own [][]int32, class *[256]uint8) int {
	var offsets [256]int // of our classes while they are made: by index into the tables
	count := 1
	type mark struct {
		class int
		to    uint32
	}
	var split map[mark]int
	for s, entries := range own {
		base := int(t.Base[s] & baseIndex)
		clear(split)
		var hit [256]bool
		touched := 0
		for _, i := range entries {
			// What is the default as well tells no bytes apart, unless the default is a row of its own.
			offset, plain := int(i)-base, t.Base[s]&baseDifferences == 0
			if offset >= 0 && offset < 256 && !(plain && t.Next[i] == t.Default[s]) {
				hit[offset] = true
				touched++
			}
		}
		if touched == 0 {
			continue
		}
		if split == nil {
			split = map[mark]int{}
		}
		var rest [256]bool // classes with bytes that are not hit
		for offset := range offsets {
			rest[offsets[offset]] = rest[offsets[offset]] || !hit[offset]
		}
		for offset := range offsets {
			if !hit[offset] {
				continue
			}
			key := mark{offsets[offset], t.Next[base+offset]}
			number, known := split[key]
			if !known {
				number = key.class
				if rest[key.class] {
					number = count
					count++
				}
				rest[key.class] = true // the next value of this class needs a number of its own
				split[key] = number
			}
			offsets[offset] = number
		}
	}
	// Number them in the order of bytes, those only that a byte has.
	var numbers [256]int
	used := 0
	for b := range 256 {
		at := offsets[t.index(b)]
		if numbers[at] == 0 {
			used++
			numbers[at] = used
		}
		class[b] = uint8(numbers[at] - 1)
	}
	return used
}

// outOfBand are the transitions on the symbol that is no byte, nil where there are none. It has no class, and stands before the base.
func (t *Tables) outOfBand() []uint32 {
	if t.Flags&flagOutOfBand == 0 {
		return nil
	}
	out := make([]uint32, len(t.Base))
	for s := range out {
		if t.Base[s]&baseOutOfBand == 0 {
			continue
		}
		at := uint32(s)
		for {
			// A chain of differences may lead to a base of 0, before which is nothing; the kernel would read there.
			place := int(t.Base[at]&baseIndex) - 1
			if place >= 0 && t.Check[place] == at {
				out[s] = t.Next[place]
				break
			}
			differences := t.Base[at]&baseDifferences != 0
			at = t.Default[at]
			if !differences {
				out[s] = at
				break
			}
		}
	}
	return out
}
