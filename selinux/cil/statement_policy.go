// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// policyStatements are settings of the policy as a whole, and what new objects take from which side.
var policyStatements = map[string]*keyword{
	"mls":           {check: takes(operand{name: "true|false", shape: truth}), resolve: resolveMLS},
	"handleunknown": {check: takes(operand{name: "allow|deny|reject", shape: oneOf("allow", "deny", "reject")}), resolve: resolveUnknown},
	"policycap":     {check: takes(name("capability")), declare: declareCapability},
	"defaultuser":   {check: defaultForm, resolve: resolveDefault(defaultUser)},
	"defaultrole":   {check: defaultForm, resolve: resolveDefault(defaultRole)},
	"defaulttype":   {check: defaultForm, resolve: resolveDefault(defaultType)},
	"defaultrange": {check: takes(classesOperand, operand{name: "source|target|glblub", shape: oneOf("source", "target", "glblub")},
		operand{name: "low|high|low-high", shape: oneOf("low", "high", "low-high"), optional: true}), resolve: resolveDefaultRange},
}

var (
	classesOperand = operand{name: "classes", shape: wordOrWords}
	defaultForm    = takes(classesOperand, operand{name: "source|target", shape: oneOf("source", "target")})
)

// rangeDefaults are what defaultrange may say, by libsepol's numbers (DEFAULT_SOURCE_LOW and on).
var rangeDefaults = map[string]uint32{"source low": 1, "source high": 2, "source low-high": 3, "target low": 4, "target high": 5, "target low-high": 6, "glblub ": 7}

func resolveMLS(_ *resolver, s statement) (item, error) {
	return &mlsSetting{s.place(), s.operand(1).Word() == "true"}, nil
}

type mlsSetting struct {
	at  place
	mls bool
}

func (s *mlsSetting) addTo(m *model) {
	m.once("mls", s.at)
	m.mls = &s.mls
}

func resolveUnknown(_ *resolver, s statement) (item, error) {
	unknown := map[string]policydb.UnknownPermissions{"allow": policydb.AllowUnknown, "deny": policydb.DenyUnknown, "reject": policydb.RejectUnknown}
	return &unknownSetting{s.place(), unknown[s.operand(1).Word()]}, nil
}

type unknownSetting struct {
	at      place
	unknown policydb.UnknownPermissions
}

func (s *unknownSetting) addTo(m *model) {
	m.once("handleunknown", s.at)
	m.handleUnknown = &s.unknown
}

// capability is a policy capability.
type capability struct{ named }

func declareCapability(d *declarer, s statement) error {
	name := s.operand(1)
	if _, known := policydb.CapabilityNumber(name.Word()); !known {
		return d.fail(s, name, "policy capability %s is not known", name.Word())
	}
	return d.declare(s, kindPolicyCap, name, &capability{})
}

func (c *capability) addTo(m *model) { m.policyCaps = append(m.policyCaps, c.named) }

// classesOf resolves a class, or a list of classes.
func (r *resolver) classesOf(scope *scope, node syntax.Node) ([]*class, error) {
	if !node.IsList() {
		found, err := find[*class](r, scope, kindClass, node)
		return []*class{found}, err
	}
	var classes []*class
	for name := node.First(); name.Valid(); name = name.Next() {
		found, err := find[*class](r, scope, kindClass, name)
		if err != nil {
			return nil, err
		}
		classes = append(classes, found)
	}
	return classes, nil
}

func resolveDefault(what defaultKind) func(*resolver, statement) (item, error) {
	return func(r *resolver, s statement) (item, error) {
		classes, err := r.classesOf(s.scope, s.operand(1))
		return &classDefault{s.place(), what, classes, s.operand(2).Word() == "target"}, err
	}
}

func (d *classDefault) addTo(m *model) { m.defaults = append(m.defaults, *d) }

func resolveDefaultRange(r *resolver, s statement) (item, error) {
	value, ok := rangeDefaults[s.operand(2).Word()+" "+s.operand(3).Word()]
	if !ok {
		return nil, r.fail(s, s.node, "defaultrange takes low, high or low-high behind source and target, and nothing behind glblub")
	}
	classes, err := r.classesOf(s.scope, s.operand(1))
	return &classDefaultRange{s.place(), classes, value}, err
}

func (d *classDefaultRange) addTo(m *model) { m.defaultRanges = append(m.defaultRanges, *d) }

// xenStatements are of another kernel's policies, which have other object contexts in the same places of the file.
var xenStatements = func() map[string]*keyword {
	refused := map[string]*keyword{}
	for _, word := range []string{"pirqcon", "iomemcon", "ioportcon", "pcidevicecon", "devicetreecon"} {
		refused[word] = &keyword{check: func(d *declarer, s statement) error {
			return d.fail(s, s.node, "%s is of policies for Xen: this compiler makes policies for Linux", s.node.Keyword())
		}}
	}
	return refused
}()
