// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// constraintStatements are conditions on permissions, and on changes of labels.
var constraintStatements = map[string]*keyword{
	"constrain":        {check: takes(permissionsOperand, constraintOperand(false)), resolve: resolveConstraint(false)},
	"mlsconstrain":     {check: takes(permissionsOperand, constraintOperand(false)), resolve: resolveConstraint(true)},
	"validatetrans":    {check: takes(name("class"), constraintOperand(true)), resolve: resolveTransitionCheck(false)},
	"mlsvalidatetrans": {check: takes(name("class"), constraintOperand(true)), resolve: resolveTransitionCheck(true)},
}

// maximumConstraint is how deep the stack of a constraint may grow, the kernel's CEXPR_MAXDEPTH.
const maximumConstraint = 5

// The words that stand for a part of a context in constraints: of the source (1), the target (2), and the process that relabels (3).
var contextParts = map[string]uint32{
	"u1": policydb.AttributeUser, "u2": policydb.AttributeUser | policydb.AttributeTarget, "u3": policydb.AttributeUser | policydb.AttributeThird,
	"r1": policydb.AttributeRole, "r2": policydb.AttributeRole | policydb.AttributeTarget, "r3": policydb.AttributeRole | policydb.AttributeThird,
	"t1": policydb.AttributeType, "t2": policydb.AttributeType | policydb.AttributeTarget, "t3": policydb.AttributeType | policydb.AttributeThird,
	"l1": 0, "l2": 0, "h1": 0, "h2": 0,
}

// contextPairs are the comparisons of two parts that there are.
var contextPairs = map[string]uint32{
	"u1 u2": policydb.AttributeUser, "r1 r2": policydb.AttributeRole, "t1 t2": policydb.AttributeType,
	"l1 l2": policydb.AttributeLowLow, "l1 h2": policydb.AttributeLowHigh, "h1 l2": policydb.AttributeHighLow, "h1 h2": policydb.AttributeHighHigh,
	"l1 h1": policydb.AttributeOwn, "l2 h2": policydb.AttributeTargetOwn,
}

var comparisons = map[string]uint32{
	"eq": policydb.OperatorEqual, "neq": policydb.OperatorNotEqual,
	"dom": policydb.OperatorDominates, "domby": policydb.OperatorDominatedBy, "incomp": policydb.OperatorIncomparable,
}

var constraintOperators = map[string]constraintOperator{"and": constraintAnd, "or": constraintOr, "not": constraintNot}

// constraintOperand is the expression of a constraint; third tells whether it may name the third context.
func constraintOperand(third bool) operand {
	return operand{name: "expression", shape: func(node syntax.Node) error {
		depth, err := constraintShape(node, third)
		if err == nil && depth > maximumConstraint {
			err = fault(node, "the constraint needs %d operands at a time, the kernel holds %d", depth, maximumConstraint)
		}
		return err
	}}
}

// constraintShape returns the number of operands that the postfix form has waiting at most.
func constraintShape(node syntax.Node, third bool) (int, error) {
	if !node.IsList() || node.First().IsList() || !node.First().Valid() {
		return 0, expected(node, "(operator operand ...)")
	}
	word := node.Keyword()
	if comparisons[word] != 0 {
		return 1, comparisonShape(node, third)
	}
	operator, ok := constraintOperators[word]
	if !ok {
		return 0, expected(node.First(), "and, or, not, eq, neq, dom, domby, incomp")
	}
	if given, takes := node.Len()-1, map[bool]int{true: 1, false: 2}[operator == constraintNot]; given != takes {
		return 0, fault(node, "%s with %d operands, of %d", word, given, takes)
	}
	deepest := 0
	for i, operand := 0, node.First().Next(); operand.Valid(); i, operand = i+1, operand.Next() {
		depth, err := constraintShape(operand, third)
		if err != nil {
			return 0, err
		}
		deepest = max(deepest, depth+i)
	}
	return deepest, nil
}

// comparisonShape finds comparisons that the kernel has not.
func comparisonShape(node syntax.Node, third bool) error {
	operator, left := node.Keyword(), node.Child(1)
	right := left.Next()
	if node.Len() != 3 {
		return fault(node, "%s with %d operands, of 2", operator, node.Len()-1)
	}
	part, ok := contextParts[left.Word()]
	if !ok || left.IsList() {
		return expected(left, "u1, u2, u3, r1, r2, r3, t1, t2, t3, l1, l2, h1, h2")
	}
	equality := operator == "eq" || operator == "neq"
	if _, ok := contextParts[right.Word()]; ok && !right.IsList() {
		attribute, ok := contextPairs[left.Word()+" "+right.Word()]
		switch {
		case !ok:
			return fault(node, "%s is not compared with %s: u1, r1 and t1 are with u2, r2 and t2, l1 with l2, h2 and h1, h1 with l2 and h2, l2 with h2", left.Word(), right.Word())
		case !equality && (attribute == policydb.AttributeUser || attribute == policydb.AttributeType):
			return fault(node, "%s does not order users or types: eq and neq compare them", operator)
		}
		return nil
	}
	switch {
	case part == 0:
		return fault(node, "%s is compared with another level only, not with names", left.Word())
	case part&policydb.AttributeThird != 0 && !third:
		return fault(left, "%s is of validatetrans and mlsvalidatetrans only", left.Word())
	case !equality:
		return fault(node, "%s does not compare with names: eq and neq do", operator)
	}
	return wordOrWords(right)
}

func resolveConstraint(mls bool) func(*resolver, statement) (item, error) {
	return func(r *resolver, s statement) (item, error) {
		permissions, err := r.classPermissions(s.scope, s.operand(1))
		if err != nil {
			return nil, err
		}
		test, err := r.constraint(s.scope, s.operand(2))
		return &permissionConstraint{s.place(), mls, permissions, test}, err
	}
}

type permissionConstraint constraint

func (c *permissionConstraint) addTo(m *model) {
	m.constraints = append(m.constraints, constraint(*c))
}

func resolveTransitionCheck(mls bool) func(*resolver, statement) (item, error) {
	return func(r *resolver, s statement) (item, error) {
		of, err := find[*class](r, s.scope, kindClass, s.operand(1))
		if err != nil {
			return nil, err
		}
		test, err := r.constraint(s.scope, s.operand(2))
		return &transitionCheck{s.place(), mls, []classPermissions{{at: s.place(), class: of}}, test}, err
	}
}

type transitionCheck constraint

func (c *transitionCheck) addTo(m *model) { m.transitions = append(m.transitions, constraint(*c)) }

func (r *resolver) constraint(scope *scope, node syntax.Node) (constraintExpression, error) {
	test := constraintExpression{at: place{node, scope}}
	operator, ok := constraintOperators[node.Keyword()]
	if !ok {
		var err error
		test.comparison, err = r.comparison(scope, node)
		return test, err
	}
	test.operator = operator
	for child := node.First().Next(); child.Valid(); child = child.Next() {
		operand, err := r.constraint(scope, child)
		if err != nil {
			return test, err
		}
		test.operands = append(test.operands, operand)
	}
	return test, nil
}

func (r *resolver) comparison(scope *scope, node syntax.Node) (comparison, error) {
	left := node.Child(1)
	right := left.Next()
	compared := comparison{operator: comparisons[node.Keyword()], attribute: contextParts[left.Word()]}
	if pair, ok := contextPairs[left.Word()+" "+right.Word()]; ok && !right.IsList() {
		compared.attribute = pair
		return compared, nil
	}
	compared.names = true
	if right.IsList() {
		for name := right.First(); name.Valid(); name = name.Next() {
			if err := r.compareName(&compared, scope, name); err != nil {
				return compared, err
			}
		}
		return compared, nil
	}
	return compared, r.compareName(&compared, scope, right)
}

func (r *resolver) compareName(c *comparison, scope *scope, name syntax.Node) error {
	switch {
	case c.attribute&policydb.AttributeUser != 0:
		found, err := find[*user](r, scope, kindUser, name)
		c.users = append(c.users, found)
		return err
	case c.attribute&policydb.AttributeRole != 0:
		found, err := find[*role](r, scope, kindRole, name)
		c.roles = append(c.roles, found)
		return err
	}
	found, err := r.types(scope, name)
	c.types = append(c.types, found)
	return err
}
