// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"math/bits"
	"slices"
	"sync"
)

// Decision is what the policy says of a source, a target and a class: one bit for each permission.
type Decision struct {
	Allowed    uint32
	AuditAllow uint32 // allowed, and said in the log
	AuditDeny  uint32 // said in the log where denied
	Permissive bool   // of the source's type: nothing is denied, all is logged
}

// roleObject is the role that objects have: it goes with every type and every user.
const roleObject = 1

// Decide computes the access vector as the kernel does (context_struct_compute_av in security/selinux/ss/services.c): type enforcement with the conditional
// rules that hold, constraints, role changes and bounds. Class 0 is one that the policy does not know: it gets what Unknown says. The contexts must be valid.
func (p *Policy) Decide(source, target *Context, class uint32) Decision {
	var d Decision
	p.engineOf().decide(&d, source, target, class)
	d.Permissive = p.Permissive.Has(source.Type)
	return d
}

// engine is what decisions are made with. It belongs to one setting of the booleans.
type engine struct {
	policy   *Policy
	names    *names
	index    *index
	holds    []bool // by branch of the index; the first is always true
	process  uint32 // the class, 0 where the policy has none
	changing uint32 // its permissions transition and dyntransition

	once  sync.Once
	byKey map[typeKey]*Rule
}

// engineOf returns the engine for the booleans as they are.
func (p *Policy) engineOf() *engine {
	p.ready.Lock()
	defer p.ready.Unlock()
	if p.current == nil {
		state := make([]bool, p.Booleans.Primary)
		for _, boolean := range p.Booleans.Entries {
			state[boolean.Value-1] = boolean.State != 0
		}
		p.current = p.newEngine(p.makeIndex(), state)
	}
	return p.current
}

func (p *Policy) newEngine(index *index, state []bool) *engine {
	e := &engine{policy: p, names: p.names(), index: index, holds: make([]bool, 1, 1+2*len(p.Conditions))}
	e.holds[0] = true
	for i := range p.Conditions {
		holds := p.Conditions[i].evaluate(state)
		e.holds = append(e.holds, holds, !holds)
	}
	if process := e.names.classNames["process"]; process != nil {
		e.process = process.Value
		transition, _ := p.Permission(process, "transition")
		dynamic, _ := p.Permission(process, "dyntransition")
		e.changing = transition | dynamic
	}
	return e
}

// SetBooleans changes booleans by name; the others stay. An unknown name is reported and changes nothing.
func (p *Policy) SetBooleans(values map[string]bool) error {
	found := map[string]int{}
	for i, boolean := range p.Booleans.Entries {
		found[boolean.Name] = i
	}
	for name := range values {
		if _, ok := found[name]; !ok {
			return &UnknownError{"boolean", name}
		}
	}
	for name, value := range values {
		state := uint32(0)
		if value {
			state = 1
		}
		p.Booleans.Entries[found[name]].State = state
	}
	p.ready.Lock()
	defer p.ready.Unlock()
	p.current = nil
	return nil
}

func (e *engine) decide(d *Decision, source, target *Context, class uint32) {
	d.AuditDeny = ^uint32(0)
	if class == 0 && e.policy.Unknown == AllowUnknown {
		d.Allowed = ^uint32(0)
	}
	if class == 0 || class > uint32(len(e.names.classes)) {
		return
	}
	e.enforceTypes(d, source.Type, target.Type, class)
	for i := range e.names.classes[class-1].Constraints {
		constraint := &e.names.classes[class-1].Constraints[i]
		if constraint.Permissions&d.Allowed != 0 && !e.policy.holds(constraint.Expression, source, target, nil) {
			d.Allowed &^= constraint.Permissions
		}
	}
	if class == e.process && d.Allowed&e.changing != 0 && !e.mayChange(source.Role, target.Role) {
		d.Allowed &^= e.changing
	}
	if e.names.types[source.Type-1].Bounds != 0 {
		e.enforceBounds(d, source, target, class)
	}
}

// mayChange reports whether a process may have the other role after a transition.
func (e *engine) mayChange(role, other uint32) bool {
	return role == other || slices.Contains(e.policy.RoleAllows, RoleAllow{role, other})
}

// enforceTypes adds up what the rules say of all pairs of attributes.
func (e *engine) enforceTypes(d *Decision, source, target, class uint32) {
	targets := e.policy.Attributes[target-1]
	for i, word := range e.policy.Attributes[source-1] {
		for ; word != 0; word &= word - 1 {
			for _, rule := range e.index.bucket(class, uint32(i*wordBits)+uint32(bits.TrailingZeros64(word))+1) {
				if !targets.Has(uint32(rule.target)-1) || !e.holds[rule.branch] {
					continue
				}
				switch rule.kind {
				case RuleAllow:
					d.Allowed |= rule.data
				case RuleAuditAllow:
					d.AuditAllow |= rule.data
				case RuleAuditDeny:
					d.AuditDeny &= rule.data
				}
			}
		}
	}
}

// enforceBounds takes away what the bounding type of the source may not do; where the target's type has bounds, too, it is asked of that type.
func (e *engine) enforceBounds(d *Decision, source, target *Context, class uint32) {
	boundedSource, boundedTarget := *source, *target
	boundedSource.Type = e.names.types[source.Type-1].Bounds
	if bounds := e.names.types[target.Type-1].Bounds; bounds != 0 {
		boundedTarget.Type = bounds
	}
	var limit Decision
	e.decide(&limit, &boundedSource, &boundedTarget, class)
	d.Allowed &= limit.Allowed
}

// evaluate works out a condition over booleans: they are found by value less 1.
func (c *Condition) evaluate(state []bool) bool {
	var stack []bool
	for _, term := range c.Expression {
		if term.Kind == conditionBoolean {
			stack = append(stack, state[term.Boolean-1])
			continue
		}
		top := len(stack) - 1
		if term.Kind == conditionNot {
			stack[top] = !stack[top]
			continue
		}
		first, second := stack[top-1], stack[top]
		stack = stack[:top]
		switch term.Kind {
		case conditionOr:
			stack[top-1] = first || second
		case conditionAnd:
			stack[top-1] = first && second
		case conditionXor, conditionNotEqual:
			stack[top-1] = first != second
		case conditionEqual:
			stack[top-1] = first == second
		}
	}
	return len(stack) == 1 && stack[0]
}

// Kinds of terms of conditions.
const (
	conditionBoolean  = 1
	conditionNot      = 2
	conditionOr       = 3
	conditionAnd      = 4
	conditionXor      = 5
	conditionEqual    = 6
	conditionNotEqual = 7
)

// conditionDepth is how many operands may wait for their operator: the kernel's COND_EXPR_MAXDEPTH.
const conditionDepth = 10
