// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"regexp"
	"slices"
)

// rolesOf are the roles (values less 1) that a name or an expression stands for; nil for all.
func (p *Policy) rolesOf(name string, expression *regexp.Regexp) (Bitmap, error) {
	if name == "" && expression == nil {
		return nil, nil
	}
	found := Bitmap{}
	for _, role := range p.Roles.Entries {
		if expression != nil && expression.MatchString(role.Name) || expression == nil && role.Name == name {
			found.set(role.Value - 1)
		}
	}
	if expression == nil && len(found) == 0 {
		return nil, &UnknownError{"role", name}
	}
	return found, nil
}

func within(set Bitmap, value uint32) bool { return set == nil || set.Has(value-1) }

// SearchRoleAllows finds the role allow rules by Source and Target. Whoever asks for a class or a default finds none.
func (p *Policy) SearchRoleAllows(query Query) ([]RoleAllow, error) {
	source, err := p.rolesOf(query.Source, query.SourceExpression)
	if err != nil {
		return nil, err
	}
	target, err := p.rolesOf(query.Target, query.TargetExpression)
	if err != nil || len(query.Classes) > 0 || query.ClassExpression != nil || query.Default != "" || query.DefaultExpression != nil {
		return nil, err
	}
	var found []RoleAllow
	for _, allow := range p.RoleAllows {
		if within(source, allow.Role) && within(target, allow.NewRole) {
			found = append(found, allow)
		}
	}
	return found, nil
}

// SearchRoleTransitions finds the role_transition rules by the role, the type, the class and the new role.
func (p *Policy) SearchRoleTransitions(query Query) ([]RoleTransition, error) {
	source, err := p.rolesOf(query.Source, query.SourceExpression)
	if err != nil {
		return nil, err
	}
	produced, err := p.rolesOf(query.Default, query.DefaultExpression)
	if err != nil {
		return nil, err
	}
	s := &search{policy: p, query: Query{Classes: query.Classes, ClassExpression: query.ClassExpression}}
	if s.target, err = s.symbols(query.Target, query.TargetExpression, query.DirectTarget); err != nil {
		return nil, err
	}
	if err := s.prepareClasses(); err != nil {
		return nil, err
	}
	classes := s.classNames()
	var found []RoleTransition
	for _, change := range p.RoleChanges {
		if within(source, change.Role) && within(s.target, change.Type) && within(produced, change.NewRole) && (classes == nil || slices.Contains(classes, p.changedClass(change))) {
			found = append(found, change)
		}
	}
	return found, nil
}

// SearchRanges finds the range_transition rules by source, target, class and range.
func (p *Policy) SearchRanges(query Query) ([]RangeTransition, error) {
	s := &search{policy: p, query: Query{Classes: query.Classes, ClassExpression: query.ClassExpression}}
	var err error
	if s.source, err = s.symbols(query.Source, query.SourceExpression, query.DirectSource); err != nil {
		return nil, err
	}
	if s.target, err = s.symbols(query.Target, query.TargetExpression, query.DirectTarget); err != nil {
		return nil, err
	}
	var wanted Range
	if query.Default != "" {
		if wanted, err = p.ParseRange(query.Default); err != nil {
			return nil, err
		}
	}
	if err := s.prepareClasses(); err != nil {
		return nil, err
	}
	classes := s.classNames()
	var found []RangeTransition
	for _, rule := range p.RangeRules {
		same := query.Default == "" || rule.Range.Low.Equal(&wanted.Low) && rule.Range.High.Equal(&wanted.High)
		if same && within(s.source, rule.Source) && within(s.target, rule.Target) && (classes == nil || slices.Contains(classes, p.names().classes[rule.Class-1].Name)) {
			found = append(found, rule)
		}
	}
	return found, nil
}

// FormatRoleAllow writes the rule in the policy language.
func (p *Policy) FormatRoleAllow(allow RoleAllow) string {
	return "allow " + p.names().role(allow.Role).Name + " " + p.names().role(allow.NewRole).Name + ";"
}

// FormatRoleTransition writes the rule in the policy language.
func (p *Policy) FormatRoleTransition(change RoleTransition) string {
	return "role_transition " + p.names().role(change.Role).Name + " " + p.typeName(change.Type) + ":" + p.changedClass(change) + " " + p.names().role(change.NewRole).Name + ";"
}

// FormatRangeTransition writes the rule in the policy language.
func (p *Policy) FormatRangeTransition(rule RangeTransition) string {
	return "range_transition " + p.typeName(rule.Source) + " " + p.typeName(rule.Target) + ":" + p.names().classes[rule.Class-1].Name + " " + p.FormatRange(&rule.Range) + ";"
}
