// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// maximumVectors bounds what maps of maps may come to.
const maximumVectors = 1 << 16

// mapping is what a permission of a class map means.
type mapping struct {
	class *class
	means [][]classPermissions
	flat  []classVector
	state setState
}

func (b *builder) classes() {
	for i := range b.model.classCommons {
		said := &b.model.classCommons[i]
		switch {
		case said.class.common != nil:
			b.fail(said.at, "class %s has common %s already", said.class.name, said.class.common.name)
		case said.class.value != 0:
			b.fail(said.at, "class %s is the policy's own, which cannot get a common", said.class.name)
		default:
			said.class.common = said.common
		}
	}
	for _, c := range b.model.classes {
		if len(b.errors) == 0 {
			b.class(c)
		}
	}
	b.classMaps()
	if len(b.errors) == 0 {
		b.defaults()
	}
}

// class adds a class, and its common if it is the first of it: a common that no class has is not in the policy.
func (b *builder) class(c *class) {
	if c.value != 0 {
		return // base's, which an order names
	}
	entry := policydb.Class{Name: c.name}
	own := uint32(0)
	if c.common != nil {
		own = uint32(len(c.common.permissions))
		if c.common.value == 0 {
			b.common(c.common)
		}
		entry.Common = c.common.name
		for _, p := range c.permissions {
			if slices.ContainsFunc(c.common.permissions, func(q *permission) bool { return q.name == p.name }) {
				b.fail(c.declared, "permission %s of class %s is its common's too", p.name, c.name)
			}
		}
	}
	if int(own)+len(c.permissions) > maximumPermissions {
		b.fail(c.declared, "class %s has %d permissions, the limit is %d", c.name, int(own)+len(c.permissions), maximumPermissions)
		return
	}
	entry.Permissions = numbered(c.permissions, own)
	c.value = next(&b.policy.Classes)
	entry.Value = c.value
	b.policy.Classes.Entries = append(b.policy.Classes.Entries, entry)
}

func (b *builder) common(c *class) {
	if len(c.permissions) > maximumPermissions {
		b.fail(c.declared, "common %s has %d permissions, the limit is %d", c.name, len(c.permissions), maximumPermissions)
		return
	}
	c.value = next(&b.policy.Commons)
	b.policy.Commons.Entries = append(b.policy.Commons.Entries, policydb.Common{Name: c.name, Value: c.value, Permissions: numbered(c.permissions, 0)})
}

// numbered gives permissions their values, which follow those of the common.
func numbered(permissions []*permission, after uint32) policydb.Symbols[policydb.Permission] {
	table := policydb.Symbols[policydb.Permission]{Primary: after + uint32(len(permissions))}
	for i, p := range permissions {
		p.value = after + uint32(i) + 1
		table.Entries = append(table.Entries, policydb.Permission{Name: p.name, Value: p.value})
	}
	return table
}

// defaults are what classes say of new objects' contexts.
func (b *builder) defaults() {
	set := func(at place, classes []*class, what string, value uint32, field func(*policydb.Class) *uint32) {
		for _, named := range classes {
			for _, c := range b.plainClasses(named) {
				entry := b.classEntry(c)
				if now := field(entry); *now != 0 && *now != value {
					b.fail(at, "the default %s of class %s is said already, and another", what, entry.Name)
				} else {
					*now = value
				}
			}
		}
	}
	fields := map[defaultKind]struct {
		what string
		of   func(*policydb.Class) *uint32
	}{
		defaultUser: {"user", func(c *policydb.Class) *uint32 { return &c.DefaultUser }},
		defaultRole: {"role", func(c *policydb.Class) *uint32 { return &c.DefaultRole }},
		defaultType: {"type", func(c *policydb.Class) *uint32 { return &c.DefaultType }},
	}
	for i := range b.model.defaults {
		said := &b.model.defaults[i]
		value := uint32(1)
		if said.target {
			value = 2
		}
		set(said.at, said.classes, fields[said.what].what, value, fields[said.what].of)
	}
	const glblub, since = 7, 32 // POLICYDB_VERSION_GLBLUB
	for i := range b.model.defaultRanges {
		said := &b.model.defaultRanges[i]
		if said.value == glblub && b.policy.Version < since {
			b.warn(said.at, "policy version %d cannot say glblub: version %d can; left out", b.policy.Version, since)
			continue
		}
		set(said.at, said.classes, "range", said.value, func(c *policydb.Class) *uint32 { return &c.DefaultRange })
	}
}

// classEntry is a class in the policy. Before tables are arranged, the new ones stand in the order of their values behind base's.
func (b *builder) classEntry(value uint32) *policydb.Class {
	entries := b.policy.Classes.Entries
	if b.base == nil || value > b.base.Classes.Primary {
		return &entries[value-1]
	}
	at := slices.IndexFunc(entries, func(entry policydb.Class) bool { return entry.Value == value })
	return &entries[at]
}

func (b *builder) classMaps() {
	b.mappings = map[*permission]*mapping{}
	for _, c := range b.model.classMaps {
		for i, p := range c.permissions {
			p.value = uint32(i) + 1
			b.mappings[p] = &mapping{class: c}
		}
	}
	for i := range b.model.mappings {
		said := &b.model.mappings[i]
		if m := b.mappings[said.permission]; m != nil {
			m.means = append(m.means, said.means)
		} else {
			b.fail(said.at, "permission %s is not one of class map %s", said.permission.name, said.class.name)
		}
	}
	for _, c := range b.model.classMaps {
		for _, p := range c.permissions {
			if b.flatten(p); len(b.mappings[p].means) == 0 {
				b.fail(c.declared, "permission %s of class map %s means nothing: it has no classmapping", p.name, c.name)
			}
		}
	}
}

// flatten works out what a permission of a class map means.
func (b *builder) flatten(p *permission) []classVector {
	m := b.mappings[p]
	if m == nil {
		return nil // of a class map that is not in the policy
	}
	switch m.state {
	case setBeingWorkedOut:
		b.fail(m.class.declared, "permission %s of class map %s means, through others, itself", p.name, m.class.name)
		return nil
	case setUnknown:
		m.state = setBeingWorkedOut
		for _, means := range m.means {
			if m.flat = b.addVectors(m.flat, means); len(m.flat) > maximumVectors {
				b.fail(m.class.declared, "permission %s of class map %s means more than %d permissions of classes", p.name, m.class.name, maximumVectors)
				m.flat = nil
				break
			}
		}
		m.state = setKnown
	}
	return m.flat
}

// addVectors adds what permissions come to, class by class in the order in which they are written. Those that come to no permission are left out.
func (b *builder) addVectors(vectors []classVector, permissions []classPermissions) []classVector {
	for i := range permissions {
		p := &permissions[i]
		if p.class.kind != classMapKind {
			if vector := b.vector(p.class, &p.permissions); vector != 0 {
				vectors = append(vectors, classVector{p.class.value, vector})
			}
			continue
		}
		if !b.mapIsThere(p.class) {
			continue
		}
		for _, mapped := range mapPermissions(p.class, &p.permissions) {
			vectors = append(vectors, b.flatten(mapped)...)
		}
	}
	return vectors
}

// vector is the access vector of an expression over a class's permissions.
func (b *builder) vector(c *class, e *expression[*permission]) uint32 {
	if !b.given(&c.named, "class") {
		return 0
	}
	count := len(c.permissions)
	if c.common != nil {
		count += len(c.common.permissions)
	}
	everything := uint32(1<<count - 1)
	switch e.operator {
	case setSymbol:
		return 1 << (e.symbol.value - 1)
	case setAll:
		return everything
	case setNot:
		return everything &^ b.vector(c, &e.operands[0])
	}
	var vector uint32
	for i := range e.operands {
		switch operand := b.vector(c, &e.operands[i]); {
		case e.operator == setOr || i == 0:
			vector |= operand
		case e.operator == setAnd:
			vector &= operand
		default:
			vector ^= operand
		}
	}
	return vector
}

// mapPermissions are those that an expression over a class map's permissions stands for, of which there may be more than a vector has bits: a plain list in its own order.
func mapPermissions(c *class, e *expression[*permission]) []*permission {
	if e.operator == setOr && !slices.ContainsFunc(e.operands, func(o expression[*permission]) bool { return o.operator != setSymbol }) {
		var listed []*permission
		for i := range e.operands {
			listed = append(listed, e.operands[i].symbol)
		}
		return listed
	}
	permissions := domain[*permission]{add: func(into *bitset, p *permission) { into.set(p.value) }}
	if len(c.permissions) > 0 {
		permissions.everything = span(1, uint32(len(c.permissions)))
	}
	var found bitset
	permissions.evaluate(e, &found)
	var listed []*permission
	for value := range found.all() {
		listed = append(listed, c.permissions[value-1])
	}
	return listed
}

// plainClasses are the values of the classes that a class or a class map stands for: in a map as often as its permissions mean some of theirs, in the order of the
// reference's hash table of permissions.
func (b *builder) plainClasses(c *class) []uint32 {
	if c.kind != classMapKind {
		b.given(&c.named, "class")
		return []uint32{c.value}
	}
	if !b.mapIsThere(c) {
		return nil
	}
	const slots = 256 // CIL_CLASS_SYM_SIZE
	names, permissions := make([]string, len(c.permissions)), map[string]*permission{}
	for i, p := range c.permissions {
		names[i], permissions[p.name] = p.name, p
	}
	b.options.Order.Sort(names, slots)
	var classes []uint32
	for _, name := range names {
		for _, vector := range b.flatten(permissions[name]) {
			classes = append(classes, vector.class)
		}
	}
	return classes
}

// mapIsThere reports whether a class map is in the policy's sources but for abstract blocks.
func (b *builder) mapIsThere(c *class) bool {
	if len(c.permissions) > 0 && b.mappings[c.permissions[0]] != nil {
		return true
	}
	return b.given(&c.named, "class map")
}
