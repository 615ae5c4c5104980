// SPDX-License-Identifier: Apache-2.0

package cil

import "github.com/bulkhead-project/bulkhead/selinux/cil/syntax"

// userStatements declare users and say what they may be with.
var userStatements = map[string]*keyword{
	"user":             {check: takes(name("user")), declare: declareUser(false)},
	"userattribute":    {check: takes(name("attribute")), declare: declareUser(true)},
	"userattributeset": {check: takes(name("attribute"), operand{name: "users", shape: setOf(setOfTypes)}), resolve: resolveUserSet},
	"userrole":         {check: takes(name("user"), name("role")), resolve: resolveUserRole},
	"userlevel":        {check: takes(name("user"), levelOperand), resolve: resolveUserLevel},
	"userrange":        {check: takes(name("user"), levelRangeOperand), resolve: resolveUserRange},
	"userbounds":       {check: takes(name("parent"), name("child")), resolve: resolveUserBounds},
	"userprefix":       {check: takes(name("user"), name("prefix")), resolve: resolveUserPrefix},
	"selinuxuser": {check: takes(name("login"), name("user"), levelRangeOperand),
		resolve: resolveSelinuxUser},
	"selinuxuserdefault": {check: takes(name("user"), levelRangeOperand), resolve: resolveSelinuxUserDefault},
}

func declareUser(attribute bool) func(*declarer, statement) error {
	return func(d *declarer, s statement) error {
		return d.declare(s, kindUser, s.operand(1), &user{attribute: attribute})
	}
}

func (u *user) addTo(m *model) { m.users = append(m.users, u) }

func resolveUserSet(r *resolver, s statement) (item, error) {
	attribute, err := find[*user](r, s.scope, kindUser, s.operand(1))
	if err != nil {
		return nil, err
	}
	if !attribute.attribute {
		return nil, r.fail(s, s.operand(1), "%s is a user, expected a user attribute", s.operand(1).Word())
	}
	set, err := symbolSet[*user](r, s.scope, kindUser, s.operand(2))
	return &userSet{s.place(), attribute, set}, err
}

type userSet attributeSet[*user]

func (u *userSet) addTo(m *model) { m.userSets = append(m.userSets, attributeSet[*user](*u)) }

func resolveUserRole(r *resolver, s statement) (item, error) {
	of, err := find[*user](r, s.scope, kindUser, s.operand(1))
	if err != nil {
		return nil, err
	}
	found, err := find[*role](r, s.scope, kindRole, s.operand(2))
	return &userRole{of, found}, err
}

func (u *userRole) addTo(m *model) { m.userRoles = append(m.userRoles, *u) }

func resolveUserLevel(r *resolver, s statement) (item, error) {
	of, err := r.findUser(s.scope, s.operand(1))
	if err != nil {
		return nil, err
	}
	level, err := r.level(s.scope, s.operand(2))
	return &userLevel{s.place(), of, level}, err
}

func (u *userLevel) addTo(m *model) { m.userLevels = append(m.userLevels, *u) }

func resolveUserRange(r *resolver, s statement) (item, error) {
	of, err := r.findUser(s.scope, s.operand(1))
	if err != nil {
		return nil, err
	}
	levels, err := r.levelRange(s.scope, s.operand(2))
	return &userRange{s.place(), of, levels}, err
}

func (u *userRange) addTo(m *model) { m.userRanges = append(m.userRanges, *u) }

func resolveUserBounds(r *resolver, s statement) (item, error) {
	parent, err := r.findUser(s.scope, s.operand(1))
	if err != nil {
		return nil, err
	}
	child, err := r.findUser(s.scope, s.operand(2))
	return &userBound{s.place(), parent, child}, err
}

type userBound bounds[*user]

func (b *userBound) addTo(m *model) { m.userBounds = append(m.userBounds, bounds[*user](*b)) }

func resolveUserPrefix(r *resolver, s statement) (item, error) {
	of, err := r.findUser(s.scope, s.operand(1))
	return &userPrefix{of, s.operand(2).Word()}, err
}

func (u *userPrefix) addTo(m *model) { m.userPrefixes = append(m.userPrefixes, *u) }

func resolveSelinuxUser(r *resolver, s statement) (item, error) {
	return r.selinuxUser(s, s.operand(1).Word(), s.operand(2), s.operand(3))
}

func resolveSelinuxUserDefault(r *resolver, s statement) (item, error) {
	return r.selinuxUser(s, "", s.operand(1), s.operand(2))
}

func (r *resolver) selinuxUser(s statement, login string, user, levels syntax.Node) (item, error) {
	of, err := r.findUser(s.scope, user)
	if err != nil {
		return nil, err
	}
	within, err := r.levelRange(s.scope, levels)
	return &seuser{s.place(), selinuxUser{login, of, within}}, err
}

// seuser is a selinuxUser and where it stands.
type seuser struct {
	at place
	selinuxUser
}

func (l *seuser) addTo(m *model) {
	if l.login == "" {
		m.once("selinuxuserdefault", l.at)
	}
	m.seusers = append(m.seusers, l.selinuxUser)
}
