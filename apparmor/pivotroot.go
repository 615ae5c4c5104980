// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

const mountPivotRoot = 0x1

// pivotRootEntries encodes a rule as
//
//	7 new root 0 where the old one goes
//
// The kernel leaves the process in its profile whatever the rule says, so that a rule that names another one cannot be kept.
func (u *unit) pivotRootEntries(rule *syntax.PivotRootRule) []entry {
	if !u.classes.mount {
		u.lost(rule, "pivot_root", rule.NewRoot == nil && rule.OldRoot == nil && rule.Profile == nil)
		return nil
	}
	if rule.Profile != nil {
		u.lack(rule, "no kernel changes the profile at pivot_root: the process stays in its own")
	}
	return []entry{u.entry(rule, mountPivotRoot, dfa.Literal(string(rune(classMount))),
		u.patternOr(rule, rule.NewRoot, dfa.PathGlob, anyText), zero, u.patternOr(rule, rule.OldRoot, dfa.PathGlob, anyText))}
}
