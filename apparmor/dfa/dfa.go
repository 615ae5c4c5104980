// SPDX-License-Identifier: Apache-2.0

// Package dfa makes the automata by which the kernel matches AppArmor policy: from patterns over bytes to a minimal deterministic automaton, to
// the comb tables of the kernel's policy format and back.
package dfa

import "context"

// Accept is what a state says of the strings that end in it: the two words of the kernel's accept tables, whose meaning the caller knows.
type Accept struct{ One, Two uint32 }

// Rule is a pattern and what it is to mean: the tags of all rules that match are what a state's Accept is made from.
type Rule struct {
	Pattern Pattern
	Tag     int // 0, 1, 2 ...; several rules may share one
}

// Limits bound what Compile may use. The zero value stands for DefaultLimits.
type Limits struct {
	States int // of the automaton before it is minimised
	Memory int // bytes, an estimate
}

// LimitError says which limit was reached.
type LimitError struct {
	What  string // "states", "memory", "time"
	Limit int
}

func (e *LimitError) Error() string { panic("being written") }

// Compile makes the minimal automaton of the rules. accept is asked once for each set of tags (sorted, without repetitions) that occurs, and its error
// ends the compilation. The same rules give the same automaton, whatever their order. Compile ends with the context.
func Compile(ctx context.Context, rules []Rule, accept func(tags []int) (Accept, error), limits Limits) (*Automaton, error) {
	panic("being written")
}

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

// Walk is the state after all bytes.
func (a *Automaton) Walk(state uint32, text string) uint32 { panic("being written") }

// Pattern is a regular expression over bytes.
type Pattern struct{ node *node }

type node struct{}

// Empty matches the empty string only; None matches nothing.
func Empty() Pattern { panic("being written") }

// None matches nothing.
func None() Pattern { panic("being written") }

// Literal matches exactly the text.
func Literal(text string) Pattern { panic("being written") }

// OneOf matches one byte that in says yes to.
func OneOf(in func(b byte) bool) Pattern { panic("being written") }

// OutOfBand matches the symbol that is not a byte.
func OutOfBand() Pattern { panic("being written") }

// Concat matches one after the other.
func Concat(parts ...Pattern) Pattern { panic("being written") }

// Alternate matches any of them.
func Alternate(choices ...Pattern) Pattern { panic("being written") }

// Star matches any number of repetitions, none too.
func Star(p Pattern) Pattern { panic("being written") }

// Matches reports whether the pattern matches the whole text, by simulation: for one question it is cheaper than an automaton.
func (p Pattern) Matches(text string) bool { panic("being written") }

// GlobKind says how a glob is read.
type GlobKind int

// The kinds of globs.
const (
	PathGlob  GlobKind = iota // of paths: ? * do not match /, a * or ** that ends a component matches at least one byte, // is folded to /
	PlainGlob                 // of other strings (labels, names, addresses): the same wildcards without the folding and the rule for components
)

// Glob reads an AARE: ? * ** [set] [^set] {a,b} and \ escapes. The error names the byte offset.
func Glob(text string, kind GlobKind) (Pattern, error) { panic("being written") }

// Literal reports whether the glob has no wildcard, and the text that it stands for.
func LiteralGlob(text string, kind GlobKind) (string, bool) { panic("being written") }

// GlobError is a glob that cannot be read.
type GlobError struct {
	Offset int // bytes into the text
	Reason string
}

func (e *GlobError) Error() string { panic("being written") }

// Tables are the kernel's form of an automaton, as they are in a policy: checked, not interpreted.
type Tables struct{ raw []byte }

// Encode makes the comb tables: 16 bits wide, with equivalence classes, without differential encoding; the oldest form, which every kernel since 3.4 loads.
// The same automaton gives the same bytes.
func (a *Automaton) Encode() ([]byte, error) { panic("being written") }

// Decode checks the tables as the kernel's aa_dfa_unpack and verify_dfa do, and reads the automaton that they stand for (with starts beside Start kept:
// states keep their numbers). It reads every form that apparmor_parser emits: with and without classes, 16 and 32 bits, differential encoding, out of band.
func Decode(data []byte) (*Automaton, error) { panic("being written") }

// Difference is a string on which two automata differ.
type Difference struct {
	Text  []byte // bytes; the shortest
	OutOf []int  // offsets in Text where an out of band symbol comes before the byte
	A, B  Accept
}

// Compare walks both automata from the states at once. It returns nil where same holds in every pair of states that a string reaches.
func Compare(a, b *Automaton, startA, startB uint32, same func(a, b Accept) bool) *Difference {
	panic("being written")
}
