// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"fmt"
	"slices"
	"strings"
)

// typeName is the name of a type or an attribute by its value.
func (p *Policy) typeName(value uint32) string { return p.names().types[value-1].Name }

// FormatRule writes a rule in the policy language, as sesearch(1) does: permissions in the order of the alphabet, then the condition and its branch.
func (p *Policy) FormatRule(found Found) string {
	rule := found.Rule
	head := fmt.Sprintf("%s %s %s:%s ", ruleWord(rule.Kind), p.typeName(uint32(rule.Source)), p.typeName(uint32(rule.Target)), p.names().classes[rule.Class-1].Name)
	if found.Name != "" {
		return head + p.ruleTail(rule) + " " + found.Name + ";"
	}
	return head + p.ruleTail(rule) + ";" + p.formatBranch(found)
}

// FormatMissing writes the allow rule that would give the permissions, between the types themselves.
func (p *Policy) FormatMissing(source, target *Context, class *Class, vector uint32) string {
	return "allow " + p.formatParties(source, target, class) + p.FormatPermissions(class, vector) + ";"
}

// FormatMissingExtended writes the allowxperm rule that would give a number of the permission.
func (p *Policy) FormatMissingExtended(source, target *Context, class *Class, permission string, number uint16) string {
	return fmt.Sprintf("allowxperm %s%s 0x%04x;", p.formatParties(source, target, class), permission, number)
}

func (p *Policy) formatParties(source, target *Context, class *Class) string {
	to := p.typeName(target.Type)
	if source.Type == target.Type {
		to = "self"
	}
	return p.typeName(source.Type) + " " + to + ":" + class.Name + " "
}

// ruleWord is the keyword of a kind of rules.
func ruleWord(kind uint16) string { return ruleWords[kind&^ruleEnabled] }

var ruleWords = map[uint16]string{
	RuleAllow: "allow", RuleAuditAllow: "auditallow", RuleAuditDeny: "dontaudit",
	RuleTransition: "type_transition", RuleMember: "type_member", RuleChange: "type_change",
	RuleAllowExtended: "allowxperm", RuleAuditExtended: "auditallowxperm", RuleSilentExtended: "dontauditxperm",
}

func (p *Policy) ruleTail(rule *Rule) string {
	switch kind := rule.Kind &^ ruleEnabled; {
	case kind&ruleTypes != 0:
		return p.typeName(rule.Data)
	case kind&ruleExtended != 0:
		return rule.Extended.permission() + " " + braced(rule.Extended.ranges())
	case kind == RuleAuditDeny:
		return p.formatPermissions(rule.Class, ^rule.Data)
	}
	return p.formatPermissions(rule.Class, rule.Data)
}

func (p *Policy) formatPermissions(class uint16, vector uint32) string {
	names := p.PermissionNames(p.names().classes[class-1], vector)
	slices.Sort(names)
	return braced(names)
}

// FormatPermissions writes the permissions of a class: one word, several in braces, or - for none.
func (p *Policy) FormatPermissions(class *Class, vector uint32) string {
	return p.formatPermissions(uint16(class.Value), vector)
}

// braced is one word, or several in braces; - for none.
func braced(words []string) string {
	switch len(words) {
	case 0:
		return "-"
	case 1:
		return words[0]
	}
	return "{ " + strings.Join(words, " ") + " }"
}

// Kinds of extended permissions.
const (
	extendedFunctions = 1 // ioctl commands of one driver, by the low byte
	extendedDrivers   = 2 // all commands of drivers
	extendedMessages  = 3 // netlink messages
)

// permission is the one that extended permissions refine.
func (e *Extended) permission() string {
	if e.Kind == extendedMessages {
		return "nlmsg"
	}
	return "ioctl"
}

// Has reports whether a 16-bit command or message is among them.
func (e *Extended) Has(number uint16) bool {
	low, high := number&0xff, number>>8
	if e.Kind == extendedDrivers {
		return e.Bits[high/32]&(1<<(high%32)) != 0
	}
	return uint16(e.Driver) == high && e.Bits[low/32]&(1<<(low%32)) != 0
}

// ranges are the commands in rising order: 0x8910, or 0x8920-0x8930 for several in a row.
func (e *Extended) ranges() []string {
	var words []string
	for first := 0; first < 1<<16; first++ {
		if !e.Has(uint16(first)) {
			continue
		}
		last := first
		for last+1 < 1<<16 && e.Has(uint16(last+1)) {
			last++
		}
		if words = append(words, fmt.Sprintf("0x%04x", first)); last > first {
			words[len(words)-1] += fmt.Sprintf("-0x%04x", last)
		}
		first = last
	}
	return words
}

func (p *Policy) formatBranch(found Found) string {
	if found.Condition == nil {
		return ""
	}
	branch := "False"
	if found.Branch {
		branch = "True"
	}
	return " [ " + p.FormatCondition(found.Condition) + " ]:" + branch
}

// operators of conditions, with how strongly they bind.
var conditionOperators = map[uint32]struct {
	text     string
	strength int
}{
	conditionNot: {"!", 5}, conditionEqual: {"==", 4}, conditionNotEqual: {"!=", 4}, conditionAnd: {"&&", 3}, conditionXor: {"^", 2}, conditionOr: {"||", 1},
}

// FormatCondition writes a condition in the policy language. Of two operands the later comes first, as sesearch has it.
func (p *Policy) FormatCondition(condition *Condition) string {
	type operand struct {
		text     string
		strength int
	}
	const alone = 6
	var stack []operand
	within := func(o operand, strength int) string {
		if o.strength < strength {
			return "( " + o.text + " )"
		}
		return o.text
	}
	for _, term := range condition.Expression {
		if term.Kind == conditionBoolean {
			stack = append(stack, operand{p.booleanName(term.Boolean), alone})
			continue
		}
		top := len(stack) - 1
		operator := conditionOperators[term.Kind]
		text := within(stack[top], operator.strength)
		if term.Kind == conditionNot {
			stack[top] = operand{operator.text + " " + text, operator.strength}
			continue
		}
		stack[top-1] = operand{text + " " + operator.text + " " + within(stack[top-1], operator.strength), operator.strength}
		stack = stack[:top]
	}
	return stack[0].text
}

func (p *Policy) booleanName(value uint32) string {
	for i := range p.Booleans.Entries {
		if p.Booleans.Entries[i].Value == value {
			return p.Booleans.Entries[i].Name
		}
	}
	return fmt.Sprintf("boolean %d", value)
}
