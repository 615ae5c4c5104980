// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// constraintDepth is how many operands may wait for their operator: CEXPR_MAXDEPTH. Deeper ones the kernel does not load.
const constraintDepth = 5

// versionConstraintNames brought the types of a constraint as they are written, beside what they come to.
const versionConstraintNames = 29

// constrain writes constraints and validatetrans. libsepol puts each before those that its class has already.
func (b *builder) constrain() {
	b.growConstraints()
	constraints, transitions := map[uint32][]policydb.Constraint{}, map[uint32][]policydb.Constraint{}
	for i := range b.model.constraints {
		said := &b.model.constraints[i]
		if expression := b.terms(said); expression != nil {
			b.vectors = b.addVectors(b.vectors[:0], said.permissions)
			for _, vector := range b.vectors {
				constraints[vector.class] = append(constraints[vector.class], policydb.Constraint{Permissions: vector.permissions, Expression: expression})
			}
		}
	}
	for i := range b.model.transitions {
		said := &b.model.transitions[i]
		if expression := b.terms(said); expression != nil {
			for j := range said.permissions {
				for _, c := range b.plainClasses(said.permissions[j].class) {
					transitions[c] = append(transitions[c], policydb.Constraint{Expression: expression})
				}
			}
		}
	}
	for c, added := range constraints {
		entry := b.classEntry(c)
		entry.Constraints = inFront(added, entry.Constraints)
	}
	for c, added := range transitions {
		entry := b.classEntry(c)
		entry.Transitions = inFront(added, entry.Transitions)
	}
}

// terms is the expression with operands before operators; nil for one about levels in a policy that has none.
func (b *builder) terms(said *constraint) []policydb.Term {
	if said.mls && !b.policy.MLS {
		return nil
	}
	terms := b.addTerms(nil, &said.test)
	depth := 0
	for i := range terms {
		switch terms[i].Kind {
		case policydb.TermAttributes, policydb.TermNames:
			if depth++; depth > constraintDepth {
				b.fail(said.at, "the constraint is deeper than %d operands", constraintDepth)
				return nil
			}
		case policydb.TermAnd, policydb.TermOr:
			depth--
		}
	}
	return terms
}

func (b *builder) addTerms(terms []policydb.Term, test *constraintExpression) []policydb.Term {
	if test.operator == constraintCompare {
		return append(terms, b.term(&test.comparison))
	}
	kind := uint32(policydb.TermOr)
	if test.operator == constraintAnd {
		kind = policydb.TermAnd
	}
	for i := range test.operands {
		terms = b.addTerms(terms, &test.operands[i])
		if i > 0 {
			terms = append(terms, policydb.Term{Kind: kind})
		}
	}
	if test.operator == constraintNot {
		terms = append(terms, policydb.Term{Kind: policydb.TermNot})
	}
	return terms
}

// term is a comparison. Names stand in it expanded, and from version 29 on types as they are written too.
func (b *builder) term(compared *comparison) policydb.Term {
	term := policydb.Term{Kind: policydb.TermAttributes, Attribute: compared.attribute, Operator: compared.operator}
	if !compared.names {
		return term
	}
	term.Kind = policydb.TermNames
	var names, types, written bitset
	for _, u := range compared.users {
		b.userAttributes.add(&names, u)
	}
	for _, r := range compared.roles {
		b.roleAttributes.add(&names, r)
	}
	for _, t := range compared.types {
		b.addType(&types, t)
		if b.policy.Version >= versionConstraintNames && (!t.attribute || b.attribute(t).keep) {
			written.set(t.value - 1)
		}
	}
	if len(types) > 0 {
		term.Names = b.byValue(types)
	} else {
		term.Names = names.trimmed()
	}
	term.Types.Types = written.trimmed()
	return term
}

// growConstraints brings types that join an attribute of the policy compiled onto under the constraints there that name it: a constraint has its types expanded.
func (b *builder) growConstraints() {
	if b.base == nil {
		return
	}
	grown := map[uint32]policydb.Bitmap{} // by the attribute's value less 1: its types that are new
	for _, made := range b.attributes {
		if value := made.typ.value; value <= b.base.Types.Primary && len(made.sets) > 0 {
			var joined bitset
			for number := range made.members.all() {
				if at := b.typeValues[number] - 1; int(at) >= len(b.base.Attributes) || !b.base.Attributes[at].Has(value-1) {
					joined.set(at)
				}
			}
			if len(joined) > 0 {
				grown[value-1] = joined.trimmed()
			}
		}
	}
	if len(grown) == 0 {
		return
	}
	if b.base.Version < versionConstraintNames {
		b.warn(place{}, "constraints in a policy of version %d do not say which attributes they name: types that join one do not come under them", b.base.Version)
	}
	for i := range b.policy.Classes.Entries {
		entry := &b.policy.Classes.Entries[i]
		entry.Constraints = grownConstraints(entry.Constraints, grown)
		entry.Transitions = grownConstraints(entry.Transitions, grown)
	}
}

// grownConstraints is the list itself, or a copy where a term's types grew.
func grownConstraints(list []policydb.Constraint, grown map[uint32]policydb.Bitmap) []policydb.Constraint {
	shared := true
	for i := range list {
		if expression := grownExpression(list[i].Expression, grown); expression != nil {
			if shared {
				list, shared = slices.Clone(list), false
			}
			list[i].Expression = expression
		}
	}
	return list
}

// grownExpression is a copy in which types joined; nil if none did.
func grownExpression(expression []policydb.Term, grown map[uint32]policydb.Bitmap) []policydb.Term {
	var made []policydb.Term
	for i := range expression {
		if expression[i].Kind != policydb.TermNames || expression[i].Attribute&policydb.AttributeType == 0 {
			continue
		}
		for written := range expression[i].Types.Types.All() {
			joined := grown[written]
			if len(joined) == 0 || expression[i].Names.Contains(joined) {
				continue
			}
			if made == nil {
				made = slices.Clone(expression)
			}
			names := append(bitset(nil), made[i].Names...)
			names.union(bitset(joined))
			made[i].Names = names.trimmed()
		}
	}
	return made
}
