// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

const (
	dbusSend      = 0x2
	dbusReceive   = 0x4
	dbusEavesdrop = 0x20
	dbusBind      = 0x40
	dbusMessage   = dbusSend | dbusReceive
	dbusAll       = dbusMessage | dbusEavesdrop | dbusBind
)

func dbusAccess() map[string]uint32 {
	return map[string]uint32{
		"send": dbusSend, "write": dbusSend, "w": dbusSend, "receive": dbusReceive, "read": dbusReceive, "r": dbusReceive,
		"rw": dbusMessage, "wr": dbusMessage, "bind": dbusBind, "eavesdrop": dbusEavesdrop,
	}
}

// dbusEntries encodes a rule for what the bus asks (the kernel does not look inside):
//
//	32 bus 0 name                                         bind
//	32 bus 0 peer name 0 peer label 0 path 0 interface 0 member    send, receive
//	32 bus                                                eavesdrop
func (u *unit) dbusEntries(rule *syntax.DBusRule) []entry {
	perms := u.dbusPermissions(rule)
	if !u.classes.dbus {
		u.lost(rule, "D-Bus", perms == dbusAll && rule.Bus == nil)
		return nil
	}
	word := func(w *syntax.Word, kind dfa.GlobKind) dfa.Pattern { return u.patternOr(rule, w, kind, anyText) }
	bus := dfa.Concat(dfa.Literal(string(rune(classDBus))), word(rule.Bus, dfa.PlainGlob))
	var entries []entry
	if perms&dbusBind != 0 {
		entries = append(entries, u.entry(rule, perms&dbusBind, bus, zero, word(rule.Name, dfa.PlainGlob)))
	}
	if perms&dbusMessage != 0 {
		entries = append(entries, u.entry(rule, perms&dbusMessage, bus,
			zero, word(rule.PeerName, dfa.PlainGlob), zero, word(rule.PeerLabel, dfa.PlainGlob),
			zero, word(rule.Path, dfa.PathGlob), zero, word(rule.Interface, dfa.PlainGlob), zero, word(rule.Member, dfa.PlainGlob)))
	}
	if perms&dbusEavesdrop != 0 {
		entries = append(entries, u.entry(rule, perms&dbusEavesdrop, bus))
	}
	return entries
}

// dbusPermissions are those of the rule; where it names none, those that its conditions are about.
func (u *unit) dbusPermissions(rule *syntax.DBusRule) uint32 {
	message := rule.Path != nil || rule.Interface != nil || rule.Member != nil || rule.PeerName != nil || rule.PeerLabel != nil
	service := rule.Name != nil
	implied := uint32(dbusAll)
	switch {
	case message:
		implied = dbusMessage
	case service:
		implied = dbusBind
	}
	perms := u.accessBits(rule, "dbus", rule.Access, dbusAccess(), implied)
	switch {
	case message && service:
		u.report(rule, "a dbus rule is about messages (path, interface, member, peer) or about a service (name), not both")
	case message && perms&dbusBind != 0:
		u.report(rule, "dbus bind does not go with path, interface, member or peer")
	case service && perms&dbusMessage != 0:
		u.report(rule, "dbus send and receive do not go with name; the peer's is peer=(name=...)")
	case (message || service) && perms&dbusEavesdrop != 0:
		u.report(rule, "dbus eavesdrop goes with bus only")
	}
	return perms
}
