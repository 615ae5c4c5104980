// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

const (
	mqueueWrite   = 0x2
	mqueueRead    = 0x4
	mqueueCreate  = 0x10
	mqueueDelete  = 0x20
	mqueueOpen    = 0x40
	mqueueSetattr = 1 << otherBit
	mqueueGetattr = 2 << otherBit
	mqueueAll     = mqueueWrite | mqueueRead | mqueueCreate | mqueueDelete | mqueueOpen | mqueueSetattr | mqueueGetattr
)

func mqueueAccess() map[string]uint32 {
	return map[string]uint32{
		"r": mqueueRead, "read": mqueueRead, "w": mqueueWrite, "write": mqueueWrite, "rw": mqueueRead | mqueueWrite, "wr": mqueueRead | mqueueWrite,
		"create": mqueueCreate, "open": mqueueOpen, "delete": mqueueDelete, "setattr": mqueueSetattr, "getattr": mqueueGetattr,
	}
}

// mqueueEntries encodes a rule as
//
//	17 name               POSIX: the name is a path
//	18 key                System V: four bytes, the most significant first
//
// each followed by 0 label of the queue, and without one where the rule names no label: a queue that is created has none yet.
func (u *unit) mqueueEntries(rule *syntax.MQueueRule) []entry {
	perms := u.accessBits(rule, "mqueue", rule.Access, mqueueAccess(), mqueueAll)
	posix, sysv := rule.Type != "sysv", rule.Type != "posix"
	var key *uint32
	if rule.Name != nil {
		if number, err := strconv.ParseUint(rule.Name.Text, 10, 31); err == nil {
			value := uint32(number)
			key, posix = &value, false
		} else if strings.HasPrefix(rule.Name.Text, "/") {
			sysv = false
		} else {
			u.report(rule, "message queue %q: a POSIX queue's name begins with /, a System V queue's is a positive number", rule.Name.Text)
			return nil
		}
		if !posix && !sysv {
			u.report(rule, "message queue %q is not of type %s", rule.Name.Text, rule.Type)
			return nil
		}
	}
	c := u.classes
	if posix && !c.posixMQ || !posix && !c.sysvMQ {
		u.lost(rule, "message queues", perms == mqueueAll && rule.Label == nil && rule.Name == nil)
		return nil
	}
	var entries []entry
	if posix {
		name := u.patternOr(rule, rule.Name, dfa.PlainGlob, anyText)
		entries = append(entries, u.queueEntries(rule, perms, dfa.Literal(string(rune(classPOSIXMQ))), name)...)
	}
	if sysv {
		name := dfa.Concat(anyByte, anyByte, anyByte, anyByte)
		if key != nil {
			name = dfa.Literal(string(binary.BigEndian.AppendUint32(nil, *key)))
		}
		entries = append(entries, u.queueEntries(rule, perms, dfa.Literal(string(rune(classSysVMQ))), name)...)
	}
	return entries
}

func (u *unit) queueEntries(rule *syntax.MQueueRule, perms uint32, class, name dfa.Pattern) []entry {
	if rule.Label != nil {
		return []entry{u.entry(rule, perms, class, name, zero, u.pattern(rule, *rule.Label, dfa.PlainGlob))}
	}
	return []entry{u.entry(rule, perms, class, name), u.entry(rule, perms, class, name, zero, anyLabel)}
}
