// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// A string that the kernel asks policydb about begins with the byte of its class (security/apparmor/include/apparmor.h).
const (
	classFile      = 2
	classNetwork   = 4 // of kernels before network_v8; AF_UNIX there is finely mediated where network/af_unix is
	classMount     = 7
	classPtrace    = 9
	classSignal    = 10
	classNetworkV8 = 14
	classLabel     = 16 // before another class's byte: the peer is a label of several profiles
	classPOSIXMQ   = 17
	classSysVMQ    = 18
	classNamespace = 21
	classIOUring   = 22
	classDBus      = 32
)

// The bits of policydb's first accept word that every class has a meaning for. Those from bit 14 on are what the kernel calls other, by which it
// has room for more permissions of sockets and queues (map_other of security/apparmor/include/perms.h).
const (
	mayRead  = 0x4 // that a class is mediated: the kernel looks whether its byte leads anywhere
	otherBit = 14
)

// classes says which kinds of objects are mediated by policydb.
type classes struct {
	mount, ptrace, signal, dbus, userns, ioUring, posixMQ, sysvMQ bool

	network   bool // by family and type only, a table beside policydb
	networkV8 bool // by class 14
	unix      bool // addresses, too
}

func mediated(f Features) classes {
	return classes{
		mount: f.Has("mount"), ptrace: f.Has("ptrace"), signal: f.Has("signal"), dbus: f.Has("dbus"),
		userns: f.Lists("namespaces/mask", "userns_create"), ioUring: f.Has("io_uring"), posixMQ: f.Has("ipc/posix_mqueue"),
		sysvMQ:  f.Has("ipc/sysv_mqueue"),
		network: f.Has("network/af_mask"), networkV8: f.Has("network_v8"), unix: f.Yes("network/af_unix"),
	}
}

// unixClass is the class that asks about addresses of unix sockets.
func (c classes) unixClass() byte {
	if c.networkV8 {
		return classNetworkV8
	}
	return classNetwork
}

// policyEntries makes the entries that a rule has in policydb: none for rules of other kinds, and for rules that the target has no class for.
func (u *unit) policyEntries(rule syntax.Rule) []entry {
	switch head := rule.Head(); {
	case head.KillTask:
		u.lack(rule, "the target cannot kill for single rules: what this one is about is denied")
	case head.Prompt:
		u.lack(rule, "the target cannot ask: what this rule is about is denied")
	}
	switch rule := rule.(type) {
	case *syntax.MountRule:
		return u.mountEntries(rule)
	case *syntax.PivotRootRule:
		return u.pivotRootEntries(rule)
	case *syntax.NetworkRule:
		return u.networkEntries(rule)
	case *syntax.UnixRule:
		return u.unixEntries(rule)
	case *syntax.SignalRule:
		return u.signalEntries(rule)
	case *syntax.PtraceRule:
		return u.ptraceEntries(rule)
	case *syntax.DBusRule:
		return u.dbusEntries(rule)
	case *syntax.UsernsRule:
		return u.usernsEntries(rule)
	case *syntax.IOUringRule:
		return u.ioUringEntries(rule)
	case *syntax.MQueueRule:
		return u.mqueueEntries(rule)
	case *syntax.AllRule:
		return u.allEntries(rule)
	}
	return nil
}

// mediates makes the entries, of no rule, by which the kernel knows that a class is mediated: what it finds no such entry of is allowed. The mode
// default_allow is that there are none.
func (u *unit) mediates() []entry {
	if u.profile.Flags.Mode == syntax.DefaultAllow {
		return nil
	}
	c := u.classes
	var entries []entry
	add := func(present bool, text string) {
		if present {
			entries = append(entries, entry{pattern: dfa.Literal(text), perms: mayRead, priority: aboveAll})
		}
	}
	add(u.features.Has("policy/versions/v6") || u.features.Has("policy/versions/v7"), string(rune(classFile))) // sockets in the file system, when they are connected to
	add(c.mount, string(rune(classMount)))
	add(c.dbus, string(rune(classDBus)))
	add(c.signal, string(rune(classSignal)))
	add(c.ptrace, string(rune(classPtrace)))
	add(c.networkV8, string(rune(classNetworkV8)))
	add(c.unix && c.network, string(rune(classNetwork)))
	// Where AF_UNIX of class 4 is meant apparmor_parser writes digits. No kernel asks about the class of the number of the digit 4, so it says nothing;
	// it is here for the automata to be equal.
	add(c.unix, "4\x001")
	add(c.userns, string(rune(classNamespace)))
	add(c.ioUring, string(rune(classIOUring)))
	add(c.posixMQ, string(rune(classPOSIXMQ)))
	add(c.sysvMQ, string(rune(classSysVMQ)))
	return entries
}

// aboveAll is over every priority that a rule can have.
const aboveAll = 1001

// entry makes an entry of a rule with what its qualifiers say.
func (u *unit) entry(rule syntax.Rule, perms uint32, parts ...dfa.Pattern) entry {
	head := rule.Head()
	e := entry{
		pattern: dfa.Concat(parts...), rule: rule, perms: perms,
		deny: head.Deny, quiet: quietly(head), prompt: head.Prompt, priority: head.Priority,
	}
	if head.Audit && !head.Deny {
		e.audit = perms
	}
	return e
}

// quietly reports whether the rule denies without a line in the log.
func quietly(head *syntax.Qualifiers) bool {
	return head.Quiet || head.Deny && !head.Audit && !head.KillTask
}

// pattern reads a word of a rule as a glob, in every way that its variables allow. What cannot be read is reported and matches nothing.
func (u *unit) pattern(rule syntax.Rule, word syntax.Word, kind dfa.GlobKind) dfa.Pattern {
	var choices []dfa.Pattern
	for _, text := range u.expand(word) {
		glob, err := dfa.Glob(text, kind)
		if err != nil {
			u.report(rule, "pattern %q: %v", text, err)
			continue
		}
		choices = append(choices, glob)
	}
	return dfa.Alternate(choices...)
}

// patternOr is the pattern of a word where there is one.
func (u *unit) patternOr(rule syntax.Rule, word *syntax.Word, kind dfa.GlobKind, none dfa.Pattern) dfa.Pattern {
	if word == nil {
		return none
	}
	return u.pattern(rule, *word, kind)
}

// The patterns that stand for what a rule does not say.
var (
	zero     = dfa.Literal("\x00")
	anyByte  = dfa.OneOf(func(byte) bool { return true })
	nonZero  = dfa.OneOf(func(b byte) bool { return b != 0 })
	anyText  = dfa.Star(nonZero)                      // a string, which may be empty
	anyLabel = dfa.Concat(nonZero, dfa.Star(nonZero)) // labels are not empty
)

// optional matches the pattern or nothing.
func optional(p dfa.Pattern) dfa.Pattern { return dfa.Alternate(p, dfa.Empty()) }

// oneOf matches one of the bytes.
func oneOf(bytes []byte) dfa.Pattern {
	var in [256]bool
	for _, b := range bytes {
		in[b] = true
	}
	return dfa.OneOf(func(b byte) bool { return in[b] })
}

// lost says that the target has no class for the rule. A rule that allows everything of its class loses nothing by that.
func (u *unit) lost(rule syntax.Rule, class string, everything bool) {
	head := rule.Head()
	if everything && !head.Deny && !head.Audit && !head.Prompt {
		return
	}
	if mediated(u.kernel) != u.classes {
		u.lack(rule, "the target, or the policy's abi, does not mediate %s", class)
		return
	}
	u.lack(rule, "the target does not mediate %s", class)
}

// accessBits sums the bits of the words of an access list; none stands for all.
func (u *unit) accessBits(rule syntax.Rule, kind string, words []string, bits map[string]uint32, all uint32) uint32 {
	if len(words) == 0 {
		return all
	}
	var sum uint32
	for _, word := range words {
		bit, ok := bits[word]
		if !ok {
			u.report(rule, "unknown %s access %q", kind, word)
		}
		sum |= bit
	}
	return sum
}
