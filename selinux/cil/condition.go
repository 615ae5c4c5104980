// SPDX-License-Identifier: Apache-2.0

package cil

import "github.com/bulkhead-project/bulkhead/selinux/cil/syntax"

// conditionOperands are the operators of conditions, with the number of their operands.
var conditionOperands = map[string]int{"and": 2, "or": 2, "xor": 2, "eq": 2, "neq": 2, "not": 1}

// checkCondition checks the form of a condition: a name, an operator with its operands, or several of these, which is or.
func (d *declarer) checkCondition(s statement, test syntax.Node) error {
	if test.IsWord() {
		if _, ok := conditionOperands[test.Word()]; ok || test.Word() == "all" || test.Word() == "range" {
			return d.fail(s, test, "%s is an operator, expected a name", test.Word())
		}
		return nil
	}
	first := test.First()
	if !first.Valid() {
		return d.fail(s, test, "the condition is empty")
	}
	if operands, ok := conditionOperands[first.Word()]; ok {
		if test.Len() != operands+1 {
			return d.fail(s, test, "%s takes %d operands, not %d", first.Word(), operands, test.Len()-1)
		}
		first = first.Next()
	}
	for node := first; node.Valid(); node = node.Next() {
		if err := d.checkCondition(s, node); err != nil {
			return err
		}
	}
	return nil
}

// evaluate decides a condition over tunables. All its names must be declared, also those that do not matter.
func (d *declarer) evaluate(s statement, test syntax.Node) (bool, error) {
	if test.IsWord() {
		found, err := d.lookup(s.scope, kindTunable, test)
		if err != nil {
			return false, err
		}
		return found.(*tunable).state, nil
	}
	first := test.First()
	operator := first.Word()
	if _, ok := conditionOperands[operator]; ok {
		first = first.Next()
	} else {
		operator = "or"
	}
	var values []bool
	for node := first; node.Valid(); node = node.Next() {
		value, err := d.evaluate(s, node)
		if err != nil {
			return false, err
		}
		values = append(values, value)
	}
	return evaluateOperator(operator, values), nil
}

func evaluateOperator(operator string, values []bool) bool {
	switch operator {
	case "not":
		return !values[0]
	case "and":
		return values[0] && values[1]
	case "xor", "neq":
		return values[0] != values[1]
	case "eq":
		return values[0] == values[1]
	}
	for _, value := range values {
		if value {
			return true
		}
	}
	return false
}

func (c *condition) addTo(m *model) { m.conditions = append(m.conditions, c) }
