// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"context"
	"fmt"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// policyLine is one rule that was found in the policy's automaton: what follows its class, and the permissions as the accept words have them, seven bits and
// behind them the seven from bit 14 on.
type policyLine struct {
	class byte
	glob  glob
	parts []glob // of the glob, which NULs separate
	perms uint32
	deny  bool
	audit bool
}

const policyBits = 0x3fff

// packed are the fourteen bits of a word of the accept tables that policydb uses.
func packed(word uint32) uint64 { return uint64(word&0x7f | word>>otherBit&0x7f<<7) }

// unpacked undoes packed.
func unpacked(bits uint64) uint32 { return uint32(bits&0x7f | bits>>7&0x7f<<otherBit) }

// classCover finds the globs of one class, those of deny rules and those of the others.
func classCover(ctx context.Context, rules *binary.Rules, class byte) ([]policyLine, bool, error) {
	a := rules.Automaton
	start := a.Step(startState(rules), class)
	const mediates = uint64(permRead) // of the class's byte alone, which is no rule
	begin := func(need, may func(accept dfa.Accept) uint64) *cover {
		c := &cover{automaton: a, start: start, noZero: class != classSignal, choose: lowestSet}
		for _, accept := range a.Accept {
			c.need, c.may = append(c.need, need(accept)), append(c.may, may(accept))
		}
		c.extra = []dfa.Rule{{Pattern: dfa.Empty(), Tag: 0}}
		c.bits = []uint64{mediates}
		if class == classSignal {
			c.few = func(place int) int { return min(place, 1) * 2 }
		}
		if class == classMount {
			c.flags = mountFlagsAt
		}
		return c
	}
	quiet := func(accept dfa.Accept) uint64 { return packed(accept.Two >> quietShift) }
	denials := begin(quiet, quiet)
	if ok, err := denials.run(ctx); !ok || err != nil {
		return nil, false, err
	}
	allowed := begin(
		func(accept dfa.Accept) uint64 {
			return packed(accept.One) | packed(accept.Two)&packed(accept.One)<<auditBits
		},
		func(accept dfa.Accept) uint64 {
			return packed(accept.One) | quiet(accept) | packed(accept.Two)<<auditBits
		})
	if class == classMount {
		allowed.ignoreData()
	}
	allowed.choose = func(missing, may uint64) uint64 {
		if audited := missing >> auditBits; audited != 0 {
			return audited | audited<<auditBits
		}
		return missing
	}
	if ok, err := allowed.run(ctx); !ok || err != nil {
		return nil, false, err
	}
	var lines []policyLine
	for _, one := range allowed.found {
		lines = append(lines, policyLine{class: class, glob: one.glob, perms: unpacked(one.bits & policyBits), audit: one.bits>>auditBits != 0})
	}
	for _, one := range denials.found {
		lines = append(lines, policyLine{class: class, glob: one.glob, perms: unpacked(one.bits), deny: true})
	}
	for i := range lines {
		lines[i].parts = splitGlob(lines[i].glob)
	}
	return lines, true, nil
}

func lowestSet(missing, _ uint64) uint64 { return missing }

// ignoreData takes the bit by which mounts have their data logged out of what is looked for: rules for operations with data bring it.
func (c *cover) ignoreData() {
	const data = uint64(mountAuditData) << auditBits
	for state := range c.need {
		c.need[state] &^= data | mountAuditData
		c.may[state] |= data
	}
}

// splitGlob parts a glob where NULs separate the words of a rule.
func splitGlob(g glob) []glob {
	parts := []glob{nil}
	for _, p := range g {
		if b, ok := p.only(); ok && b == 0 {
			parts = append(parts, nil)
			continue
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], p)
	}
	return parts
}

// mountFlagsAt is the place of the flags in a glob of a mount: behind the third NUL.
func mountFlagsAt(g glob) int {
	zeros := 0
	for i := range g {
		if b, ok := g[i].only(); ok && b == 0 {
			if zeros++; zeros == 3 {
				return i + 1
			}
		}
	}
	return -1
}

// isAny reports whether a part is any string, and with some whether it may be only any that is not empty.
func isAny(g glob, some bool) bool {
	if len(g) == 1 {
		return g[0].repeat == anyBytes
	}
	return some && len(g) == 2 && g[0].repeat == once && g[0].set == wildSet(true) && g[1].repeat == anyBytes
}

// names are the words of an access list for permissions, in the order of the list that is preferred; none where that is all. It is false where a bit has no word.
func names(perms uint32, preferred string, known map[string]uint32, all uint32) (string, bool) {
	if perms == all {
		return "", true
	}
	var found []string
	for _, word := range strings.Fields(preferred) {
		if bit := known[word]; perms&bit == bit {
			found = append(found, word)
			perms &^= bit
		}
	}
	return list(found), perms == 0
}

// text is the rule in the language. It is false where the language has none for it.
func (l *policyLine) text() (string, bool) {
	qualifiers := words(ifTrue(l.audit, "audit"), ifTrue(l.deny, "deny"))
	var rule string
	var ok bool
	switch l.class {
	case classMount:
		rule, ok = l.mountText()
	case classSignal:
		rule, ok = l.signalText()
	case classPtrace:
		rule, ok = l.labelRule("ptrace", "read trace readby tracedby", ptraceAccess(), ptraceAll, "peer", 0)
	case classNamespace:
		rule, ok = "userns", len(l.glob) == 0 && l.perms == usernsCreate
	case classIOUring:
		rule, ok = l.ringText()
	case classPOSIXMQ, classSysVMQ:
		rule, ok = l.queueText()
	case classDBus:
		rule, ok = l.busText()
	}
	return words(qualifiers, rule) + ",", ok
}

func (l *policyLine) labelRule(keyword, preferred string, access map[string]uint32, all uint32, key string, at int) (string, bool) {
	list, ok := names(l.perms, preferred, access, all)
	if !ok || len(l.parts) != 1 {
		return "", false
	}
	label := l.parts[0][at:]
	if isAny(label, true) {
		return words(keyword, list), true
	}
	return words(keyword, list, key+"="+label.word()), true
}

func (l *policyLine) signalText() (string, bool) {
	if len(l.glob) == 0 || l.glob[0].repeat != once {
		return "", false
	}
	rule, ok := l.labelRule("signal", "send receive", signalAccess(), signalAll, "peer", 1)
	set := l.glob[0].set
	if !ok || set.len() == 256 {
		return rule, ok
	}
	var list []string
	for number := range 256 {
		if !set.has(byte(number)) {
			continue
		}
		switch {
		case number < len(signalNames) && signalNames[number] != "":
			list = append(list, signalNames[number])
		case number >= signalRealtime && number <= signalRealtime+mostRealtime:
			list = append(list, fmt.Sprintf("rtmin+%d", number-signalRealtime))
		default:
			return "", false
		}
	}
	keyword, rest, peer := strings.Cut(rule, " peer=")
	rule = words(keyword, "set=("+strings.Join(list, ",")+")")
	if peer {
		rule += " peer=" + rest
	}
	return rule, true
}

func (l *policyLine) ringText() (string, bool) {
	const sqpoll, override = 0x10, 0x8
	switch {
	case len(l.glob) == 0 && l.perms == sqpoll:
		return "io_uring sqpoll", true
	case len(l.glob) == 0 && l.perms == sqpoll|override:
		return "io_uring", true
	case len(l.glob) > 0 && l.perms == override:
		return l.labelRule("io_uring override_creds", "", nil, override, "label", 0)
	}
	return "", false
}

func (l *policyLine) queueText() (string, bool) {
	list, ok := names(l.perms, "create open delete read write getattr setattr", mqueueAccess(), mqueueAll)
	if !ok || l.class == classSysVMQ || len(l.parts) > 2 {
		return "", false
	}
	name, label := "", ""
	if !isAny(l.parts[0], false) {
		name = l.parts[0].word()
	}
	if len(l.parts) == 2 && !isAny(l.parts[1], true) {
		label = "label=" + l.parts[1].word()
	}
	return words("mqueue", list, "type=posix", label, name), true
}

func (l *policyLine) busText() (string, bool) {
	word := func(key string, at int) string {
		if isAny(l.parts[at], false) {
			return ""
		}
		return key + "=" + l.parts[at].word()
	}
	bus := word("bus", 0)
	switch {
	case len(l.parts) == 1 && l.perms == dbusEavesdrop:
		return words("dbus eavesdrop", bus), true
	case len(l.parts) == 2 && l.perms == dbusBind:
		return words("dbus bind", bus, word("name", 1)), true
	case len(l.parts) == 6 && l.perms&^dbusMessage == 0:
		list, _ := names(l.perms, "send receive", dbusAccess(), 0)
		peer := words(word("name", 1), word("label", 2))
		return words("dbus", list, bus, word("path", 3), word("interface", 4), word("member", 5), ifTrue(peer != "", "peer=("+peer+")")), true
	}
	return "", false
}
