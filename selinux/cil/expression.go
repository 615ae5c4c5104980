// SPDX-License-Identifier: Apache-2.0

package cil

import "github.com/bulkhead-project/bulkhead/selinux/cil/syntax"

// resolveSet resolves an expression whose names leaf resolves. Its shape is that of setOf.
func resolveSet[T any](node syntax.Node, leaf func(syntax.Node) (expression[T], error)) (expression[T], error) {
	if !node.IsList() {
		return leaf(node)
	}
	set, rest := expression[T]{operator: setOr}, node.First()
	if operator, ok := operators[rest.Word()]; ok && !rest.IsList() {
		set.operator, rest = operator.set, rest.Next()
	}
	length := 0
	for count := rest; count.Valid(); count = count.Next() {
		length++
	}
	if length == 1 && set.operator == setOr {
		return resolveSet(rest, leaf)
	}
	if length > 0 {
		set.operands = make([]expression[T], 0, length)
	}
	for ; rest.Valid(); rest = rest.Next() {
		operand, err := resolveSet(rest, leaf)
		if err != nil {
			return set, err
		}
		set.operands = append(set.operands, operand)
	}
	return set, nil
}

// member is a single symbol as an expression.
func member[T any](symbol T) expression[T] { return expression[T]{symbol: symbol} }

// symbolSet resolves an expression over symbols of one kind.
func symbolSet[T symbol](r *resolver, scope *scope, kind symbolKind, node syntax.Node) (expression[T], error) {
	return resolveSet(node, func(name syntax.Node) (expression[T], error) {
		found, err := find[T](r, scope, kind, name)
		return member(found), err
	})
}

// find looks a name up that must be a T: an alias is what it stands for.
func find[T symbol](r *resolver, scope *scope, kind symbolKind, name syntax.Node) (T, error) {
	var none T
	symbol, err := r.lookup(scope, kind, name)
	if err != nil {
		return none, err
	}
	found, ok := symbol.(T)
	if !ok {
		return none, diagnosticAt(place{name, scope}, "%s is %s, expected %s", name.Word(), symbolName(symbol), symbolName(none))
	}
	return found, nil
}

// symbolName says what a symbol is, with its article.
func symbolName(s symbol) string {
	switch s := s.(type) {
	case *typ:
		return attributeOr("a type", s != nil && s.attribute, "a type attribute")
	case *role:
		return attributeOr("a role", s != nil && s.attribute, "a role attribute")
	case *user:
		return attributeOr("a user", s != nil && s.attribute, "a user attribute")
	case *alias:
		return "an alias"
	case *class:
		switch {
		case s != nil && s.kind == classMapKind:
			return "a class map"
		case s != nil && s.kind == classCommonKind:
			return "a common"
		}
		return "a class"
	case *sensitivity:
		return "a sensitivity"
	case *category:
		return "a category"
	case *boolean:
		return "a boolean"
	case *sid:
		return "a sid"
	case *definition:
		return "the name of something written out"
	}
	return "something else"
}

func attributeOr(plain string, attribute bool, otherwise string) string {
	if attribute {
		return otherwise
	}
	return plain
}

// types finds a type or an attribute: not one of the words that stand for types as a rule sees them.
func (r *resolver) types(scope *scope, name syntax.Node) (*typ, error) {
	found, err := find[*typ](r, scope, kindType, name)
	if err == nil && (found == typeSelf || found == typeNotSelf || found == typeOther) {
		err = diagnosticAt(place{name, scope}, "%s stands for targets of rules only", found.name)
	}
	return found, err
}

// typeExpression resolves an expression over types.
func (r *resolver) typeExpression(scope *scope, node syntax.Node) (expression[*typ], error) {
	return resolveSet(node, func(name syntax.Node) (expression[*typ], error) {
		found, err := r.types(scope, name)
		return member(found), err
	})
}

// findType is a type that is no attribute.
func (r *resolver) findType(scope *scope, name syntax.Node) (*typ, error) {
	found, err := r.types(scope, name)
	if err == nil && found.attribute {
		err = diagnosticAt(place{name, scope}, "%s is a type attribute, expected a type", name.Word())
	}
	return found, err
}

func (r *resolver) findTypeAttribute(scope *scope, name syntax.Node) (*typ, error) {
	found, err := r.types(scope, name)
	if err == nil && !found.attribute {
		err = diagnosticAt(place{name, scope}, "%s is a type, expected a type attribute", name.Word())
	}
	return found, err
}

// findRole is a role that is no attribute.
func (r *resolver) findRole(scope *scope, name syntax.Node) (*role, error) {
	found, err := find[*role](r, scope, kindRole, name)
	if err == nil && found.attribute {
		err = diagnosticAt(place{name, scope}, "%s is a role attribute, expected a role", name.Word())
	}
	return found, err
}

// findUser is a user that is no attribute.
func (r *resolver) findUser(scope *scope, name syntax.Node) (*user, error) {
	found, err := find[*user](r, scope, kindUser, name)
	if err == nil && found.attribute {
		err = diagnosticAt(place{name, scope}, "%s is a user attribute, expected a user", name.Word())
	}
	return found, err
}

// operand is an operand of a statement, counted from 1: 0 is the keyword.
func (s statement) operand(index int) syntax.Node { return s.node.Child(index) }

func (s statement) place() place { return place{s.node, s.scope} }
