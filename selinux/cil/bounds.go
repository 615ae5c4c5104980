// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// object is what a type may do something to.
type object struct{ target, class uint16 }

// permitted is what one type may do: always (outside of conditions, or in both branches of one), and in the branches of conditions.
type permitted struct {
	always   map[object]uint32
	branches map[branchKey]map[object]uint32
}

type branchKey struct {
	condition int
	branch    bool
}

// typeBounds holds the types that have bounds against these (libsepol's hierarchy.c, the kernel's type_attribute_bounds_av): what a child may do to a type, its parent
// must be allowed, to that type's parent where it has one, always or in the same branch of the same condition.
func (c *checks) typeBounds() {
	parents := c.boundedTypes()
	if len(parents) == 0 {
		return
	}
	bySource := map[uint16][]candidate{}
	c.each(policydb.RuleAllow, func(rule candidate) { bySource[rule.Source] = append(bySource[rule.Source], rule) })
	allowed := map[uint32]*permitted{} // of parents
	for child := range c.policy.Types.Primary {
		parent := parents[child+1]
		if parent == 0 {
			continue
		}
		if allowed[parent] == nil {
			allowed[parent] = c.permittedTo(parent, bySource)
		}
		c.typeWithin(child+1, parents, allowed[parent], bySource)
	}
}

// boundedTypes are the parents by the value of the child.
func (c *checks) boundedTypes() map[uint32]uint32 {
	parents := map[uint32]uint32{}
	for i := range c.policy.Types.Entries {
		if entry := &c.policy.Types.Entries[i]; entry.Bounds != 0 {
			parents[entry.Value] = entry.Bounds
		}
	}
	return parents
}

func (c *checks) permittedTo(typ uint32, bySource map[uint16][]candidate) *permitted {
	may := &permitted{always: map[object]uint32{}, branches: map[branchKey]map[object]uint32{}}
	for source := range c.policy.Attributes[typ-1].All() {
		for _, rule := range bySource[uint16(source+1)] {
			into := may.always
			if rule.condition >= 0 {
				key := branchKey{rule.condition, rule.branch}
				if may.branches[key] == nil {
					may.branches[key] = map[object]uint32{}
				}
				into = may.branches[key]
			}
			for target := range c.types[rule.Target-1].All() {
				into[object{uint16(target + 1), rule.Class}] |= rule.Data
			}
		}
	}
	for key, rules := range may.branches {
		if !key.branch {
			continue
		}
		for object, permissions := range rules {
			if both := permissions & may.branches[branchKey{key.condition, false}][object]; both != 0 {
				may.always[object] |= both
			}
		}
	}
	return may
}

// exceeded is what a child may do and its parent may not.
type exceeded struct {
	object      object
	permissions uint32
}

func (c *checks) typeWithin(child uint32, parents map[uint32]uint32, parent *permitted, bySource map[uint16][]candidate) {
	var beyond []exceeded
	for attribute := range c.policy.Attributes[child-1].All() {
		for _, rule := range bySource[uint16(attribute+1)] {
			for target := range c.types[rule.Target-1].All() {
				asked := object{uint16(target + 1), rule.Class}
				if bound := parents[target+1]; bound != 0 {
					asked.target = uint16(bound)
				}
				missing := rule.Data &^ parent.always[asked]
				if rule.condition >= 0 {
					missing &^= parent.branches[branchKey{rule.condition, rule.branch}][asked]
				}
				if missing != 0 {
					beyond = append(beyond, exceeded{object{uint16(target + 1), rule.Class}, missing})
				}
			}
		}
	}
	if len(beyond) > 0 {
		c.exceeds(child, parents[child], beyond)
	}
}

// exceeds reports a child and the allow statements that give it too much. Where there are none the policy that is compiled onto was so before, which is not for
// these sources to mend.
func (c *checks) exceeds(child, parent uint32, beyond []exceeded) {
	var at place
	for _, bound := range c.model.typeBounds {
		if bound.child.name == c.typeName(child-1) {
			at = bound.at
		}
	}
	statements := c.exceeding(child, parent, beyond)
	if at == (place{}) && len(statements) == 0 {
		return
	}
	if at == (place{}) {
		at = statements[0].at
	}
	more := c.blame(statements)
	one := beyond[0]
	c.find(at, "type %s exceeds its bounds, type %s: allow %s%s", c.typeName(child-1), c.typeName(parent-1),
		c.pair(child-1, uint32(one.object.target)-1, uint32(one.object.class), one.permissions), more)
}

func (c *checks) exceeding(child, parent uint32, beyond []exceeded) []blamed {
	missing := map[object]uint32{}
	for _, one := range beyond {
		missing[one.object] |= one.permissions
	}
	var found []blamed
	c.model.eachAllow(false, func(allow *accessRule) {
		pairs := c.relationOf(allow)
		if !pairs.sources.Has(child - 1) {
			return
		}
		for _, vector := range c.vectors(allow.permissions) {
			for object, permissions := range missing {
				one := relation{sources: bitmapOf(child - 1), targets: bitmapOf(uint32(object.target) - 1)}
				if uint32(object.class) != vector.class || permissions&vector.permissions == 0 || pairs.meet(one).empty() {
					continue
				}
				found = append(found, blamed{allow.at, "allow gives type " + c.typeName(child-1) + " what its bounds, type " + c.typeName(parent-1) + ", has not"})
				return
			}
		}
	})
	return found
}

// otherBounds holds roles and users against theirs: a child has no types, or roles, that its parent has not.
func (c *checks) otherBounds() {
	roles := map[uint32]*policydb.Role{}
	for i := range c.policy.Roles.Entries {
		roles[c.policy.Roles.Entries[i].Value] = &c.policy.Roles.Entries[i]
	}
	for _, bound := range c.model.roleBounds {
		for _, child := range roles {
			if child.Name == bound.child.name && roles[child.Bounds] != nil {
				parent := roles[child.Bounds]
				c.setWithin(bound.at, "role", child.Name, parent.Name, "types", beyondBitmap(c.typesOfRole(child), c.typesOfRole(parent)), c.typeName)
			}
		}
	}
	users := map[uint32]*policydb.User{}
	for i := range c.policy.Users.Entries {
		users[c.policy.Users.Entries[i].Value] = &c.policy.Users.Entries[i]
	}
	for _, bound := range c.model.userBounds {
		for _, child := range users {
			if child.Name == bound.child.name && users[child.Bounds] != nil {
				parent := users[child.Bounds]
				c.setWithin(bound.at, "user", child.Name, parent.Name, "roles", beyondBitmap(child.Roles, parent.Roles), func(value uint32) string { return roles[value+1].Name })
			}
		}
	}
}

// typesOfRole are a role's types. The file has none for object_r, which may go with all.
func (c *checks) typesOfRole(role *policydb.Role) policydb.Bitmap {
	if role.Value != 1 {
		return role.Types
	}
	types := make(policydb.Bitmap, (c.policy.Types.Primary+63)/64)
	for _, said := range c.model.roleTypes {
		if said.role.name == role.Name {
			for typ := range c.members(said.types).All() {
				types[typ/64] |= 1 << (typ % 64)
			}
		}
	}
	return types
}

// beyondBitmap is what is in the first and not in the second.
func beyondBitmap(a, b policydb.Bitmap) []uint32 {
	return slices.DeleteFunc(slices.Collect(a.All()), b.Has)
}

func (c *checks) setWithin(at place, kind, child, parent, what string, beyond []uint32, name func(uint32) string) {
	if len(beyond) == 0 {
		return
	}
	var names []string
	for _, value := range beyond[:min(len(beyond), shownStatements)] {
		names = append(names, name(value))
	}
	c.find(at, "%s %s exceeds its bounds, %s %s: it has the %s %s", kind, child, kind, parent, what, strings.Join(names, " "))
}
