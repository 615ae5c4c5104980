// SPDX-License-Identifier: Apache-2.0

package cil

// typeStatements declare types and say what they are.
var typeStatements = map[string]*keyword{
	"type":                {check: takes(name("type")), declare: declareType(false)},
	"typeattribute":       {check: takes(name("attribute")), declare: declareType(true)},
	"typeattributeset":    {check: takes(name("attribute"), typesOperand), resolve: resolveTypeSet},
	"expandtypeattribute": {check: takes(operand{name: "attributes", shape: wordOrWords}, operand{name: "true|false", shape: truth}), resolve: resolveExpand},
	"typebounds":          {check: takes(name("parent"), name("child")), resolve: resolveTypeBounds},
	"typepermissive":      {check: takes(name("type")), resolve: resolvePermissive},
}

func declareType(attribute bool) func(*declarer, statement) error {
	return func(d *declarer, s statement) error {
		return d.declare(s, kindType, s.operand(1), &typ{attribute: attribute})
	}
}

func (t *typ) addTo(m *model)   { m.types = append(m.types, t) }
func (a *alias) addTo(m *model) { m.aliases = append(m.aliases, a) }

func resolveTypeSet(r *resolver, s statement) (item, error) {
	attribute, err := r.findTypeAttribute(s.scope, s.operand(1))
	if err != nil {
		return nil, err
	}
	set, err := r.typeExpression(s.scope, s.operand(2))
	if err != nil {
		return nil, err
	}
	return r.attributeSets.keep(typeSet{s.place(), attribute, set}), nil
}

type typeSet attributeSet[*typ]

func (t *typeSet) addTo(m *model) { m.typeSets = append(m.typeSets, attributeSet[*typ](*t)) }

func resolveExpand(r *resolver, s statement) (item, error) {
	expand := &expandAttribute{expand: s.operand(2).Word() == "true"}
	names := s.operand(1)
	if names.IsList() {
		names = names.First()
	}
	for name, list := names, s.operand(1).IsList(); name.Valid(); name = name.Next() {
		attribute, err := r.findTypeAttribute(s.scope, name)
		if err != nil {
			return nil, err
		}
		expand.attributes = append(expand.attributes, attribute)
		if !list {
			break
		}
	}
	return expand, nil
}

func (e *expandAttribute) addTo(m *model) { m.expand = append(m.expand, *e) }

func resolveTypeBounds(r *resolver, s statement) (item, error) {
	parent, err := r.findType(s.scope, s.operand(1))
	if err != nil {
		return nil, err
	}
	child, err := r.findType(s.scope, s.operand(2))
	return &typeBound{s.place(), parent, child}, err
}

type typeBound bounds[*typ]

func (b *typeBound) addTo(m *model) { m.typeBounds = append(m.typeBounds, bounds[*typ](*b)) }

func resolvePermissive(r *resolver, s statement) (item, error) {
	found, err := r.findType(s.scope, s.operand(1))
	return permissiveType{found}, err
}

type permissiveType struct{ of *typ }

func (p permissiveType) addTo(m *model) { m.permissive = append(m.permissive, p.of) }
