// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"maps"
	"slices"
)

// value is what a register or a word of the stack may hold, as a set: some constants, what some registers or words of the stack held when the
// function was entered, or an address in the function's frame. The zero value is the empty set: nothing reaches this place.
type value struct {
	constants []uint64 // ascending
	registers uint32   // bit i: what register i held at entry
	words     uint32   // bit i: what the stack's word i held at entry, from where the stack pointer pointed
	unknown   bool     // and anything else
	framed    bool     // the stack pointer at entry + offset; nothing else then
	offset    int64
}

// maximumConstants is how many a value may have before it is unknown: more than any one place passes, and few enough to join quickly.
const maximumConstants = 64

func anything() value            { return value{unknown: true} }
func constant(c uint64) value    { return value{constants: []uint64{c}} }
func entryRegister(i int) value  { return value{registers: 1 << i} }
func frameAddress(o int64) value { return value{framed: true, offset: o} }
func (v value) empty() bool      { return v.equal(value{}) }
func (v value) onlyConstant() bool {
	return len(v.constants) > 0 && v.registers|v.words == 0 && !v.unknown
}

func (v value) equal(w value) bool {
	return v.registers == w.registers && v.words == w.words && v.unknown == w.unknown && v.framed == w.framed && v.offset == w.offset && slices.Equal(v.constants, w.constants)
}

// join returns the union of two values.
func join(v, w value) value {
	switch {
	case v.equal(w) || w.empty():
		return v
	case v.empty():
		return w
	case v.framed || w.framed || v.unknown || w.unknown:
		return anything() // what else may be there does not help any more
	}
	all := value{registers: v.registers | w.registers, words: v.words | w.words}
	all.constants = slices.Concat(v.constants, w.constants)
	slices.Sort(all.constants)
	all.constants = slices.Compact(all.constants)
	if len(all.constants) > maximumConstants {
		return anything()
	}
	return all
}

// mapped applies a function to constants; of anything else the result is unknown.
func (v value) mapped(f func(uint64) uint64) value {
	if !v.onlyConstant() {
		return anything()
	}
	all := make([]uint64, len(v.constants))
	for i, c := range v.constants {
		all[i] = f(c)
	}
	slices.Sort(all)
	return value{constants: slices.Compact(all)}
}

// combined applies a function to each pair of constants.
func combined(v, w value, f func(a, b uint64) uint64) value {
	if !v.onlyConstant() || !w.onlyConstant() || len(v.constants)*len(w.constants) > maximumConstants {
		return anything()
	}
	all := value{}
	for _, c := range w.constants {
		all = join(all, v.mapped(func(a uint64) uint64 { return f(a, c) }))
	}
	return all
}

// machineRegisters is the largest number of registers that an architecture here has: arm64's 31 and its stack pointer.
const machineRegisters = 32

// state is what registers and stack hold at one place of a function.
type state struct {
	registers [machineRegisters]value
	stack     map[int64]value // by distance from the stack pointer at entry
	sp        int             // which register is the stack pointer
	word      int64           // bytes
	// exposed is the lowest address of the frame that has left the registers that address it: whoever has it may write there and above.
	exposed *int64
}

// entered returns the state at the start of a function.
func entered(sp int, word int64) state {
	s := state{stack: map[int64]value{}, sp: sp, word: word, exposed: new(int64)}
	*s.exposed = 1 << 62
	for i := range s.registers {
		s.registers[i] = entryRegister(i)
	}
	s.registers[sp] = frameAddress(0)
	return s
}

// lost returns a state in which nothing is known.
func (s state) lost() state {
	for i := range s.registers {
		s.registers[i] = anything()
	}
	s.stack = nil
	return s
}

func (s state) clone() state {
	s.stack = maps.Clone(s.stack)
	return s
}

// isLost reports whether the stack is unknown: not even the words at entry are there.
func (s *state) isLost() bool { return s.stack == nil }

// load returns the word at a distance from the stack pointer at entry.
func (s *state) load(offset int64) value {
	if s.isLost() {
		return anything()
	}
	if v, ok := s.stack[offset]; ok {
		return v
	}
	if i := offset / s.word; offset >= 0 && offset%s.word == 0 && i < 32 && offset < *s.exposed {
		return value{words: 1 << i}
	}
	return anything()
}

// maximumSlots bounds what is known of a stack, in words.
const maximumSlots = 256

// store writes size bytes; words that they overlap in part are unknown.
func (s *state) store(offset int64, size int, v value) {
	if s.isLost() {
		return
	}
	for o := offset - s.word + 1; o < offset+int64(size); o++ {
		if _, ok := s.stack[o]; ok || o >= 0 && o%s.word == 0 {
			s.stack[o] = anything()
		}
	}
	if len(s.stack) >= maximumSlots {
		*s = s.lost()
		return
	}
	if size < 4 || v.framed && int64(size) < s.word {
		v = anything()
	}
	s.stack[offset] = v
}

// scribble forgets what somebody else may have written: whatever is exposed, and [from, to) besides.
func (s *state) scribble(from, to int64) {
	if s.isLost() {
		return
	}
	for offset := range s.stack {
		if offset+s.word > *s.exposed || offset+s.word > from && offset < to {
			s.stack[offset] = anything()
		}
	}
	for o := max(0, from); o < min(to, 32*s.word); o += s.word {
		s.stack[o] = anything()
	}
}

// expose notes that an address of the frame is held elsewhere.
func (s *state) expose(v value) {
	if v.framed {
		*s.exposed = min(*s.exposed, v.offset)
	}
}

func (s *state) set(register int, v value) { s.registers[register] = v }

// merge joins another state into s and reports whether s has grown.
func (s *state) merge(other *state) bool {
	grown := false
	for i := range s.registers {
		joined := join(s.registers[i], other.registers[i])
		if !joined.framed {
			s.expose(s.registers[i])
			s.expose(other.registers[i])
		}
		if !joined.equal(s.registers[i]) {
			s.registers[i], grown = joined, true
		}
	}
	if s.isLost() {
		return grown
	}
	if other.isLost() {
		s.stack = nil
		return true
	}
	for offset := range other.stack {
		if _, ok := s.stack[offset]; !ok {
			s.stack[offset] = s.load(offset)
			grown = true
		}
	}
	for offset, known := range s.stack {
		joined := join(known, other.load(offset))
		if !joined.equal(known) {
			s.stack[offset], grown = joined, true
		}
	}
	return grown
}
