// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"cmp"
	"slices"
)

// flowResult is what is known at the places of a routine where control may arrive from elsewhere.
type flowResult struct {
	body    []placed
	arrival map[uint64]*state // by address; between two, it follows from the instructions
}

// maximumSteps bounds the instructions that one routine's flow is followed over, before all is taken for unknown.
const maximumSteps = 1 << 20

// flowOf follows what registers and stack hold through a routine, to a fixed point.
func (e *exploration) flowOf(r *routine) *flowResult {
	if r.flow != nil {
		return r.flow
	}
	computed := false
	result := &flowResult{arrival: map[uint64]*state{}}
	result.body = e.body(r, func(p placed) { computed = computed || p.indirect() })
	for i := range result.body {
		if p := &result.body[i]; p.flow == flowCall && p.direct && e.endless(r.o, p.target) {
			p.flow = flowStop
		}
	}
	r.flow = result
	leaders := result.leaders(r)
	lost := r.o.machine.enter().lost()
	for _, leader := range leaders {
		if unread := computed && len(r.targets) == 0; unread || leader.orphan && !result.padding(leader.pc, leaders) {
			s := lost.clone()
			result.arrival[leader.pc] = &s
		}
	}
	start := r.o.machine.enter()
	result.arrival[r.span.start] = &start
	e.iterate(result, r, leaders, start.exposed)
	return result
}

// leader is the first instruction of a block.
type leader struct {
	pc     uint64
	orphan bool // nothing is known to lead here
}

// leaders returns where blocks start, ascending.
func (f *flowResult) leaders(r *routine) []leader {
	reached := map[uint64]bool{r.span.start: true}
	starts := []uint64{r.span.start}
	for i := range f.body {
		p := &f.body[i]
		if p.direct && (p.flow == flowJump || p.flow == flowBranch) && f.index(p.target) >= 0 {
			reached[p.target] = true
			starts = append(starts, p.target)
		}
		if p.flow == flowJump || p.flow == flowStop || p.flow == flowBranch || p.bad {
			starts = append(starts, p.next())
			reached[p.next()] = reached[p.next()] || p.flow == flowBranch
		}
	}
	for _, target := range r.targets {
		starts = append(starts, target)
		reached[target] = true
	}
	slices.Sort(starts)
	var all []leader
	for _, pc := range slices.Compact(starts) {
		if f.index(pc) >= 0 {
			all = append(all, leader{pc, !reached[pc]})
		}
	}
	return all
}

// padding reports whether there is nothing but instructions without effect from an address to the next block or the end: what aligns that.
func (f *flowResult) padding(pc uint64, leaders []leader) bool {
	next, _ := slices.BinarySearchFunc(leaders, pc+1, func(l leader, pc uint64) int { return cmp.Compare(l.pc, pc) })
	if next < len(leaders) && leaders[next].orphan {
		return false
	}
	for i := f.index(pc); i < len(f.body) && (next == len(leaders) || f.body[i].pc < leaders[next].pc); i++ {
		if !f.body[i].idle {
			return false
		}
	}
	return true
}

// index returns the place of an address among the instructions, or -1.
func (f *flowResult) index(pc uint64) int {
	i, ok := slices.BinarySearchFunc(f.body, pc, func(p placed, pc uint64) int { return cmp.Compare(p.pc, pc) })
	if !ok {
		return -1
	}
	return i
}

// iterate carries states from block to block until none grows.
func (e *exploration) iterate(f *flowResult, r *routine, leaders []leader, exposed *int64) {
	isLeader := map[uint64]bool{}
	var queue []uint64
	for _, l := range leaders {
		isLeader[l.pc] = true
		if f.arrival[l.pc] != nil {
			f.arrival[l.pc].exposed = exposed
			queue = append(queue, l.pc)
		}
	}
	queued := map[uint64]bool{}
	steps := 0
	for len(queue) > 0 {
		pc := queue[0]
		queue = queue[1:]
		queued[pc] = false
		before := *exposed
		f.block(r, pc, isLeader, func(to uint64, s *state) {
			steps++
			if f.arrive(to, s) && !queued[to] {
				queue, queued[to] = append(queue, to), true
			}
		}, &steps)
		if *exposed < before { // what was kept so far may not have been
			queue = queue[:0]
			for _, l := range leaders {
				if f.arrival[l.pc] != nil {
					queue, queued[l.pc] = append(queue, l.pc), true
				}
			}
		}
		if steps > maximumSteps || steps > e.left {
			e.left -= steps
			f.giveUp(leaders, exposed)
			return
		}
	}
	e.left -= steps
}

// giveUp takes everything for unknown.
func (f *flowResult) giveUp(leaders []leader, exposed *int64) {
	for _, l := range leaders {
		s := state{exposed: exposed}.lost()
		if old := f.arrival[l.pc]; old != nil {
			s.sp, s.word = old.sp, old.word
		}
		f.arrival[l.pc] = &s
	}
}

// arrive joins a state into that of a block and reports whether that has grown.
func (f *flowResult) arrive(pc uint64, s *state) bool {
	if f.index(pc) < 0 {
		return false
	}
	if known := f.arrival[pc]; known != nil {
		return known.merge(s)
	}
	kept := s.clone()
	f.arrival[pc] = &kept
	return true
}

// block runs a block and passes on the state at each of its exits within the routine.
func (f *flowResult) block(r *routine, pc uint64, isLeader map[uint64]bool, exit func(uint64, *state), steps *int) {
	s := f.arrival[pc].clone()
	c := cursor{o: r.o}
	for i := f.index(pc); i < len(f.body); i++ {
		p := &f.body[i]
		if p.pc != pc && (isLeader[p.pc] || p.pc != f.body[i-1].next()) {
			exit(p.pc, &s)
			return
		}
		r.o.machine.step(&c, p.pc, r.o.codeFrom(p.pc), &s)
		*steps++
		switch {
		case p.direct && p.flow == flowJump:
			exit(p.target, &s)
		case p.direct && p.flow == flowBranch:
			previous := placed{}
			if p.pc != pc {
				previous = f.body[i-1]
			}
			jumped := s.clone()
			r.o.machine.refine(&c, previous, *p, true, &jumped)
			exit(p.target, &jumped)
			r.o.machine.refine(&c, previous, *p, false, &s)
			exit(p.next(), &s)
			return
		}
		if p.indirect() {
			for _, target := range r.targets {
				exit(target, &s)
			}
		}
		if p.flow == flowJump || p.flow == flowStop {
			return
		}
	}
}

// at returns the state in which a routine calls or leaves for another; false if nothing leads there.
func (e *exploration) at(c callSite) (state, bool) {
	s, ok := e.before(c.from, c.pc)
	if ok && c.past {
		c.from.o.machine.step(&cursor{o: c.from.o}, c.pc, c.from.o.codeFrom(c.pc), &s)
	}
	return s, ok
}

// before returns the state before an instruction; false if nothing leads there.
func (e *exploration) before(r *routine, pc uint64) (state, bool) {
	f := e.flowOf(r)
	i := f.index(pc)
	if i < 0 {
		return state{}, false
	}
	from := i
	for from >= 0 && f.arrival[f.body[from].pc] == nil {
		from--
	}
	if from < 0 {
		return state{}, false
	}
	e.left -= i - from
	if e.left < 0 {
		return state{}, false
	}
	s := f.arrival[f.body[from].pc].clone()
	c := cursor{o: r.o}
	for ; from < i; from++ {
		p := &f.body[from]
		if p.flow == flowJump || p.flow == flowStop {
			return state{}, false
		}
		r.o.machine.step(&c, p.pc, r.o.codeFrom(p.pc), &s)
	}
	return s, true
}

// hiddenTraps finds the bytes of system calls in a routine with bytes that are no known instruction, where decoding may have lost its way.
func (e *exploration) hiddenTraps(r *routine, body []placed) []placed {
	known := map[uint64]bool{}
	for _, p := range body {
		known[p.pc] = true
	}
	code := r.o.codeFrom(r.span.start)
	code = code[:min(uint64(len(code)), r.span.end-r.span.start)]
	var found []placed
	for i := 0; i+1 < len(code) && e.spend(); i++ {
		pc := r.span.start + uint64(i)
		in := r.o.machine.decode(&cursor{o: r.o}, pc, code[i:])
		if in.trap != trapNone && !known[pc] {
			found = append(found, placed{pc, instruction{size: in.size, trap: in.trap, bad: true}})
		}
	}
	return found
}
