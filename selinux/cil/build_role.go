// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"cmp"
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// attributes are role or user attributes. They are not in the policy: what is said of one is written for each of its members.
type attributes[T comparable] struct {
	builder    *builder
	kind       string
	symbol     func(T) (n *named, attribute bool)
	everything bitset // values less 1
	sets       map[T]*memberSet[T]
}

type memberSet[T any] struct {
	said    []*attributeSet[T]
	members bitset // values less 1
	state   setState
}

// collect takes what is said of the attributes.
func (a *attributes[T]) collect(said []attributeSet[T]) {
	a.sets = map[T]*memberSet[T]{}
	for i := range said {
		set := a.set(said[i].attribute)
		set.said = append(set.said, &said[i])
	}
}

func (a *attributes[T]) set(symbol T) *memberSet[T] {
	if a.sets[symbol] == nil {
		a.sets[symbol] = &memberSet[T]{}
	}
	return a.sets[symbol]
}

// add adds a symbol, or the members of an attribute.
func (a *attributes[T]) add(into *bitset, symbol T) {
	n, attribute := a.symbol(symbol)
	if !attribute {
		if a.builder.given(n, a.kind) {
			into.set(n.value - 1)
		}
		return
	}
	set := a.set(symbol)
	switch set.state {
	case setBeingWorkedOut:
		a.builder.fail(n.declared, "%s attribute %s is, through others, part of itself", a.kind, n.name)
		return
	case setUnknown:
		set.state = setBeingWorkedOut
		domain := domain[T]{everything: a.everything, add: a.add}
		for _, said := range set.said {
			domain.evaluate(&said.set, &set.members)
		}
		set.state = setKnown
	}
	into.union(set.members)
}

// of are the values less 1 for which a symbol stands.
func (a *attributes[T]) of(symbol T) bitset {
	var members bitset
	a.add(&members, symbol)
	return members
}

// objectRole is the role of objects, which every policy has and which goes with everything; the policy lists neither its types nor its users.
const (
	objectRole      = "object_r"
	objectRoleValue = 1
)

func (b *builder) roles() {
	table := &b.policy.Roles
	if b.base == nil {
		table.Entries = append(table.Entries, policydb.Role{Name: objectRole, Value: next(table)})
	}
	for _, r := range b.model.roles {
		switch {
		case r.attribute || r.value != 0:
		case r.name == objectRole:
			r.value = objectRoleValue
		default:
			r.value = next(table)
			table.Entries = append(table.Entries, policydb.Role{Name: r.name, Value: r.value, Dominates: policydb.Bitmap(span(r.value-1, r.value-1))})
		}
	}
	b.roleAttributes = attributes[*role]{builder: b, kind: "role", symbol: func(r *role) (*named, bool) { return &r.named, r.attribute },
		everything: b.declaredRoles()}
	b.roleAttributes.collect(b.model.roleSets)
	b.roleTypeSets()
	parents := parentsOf(b, b.model.roleBounds, "role", func(r *role) *named { return &r.named })
	setBounds(b, parents, table.Entries, func(r *policydb.Role) (uint32, *uint32) { return r.Value, &r.Bounds })
}

// declaredRoles are all roles; object_r is among them only if the sources or base declare it.
func (b *builder) declaredRoles() bitset {
	var declared bitset
	if b.base != nil {
		declared = span(0, b.policy.Roles.Primary-1)
	}
	for _, r := range b.model.roles {
		if !r.attribute {
			declared.set(r.value - 1)
		}
	}
	return declared
}

// inDeclaredOrder are the values of roles in the order of their declarations. It is that of the values, but for object_r's, which is the first wherever it is declared.
func (b *builder) inDeclaredOrder(roles bitset) []uint32 {
	before := uint32(objectRoleValue) // the highest value declared before it
	for _, r := range b.model.roles {
		if r.name == objectRole {
			break
		}
		before = max(before, r.value)
	}
	var values []uint32
	for bit := range roles.all() {
		values = append(values, bit+1)
	}
	slices.SortStableFunc(values, func(x, y uint32) int {
		return cmp.Or(cmp.Compare(declaredRank(x, before), declaredRank(y, before)), cmp.Compare(x, y))
	})
	return values
}

// declaredRank is 0 for roles declared before object_r, 1 for that, 2 for those after it.
func declaredRank(role, before uint32) int {
	switch {
	case role == objectRoleValue:
		return 1
	case role <= before:
		return 0
	}
	return 2
}

// roleTypeSets works out the types of roles. Those of object_r count for contexts alone.
func (b *builder) roleTypeSets() {
	b.roleTypes = map[uint32]*bitset{}
	if b.base != nil {
		everyType := append(bitset(nil), b.everyType...)
		everyType.without(span(b.base.Types.Primary, uint32(len(b.types))))
		b.roleTypes[objectRoleValue] = &everyType
	}
	for i := range b.model.roleTypes {
		said := &b.model.roleTypes[i]
		if !said.role.attribute && said.role.value == 0 {
			continue // of an abstract block: as good as not said
		}
		for bit := range b.roleAttributes.of(said.role).all() {
			types := b.typesOfRole(bit + 1)
			b.addType(types, said.types)
		}
	}
	for i := range b.policy.Roles.Entries {
		entry := &b.policy.Roles.Entries[i]
		if types := b.roleTypes[entry.Value]; types != nil && entry.Value != objectRoleValue {
			entry.Types = b.byValue(*types)
		}
	}
}

// typesOfRole are the types of a role by number, those of base's to begin with.
func (b *builder) typesOfRole(value uint32) *bitset {
	if types := b.roleTypes[value]; types != nil {
		return types
	}
	types := &bitset{}
	if b.base != nil {
		for i := range b.base.Roles.Entries {
			if entry := &b.base.Roles.Entries[i]; entry.Value == value {
				types.union(bitset(entry.Types))
			}
		}
	}
	b.roleTypes[value] = types
	return types
}

func (b *builder) users() {
	table := &b.policy.Users
	for _, u := range b.model.users {
		if !u.attribute {
			u.value = next(table)
			table.Entries = append(table.Entries, policydb.User{Name: u.name, Value: u.value})
		}
	}
	b.userAttributes = attributes[*user]{builder: b, kind: "user", symbol: func(u *user) (*named, bool) { return &u.named, u.attribute }}
	if table.Primary > 0 {
		b.userAttributes.everything = span(0, table.Primary-1)
	}
	b.userAttributes.collect(b.model.userSets)
	b.userRoleSets()
	b.userLevels()
	parents := parentsOf(b, b.model.userBounds, "user", func(u *user) *named { return &u.named })
	setBounds(b, parents, table.Entries, func(u *policydb.User) (uint32, *uint32) { return u.Value, &u.Bounds })
}

func (b *builder) userRoleSets() {
	b.userRoles = map[uint32]*bitset{}
	if b.base != nil {
		for i := range b.base.Users.Entries {
			entry := &b.base.Users.Entries[i]
			roles := bitset(append(policydb.Bitmap(nil), entry.Roles...))
			roles.set(objectRoleValue - 1)
			b.userRoles[entry.Value] = &roles
		}
	}
	for i := range b.model.userRoles {
		said := &b.model.userRoles[i]
		if !said.user.attribute && said.user.value == 0 {
			continue
		}
		for bit := range b.userAttributes.of(said.user).all() {
			if b.userRoles[bit+1] == nil {
				b.userRoles[bit+1] = &bitset{}
			}
			b.roleAttributes.add(b.userRoles[bit+1], said.role)
		}
	}
	for i := range b.policy.Users.Entries {
		entry := &b.policy.Users.Entries[i]
		if roles := b.userRoles[entry.Value]; roles != nil {
			kept := append(bitset(nil), *roles...)
			kept.without(span(objectRoleValue-1, objectRoleValue-1))
			entry.Roles = kept.trimmed()
		}
	}
}

// userLevels writes the default levels and ranges, which each user has once.
func (b *builder) userLevels() {
	b.userRanges = map[uint32][2]uint32{}
	if b.base != nil {
		for i := range b.base.Users.Entries {
			entry := &b.base.Users.Entries[i]
			b.userRanges[entry.Value] = [2]uint32{entry.Range.Low.Sensitivity, entry.Range.High.Sensitivity}
		}
	}
	levels, ranges := map[*user]*userLevel{}, map[*user]*userRange{}
	for i := range b.model.userLevels {
		said := &b.model.userLevels[i]
		if levels[said.user] != nil || said.user.value <= b.baseUsers() {
			b.fail(said.at, "user %s has a default level already", said.user.name)
		}
		levels[said.user] = said
	}
	for i := range b.model.userRanges {
		said := &b.model.userRanges[i]
		if ranges[said.user] != nil || said.user.value <= b.baseUsers() {
			b.fail(said.at, "user %s has a range already", said.user.name)
		}
		ranges[said.user] = said
	}
	for _, u := range b.model.users {
		if u.attribute {
			continue
		}
		if levels[u] == nil || ranges[u] == nil {
			b.fail(u.declared, "user %s needs a default level (userlevel) and a range (userrange)", u.name)
			continue
		}
		entry := &b.policy.Users.Entries[len(b.policy.Users.Entries)-int(b.policy.Users.Primary)+int(u.value)-1]
		entry.Range = b.rangeOf(ranges[u].at, &ranges[u].levels)
		b.userRanges[u.value] = [2]uint32{ranges[u].levels.low.sensitivity.value, ranges[u].levels.high.sensitivity.value}
		if b.policy.MLS {
			entry.Default = b.level(&levels[u].level)
		}
	}
}

// baseUsers is the last value of a user of the policy compiled onto.
func (b *builder) baseUsers() uint32 {
	if b.base == nil {
		return 0
	}
	return b.base.Users.Primary
}
