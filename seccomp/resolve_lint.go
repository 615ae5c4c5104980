// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// lint finds rules of a policy that say what was hardly meant. groups has what each rule was made from.
func (p *Profile) lint(policy *Policy, groups []*group) []Warning {
	l := linter{policy: policy, at: cursor{text: p.text}, first: make([]uint16, syscalls.Count+1), other: make([]bool, syscalls.Count+1), budget: 1 << 20}
	var last *group
	for i, g := range groups {
		if g == last { // an entry that became several rules
			continue
		}
		last = g
		l.contradiction(uint16(i), g)
		for j := range g.arguments {
			l.impossible(g, &g.arguments[j])
		}
	}
	for i, g := range groups {
		if i > 0 && groups[i-1] == g {
			continue
		}
		l.superfluous(uint16(i), g)
	}
	return l.warnings
}

// linter remembers what the rules so far say of each call.
type linter struct {
	policy      *Policy
	at          cursor
	first       []uint16          // by call: 1 + the first rule without conditions
	other       []bool            // by call: some rule has another action than the default one
	lists       map[string]uint16 // numbers of lists of conditions, by their keys
	conditional map[uint32]uint16 // by list and call: the first rule
	budget      int               // comparisons that are still looked at
	warnings    []Warning
}

func (l *linter) warn(place Place, format string, values ...any) {
	switch {
	case len(l.warnings) < maximumReports:
		l.warnings = append(l.warnings, Warning{place, fmt.Sprintf(format, values...)})
	case len(l.warnings) == maximumReports:
		l.warnings = append(l.warnings, Warning{Text: "more warnings"})
	}
}

// contradiction finds rules that say something else of the same calls and conditions than an earlier one.
func (l *linter) contradiction(i uint16, g *group) {
	rule := &l.policy.Rules[i]
	var against map[uint16][]string // names by the earlier rule
	list := l.list(g.arguments)
	for k, call := range g.calls {
		l.other[call] = l.other[call] || rule.Action != l.policy.Default
		earlier := l.earlier(i, call, list)
		if earlier != i && l.policy.Rules[earlier].Action != rule.Action {
			if against == nil {
				against = map[uint16][]string{}
			}
			against[earlier] = append(against[earlier], g.names[k])
		}
	}
	if against == nil {
		return
	}
	for _, earlier := range slices.Sorted(maps.Keys(against)) {
		first := &l.policy.Rules[earlier]
		decides := first.Action
		if len(rule.Conditions) > 0 && rule.Action.Stricter(decides) {
			decides = rule.Action
		}
		l.warn(rule.Place, "%s: %s here, %s%s for the same arguments; %s counts", listed(against[earlier]), rule.Action, first.Action, first.Place.of(), decides)
	}
}

// of says where a rule stands.
func (p Place) of() string {
	if p == (Place{}) {
		return ""
	}
	return " at " + p.String()
}

// list numbers a list of conditions, from 1; no conditions are 0.
func (l *linter) list(arguments []argument) uint16 {
	if len(arguments) == 0 {
		return 0
	}
	if l.lists == nil {
		l.lists, l.conditional = map[string]uint16{}, map[uint32]uint16{}
	}
	key := string(conditionsKey(arguments))
	if l.lists[key] == 0 {
		l.lists[key] = uint16(len(l.lists) + 1)
	}
	return l.lists[key]
}

// earlier returns the first rule with these conditions on a call, which is this one if there was none.
func (l *linter) earlier(i uint16, call syscalls.Call, list uint16) uint16 {
	if list == 0 {
		if l.first[call] == 0 {
			l.first[call] = i + 1
		}
		return l.first[call] - 1
	}
	key := uint32(list)<<16 | uint32(call)
	if earlier, ok := l.conditional[key]; ok {
		return earlier
	}
	l.conditional[key] = i
	return i
}

// conditionsKey is the same for the same conditions in any order.
func conditionsKey(arguments []argument) []byte {
	sorted := arguments
	if len(arguments) > 1 {
		sorted = slices.Clone(arguments)
	}
	slices.SortFunc(sorted, func(a, b argument) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Op, b.Op), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Mask, b.Mask), cmp.Compare(a.Width, b.Width))
	})
	key := make([]byte, 0, 19*len(sorted))
	for _, a := range sorted {
		key = append(key, byte(a.Index), byte(a.Op), byte(a.Width))
		key = binary.LittleEndian.AppendUint64(key, a.Value)
		key = binary.LittleEndian.AppendUint64(key, a.Mask)
	}
	return key
}

// superfluous finds rules that only repeat the default action.
func (l *linter) superfluous(i uint16, g *group) {
	rule := &l.policy.Rules[i]
	if rule.Action != l.policy.Default {
		return
	}
	for _, call := range g.calls {
		if l.other[call] {
			return
		}
	}
	l.warn(rule.Place, "%s: %s is the default action", listed(g.names), rule.Action)
}

// impossible finds values that no ABI's argument can have, so that a comparison with them says nothing.
func (l *linter) impossible(g *group, a *argument) {
	if a.Op == MaskedEqual || a.Width == 64 {
		return
	}
	var impossible, certain []string
	for k, call := range g.calls {
		if l.budget -= len(l.policy.ABIs); l.budget < 0 {
			return
		}
		switch l.holds(a.Condition, call) {
		case never:
			impossible = append(impossible, g.names[k])
		case ever:
			certain = append(certain, g.names[k])
		}
	}
	if impossible != nil {
		l.warn(l.at.place(a.offset), "%s: %s %d never holds of argument %d, as the kernel reads it", listed(impossible), a.Op.OCI(), a.Value, a.Index)
	}
	if certain != nil {
		l.warn(l.at.place(a.offset), "%s: %s %d always holds of argument %d, as the kernel reads it", listed(certain), a.Op.OCI(), a.Value, a.Index)
	}
}

// How often a comparison holds.
const (
	never = 1 << iota
	ever
	sometimes = never | ever
)

// holds says for which values of a call's argument an ordering condition holds, over all ABIs that have the call.
func (l *linter) holds(c Condition, call syscalls.Call) (often int) {
	var last view
	for _, abi := range l.policy.ABIs {
		if _, ok := abi.Number(call); !ok {
			continue
		}
		v := viewOf(c, abi.Argument(call, c.Index), abi.Word)
		if v == last {
			continue
		}
		last = v
		switch values := v.values(c); {
		case len(values) == 0:
			often |= never
		case values[0].low == 0 && values[len(values)-1].high == v.mask() && (len(values) == 1 || len(values) == 2 && values[0].high+1 == values[1].low):
			often |= ever
		default:
			return sometimes
		}
	}
	if often == 0 { // a call that none of the ABIs has
		return sometimes
	}
	return often
}
