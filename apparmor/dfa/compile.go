// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Rule is a pattern and what it is to mean: the tags of all rules that match are what a state's Accept is made from.
type Rule struct {
	Pattern Pattern
	Tag     int // several rules may share one
}

// Limits bound what Compile may use. What is zero is that of DefaultLimits.
type Limits struct {
	States int // of the automaton before it is minimised
	Memory int // bytes, an estimate
}

// DefaultLimits are far above what real profiles need, and below what does harm.
func DefaultLimits() Limits { return Limits{States: 1 << 18, Memory: 256 << 20} }

// LimitError says which limit was reached.
type LimitError struct {
	What  string // "states", "memory", "transitions"
	Limit int
}

func (e *LimitError) Error() string {
	if e.What == "memory" {
		return fmt.Sprintf("the automaton of the rules needs more than %d MiB of memory", e.Limit>>20)
	}
	return fmt.Sprintf("the automaton has more than %d %s", e.Limit, e.What)
}

// Compile makes the minimal automaton of the rules. accept is asked once for each set of tags (sorted, without repetitions) that occurs, and its error
// ends the compilation. The same rules give the same automaton, whatever their order. Compile ends with the context; where a limit is reached, the
// error is a *LimitError.
func Compile(ctx context.Context, rules []Rule, accept func(tags []int) (Accept, error), limits Limits) (*Automaton, error) {
	standard := DefaultLimits()
	limits = Limits{States: cmp.Or(limits.States, standard.States), Memory: cmp.Or(limits.Memory, standard.Memory)}
	tags := make([]int, len(rules))
	for i, rule := range rules {
		tags[i] = rule.Tag
	}
	slices.Sort(tags)
	tags = slices.Compact(tags)

	p := newPositions(tags)
	var root trie
	for _, rule := range rules {
		if rule.Pattern.node != nil {
			end, _ := slices.BinarySearch(tags, rule.Tag)
			p.insert(&root, rule.Pattern.node, int32(end+1))
		}
	}
	s := newSubsets(p, limits, accept)
	if err := s.run(ctx, p.place(&root)); err != nil {
		return nil, err
	}
	return s.minimize(ctx)
}
