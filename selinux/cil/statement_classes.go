// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"encoding/binary"

	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
)

// classStatements declare classes, their permissions, and names for permissions of several classes.
var classStatements = map[string]*keyword{
	"class":      {check: takes(name("class"), operand{name: "(permission ...)", shape: wordsOrNone}), declare: declareClass(kindClass, classPlain)},
	"classmap":   {check: takes(name("classmap"), operand{name: "(permission ...)", shape: words}), declare: declareClass(kindClass, classMapKind)},
	"common":     {check: takes(name("common"), operand{name: "(permission ...)", shape: words}), declare: declareClass(kindCommon, classCommonKind)},
	"classorder": {check: takes(operand{name: "([unordered] class ...)", shape: classOrder}), resolve: resolveOrder(kindClass), stage: stageOrder},
	"classcommon": {check: takes(name("class"), name("common")),
		resolve: resolveClassCommon, stage: stageCommon},
	"classmapping": {check: takes(name("classmap"), name("permission"), permissionsOperand),
		resolve: resolveClassMapping},
	"classpermission": {check: takes(name("classpermission")), declare: declareDefinition(kindClassPermission), resolve: resolvePermissionSet},
	"classpermissionset": {check: takes(name("classpermission"), permissionsOperand),
		resolve: resolvePermissionSetContents},
}

// maximumPermissions is how many permissions a class may have, its common's included: the bits of an access vector.
const maximumPermissions = 32

func classOrder(node syntax.Node) error {
	if err := words(node); err != nil {
		return err
	}
	first := node.First()
	if first.Word() == unordered && !first.Next().Valid() {
		return expected(node, "classes behind unordered")
	}
	for rest := first.Next(); rest.Valid(); rest = rest.Next() {
		if rest.Word() == unordered {
			return expected(rest, "a class: unordered stands first")
		}
	}
	return nil
}

func declareClass(kind symbolKind, of classKind) func(*declarer, statement) error {
	return func(d *declarer, s statement) error {
		name := s.operand(1)
		if of == classPlain && name.Word() == unordered {
			return d.fail(s, name, "a class cannot be named unordered, which is a word of classorder")
		}
		declared := &class{kind: of}
		if of == classMapKind {
			declared.byName = map[string]*permission{}
		}
		for one := s.operand(2).First(); one.Valid(); one = one.Next() {
			if err := d.checkName(s, kindPermission, one); err != nil {
				return err
			}
			if declared.own(one.Word()) != nil {
				return d.fail(s, one, "permission %s of %s is declared twice", one.Word(), name.Word())
			}
			declared.permissions = append(declared.permissions, &permission{name: one.Word()})
			if of == classMapKind {
				declared.byName[one.Word()] = declared.permissions[len(declared.permissions)-1]
			} else if len(declared.permissions) > maximumPermissions {
				return d.fail(s, s.node, "%s has more than %d permissions", name.Word(), maximumPermissions)
			}
		}
		return d.declare(s, kind, name, declared)
	}
}

// addTo leaves classes to their order.
func (c *class) addTo(m *model) {
	switch c.kind {
	case classCommonKind:
		m.commons = append(m.commons, c)
	case classMapKind:
		m.classMaps = append(m.classMaps, c)
	case classPlain:
	}
}

func (k classKind) String() string { return [...]string{"class", "common", "class map"}[k] }

// own is a permission that the class itself declares, nil for none.
func (c *class) own(name string) *permission {
	if c.byName != nil {
		return c.byName[name]
	}
	for _, permission := range c.permissions {
		if permission.name == name {
			return permission
		}
	}
	return nil
}

// permissionOf is a permission of a class or of its common.
func (r *resolver) permissionOf(c *class, name string) *permission {
	if found := c.own(name); found != nil {
		return found
	}
	if common := r.commonOf(c); common != nil {
		return common.own(name)
	}
	return nil
}

func (r *resolver) commonOf(c *class) *class {
	if c.common != nil {
		return c.common
	}
	return r.commons[c]
}

func resolveClassCommon(r *resolver, s statement) (item, error) {
	of, err := find[*class](r, s.scope, kindClass, s.operand(1))
	if err != nil {
		return nil, err
	}
	if of.kind != classPlain {
		return nil, r.fail(s, s.operand(1), "%s is a class map: only classes have a common", s.operand(1).Word())
	}
	common, err := find[*class](r, s.scope, kindCommon, s.operand(2))
	return &classCommon{s.place(), of, common}, err
}

func (c *classCommon) addTo(m *model) { m.classCommons = append(m.classCommons, *c) }

// settleCommons makes the permissions of commons known to the statements of the stages behind.
func (r *resolver) settleCommons(items []item) error {
	for _, item := range items {
		if common, ok := item.(*classCommon); ok {
			if err := r.settleCommon(common); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *resolver) settleCommon(c *classCommon) error {
	if r.commonOf(c.class) != nil {
		return diagnosticAt(c.at, "class %s has a common already", c.class.name)
	}
	for _, permission := range c.common.permissions {
		if c.class.own(permission.name) != nil {
			return diagnosticAt(c.at, "permission %s is both class %s's own and common %s's", permission.name, c.class.name, c.common.name)
		}
	}
	if total := len(c.class.permissions) + len(c.common.permissions); total > maximumPermissions {
		return diagnosticAt(c.at, "class %s has %d permissions with those of common %s, %d is the most", c.class.name, total, c.common.name, maximumPermissions)
	}
	r.commons[c.class] = c.common
	return nil
}

func resolveClassMapping(r *resolver, s statement) (item, error) {
	of, err := find[*class](r, s.scope, kindClass, s.operand(1))
	if err != nil {
		return nil, err
	}
	if of.kind != classMapKind {
		return nil, r.fail(s, s.operand(1), "%s is a class, expected a class map", s.operand(1).Word())
	}
	mapped := of.own(s.operand(2).Word())
	if mapped == nil {
		return nil, noPermission(s.scope, of, s.operand(2))
	}
	means, err := r.classPermissions(s.scope, s.operand(3))
	return &classMapping{s.place(), of, mapped, means}, err
}

func (c *classMapping) addTo(m *model) { m.mappings = append(m.mappings, *c) }

// noPermission is the error of a permission that a class does not have, which like other names that are not declared leaves out the optional around.
func noPermission(scope *scope, of *class, name syntax.Node) error {
	return &unresolvedError{kindPermission, place{name, scope}, of}
}

// resolvePermissionSet makes sure that what is declared gets contents.
func resolvePermissionSet(r *resolver, s statement) (item, error) {
	set, err := find[*definition](r, s.scope, kindClassPermission, s.operand(1))
	return permissionSet{set}, err
}

type permissionSet struct{ of *definition }

func (p permissionSet) addTo(m *model) { m.permissionSets = append(m.permissionSets, p.of) }

func resolvePermissionSetContents(r *resolver, s statement) (item, error) {
	set, err := find[*definition](r, s.scope, kindClassPermission, s.operand(1))
	if err != nil {
		return nil, err
	}
	if set.name == "" {
		return nil, r.fail(s, s.operand(1), "%s is not the name of permissions here: the macro was called with permissions that have none", s.operand(1).Word())
	}
	holds, err := r.classPermissions(s.scope, s.operand(2))
	return &permissionSetContents{set, holds}, err
}

type permissionSetContents struct {
	of    *definition
	holds []classPermissions
}

func (p *permissionSetContents) addTo(m *model) {
	if m.setContents == nil {
		m.setContents = map[*definition][]classPermissions{}
	}
	m.setContents[p.of] = append(m.setContents[p.of], p.holds...)
}

// permissionsKey is a list of permissions as it is written, of a class: what it means is the same wherever it stands.
type permissionsKey struct {
	class *class
	words string // numbers of words, with brackets
}

// classPermissions resolves permissions: a name of a set, or (class (permission ...)). A set is put in when all statements are resolved.
func (r *resolver) classPermissions(scope *scope, node syntax.Node) ([]classPermissions, error) {
	if !node.IsList() {
		set, err := find[*definition](r, scope, kindClassPermission, node)
		if err != nil {
			return nil, err
		}
		if set.name != "" {
			return []classPermissions{{at: place{node, scope}, set: set}}, nil
		}
		node, scope = set.contents, set.declared.scope
		if err := permissionsList(node); err != nil {
			return nil, shapeError(scope, "permissions: ", err)
		}
	}
	of, err := find[*class](r, scope, kindClass, node.First())
	if err != nil {
		return nil, err
	}
	list := node.Child(1)
	r.buffer = appendWords(r.buffer[:0], list)
	if known, ok := r.permissions[permissionsKey{of, string(r.buffer)}]; ok {
		return known, nil
	}
	set, err := resolveSet(list, func(name syntax.Node) (expression[*permission], error) {
		found := r.permissionOf(of, name.Word())
		if found == nil {
			return expression[*permission]{}, noPermission(scope, of, name)
		}
		return member(found), nil
	})
	if err != nil {
		return nil, err
	}
	resolved := []classPermissions{{at: place{node, scope}, class: of, permissions: set}}
	r.permissions[permissionsKey{of, string(r.buffer)}] = resolved
	return resolved, nil
}

// appendWords appends what distinguishes lists that are written otherwise.
func appendWords(key []byte, node syntax.Node) []byte {
	if !node.IsList() {
		return binary.LittleEndian.AppendUint32(key, node.ID())
	}
	key = append(key, "\xff\xff\xff\xff"...)
	for child := node.First(); child.Valid(); child = child.Next() {
		key = appendWords(key, child)
	}
	return append(key, "\xff\xff\xff\xfe"...)
}
