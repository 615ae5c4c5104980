// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// Sets of types are worked out before values are given, as an attribute has one only if it is kept, which hangs on its types. Until then types have numbers: base's
// types their values less 1, new ones those that follow, in the order of their declarations. Values rise with the numbers.

// maximumTypes is how many types and attributes the rules' 16 bits can name.
const maximumTypes = 1<<16 - 1

// attribute is what is worked out of a type attribute.
type attribute struct {
	typ     *typ
	sets    []*attributeSet[*typ]
	members bitset // types by number
	state   setState
	uses    uint8
	keep    bool // it stands in the policy
	expand  bool // rules are written for each of its types
}

type setState uint8

const (
	setUnknown setState = iota
	setBeingWorkedOut
	setKnown
)

// Uses of an attribute, which say whether it is kept (CIL_ATTR_*).
const (
	usedInRule = 1 << iota
	usedInNeverAllow
	usedInConstraint
	usedExpand
	usedNoExpand
)

func (b *builder) typeNumbers() {
	if b.base != nil {
		for i := range b.base.Types.Entries {
			if t := &b.base.Types.Entries[i]; t.Properties&(policydb.TypePrimary|policydb.TypeAttribute) == policydb.TypePrimary {
				b.everyType.set(t.Value - 1)
			}
		}
	}
	number := b.policy.Types.Primary
	b.types = make([]*typ, number, int(number)+len(b.model.types))
	for _, t := range b.model.types {
		if !t.attribute && t.value == 0 {
			t.number = uint32(len(b.types))
			b.everyType.set(t.number)
			b.types = append(b.types, t)
		}
	}
	b.typeValues = make([]uint32, len(b.types))
	for i := range number {
		b.typeValues[i] = i + 1
	}
}

// typeSets collects what is said of attributes and works them out.
func (b *builder) typeSets() {
	for _, t := range b.model.types {
		if t.attribute {
			b.attribute(t)
		}
	}
	b.begun = true
	for i := range b.model.typeSets {
		set := &b.model.typeSets[i]
		made := b.attribute(set.attribute)
		made.sets = append(made.sets, set)
	}
	for i := 0; i < len(b.attributes); i++ {
		b.workOut(b.attributes[i])
	}
	if len(b.errors) == 0 {
		b.markUses()
	}
}

// attribute is what is known of an attribute. One of the policy compiled onto has its types from there.
func (b *builder) attribute(t *typ) *attribute {
	if t.made != nil {
		return t.made
	}
	t.made = &attribute{typ: t}
	if b.begun && t.value == 0 {
		b.given(&t.named, "type attribute")
	}
	if t.value != 0 {
		t.made.keep = true
		for i, attributes := range b.base.Attributes {
			if attributes.Has(t.value-1) && b.everyType.has(uint32(i)) {
				t.made.members.set(uint32(i))
			}
		}
	}
	b.attributes = append(b.attributes, t.made)
	return t.made
}

// typeDomain is of expressions over types.
func (b *builder) typeDomain() *domain[*typ] {
	return &domain[*typ]{everything: b.everyType, add: b.addType}
}

// addType adds a type, or the types of an attribute, by their numbers.
func (b *builder) addType(into *bitset, t *typ) {
	if !t.attribute {
		if b.isThere(t) {
			into.set(t.number)
		}
		return
	}
	made := b.attribute(t)
	b.workOut(made)
	into.union(made.members)
}

// isThere reports whether a type is in the policy: one that an abstract block declares can be named, and is not.
func (b *builder) isThere(t *typ) bool {
	if t.value != 0 || int(t.number) < len(b.types) && b.types[t.number] == t {
		return true
	}
	return b.given(&t.named, "type")
}

// given reports whether a symbol has a value.
func (b *builder) given(n *named, kind string) bool {
	if n.value == 0 {
		b.fail(n.declared, "%s %s is named elsewhere, but it is declared in an abstract block, which is not in the policy", kind, n.name)
	}
	return n.value != 0
}

func (b *builder) workOut(made *attribute) {
	switch made.state {
	case setKnown:
		return
	case setBeingWorkedOut:
		b.fail(made.typ.declared, "attribute %s is, through others, part of itself", made.typ.name)
		return
	}
	made.state = setBeingWorkedOut
	types := b.typeDomain()
	for _, set := range made.sets {
		types.evaluate(&set.set, &made.members)
	}
	made.state = setKnown
}

// markUses notes where attributes are named, as cil_resolve_ast.c does: a rule about self does not count, as its source is expanded anyway.
func (b *builder) markUses() {
	m := b.model
	for _, rule := range m.rules {
		b.markRule(rule)
	}
	for _, condition := range m.conditions {
		for _, branch := range []*branch{&condition.True, &condition.False} {
			for _, rule := range branch.rules {
				b.markRule(rule)
			}
		}
	}
	for _, list := range [][]constraint{m.constraints, m.transitions} {
		for i := range list {
			b.markConstraint(&list[i].test)
		}
	}
	for _, said := range m.expand {
		use := uint8(usedNoExpand)
		if said.expand {
			use = usedExpand
		}
		for _, t := range said.attributes {
			if made := b.attribute(t); use == usedExpand && t.value != 0 {
				b.warn(t.declared, "attribute %s is the policy's own and stays in it", t.name)
			} else if made.uses |= use; made.uses&usedExpand != 0 && made.uses&usedNoExpand != 0 {
				b.warn(t.declared, "attribute %s is to be expanded and not to be: it is not", t.name)
				made.uses &^= usedExpand
			}
		}
	}
	for i := range m.types {
		if made := m.types[i].made; made != nil && made.uses&usedInNeverAllow != 0 && generated(made.typ) {
			b.markWithin(made)
		}
	}
}

func (b *builder) markRule(rule *accessRule) {
	if rule.target == typeSelf || rule.target == typeNotSelf || rule.target == typeOther {
		return
	}
	use := uint8(usedInRule)
	if rule.kind == ruleNeverAllow {
		use = usedInNeverAllow
	}
	for _, t := range []*typ{rule.source, rule.target} {
		if t.attribute {
			b.attribute(t).uses |= use
		}
	}
}

func (b *builder) markConstraint(test *constraintExpression) {
	for _, t := range test.comparison.types {
		if t.attribute {
			b.attribute(t).uses |= usedInConstraint
		}
	}
	for i := range test.operands {
		b.markConstraint(&test.operands[i])
	}
}

// markWithin marks what a generated attribute of a neverallow consists of: it is expanded, and what it was made of is what the author named.
func (b *builder) markWithin(made *attribute) {
	var mark func(e *expression[*typ])
	mark = func(e *expression[*typ]) {
		if e.operator == setSymbol && e.symbol.attribute {
			within := b.attribute(e.symbol)
			switch {
			case !generated(e.symbol):
				within.uses |= usedInNeverAllow
			case within != made:
				b.markWithin(within)
			}
		}
		for i := range e.operands {
			mark(&e.operands[i])
		}
	}
	for _, set := range made.sets {
		mark(&set.set)
	}
}

// The names of attributes that converters of policy modules make.
const (
	requireAttribute = "cil_gen_require"
	generatedInfix   = "_typeattr_"
)

// localName is the name without the blocks around.
func localName(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

func generated(t *typ) bool { return strings.Contains(localName(t.name), generatedInfix) }

// keepAttributes decides which attributes stand in the policy; rules about the others are written for each of their types (cil_post.c, cil_typeattribute_used).
func (b *builder) keepAttributes() {
	for _, made := range b.attributes {
		if made.typ.value == 0 {
			made.keep = b.keeps(made)
		}
		made.expand = !made.keep || made.members.len() < b.options.expandSize()
	}
}

func (b *builder) keeps(made *attribute) bool {
	switch {
	case made.uses == 0:
		return false
	case made.uses&usedNoExpand != 0:
		return true
	case made.uses&usedExpand != 0:
		return false
	case made.uses&usedInConstraint != 0:
		return true
	}
	if b.options.ExpandGenerated || made.uses == usedInNeverAllow {
		if localName(made.typ.name) == requireAttribute || generated(made.typ) {
			return false
		}
	}
	return made.uses != usedInRule || made.members.len() >= b.options.expandSize()
}

// typeTable gives values to types and kept attributes, and writes them with their aliases and bounds.
func (b *builder) typeTable() {
	table := &b.policy.Types
	for _, t := range b.model.types {
		if t.value != 0 {
			continue // the policy's own, declared again
		}
		properties := uint32(policydb.TypePrimary)
		if t.attribute {
			if !b.attribute(t).keep {
				continue
			}
			properties |= policydb.TypeAttribute
		}
		if t.value = next(table); t.value > maximumTypes {
			b.fail(t.declared, "more than %d types and attributes", maximumTypes)
			return
		}
		if !t.attribute {
			b.typeValues[t.number] = t.value
		}
		table.Entries = append(table.Entries, policydb.Type{Name: t.name, Value: t.value, Properties: properties})
	}
	for _, a := range b.model.aliases {
		if of, ok := a.of.(*typ); ok && b.isThere(of) {
			table.Entries = append(table.Entries, policydb.Type{Name: a.name, Value: of.value})
		}
	}
	b.typeAttributes()
	permissive := bitset(append(policydb.Bitmap(nil), b.policy.Permissive...))
	for _, t := range b.model.permissive {
		if b.isThere(t) {
			permissive.set(t.value)
		}
	}
	b.policy.Permissive = permissive.trimmed()
	parents := parentsOf(b, b.model.typeBounds, "type", func(t *typ) *named { return &t.named })
	setBounds(b, parents, table.Entries, func(t *policydb.Type) (uint32, *uint32) {
		if t.Properties&policydb.TypePrimary == 0 {
			return 0, nil
		}
		return t.Value, &t.Bounds
	})
}

// typeAttributes writes which attributes the types have.
func (b *builder) typeAttributes() {
	p := b.policy
	words := int(p.Types.Primary/wordBits) + 1
	room := make([]uint64, words*(int(p.Types.Primary)-len(p.Attributes)))
	for value := uint32(len(p.Attributes)); value < p.Types.Primary; value++ {
		own := room[:words:words]
		room = room[words:]
		own[value/wordBits] |= 1 << (value % wordBits)
		p.Attributes = append(p.Attributes, own)
	}
	shared := 0
	if b.base != nil {
		shared = len(b.base.Attributes)
	}
	changed := make([]bool, shared)
	for _, made := range b.attributes {
		if !made.keep {
			continue
		}
		for number := range made.members.all() {
			at := b.typeValues[number] - 1
			if int(at) < shared {
				if p.Attributes[at].Has(made.typ.value - 1) {
					continue
				}
				if !changed[at] {
					p.Attributes[at] = append(policydb.Bitmap(nil), p.Attributes[at]...)
					changed[at] = true
				}
			}
			(*bitset)(&p.Attributes[at]).set(made.typ.value - 1)
		}
	}
	for i := shared; i < len(p.Attributes); i++ {
		p.Attributes[i] = bitset(p.Attributes[i]).trimmed()
	}
}

// byValue turns a set of types by number into the policy's form.
func (b *builder) byValue(types bitset) policydb.Bitmap {
	var values bitset
	for number := range types.all() {
		values.set(b.typeValues[number] - 1)
	}
	return values.trimmed()
}

// typesOf are the types that a type or an attribute stands for, by number.
func (b *builder) typesOf(t *typ) bitset {
	if t.attribute {
		return b.attribute(t).members
	}
	var one bitset
	b.addType(&one, t)
	return one
}

// typeName is the name of a type by its number, for messages.
func (b *builder) typeName(number uint32) string { return b.typeOf(number).name }
