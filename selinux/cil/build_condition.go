// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"encoding/binary"
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// Kinds of a condition's terms (libsepol's conditional.h), and the mark of a rule whose branch is in force.
const (
	termBoolean = 1
	termNot     = 2
	ruleInForce = 0x8000
)

// termKinds are the operators of conditions as policies have them.
var termKinds = map[booleanOperator]uint32{booleanNot: termNot, booleanOr: 3, booleanAnd: 4, booleanXor: 5, booleanEqual: 6, booleanNotEqual: 7}

// conditionDepth is how many operands may wait for their operator: COND_EXPR_MAXDEPTH.
const conditionDepth = 10

// comparedBooleans is up to how many booleans conditions are compared by their truth tables: COND_MAX_BOOLS.
const comparedBooleans = 5

// conditionTable has the conditions that the sources say something of, each once.
type conditionTable struct {
	nodes []*conditionNode // in the order in which they are met
	index map[string]*conditionNode
	types map[uint64]uint32 // the result of the latest type rule of a key in any condition

	always map[uint64]uint32 // the results of those that hold always; nil: not asked for yet
}

// conditionNode is a condition with both branches.
type conditionNode struct {
	expression  []policydb.ConditionTerm
	base        int // position in the policy compiled onto; -1: none
	True, False conditionBranch
}

// conditionBranch has the rules in the order in which they are added. Access rules are not merged.
type conditionBranch struct {
	types, access []policydb.Rule
}

func (b *builder) booleans() {
	table := &b.policy.Booleans
	for _, boolean := range b.model.booleans {
		entry := policydb.Boolean{Name: boolean.name, Value: next(table)}
		if boolean.value = entry.Value; boolean.state {
			entry.State = 1
		}
		table.Entries = append(table.Entries, entry)
	}
}

// conditionRules writes what booleanif statements hold.
func (b *builder) conditionRules() {
	if len(b.model.conditions) == 0 {
		return
	}
	b.beginConditions()
	for _, said := range b.model.conditions {
		expression := b.postfix(nil, &said.test)
		if tooDeep(expression) {
			b.fail(said.at, "the condition is deeper than %d operands", conditionDepth)
			continue
		}
		branches := [2]*branch{&said.True, &said.False}
		if last := len(expression) - 1; expression[last].Kind == termNot {
			expression = expression[:last]
			branches[0], branches[1] = branches[1], branches[0]
		}
		if len(b.errors) > 0 {
			return
		}
		node := b.conditionNode(expression)
		b.fillBranch(&node.True, &node.False, branches[0])
		b.fillBranch(&node.False, &node.True, branches[1])
	}
	b.writeConditions()
}

// beginConditions takes over those of the policy compiled onto.
func (b *builder) beginConditions() {
	t := &b.conditions
	t.index, t.types = map[string]*conditionNode{}, map[uint64]uint32{}
	for i := range b.policy.Conditions {
		condition := &b.policy.Conditions[i]
		if key := conditionKey(condition.Expression); t.index[key] == nil {
			t.index[key] = &conditionNode{expression: condition.Expression, base: i}
		}
		for _, rules := range [][]policydb.Rule{condition.True, condition.False} {
			for j := range rules {
				if isTypeRule(&rules[j]) {
					t.types[keyOfRule(&rules[j])&^ruleInForce] = rules[j].Data
				}
			}
		}
	}
}

func isTypeRule(rule *policydb.Rule) bool {
	return rule.Kind&(policydb.RuleTransition|policydb.RuleMember|policydb.RuleChange) != 0
}

// postfix appends the expression with operands before operators.
func (b *builder) postfix(terms []policydb.ConditionTerm, e *booleanExpression) []policydb.ConditionTerm {
	if e.operator == booleanName {
		b.given(&e.boolean.named, "boolean")
		return append(terms, policydb.ConditionTerm{Kind: termBoolean, Boolean: e.boolean.value})
	}
	for i := range e.operands {
		terms = b.postfix(terms, &e.operands[i])
		if i > 0 {
			terms = append(terms, policydb.ConditionTerm{Kind: termKinds[e.operator]})
		}
	}
	if e.operator == booleanNot {
		terms = append(terms, policydb.ConditionTerm{Kind: termNot})
	}
	return terms
}

func tooDeep(expression []policydb.ConditionTerm) bool {
	depth := 0
	for _, term := range expression {
		switch term.Kind {
		case termBoolean:
			if depth++; depth > conditionDepth {
				return true
			}
		case termNot:
		default:
			depth--
		}
	}
	return false
}

// conditionNode finds the condition among those that are there.
func (b *builder) conditionNode(expression []policydb.ConditionTerm) *conditionNode {
	key := conditionKey(expression)
	node := b.conditions.index[key]
	if node == nil {
		node = &conditionNode{expression: expression, base: -1}
		b.conditions.index[key] = node
	}
	if !slices.Contains(b.conditions.nodes, node) {
		b.conditions.nodes = append(b.conditions.nodes, node)
		if node.base >= 0 {
			was := &b.policy.Conditions[node.base]
			node.True, node.False = split(was.True), split(was.False)
		}
	}
	return node
}

// conditionKey is the same for conditions that libsepol takes for one. It compares those over few booleans by their truth tables, each with its booleans in the
// order of their first mention, and so takes (and a (not b)) and (and b (not a)) for one, which they are not: the table in the order of values is part of the key.
func conditionKey(expression []policydb.ConditionTerm) string {
	var booleans []uint32
	for _, term := range expression {
		if term.Kind == termBoolean && !slices.Contains(booleans, term.Boolean) {
			booleans = append(booleans, term.Boolean)
		}
	}
	var key []byte
	if len(booleans) > comparedBooleans {
		for _, term := range expression {
			key = binary.AppendUvarint(binary.AppendUvarint(key, uint64(term.Kind)), uint64(term.Boolean))
		}
		return string(key)
	}
	sorted := slices.Sorted(slices.Values(booleans))
	for _, value := range sorted {
		key = binary.AppendUvarint(key, uint64(value))
	}
	key = binary.LittleEndian.AppendUint32(key, truthTable(expression, booleans))
	return string(binary.LittleEndian.AppendUint32(key, truthTable(expression, sorted)))
}

// truthTable has a bit for each combination of the booleans' states, the first boolean's in the lowest bit.
func truthTable(expression []policydb.ConditionTerm, booleans []uint32) uint32 {
	table := uint32(0)
	for states := range 1 << len(booleans) {
		if evaluate(expression, func(value uint32) bool { return states&(1<<slices.Index(booleans, value)) != 0 }) {
			table |= 1 << states
		}
	}
	return table
}

// evaluate works out a condition, whose depth is known to be good.
func evaluate(expression []policydb.ConditionTerm, state func(boolean uint32) bool) bool {
	var stack [conditionDepth + 1]bool
	top := -1
	for _, term := range expression {
		switch term.Kind {
		case termBoolean:
			top++
			stack[top] = state(term.Boolean)
			continue
		case termNot:
			stack[top] = !stack[top]
			continue
		}
		top--
		switch first, second := stack[top], stack[top+1]; term.Kind {
		case termKinds[booleanOr]:
			stack[top] = first || second
		case termKinds[booleanAnd]:
			stack[top] = first && second
		case termKinds[booleanEqual]:
			stack[top] = first == second
		default: // xor and not equal
			stack[top] = first != second
		}
	}
	return stack[0]
}

// split is a written branch as it was added: type rules stand in front, the others were put in front one by one.
func split(rules []policydb.Rule) conditionBranch {
	var made conditionBranch
	for i := range rules {
		if isTypeRule(&rules[i]) {
			made.types = append(made.types, rules[i])
		} else {
			made.access = append(made.access, rules[i])
		}
	}
	slices.Reverse(made.access)
	return made
}

// joined is the branch as it is written; those rules whose branch is in force are marked.
func (c *conditionBranch) joined(inForce bool) []policydb.Rule {
	slices.Reverse(c.access)
	rules := append(c.types, c.access...)
	for i := range rules {
		if rules[i].Kind &^= ruleInForce; inForce {
			rules[i].Kind |= ruleInForce
		}
	}
	return rules
}

// fillBranch adds what a branch of a booleanif says; extended rules come at its end.
func (b *builder) fillBranch(this, other *conditionBranch, said *branch) {
	for _, rule := range said.types {
		b.conditionalType(this, other, rule)
	}
	var extended extendedTable
	for _, rule := range said.rules {
		switch {
		case !b.written(rule):
		case rule.extended != nil:
			const since = 34 // POLICYDB_VERSION_COND_XPERMS
			if b.policy.Version < since {
				b.fail(rule.at, "policy version %d cannot have extended permissions in conditions: version %d can", b.policy.Version, since)
				continue
			}
			b.extend(&extended, rule)
		default:
			b.conditionalAccess(this, rule)
		}
	}
	for _, key := range extended.hashed() {
		this.access = extended.addRules(this.access, key)
	}
}

func (b *builder) conditionalAccess(this *conditionBranch, rule *accessRule) {
	b.vectors = b.addVectors(b.vectors[:0], rule.permissions)
	kind := policyKinds[rule.kind]
	b.eachPair(rule, func(source, target uint16) {
		for _, vector := range b.vectors {
			data := vector.permissions
			if kind == policydb.RuleAuditDeny {
				data = ^data
			}
			this.access = append(this.access, policydb.Rule{Source: source, Target: target, Class: uint16(vector.class), Kind: kind, Data: data})
		}
	})
	if len(this.access) > maximumRules {
		b.fail(rule.at, "more than %d rules in a condition", maximumRules)
	}
}

// conditionalType adds a type rule unless it holds always. Rules of one key in several places must agree, but for the two branches of one condition.
func (b *builder) conditionalType(this, other *conditionBranch, rule *typeRule) {
	if rule.named && rule.object != "*" {
		b.fail(rule.at, "a type transition by name cannot be conditional")
		return
	}
	conflict := func(result uint32, source, target, class uint16) {
		b.fail(rule.at, "the type is %s here and %s elsewhere, for source %s, target %s and class %s", rule.result.name, b.nameOfType(result),
			b.nameOfType(uint32(source)), b.nameOfType(uint32(target)), b.nameOfClass(uint32(class)))
	}
	b.eachTypeKey(rule, func(source, target, class uint16) {
		made := policydb.Rule{Source: source, Target: target, Class: class, Kind: rule.kind, Data: rule.result.value}
		key := keyOfRule(&made)
		if always, there := b.always(key); there {
			if always != made.Data {
				conflict(always, source, target, class)
			}
			return
		}
		if latest, there := b.conditions.types[key]; there && !other.hasType(key) {
			if latest != made.Data {
				conflict(latest, source, target, class)
				return
			}
			if this.hasType(key) {
				return
			}
		}
		b.conditions.types[key] = made.Data
		this.types = append(this.types, made)
	})
}

// always is the result of a type rule that holds always.
func (b *builder) always(key uint64) (result uint32, there bool) {
	if rule := b.rules.find(key); rule != nil {
		return rule.Data, true
	}
	if b.conditions.always == nil {
		b.conditions.always = map[uint64]uint32{}
		for i := range b.policy.Rules {
			if rule := &b.policy.Rules[i]; isTypeRule(rule) {
				b.conditions.always[keyOfRule(rule)] = rule.Data
			}
		}
	}
	result, there = b.conditions.always[key]
	return result, there
}

func (c *conditionBranch) hasType(key uint64) bool {
	return slices.ContainsFunc(c.types, func(rule policydb.Rule) bool { return keyOfRule(&rule)&^ruleInForce == key })
}

// writeConditions puts new conditions before those that are there.
func (b *builder) writeConditions() {
	states := map[uint32]bool{}
	for _, entry := range b.policy.Booleans.Entries {
		states[entry.Value] = entry.State != 0
	}
	var added []policydb.Condition
	for _, node := range b.conditions.nodes {
		made := policydb.Condition{Expression: node.expression}
		holds := evaluate(node.expression, func(value uint32) bool { return states[value] })
		if holds {
			made.State = 1
		}
		made.True, made.False = node.True.joined(holds), node.False.joined(!holds)
		if node.base >= 0 {
			b.policy.Conditions[node.base] = made
		} else {
			added = append(added, made)
		}
	}
	b.policy.Conditions = inFront(added, b.policy.Conditions)
}
