// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// kindsInOrder are the kinds of rules with CIL's words for them, in the order in which they are written.
var kindsInOrder = []struct {
	kind uint16
	word string
}{
	{RuleAllow, "allow"}, {RuleAuditAllow, "auditallow"}, {RuleAuditDeny, "dontaudit"},
	{RuleAllowExtended, "allowx"}, {RuleAuditExtended, "auditallowx"}, {RuleSilentExtended, "dontauditx"},
	{RuleTransition, "typetransition"}, {RuleMember, "typemember"}, {RuleChange, "typechange"},
}

func (d *decompiler) types() {
	p := d.policy
	attribute := func(t *Type) bool { return t.Properties&TypeAttribute != 0 }
	d.sorted(func() {
		for value, t := range d.names.types {
			if attribute(t) {
				d.line("(typeattribute ", d.typ(uint32(value+1)), ")")
			}
		}
	})
	d.sorted(func() {
		for _, boolean := range p.Booleans.Entries {
			d.line("(boolean ", d.symbol(boolean.Name), " ", fmt.Sprint(boolean.State != 0), ")")
		}
	})
	d.eachType(func(t *Type) { d.line("(type ", d.typ(t.Value), ")") })
	aliases := map[string]string{}
	for i := range p.Types.Entries {
		if t := &p.Types.Entries[i]; t.Properties&TypePrimary == 0 && !attribute(t) {
			aliases[d.symbol(t.Name)] = d.typ(t.Value)
		}
	}
	d.aliases("type", aliases)
	bounded := map[string]string{}
	d.eachType(func(t *Type) {
		if t.Bounds != 0 {
			bounded[t.Name] = d.typ(t.Bounds)
		}
	})
	for _, child := range sortedKeys(bounded) {
		d.line("(typebounds ", bounded[child], " ", child, ")")
	}
	members := p.members()
	d.sorted(func() {
		for value, t := range d.names.types {
			if set := members[value]; attribute(t) && len(set) > 0 {
				d.line("(typeattributeset ", t.Name, " (", strings.Join(sortedNames(set, d.typ), " "), "))")
			}
		}
	})
	d.typesOf("(typepermissive ", p.Permissive)
	d.typesOf("(typeneveraudit ", p.NeverAudit)
}

// eachType goes over the types, no attributes, and sorts what is written.
func (d *decompiler) eachType(visit func(*Type)) {
	d.sorted(func() {
		for _, t := range d.names.types {
			if t.Properties&TypeAttribute == 0 {
				visit(t)
			}
		}
	})
}

// typesOf writes a statement for each type of a set of values (not less 1).
func (d *decompiler) typesOf(head string, set Bitmap) {
	d.sorted(func() {
		for value := range set.All() {
			if value == 0 || value > uint32(len(d.names.types)) {
				d.fail("type %d in %s...)", value, head)
				continue
			}
			d.line(head, d.typ(value), ")")
		}
	})
}

// members are the types (values less 1) of each attribute, by its value less 1; of types nothing.
func (p *Policy) members() []Bitmap {
	members := make([]Bitmap, p.Types.Primary)
	for i, t := range p.names().types {
		if t.Properties&TypeAttribute != 0 {
			continue
		}
		for attribute := range p.Attributes[i].All() {
			if p.names().types[attribute].Properties&TypeAttribute != 0 {
				members[attribute].set(uint32(i))
			}
		}
	}
	return members
}

func (d *decompiler) rules() {
	p := d.policy
	d.ruleList(p.Rules, "")
	d.sorted(func() {
		for i := range p.Filenames {
			transition := &p.Filenames[i]
			tail := " " + d.typ(transition.Target) + " " + d.names.classes[transition.Class-1].Name + " " + d.quoted(transition.Name) + " "
			for j := range transition.Results {
				for source := range transition.Results[j].Sources.All() {
					d.line("(typetransition ", d.typ(source+1), tail, d.typ(transition.Results[j].Type), ")")
				}
			}
		}
	})
	if !p.MLS {
		return
	}
	d.sorted(func() {
		for i := range p.RangeRules {
			rule := &p.RangeRules[i]
			d.line("(rangetransition ", d.typ(rule.Source), " ", d.typ(rule.Target), " ", d.names.classes[rule.Class-1].Name, " ", d.levelRange(&rule.Range), ")")
		}
	})
}

// ruleList writes rules kind by kind.
func (d *decompiler) ruleList(rules []Rule, indent string) {
	for _, kind := range kindsInOrder {
		d.sorted(func() {
			for i := range rules {
				if rules[i].Kind&kind.kind != 0 {
					d.rule(&rules[i], indent, kind.word)
				}
			}
		})
	}
}

func (d *decompiler) rule(rule *Rule, indent, word string) {
	source, target, class := d.typ(uint32(rule.Source)), d.typ(uint32(rule.Target)), d.names.classes[rule.Class-1].Name
	if rule.Kind&ruleTypes != 0 {
		d.line(indent, "(", word, " ", source, " ", target, " ", class, " ", d.typ(rule.Data), ")")
		return
	}
	if rule.Source == rule.Target && d.names.types[rule.Source-1].Properties&TypeAttribute == 0 {
		target = "self"
	}
	switch {
	case rule.Kind&ruleExtended != 0:
		d.line(indent, "(", word, " ", source, " ", target, " (", rule.Extended.permission(), " ", class, " (", d.commands(rule.Extended), ")))")
	case rule.Kind&RuleAuditDeny != 0:
		d.line(indent, "(", word, " ", source, " ", target, " (", class, " (", d.access(rule.Class, ^rule.Data), ")))")
	default:
		d.line(indent, "(", word, " ", source, " ", target, " (", class, " (", d.access(rule.Class, rule.Data), ")))")
	}
}

// commands are extended permissions in parentheses; those of whole drivers are ranges.
func (d *decompiler) commands(e *Extended) string {
	has := func(bit int) bool { return bit < 256 && e.Bits[bit/32]&(1<<(bit%32)) != 0 }
	var words []string
	for bit := 0; bit < 256; bit++ {
		if !has(bit) {
			continue
		}
		first := bit
		for has(bit + 1) {
			bit++
		}
		low, high := int(e.Driver)<<8|first, int(e.Driver)<<8|bit
		if e.Kind == extendedDrivers {
			low, high = first<<8, bit<<8|0xff
		}
		if low == high {
			words = append(words, fmt.Sprintf("0x%x", low))
		} else {
			words = append(words, fmt.Sprintf("(range 0x%x 0x%x)", low, high))
		}
	}
	if len(words) == 0 {
		d.fail("a rule of extended permissions without one")
	}
	return "(" + strings.Join(words, " ") + ")"
}

func (d *decompiler) conditions() {
	type block struct {
		text      string
		condition *Condition
	}
	var blocks []block
	for i := range d.policy.Conditions {
		blocks = append(blocks, block{d.condition(d.policy.Conditions[i].Expression), &d.policy.Conditions[i]})
	}
	slices.SortStableFunc(blocks, func(a, b block) int { return strings.Compare(a.text, b.text) })
	for _, block := range blocks {
		d.line("(booleanif ", block.text)
		if len(block.condition.True) > 0 {
			d.line("    (true")
			d.ruleList(block.condition.True, "        ")
			d.line("    )")
		}
		if len(block.condition.False) > 0 {
			d.line("    (false")
			d.ruleList(block.condition.False, "        ")
			d.line("    )")
		}
		d.line(")")
	}
}

var conditionWords = map[uint32]string{conditionNot: "not", conditionOr: "or", conditionAnd: "and", conditionXor: "xor", conditionEqual: "eq", conditionNotEqual: "neq"}

func (d *decompiler) condition(expression []ConditionTerm) string {
	var stack []string
	for _, term := range expression {
		top := len(stack) - 1
		switch term.Kind {
		case conditionBoolean:
			stack = append(stack, d.symbol(d.policy.booleanName(term.Boolean)))
		case conditionNot:
			stack[top] = "(not " + stack[top] + ")"
		default:
			stack = append(stack[:top-1], "("+conditionWords[term.Kind]+" "+stack[top-1]+" "+stack[top]+")")
		}
	}
	return stack[0]
}

var (
	constraintWords = map[uint32]string{TermNot: "not", TermAnd: "and", TermOr: "or"}
	compareWords    = map[uint32]string{OperatorEqual: "eq", OperatorNotEqual: "neq", OperatorDominates: "dom", OperatorDominatedBy: "domby", OperatorIncomparable: "incomp"}
)

// expression is that of a constraint.
func (d *decompiler) expression(expression []Term) string {
	var stack []string
	for i := range expression {
		term := &expression[i]
		top := len(stack) - 1
		switch term.Kind {
		case TermNot:
			stack[top] = "(not " + stack[top] + ")"
		case TermAnd, TermOr:
			stack = append(stack[:top-1], "("+constraintWords[term.Kind]+" "+stack[top-1]+" "+stack[top]+")")
		case TermAttributes:
			sides := sides[term.Attribute]
			stack = append(stack, "("+compareWords[term.Operator]+" "+sides[0]+" "+sides[1]+")")
		default:
			stack = append(stack, "("+compareWords[term.Operator]+" "+term.side()+" "+d.termNames(term)+")")
		}
	}
	return stack[0]
}

// side is what a term compares with names: u1 ... t3.
func (t *Term) side() string {
	const who = AttributeUser | AttributeRole | AttributeType
	letter := sides[t.Attribute&who][0][:1]
	switch {
	case t.Attribute&AttributeTarget != 0:
		return letter + "2"
	case t.Attribute&AttributeThird != 0:
		return letter + "3"
	}
	return letter + "1"
}

// termNames are the names as they were written, if they stand for what the kernel compares with; else these, one by one.
func (d *decompiler) termNames(term *Term) string {
	var words []string
	switch {
	case term.Attribute&AttributeUser != 0:
		words = sortedNames(term.Names, d.user)
	case term.Attribute&AttributeRole != 0:
		words = sortedNames(term.Names, d.role)
	case len(term.Types.Types) > 0 && d.standFor(term.Types.Types, term.Names):
		words = sortedNames(term.Types.Types, d.typ)
	default:
		words = sortedNames(term.Names, d.typ)
	}
	switch len(words) {
	case 0:
		d.fail("a constraint that compares with no name")
		return ""
	case 1:
		return words[0]
	}
	return "(" + strings.Join(words, " ") + ")"
}

// standFor reports whether the types and attributes of a set are, together, these types.
func (d *decompiler) standFor(written, names Bitmap) bool {
	if written[len(written)-1] == 0 || int(written.highBit())-bits.LeadingZeros64(written[len(written)-1]) > len(d.names.types) {
		return false
	}
	var all Bitmap
	for bit := range written.All() {
		for member := range d.policy.Members(d.names.types[bit]).All() {
			all.set(member)
		}
	}
	return all.Equal(names)
}
