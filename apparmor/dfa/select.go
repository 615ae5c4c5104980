// SPDX-License-Identifier: Apache-2.0

package dfa

import "context"

// Select is the minimal automaton of what follows a state, in which every state says what says makes of its Accept. Its start is Start.
func (a *Automaton) Select(ctx context.Context, start uint32, says func(Accept) Accept) (*Automaton, error) {
	t := &table{class: a.Class, width: a.Classes + 1}
	numbers := make([]uint32, len(a.Accept))
	states := []uint32{0, start} // of a; the start has a state of its own, which the others need not lead to
	// The trap is state 0 where it is one: where it says something, or a decoded automaton leaves it, it is a state like others.
	trap := says(a.Accept[0]) == Accept{} && a.StepOutOfBand(0) == 0
	for _, to := range a.Row(0) {
		trap = trap && to == 0
	}
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
	return t.minimize(ctx)
}
