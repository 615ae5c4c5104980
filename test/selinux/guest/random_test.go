// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// extend adds rules of every kind to a policy at random, within what the kernel takes. The policy must not have been asked yet.
func extend(policy *policydb.Policy, random *rand.Rand) {
	e := &extender{Rand: random, p: policy, taken: map[[4]uint32]bool{}}
	for _, entry := range policy.Types.Entries {
		switch {
		case entry.Properties&policydb.TypePrimary == 0:
		case entry.Properties&policydb.TypeAttribute != 0:
			e.attributes = append(e.attributes, entry.Value)
		default:
			e.types = append(e.types, entry.Value)
		}
	}
	e.symbols()
	for range 60 + e.IntN(200) {
		policy.Rules = append(policy.Rules, e.accessRule())
	}
	for range 60 {
		if rule, ok := e.typeRule(); ok {
			policy.Rules = append(policy.Rules, rule)
		}
	}
	for range e.IntN(8) {
		policy.Conditions = append(policy.Conditions, e.condition())
	}
	e.classes()
	e.transitions()
	policy.Unknown = among(random, []policydb.UnknownPermissions{policydb.DenyUnknown, policydb.AllowUnknown})
}

type extender struct {
	*rand.Rand
	p                 *policydb.Policy
	types, attributes []uint32
	taken             map[[4]uint32]bool // keys of rules of which there may be but one
}

func set(bitmap *policydb.Bitmap, bit uint32) {
	for uint32(len(*bitmap)) <= bit/64 {
		*bitmap = append(*bitmap, 0)
	}
	(*bitmap)[bit/64] |= 1 << (bit % 64)
}

// some is a set of about a third of the numbers below the count.
func (e *extender) some(count uint32) policydb.Bitmap {
	var bitmap policydb.Bitmap
	for bit := range count {
		if e.IntN(3) == 0 {
			set(&bitmap, bit)
		}
	}
	return bitmap
}

// symbols changes which types are permissive, bounded or have an attribute, and what goes with roles and users.
func (e *extender) symbols() {
	for i := range e.p.Types.Entries {
		entry := &e.p.Types.Entries[i]
		if entry.Properties != policydb.TypePrimary || entry.Name == "kernel_t" {
			continue
		}
		set(&e.p.Attributes[entry.Value-1], among(e.Rand, e.attributes)-1)
		if e.IntN(6) == 0 {
			set(&e.p.Permissive, entry.Value)
		}
		// A child of a type with a lower value cannot be its own ancestor. The kernel follows four steps.
		if e.IntN(4) == 0 && entry.Value > e.types[0] && !strings.Contains(entry.Name, "child") {
			entry.Bounds = e.types[0]
		}
	}
	for i := range e.p.Roles.Entries {
		role := &e.p.Roles.Entries[i]
		role.Dominates = e.some(e.p.Roles.Primary)
		set(&role.Dominates, role.Value-1)
		if e.IntN(2) == 0 && role.Name != "staff_r_child" {
			for range 5 {
				set(&role.Types, among(e.Rand, e.types)-1)
			}
		}
	}
}

// either is a type or an attribute.
func (e *extender) either() uint16 {
	if e.IntN(2) == 0 {
		return uint16(among(e.Rand, e.attributes))
	}
	return uint16(among(e.Rand, e.types))
}

func (e *extender) class() *policydb.Class {
	return &e.p.Classes.Entries[e.IntN(len(e.p.Classes.Entries))]
}

// permissions are some of those that the class has, at least one.
func (e *extender) permissions(class *policydb.Class) uint32 {
	all := uint32(1)<<class.Permissions.Primary - 1
	if chosen := e.Uint32() & e.Uint32() & all; chosen != 0 {
		return chosen
	}
	return all
}

// free reports that a key is not taken, and takes it.
func (e *extender) free(key ...uint32) bool {
	var whole [4]uint32
	copy(whole[:], key)
	if e.taken[whole] {
		return false
	}
	e.taken[whole] = true
	return true
}

func (e *extender) accessRule() policydb.Rule {
	class := e.class()
	rule := policydb.Rule{Source: e.either(), Target: e.either(), Class: uint16(class.Value)}
	for _, there := range e.p.Rules {
		if there.Source == rule.Source && there.Target == rule.Target && there.Class == rule.Class {
			return e.accessRule()
		}
	}
	kinds := []uint16{policydb.RuleAllow, policydb.RuleAllow, policydb.RuleAllow, policydb.RuleAuditAllow, policydb.RuleAuditDeny,
		policydb.RuleAllowExtended, policydb.RuleAuditExtended, policydb.RuleSilentExtended}
	switch rule.Kind = among(e.Rand, kinds); rule.Kind {
	case policydb.RuleAllow, policydb.RuleAuditAllow:
		rule.Data = e.permissions(class)
	case policydb.RuleAuditDeny:
		rule.Data = ^e.permissions(class)
	default:
		rule.Extended = &policydb.Extended{Kind: 1 + uint8(e.IntN(2)), Driver: uint8(e.IntN(256)), Bits: [8]uint32{e.Uint32(), e.Uint32()}}
	}
	return rule
}

func (e *extender) typeRule() (policydb.Rule, bool) {
	kind := among(e.Rand, []uint16{policydb.RuleTransition, policydb.RuleMember, policydb.RuleChange})
	rule := policydb.Rule{Source: uint16(among(e.Rand, e.types)), Target: uint16(among(e.Rand, e.types)), Class: uint16(e.class().Value), Kind: kind, Data: among(e.Rand, e.types)}
	return rule, e.free(uint32(rule.Source), uint32(rule.Target), uint32(rule.Class)<<16|uint32(kind))
}

// condition is one over all operators. Its state is undefined, which makes the kernel work it out.
func (e *extender) condition() policydb.Condition {
	const boolean, not, last = 1, 2, 7
	condition := policydb.Condition{State: ^uint32(0)}
	add := func(kind, value uint32) {
		condition.Expression = append(condition.Expression, policydb.ConditionTerm{Kind: kind, Boolean: value})
	}
	add(boolean, 1+e.Uint32N(e.p.Booleans.Primary))
	for range e.IntN(4) {
		if add(boolean, 1+e.Uint32N(e.p.Booleans.Primary)); e.IntN(3) == 0 {
			add(not, 0)
		}
		add(not+1+e.Uint32N(last-not), 0)
	}
	for _, branch := range []*[]policydb.Rule{&condition.True, &condition.False} {
		for range e.IntN(20) {
			if rule := e.accessRule(); rule.Extended == nil {
				*branch = append(*branch, rule)
			}
			if rule, ok := e.typeRule(); ok {
				*branch = append(*branch, rule)
			}
		}
	}
	return condition
}

// classes gives the classes constraints, validatetrans rules and defaults.
func (e *extender) classes() {
	for i := range e.p.Classes.Entries {
		class := &e.p.Classes.Entries[i]
		for range 1 + e.IntN(3) {
			class.Constraints = append(class.Constraints, policydb.Constraint{Permissions: e.permissions(class), Expression: e.expression(false)})
		}
		for range 1 + e.IntN(2) {
			class.Transitions = append(class.Transitions, policydb.Constraint{Expression: e.expression(true)})
		}
		if e.IntN(2) == 0 {
			class.DefaultUser, class.DefaultRole, class.DefaultType = e.Uint32N(3), e.Uint32N(3), e.Uint32N(3)
		}
		if e.IntN(2) == 0 {
			class.DefaultRange = min(7, 1+e.Uint32N(9))
		}
	}
}

// expression is one in postfix order, no deeper than the kernel evaluates. A term that is hardly ever true makes a dull constraint: most are joined by or.
func (e *extender) expression(third bool) []policydb.Term {
	var terms []policydb.Term
	for depth, want := 0, 1+e.IntN(5); ; {
		switch {
		case depth > 0 && e.IntN(6) == 0:
			terms = append(terms, policydb.Term{Kind: policydb.TermNot})
		case depth > 1 && (want <= 0 || depth == 5 || e.IntN(3) == 0):
			terms = append(terms, policydb.Term{Kind: among(e.Rand, []uint32{policydb.TermAnd, policydb.TermOr, policydb.TermOr})})
			depth--
		case want > 0:
			terms = append(terms, e.term(third))
			depth++
			want--
		}
		if depth == 1 && want == 0 {
			return terms
		}
	}
}

func (e *extender) term(third bool) policydb.Term {
	who := among(e.Rand, []uint32{policydb.AttributeUser, policydb.AttributeRole, policydb.AttributeType})
	switch e.IntN(3) {
	case 0:
		counts := map[uint32]uint32{policydb.AttributeUser: e.p.Users.Primary, policydb.AttributeRole: e.p.Roles.Primary, policydb.AttributeType: e.p.Types.Primary}
		term := policydb.Term{Kind: policydb.TermNames, Attribute: who, Operator: 1 + e.Uint32N(2), Names: e.some(counts[who])}
		sides := []uint32{0, policydb.AttributeTarget, policydb.AttributeThird}
		if !third {
			sides = sides[:2]
		}
		term.Attribute |= among(e.Rand, sides)
		return term
	case 1:
		operators := uint32(2)
		if e.IntN(2) == 0 {
			who, operators = policydb.AttributeRole, policydb.OperatorIncomparable
		}
		return policydb.Term{Kind: policydb.TermAttributes, Attribute: who, Operator: 1 + e.Uint32N(operators)}
	}
	return policydb.Term{Kind: policydb.TermAttributes, Attribute: policydb.AttributeLowLow << e.IntN(6), Operator: 1 + e.Uint32N(policydb.OperatorIncomparable)}
}

// transitions adds role and range transitions, role allows, and transitions by file name.
func (e *extender) transitions() {
	role := func() uint32 { return 1 + e.Uint32N(e.p.Roles.Primary) }
	for range 20 {
		class := e.class().Value
		if change := (policydb.RoleTransition{Role: role(), Type: among(e.Rand, e.types), NewRole: role(), Class: class}); e.free(1, change.Role, change.Type, class) {
			e.p.RoleChanges = append(e.p.RoleChanges, change)
		}
		if rule := (policydb.RangeTransition{Source: among(e.Rand, e.types), Target: among(e.Rand, e.types), Class: class, Range: e.levels()}); e.free(2<<16|rule.Source, rule.Target, class, 1) {
			e.p.RangeRules = append(e.p.RangeRules, rule)
		}
		name := fmt.Sprintf("file %d+%%é", e.IntN(5))
		if named := (policydb.FilenameTransition{Name: name, Target: among(e.Rand, e.types), Class: class}); e.free(3<<16|uint32(name[5]), named.Target, class) {
			var sources policydb.Bitmap
			for range 3 {
				set(&sources, among(e.Rand, e.types)-1)
			}
			named.Results = []policydb.FilenameResult{{Sources: sources, Type: among(e.Rand, e.types)}}
			e.p.Filenames = append(e.p.Filenames, named)
		}
	}
	for range e.IntN(6) {
		if allow := (policydb.RoleAllow{Role: role(), NewRole: role()}); !slices.Contains(e.p.RoleAllows, allow) {
			e.p.RoleAllows = append(e.p.RoleAllows, allow)
		}
	}
}

// levels is a range that is valid: s3 goes with fewer categories than the others.
func (e *extender) levels() policydb.Range {
	low := policydb.Level{Sensitivity: 1 + e.Uint32N(3), Categories: e.some(3)}
	high := policydb.Level{Sensitivity: low.Sensitivity + e.Uint32N(4-low.Sensitivity), Categories: slices.Clone(low.Categories)}
	set(&high.Categories, 3+e.Uint32N(80))
	if e.IntN(3) == 0 {
		return policydb.Range{Low: low, High: low, Single: true}
	}
	return policydb.Range{Low: low, High: high}
}
