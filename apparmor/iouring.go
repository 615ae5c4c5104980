// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

const (
	ioUringOverrideCreds = 0x8
	ioUringSQPoll        = 0x10
	ioUringAll           = ioUringOverrideCreds | ioUringSQPoll
)

// ioUringEntries encodes a rule as
//
//	22           for sqpoll, and for override_creds of the task's own label
//	22 label     for override_creds of another
func (u *unit) ioUringEntries(rule *syntax.IOUringRule) []entry {
	perms := u.accessBits(rule, "io_uring", rule.Access, map[string]uint32{"sqpoll": ioUringSQPoll, "override_creds": ioUringOverrideCreds}, ioUringAll)
	if !u.classes.ioUring {
		u.lost(rule, "io_uring", perms == ioUringAll && rule.Label == nil)
		return nil
	}
	class := dfa.Literal(string(rune(classIOUring)))
	entries := []entry{u.entry(rule, perms, class)}
	if perms&ioUringOverrideCreds != 0 {
		entries = append(entries, u.entry(rule, perms, class, u.patternOr(rule, rule.Label, dfa.PlainGlob, anyText)))
	}
	return entries
}
