// SPDX-License-Identifier: Apache-2.0

package cil

// roleStatements declare roles and say what they may be with.
var roleStatements = map[string]*keyword{
	"role":             {check: takes(name("role")), declare: declareRole(false)},
	"roleattribute":    {check: takes(name("attribute")), declare: declareRole(true)},
	"roleattributeset": {check: takes(name("attribute"), operand{name: "roles", shape: setOf(setOfTypes)}), resolve: resolveRoleSet},
	"roletype":         {check: takes(name("role"), name("type")), resolve: resolveRoleType},
	"roleallow":        {check: takes(name("source"), name("target")), resolve: resolveRoleAllow},
	"rolebounds":       {check: takes(name("parent"), name("child")), resolve: resolveRoleBounds},
	"roletransition": {check: takes(name("role"), name("type"), name("class"), name("result")),
		resolve: resolveRoleTransition},
}

func declareRole(attribute bool) func(*declarer, statement) error {
	return func(d *declarer, s statement) error {
		return d.declare(s, kindRole, s.operand(1), &role{attribute: attribute})
	}
}

func (r *role) addTo(m *model) { m.roles = append(m.roles, r) }

func resolveRoleSet(r *resolver, s statement) (item, error) {
	attribute, err := find[*role](r, s.scope, kindRole, s.operand(1))
	if err != nil {
		return nil, err
	}
	if !attribute.attribute {
		return nil, r.fail(s, s.operand(1), "%s is a role, expected a role attribute", s.operand(1).Word())
	}
	set, err := symbolSet[*role](r, s.scope, kindRole, s.operand(2))
	return &roleSet{s.place(), attribute, set}, err
}

type roleSet attributeSet[*role]

func (r *roleSet) addTo(m *model) { m.roleSets = append(m.roleSets, attributeSet[*role](*r)) }

func resolveRoleType(r *resolver, s statement) (item, error) {
	of, err := find[*role](r, s.scope, kindRole, s.operand(1))
	if err != nil {
		return nil, err
	}
	types, err := r.types(s.scope, s.operand(2))
	return &roleType{of, types}, err
}

func (r *roleType) addTo(m *model) { m.roleTypes = append(m.roleTypes, *r) }

func resolveRoleAllow(r *resolver, s statement) (item, error) {
	source, err := find[*role](r, s.scope, kindRole, s.operand(1))
	if err != nil {
		return nil, err
	}
	target, err := find[*role](r, s.scope, kindRole, s.operand(2))
	return &roleAllow{source, target}, err
}

func (r *roleAllow) addTo(m *model) { m.roleAllows = append(m.roleAllows, *r) }

func resolveRoleBounds(r *resolver, s statement) (item, error) {
	parent, err := r.findRole(s.scope, s.operand(1))
	if err != nil {
		return nil, err
	}
	child, err := r.findRole(s.scope, s.operand(2))
	return &roleBound{s.place(), parent, child}, err
}

type roleBound bounds[*role]

func (b *roleBound) addTo(m *model) { m.roleBounds = append(m.roleBounds, bounds[*role](*b)) }

func resolveRoleTransition(r *resolver, s statement) (item, error) {
	transition := &roleTransition{at: s.place()}
	var err error
	if transition.role, err = find[*role](r, s.scope, kindRole, s.operand(1)); err != nil {
		return nil, err
	}
	if transition.types, err = r.types(s.scope, s.operand(2)); err != nil {
		return nil, err
	}
	if transition.class, err = find[*class](r, s.scope, kindClass, s.operand(3)); err != nil {
		return nil, err
	}
	transition.result, err = r.findRole(s.scope, s.operand(4))
	return transition, err
}

func (t *roleTransition) addTo(m *model) { m.roleTransitions = append(m.roleTransitions, *t) }
