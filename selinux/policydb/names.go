// SPDX-License-Identifier: Apache-2.0

package policydb

import "fmt"

// UnknownError is a name that the policy does not have.
type UnknownError struct{ Kind, Name string }

func (e *UnknownError) Error() string { return fmt.Sprintf("the policy has no %s %q", e.Kind, e.Name) }

// Class finds a class.
func (p *Policy) Class(name string) (*Class, error) {
	if class := p.names().classNames[name]; class != nil {
		return class, nil
	}
	return nil, &UnknownError{"class", name}
}

// Permission is the bit of a permission of the class or of its common.
func (p *Policy) Permission(class *Class, name string) (uint32, error) {
	for _, permission := range class.Permissions.Entries {
		if permission.Name == name {
			return 1 << (permission.Value - 1), nil
		}
	}
	if common := p.names().commons[class.Common]; common != nil {
		for _, permission := range common.Permissions.Entries {
			if permission.Name == name {
				return 1 << (permission.Value - 1), nil
			}
		}
	}
	return 0, &UnknownError{"permission of " + class.Name, name}
}

// PermissionNames are the names of the bits, in their order.
func (p *Policy) PermissionNames(class *Class, vector uint32) []string {
	var all [32]string
	for _, permission := range class.Permissions.Entries {
		all[permission.Value-1] = permission.Name
	}
	if common := p.names().commons[class.Common]; common != nil {
		for _, permission := range common.Permissions.Entries {
			all[permission.Value-1] = permission.Name
		}
	}
	var found []string
	for bit, name := range all {
		if vector&(1<<bit) != 0 && name != "" {
			found = append(found, name)
		}
	}
	return found
}

// names finds symbols by value and by name. Aliases are found by name only.
type names struct {
	classes    []*Class // by value less 1
	roles      []*Role
	types      []*Type
	users      []*User
	classNames map[string]*Class
	roleNames  map[string]*Role
	typeNames  map[string]*Type
	userNames  map[string]*User
	levels     map[string]*Sensitivity
	categories map[string]*Category
	commons    map[string]*Common
}

func (n *names) role(value uint32) *Role { return n.roles[value-1] }

// byValue fills a table of pointers by value less 1, with the entries that own their value.
func byValue[T any](table Symbols[T], value func(*T) (number uint32, owns bool)) []*T {
	found := make([]*T, table.Primary)
	for i := range table.Entries {
		if number, owns := value(&table.Entries[i]); owns {
			found[number-1] = &table.Entries[i]
		}
	}
	return found
}

func byName[T any](table Symbols[T], name func(*T) string) map[string]*T {
	found := make(map[string]*T, len(table.Entries))
	for i := range table.Entries {
		found[name(&table.Entries[i])] = &table.Entries[i]
	}
	return found
}

// names are worked out at the first use.
func (p *Policy) names() *names {
	p.found.Do(func() {
		p.symbols = names{
			classes:    byValue(p.Classes, func(c *Class) (uint32, bool) { return c.Value, true }),
			roles:      byValue(p.Roles, func(r *Role) (uint32, bool) { return r.Value, true }),
			types:      byValue(p.Types, func(t *Type) (uint32, bool) { return t.Value, t.Properties&TypePrimary != 0 }),
			users:      byValue(p.Users, func(u *User) (uint32, bool) { return u.Value, true }),
			classNames: byName(p.Classes, func(c *Class) string { return c.Name }),
			roleNames:  byName(p.Roles, func(r *Role) string { return r.Name }),
			typeNames:  byName(p.Types, func(t *Type) string { return t.Name }),
			userNames:  byName(p.Users, func(u *User) string { return u.Name }),
			levels:     byName(p.Levels, func(s *Sensitivity) string { return s.Name }),
			categories: byName(p.Categories, func(c *Category) string { return c.Name }),
			commons:    byName(p.Commons, func(c *Common) string { return c.Name }),
		}
	})
	return &p.symbols
}
