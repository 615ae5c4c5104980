// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

const (
	ptraceTrace    = 0x2
	ptraceRead     = 0x4
	ptraceTracedBy = 0x8
	ptraceReadBy   = 0x10
	ptraceAll      = ptraceTrace | ptraceRead | ptraceTracedBy | ptraceReadBy
)

func ptraceAccess() map[string]uint32 {
	return map[string]uint32{
		"trace": ptraceTrace, "write": ptraceTrace, "w": ptraceTrace, "read": ptraceRead, "r": ptraceRead, "rw": ptraceRead | ptraceTrace,
		"wr": ptraceRead | ptraceTrace, "tracedby": ptraceTracedBy, "readby": ptraceReadBy,
	}
}

// ptraceEntries encodes a rule as
//
//	[16] 9 peer
func (u *unit) ptraceEntries(rule *syntax.PtraceRule) []entry {
	perms := u.accessBits(rule, "ptrace", rule.Access, ptraceAccess(), ptraceAll)
	if !u.classes.ptrace {
		u.lost(rule, "ptrace", perms == ptraceAll && rule.Peer == nil)
		return nil
	}
	peer := u.patternOr(rule, rule.Peer, dfa.PlainGlob, anyLabel)
	return []entry{u.entry(rule, perms, optional(dfa.Literal(string(rune(classLabel)))), dfa.Literal(string(rune(classPtrace))), peer)}
}
