// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"math/bits"
	"regexp"
	"slices"
)

// Query says which rules are looked for, in the terms of sesearch(1). The zero value of a field does not matter to it.
type Query struct {
	Kinds uint16 // RuleAllow ... RuleSilentExtended; 0 for all

	// Source and Target are a type or an attribute (a role, where the rule has one). A rule is found where one type is in both, unless Direct: then by that name alone.
	Source, Target             string
	DirectSource, DirectTarget bool

	Classes     []string // any of them
	Permissions []string // any of them; only for rules of access
	Default     string   // the type, role or range that a rule gives; of types an attribute, too
	Booleans    []string // any of them in the condition of the rule

	// Expressions, one of which is in a name: instead of the names. Without Direct each of the types is asked that the rule's name stands for.
	SourceExpression, TargetExpression, ClassExpression, DefaultExpression, BooleanExpression *regexp.Regexp

	Commands         []CommandRange // any of them; only for rules of extended permissions
	EqualPermissions bool           // the rule has the permissions and no others
	AllPermissions   bool           // the rule has all of the permissions
	EqualBooleans    bool           // the condition has the booleans and no others
	EqualCommands    bool           // the rule has the commands and no others
}

// CommandRange are extended permissions, from the first to the last.
type CommandRange struct{ First, Last uint16 }

// Found is a rule and, of a conditional rule, its condition.
type Found struct {
	Rule      *Rule
	Condition *Condition // nil: holds always
	Branch    bool       // of the condition
	Name      string     // of a file name transition, which Rule stands for
}

// Search returns the rules in the order of the policy, then those of conditions, then file name transitions. An unknown name is an *UnknownError.
func (p *Policy) Search(query Query) ([]Found, error) {
	s := &search{policy: p, query: query}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	var found []Found
	conditional := len(query.Booleans) > 0 || query.BooleanExpression != nil
	if !conditional {
		for i := range p.Rules {
			if s.matches(&p.Rules[i]) {
				found = append(found, Found{Rule: &p.Rules[i]})
			}
		}
	}
	for i := range p.Conditions {
		condition := &p.Conditions[i]
		if conditional && !s.asksAbout(condition) {
			continue
		}
		for branch, rules := range [][]Rule{condition.True, condition.False} {
			for j := range rules {
				if s.matches(&rules[j]) {
					found = append(found, Found{Rule: &rules[j], Condition: condition, Branch: branch == 0})
				}
			}
		}
	}
	if !conditional && (query.Kinds == 0 || query.Kinds&RuleTransition != 0) {
		p.eachFilename(func(source uint32, transition *FilenameTransition, result *FilenameResult) {
			rule := &Rule{uint16(source), uint16(transition.Target), uint16(transition.Class), RuleTransition, result.Type, nil}
			if s.matches(rule) {
				found = append(found, Found{Rule: rule, Name: transition.Name})
			}
		})
	}
	return found, nil
}

// asksAbout reports whether a condition has the booleans that are looked for.
func (s *search) asksAbout(condition *Condition) bool {
	var asked Bitmap
	for _, term := range condition.Expression {
		if term.Kind == conditionBoolean {
			asked.set(term.Boolean - 1)
		}
	}
	if s.query.EqualBooleans && s.query.BooleanExpression == nil {
		return asked.Equal(s.booleans)
	}
	return len(asked.intersection(s.booleans)) > 0
}

// search is a query by values.
type search struct {
	policy                   *Policy
	query                    Query
	source, target, produced Bitmap            // the symbols that match; nil: all
	classes                  map[uint16]uint32 // and the permissions that are looked for in each; nil: all
	booleans                 Bitmap
	commands                 *commandSet
}

func (s *search) prepare() error {
	var err error
	q := &s.query
	if s.source, err = s.symbols(q.Source, q.SourceExpression, q.DirectSource); err != nil {
		return err
	}
	if s.target, err = s.symbols(q.Target, q.TargetExpression, q.DirectTarget); err != nil {
		return err
	}
	if s.produced, err = s.symbols(q.Default, q.DefaultExpression, false); err != nil {
		return err
	}
	for _, name := range q.Booleans {
		boolean := slices.IndexFunc(s.policy.Booleans.Entries, func(b Boolean) bool { return b.Name == name })
		if boolean < 0 {
			return &UnknownError{"boolean", name}
		}
		s.booleans.set(s.policy.Booleans.Entries[boolean].Value - 1)
	}
	for _, boolean := range s.policy.Booleans.Entries {
		if q.BooleanExpression != nil && q.BooleanExpression.MatchString(boolean.Name) {
			s.booleans.set(boolean.Value - 1)
		}
	}
	if len(q.Commands) > 0 {
		s.commands = &commandSet{}
		for _, run := range q.Commands {
			for number := uint32(run.First); number <= uint32(run.Last); number++ {
				s.commands[number/64] |= 1 << (number % 64)
			}
		}
	}
	return s.prepareClasses()
}

// classNames are the classes that are looked for; nil for all.
func (s *search) classNames() []string {
	if s.query.ClassExpression == nil {
		return s.query.Classes
	}
	names := []string{}
	for i := range s.policy.Classes.Entries {
		if name := s.policy.Classes.Entries[i].Name; s.query.ClassExpression.MatchString(name) {
			names = append(names, name)
		}
	}
	return names
}

// prepareClasses works out the bits of the permissions, which differ from class to class. One that no class has is unknown.
func (s *search) prepareClasses() error {
	names := s.classNames()
	if names == nil && len(s.query.Permissions) == 0 {
		return nil
	}
	if names == nil {
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

// symbols are the types and attributes that a rule may have for it to be found: the attributes of every type that the name stands for, and these; or those whose types,
// or which themselves, have the expression in their names. nil is for all.
func (s *search) symbols(name string, expression *regexp.Regexp, direct bool) (Bitmap, error) {
	if name == "" && expression == nil {
		return nil, nil
	}
	found := Bitmap{}
	if expression != nil {
		for i, symbol := range s.policy.names().types {
			switch matches := expression.MatchString(symbol.Name); {
			case matches && direct:
				found.set(uint32(i))
			case matches && symbol.Properties&TypeAttribute == 0:
				s.addAttributes(&found, uint32(i))
			}
		}
		return found, nil
	}
	symbol := s.policy.names().typeNames[name]
	if symbol == nil {
		return nil, &UnknownError{"type or attribute", name}
	}
	if direct {
		found.set(symbol.Value - 1)
		return found, nil
	}
	for value := range s.policy.Members(symbol).All() {
		s.addAttributes(&found, value)
	}
	return found, nil
}

// addAttributes adds a type (its value less 1) and its attributes.
func (s *search) addAttributes(found *Bitmap, value uint32) {
	found.set(value)
	for attribute := range s.policy.Attributes[value].All() {
		found.set(attribute)
	}
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
	if s.produced != nil && (kind&ruleTypes == 0 || !s.produced.Has(rule.Data-1)) {
		return false
	}
	wanted := uint32(0)
	if s.classes != nil {
		vector, known := s.classes[rule.Class]
		if !known {
			return false
		}
		wanted = vector
	}
	return s.matchesPermissions(rule, kind, wanted) && s.matchesCommands(rule)
}

// matchesPermissions compares the permissions; of extended ones that which they refine.
func (s *search) matchesPermissions(rule *Rule, kind uint16, wanted uint32) bool {
	q := &s.query
	if len(q.Permissions) == 0 {
		return true
	}
	has := rule.Data
	switch {
	case kind&ruleExtended != 0:
		return slices.Contains(q.Permissions, rule.Extended.permission()) && !(q.EqualPermissions && len(q.Permissions) > 1)
	case kind&ruleAccess == 0:
		return false
	case kind == RuleAuditDeny:
		has = ^has & s.policy.defined(rule.Class)
	}
	switch {
	case q.AllPermissions:
		return has&wanted == wanted && bits.OnesCount32(wanted) == len(q.Permissions)
	case q.EqualPermissions:
		return has == wanted && bits.OnesCount32(wanted) == len(q.Permissions)
	}
	return has&wanted != 0
}

// defined are the bits of a class that are permissions.
func (p *Policy) defined(class uint16) uint32 {
	of, all := p.names().classes[class-1], uint32(0)
	tables := []Symbols[Permission]{of.Permissions}
	if common := p.names().commons[of.Common]; common != nil {
		tables = append(tables, common.Permissions)
	}
	for _, table := range tables {
		for _, permission := range table.Entries {
			all |= 1 << (permission.Value - 1)
		}
	}
	return all
}

func (s *search) matchesCommands(rule *Rule) bool {
	if s.commands == nil {
		return true
	}
	if rule.Extended == nil {
		return false
	}
	var has commandSet
	for number := range 1 << 16 {
		if rule.Extended.Has(uint16(number)) {
			has[number/64] |= 1 << (number % 64)
		}
	}
	if s.query.EqualCommands {
		return has == *s.commands
	}
	for i := range has {
		if has[i]&s.commands[i] != 0 {
			return true
		}
	}
	return false
}
