// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"cmp"
	"slices"
)

// index has the access rules of the policy by class and source, so that a decision looks at those of the source's attributes only, one after the other in
// memory. The policy itself has them in a hash table by source, target and class, which takes a lookup for each pair of attributes.
type index struct {
	starts []uint32 // by class*types+source, each less 1: where its rules start; one more at the end
	rules  []indexed
	types  uint32
}

// indexed is one access rule: what it says of a target.
type indexed struct {
	target uint16
	kind   uint16
	data   uint32
	branch uint32 // 0: holds always; else 1 + 2*condition for the true branch, 2 + 2*condition for the false one
}

// bucket is the rules of a source in a class, sorted by target.
func (x *index) bucket(class, source uint32) []indexed {
	at := (class-1)*x.types + source - 1
	return x.rules[x.starts[at]:x.starts[at+1]]
}

// eachAccessRule goes over the access rules, those of conditions too.
func (p *Policy) eachAccessRule(visit func(rule *Rule, branch uint32)) {
	for i := range p.Rules {
		if p.Rules[i].Kind&ruleAccess != 0 {
			visit(&p.Rules[i], 0)
		}
	}
	for i := range p.Conditions {
		for branch, rules := range [][]Rule{p.Conditions[i].True, p.Conditions[i].False} {
			for j := range rules {
				if rules[j].Kind&ruleAccess != 0 {
					visit(&rules[j], uint32(1+2*i+branch))
				}
			}
		}
	}
}

func (p *Policy) makeIndex() *index {
	x := &index{types: p.Types.Primary, starts: make([]uint32, p.Classes.Primary*p.Types.Primary+1)}
	place := func(rule *Rule) uint32 { return (uint32(rule.Class)-1)*x.types + uint32(rule.Source) - 1 }
	count := 0
	p.eachAccessRule(func(rule *Rule, _ uint32) {
		x.starts[place(rule)+1]++
		count++
	})
	for i := 1; i < len(x.starts); i++ {
		x.starts[i] += x.starts[i-1]
	}
	x.rules = make([]indexed, count)
	next := slices.Clone(x.starts)
	p.eachAccessRule(func(rule *Rule, branch uint32) {
		at := place(rule)
		x.rules[next[at]] = indexed{rule.Target, rule.Kind & ruleAccess, rule.Data, branch}
		next[at]++
	})
	for i := 1; i < len(x.starts); i++ {
		if bucket := x.rules[x.starts[i-1]:x.starts[i]]; len(bucket) > 1 {
			slices.SortStableFunc(bucket, func(a, b indexed) int { return cmp.Compare(a.target, b.target) })
		}
	}
	return x
}
