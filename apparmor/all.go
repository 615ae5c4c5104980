// SPDX-License-Identifier: Apache-2.0

package apparmor

import "github.com/bulkhead-project/bulkhead/apparmor/syntax"

// allEntries makes what the rule "all" has in policydb: the bare rule of every kind. Its files and capabilities are made where those of others are.
func (u *unit) allEntries(rule *syntax.AllRule) []entry {
	q := rule.Qualifiers
	var entries []entry
	for _, bare := range []syntax.Rule{
		&syntax.MountRule{Qualifiers: q},
		&syntax.MountRule{Qualifiers: q, Kind: syntax.Umount},
		&syntax.PivotRootRule{Qualifiers: q},
		&syntax.NetworkRule{Qualifiers: q},
		&syntax.UnixRule{Qualifiers: q},
		&syntax.SignalRule{Qualifiers: q},
		&syntax.PtraceRule{Qualifiers: q},
		&syntax.DBusRule{Qualifiers: q},
		&syntax.UsernsRule{Qualifiers: q},
		&syntax.IOUringRule{Qualifiers: q},
		&syntax.MQueueRule{Qualifiers: q},
	} {
		made := u.policyEntries(bare)
		for i := range made {
			made[i].rule = rule
		}
		entries = append(entries, made...)
	}
	return entries
}
