// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

var (
	accessForm = takes(name("source"), name("target"), permissionsOperand)
	typeForm   = takes(name("source"), name("target"), name("class"), name("result"))
)

// ruleStatements are the rules between types.
var ruleStatements = map[string]*keyword{
	"allow":      {check: accessForm, resolve: resolveAccess(ruleAllow), where: inCondition},
	"auditallow": {check: accessForm, resolve: resolveAccess(ruleAuditAllow), where: inCondition},
	"dontaudit":  {check: accessForm, resolve: resolveAccess(ruleDontAudit), where: inCondition},
	"neverallow": {check: accessForm, resolve: resolveAccess(ruleNeverAllow)},
	"deny":       {check: accessForm, resolve: resolveAccess(ruleDeny)},
	"typetransition": {check: takes(name("source"), name("target"), name("class"), operand{name: "name", shape: word, optional: true}, name("result")),
		resolve: resolveTypeTransition, where: inCondition},
	"typechange": {check: typeForm, resolve: resolveTypeRule(policydb.RuleChange), where: inCondition},
	"typemember": {check: typeForm, resolve: resolveTypeRule(policydb.RuleMember), where: inCondition},
}

func resolveAccess(kind ruleKind) func(*resolver, statement) (item, error) {
	return func(r *resolver, s statement) (item, error) {
		name := s.operand(1)
		source, err := r.types(s.scope, name)
		if err != nil {
			return nil, err
		}
		name = name.Next()
		target, err := find[*typ](r, s.scope, kindType, name)
		if err != nil {
			return nil, err
		}
		permissions, err := r.classPermissions(s.scope, name.Next())
		if err != nil {
			return nil, err
		}
		return r.accessRules.keep(accessRule{at: s.place(), kind: kind, source: source, target: target, permissions: permissions}), nil
	}
}

func (a *accessRule) addTo(m *model) {
	if a.kind == ruleDeny {
		m.denies = append(m.denies, a)
	} else {
		m.rules = append(m.rules, a)
	}
}

func resolveTypeRule(kind uint16) func(*resolver, statement) (item, error) {
	return func(r *resolver, s statement) (item, error) {
		return r.typeRule(s, &typeRule{at: s.place(), kind: kind}, s.operand(4))
	}
}

func resolveTypeTransition(r *resolver, s statement) (item, error) {
	rule := &typeRule{at: s.place(), kind: policydb.RuleTransition}
	result := s.operand(4)
	if last := result.Next(); last.Valid() {
		name, _ := r.argument(s.scope, kindName, result)
		rule.named, rule.object, result = true, name.Word(), last
	}
	return r.typeRule(s, rule, result)
}

func (r *resolver) typeRule(s statement, rule *typeRule, result syntax.Node) (item, error) {
	var err error
	if rule.source, err = r.types(s.scope, s.operand(1)); err != nil {
		return nil, err
	}
	if rule.target, err = find[*typ](r, s.scope, kindType, s.operand(2)); err != nil {
		return nil, err
	}
	if rule.target == typeNotSelf || rule.target == typeOther {
		return nil, r.fail(s, s.operand(2), "%s is not a target of type rules, which take types, attributes and self", rule.target.name)
	}
	if rule.class, err = find[*class](r, s.scope, kindClass, s.operand(3)); err != nil {
		return nil, err
	}
	rule.result, err = r.findType(s.scope, result)
	return rule, err
}

func (t *typeRule) addTo(m *model) { m.typeRules = append(m.typeRules, t) }
