// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"github.com/bulkhead-project/bulkhead/source"
)

// unfinished is the part of the model that finish uses up: what is only there to be checked, or to be put in elsewhere.
type unfinished struct {
	permissionSets []*definition // classpermission
	setContents    map[*definition][]classPermissions
	extended       []*extendedPermissions // permissionx
	namedRanges    []namedRange
	settings       map[string]place // statements that may stand once
	faults         source.Diagnostics
}

// maximumPermissionSet is how many classes a set of permissions may have written out: sets of sets of sets grow fast.
const maximumPermissionSet = 1 << 12

// once notes a statement that may stand once in a policy.
func (m *model) once(keyword string, at place) {
	if before, ok := m.settings[keyword]; ok {
		m.fault(at, "%s is said already, %s", keyword, before)
		return
	}
	if m.settings == nil {
		m.settings = map[string]place{}
	}
	m.settings[keyword] = at
}

func (m *model) fault(at place, format string, arguments ...any) {
	m.faults = append(m.faults, diagnosticAt(at, format, arguments...))
}

// finish puts the contents of named permission sets where they are used, and makes the checks on the policy as a whole that need no attribute expanded; they are
// those of libsepol's cil_verify.c. Errors are source.Diagnostics.
func (m *model) finish(r *resolver) error {
	if r.options.Onto == nil && !m.hasRule() {
		m.faults.Add(source.Position{}, "the policy has no access rule")
	}
	m.putSetsIn()
	m.checkClassMaps(r)
	circles(m, m.typeSets)
	circles(m, m.roleSets)
	circles(m, m.userSets)
	boundsOnce(m, m.typeBounds)
	boundsOnce(m, m.roleBounds)
	boundsOnce(m, m.userBounds)
	m.checkUsers()
	m.checkSIDs()
	m.checkExtended(r)
	m.checkLevels(r)
	faults := m.faults
	m.unfinished = unfinished{}
	return faults.Sorted()
}

func (m *model) hasRule() bool {
	for _, rule := range m.rules {
		if rule.extended == nil {
			return true
		}
	}
	return false
}

// putSetsIn replaces the names of permission sets by their contents.
func (m *model) putSetsIn() {
	contents := map[*definition][]classPermissions{}
	open := map[*definition]bool{}
	var written func(list []classPermissions) []classPermissions
	written = func(list []classPermissions) []classPermissions {
		if len(list) == 1 && list[0].set == nil {
			return list
		}
		var out []classPermissions
		for _, one := range list {
			if one.set == nil {
				out = append(out, one)
				continue
			}
			held, ok := contents[one.set]
			if !ok && open[one.set] {
				m.fault(one.at, "classpermission %s is a part of itself", one.set.name)
				continue
			}
			if !ok {
				open[one.set] = true
				held = written(m.setContents[one.set])
				delete(open, one.set)
				contents[one.set] = held
			}
			if out = append(out, held...); len(out) > maximumPermissionSet {
				m.fault(one.at, "permissions of more than %d classes", maximumPermissionSet)
				return nil
			}
		}
		return out
	}
	for _, set := range m.permissionSets {
		if len(m.setContents[set]) == 0 {
			m.fault(set.declared, "classpermission %s has no classpermissionset", set.name)
		}
		written([]classPermissions{{at: set.declared, set: set}})
	}
	m.eachPermissions(func(list *[]classPermissions) { *list = written(*list) })
}

// eachRule goes through all access rules.
func (m *model) eachRule(visit func(*accessRule)) {
	lists := [][]*accessRule{m.rules, m.denies}
	for _, condition := range m.conditions {
		lists = append(lists, condition.True.rules, condition.False.rules)
	}
	for _, list := range lists {
		for _, rule := range list {
			visit(rule)
		}
	}
}

// eachPermissions goes through all lists of permissions.
func (m *model) eachPermissions(visit func(*[]classPermissions)) {
	m.eachRule(func(rule *accessRule) { visit(&rule.permissions) })
	for i := range m.mappings {
		visit(&m.mappings[i].means)
	}
	for i := range m.constraints {
		visit(&m.constraints[i].permissions)
	}
}

// checkClassMaps makes sure that each permission of a class map stands for something other than itself, and for how much, and that all does not stand for nothing.
func (m *model) checkClassMaps(r *resolver) {
	c := &mapCheck{m, map[*permission][]classPermissions{}, map[*permission]int{}, map[*permission]bool{}}
	for _, mapping := range m.mappings {
		c.means[mapping.permission] = append(c.means[mapping.permission], mapping.means...)
	}
	for _, of := range m.classMaps {
		for _, mapped := range of.permissions {
			if len(c.means[mapped]) == 0 {
				m.fault(of.declared, "permission %s of class map %s has no classmapping", mapped.name, of.name)
			}
			c.size(of, mapped)
		}
	}
	checked := map[*class]bool{}
	m.eachPermissions(func(list *[]classPermissions) {
		for _, one := range *list {
			if one.permissions.operator != setSymbol && !checked[one.class] && len(one.class.permissions) == 0 && r.commonOf(one.class) == nil && one.permissions.all() {
				checked[one.class] = true
				m.fault(one.at, "class %s has no permissions, which all could stand for", one.class.name)
			}
		}
	})
}

// mapCheck finds how many permissions of classes the permissions of class maps stand for.
type mapCheck struct {
	model *model
	means map[*permission][]classPermissions
	sizes map[*permission]int
	open  map[*permission]bool // those that are being looked at: one that comes back is a circle
}

func (c *mapCheck) size(of *class, mapped *permission) int {
	if size, ok := c.sizes[mapped]; ok {
		return size
	}
	if c.open[mapped] {
		c.model.fault(of.declared, "permission %s of class map %s stands for itself", mapped.name, of.name)
		return 0
	}
	c.open[mapped] = true
	size := 0
	for _, one := range c.means[mapped] {
		if one.class.kind != classMapKind {
			size++
			continue
		}
		eachSymbol(one.permissions, one.class.permissions, func(mapped *permission) { size += c.size(one.class, mapped) })
	}
	if size > maximumPermissionSet {
		c.model.fault(of.declared, "permission %s of class map %s stands for more than %d permissions of classes", mapped.name, of.name, maximumPermissionSet)
		size = 0
	}
	c.sizes[mapped] = size
	return size
}

// all tells whether the expression has an all in it.
func (e *expression[T]) all() bool {
	if e.operator == setAll {
		return true
	}
	for i := range e.operands {
		if e.operands[i].all() {
			return true
		}
	}
	return false
}

// eachSymbol goes through the symbols of an expression, in which all stands for every one.
func eachSymbol[T any](set expression[T], every []T, visit func(T)) {
	switch set.operator {
	case setSymbol:
		visit(set.symbol)
	case setAll:
		for _, one := range every {
			visit(one)
		}
	default:
		for _, operand := range set.operands {
			eachSymbol(operand, every, visit)
		}
	}
}

// circles makes sure that no attribute is a part of itself.
func circles[T interface {
	comparable
	symbol
}](m *model, sets []attributeSet[T]) {
	of := map[T][]int{}
	for i := range sets {
		of[sets[i].attribute] = append(of[sets[i].attribute], i)
	}
	state := map[T]int{} // 1: open, 2: done
	var visit func(T)
	visit = func(attribute T) {
		state[attribute] = 1
		for _, i := range of[attribute] {
			eachSymbol(sets[i].set, nil, func(member T) {
				switch {
				case state[member] == 1:
					m.fault(sets[i].at, "attribute %s is a part of itself", member.symbol().name)
				case state[member] == 0 && len(of[member]) > 0:
					visit(member)
				}
			})
		}
		state[attribute] = 2
	}
	for i := range sets {
		if state[sets[i].attribute] == 0 {
			visit(sets[i].attribute)
		}
	}
}

// boundsOnce makes sure that each symbol has one parent, and is not bound by itself.
func boundsOnce[T interface {
	comparable
	symbol
}](m *model, all []bounds[T]) {
	parents := map[T]T{}
	for _, bound := range all {
		if before, ok := parents[bound.child]; ok {
			m.fault(bound.at, "%s is bound already, by %s", bound.child.symbol().name, before.symbol().name)
			continue
		}
		parents[bound.child] = bound.parent
	}
	state := map[T]*bounds[T]{} // the bound from which a symbol was reached first
	for i := range all {
		from := &all[i]
		for at, bound := from.child, true; bound && state[at] == nil; {
			state[at] = from
			if at, bound = parents[at]; bound && state[at] == from {
				m.fault(from.at, "%s is bound by itself", at.symbol().name)
			}
		}
	}
}

// checkUsers makes sure that users have levels, which every policy has, with and without MLS.
func (m *model) checkUsers() {
	levels, ranges := map[*user]bool{}, map[*user]bool{}
	for _, said := range m.userLevels {
		levels[said.user] = true
	}
	for _, said := range m.userRanges {
		ranges[said.user] = true
	}
	for _, user := range m.users {
		switch {
		case user.attribute || user.value != 0:
		case !levels[user]:
			m.fault(user.declared, "user %s has no userlevel", user.name)
		case !ranges[user]:
			m.fault(user.declared, "user %s has no userrange", user.name)
		}
	}
}

func (m *model) checkSIDs() {
	contexts := map[*sid]place{}
	for _, said := range m.sidContexts {
		if before, ok := contexts[said.sid]; ok {
			m.fault(said.at, "sid %s has a context already, %s", said.sid.name, before)
		}
		contexts[said.sid] = said.at
	}
}

// checkExtended makes sure that the classes of extended permissions have the permission that those are a part of.
func (m *model) checkExtended(r *resolver) {
	mapped := map[*class][]*class{}
	for _, mapping := range m.mappings {
		for _, one := range mapping.means {
			mapped[mapping.class] = append(mapped[mapping.class], one.class)
		}
	}
	var seen map[*class]bool
	var check func(e *extendedPermissions, of *class)
	check = func(e *extendedPermissions, of *class) {
		if seen[of] {
			return
		}
		seen[of] = true
		if of.kind != classMapKind {
			if r.permissionOf(of, e.kind.String()) == nil {
				m.fault(e.at, "class %s has no permission %s", of.name, e.kind)
			}
			return
		}
		for _, one := range mapped[of] {
			check(e, one)
		}
	}
	checked := map[*extendedPermissions]bool{}
	begin := func(e *extendedPermissions) {
		if e == nil || checked[e] {
			return
		}
		checked[e], seen = true, map[*class]bool{}
		check(e, e.class)
	}
	for _, extended := range m.extended {
		begin(extended)
	}
	m.eachRule(func(rule *accessRule) { begin(rule.extended) })
}
