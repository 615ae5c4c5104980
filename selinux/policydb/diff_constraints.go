// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"cmp"
	"slices"
	"strings"
)

// constraints compares constrain or mlsconstrain; for each permission of a class all that must hold together.
func (c *comparison) constraints(levels bool) {
	c.constrained(func(s *side, class *Class, add func(permission string, constraint *Constraint)) {
		for i := range class.Constraints {
			if constraint := &class.Constraints[i]; constraint.comparesLevels() == levels {
				for _, permission := range s.PermissionNames(class, constraint.Permissions) {
					add(permission, constraint)
				}
			}
		}
	})
}

// validations compares validatetrans or mlsvalidatetrans.
func (c *comparison) validations(levels bool) {
	c.constrained(func(_ *side, class *Class, add func(permission string, constraint *Constraint)) {
		for i := range class.Transitions {
			if constraint := &class.Transitions[i]; constraint.comparesLevels() == levels {
				add("", constraint)
			}
		}
	})
}

// constraintKey is a class and a permission.
type constraintKey struct{ class, permission string }

// statement is one constraint on one permission.
type statement struct {
	constraint *Constraint
	holds      function
}

// constrained compares, for each class and permission, the conjunction of its constraints. Where it differs, those are told that only one policy has; of permissions
// that differ by the same constraint together.
func (c *comparison) constrained(of func(s *side, class *Class, add func(permission string, constraint *Constraint))) {
	var tables [2]map[constraintKey][]statement
	keys := map[constraintKey]bool{}
	for i, s := range c.sides {
		tables[i] = map[constraintKey][]statement{}
		holds := map[*Constraint]function{}
		for _, class := range s.named.classes {
			of(s, class, func(permission string, constraint *Constraint) {
				if _, known := holds[constraint]; !known {
					holds[constraint] = c.constraintHolds(s, constraint)
				}
				key := constraintKey{class.Name, permission}
				tables[i][key] = append(tables[i][key], statement{constraint, holds[constraint]})
				keys[key] = true
			})
		}
	}
	told, details := map[constraintChange][]string{}, map[constraintChange][]string{}
	for key := range keys {
		first, second := tables[0][key], tables[1][key]
		if !c.equal(first, second) {
			for change, lines := range c.unmatched(key.class, first, second) {
				told[change], details[change] = append(told[change], key.permission), lines
			}
		}
	}
	var differences []Difference
	for change, permissions := range told {
		slices.Sort(permissions)
		words := ""
		if permissions[0] != "" {
			words = " " + braced(permissions)
		}
		differences = append(differences, Difference{Sign: change.sign, Text: c.kind + " " + change.class + words + " " + change.text + ";", Details: details[change]})
	}
	slices.SortFunc(differences, func(a, b Difference) int {
		return cmp.Or(strings.Compare(a.Text, b.Text), strings.Compare(string(a.Sign), string(b.Sign)))
	})
	for _, one := range differences {
		c.emit(one.Sign, one.Text, one.Details...)
	}
}

// constraintChange is a constraint, as it is written, that is not in both policies.
type constraintChange struct {
	sign        Sign
	class, text string
	holds       function // the new one's, of what is modified
}

// equal reports whether the conjunctions are the same. Where that takes too much to find out, the constraints are looked at one by one.
func (c *comparison) equal(first, second []statement) bool {
	c.functions.budget = diagramLimit
	all := [2]function{always, always}
	for i, statements := range [][]statement{first, second} {
		for _, one := range statements {
			all[i] = c.functions.and(all[i], one.holds)
		}
	}
	return c.functions.budget >= 0 && all[0] == all[1]
}

// unmatched are the constraints that only one side has. Of two that are written alike the names stand for other types: that one is modified.
func (c *comparison) unmatched(class string, first, second []statement) map[constraintChange][]string {
	found := map[constraintChange][]string{}
	has := func(list []statement, holds function) bool {
		return slices.ContainsFunc(list, func(other statement) bool { return other.holds == holds })
	}
	alike := map[string]*Constraint{}
	for _, one := range first {
		if !has(second, one.holds) {
			alike[c.sides[0].FormatExpression(one.constraint.Expression)] = one.constraint
		}
	}
	for _, one := range second {
		if has(first, one.holds) {
			continue
		}
		text := c.sides[1].FormatExpression(one.constraint.Expression)
		if before := alike[text]; before != nil {
			found[constraintChange{Modified, class, text, one.holds}] = c.namesChanged(before, one.constraint)
			delete(alike, text)
			continue
		}
		found[constraintChange{Added, class, text, one.holds}] = nil
	}
	for text := range alike {
		found[constraintChange{Removed, class, text, never}] = nil
	}
	return found
}

// namesChanged are the names that the terms of two constraints that are written alike have come to compare with, or compare with no more.
func (c *comparison) namesChanged(before, after *Constraint) []string {
	var details []string
	for i := range after.Expression {
		old, term := &before.Expression[i], &after.Expression[i]
		if term.Kind != TermNames {
			continue
		}
		names, oldNames := c.sides[1].termWords(term), c.sides[0].termWords(old)
		text := c.sides[1].formatTerm(term)
		for _, name := range without(names, oldNames) {
			details = append(details, "+ "+text+": "+name)
		}
		for _, name := range without(oldNames, names) {
			details = append(details, "- "+text+": "+name)
		}
	}
	return details
}

// termWords are the names that a term compares with, sorted.
func (s *side) termWords(term *Term) []string {
	return sortedNames(term.Names, func(value uint32) string { return s.symbolName(term.Attribute, value) })
}

// constraintHolds is a constraint as a function of its comparisons. Levels that are equal dominate one another, incomparable ones do neither.
func (c *comparison) constraintHolds(s *side, constraint *Constraint) function {
	d := c.functions
	return d.within(func() string { return s.FormatExpression(constraint.Expression) }, func() function {
		return fold(constraint.Expression, func(term Term, stack []function) function {
			switch term.Kind {
			case TermNot:
				return d.not(stack[0])
			case TermAnd:
				return d.and(stack[0], stack[1])
			case TermOr:
				return d.or(stack[0], stack[1])
			}
			return c.termFunction(s, &term)
		}, func(term Term) int {
			if term.Kind == TermNames {
				return 0
			}
			return operandsOf(term.Kind, TermAttributes, TermNot)
		})
	})
}

func (c *comparison) termFunction(s *side, term *Term) function {
	d := c.functions
	equal := func(text string) function {
		if term.Operator == OperatorNotEqual {
			return d.not(d.variable(text))
		}
		return d.variable(text)
	}
	if term.Kind == TermNames {
		if len(term.Names) == 0 {
			return map[bool]function{true: never, false: always}[term.Operator == OperatorEqual]
		}
		return equal(term.side() + " " + strings.Join(s.termWords(term), " "))
	}
	sides := sides[term.Attribute]
	dominates, dominated := sides[0]+" dom "+sides[1], sides[0]+" domby "+sides[1]
	switch {
	case term.Operator == OperatorDominates:
		return d.variable(dominates)
	case term.Operator == OperatorDominatedBy:
		return d.variable(dominated)
	case term.Operator == OperatorIncomparable:
		return d.not(d.or(d.variable(dominates), d.variable(dominated)))
	case term.Attribute < AttributeLowLow:
		return equal(sides[0] + " == " + sides[1])
	case term.Operator == OperatorEqual:
		return d.and(d.variable(dominates), d.variable(dominated))
	}
	return d.not(d.and(d.variable(dominates), d.variable(dominated)))
}
