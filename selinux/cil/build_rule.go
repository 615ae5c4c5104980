// SPDX-License-Identifier: Apache-2.0

package cil

import "github.com/bulkhead-project/bulkhead/selinux/policydb"

// maximumRules bounds what a few rules about all types may come to.
const maximumRules = 1 << 24

// ruleTable has the rules of the sources that hold always, each key once, in the order in which the keys are met.
type ruleTable struct {
	rules []policydb.Rule
	slots []uint32 // positions in rules, plus 1, by the key's hash; a power of two
}

func ruleKey(source, target, class, kind uint16) uint64 {
	return uint64(source)<<48 | uint64(target)<<32 | uint64(class)<<16 | uint64(kind)
}

func keyOfRule(r *policydb.Rule) uint64 { return ruleKey(r.Source, r.Target, r.Class, r.Kind) }

// at finds the slot of a key, an empty one if it is not there.
func (t *ruleTable) at(key uint64) *uint32 {
	mask := uint64(len(t.slots) - 1)
	hash := key * 0x9e3779b97f4a7c15
	for slot := (hash ^ hash>>32) & mask; ; slot = (slot + 1) & mask {
		if found := t.slots[slot]; found == 0 || keyOfRule(&t.rules[found-1]) == key {
			return &t.slots[slot]
		}
	}
}

// grow makes room for as many rules.
func (t *ruleTable) grow(count int) {
	size := 1 << 8
	for size < 2*count {
		size *= 2
	}
	t.slots = make([]uint32, size)
	for i := range t.rules {
		*t.at(keyOfRule(&t.rules[i])) = uint32(i) + 1
	}
}

// rule finds the rule of a key and adds it where there is none yet.
func (t *ruleTable) rule(source, target, class, kind uint16) (rule *policydb.Rule, added bool) {
	if 2*len(t.rules) >= len(t.slots) {
		t.grow(2 * len(t.rules))
	}
	slot := t.at(ruleKey(source, target, class, kind))
	if *slot == 0 {
		t.rules = append(t.rules, policydb.Rule{Source: source, Target: target, Class: class, Kind: kind})
		*slot, added = uint32(len(t.rules)), true
	}
	return &t.rules[*slot-1], added
}

// find is the rule of a key, nil where there is none.
func (t *ruleTable) find(key uint64) *policydb.Rule {
	if len(t.slots) == 0 {
		return nil
	}
	if at := *t.at(key); at != 0 {
		return &t.rules[at-1]
	}
	return nil
}

// policyKinds are the kinds of rules as policies have them.
var policyKinds = map[ruleKind]uint16{ruleAllow: policydb.RuleAllow, ruleAuditAllow: policydb.RuleAuditAllow, ruleDontAudit: policydb.RuleAuditDeny}

// joinRules puts the rules among those of the policy compiled onto.
func (b *builder) joinRules() {
	switch {
	case b.base == nil:
		b.policy.Rules = b.rules.rules
		return
	case len(b.rules.rules) == 0:
		return
	}
	joined := make([]policydb.Rule, len(b.policy.Rules), len(b.policy.Rules)+len(b.rules.rules))
	copy(joined, b.policy.Rules)
	there := make([]bool, len(b.rules.rules))
	for i := range joined {
		at := *b.rules.at(keyOfRule(&joined[i]))
		if at == 0 || joined[i].Extended != nil {
			continue
		}
		there[at-1] = true
		switch rule := &b.rules.rules[at-1]; {
		case !isTypeRule(rule) && rule.Kind != policydb.RuleAuditDeny:
			joined[i].Data |= rule.Data
		case !isTypeRule(rule):
			joined[i].Data &= rule.Data
		case joined[i].Data != rule.Data:
			b.conflict(b.typesSaid[at-1], &joined[i], "in the policy that this is compiled onto")
		}
	}
	for i := range b.rules.rules {
		if !there[i] {
			joined = append(joined, b.rules.rules[i])
		}
	}
	b.policy.Rules = joined
}

// accessRules writes what is allowed, audited and not audited.
func (b *builder) accessRules() {
	for _, rule := range b.model.rules {
		switch {
		case !b.written(rule):
		case rule.extended != nil:
			b.extend(&b.extended, rule)
		default:
			b.vectors = b.addVectors(b.vectors[:0], rule.permissions)
			kind := policyKinds[rule.kind]
			b.eachPair(rule, func(source, target uint16) {
				for i := range b.vectors {
					b.rules.allow(source, target, uint16(b.vectors[i].class), kind, b.vectors[i].permissions)
				}
			})
			if len(b.rules.rules) > maximumRules {
				b.fail(rule.at, "more than %d rules", maximumRules)
				return
			}
		}
	}
}

// allow adds permissions to the rule of a key. A dontaudit has those that are audited all the same.
func (t *ruleTable) allow(source, target, class, kind uint16, permissions uint32) {
	rule, added := t.rule(source, target, class, kind)
	switch {
	case kind != policydb.RuleAuditDeny:
		rule.Data |= permissions
	case added:
		rule.Data = ^permissions
	default:
		rule.Data &^= permissions
	}
}

// written reports whether a rule stands in the policy.
func (b *builder) written(rule *accessRule) bool {
	return rule.kind != ruleNeverAllow && (rule.kind != ruleDontAudit || !b.options.DisableDontAudit)
}

// eachPair goes over the sources and targets for which a rule is written, types and kept attributes, by their values.
func (b *builder) eachPair(rule *accessRule, visit func(source, target uint16)) {
	special := rule.target == typeSelf || rule.target == typeNotSelf || rule.target == typeOther
	b.sources = b.side(b.sources[:0], rule.source, special)
	switch rule.target {
	case typeSelf:
		for _, source := range b.sources {
			visit(source, source)
		}
		return
	case typeNotSelf:
		b.targets = b.targets[:0]
		for number := range b.everyType.all() {
			b.targets = append(b.targets, uint16(b.typeValues[number]))
		}
	case typeOther:
		b.targets = append(b.targets[:0], b.sources...)
	default:
		b.targets = b.side(b.targets[:0], rule.target, false)
	}
	if b.tooMany(rule.at, len(b.sources), len(b.targets)) {
		return
	}
	for _, source := range b.sources {
		for _, target := range b.targets {
			if !special || source != target {
				visit(source, target)
			}
		}
	}
}

// tooMany refuses a rule that comes to more than a policy may have.
func (b *builder) tooMany(at place, sources, targets int) bool {
	if sources*targets <= maximumRules {
		return false
	}
	b.fail(at, "this comes to %d times %d rules, more than %d", sources, targets, maximumRules)
	return true
}

// side appends the values for which one side of a rule is written.
func (b *builder) side(values []uint16, t *typ, expand bool) []uint16 {
	if !t.attribute || !expand && !b.attribute(t).expand {
		if !b.isThere(t) {
			return values
		}
		return append(values, uint16(t.value))
	}
	for number := range b.attribute(t).members.all() {
		values = append(values, uint16(b.typeValues[number]))
	}
	return values
}

// eachTypeKey goes over the keys of a type rule, whose attributes are always expanded.
func (b *builder) eachTypeKey(rule *typeRule, visit func(source, target, class uint16)) {
	b.sources = b.side(b.sources[:0], rule.source, true)
	if rule.target != typeSelf {
		b.targets = b.side(b.targets[:0], rule.target, true)
	}
	if !b.isThere(rule.result) {
		return
	}
	classes := b.plainClasses(rule.class)
	if rule.target != typeSelf && b.tooMany(rule.at, len(b.sources), len(b.targets)) {
		return
	}
	for _, source := range b.sources {
		if rule.target == typeSelf {
			b.targets = append(b.targets[:0], source)
		}
		for _, target := range b.targets {
			for _, c := range classes {
				visit(source, target, uint16(c))
			}
		}
	}
}

// typeRules writes type transitions, changes and members; a key has one result.
func (b *builder) typeRules() {
	for _, rule := range b.model.typeRules {
		if rule.named && rule.object != "*" {
			b.filename(rule)
			continue
		}
		b.eachTypeKey(rule, func(source, target, class uint16) {
			entry, added := b.rules.rule(source, target, class, rule.kind)
			switch {
			case added:
				entry.Data = rule.result.value
				b.typesSaid = append(b.typesSaid, rule)
			case entry.Data != rule.result.value:
				b.conflict(rule, entry, b.typesSaid[*b.rules.at(keyOfRule(entry))-1].at.String())
			}
		})
	}
}

// conflict says that a type rule is there with another result, and where.
func (b *builder) conflict(rule *typeRule, entry *policydb.Rule, where string) {
	b.fail(rule.at, "the type is %s here and %s %s, for source %s, target %s and class %s", rule.result.name, b.nameOfType(entry.Data), where,
		b.nameOfType(uint32(entry.Source)), b.nameOfType(uint32(entry.Target)), b.nameOfClass(uint32(entry.Class)))
}

// nameOfType is the name of a type or attribute by its value, for messages.
func (b *builder) nameOfType(value uint32) string {
	for i := range b.policy.Types.Entries {
		if entry := &b.policy.Types.Entries[i]; entry.Value == value && entry.Properties&policydb.TypePrimary != 0 {
			return entry.Name
		}
	}
	return "?"
}

func (b *builder) nameOfClass(value uint32) string {
	for i := range b.policy.Classes.Entries {
		if entry := &b.policy.Classes.Entries[i]; entry.Value == value {
			return entry.Name
		}
	}
	return "?"
}
