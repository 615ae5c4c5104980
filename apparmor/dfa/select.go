// SPDX-License-Identifier: Apache-2.0

package dfa

import "context"

// Select is the minimal automaton of what follows a state, in which every state says what says makes of its Accept. Its start is Start.
func (a *Automaton) Select(ctx context.Context, start uint32, says func(Accept) Accept) (*Automaton, error) {
	return a.follow(start, says).minimize(ctx)
}

// follow is the automaton of what follows a state.
func (a *Automaton) follow(start uint32, says func(Accept) Accept) *table {
	t := &table{class: a.Class, width: a.Classes + 1}
	numbers := make([]uint32, len(a.Accept))
	states := []uint32{0, start} // of a; the start has a state of its own, which the others need not lead to
	// The trap is state 0 where it is one: where it says something, or a decoded automaton leaves it, it is a state like others.
	trap := says(a.Accept[0]) == Accept{} && a.trapped()
	number := func(state uint32) uint32 {
		if state == 0 && trap {
			return 0
		}
		if numbers[state] == 0 {
			numbers[state] = uint32(len(states))
			states = append(states, state)
		}
		return numbers[state]
	}
	if start != 0 {
		numbers[start] = 1
	}
	for i := 0; i < len(states); i++ {
		row := make([]uint32, t.width)
		t.rows = append(t.rows, row)
		if i == 0 {
			t.says = append(t.says, Accept{})
			continue
		}
		for class, to := range a.Row(states[i]) {
			row[class] = number(to)
		}
		row[a.Classes] = number(a.StepOutOfBand(states[i]))
		t.says = append(t.says, says(a.Accept[states[i]]))
	}
	return t
}

// withoutNUL leaves out the strings that hold a NUL byte.
func (t *table) withoutNUL() *table {
	cut := *t
	cut.width++
	// NUL gets the class before the last, which leads to the trap; where there is none left it has one of its own.
	own := cut.width - 2
	if own > 255 {
		own = int(t.class[0])
		cut.width--
	}
	cut.class[0] = uint8(own)
	cut.rows = make([][]uint32, len(t.rows))
	for i, row := range t.rows {
		cut.rows[i] = make([]uint32, cut.width)
		copy(cut.rows[i], row[:t.width-1])
		cut.rows[i][own] = 0
		cut.rows[i][cut.width-1] = row[t.width-1]
	}
	return &cut
}
