// SPDX-License-Identifier: Apache-2.0

package policydb

// Setting is a boolean with a value.
type Setting struct {
	Boolean string
	Value   bool
}

// Settings are the changes of one boolean, each alone, that make a rule's condition hold which does not hold now. Where it takes several booleans there are none.
func (p *Policy) Settings(found Found) []Setting {
	if found.Condition == nil {
		return nil
	}
	state := make([]bool, p.Booleans.Primary)
	for _, boolean := range p.Booleans.Entries {
		state[boolean.Value-1] = boolean.State != 0
	}
	if found.Condition.evaluate(state) == found.Branch {
		return nil
	}
	var settings []Setting
	seen := map[uint32]bool{}
	for _, term := range found.Condition.Expression {
		if term.Kind != conditionBoolean || seen[term.Boolean] {
			continue
		}
		seen[term.Boolean] = true
		value := &state[term.Boolean-1]
		*value = !*value
		if found.Condition.evaluate(state) == found.Branch {
			settings = append(settings, Setting{p.booleanName(term.Boolean), *value})
		}
		*value = !*value
	}
	return settings
}
