// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"fmt"
	"slices"
	"strings"
)

// A deny rule takes permissions away from what allow rules give. As the binary policy cannot say that, each allow rule that it touches is replaced by rules that leave
// out what is denied, about attributes made for the purpose: the algorithm, the names and the places of the attributes are those of libsepol's cil_deny.c (3.6), whose
// letters the variables have. With S1 T1 P1 allowed and S2 T2 P2 denied, P3 is P1 without P2 and P4 what both have; S3 is S1 without S2, S4 what both have.

// denyAttribute begins the names of the attributes.
const denyAttribute = "deny_rule_attr"

// denyRules rewrites the model's rules.
func (b *builder) denyRules() {
	if len(b.model.denies) == 0 {
		return
	}
	d := &denier{builder: b, classes: map[uint32]*class{}, seen: map[*permission]bool{}}
	for _, deny := range b.model.denies {
		d.learn(deny.permissions)
		b.model.rules = d.apply(deny, b.model.rules)
		for _, condition := range b.model.conditions {
			for _, branch := range []*branch{&condition.True, &condition.False} {
				branch.rules = d.apply(deny, branch.rules)
			}
		}
	}
}

type denier struct {
	*builder
	classes map[uint32]*class // by value, as far as rules have named them
	seen    map[*permission]bool
	made    []*accessRule // of the rule at hand
}

// learn notes the classes that permissions are of.
func (d *denier) learn(permissions []classPermissions) {
	for i := range permissions {
		c := permissions[i].class
		if c.kind != classMapKind {
			d.classes[c.value] = c
			continue
		}
		for _, p := range c.permissions {
			if !d.seen[p] {
				d.seen[p] = true
				for _, means := range d.mappings[p].means {
					d.learn(means)
				}
			}
		}
	}
}

// apply puts new rules in the place of those that the deny touches.
func (d *denier) apply(deny *accessRule, rules []*accessRule) []*accessRule {
	denied := map[uint32]uint32{}
	for _, vector := range d.addVectors(nil, deny.permissions) {
		denied[vector.class] |= vector.permissions
	}
	var kept []*accessRule
	for i, rule := range rules {
		if rule.kind != ruleAllow || rule.extended != nil || !d.meets(rule, deny) {
			if kept != nil {
				kept = append(kept, rule)
			}
			continue
		}
		d.learn(rule.permissions)
		var p3, p4 []classVector
		for _, vector := range d.addVectors(nil, rule.permissions) {
			p3 = addVector(p3, vector.class, vector.permissions&^denied[vector.class])
			p4 = addVector(p4, vector.class, vector.permissions&denied[vector.class])
		}
		if len(p4) == 0 {
			if kept != nil {
				kept = append(kept, rule)
			}
			continue
		}
		if kept == nil {
			kept = append(make([]*accessRule, 0, len(rules)), rules[:i]...)
		}
		d.made = nil
		d.allow(rule, rule.source, rule.target, p3)
		d.narrow(rule, deny, p4)
		kept = append(kept, d.made...)
	}
	if kept == nil {
		return rules
	}
	return kept
}

func addVector(vectors []classVector, class, permissions uint32) []classVector {
	if permissions == 0 {
		return vectors
	}
	return append(vectors, classVector{class, permissions})
}

// meets reports whether some source and target are both rules'.
func (d *denier) meets(rule, deny *accessRule) bool {
	sources := append(bitset(nil), d.typesOf(rule.source)...)
	sources.and(d.typesOf(deny.source))
	for source := range sources.all() {
		targets := d.targetsOf(rule, source)
		targets.and(d.targetsOf(deny, source))
		if targets.len() > 0 {
			return true
		}
	}
	return false
}

// targetsOf are the targets that a rule has for one source.
func (d *denier) targetsOf(rule *accessRule, source uint32) bitset {
	own := bitset(onlyBit(source))
	var targets bitset
	switch rule.target {
	case typeSelf:
		return own
	case typeNotSelf:
		targets = append(targets, d.everyType...)
		targets.without(own)
	case typeOther:
		targets = append(targets, d.typesOf(rule.source)...)
		targets.without(own)
	default:
		targets = append(targets, d.typesOf(rule.target)...)
	}
	return targets
}

// allow adds a rule; nil stands for no type.
func (d *denier) allow(of *accessRule, source, target *typ, vectors []classVector) {
	if source == nil || target == nil || len(vectors) == 0 {
		return
	}
	made := &accessRule{at: of.at, kind: ruleAllow, source: source, target: target}
	for _, vector := range vectors {
		c := d.classes[vector.class]
		list := expression[*permission]{operator: setOr}
		add := func(permissions []*permission) {
			for _, p := range permissions {
				if vector.permissions&(1<<(p.value-1)) != 0 {
					list.operands = append(list.operands, expression[*permission]{symbol: p})
				}
			}
		}
		if add(c.permissions); c.common != nil {
			add(c.common.permissions)
		}
		made.permissions = append(made.permissions, classPermissions{at: of.at, class: c, permissions: list})
	}
	d.made = append(d.made, made)
}

// narrow adds the rules for the permissions that are denied to some of the pairs.
func (d *denier) narrow(rule, deny *accessRule, p4 []classVector) {
	s1, t1, s2, t2 := rule.source, rule.target, deny.source, deny.target
	allow := func(source, target *typ) { d.allow(rule, source, target, p4) }
	s3 := d.without(s1, s2)
	allow(s3, t1)
	if t1 == t2 && (t1 == typeSelf || t1 == typeNotSelf) {
		return
	}
	s4 := d.both(s1, s2)
	switch {
	case t1 == typeNotSelf:
		d.narrowNotSelf(s2, t2, s4, allow)
	case t1 == typeOther:
		d.narrowOther(s1, t2, s3, s4, allow)
	case t2 == typeNotSelf || t2 == typeOther:
		if allow(d.both(s4, t1), typeSelf); t2 == typeOther {
			allow(s4, d.without(t1, s2))
		}
	case t1 == typeSelf:
		allow(d.without(s4, t2), typeSelf)
	case t2 == typeSelf:
		s7, s8 := d.without(s4, t1), d.both(s4, t1)
		t8 := d.without(t1, s4)
		allow(s7, t1)
		allow(s8, t8)
		d.allowOther(s8, allow)
	default:
		allow(s4, d.without(t1, t2))
	}
}

// narrowNotSelf is for rules about all types but the source.
func (d *denier) narrowNotSelf(s2, t2, s4 *typ, allow func(source, target *typ)) {
	if t2 == typeOther {
		allow(s4, d.allBut(s2))
		return
	}
	s5, s6 := d.without(s4, t2), d.both(s4, t2)
	ta := d.allBut(t2)
	tb := d.without(ta, s4)
	allow(s6, ta)
	allow(s5, tb)
	d.allowOther(s5, allow)
}

// narrowOther is for rules about the other types of the source's attribute.
func (d *denier) narrowOther(s1, t2, s3, s4 *typ, allow func(source, target *typ)) {
	allow(s3, s4)
	switch t2 {
	case typeNotSelf:
	case typeOther:
		allow(s4, s3)
	default:
		s5, s6 := d.without(s4, t2), d.both(s4, t2)
		tc, td := d.without(s1, t2), d.without(s3, t2)
		allow(s6, tc)
		allow(s5, td)
		d.allowOther(s5, allow)
	}
}

// allowOther lets each of several types at the others.
func (d *denier) allowOther(s *typ, allow func(source, target *typ)) {
	if s != nil && d.typesOf(s).len() > 1 {
		allow(s, typeOther)
	}
}

// without is the types of x that y has not; nil if there are none, x itself if y is nil.
func (d *denier) without(x, y *typ) *typ {
	if x == nil || y == nil || x == y {
		if y == nil {
			return x
		}
		return nil
	}
	types := append(bitset(nil), d.typesOf(x)...)
	types.without(d.typesOf(y))
	return d.named(types, x)
}

// both is the types that x and y have.
func (d *denier) both(x, y *typ) *typ {
	if x == nil || y == nil || x == y {
		if x == y {
			return x
		}
		return nil
	}
	types := append(bitset(nil), d.typesOf(x)...)
	types.and(d.typesOf(y))
	return d.named(types, x)
}

func (d *denier) allBut(x *typ) *typ {
	types := append(bitset(nil), d.everyType...)
	types.without(d.typesOf(x))
	return d.named(types, x)
}

// named is a type or an attribute for the types: one that is there, else a new one, which stands behind beside, and in its block.
func (d *denier) named(types bitset, beside *typ) *typ {
	switch types.len() {
	case 0:
		return nil
	case 1:
		for number := range types.all() {
			return d.typeOf(number)
		}
	}
	path := beside.name[:strings.LastIndexByte(beside.name, '.')+1]
	for _, where := range []string{path, ""} {
		for _, made := range d.attributes {
			if name := made.typ.name; strings.TrimSuffix(name, localName(name)) == where && made.members.equal(types) {
				return made.typ
			}
		}
	}
	count := len(d.model.types)
	t := &typ{named: named{name: fmt.Sprintf("%s%s_%d", path, denyAttribute, count), declared: beside.declared}, attribute: true}
	t.made = &attribute{typ: t, members: types, state: setKnown, uses: usedInRule}
	t.made.keep = types.len() >= d.options.expandSize()
	t.made.expand = !t.made.keep
	d.attributes = append(d.attributes, t.made)
	d.model.types = slices.Insert(d.model.types, slices.Index(d.model.types, beside)+1, t)
	return t
}

// typeOf is the type of a number.
func (b *builder) typeOf(number uint32) *typ {
	if b.types[number] == nil {
		b.types[number] = &typ{named: named{name: b.nameOfType(number + 1), value: number + 1, number: number}}
	}
	return b.types[number]
}
