// SPDX-License-Identifier: Apache-2.0

package policydb

import "slices"

// Optimize removes the access rules that others cover, and from others the permissions that are given anyway: by rules about wider attributes, and of conditional rules
// by such as hold always. It leaves what libsepol's policydb_optimize leaves, which goes through the tables in their order, so that Arrange is to come before; as every
// change it comes before the first question.
func (p *Policy) Optimize() {
	o := &optimizer{policy: p, first: make(map[uint64]int32, len(p.Rules)), next: make([]int32, len(p.Rules)), removed: make([]bool, len(p.Rules))}
	o.findWider()
	for i := len(p.Rules) - 1; i >= 0; i-- {
		if rule := &p.Rules[i]; rule.Kind&(ruleAccess|ruleExtended) != 0 {
			key := optimizerKey(rule.Source, rule.Target, rule.Class, rule.Kind)
			o.next[i], o.first[key] = o.first[key], int32(i)+1
		}
	}
	for i := range p.Rules {
		p.Rules[i].own()
		o.removed[i] = o.covered(&p.Rules[i], true)
	}
	for i := range p.Conditions {
		condition := &p.Conditions[i]
		condition.True, condition.False = o.branch(condition.True), o.branch(condition.False)
	}
	p.Conditions = slices.DeleteFunc(p.Conditions, func(c Condition) bool { return len(c.True)+len(c.False) == 0 })
	at := -1
	p.Rules = slices.DeleteFunc(p.Rules, func(Rule) bool {
		at++
		return o.removed[at]
	})
}

type optimizer struct {
	policy  *Policy
	group   []bool           // by value less 1: attributes
	wider   [][]uint16       // by value less 1 of a type or an attribute: the values of those that have all of its types
	first   map[uint64]int32 // the place, plus 1, of the first rule of a key that holds always
	next    []int32          // the place, plus 1, of the next one of its key: there are several of extended ones
	removed []bool
}

func optimizerKey(source, target, class, kind uint16) uint64 {
	return uint64(source)<<48 | uint64(target)<<32 | uint64(class)<<16 | uint64(kind&^ruleEnabled)
}

// own gives the rule extended permissions of its own.
func (r *Rule) own() {
	if r.Extended != nil {
		extended := *r.Extended
		r.Extended = &extended
	}
}

// findWider finds the attributes that contain each type or attribute, and it itself.
func (o *optimizer) findWider() {
	p := o.policy
	o.group, o.wider = make([]bool, p.Types.Primary), make([][]uint16, p.Types.Primary)
	for i := range p.Types.Entries {
		if t := &p.Types.Entries[i]; t.Properties == TypePrimary|TypeAttribute {
			o.group[t.Value-1] = true
		}
	}
	members := make([]Bitmap, p.Types.Primary)
	for typ, attributes := range p.Attributes {
		if o.group[typ] {
			continue
		}
		for attribute := range attributes.All() {
			members[attribute].set(uint32(typ))
			o.wider[typ] = append(o.wider[typ], uint16(attribute+1))
		}
	}
	for i := range o.group {
		for other := range o.group {
			if o.group[i] && o.group[other] && members[other].Contains(members[i]) {
				o.wider[i] = append(o.wider[i], uint16(other+1))
			}
		}
	}
}

// covered takes away from the rule what others of the table give, and reports whether nothing is left. own says that the rule is itself of the table.
func (o *optimizer) covered(rule *Rule, own bool) bool {
	if rule.Kind&(ruleAccess|ruleExtended) == 0 {
		return false
	}
	for _, source := range o.wider[rule.Source-1] {
		for _, target := range o.wider[rule.Target-1] {
			if own && source == rule.Source && target == rule.Target {
				continue
			}
			at := o.first[optimizerKey(source, target, rule.Class, rule.Kind)]
			for at > 0 && o.removed[at-1] {
				at = o.next[at-1]
			}
			if at > 0 && rule.without(&o.policy.Rules[at-1]) {
				return true
			}
		}
	}
	return false
}

// without takes away what the other rule gives, and reports whether nothing is left.
func (r *Rule) without(other *Rule) bool {
	switch {
	case r.Kind&RuleAuditDeny != 0:
		r.Data |= ^other.Data
		return r.Data == ^uint32(0)
	case r.Kind&ruleAccess != 0:
		r.Data &^= other.Data
		return r.Data == 0
	case r.Extended.Kind == extendedFunctions && other.Extended.Kind == extendedDrivers:
		return other.Extended.Bits[r.Extended.Driver/32]&(1<<(r.Extended.Driver%32)) != 0
	case r.Extended.Kind != other.Extended.Kind || r.Extended.Kind != extendedDrivers && r.Extended.Driver != other.Extended.Driver:
		return false
	}
	left := uint32(0)
	for i := range r.Extended.Bits {
		r.Extended.Bits[i] &^= other.Extended.Bits[i]
		left |= r.Extended.Bits[i]
	}
	return left == 0
}

// branch is the branch of a condition without what is covered. Rules about attributes, which can cover others, come last and turned around.
func (o *optimizer) branch(rules []Rule) []Rule {
	var list, covering []Rule
	for i := range rules {
		rules[i].own()
		if o.group[rules[i].Source-1] || o.group[rules[i].Target-1] {
			covering = append(covering, rules[i])
		} else {
			list = append(list, rules[i])
		}
	}
	slices.Reverse(covering)
	first := len(list)
	list = append(list, covering...)
	removed := make([]bool, len(list))
	kept := make([]Rule, 0, len(list))
	for i := range list {
		if removed[i] = o.covered(&list[i], false) || o.coveredBy(&list[i], list[first:], removed[first:]); !removed[i] {
			kept = append(kept, list[i])
		}
	}
	return kept
}

// coveredBy takes away what the other rules of the branch give, and reports whether nothing is left.
func (o *optimizer) coveredBy(rule *Rule, others []Rule, removed []bool) bool {
	if rule.Kind&(ruleAccess|ruleExtended) == 0 {
		return false
	}
	for i := range others {
		other := &others[i]
		if removed[i] || other.Kind != rule.Kind || other.Class != rule.Class || other.Source == rule.Source && other.Target == rule.Target ||
			!slices.Contains(o.wider[rule.Source-1], other.Source) || !slices.Contains(o.wider[rule.Target-1], other.Target) {
			continue
		}
		if rule.without(other) {
			return true
		}
	}
	return false
}
