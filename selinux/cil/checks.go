// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	"github.com/bulkhead-project/bulkhead/source"
)

// checks are the rules on rules: neverallow, neverallowx, and the bounds of types, roles and users. They are made on the policy as it was built, with the rules
// of all conditions whatever their state, and name the statements of the model that break them.
type checks struct {
	policy   *policydb.Policy
	model    *model
	members  func(*typ) policydb.Bitmap                                 // values less 1 of the types that an attribute has; of a type: itself
	vectors  func([]classPermissions) []classVector                     // class maps expanded; a class may come more than once
	extended func(*extendedPermissions) ([]uint32, []policydb.Extended) // values of the classes, and the numbers as rules have them
	types    []policydb.Bitmap                                          // by value less 1: the types of an attribute; of a type: itself
	groups   []bool                                                     // by value less 1: an attribute
	narrows  map[narrowKey]*narrowed
	findings source.Diagnostics
}

// classVector are permissions of one class, by value and bits.
type classVector struct{ class, permissions uint32 }

// shownStatements is how many statements are named for one broken rule; the rest is counted.
const shownStatements = 100

// run returns what is broken, by place; empty where all is well.
func (c *checks) run() source.Diagnostics {
	c.expand()
	c.neverallows()
	c.typeBounds()
	c.otherBounds()
	return c.findings
}

// denials returns what deny statements do not take away, as it is the policy's that the sources are compiled onto, whose rules stay as they are: to leave them would
// give more than is written.
func (c *checks) denials() source.Diagnostics {
	c.expand()
	var assertions []*assertion
	for _, rule := range c.model.denies {
		a := c.assertion(rule, c.vectors(rule.permissions))
		a.met = func(allow candidate, pairs relation) bool {
			source, target, _ := pairs.first()
			c.find(rule.at, "deny cannot take away %s, which the policy allows that this is compiled onto",
				c.pair(source, target, uint32(allow.Class), a.permissions[allow.Class]&allow.Data))
			return true
		}
		assertions = append(assertions, a)
	}
	for some := range slices.Chunk(assertions, 64) {
		c.hold(some)
	}
	return c.findings
}

// expand turns the attributes of types into types of attributes.
func (c *checks) expand() {
	c.types = make([]policydb.Bitmap, c.policy.Types.Primary)
	words := (int(c.policy.Types.Primary) + 63) / 64
	c.groups = make([]bool, c.policy.Types.Primary)
	for _, entry := range c.policy.Types.Entries {
		if entry.Properties&policydb.TypeAttribute != 0 {
			c.groups[entry.Value-1] = true
		}
	}
	for typ, attributes := range c.policy.Attributes {
		if c.groups[typ] {
			continue // the file may give an attribute itself
		}
		for attribute := range attributes.All() {
			if c.types[attribute] == nil {
				c.types[attribute] = make(policydb.Bitmap, words)
			}
			c.types[attribute][typ/64] |= 1 << (typ % 64)
		}
	}
}

// relation is a set of pairs of types: each source with each target, but for those that same and other rule out.
type relation struct {
	sources, targets policydb.Bitmap
	anyTarget        bool // all types, not only targets
	same, other      bool // only pairs of one type, only pairs of two
}

// relationOf is what a statement is about.
func (c *checks) relationOf(rule *accessRule) relation {
	r := relation{sources: c.members(rule.source)}
	switch rule.target {
	case typeSelf:
		r.anyTarget, r.same = true, true
	case typeNotSelf:
		r.anyTarget, r.other = true, true
	case typeOther:
		r.targets, r.other = r.sources, true
	default:
		r.targets = c.members(rule.target)
	}
	return r
}

// ruleRelation is what a rule of the policy is about.
func (c *checks) ruleRelation(rule *policydb.Rule) relation {
	return relation{sources: c.types[rule.Source-1], targets: c.types[rule.Target-1]}
}

// meet is the pairs that are in both.
func (r relation) meet(o relation) relation {
	both := relation{sources: intersection(r.sources, o.sources), same: r.same || o.same, other: r.other || o.other}
	switch {
	case r.anyTarget && o.anyTarget:
		both.anyTarget = true
	case r.anyTarget:
		both.targets = o.targets
	case o.anyTarget:
		both.targets = r.targets
	default:
		both.targets = intersection(r.targets, o.targets)
	}
	return both
}

// targetsOf is the targets of one source. A relation with any target is none of a rule's: it was met with a rule's before.
func (r relation) targetsOf(source uint32) policydb.Bitmap {
	switch {
	case r.same && r.other || r.same && !r.targets.Has(source):
		return nil
	case r.same:
		return bitmapOf(source)
	case r.other && r.targets.Has(source):
		targets := slices.Clone(r.targets)
		targets[source/64] &^= 1 << (source % 64)
		return targets
	}
	return r.targets
}

// first returns the first pair, by values less 1.
func (r relation) first() (source, target uint32, found bool) {
	for source := range r.sources.All() {
		if r.anyTarget { // two statements with self, or with notself
			switch {
			case r.same && r.other:
				return 0, 0, false
			case r.other && source == 0:
				return source, 1, true
			case r.other:
				return source, 0, true
			}
			return source, source, true
		}
		for target := range r.targetsOf(source).All() {
			return source, target, true
		}
	}
	return 0, 0, false
}

// empty reports whether there is no pair.
func (r relation) empty() bool {
	_, _, found := r.first()
	return !found
}

func intersection(a, b policydb.Bitmap) policydb.Bitmap {
	if len(b) < len(a) {
		a, b = b, a
	}
	both := make(policydb.Bitmap, len(a))
	for i, word := range a {
		both[i] = word & b[i]
	}
	return both
}

func intersects(a, b policydb.Bitmap) bool {
	for i := range min(len(a), len(b)) {
		if a[i]&b[i] != 0 {
			return true
		}
	}
	return false
}

func bitmapOf(bit uint32) policydb.Bitmap {
	bitmap := make(policydb.Bitmap, bit/64+1)
	bitmap[bit/64] = 1 << (bit % 64)
	return bitmap
}

// eachAllow goes over the allow statements of the model, or (extended) the allowx statements, also of conditions.
func (m *model) eachAllow(extended bool, visit func(*accessRule)) {
	all := func(rules []*accessRule) {
		for _, rule := range rules {
			if rule.kind == ruleAllow && (rule.extended != nil) == extended {
				visit(rule)
			}
		}
	}
	all(m.rules)
	for _, condition := range m.conditions {
		all(condition.True.rules)
		all(condition.False.rules)
	}
}

// blame adds a finding for each statement, up to a limit, and returns what is to be said of those beyond.
func (c *checks) blame(statements []blamed) string {
	slices.SortStableFunc(statements, func(a, b blamed) int { return a.at.node.Position().Compare(b.at.node.Position()) })
	for _, statement := range statements[:min(len(statements), shownStatements)] {
		c.find(statement.at, "%s", statement.message)
	}
	if more := len(statements) - shownStatements; more > 0 {
		return fmt.Sprintf(", and %d more statements", more)
	}
	return ""
}

// blamed is a statement that takes part in breaking a rule.
type blamed struct {
	at      place
	message string
}

func (c *checks) find(at place, format string, arguments ...any) {
	c.findings = append(c.findings, diagnosticAt(at, format, arguments...))
}

// pair writes a source and a target by values less 1, with permissions of a class.
func (c *checks) pair(source, target, class, permissions uint32) string {
	text := c.typeName(source) + " " + c.typeName(target)
	for i := range c.policy.Classes.Entries {
		if entry := &c.policy.Classes.Entries[i]; entry.Value == class {
			text += ":" + entry.Name + " " + c.permissionNames(entry, permissions)
		}
	}
	return text
}

func (c *checks) typeName(value uint32) string {
	for i := range c.policy.Types.Entries {
		if entry := &c.policy.Types.Entries[i]; entry.Value == value+1 && entry.Properties != 0 {
			return entry.Name
		}
	}
	return fmt.Sprintf("type %d", value+1)
}

// permissionNames is { read write }, in the order of the bits.
func (c *checks) permissionNames(class *policydb.Class, permissions uint32) string {
	all := slices.Clone(class.Permissions.Entries)
	for i := range c.policy.Commons.Entries {
		if common := &c.policy.Commons.Entries[i]; common.Name == class.Common && class.Common != "" {
			all = append(all, common.Permissions.Entries...)
		}
	}
	slices.SortFunc(all, func(a, b policydb.Permission) int { return cmp.Compare(a.Value, b.Value) })
	text := "{"
	for _, permission := range all {
		if permissions&(1<<(permission.Value-1)) != 0 {
			text += " " + permission.Name
			permissions &^= 1 << (permission.Value - 1)
		}
	}
	if permissions != 0 {
		text += fmt.Sprintf(" %#x", permissions)
	}
	return text + " }"
}
