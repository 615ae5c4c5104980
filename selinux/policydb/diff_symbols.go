// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"cmp"
	"slices"
	"strconv"
)

func (c *comparison) properties() {
	c.items(func(s *side) map[string]item {
		return map[string]item{
			"handle_unknown": {properties: []property{{one: s.Unknown.String()}}},
			"MLS":            {properties: []property{{one: strconv.FormatBool(s.MLS)}}},
		}
	})
}

func (c *comparison) capabilities() {
	c.items(func(s *side) map[string]item {
		found := map[string]item{}
		for number := range s.Capabilities.All() {
			found[cmp.Or(CapabilityName(number), "capability "+strconv.Itoa(int(number)))] = item{}
		}
		return found
	})
}

func permissionNames(table Symbols[Permission]) []string {
	var names []string
	for _, permission := range table.Entries {
		names = append(names, permission.Name)
	}
	slices.Sort(names)
	return names
}

func (c *comparison) commons() {
	c.items(func(s *side) map[string]item {
		found := map[string]item{}
		for _, common := range s.Commons.Entries {
			found[common.Name] = item{properties: []property{{many: permissionNames(common.Permissions)}}}
		}
		return found
	})
}

func (c *comparison) classes() {
	c.items(func(s *side) map[string]item {
		found := map[string]item{}
		for i := range s.Classes.Entries {
			class := &s.Classes.Entries[i]
			permissions := slices.Sorted(slices.Values(s.PermissionNames(class, ^uint32(0)))) // the common's too
			found[class.Name] = item{properties: []property{{name: "common", one: class.Common}, {many: permissions}}}
		}
		return found
	})
}

func (c *comparison) defaults() {
	c.items(func(s *side) map[string]item {
		found := map[string]item{}
		add := func(word string, class *Class, value string) {
			if value != "" {
				found[word+" "+class.Name] = item{text: word + " " + class.Name + " " + value + ";", properties: []property{{one: value}}}
			}
		}
		for i := range s.Classes.Entries {
			class := &s.Classes.Entries[i]
			add("default_user", class, defaultWords[class.DefaultUser])
			add("default_role", class, defaultWords[class.DefaultRole])
			add("default_type", class, defaultWords[class.DefaultType])
			add("default_range", class, rangeWords[class.DefaultRange])
		}
		return found
	})
}

// ranked are names in an order that means something, with their aliases.
func (c *comparison) ranked(of func(*side) (names []string, aliases map[string]string)) {
	var orders [2][]string
	c.items(func(s *side) map[string]item {
		names, aliases := of(s)
		of := map[string][]string{}
		for _, alias := range sortedKeys(aliases) {
			of[aliases[alias]] = append(of[aliases[alias]], alias)
		}
		found := map[string]item{}
		for _, name := range names {
			found[name] = item{properties: []property{{name: "alias", many: of[name]}}}
		}
		if s == c.sides[0] {
			orders[0] = names
		} else {
			orders[1] = names
		}
		return found
	})
	first, second := shared(orders[0], orders[1]), shared(orders[1], orders[0])
	for i := range first {
		if first[i] != second[i] {
			c.emit(Modified, c.kind+" order", "+ "+second[i]+" comes before "+first[i], "- "+first[i]+" comes before "+second[i])
			return
		}
	}
}

// shared are the names that the other list has, too, in their order.
func shared(names, others []string) []string {
	others = slices.Sorted(slices.Values(others))
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { _, there := slices.BinarySearch(others, name); return !there })
}

func (c *comparison) sensitivities() {
	c.ranked(func(s *side) ([]string, map[string]string) { return s.sensitivityNames() })
}
func (c *comparison) categories() {
	c.ranked(func(s *side) ([]string, map[string]string) { return s.categoryNames() })
}

func (c *comparison) levels() {
	c.items(func(s *side) map[string]item {
		found := map[string]item{}
		for _, level := range s.Levels.Entries {
			if level.Alias == 0 {
				found[level.Name] = item{properties: []property{{many: sortedNames(level.Level.Categories, func(value uint32) string { return s.categoryName(value - 1) })}}}
			}
		}
		return found
	})
}

func (s *side) typeWords(set Bitmap) []string {
	return sortedNames(set, func(value uint32) string { return s.named.types[value-1].Name })
}

func (s *side) isAttribute(value uint32) bool {
	return s.named.types[value-1].Properties&TypeAttribute != 0
}

func (c *comparison) types() {
	c.items(func(s *side) map[string]item {
		aliases := map[uint32][]string{}
		for _, t := range s.Types.Entries {
			if t.Properties == 0 {
				aliases[t.Value] = append(aliases[t.Value], t.Name)
			}
		}
		found := map[string]item{}
		for i, t := range s.named.types {
			if t.Properties&TypeAttribute != 0 {
				continue
			}
			slices.Sort(aliases[t.Value])
			var attributes Bitmap
			for attribute := range s.Attributes[i].All() {
				if s.isAttribute(attribute + 1) {
					attributes.set(attribute)
				}
			}
			found[t.Name] = item{properties: []property{
				{name: "attribute", many: s.typeWords(attributes)}, {name: "alias", many: aliases[t.Value]},
				{name: "permissive", one: strconv.FormatBool(s.Permissive.Has(t.Value))}, {name: "neveraudit", one: strconv.FormatBool(s.NeverAudit.Has(t.Value))}}}
		}
		return found
	})
}

func (c *comparison) attributes() {
	c.items(func(s *side) map[string]item {
		found := map[string]item{}
		for i, t := range s.named.types {
			if t.Properties&TypeAttribute != 0 {
				found[t.Name] = item{properties: []property{{many: s.typeWords(s.members[i])}}}
			}
		}
		return found
	})
}

func (c *comparison) typeBounds() {
	c.items(func(s *side) map[string]item {
		found := map[string]item{}
		for _, t := range s.named.types {
			if t.Bounds != 0 {
				parent := s.named.types[t.Bounds-1].Name
				found[t.Name] = item{text: "typebounds " + parent + " " + t.Name + ";", properties: []property{{one: parent}}}
			}
		}
		return found
	})
}

// bounding is the name of a bounding role or user.
func bounding[T any](table []*T, value uint32, name func(*T) string) string {
	if value == 0 {
		return ""
	}
	return name(table[value-1])
}

func (c *comparison) roles() {
	c.items(func(s *side) map[string]item {
		roleName := func(value uint32) string { return s.named.roles[value-1].Name }
		found := map[string]item{}
		for _, role := range s.named.roles {
			var types []string
			if role.Value != roleObject { // which goes with every type
				types = s.typeWords(role.Types)
			}
			dominated := slices.DeleteFunc(sortedNames(role.Dominates, roleName), func(name string) bool { return name == role.Name })
			found[role.Name] = item{properties: []property{{name: "type", many: types}, {name: "dominates", many: dominated},
				{name: "bounds", one: bounding(s.named.roles, role.Bounds, func(r *Role) string { return r.Name })}}}
		}
		return found
	})
}

func (c *comparison) users() {
	c.items(func(s *side) map[string]item {
		found := map[string]item{}
		for _, user := range s.named.users {
			var roles []string
			for bit := range user.Roles.All() {
				if bit+1 != roleObject { // which goes with every user
					roles = append(roles, s.named.roles[bit].Name)
				}
			}
			slices.Sort(roles)
			made := item{properties: []property{{name: "role", many: roles},
				{name: "bounds", one: bounding(s.named.users, user.Bounds, func(u *User) string { return u.Name })}, {name: "level"}, {name: "range"}}}
			if s.MLS {
				made.properties[3].one = s.FormatRange(&user.Range)
				if s.sensitivity(user.Default.Sensitivity) != nil {
					made.properties[2].one = s.FormatLevel(&user.Default)
				}
			}
			found[user.Name] = made
		}
		return found
	})
}

func (c *comparison) booleans() {
	c.items(func(s *side) map[string]item {
		found := map[string]item{}
		for _, boolean := range s.Booleans.Entries {
			found[boolean.Name] = item{properties: []property{{name: "default", one: strconv.FormatBool(boolean.State != 0)}}}
		}
		return found
	})
}
