// SPDX-License-Identifier: Apache-2.0

package cil

import "github.com/bulkhead-project/bulkhead/selinux/cil/syntax"

var extendedForm = takes(name("source"), name("target"), extendedOperand)

// extendedStatements are the rules over numbers of ioctl commands and netlink messages.
var extendedStatements = map[string]*keyword{
	"permissionx": {check: takes(name("permissionx"), operand{name: "(ioctl|nlmsg class (number ...))", shape: list(extendedList)}),
		declare: declareDefinition(kindExtended), resolve: resolveExtended},
	"allowx":      {check: extendedForm, resolve: resolveExtendedAccess(ruleAllow), where: inCondition | notBefore34},
	"auditallowx": {check: extendedForm, resolve: resolveExtendedAccess(ruleAuditAllow), where: inCondition | notBefore34},
	"dontauditx":  {check: extendedForm, resolve: resolveExtendedAccess(ruleDontAudit), where: inCondition | notBefore34},
	"neverallowx": {check: extendedForm, resolve: resolveExtendedAccess(ruleNeverAllow)},
}

var extendedKinds = map[string]extendedKind{"ioctl": extendedIoctl, "nlmsg": extendedNetlink}

func (k extendedKind) String() string { return [...]string{"ioctl", "nlmsg"}[k] }

// extended resolves a name of extended permissions, or (ioctl|nlmsg class (number ...)).
func (r *resolver) extended(scope *scope, node syntax.Node) (*extendedPermissions, error) {
	if !node.IsList() {
		found, err := find[*definition](r, scope, kindExtended, node)
		if err != nil {
			return nil, err
		}
		return defined(r, place{node, scope}, found, extendedList, r.extendedSets, r.extended)
	}
	of, err := find[*class](r, scope, kindClass, node.Child(1))
	if err != nil {
		return nil, err
	}
	numbers, err := commandNumbers(node.Child(2))
	if err != nil {
		return nil, shapeError(scope, "", err)
	}
	return &extendedPermissions{place{node, scope}, extendedKinds[node.Keyword()], of, numbers}, nil
}

// commandNumbers is an expression over numbers, in which each number is a range.
func commandNumbers(node syntax.Node) (expression[struct{}], error) {
	if node.Keyword() == "range" {
		low, err := number(node.Child(1), 0, 16)
		if err != nil {
			return expression[struct{}]{}, err
		}
		high, err := number(node.Child(2), 0, 16)
		if err == nil && low > high {
			err = fault(node, "range from %#x to %#x", low, high)
		}
		return expression[struct{}]{operator: setRange, low: uint32(low), high: uint32(high)}, err
	}
	if !node.IsList() {
		value, err := number(node, 0, 16)
		return expression[struct{}]{operator: setRange, low: uint32(value), high: uint32(value)}, err
	}
	set, rest := expression[struct{}]{operator: setOr}, node.First()
	if operator, ok := operators[rest.Word()]; ok && !rest.IsList() {
		set.operator, rest = operator.set, rest.Next()
	}
	for ; rest.Valid(); rest = rest.Next() {
		operand, err := commandNumbers(rest)
		if err != nil {
			return set, err
		}
		set.operands = append(set.operands, operand)
	}
	if set.operator == setOr && len(set.operands) == 1 {
		return set.operands[0], nil
	}
	return set, nil
}

func resolveExtended(r *resolver, s statement) (item, error) {
	return r.extended(s.scope, s.operand(1))
}

// addTo keeps extended permissions that have a name, which are checked whether they are used or not.
func (e *extendedPermissions) addTo(m *model) { m.extended = append(m.extended, e) }

func resolveExtendedAccess(kind ruleKind) func(*resolver, statement) (item, error) {
	return func(r *resolver, s statement) (item, error) {
		source, err := r.types(s.scope, s.operand(1))
		if err != nil {
			return nil, err
		}
		target, err := find[*typ](r, s.scope, kindType, s.operand(2))
		if err != nil {
			return nil, err
		}
		extended, err := r.extended(s.scope, s.operand(3))
		return &accessRule{at: s.place(), kind: kind, source: source, target: target, extended: extended}, err
	}
}
