// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// Stricter reports whether a wins over b where two filters disagree: the kernel's order of actions, whatever their data.
func (a Action) Stricter(b Action) bool { return int32(a.Kind()) < int32(b.Kind()) }

// Kind returns the action without its data.
func (a Action) Kind() Action { return a & 0xffff0000 }

// Data returns the low 16 bits: an errno, or the message to a tracer.
func (a Action) Data() uint16 { return uint16(a) }

// passes reports whether a call goes on, or somebody who may let it go on is asked.
func (a Action) passes() bool {
	switch a.Kind() {
	case Allow, Log, Trace, Notify:
		return true
	}
	return false
}

// noSuchCall returns ENOSYS.
func noSuchCall(abi *syscalls.ABI) Action {
	switch {
	case strings.HasPrefix(abi.Name, "mips"):
		return Errno | 89
	case strings.HasPrefix(abi.Name, "parisc"):
		return Errno | 251
	}
	return Errno | 38
}

// unknown is the answer to numbers that are no call, and to calls newer than the profile.
func (p *Policy) unknown(abi *syscalls.ABI) Action {
	if p.Default.passes() {
		return p.Default
	}
	return noSuchCall(abi)
}

// index tells which rules name a call.
type index struct {
	policy *Policy
	starts []uint32 // of each call's rules, in rules
	rules  []uint16
}

// newIndex resolves the names of a policy's rules. Names that are no call of any architecture are passed over, and of the rules of a call that have no conditions
// all but the first.
func newIndex(policy *Policy) *index {
	ix := &index{policy: policy, starts: make([]uint32, syscalls.Count+2)}
	type named struct {
		call syscalls.Call
		rule uint16
	}
	names := make([]named, 0, 512)
	var settled [syscalls.Count + 1]bool // by a rule without conditions: the first one counts
	for i := range policy.Rules {
		for _, name := range policy.Rules[i].Names {
			if call, ok := syscalls.Lookup(name); ok {
				if len(policy.Rules[i].Conditions) == 0 {
					if settled[call] {
						continue
					}
					settled[call] = true
				}
				names = append(names, named{call, uint16(i)})
				ix.starts[call]++
			}
		}
	}
	total := uint32(0)
	for call, count := range ix.starts {
		ix.starts[call], total = total, total+count
	}
	ix.rules = make([]uint16, total)
	next := slices.Clone(ix.starts)
	for _, n := range names {
		ix.rules[next[n.call]] = n.rule
		next[n.call]++
	}
	return ix
}

// named returns the numbers of the rules that name a call, in the policy's order.
func (ix *index) named(call syscalls.Call) []uint16 {
	return ix.rules[ix.starts[call]:ix.starts[call+1]]
}

// otherwise is what happens to a call of which no rule holds.
func (ix *index) otherwise(abi *syscalls.ABI, call syscalls.Call) Action {
	if len(ix.named(call)) == 0 && ix.policy.Newest.Before(call.Since()) {
		return ix.policy.unknown(abi)
	}
	return ix.policy.Default
}

// fixed returns the action of a call that one rule names, without conditions, which is most calls of most profiles.
func (ix *index) fixed(call syscalls.Call) (Action, bool) {
	if ix.starts[call+1]-ix.starts[call] != 1 {
		return 0, false
	}
	rule := &ix.policy.Rules[ix.rules[ix.starts[call]]]
	return rule.Action, len(rule.Conditions) == 0
}

// outcome is the rules of one call on one ABI, the strictest first, of which the first one that holds decides.
type outcome struct {
	rules     []Rule
	otherwise Action
}

// constant returns the action of a call that no argument matters to.
func (o outcome) constant() (Action, bool) {
	if len(o.rules) == 0 {
		return o.otherwise, true
	}
	return o.rules[0].Action, len(o.rules[0].Conditions) == 0
}

// outcome collects the rules of a call, or of the calls that it multiplexes if no rule names it. Rules that cannot decide, because an unconditional one is as strict, are left out.
func (ix *index) outcome(abi *syscalls.ABI, call syscalls.Call) outcome {
	named := ix.named(call)
	o := outcome{otherwise: ix.otherwise(abi, call)}
	switch len(named) {
	case 0: // a call that the profile does not name, but calls that it serves
		for _, sub := range abi.Multiplexed(call) {
			o.rules = append(o.rules, ix.multiplexed(abi, sub))
		}
	case 1:
		o.rules = ix.policy.Rules[named[0] : named[0]+1]
		return o
	default:
		o.rules = make([]Rule, 0, len(named))
		for _, i := range named {
			o.rules = append(o.rules, ix.policy.Rules[i])
		}
	}
	slices.SortStableFunc(o.rules, func(a, b Rule) int { return cmp.Compare(int32(a.Action.Kind()), int32(b.Action.Kind())) })
	for i, rule := range o.rules {
		if len(rule.Conditions) == 0 {
			o.rules = o.rules[:i+1]
			break
		}
	}
	return o
}

// multiplexed is the rule of one way through socketcall(2) or ipc(2), where the profile names only the direct calls: it gets the strictest that the direct call can get. What
// socket denies to some arguments socketcall denies to all, because its arguments are in memory, where no filter sees them. (libseccomp allows socketcall for
// socket then, whatever the conditions.)
func (ix *index) multiplexed(abi *syscalls.ABI, sub syscalls.Subcall) Rule {
	worst := ix.otherwise(abi, sub.Call)
	rule := Rule{Names: []string{sub.Call.String()}, Conditions: []Condition{{Index: 0, Op: MaskedEqual, Value: uint64(sub.Number), Mask: uint64(sub.Mask)}}}
	open := true // no rule holds whatever the arguments
	var strictest *Rule
	for _, i := range ix.named(sub.Call) {
		direct := &ix.policy.Rules[i]
		if strictest == nil || direct.Action.Stricter(strictest.Action) {
			strictest = direct
		}
		open = open && len(direct.Conditions) > 0
	}
	rule.Action = worst
	if strictest != nil && (!open || strictest.Action.Stricter(worst)) {
		rule.Action, rule.Place = strictest.Action, strictest.Place
	}
	return rule
}

// Holds reports whether the condition holds for an argument as seccomp_data shows it, where the kernel reads it as t and a register has word bits.
func (c Condition) Holds(t syscalls.Type, word int, argument uint64) bool {
	v := viewOf(c, t, word)
	argument &= v.mask()
	if c.Op == MaskedEqual {
		mask, value := v.masked(c)
		return argument&mask == value
	}
	switch order := v.number(argument).compare(v.number(c.Value)); c.Op {
	case NotEqual:
		return order != 0
	case Less:
		return order < 0
	case LessEqual:
		return order <= 0
	case Equal:
		return order == 0
	case GreaterEqual:
		return order >= 0
	case Greater:
		return order > 0
	}
	return false
}

// number is an integer from -2^63 to 2^64-1.
type number struct {
	negative bool
	value    uint64 // two's complement
}

// number reads a value as the type of the view, in two's complement of its own width or of 64 bits.
func (v view) number(value uint64) number {
	sign := uint64(1) << (v.bits - 1)
	high := ^v.mask()
	if value&high == high && value&sign != 0 && v.bits < 64 && !v.signed { // (unsigned)-1 as (uint64)-1
		return number{false, value &^ high}
	}
	if !v.signed {
		return number{false, value}
	}
	if value&high == 0 && value&sign != 0 {
		value |= high
	}
	return number{value > math.MaxInt64, value}
}

func (n number) compare(m number) int {
	switch {
	case n == m:
		return 0
	case n.negative != m.negative && n.negative, n.negative == m.negative && n.value < m.value:
		return -1
	}
	return 1
}

// decide returns the rule that decides for the arguments (nil: none holds), by the direct meaning of the rules.
func (o outcome) decide(abi *syscalls.ABI, call syscalls.Call, arguments [6]uint64) (Action, *Rule) {
rules:
	for i := range o.rules {
		for _, c := range o.rules[i].Conditions {
			if !c.Holds(abi.Argument(call, c.Index), abi.Word, arguments[c.Index]) {
				continue rules
			}
		}
		return o.rules[i].Action, &o.rules[i]
	}
	return o.otherwise, nil
}
