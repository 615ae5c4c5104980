// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// show writes what a model says, one line for each item, so that tests can tell what a statement came to. What testBase declares is left out.
func show(m *model) string {
	w := &shower{}
	w.symbols(m)
	w.saidOfSymbols(m)
	w.rules(m.rules)
	w.rules(m.denies)
	w.typeRules(m.typeRules)
	for _, c := range m.conditions {
		w.line("if %s", booleanText(c.test))
		w.rules(c.True.rules)
		w.typeRules(c.True.types)
		w.line("else")
		w.rules(c.False.rules)
		w.typeRules(c.False.types)
	}
	for _, t := range m.roleTransitions {
		w.line("roletransition %s %s %s %s", t.role.name, t.types.name, t.class.name, t.result.name)
	}
	for _, a := range m.roleAllows {
		w.line("roleallow %s %s", a.source.name, a.target.name)
	}
	for _, t := range m.rangeTransitions {
		w.line("rangetransition %s %s %s %s", t.source.name, t.target.name, t.class.name, rangeText(t.levels))
	}
	for _, c := range m.constraints {
		w.line("constrain %t %s %s", c.mls, permissionsText(c.permissions), constraintText(c.test))
	}
	for _, c := range m.transitions {
		w.line("validatetrans %t %s %s", c.mls, c.permissions[0].class.name, constraintText(c.test))
	}
	w.contexts(m)
	return strings.Join(w.lines, "\n")
}

type shower struct{ lines []string }

// base are the first lines that every model of the tests has.
func (w *shower) line(format string, arguments ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, arguments...))
}

func own[T symbol](list []T) []string {
	var names []string
	for _, one := range list {
		if !strings.HasPrefix(one.symbol().name, "base_") {
			names = append(names, one.symbol().name)
		}
	}
	return names
}

func (w *shower) names(what string, names []string) {
	if len(names) > 0 {
		w.line("%s %s", what, strings.Join(names, " "))
	}
}

func (w *shower) symbols(m *model) {
	w.names("commons", own(m.commons))
	w.names("classes", own(m.classes))
	w.names("classmaps", own(m.classMaps))
	w.names("sids", own(m.sids))
	w.names("types", own(m.types))
	for _, a := range m.aliases {
		w.line("alias %s %s", a.name, a.of.symbol().name)
	}
	w.names("roles", own(m.roles))
	w.names("users", own(m.users))
	for _, b := range m.booleans {
		w.line("boolean %s %t", b.name, b.state)
	}
	w.names("sensitivities", own(m.sensitivities))
	w.names("categories", own(m.categories))
	for _, capability := range m.policyCaps {
		w.line("policycap %s", capability.name)
	}
	if m.mls != nil {
		w.line("mls %t", *m.mls)
	}
	if m.handleUnknown != nil {
		w.line("handleunknown %d", *m.handleUnknown)
	}
}

func (w *shower) saidOfSymbols(m *model) {
	for _, s := range m.typeSets {
		w.line("typeattributeset %s %s", s.attribute.name, setText(s.set))
	}
	for _, s := range m.roleSets {
		w.line("roleattributeset %s %s", s.attribute.name, setText(s.set))
	}
	for _, s := range m.userSets {
		w.line("userattributeset %s %s", s.attribute.name, setText(s.set))
	}
	for _, e := range m.expand {
		w.line("expandtypeattribute %s %t", strings.Join(own(e.attributes), " "), e.expand)
	}
	w.names("permissive", own(m.permissive))
	boundsText(w, m.typeBounds)
	boundsText(w, m.roleBounds)
	boundsText(w, m.userBounds)
	for _, s := range m.roleTypes[1:] {
		w.line("roletype %s %s", s.role.name, s.types.name)
	}
	for _, s := range m.userRoles[1:] {
		w.line("userrole %s %s", s.user.name, s.role.name)
	}
	for _, s := range m.userLevels[1:] {
		w.line("userlevel %s %s", s.user.name, levelText(s.level))
	}
	for _, s := range m.userRanges[1:] {
		w.line("userrange %s %s", s.user.name, rangeText(s.levels))
	}
	for _, s := range m.userPrefixes {
		w.line("userprefix %s %s", s.user.name, s.prefix)
	}
	for _, s := range m.seusers {
		w.line("selinuxuser %q %s %s", s.login, s.user.name, rangeText(s.levels))
	}
	for _, s := range m.sensCategories[1:] {
		w.line("sensitivitycategory %s %s", s.sensitivity.name, setText(s.categories))
	}
	for _, s := range m.classCommons {
		w.line("classcommon %s %s", s.class.name, s.common.name)
	}
	for _, s := range m.mappings {
		w.line("classmapping %s %s %s", s.class.name, s.permission.name, permissionsText(s.means))
	}
	for _, s := range m.defaults {
		w.line("default %d %s %t", s.what, strings.Join(classNames(s.classes), " "), s.target)
	}
	for _, s := range m.defaultRanges {
		w.line("defaultrange %s %d", strings.Join(classNames(s.classes), " "), s.value)
	}
}

func classNames(classes []*class) []string {
	var names []string
	for _, one := range classes {
		names = append(names, one.name)
	}
	return names
}

func boundsText[T symbol](w *shower, all []bounds[T]) {
	for _, one := range all {
		w.line("bounds %s %s", one.parent.symbol().name, one.child.symbol().name)
	}
}

func (w *shower) rules(rules []*accessRule) {
	kinds := [...]string{"allow", "auditallow", "dontaudit", "neverallow", "deny"}
	for _, rule := range rules {
		if rule.source.name == "base_t" && rule.target == typeSelf {
			continue
		}
		if e := rule.extended; e != nil {
			w.line("%sx %s %s %s %s %s", kinds[rule.kind], rule.source.name, rule.target.name, e.kind, e.class.name, numbersText(e.numbers))
			continue
		}
		w.line("%s %s %s %s", kinds[rule.kind], rule.source.name, rule.target.name, permissionsText(rule.permissions))
	}
}

func (w *shower) typeRules(rules []*typeRule) {
	kinds := map[uint16]string{policydb.RuleTransition: "typetransition", policydb.RuleMember: "typemember", policydb.RuleChange: "typechange"}
	for _, rule := range rules {
		name := ""
		if rule.named {
			name = fmt.Sprintf(" %q", rule.object)
		}
		w.line("%s %s %s %s%s %s", kinds[rule.kind], rule.source.name, rule.target.name, rule.class.name, name, rule.result.name)
	}
}

func (w *shower) contexts(m *model) {
	for _, c := range m.sidContexts[1:] {
		w.line("sidcontext %s %s", c.sid.name, contextText(&c.context))
	}
	for _, c := range m.files {
		w.line("filecon %q %d %s", c.path, c.kind, contextText(c.context))
	}
	for _, c := range m.ports {
		w.line("portcon %d %d-%d %s", c.protocol, c.low, c.high, contextText(&c.context))
	}
	for _, c := range m.nodes {
		address, _ := netip.AddrFromSlice(c.address)
		mask, _ := netip.AddrFromSlice(c.mask)
		w.line("nodecon %s %s %s", address, mask, contextText(&c.context))
	}
	for _, c := range m.interfaces {
		w.line("netifcon %s %s %s", c.name, contextText(&c.interfaces), contextText(&c.packet))
	}
	for _, c := range m.filesystems {
		w.line("genfscon %s %s %d %s", c.filesystem, c.path, c.kind, contextText(&c.context))
	}
	for _, c := range m.uses {
		w.line("fsuse %d %s %s", c.behavior, c.filesystem, contextText(&c.context))
	}
	for _, c := range m.infinibandKeys {
		w.line("ibpkeycon %#x %d-%d %s", c.prefix, c.low, c.high, contextText(&c.context))
	}
	for _, c := range m.infinibandPorts {
		w.line("ibendportcon %s %d %s", c.device, c.port, contextText(&c.context))
	}
}

var setWords = [...]string{"", "all", "and", "or", "xor", "not", "range"}

func setText[T symbol](e expression[T]) string {
	if e.operator == setSymbol {
		return e.symbol.symbol().name
	}
	text := "(" + setWords[e.operator]
	for _, operand := range e.operands {
		text += " " + setText(operand)
	}
	return text + ")"
}

func numbersText(e expression[struct{}]) string {
	if e.operator == setRange {
		if e.low == e.high {
			return fmt.Sprintf("%#x", e.low)
		}
		return fmt.Sprintf("%#x-%#x", e.low, e.high)
	}
	text := "(" + setWords[e.operator]
	for _, operand := range e.operands {
		text += " " + numbersText(operand)
	}
	return text + ")"
}

// permissionsText needs the symbol method that permissions have not.
func permissionsText(list []classPermissions) string {
	var parts []string
	for _, one := range list {
		parts = append(parts, one.class.name+" "+permissionText(one.permissions))
	}
	return strings.Join(parts, ", ")
}

func permissionText(e expression[*permission]) string {
	if e.operator == setSymbol {
		return e.symbol.name
	}
	text := "(" + setWords[e.operator]
	for _, operand := range e.operands {
		text += " " + permissionText(operand)
	}
	return text + ")"
}

func booleanText(e booleanExpression) string {
	if e.operator == booleanName {
		return e.boolean.name
	}
	text := "(" + [...]string{"", "and", "or", "xor", "not", "eq", "neq"}[e.operator]
	for _, operand := range e.operands {
		text += " " + booleanText(operand)
	}
	return text + ")"
}

func constraintText(e constraintExpression) string {
	if e.operator != constraintCompare {
		text := "(" + [...]string{"", "and", "or", "not"}[e.operator]
		for _, operand := range e.operands {
			text += " " + constraintText(operand)
		}
		return text + ")"
	}
	c := e.comparison
	names := append(append(own(c.users), own(c.roles)...), own(c.types)...)
	if c.names {
		return fmt.Sprintf("(%d of %d: %s)", c.operator, c.attribute, strings.Join(names, " "))
	}
	return fmt.Sprintf("(%d of %d)", c.operator, c.attribute)
}

func levelText(l level) string {
	if l.categories == nil {
		return l.sensitivity.name
	}
	return l.sensitivity.name + ":" + setText(*l.categories)
}

func rangeText(l levelRange) string { return levelText(l.low) + "-" + levelText(l.high) }

func contextText(c *context) string {
	if c == nil {
		return "<<none>>"
	}
	return c.user.name + ":" + c.role.name + ":" + c.types.name + ":" + rangeText(c.levels)
}
