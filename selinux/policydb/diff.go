// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"iter"
	"slices"
	"strings"
)

// Sign says what became of something from the first policy to the second.
type Sign string

// The signs.
const (
	Added    Sign = "+"
	Removed  Sign = "-"
	Modified Sign = "*"
)

// Difference is one thing that two policies do not have alike.
type Difference struct {
	Kind    string   `json:"kind"` // of DifferenceKinds
	Sign    Sign     `json:"change"`
	Text    string   `json:"text"`              // a name or a statement
	Details []string `json:"details,omitempty"` // of what is modified: lines that begin with + or -
}

// DifferenceKinds are what Diff compares, by the words of sediff(1), in the order in which it does.
func DifferenceKinds() []string {
	var kinds []string
	for _, step := range comparisons {
		kinds = append(kinds, step.kind)
	}
	return kinds
}

// comparisons are the steps of Diff.
var comparisons = []struct {
	kind    string
	compare func(*comparison)
}{
	{"property", (*comparison).properties}, {"polcap", (*comparison).capabilities},
	{"common", (*comparison).commons}, {"class", (*comparison).classes}, {"default", (*comparison).defaults},
	{"sensitivity", (*comparison).sensitivities}, {"category", (*comparison).categories}, {"level", (*comparison).levels},
	{"type", (*comparison).types}, {"attribute", (*comparison).attributes}, {"typebounds", (*comparison).typeBounds},
	{"role", (*comparison).roles}, {"user", (*comparison).users}, {"bool", (*comparison).booleans},
	{"allow", func(c *comparison) { c.access(RuleAllow) }},
	{"auditallow", func(c *comparison) { c.access(RuleAuditAllow) }},
	{"dontaudit", func(c *comparison) { c.access(RuleAuditDeny) }},
	{"allowxperm", func(c *comparison) { c.access(RuleAllowExtended) }},
	{"auditallowxperm", func(c *comparison) { c.access(RuleAuditExtended) }},
	{"dontauditxperm", func(c *comparison) { c.access(RuleSilentExtended) }},
	{"type_trans", func(c *comparison) { c.typeRules(RuleTransition) }},
	{"type_change", func(c *comparison) { c.typeRules(RuleChange) }},
	{"type_member", func(c *comparison) { c.typeRules(RuleMember) }},
	{"role_allow", (*comparison).roleAllows}, {"role_trans", (*comparison).roleTransitions}, {"range_trans", (*comparison).rangeTransitions},
	{"constrain", func(c *comparison) { c.constraints(false) }}, {"mlsconstrain", func(c *comparison) { c.constraints(true) }},
	{"validatetrans", func(c *comparison) { c.validations(false) }}, {"mlsvalidatetrans", func(c *comparison) { c.validations(true) }},
	{"initialsid", (*comparison).initialSIDs}, {"fs_use", (*comparison).filesystemUses}, {"fscon", (*comparison).filesystems},
	{"genfscon", (*comparison).genericFilesystems}, {"portcon", (*comparison).ports}, {"netifcon", (*comparison).interfaces}, {"nodecon", (*comparison).nodes},
	{"ibpkeycon", (*comparison).infinibandKeys}, {"ibendportcon", (*comparison).infinibandPorts},
}

// Diff yields what the policies do not have alike, kind by kind, in the order of the alphabet; kinds are some of DifferenceKinds, none for all.
//
// It compares what they mean. Rules of access are compared for each pair of types, attributes expanded, so that one rule for an attribute and one for each of its
// types are the same; conditions and constraints are compared as Boolean functions, constraints by the types that the kernel compares with. Values, the order of what
// has no order, and the version of the format make no difference.
func Diff(a, b *Policy, kinds ...string) iter.Seq[Difference] {
	return func(yield func(Difference) bool) {
		c := &comparison{sides: [2]*side{newSide(a), newSide(b)}, functions: newDiagram(), conditions: map[*Condition][2]function{}, branches: map[function]string{}, yield: yield}
		for _, step := range comparisons {
			if c.kind = step.kind; len(kinds) == 0 || slices.Contains(kinds, c.kind) {
				if step.compare(c); c.stopped {
					return
				}
			}
		}
	}
}

// comparison is one run of Diff.
type comparison struct {
	sides      [2]*side
	functions  *diagram
	conditions map[*Condition][2]function // when the true and the false branch hold
	branches   map[function]string        // how a condition is shown: [ expression ]:branch
	kind       string
	yield      func(Difference) bool
	stopped    bool
}

// side is one of the policies.
type side struct {
	*Policy
	named   *names
	members []Bitmap // of attributes
}

func newSide(p *Policy) *side { return &side{p, p.names(), p.members()} }

func (s *side) class(value uint32) string { return s.named.classes[value-1].Name }

func (c *comparison) emit(sign Sign, text string, details ...string) {
	if !c.stopped {
		c.stopped = !c.yield(Difference{c.kind, sign, text, details})
	}
}

// item is one thing by name: its properties, and sets of names.
type item struct {
	text       string // where it is added or removed; "" for the name
	properties []property
}

// property is one word, or a set of words.
type property struct {
	name string
	one  string
	many []string // sorted
}

// items compares what both policies name.
func (c *comparison) items(of func(*side) map[string]item) {
	a, b := of(c.sides[0]), of(c.sides[1])
	names := sortedKeys(a)
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		first, inFirst := a[name]
		second, inSecond := b[name]
		switch {
		case !inSecond:
			c.emit(Removed, orName(first.text, name))
		case !inFirst:
			c.emit(Added, orName(second.text, name))
		default:
			if details := first.changes(second); len(details) > 0 {
				c.emit(Modified, name, details...)
			}
		}
	}
}

func orName(text, name string) string {
	if text == "" {
		return name
	}
	return text
}

// changes are the properties that differ. Both have the same ones.
func (i item) changes(other item) []string {
	var details []string
	for n, property := range i.properties {
		head := ""
		if property.name != "" {
			head = property.name + " "
		}
		if property.one != other.properties[n].one {
			details = append(details, "+ "+head+other.properties[n].one, "- "+head+property.one)
		}
		for _, word := range without(other.properties[n].many, property.many) {
			details = append(details, "+ "+head+word)
		}
		for _, word := range without(property.many, other.properties[n].many) {
			details = append(details, "- "+head+word)
		}
	}
	return details
}

// without are the words that the other sorted list has not.
func without(words, others []string) []string {
	var left []string
	for _, word := range words {
		if _, there := slices.BinarySearch(others, word); !there {
			left = append(left, word)
		}
	}
	return left
}

// when are the functions of a condition: of its true and of its false branch.
func (c *comparison) when(s *side, condition *Condition) [2]function {
	known, ok := c.conditions[condition]
	if ok {
		return known
	}
	d := c.functions
	holds := d.within(func() string { return s.FormatCondition(condition) }, func() function {
		return fold(condition.Expression, func(term ConditionTerm, stack []function) function {
			switch term.Kind {
			case conditionBoolean:
				return d.variable(s.booleanName(term.Boolean))
			case conditionNot:
				return d.not(stack[0])
			case conditionOr:
				return d.or(stack[0], stack[1])
			case conditionAnd:
				return d.and(stack[0], stack[1])
			case conditionEqual:
				return d.not(d.unequal(stack[0], stack[1]))
			}
			return d.unequal(stack[0], stack[1])
		}, func(term ConditionTerm) int { return operandsOf(term.Kind, conditionBoolean, conditionNot) })
	})
	known = [2]function{holds, d.not(holds)}
	for branch, function := range known {
		if _, shown := c.branches[function]; !shown {
			c.branches[function] = strings.TrimPrefix(s.formatBranch(Found{Condition: condition, Branch: branch == 0}), " ")
		}
	}
	c.conditions[condition] = known
	return known
}

// operandsOf is how many a term takes: none where its kind is that of operands, one of a not, else two.
func operandsOf(kind, operand, not uint32) int {
	switch kind {
	case operand:
		return 0
	case not:
		return 1
	}
	return 2
}

// fold evaluates an expression in postfix order that has been checked.
func fold[T, V any](expression []T, evaluate func(term T, operands []V) V, operands func(T) int) V {
	var stack []V
	for _, term := range expression {
		rest := len(stack) - operands(term)
		stack = append(stack[:rest], evaluate(term, stack[rest:]))
	}
	return stack[0]
}
