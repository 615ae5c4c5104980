// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"slices"
	"strings"
)

// typeStatements are the types with their aliases and attributes.
func (p *Policy) typeStatements(name string, keep func(*Type) bool, byAlias bool) ([]component, error) {
	aliases := map[uint32][]string{}
	for _, t := range p.Types.Entries {
		if t.Properties&(TypePrimary|TypeAttribute) == 0 {
			aliases[t.Value] = append(aliases[t.Value], t.Name)
		}
	}
	return listing(p.names().types, name, func(entry **Type) ([]string, component) {
		t := *entry
		if t.Properties&TypeAttribute != 0 || !keep(t) {
			return nil, component{}
		}
		slices.Sort(aliases[t.Value])
		names, statement := []string{t.Name}, "type "+t.Name
		if len(aliases[t.Value]) > 0 {
			statement += " alias " + group(aliases[t.Value])
			if byAlias {
				names = append(names, aliases[t.Value]...)
			}
		}
		var attributes []string
		for attribute := range p.Attributes[t.Value-1].All() {
			if other := p.names().types[attribute]; other.Properties&TypeAttribute != 0 {
				attributes = append(attributes, other.Name)
			}
		}
		slices.Sort(attributes)
		return names, component{t.Name, strings.Join(append([]string{statement}, attributes...), ", ") + ";"}
	})
}

func (p *Policy) listTypes(name string) ([]component, error) {
	return p.typeStatements(name, func(*Type) bool { return true }, true)
}

func (p *Policy) listPermissive(name string) ([]component, error) {
	return p.typeStatements(name, func(t *Type) bool { return p.Permissive.Has(t.Value) }, false)
}

func (p *Policy) listAttributes(name string) ([]component, error) {
	members := p.members()
	return listing(p.names().types, name, func(entry **Type) ([]string, component) {
		t := *entry
		if t.Properties&TypeAttribute == 0 {
			return nil, component{}
		}
		lines := append([]string{"attribute " + t.Name + ";"}, sortedNames(members[t.Value-1], p.typeName)...)
		return []string{t.Name}, component{t.Name, strings.Join(lines, "\n\t")}
	})
}

func (p *Policy) listBounds(name string) ([]component, error) {
	return listing(p.names().types, name, func(entry **Type) ([]string, component) {
		t := *entry
		if t.Bounds == 0 {
			return nil, component{}
		}
		return []string{t.Name}, unnamed("typebounds " + p.typeName(t.Bounds) + " " + t.Name + ";")
	})
}

func (p *Policy) listRoles(name string) ([]component, error) {
	return listing(p.Roles.Entries, name, func(r *Role) ([]string, component) {
		types := group(sortedNames(r.Types, p.typeName))
		return []string{r.Name}, component{r.Name, "role " + r.Name + " types " + types + ";"}
	})
}

func (p *Policy) listUsers(name string) ([]component, error) {
	return listing(p.Users.Entries, name, func(u *User) ([]string, component) {
		var roles []string
		for bit := range u.Roles.All() {
			if bit+1 != roleObject {
				roles = append(roles, p.names().roles[bit].Name)
			}
		}
		slices.Sort(roles)
		statement := "user " + u.Name + " roles " + group(roles)
		if p.MLS && p.sensitivity(u.Default.Sensitivity) != nil {
			statement += " level " + p.FormatLevel(&u.Default) + " range " + p.FormatRange(&u.Range)
		}
		return []string{u.Name}, component{u.Name, statement + ";"}
	})
}
