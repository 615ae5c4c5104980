// SPDX-License-Identifier: Apache-2.0

package cil

import "github.com/bulkhead-project/bulkhead/selinux/cil/syntax"

// conditionStatements declare booleans; booleanif itself makes the tree.
var conditionStatements = map[string]*keyword{
	"boolean": {check: takes(name("boolean"), operand{name: "true|false", shape: truth}), declare: declareBoolean},
}

// maximumCondition is how deep the stack of a conditional expression may grow, the kernel's COND_EXPR_MAXDEPTH.
const maximumCondition = 10

func declareBoolean(d *declarer, s statement) error {
	return d.declare(s, kindBoolean, s.operand(1), &boolean{state: s.operand(2).Word() == "true"})
}

func (b *boolean) addTo(m *model) { m.booleans = append(m.booleans, b) }

// resolveCondition resolves what a booleanif tests, or a tunableif where tunables are kept as booleans. The branches are those of the tree.
func resolveCondition(r *resolver, s statement) (item, error) {
	if s.node.Keyword() == "tunableif" && !r.options.PreserveTunables {
		return nil, nil
	}
	test, err := r.booleanExpression(s, s.operand(1))
	return &condition{at: s.place(), test: test}, err
}

// booleanExpression resolves what a booleanif tests: a name, an operator with its operands, or a list of expressions of which one must hold.
func (r *resolver) booleanExpression(s statement, node syntax.Node) (booleanExpression, error) {
	test, err := r.booleans(s.scope, node)
	if depth := test.depth(); err == nil && depth > maximumCondition {
		err = r.fail(s, node, "the condition needs %d operands at a time, the kernel holds %d", depth, maximumCondition)
	}
	return test, err
}

func (r *resolver) booleans(scope *scope, node syntax.Node) (booleanExpression, error) {
	if !node.IsList() {
		found, err := find[*boolean](r, scope, kindBoolean, node)
		return booleanExpression{boolean: found}, err
	}
	rest, given := node.First(), false
	test := booleanExpression{operator: booleanOr}
	if operator, ok := operators[rest.Word()]; ok && !rest.IsList() {
		test.operator, rest, given = operator.boolean, rest.Next(), true
	}
	for ; rest.Valid(); rest = rest.Next() {
		operand, err := r.booleans(scope, rest)
		if err != nil {
			return test, err
		}
		test.operands = append(test.operands, operand)
	}
	if !given && len(test.operands) == 1 {
		return test.operands[0], nil
	}
	return test, nil
}

// depth is how many operands the postfix form of an expression has waiting at most.
func (b booleanExpression) depth() int {
	deepest := 1
	for i, operand := range b.operands {
		deepest = max(deepest, operand.depth()+min(i, 1))
	}
	return deepest
}
