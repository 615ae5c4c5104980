// SPDX-License-Identifier: Apache-2.0

package dfa

import "context"

// table is a deterministic automaton that is not minimal yet. State 0 is the trap, state 1 the start.
type table struct {
	class [256]uint8
	width int        // classes, and one for the symbol that is no byte
	rows  [][]uint32 // by state and class, the state that follows
	says  []Accept   // by state
}

// minimize merges the states that no string tells apart (Hopcroft's algorithm).
//
// The states from which nothing is accepted any more are the trap. Transitions to it are left out: of the others it follows which lead there.
func (t *table) minimize(ctx context.Context) (*Automaton, error) {
	in := t.incoming()
	live := in.live(t.says)
	r := newRefinement(t.says, live)
	// Every part is to be looked at from: which states lead into it by which class. A part that was looked at and is split needs only one of the
	// halves to be looked at again, the smaller.
	waiting := make([]int32, 0, 2*r.parts())
	queued := make([]bool, len(t.says)+1)
	for part := range int32(r.parts()) {
		waiting, queued[part] = append(waiting, part), true
	}
	sources := make([][]int32, t.width)
	for round := 0; len(waiting) > 0; round++ {
		if round&0xff == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		part := waiting[len(waiting)-1]
		waiting, queued[part] = waiting[:len(waiting)-1], false
		for _, state := range r.members(part) {
			for _, edge := range in.edges[in.bounds[state]:in.bounds[state+1]] {
				sources[edge.class] = append(sources[edge.class], edge.from)
			}
		}
		for class, from := range sources {
			if len(from) == 0 {
				continue
			}
			for _, state := range from {
				if live[state] {
					r.mark(state)
				}
			}
			r.split(func(old, made int32) {
				if !queued[old] && r.size(made) > r.size(old) {
					made = old
				}
				waiting, queued[made] = append(waiting, made), true
			})
			sources[class] = from[:0]
		}
	}
	return t.assemble(r.partOf), nil
}

// incoming are the transitions by the state that they lead to, without those to the trap and those from it.
type incoming struct {
	bounds []int32
	edges  []edge
}

type edge struct {
	from  int32
	class uint16
}

func (t *table) incoming() *incoming {
	in := &incoming{bounds: make([]int32, len(t.says)+1)}
	for _, row := range t.rows {
		for _, to := range row {
			if to != 0 {
				in.bounds[to]++
			}
		}
	}
	sum := int32(0)
	for i, count := range in.bounds {
		sum += count
		in.bounds[i] = sum
	}
	in.edges = make([]edge, sum)
	// Backwards, so that the bounds, which are ends now, come to be the beginnings.
	for from := int32(len(t.says)) - 1; from >= 0; from-- {
		row := t.rows[from]
		for class := len(row) - 1; class >= 0; class-- {
			if to := row[class]; to != 0 {
				in.bounds[to]--
				in.edges[in.bounds[to]] = edge{from, uint16(class)}
			}
		}
	}
	return in
}

// live are the states from which something can be accepted.
func (in *incoming) live(says []Accept) []bool {
	live := make([]bool, len(says))
	var found []int32
	for i, accept := range says {
		if accept != (Accept{}) {
			live[i], found = true, append(found, int32(i))
		}
	}
	for len(found) > 0 {
		state := found[len(found)-1]
		found = found[:len(found)-1]
		for _, edge := range in.edges[in.bounds[state]:in.bounds[state+1]] {
			if !live[edge.from] {
				live[edge.from], found = true, append(found, edge.from)
			}
		}
	}
	return live
}

// refinement is a partition of the live states that grows finer. The members of a part stand together, the marked ones first.
type refinement struct {
	order  []int32 // states
	place  []int32 // by state, in order
	partOf []int32 // by state; -1 of those that are not live
	from   []int32 // by part, its bounds in order
	to     []int32
	marked []int32 // by part, how many
	hit    []int32 // parts with marked members
}

// newRefinement has a part for each value of accept.
func newRefinement(says []Accept, live []bool) *refinement {
	r := &refinement{place: make([]int32, len(says)), partOf: make([]int32, len(says))}
	numbers := map[Accept]int32{}
	for state, accept := range says {
		r.partOf[state] = -1
		if !live[state] {
			continue
		}
		part, known := numbers[accept]
		if !known {
			part = int32(len(numbers))
			numbers[accept] = part
			r.to, r.marked = append(r.to, 0), append(r.marked, 0)
		}
		r.partOf[state] = part
		r.to[part]++
	}
	sum := int32(0)
	for part, size := range r.to {
		r.from = append(r.from, sum)
		sum += size
		r.to[part] = r.from[part]
	}
	r.order = make([]int32, sum)
	for state, part := range r.partOf {
		if part >= 0 {
			r.place[state] = r.to[part]
			r.order[r.to[part]] = int32(state)
			r.to[part]++
		}
	}
	return r
}

func (r *refinement) parts() int                 { return len(r.from) }
func (r *refinement) size(part int32) int32      { return r.to[part] - r.from[part] }
func (r *refinement) members(part int32) []int32 { return r.order[r.from[part]:r.to[part]] }

// mark moves a state to the marked ones of its part. A state is marked once between two splits: it has one transition by a class.
func (r *refinement) mark(state int32) {
	part := r.partOf[state]
	if r.marked[part] == 0 {
		r.hit = append(r.hit, part)
	}
	here, there := r.place[state], r.from[part]+r.marked[part]
	other := r.order[there]
	r.order[here], r.order[there] = other, state
	r.place[other], r.place[state] = here, there
	r.marked[part]++
}

// split makes the marked states of each part that has others, too, a part of their own.
func (r *refinement) split(done func(old, made int32)) {
	for _, part := range r.hit {
		count := r.marked[part]
		r.marked[part] = 0
		if count == r.size(part) {
			continue
		}
		made := int32(r.parts())
		r.from, r.to, r.marked = append(r.from, r.from[part]), append(r.to, r.from[part]+count), append(r.marked, 0)
		r.from[part] += count
		for _, state := range r.members(made) {
			r.partOf[state] = made
		}
		done(part, made)
	}
	r.hit = r.hit[:0]
}

// assemble makes the automaton of the parts. States are numbered as a breadth-first walk in the order of bytes meets them, and bytes that no state tells
// apart share a class: an automaton has one such form, whatever it was made from.
func (t *table) assemble(part []int32) *Automaton {
	numbers := make([]uint32, len(part)+1) // by part and one; 0 of the trap and of what was not met
	order := []int32{0, 1}                 // of the old states, one for each part
	numbers[part[1]+1] = 1
	numbers[0] = 0
	for i := 1; i < len(order); i++ {
		for _, to := range t.rows[order[i]] {
			if p := part[to] + 1; p > 0 && numbers[p] == 0 {
				numbers[p] = uint32(len(order))
				order = append(order, int32(to))
			}
		}
	}
	a := &Automaton{Accept: make([]Accept, len(order))}
	rows := make([]uint32, 0, len(order)*t.width)
	for i, old := range order {
		a.Accept[i] = t.says[old]
		for _, to := range t.rows[old] {
			rows = append(rows, numbers[part[to]+1])
		}
	}
	kept := mergeColumns(rows, t.width, &t.class, a)
	a.Next = make([]uint32, 0, len(order)*len(kept))
	for i := range order {
		row := rows[i*t.width:][:t.width]
		for _, column := range kept {
			a.Next = append(a.Next, row[column])
		}
		if out := row[t.width-1]; out != 0 && a.OutOfBand == nil {
			a.OutOfBand = make([]uint32, len(order))
		}
		if a.OutOfBand != nil {
			a.OutOfBand[i] = row[t.width-1]
		}
	}
	return a
}

// mergeColumns sets the classes of a to the columns that differ, all but the last, numbered in the order of bytes; it returns one column for each.
func mergeColumns(rows []uint32, width int, class *[256]uint8, a *Automaton) (kept []int) {
	columns := width - 1
	group := make([]int, columns) // by column, as far as the rows so far tell apart
	leader := []int{0}            // by group, its first column
	for ; len(rows) > 0 && len(leader) < columns; rows = rows[width:] {
		row := rows[:columns]
		for column := 0; column < columns; column++ {
			if row[column] != row[leader[group[column]]] {
				leader = splitColumns(row, group, leader)
				break
			}
		}
	}
	numbers := make([]int, len(leader))
	for b := range 256 {
		column := int(class[b])
		if numbers[group[column]] == 0 {
			kept = append(kept, column)
			numbers[group[column]] = len(kept)
		}
		a.Class[b] = uint8(numbers[group[column]] - 1)
	}
	a.Classes = len(kept)
	return kept
}

// splitColumns parts the groups by what is in the row.
func splitColumns(row []uint32, group, leader []int) []int {
	type mark struct {
		group int
		to    uint32
	}
	made := map[mark]int{}
	for column, old := range group {
		if row[column] == row[leader[old]] {
			continue
		}
		number, known := made[mark{old, row[column]}]
		if !known {
			number = len(leader)
			leader = append(leader, column)
			made[mark{old, row[column]}] = number
		}
		group[column] = number
	}
	return leader
}
