// SPDX-License-Identifier: Apache-2.0

package policydb

// Kinds of terms.
const (
	TermNot        = 1
	TermAnd        = 2
	TermOr         = 3
	TermAttributes = 4 // compares the source's with the target's
	TermNames      = 5 // compares one's with a set of names
)

// What a term compares. The first three are bits that go with the two after them, the levels stand alone.
const (
	AttributeUser      = 1
	AttributeRole      = 2
	AttributeType      = 4
	AttributeTarget    = 8  // of TermNames: the target's, not the source's
	AttributeThird     = 16 // the third context's, of validatetrans
	AttributeLowLow    = 32 // source's low level and target's low
	AttributeLowHigh   = 64
	AttributeHighLow   = 128
	AttributeHighHigh  = 256
	AttributeOwn       = 512  // source's low and source's high
	AttributeTargetOwn = 1024 // target's low and target's high
)

// Operators of terms.
const (
	OperatorEqual        = 1
	OperatorNotEqual     = 2
	OperatorDominates    = 3
	OperatorDominatedBy  = 4
	OperatorIncomparable = 5
)

// depthLimit is how many operands may wait for their operator: the kernel's CEXPR_MAXDEPTH, and what it refuses at load.
const depthLimit = 5

// holds evaluates a constraint as the kernel's constraint_expr_eval does. third is nil but for validatetrans.
func (p *Policy) holds(expression []Term, source, target, third *Context) bool {
	var stack [depthLimit]bool
	top := -1
	for i := range expression {
		term := &expression[i]
		switch term.Kind {
		case TermNot:
			stack[top] = !stack[top]
		case TermAnd:
			top--
			stack[top] = stack[top] && stack[top+1]
		case TermOr:
			top--
			stack[top] = stack[top] || stack[top+1]
		default:
			top++
			stack[top] = p.termHolds(term, source, target, third)
		}
	}
	return top == 0 && stack[0]
}

// termHolds evaluates one comparison.
func (p *Policy) termHolds(term *Term, source, target, third *Context) bool {
	if term.Kind == TermNames {
		of := source
		switch {
		case term.Attribute&AttributeTarget != 0:
			of = target
		case term.Attribute&AttributeThird != 0:
			if of = third; of == nil {
				return false
			}
		}
		return term.Names.Has(of.value(term.Attribute)-1) == (term.Operator == OperatorEqual)
	}
	switch term.Attribute {
	case AttributeUser, AttributeType:
		return (source.value(term.Attribute) == target.value(term.Attribute)) == (term.Operator == OperatorEqual)
	case AttributeRole:
		return p.rolesCompare(term.Operator, source.Role, target.Role)
	}
	first, second := term.levels(source, target)
	return first.compares(term.Operator, second)
}

// value is the user, role or type, as the bits of a term's attribute say.
func (c *Context) value(attribute uint32) uint32 {
	switch {
	case attribute&AttributeUser != 0:
		return c.User
	case attribute&AttributeRole != 0:
		return c.Role
	}
	return c.Type
}

func (p *Policy) rolesCompare(operator, first, second uint32) bool {
	dominates := func(role, other uint32) bool { return p.names().role(role).Dominates.Has(other - 1) }
	switch operator {
	case OperatorEqual:
		return first == second
	case OperatorNotEqual:
		return first != second
	case OperatorDominates:
		return dominates(first, second)
	case OperatorDominatedBy:
		return dominates(second, first)
	}
	return !dominates(first, second) && !dominates(second, first)
}

// levels are the two that a term compares.
func (t *Term) levels(source, target *Context) (first, second *Level) {
	switch t.Attribute {
	case AttributeLowLow:
		return &source.Range.Low, &target.Range.Low
	case AttributeLowHigh:
		return &source.Range.Low, &target.Range.High
	case AttributeHighLow:
		return &source.Range.High, &target.Range.Low
	case AttributeHighHigh:
		return &source.Range.High, &target.Range.High
	case AttributeOwn:
		return &source.Range.Low, &source.Range.High
	}
	return &target.Range.Low, &target.Range.High
}

func (l *Level) compares(operator uint32, other *Level) bool {
	switch operator {
	case OperatorEqual:
		return l.Equal(other)
	case OperatorNotEqual:
		return !l.Equal(other)
	case OperatorDominates:
		return l.Dominates(other)
	case OperatorDominatedBy:
		return other.Dominates(l)
	}
	return !l.Dominates(other) && !other.Dominates(l)
}

// Equal reports whether both are the same sensitivity and the same categories.
func (l *Level) Equal(other *Level) bool {
	return l.Sensitivity == other.Sensitivity && l.Categories.Equal(other.Categories)
}

// Dominates reports whether the level is as high as the other and has its categories.
func (l *Level) Dominates(other *Level) bool {
	return l.Sensitivity >= other.Sensitivity && l.Categories.Contains(other.Categories)
}

// Contains reports whether the other range lies within this one.
func (r *Range) Contains(other *Range) bool {
	return other.Low.Dominates(&r.Low) && r.High.Dominates(&other.High)
}
