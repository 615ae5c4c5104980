// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// ReferenceError is a policy in which something refers to what is not there, or that asks for more than the kernel evaluates.
type ReferenceError struct {
	Where  string
	Reason string
}

func (e *ReferenceError) Error() string { return "policy: " + e.Where + ": " + e.Reason }

// boundsDepth is how many bounds may follow one another: the kernel's POLICYDB_BOUNDS_MAXDEPTH.
const boundsDepth = 4

// maximumPermissions is the width of an access vector.
const maximumPermissions = 32

// maximumTypes is how many types rules can name, in 16 bits.
const maximumTypes = 1 << 16

// Check looks at every reference, so that nothing that is asked of the policy later can miss. Decode has done it for what it returns; what else was made is to be checked when
// it is complete, as it must not change afterwards. The error is a *ReferenceError.
func (p *Policy) Check() error {
	k := &checker{policy: p}
	k.symbols()
	if k.err == nil {
		k.classes()
		k.types()
		k.users()
	}
	if k.err == nil {
		k.rules()
		k.transitions()
		k.objects()
	}
	return k.err
}

// checker keeps the first fault.
type checker struct {
	policy *Policy
	err    error
}

func (k *checker) fail(where, format string, arguments ...any) {
	if k.err == nil {
		k.err = &ReferenceError{where, fmt.Sprintf(format, arguments...)}
	}
}

// among holds a value to 1 ... limit.
func (k *checker) among(where, what string, value, limit uint32) {
	if value == 0 || value > limit {
		k.fail(where, "%s %d, where there are 1 to %d", what, value, limit)
	}
}

// within holds a set to bits 0 ... limit-1.
func (k *checker) within(where, what string, set Bitmap, limit uint32) {
	if set.highBit() == 0 {
		return
	}
	last := set[len(set)-1]
	if highest := set.highBit() - 1 - uint32(bits.LeadingZeros64(last)); highest >= limit {
		k.fail(where, "%s %d, where there are 1 to %d", what, highest+1, limit)
	}
}

// table checks that a symbol table has a name, of which no byte is a space or control character, and a value for each entry, each value owned by exactly one.
func table[T any](k *checker, kind string, symbols Symbols[T], limit uint32, of func(*T) (name string, value uint32, owns bool)) {
	if symbols.Primary > limit {
		k.fail(kind, "%d of them, the limit is %d", symbols.Primary, limit)
		return
	}
	owned := make([]bool, symbols.Primary)
	named := make(map[string]bool, len(symbols.Entries))
	for i := range symbols.Entries {
		name, value, owns := of(&symbols.Entries[i])
		switch {
		case value == 0 || value > symbols.Primary:
			k.fail(kind+" "+name, "value %d, where there are 1 to %d", value, symbols.Primary)
			return
		case !showable(name):
			k.fail(kind, "the name %q", name)
			return
		case name == "" || named[name]:
			k.fail(kind+" "+name, "the name is empty or there twice")
		case owns && owned[value-1]:
			k.fail(kind+" "+name, "value %d is there twice", value)
		}
		named[name] = true
		owned[value-1] = owned[value-1] || owns
	}
	if hole := slices.Index(owned, false); hole >= 0 {
		k.fail(kind, "value %d of %d is nobody's", hole+1, symbols.Primary)
	}
}

// showable is what names are without spaces and control characters, by which they could pass for another statement, or do things to a terminal, wherever they are shown.
func showable(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

func (k *checker) symbols() {
	p := k.policy
	const many = 1 << 16
	table(k, "common", p.Commons, many, func(c *Common) (string, uint32, bool) { return c.Name, c.Value, true })
	table(k, "class", p.Classes, many, func(c *Class) (string, uint32, bool) { return c.Name, c.Value, true })
	table(k, "role", p.Roles, many, func(r *Role) (string, uint32, bool) { return r.Name, r.Value, true })
	table(k, "type", p.Types, maximumTypes-1, func(t *Type) (string, uint32, bool) { return t.Name, t.Value, t.Properties&TypePrimary != 0 })
	table(k, "user", p.Users, many, func(u *User) (string, uint32, bool) { return u.Name, u.Value, true })
	table(k, "boolean", p.Booleans, many, func(b *Boolean) (string, uint32, bool) { return b.Name, b.Value, true })
	table(k, "sensitivity", p.Levels, many, func(s *Sensitivity) (string, uint32, bool) { return s.Name, s.Level.Sensitivity, s.Alias == 0 })
	table(k, "category", p.Categories, many, func(c *Category) (string, uint32, bool) { return c.Name, c.Value, c.Alias == 0 })
	k.within("policy", "permissive type", p.Permissive, p.Types.Primary+1)
	k.within("policy", "never audited type", p.NeverAudit, p.Types.Primary+1)
	for _, attributes := range p.Attributes {
		k.within("type", "attribute", attributes, p.Types.Primary)
	}
	for i := range p.Levels.Entries {
		k.within("sensitivity "+p.Levels.Entries[i].Name, "category", p.Levels.Entries[i].Level.Categories, p.Categories.Primary)
	}
}

func (k *checker) classes() {
	p := k.policy
	commons := map[string]uint32{}
	for i := range p.Commons.Entries {
		common := &p.Commons.Entries[i]
		commons[common.Name] = common.Permissions.Primary
		k.permissions("common "+common.Name, common.Permissions, 0)
	}
	for i := range p.Classes.Entries {
		class := &p.Classes.Entries[i]
		where := "class " + class.Name
		inherited, known := commons[class.Common]
		if class.Common != "" && !known {
			k.fail(where, "common %q is not there", class.Common)
		}
		k.permissions(where, class.Permissions, inherited)
		for j := range class.Constraints {
			k.expression(where+": constraint", class.Constraints[j].Expression, false)
		}
		for j := range class.Transitions {
			k.expression(where+": validatetrans", class.Transitions[j].Expression, true)
		}
		for _, defaults := range []uint32{class.DefaultUser, class.DefaultRole, class.DefaultType} {
			if defaults > defaultTarget {
				k.fail(where, "default %d for new objects", defaults)
			}
		}
		if class.DefaultRange > rangeCommon {
			k.fail(where, "default range %d for new objects", class.DefaultRange)
		}
	}
}

// permissions checks one table; those of a class come after those of its common.
func (k *checker) permissions(where string, permissions Symbols[Permission], inherited uint32) {
	if permissions.Primary > maximumPermissions || inherited > permissions.Primary && len(permissions.Entries) > 0 {
		k.fail(where, "%d permissions, %d of them the common's; the limit is %d", permissions.Primary, inherited, maximumPermissions)
		return
	}
	for _, permission := range permissions.Entries {
		if !showable(permission.Name) {
			k.fail(where, "permission %q", permission.Name)
			return
		}
		k.among(where+": permission "+permission.Name, "value", permission.Value, permissions.Primary)
		if permission.Value <= inherited {
			k.fail(where+": permission "+permission.Name, "value %d is the common's", permission.Value)
		}
	}
}

// expression checks what the kernel's evaluation takes for granted: operands for every operator, at most depthLimit of them waiting, one result.
func (k *checker) expression(where string, expression []Term, third bool) {
	depth := 0
	for i := range expression {
		term := &expression[i]
		switch term.Kind {
		case TermNot:
			if depth < 1 {
				k.fail(where, "not without an operand")
			}
		case TermAnd, TermOr:
			if depth--; depth < 1 {
				k.fail(where, "an operator without two operands")
			}
		case TermAttributes, TermNames:
			if depth++; depth > depthLimit {
				k.fail(where, "deeper than %d", depthLimit)
			}
			k.term(where, term, third)
		default:
			k.fail(where, "a term of kind %d", term.Kind)
		}
		if k.err != nil {
			return
		}
	}
	if depth != 1 {
		k.fail(where, "%d results", depth)
	}
}

func (k *checker) term(where string, term *Term, third bool) {
	const who = AttributeUser | AttributeRole | AttributeType
	if term.Kind == TermNames {
		limit := map[uint32]uint32{AttributeUser: k.policy.Users.Primary, AttributeRole: k.policy.Roles.Primary, AttributeType: k.policy.Types.Primary}[term.Attribute&who]
		switch side := term.Attribute &^ who; {
		case limit == 0 && len(term.Names) > 0 || bits.OnesCount32(term.Attribute&who) != 1:
			k.fail(where, "attribute %#x", term.Attribute)
		case side != 0 && side != AttributeTarget && (side != AttributeThird || !third):
			k.fail(where, "attribute %#x", term.Attribute)
		case term.Operator != OperatorEqual && term.Operator != OperatorNotEqual:
			k.fail(where, "operator %d on names", term.Operator)
		}
		k.within(where, "name", term.Names, limit)
		return
	}
	levels := term.Attribute >= AttributeLowLow && term.Attribute <= AttributeTargetOwn && bits.OnesCount32(term.Attribute) == 1
	switch {
	case levels && k.policy.MLS || term.Attribute == AttributeRole:
		if term.Operator < OperatorEqual || term.Operator > OperatorIncomparable {
			k.fail(where, "operator %d", term.Operator)
		}
	case term.Attribute == AttributeUser || term.Attribute == AttributeType:
		if term.Operator != OperatorEqual && term.Operator != OperatorNotEqual {
			k.fail(where, "operator %d", term.Operator)
		}
	default:
		k.fail(where, "attribute %#x", term.Attribute)
	}
}

func (k *checker) types() {
	p := k.policy
	bounds := make([]uint32, p.Types.Primary+1)
	for i := range p.Types.Entries {
		if typ := &p.Types.Entries[i]; typ.Bounds != 0 {
			k.among("type "+typ.Name, "bounding type", typ.Bounds, p.Types.Primary)
			if typ.Properties&TypePrimary != 0 {
				bounds[typ.Value] = typ.Bounds
			}
		}
	}
	if k.err != nil {
		return
	}
	for i := range p.Types.Entries {
		typ := &p.Types.Entries[i]
		depth := 0
		for value := typ.Value; bounds[value] != 0; value = bounds[value] {
			if depth++; depth >= boundsDepth {
				k.fail("type "+typ.Name, "bounds of bounds, deeper than %d or in a circle", boundsDepth)
				return
			}
		}
	}
}

func (k *checker) users() {
	p := k.policy
	for i := range p.Roles.Entries {
		role := &p.Roles.Entries[i]
		k.within("role "+role.Name, "type", role.Types, p.Types.Primary)
		k.within("role "+role.Name, "dominated role", role.Dominates, p.Roles.Primary)
		if role.Bounds > p.Roles.Primary {
			k.fail("role "+role.Name, "bounding role %d", role.Bounds)
		}
	}
	for i := range p.Users.Entries {
		user := &p.Users.Entries[i]
		k.within("user "+user.Name, "role", user.Roles, p.Roles.Primary)
		if p.MLS {
			if err := p.checkRange(&user.Range); err != nil {
				k.fail("user "+user.Name, "%s", err)
			}
		}
		if user.Bounds > p.Users.Primary {
			k.fail("user "+user.Name, "bounding user %d", user.Bounds)
		}
	}
}
