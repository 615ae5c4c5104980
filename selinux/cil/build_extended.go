// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"cmp"
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// extendedTable collects the numbers of extended rules by their keys; the rules come out of it at the end. Keys share their numbers as long as these are the same, since
// a rule about attributes has many keys.
type extendedTable struct {
	keys    []extendedKey // in the order in which they are met
	numbers map[extendedKey]*bitset
	unions  map[[2]*bitset]*bitset
	packed  map[packing][]*policydb.Extended
}

// packing is numbers of a kind.
type packing struct {
	numbers *bitset
	kind    extendedKind
}

// extendedKey is a rule's key and what its numbers are. Rules of one key are merged before they are packed.
type extendedKey struct {
	rule uint64
	kind extendedKind
}

// extendedRuleKinds are the kinds of the rules as policies have them.
var extendedRuleKinds = map[ruleKind]uint16{ruleAllow: policydb.RuleAllowExtended, ruleAuditAllow: policydb.RuleAuditExtended, ruleDontAudit: policydb.RuleSilentExtended}

// extend adds a rule to a table.
func (b *builder) extend(table *extendedTable, rule *accessRule) {
	const since = 30 // POLICYDB_VERSION_XPERMS_IOCTL
	if b.policy.Version < since {
		b.fail(rule.at, "policy version %d cannot have extended permissions: version %d can", b.policy.Version, since)
		return
	}
	numbers := extendedNumbers(rule.extended)
	for _, c := range b.plainClasses(rule.extended.class) {
		b.eachPair(rule, func(source, target uint16) {
			table.add(extendedKey{ruleKey(source, target, uint16(c), extendedRuleKinds[rule.kind]), rule.extended.kind}, &numbers)
		})
	}
}

// extendedNumbers are the commands or messages, 16 bits each.
func extendedNumbers(e *extendedPermissions) bitset {
	var numbers bitset
	addNumbers(&e.numbers, &numbers)
	return numbers
}

func addNumbers(e *expression[struct{}], into *bitset) {
	everything := func() bitset { return span(0, 0xffff) }
	switch e.operator {
	case setRange:
		into.union(span(e.low, e.high))
	case setAll:
		into.union(everything())
	case setOr:
		for i := range e.operands {
			addNumbers(&e.operands[i], into)
		}
	default:
		var first bitset
		addNumbers(&e.operands[0], &first)
		for i := range e.operands[1:] {
			var other bitset
			if addNumbers(&e.operands[i+1], &other); e.operator == setAnd {
				first.and(other)
			} else {
				first.xor(other)
			}
		}
		if e.operator == setNot {
			rest := everything()
			rest.without(first)
			first = rest
		}
		into.union(first)
	}
}

func (t *extendedTable) add(key extendedKey, numbers *bitset) {
	if t.numbers == nil {
		t.numbers, t.unions, t.packed = map[extendedKey]*bitset{}, map[[2]*bitset]*bitset{}, map[packing][]*policydb.Extended{}
	}
	there := t.numbers[key]
	if there == nil {
		t.keys = append(t.keys, key)
		t.numbers[key] = numbers
		return
	}
	pair := [2]*bitset{there, numbers}
	if t.unions[pair] == nil {
		both := append(bitset(nil), *there...)
		both.union(*numbers)
		t.unions[pair] = &both
	}
	t.numbers[key] = t.unions[pair]
}

// addRules appends the rules of a key.
func (t *extendedTable) addRules(rules []policydb.Rule, key extendedKey) []policydb.Rule {
	of := packing{t.numbers[key], key.kind}
	packed, done := t.packed[of]
	if !done {
		packed = pack(*of.numbers, of.kind)
		t.packed[of] = packed
	}
	rule := policydb.Rule{Source: uint16(key.rule >> 48), Target: uint16(key.rule >> 32), Class: uint16(key.rule >> 16), Kind: uint16(key.rule)}
	for _, rule.Extended = range packed {
		rules = append(rules, rule)
	}
	return rules
}

// Kinds of extended permissions in rules.
const (
	extendedFunctions = 1 // of one driver, the numbers' high byte
	extendedDrivers   = 2 // all of whole drivers
	extendedMessages  = 3 // netlink messages of one high byte
)

// pack makes what the rules of some numbers have: one for each driver that is there in part, then one for all drivers that are there as a whole.
func pack(numbers bitset, kind extendedKind) []*policydb.Extended {
	word := uint8(extendedFunctions)
	if kind == extendedNetlink {
		word = extendedMessages
	}
	var parts []*policydb.Extended
	whole := policydb.Extended{Kind: extendedDrivers}
	for driver := range 256 {
		part := policydb.Extended{Kind: word, Driver: uint8(driver)}
		some, all := uint32(0), ^uint32(0)
		for i := range part.Bits {
			if at := 4*driver + i/2; at < len(numbers) {
				part.Bits[i] = uint32(numbers[at] >> (32 * (i % 2)))
			}
			some |= part.Bits[i]
			all &= part.Bits[i]
		}
		switch {
		case some == 0:
		case word == extendedFunctions && all == ^uint32(0):
			whole.Bits[driver/32] |= 1 << (driver % 32)
		default:
			parts = append(parts, &part)
		}
	}
	if whole.Bits != [8]uint32{} {
		parts = append(parts, &whole)
	}
	return parts
}

// extendedRules writes those that hold always, behind all others; what the policy compiled onto has under the same keys is taken in.
func (b *builder) extendedRules() {
	if len(b.extended.keys) == 0 {
		return
	}
	if b.base != nil {
		b.takeInExtended()
	}
	for _, key := range b.extended.keys {
		if b.policy.Rules = b.extended.addRules(b.policy.Rules, key); len(b.policy.Rules) > maximumRules {
			b.fail(place{}, "more than %d rules", maximumRules)
			return
		}
	}
}

// takeInExtended takes the rules of the policy compiled onto that have keys of the sources out of it, and adds their numbers to the sources'.
func (b *builder) takeInExtended() {
	b.policy.Rules = slices.DeleteFunc(slices.Clone(b.policy.Rules), func(rule policydb.Rule) bool {
		if rule.Extended == nil {
			return false
		}
		key := extendedKey{keyOfRule(&rule), extendedIoctl}
		if rule.Extended.Kind == extendedMessages {
			key.kind = extendedNetlink
		}
		numbers := b.extended.numbers[key]
		if numbers == nil {
			return false
		}
		both := unpack(rule.Extended)
		both.union(*numbers)
		b.extended.numbers[key] = &both
		return true
	})
}

// unpack are the numbers of one rule.
func unpack(e *policydb.Extended) bitset {
	var numbers bitset
	for i, word := range e.Bits {
		for bit := range uint32(32) {
			if word&(1<<bit) == 0 {
				continue
			}
			low := uint32(i)*32 + bit
			if e.Kind == extendedDrivers {
				numbers.union(span(low<<8, low<<8|0xff))
			} else {
				numbers.set(uint32(e.Driver)<<8 | low)
			}
		}
	}
	return numbers
}

// hashed orders keys as the hash table does in which libsepol collects them (cil_binary.c, avrulex_hash): the order shows in conditions.
func (t *extendedTable) hashed() []extendedKey {
	keys := slices.Clone(t.keys)
	slices.SortStableFunc(keys, func(a, b extendedKey) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(extendedHash(a.rule), extendedHash(b.rule)))
	})
	return keys
}

// extendedHash is a murmur3 over class, target, source and kind, in 1024 slots.
func extendedHash(key uint64) uint32 {
	hash := uint32(0)
	for _, shift := range []int{16, 32, 48, 0} {
		v := uint32(uint16(key>>shift)) * 0xcc9e2d51
		v = v<<15 | v>>17
		hash ^= v * 0x1b873593
		hash = hash<<13 | hash>>19
		hash = hash*5 + 0xe6546b64
	}
	hash ^= hash >> 16
	hash *= 0x85ebca6b
	hash ^= hash >> 13
	hash *= 0xc2b2ae35
	hash ^= hash >> 16
	return hash & 1023
}
