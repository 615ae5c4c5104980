// SPDX-License-Identifier: Apache-2.0

package policydb

import "slices"

// Query says which rules are looked for, in the terms of sesearch(1). The zero value of a field does not matter to it.
type Query struct {
	Kinds uint16 // RuleAllow ... RuleSilentExtended; 0 for all

	// Source and Target are a type or an attribute. A rule is found where one type is in both, unless Direct: then by that name alone.
	Source, Target             string
	DirectSource, DirectTarget bool

	Classes     []string // any of them
	Permissions []string // any of them; only for rules of access
	Boolean     string   // in the condition of the rule
}

// Found is a rule and, of a conditional rule, its condition.
type Found struct {
	Rule      *Rule
	Condition *Condition // nil: holds always
	Branch    bool       // of the condition
}

// Search returns the rules in the order of the policy, those of conditions last. An unknown name is an *UnknownError.
func (p *Policy) Search(query Query) ([]Found, error) {
	s := &search{policy: p, query: query}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	var found []Found
	if query.Boolean == "" {
		for i := range p.Rules {
			if s.matches(&p.Rules[i]) {
				found = append(found, Found{Rule: &p.Rules[i]})
			}
		}
	}
	for i := range p.Conditions {
		condition := &p.Conditions[i]
		if s.boolean != 0 && !condition.names(s.boolean) {
			continue
		}
		for branch, rules := range [][]Rule{condition.True, condition.False} {
			for j := range rules {
				if s.matches(&rules[j]) {
					found = append(found, Found{&rules[j], condition, branch == 0})
				}
			}
		}
	}
	return found, nil
}

func (c *Condition) names(boolean uint32) bool {
	return slices.ContainsFunc(c.Expression, func(term ConditionTerm) bool { return term.Kind == conditionBoolean && term.Boolean == boolean })
}

// search is a query by values.
type search struct {
	policy         *Policy
	query          Query
	source, target Bitmap            // the symbols that match; nil: all
	classes        map[uint16]uint32 // and the permissions that are looked for in each; nil: all
	boolean        uint32
}

func (s *search) prepare() error {
	var err error
	if s.source, err = s.symbols(s.query.Source, s.query.DirectSource); err != nil {
		return err
	}
	if s.target, err = s.symbols(s.query.Target, s.query.DirectTarget); err != nil {
		return err
	}
	if s.query.Boolean != "" {
		boolean := slices.IndexFunc(s.policy.Booleans.Entries, func(b Boolean) bool { return b.Name == s.query.Boolean })
		if boolean < 0 {
			return &UnknownError{"boolean", s.query.Boolean}
		}
		s.boolean = s.policy.Booleans.Entries[boolean].Value
	}
	return s.prepareClasses()
}

// prepareClasses works out the bits of the permissions, which differ from class to class. One that no class has is unknown.
func (s *search) prepareClasses() error {
	if len(s.query.Classes) == 0 && len(s.query.Permissions) == 0 {
		return nil
	}
	names := s.query.Classes
	if len(names) == 0 {
		for i := range s.policy.Classes.Entries {
			names = append(names, s.policy.Classes.Entries[i].Name)
		}
	}
	s.classes = map[uint16]uint32{}
	known := map[string]bool{}
	for _, name := range names {
		class, err := s.policy.Class(name)
		if err != nil {
			return err
		}
		vector := uint32(0)
		for _, permission := range s.query.Permissions {
			if bit, err := s.policy.Permission(class, permission); err == nil {
				vector |= bit
				known[permission] = true
			}
		}
		s.classes[uint16(class.Value)] = vector
	}
	for _, permission := range s.query.Permissions {
		if !known[permission] {
			return &UnknownError{"permission", permission}
		}
	}
	return nil
}

// symbols are the types and attributes that a rule may have for it to be found: the attributes of every type that the name stands for, and these.
func (s *search) symbols(name string, direct bool) (Bitmap, error) {
	if name == "" {
		return nil, nil
	}
	symbol := s.policy.names().typeNames[name]
	if symbol == nil {
		return nil, &UnknownError{"type or attribute", name}
	}
	var found Bitmap
	found.set(symbol.Value - 1)
	if direct {
		return found, nil
	}
	for value := range s.policy.Members(symbol).All() {
		for attribute := range s.policy.Attributes[value].All() {
			found.set(attribute)
		}
	}
	return found, nil
}

// Members are the types (values less 1) that an attribute stands for; a type stands for itself.
func (p *Policy) Members(symbol *Type) Bitmap {
	var members Bitmap
	if symbol.Properties&TypeAttribute == 0 {
		members.set(symbol.Value - 1)
		return members
	}
	for i, attributes := range p.Attributes {
		if attributes.Has(symbol.Value-1) && uint32(i) != symbol.Value-1 {
			members.set(uint32(i))
		}
	}
	return members
}

func (s *search) matches(rule *Rule) bool {
	kind := rule.Kind &^ ruleEnabled
	if s.query.Kinds != 0 && s.query.Kinds&kind == 0 {
		return false
	}
	if s.source != nil && !s.source.Has(uint32(rule.Source)-1) || s.target != nil && !s.target.Has(uint32(rule.Target)-1) {
		return false
	}
	if s.classes == nil {
		return true
	}
	vector, wanted := s.classes[rule.Class]
	if !wanted || len(s.query.Permissions) == 0 {
		return wanted
	}
	switch {
	case kind&ruleExtended != 0:
		return slices.Contains(s.query.Permissions, rule.Extended.permission())
	case kind&ruleAccess == 0:
		return false
	case kind == RuleAuditDeny:
		return ^rule.Data&vector != 0
	}
	return rule.Data&vector != 0
}
