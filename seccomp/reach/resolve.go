// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// entry is what a routine is given: a register, or a word of the stack.
type entry struct {
	r        *routine
	register int // -1 = a word
	word     int
}

// inquiry looks for the numbers that one system call instruction may pass.
type inquiry struct {
	e       *exploration
	site    Site
	asked   map[entry]bool
	queue   []entry
	found   map[uint32]bool
	unknown map[string]Site // what could not be resolved, by place
}

// maximumEntries bounds the wrappers between a number and its system call.
const maximumEntries = 1 << 12

// resolve returns what a system call instruction of a routine may pass in a register, and what stays unknown of it.
func (e *exploration) resolve(r *routine, p placed, register int) (numbers []uint32, unknown []Site) {
	q := inquiry{e: e, site: r.site(p.pc, ""), asked: map[entry]bool{}, found: map[uint32]bool{}, unknown: map[string]Site{}}
	if p.bad {
		return nil, []Site{r.site(p.pc, "bytes of a system call among bytes that are no known instruction")}
	}
	if s, ok := e.before(r, p.pc); ok {
		q.absorb(s.registers[register], r, p.pc)
	}
	for len(q.queue) > 0 && len(q.asked) < maximumEntries {
		next := q.queue[0]
		q.queue = q.queue[1:]
		q.ask(next)
	}
	if len(q.queue) > 0 {
		q.note(r, p.pc, "too many functions pass the number on")
	}
	for number := range q.found {
		numbers = append(numbers, number)
	}
	for _, site := range q.unknown {
		unknown = append(unknown, site)
	}
	slices.Sort(numbers)
	slices.SortFunc(unknown, compareSites)
	return numbers, unknown
}

// absorb takes what a value may be at a place.
func (q *inquiry) absorb(v value, r *routine, pc uint64) {
	for _, c := range v.constants {
		q.found[uint32(c)] = true
	}
	if v.unknown || v.framed {
		q.note(r, pc, "the number is computed")
	}
	for i := range 32 {
		if v.registers>>i&1 == 1 {
			q.push(entry{r, i, 0})
		}
		if v.words>>i&1 == 1 {
			q.push(entry{r, -1, i})
		}
	}
}

func (q *inquiry) push(n entry) {
	if !q.asked[n] {
		q.asked[n] = true
		q.queue = append(q.queue, n)
	}
}

func (q *inquiry) note(r *routine, pc uint64, why string) {
	site := r.site(pc, why)
	if site.Object != q.site.Object || site.Address != q.site.Address {
		site.Why = fmt.Sprintf("%s, for the system call at %#x of %s", why, q.site.Address, q.site.Object)
	}
	key := fmt.Sprintf("%s %x", site.Object, site.Address)
	if _, ok := q.unknown[key]; !ok {
		q.unknown[key] = site
	}
}

// ask looks at every caller of a routine for what it passes.
func (q *inquiry) ask(n entry) {
	if n.r.taken != "" && !n.r.isGate() {
		q.note(n.r, n.r.span.start, "a function gets the number from its caller, and its address is in "+n.r.taken)
	}
	for _, caller := range n.r.callers {
		s, ok := q.e.at(caller)
		if !ok {
			continue
		}
		if n.register >= 0 {
			q.absorb(s.registers[n.register], caller.from, caller.pc)
			continue
		}
		sp := s.registers[s.sp]
		if !sp.framed {
			q.note(caller.from, caller.pc, "the number is on a stack that is not understood")
			continue
		}
		at := sp.offset + int64(n.word)*s.word
		if !caller.jump {
			at -= caller.from.o.machine.pushed()
		}
		q.absorb(s.load(at), caller.from, caller.pc)
	}
}

// isGate reports whether a routine is i386's way into the kernel without a vDSO: the instruction and a return. Who calls it does so by the word
// in the thread's control block that holds its address, and such a call is a system call of its own here.
func (r *routine) isGate() bool {
	return r.o.word == 4 && len(r.traps) == 1 && r.traps[0].pc == r.span.start
}

// site names a place in a routine.
func (r *routine) site(pc uint64, why string) Site {
	return Site{Object: r.o.path, Address: pc, Function: r.o.nameOf(pc), Why: why}
}

func compareSites(a, b Site) int {
	return cmp.Or(strings.Compare(a.Object, b.Object), cmp.Compare(a.Address, b.Address), strings.Compare(a.Why, b.Why))
}
