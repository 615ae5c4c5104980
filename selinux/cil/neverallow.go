// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"fmt"
	"math/bits"
	"slices"
	"sync"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// ruleEnabled is the bit by which the file marks conditional rules that are in force.
const ruleEnabled = 0x8000

// neverallows holds the neverallow statements against the policy's rules (libsepol's assertion.c): a rule violates one if it gives any of the permissions to any
// pair of types. A neverallowx is violated by an allowx of any of the numbers, and by a rule for the whole permission where no allowx narrows it.
func (c *checks) neverallows() {
	var assertions []*assertion
	for _, rule := range c.model.rules {
		switch {
		case rule.kind != ruleNeverAllow:
		case rule.extended == nil:
			assertions = append(assertions, c.neverallow(rule))
		default:
			assertions = append(assertions, c.neverallowExtended(rule)...)
		}
	}
	for some := range slices.Chunk(assertions, 64) {
		c.hold(some)
	}
	for _, a := range assertions {
		a.report()
	}
}

// candidate is a rule of the policy, with where it stands.
type candidate struct {
	*policydb.Rule
	condition int  // -1: none
	branch    bool // of the condition
}

// each goes over the policy's rules of a kind.
func (c *checks) each(kind uint16, visit func(candidate)) {
	all := func(rules []policydb.Rule, condition int, branch bool) {
		for i := range rules {
			if rules[i].Kind&^ruleEnabled == kind {
				visit(candidate{&rules[i], condition, branch})
			}
		}
	}
	all(c.policy.Rules, -1, false)
	for i := range c.policy.Conditions {
		all(c.policy.Conditions[i].True, i, true)
		all(c.policy.Conditions[i].False, i, false)
	}
}

// assertion is what a neverallow forbids.
type assertion struct {
	pairs       relation
	permissions []uint32                                            // by class
	met         func(allow candidate, pairs relation) (enough bool) // takes a rule that gives forbidden permissions to some of the pairs
	report      func()                                              // tells what was met
}

func (c *checks) assertion(rule *accessRule, vectors []classVector) *assertion {
	a := &assertion{pairs: c.relationOf(rule), permissions: make([]uint32, c.policy.Classes.Primary+1)}
	for _, vector := range vectors {
		a.permissions[vector.class] |= vector.permissions
	}
	return a
}

// hold takes the policy's rules past up to 64 assertions, in one go: there are a hundred thousand rules, and what ends most of them is that no assertion is about
// their class, source and target, which are bits for each assertion.
func (c *checks) hold(assertions []*assertion) {
	sources := c.meeting(assertions, func(r relation) (policydb.Bitmap, bool) { return r.sources, false })
	targets := c.meeting(assertions, func(r relation) (policydb.Bitmap, bool) { return r.targets, r.anyTarget })
	classes := make([]uint64, c.policy.Classes.Primary+1)
	for i, a := range assertions {
		for class, permissions := range a.permissions {
			if permissions != 0 {
				classes[class] |= 1 << i
			}
		}
	}
	var enough uint64
	c.each(policydb.RuleAllow, func(allow candidate) {
		if int(allow.Class) >= len(classes) {
			return
		}
		for about := classes[allow.Class] & sources[allow.Source-1] & targets[allow.Target-1] &^ enough; about != 0; about &= about - 1 {
			i := bits.TrailingZeros64(about)
			if assertions[i].permissions[allow.Class]&allow.Data == 0 {
				continue
			}
			if pairs := assertions[i].pairs.meet(c.ruleRelation(allow.Rule)); !pairs.empty() && assertions[i].met(allow, pairs) {
				enough |= 1 << i
			}
		}
	})
}

// meeting is which assertions have a set that meets the types of a type or an attribute, by value less 1.
func (c *checks) meeting(assertions []*assertion, set func(relation) (of policydb.Bitmap, any bool)) []uint64 {
	meeting := make([]uint64, len(c.types))
	for i, a := range assertions {
		of, any := set(a.pairs)
		for value, types := range c.types {
			switch {
			case any, c.groups[value] && intersects(of, types), !c.groups[value] && of.Has(uint32(value)) && types != nil:
				meeting[value] |= 1 << i
			}
		}
	}
	return meeting
}

func (c *checks) neverallow(rule *accessRule) *assertion {
	a := c.assertion(rule, c.vectors(rule.permissions))
	example := ""
	a.met = func(allow candidate, pairs relation) bool {
		source, target, _ := pairs.first()
		example = c.pair(source, target, uint32(allow.Class), a.permissions[allow.Class]&allow.Data)
		return true
	}
	a.report = func() {
		if example != "" {
			c.violated(rule, example, c.allowing(rule, a, ""))
		}
	}
	return a
}

// violated reports the neverallow and the statements that violate it.
func (c *checks) violated(rule *accessRule, example string, statements []blamed) {
	more := c.blame(statements)
	if len(statements) == 0 {
		more = ", by the policy that is compiled onto"
	}
	c.find(rule.at, "%s is violated: %s is allowed%s", neverWord(rule), example, more)
}

func neverWord(rule *accessRule) string {
	if rule.extended != nil {
		return "neverallowx"
	}
	return "neverallow"
}

// allowing returns the allow statements that give a pair what is forbidden; how says more of it.
func (c *checks) allowing(rule *accessRule, a *assertion, how string) []blamed {
	var found []blamed
	c.model.eachAllow(false, func(allow *accessRule) {
		pairs := a.pairs.meet(c.relationOf(allow))
		source, target, some := pairs.first()
		if !some {
			return
		}
		for _, vector := range c.vectors(allow.permissions) {
			if forbidden := a.permissions[vector.class] & vector.permissions; forbidden != 0 {
				message := fmt.Sprintf("allow %s%s violates the %s at %s", c.pair(source, target, vector.class, forbidden), how, neverWord(rule), rule.at.node.Position())
				found = append(found, blamed{allow.at, message})
				return
			}
		}
	})
	return found
}

// narrowed is what allowx rules make of one permission of one class.
type narrowed struct {
	narrowKey
	rules    []candidate                // all of them
	branches map[branchTypes]bool       // what conditional ones are about
	covered  map[uint32]policydb.Bitmap // by source: the targets whose permission is narrowed, whatever the booleans
	covering []candidate                // those that do so
}

// branchTypes are the types that a rule of a condition's branch is about.
type branchTypes struct {
	condition      int
	branch         bool
	source, target uint16
}

type narrowKey struct {
	class uint16
	kind  extendedKind
}

// extendedOf is whether a rule's numbers are of the kind.
func extendedOf(kind extendedKind, extended *policydb.Extended) bool {
	const messages = 3
	return (extended.Kind == messages) == (kind == extendedNetlink)
}

// narrow collects the allowx rules of a class. A conditional one narrows only with one for the same types in the other branch.
func (c *checks) narrow(class uint16, kind extendedKind) *narrowed {
	key := narrowKey{class, kind}
	if c.narrows == nil {
		c.narrows = map[narrowKey]*narrowed{}
	}
	if c.narrows[key] != nil {
		return c.narrows[key]
	}
	n := &narrowed{narrowKey: key, branches: map[branchTypes]bool{}, covered: map[uint32]policydb.Bitmap{}}
	c.narrows[key] = n
	c.each(policydb.RuleAllowExtended, func(rule candidate) {
		if rule.Class == class && extendedOf(kind, rule.Extended) {
			n.rules = append(n.rules, rule)
		}
	})
	for _, rule := range n.rules {
		n.branches[branchTypes{rule.condition, rule.branch, rule.Source, rule.Target}] = true
	}
	for _, rule := range n.rules {
		if rule.condition < 0 || n.inBranch(rule, !rule.branch) {
			n.covering = append(n.covering, rule)
		}
	}
	return n
}

// inBranch reports whether the branch of the rule's condition has an allowx for the same types.
func (n *narrowed) inBranch(rule candidate, branch bool) bool {
	return n.branches[branchTypes{rule.condition, branch, rule.Source, rule.Target}]
}

// targets are those to which the source's permission is narrowed.
func (c *checks) narrowedTargets(n *narrowed, source uint32) policydb.Bitmap {
	covered, known := n.covered[source]
	if !known {
		covered = make(policydb.Bitmap, (c.policy.Types.Primary+63)/64)
		for _, rule := range n.covering {
			if c.types[rule.Source-1].Has(source) {
				for i, word := range c.types[rule.Target-1] {
					covered[i] |= word
				}
			}
		}
		n.covered[source] = covered
	}
	return covered
}

// wide returns the first of the pairs for which the rule allows all numbers. A conditional rule does where its own branch has no allowx for the same types, as
// libsepol has it, even where one outside of the condition narrows it.
func (c *checks) wide(n *narrowed, allow candidate, pairs relation) (source, target uint32, found bool) {
	if allow.condition >= 0 {
		if n.inBranch(allow, allow.branch) {
			return 0, 0, false
		}
		return pairs.first()
	}
	for source := range pairs.sources.All() {
		covered := c.narrowedTargets(n, source)
		for target := range pairs.targetsOf(source).All() {
			if !covered.Has(target) {
				return source, target, true
			}
		}
	}
	return 0, 0, false
}

func (c *checks) neverallowExtended(rule *accessRule) (assertions []*assertion) {
	classes, numbers := c.extended(rule.extended)
	word := map[extendedKind]string{extendedIoctl: "ioctl", extendedNetlink: "nlmsg"}[rule.extended.kind]
	for _, class := range slices.Compact(slices.Sorted(slices.Values(classes))) {
		a := c.assertion(rule, []classVector{{class, c.permission(class, word)}})
		c.assertNumbers(rule, a, c.narrow(uint16(class), rule.extended.kind), numbers)
		assertions = append(assertions, a)
	}
	return assertions
}

// assertNumbers looks for a pair that has the permission, and the numbers by an allowx or for want of one.
func (c *checks) assertNumbers(rule *accessRule, a *assertion, n *narrowed, numbers []policydb.Extended) {
	example, wide := "", false
	forbidding := sync.OnceValue(func() []candidate { return c.forbidding(n, a.pairs, numbers) })
	a.met = func(allow candidate, pairs relation) bool {
		source, target, found := c.wide(n, allow, pairs)
		if wide = found; !found {
			source, target, found = c.numbersAllowed(forbidding(), pairs)
		}
		if wide {
			a.pairs = a.pairs.meet(relation{sources: bitmapOf(source), targets: bitmapOf(target)}) // others may be narrowed
		}
		if found {
			example = c.pair(source, target, uint32(n.class), a.permissions[n.class])
		}
		return wide
	}
	a.report = func() {
		if example == "" {
			return
		}
		statements := c.allowingNumbers(rule, a, n, numbers)
		if wide {
			const how = " without an allowx"
			example += how
			statements = append(statements, c.allowing(rule, a, how)...)
		}
		c.violated(rule, example, statements)
	}
}

// forbidding are the allowx rules that give some of the pairs one of the numbers.
func (c *checks) forbidding(n *narrowed, pairs relation, numbers []policydb.Extended) []candidate {
	return slices.DeleteFunc(slices.Clone(n.rules), func(allow candidate) bool {
		given := slices.ContainsFunc(numbers, func(number policydb.Extended) bool { return overlap(&number, allow.Extended) })
		return !given || pairs.meet(c.ruleRelation(allow.Rule)).empty()
	})
}

// numbersAllowed returns the first of the pairs that one of the allowx rules is about.
func (c *checks) numbersAllowed(allowed []candidate, pairs relation) (source, target uint32, found bool) {
	for _, allow := range allowed {
		types := c.ruleRelation(allow.Rule)
		if !intersects(pairs.sources, types.sources) || !intersects(pairs.targets, types.targets) {
			continue
		}
		if source, target, found := pairs.meet(types).first(); found {
			return source, target, true
		}
	}
	return 0, 0, false
}

// allowingNumbers returns the allowx statements that give a pair one of the numbers.
func (c *checks) allowingNumbers(rule *accessRule, a *assertion, n *narrowed, numbers []policydb.Extended) []blamed {
	var found []blamed
	c.model.eachAllow(true, func(allow *accessRule) {
		if allow.extended.kind != n.kind {
			return
		}
		classes, given := c.extended(allow.extended)
		both := slices.Contains(classes, uint32(n.class)) && slices.ContainsFunc(given, func(one policydb.Extended) bool {
			return slices.ContainsFunc(numbers, func(number policydb.Extended) bool { return overlap(&number, &one) })
		})
		if !both {
			return
		}
		if source, target, some := a.pairs.meet(c.relationOf(allow)).first(); some {
			message := fmt.Sprintf("allowx %s violates the neverallowx at %s", c.pair(source, target, uint32(n.class), a.permissions[n.class]), rule.at.node.Position())
			found = append(found, blamed{allow.at, message})
		}
	})
	return found
}

// overlap reports whether both have a number in common.
func overlap(a, b *policydb.Extended) bool {
	const functions, drivers = 1, 2
	switch {
	case a.Kind == b.Kind && (a.Kind == drivers || a.Driver == b.Driver):
		for i, word := range a.Bits {
			if word&b.Bits[i] != 0 {
				return true
			}
		}
		return false
	case a.Kind == functions && b.Kind == drivers:
		return b.Bits[a.Driver/32]&(1<<(a.Driver%32)) != 0
	case a.Kind == drivers && b.Kind == functions:
		return overlap(b, a)
	}
	return false
}

// permission is the bit of a permission of a class, 0 where it has none of that name.
func (c *checks) permission(class uint32, name string) uint32 {
	find := func(permissions []policydb.Permission) uint32 {
		for _, permission := range permissions {
			if permission.Name == name {
				return 1 << (permission.Value - 1)
			}
		}
		return 0
	}
	for _, entry := range c.policy.Classes.Entries {
		if entry.Value != class {
			continue
		}
		bit := find(entry.Permissions.Entries)
		for _, common := range c.policy.Commons.Entries {
			if bit == 0 && common.Name == entry.Common {
				bit = find(common.Permissions.Entries)
			}
		}
		return bit
	}
	return 0
}
