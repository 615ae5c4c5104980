// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

const usernsCreate = 0x8

// usernsEntries encodes a rule as its class alone: the kernel asks nothing more of it.
func (u *unit) usernsEntries(rule *syntax.UsernsRule) []entry {
	perms := u.accessBits(rule, "userns", rule.Access, map[string]uint32{"create": usernsCreate}, usernsCreate)
	if !u.classes.userns {
		u.lost(rule, "user namespaces", true)
		return nil
	}
	class := dfa.Literal(string(rune(classNamespace)))
	return []entry{u.entry(rule, perms, class)}
}
