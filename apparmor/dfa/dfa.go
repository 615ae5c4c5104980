// SPDX-License-Identifier: Apache-2.0

// Package dfa makes the automata by which the kernel matches AppArmor policy: from patterns over bytes to a minimal deterministic automaton, to
// the comb tables of the kernel's policy format (security/apparmor/match.c) and back.
//
// The passes, each in a file of its own:
//
//	glob      text of a rule -> Pattern
//	factor    patterns -> one trie of their elements, so that what they begin with in common is there once
//	positions trie -> automaton without empty moves, what they end with in common there once
//	subset    positions -> deterministic automaton over classes of bytes
//	minimize  -> the smallest one, its states numbered by the shortest strings that lead to them
//	encode    -> comb tables
//	decode    comb tables -> automaton, checked as the kernel checks them
package dfa

// Accept is what a state says of the strings that end in it: the two words of the kernel's accept tables, whose meaning the caller knows.
type Accept struct{ One, Two uint32 }

// Automaton is a complete deterministic automaton over bytes, and over one symbol more that is outside of them (OutOfBand). State 0 is the trap:
// nothing is accepted in it and it is never left. Compile's automata start in state 1.
type Automaton struct {
	Class     [256]uint8 // equivalence class of each byte
	Classes   int
	Next      []uint32 // state*Classes + class
	OutOfBand []uint32 // by state, nil where no state has such a transition
	Accept    []Accept // by state
}

// Start is the start state of automata that Compile made.
const Start = 1

// Step is the state after one byte.
func (a *Automaton) Step(state uint32, b byte) uint32 {
	return a.Next[int(state)*a.Classes+int(a.Class[b])]
}

// StepOutOfBand is the state after the symbol that is not a byte.
func (a *Automaton) StepOutOfBand(state uint32) uint32 {
	if a.OutOfBand == nil {
		return 0
	}
	return a.OutOfBand[state]
}

// Walk is the state after all bytes. As in the kernel nothing matches where the walk would begin in the trap.
func (a *Automaton) Walk(state uint32, text string) uint32 {
	if state == 0 {
		return 0
	}
	for i := range len(text) {
		state = a.Step(state, text[i])
	}
	return state
}

// Row is the states after each class of bytes. It is the automaton's own memory.
func (a *Automaton) Row(state uint32) []uint32 {
	return a.Next[int(state)*a.Classes:][:a.Classes:a.Classes]
}

// trapped reports whether the trap is one: tables that were decoded may have transitions out of it.
func (a *Automaton) trapped() bool {
	for _, to := range a.Row(0) {
		if to != 0 {
			return false
		}
	}
	return a.StepOutOfBand(0) == 0
}

// Reachable are the states that some string leads to from the state, itself among them, in the order of a breadth-first walk.
func (a *Automaton) Reachable(from uint32) []uint32 {
	seen := make([]bool, len(a.Accept))
	seen[from] = true
	order := []uint32{from}
	for i := 0; i < len(order); i++ {
		visit := func(to uint32) {
			if !seen[to] {
				seen[to] = true
				order = append(order, to)
			}
		}
		for _, to := range a.Row(order[i]) {
			visit(to)
		}
		if a.OutOfBand != nil {
			visit(a.OutOfBand[order[i]])
		}
	}
	return order
}
