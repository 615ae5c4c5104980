// SPDX-License-Identifier: Apache-2.0

package policydb

import "strings"

// Cause is the step of the kernel's decision that settled a question.
type Cause string

// The steps in their order.
const (
	ByUnknown    Cause = "unknown"          // the policy does not know the class; Unknown decides
	ByRule       Cause = "rule"             // allow rules; the later steps have nothing against it
	NoRule       Cause = "no rule"          // no allow rule that holds
	ByConstraint Cause = "constraint"       // no rule can help
	ByRole       Cause = "role"             // no role allow rule between the roles
	ByBounds     Cause = "bounds"           // the bounding type may not
	ByExtended   Cause = "extended"         // an allowxperm rule has the number
	NoExtended   Cause = "no extended rule" // none has it, and there are extended rules
)

// Explanation says why a permission is allowed or not.
type Explanation struct {
	Allowed    bool
	Cause      Cause
	Permissive bool         // it is denied by the policy, and happens all the same
	Silent     bool         // a denial is not logged, for a dontaudit rule
	Rules      []Found      // that allow it, whatever the later steps say
	Off        []Found      // that would allow it if their condition held
	Constraint *Constraint  // that does not hold, be it the cause or not: no rule helps against it
	Terms      []TermValue  // what each comparison of the constraint came to
	Role       bool         // no role allow rule between the roles, be it the cause or not
	Bounds     *Explanation // of the bounding type
	Bounding   string       // that type
}

// TermValue is one comparison of a constraint with what it compared.
type TermValue struct {
	Text   string // l1 dom l2
	Values string // s0:c1 and s0:c2
	Holds  bool
}

// Explain answers for one permission, by its bit, through the steps of Decide. The contexts must be valid.
func (p *Policy) Explain(source, target *Context, class, permission uint32) Explanation {
	return p.engineOf().explain(source, target, class, permission)
}

func (e *engine) explain(source, target *Context, class, permission uint32) Explanation {
	decision := e.policy.Decide(source, target, class)
	x := Explanation{Allowed: decision.Allowed&permission != 0, Permissive: decision.Permissive, Silent: decision.AuditDeny&permission == 0, Cause: ByRule}
	if class == 0 || class > uint32(len(e.names.classes)) {
		x.Cause = ByUnknown
		return x
	}
	e.findRules(&x, source.Type, target.Type, class, permission)
	if x.Allowed {
		return x
	}
	x.Cause = NoRule
	for i := range e.names.classes[class-1].Constraints {
		constraint := &e.names.classes[class-1].Constraints[i]
		if constraint.Permissions&permission != 0 && !e.policy.holds(constraint.Expression, source, target, nil) {
			x.Constraint, x.Terms = constraint, e.policy.termValues(constraint, source, target)
			break
		}
	}
	role := class == e.process && permission&e.changing != 0 && !e.mayChange(source.Role, target.Role)
	switch {
	case len(x.Rules) == 0:
		x.Role = role
		return x
	case x.Constraint != nil:
		x.Cause, x.Role = ByConstraint, role
		return x
	case role:
		x.Cause, x.Role = ByRole, true
		return x
	}
	x.Cause = ByBounds
	bounded, boundedTarget := *source, *target
	bounded.Type = e.names.types[source.Type-1].Bounds
	if bounds := e.names.types[target.Type-1].Bounds; bounds != 0 {
		boundedTarget.Type = bounds
	}
	limit := e.explain(&bounded, &boundedTarget, class, permission)
	x.Bounds, x.Bounding = &limit, e.policy.typeName(bounded.Type)
	return x
}

// findRules finds the allow rules for the permission, those that hold and those whose condition does not.
func (e *engine) findRules(x *Explanation, source, target, class, permission uint32) {
	sources, targets := e.policy.Attributes[source-1], e.policy.Attributes[target-1]
	e.eachRule(func(found Found, holds bool) {
		rule := found.Rule
		if rule.Kind&RuleAllow == 0 || uint32(rule.Class) != class || rule.Data&permission == 0 ||
			!sources.Has(uint32(rule.Source)-1) || !targets.Has(uint32(rule.Target)-1) {
			return
		}
		if holds {
			x.Rules = append(x.Rules, found)
		} else {
			x.Off = append(x.Off, found)
		}
	})
}

// eachRule goes over all rules, and says which hold with the booleans as they are.
func (e *engine) eachRule(visit func(found Found, holds bool)) {
	for i := range e.policy.Rules {
		visit(Found{Rule: &e.policy.Rules[i]}, true)
	}
	for i := range e.policy.Conditions {
		condition := &e.policy.Conditions[i]
		for branch, rules := range [][]Rule{condition.True, condition.False} {
			for j := range rules {
				visit(Found{Rule: &rules[j], Condition: condition, Branch: branch == 0}, e.holds[1+2*i+branch])
			}
		}
	}
}

// termValues are the comparisons of a constraint with both sides' values.
func (p *Policy) termValues(constraint *Constraint, source, target *Context) []TermValue {
	var values []TermValue
	for i := range constraint.Expression {
		term := &constraint.Expression[i]
		if term.Kind != TermAttributes && term.Kind != TermNames {
			continue
		}
		values = append(values, TermValue{p.formatTerm(term), p.termSides(term, source, target), p.termHolds(term, source, target, nil)})
	}
	return values
}

func (p *Policy) termSides(term *Term, source, target *Context) string {
	if term.Kind == TermNames {
		of := source
		if term.Attribute&AttributeTarget != 0 {
			of = target
		}
		return p.symbolName(term.Attribute, of.value(term.Attribute))
	}
	if term.Attribute <= AttributeType {
		return p.symbolName(term.Attribute, source.value(term.Attribute)) + " and " + p.symbolName(term.Attribute, target.value(term.Attribute))
	}
	first, second := term.levels(source, target)
	return p.FormatLevel(first) + " and " + p.FormatLevel(second)
}

func (p *Policy) symbolName(attribute, value uint32) string {
	switch {
	case attribute&AttributeUser != 0:
		return p.names().users[value-1].Name
	case attribute&AttributeRole != 0:
		return p.names().roles[value-1].Name
	}
	return p.typeName(value)
}

// sides are the words for what a term of two values compares.
var sides = map[uint32][2]string{
	AttributeUser: {"u1", "u2"}, AttributeRole: {"r1", "r2"}, AttributeType: {"t1", "t2"}, AttributeLowLow: {"l1", "l2"}, AttributeLowHigh: {"l1", "h2"},
	AttributeHighLow: {"h1", "l2"}, AttributeHighHigh: {"h1", "h2"}, AttributeOwn: {"l1", "h1"}, AttributeTargetOwn: {"l2", "h2"},
}

var operatorWords = map[uint32]string{OperatorEqual: "==", OperatorNotEqual: "!=", OperatorDominates: "dom", OperatorDominatedBy: "domby", OperatorIncomparable: "incomp"}

// formatTerm writes one comparison in the policy language: l1 dom l2, t1 == { a b }.
func (p *Policy) formatTerm(term *Term) string {
	operator := " " + operatorWords[term.Operator] + " "
	if term.Kind == TermAttributes {
		return sides[term.Attribute][0] + operator + sides[term.Attribute][1]
	}
	const who = AttributeUser | AttributeRole | AttributeType
	side := sides[term.Attribute&who][0][:1] + "1"
	switch {
	case term.Attribute&AttributeTarget != 0:
		side = side[:1] + "2"
	case term.Attribute&AttributeThird != 0:
		side = side[:1] + "3"
	}
	names := term.Names
	if term.Attribute&AttributeType != 0 && len(term.Types.Types) > 0 && len(term.Types.Negated) == 0 && term.Types.Flags == 0 {
		names = term.Types.Types // as it was written, with attributes
	}
	var words []string
	for value := range names.All() {
		words = append(words, p.symbolName(term.Attribute, value+1))
	}
	return side + operator + braced(words)
}

// FormatExpression writes a constraint's expression in the policy language, with all its parentheses.
func (p *Policy) FormatExpression(expression []Term) string {
	var stack []string
	for i := range expression {
		term := &expression[i]
		top := len(stack) - 1
		switch term.Kind {
		case TermNot:
			stack[top] = "not " + stack[top]
		case TermAnd, TermOr:
			word := map[uint32]string{TermAnd: " and ", TermOr: " or "}[term.Kind]
			stack = append(stack[:top-1], "( "+stack[top-1]+word+stack[top]+" )")
		default:
			stack = append(stack, p.formatTerm(term))
		}
	}
	return strings.Join(stack, " ")
}
