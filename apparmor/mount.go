// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

const (
	mountMount     = 0x2
	mountUmount    = 0x4
	mountAuditData = 0x40 // of audit: log the data string, too
)

// The flags of mount(2), as include/uapi/linux/mount.h has them.
const (
	flagReadOnly = 1 << iota
	flagNoSUID
	flagNoDev
	flagNoExec
	flagSynchronous
	flagRemount
	flagMandatoryLock
	flagDirSync
	flagNoSymfollow
	_
	flagNoAtime
	flagNoDirAtime
	flagBind
	flagMove
	flagRecursive
	flagSilent
	flagACL
	flagUnbindable
	flagPrivate
	flagSlave
	flagShared
	flagRelatime
	_
	flagIVersion
	flagStrictAtime
	flagLazyTime
)

// The flags that decide what the kernel does, and those that it then looks at.
const (
	flagsPropagation = flagUnbindable | flagPrivate | flagSlave | flagShared
	mountTriggers    = flagRemount | flagBind | flagMove | flagsPropagation // what makes it no new mount

	flagsNew = flagReadOnly | flagNoSUID | flagNoDev | flagNoExec | flagSynchronous | flagMandatoryLock | flagDirSync | flagNoSymfollow | flagNoAtime |
		flagNoDirAtime | flagSilent | flagACL | flagRelatime | flagIVersion | flagStrictAtime | flagLazyTime
	flagsRemount = flagsNew | flagRemount | flagBind | flagRecursive | flagsPropagation
	flagsBind    = flagBind | flagRecursive
	flagsMove    = flagMove

	// flagsChange has flags that the kernel does not look at either: a rule with one of them is for no change of propagation, as in the reference.
	flagsChange = flagReadOnly | flagSynchronous | flagRemount | flagMandatoryLock | flagDirSync | flagNoSymfollow | flagBind | flagMove | flagRecursive |
		flagSilent | flagACL | flagsPropagation | flagIVersion | flagLazyTime
)

// option is what a word of options= sets, or, where it is the opposite of a flag, what it rules out.
type option struct{ set, clear uint32 }

// mountOptions are the words of options=.
func mountOptions() map[string]option {
	options := map[string]option{
		"silent": {set: flagSilent}, "verbose": {set: flagSilent}, "loud": {clear: flagSilent}, "remount": {set: flagRemount},
		"bind": {set: flagBind}, "B": {set: flagBind}, "rbind": {set: flagBind | flagRecursive}, "R": {set: flagBind | flagRecursive},
		"move": {set: flagMove}, "M": {set: flagMove},
		"user": {}, "nouser": {}, // of mount(8), which does not pass them on
	}
	pairs := []struct {
		flag    uint32
		on, off string
	}{
		{flagReadOnly, "ro r read-only", "rw w"}, {flagNoSUID, "nosuid", "suid"}, {flagNoDev, "nodev", "dev"}, {flagNoExec, "noexec", "exec"},
		{flagSynchronous, "sync", "async"}, {flagMandatoryLock, "mand", "nomand"}, {flagDirSync, "dirsync", ""}, {flagNoSymfollow, "nosymfollow", "symfollow"},
		{flagNoAtime, "noatime", "atime"}, {flagNoDirAtime, "nodiratime", "diratime"}, {flagACL, "acl", "noacl"}, {flagRelatime, "relatime", "norelatime"},
		{flagIVersion, "iversion", "noiversion"}, {flagStrictAtime, "strictatime", "nostrictatime"}, {flagLazyTime, "lazytime", "nolazytime"},
	}
	for _, pair := range pairs {
		for _, word := range strings.Fields(pair.on) {
			options[word] = option{set: pair.flag}
		}
		for _, word := range strings.Fields(pair.off) {
			options[word] = option{clear: pair.flag}
		}
	}
	for word, flag := range map[string]uint32{"unbindable": flagUnbindable, "private": flagPrivate, "slave": flagSlave, "shared": flagShared} {
		for _, prefix := range []string{"", "make-"} {
			options[prefix+word] = option{set: flag}
			options[prefix+"r"+word] = option{set: flag | flagRecursive}
		}
	}
	return options
}

// mountFlags are the flags of one options=: all of exact, and any of those that options in names.
type mountFlags struct {
	any             bool // the rule has no options
	exact, optional uint32
}

// mountOperation is one of the five things that mount(2) does.
type mountOperation struct {
	trigger uint32 // the flags of which one makes it this operation; 0 for a new mount
	looksAt uint32 // the flags that the kernel matches, but for some that it never passes
	source  bool   // it has a source
	typed   bool   // it has a file system type
	data    bool
}

// mountOperations are those operations in the order in which the kernel decides between them (apparmor_sb_mount).
func mountOperations() []mountOperation {
	return []mountOperation{
		{trigger: flagRemount, looksAt: flagsRemount, data: true},
		{trigger: flagBind, looksAt: flagsBind, source: true},
		{trigger: flagsPropagation, looksAt: flagsChange},
		{trigger: flagMove, looksAt: flagsMove, source: true},
		{looksAt: flagsNew, source: true, typed: true, data: true},
	}
}

// hasData reports whether the operation has data. A new mount that comes of nothing but the flags of other operations being optional is none that the
// rule is about, and its data is not logged.
func (o mountOperation) hasData(flags mountFlags) bool {
	const without = mountTriggers &^ flagRemount
	return o.data && (o.trigger != 0 || (flags.exact|flags.optional)&(flagsNew|flagRemount) != 0 || flags.optional&without == 0)
}

// mountEntries encodes a mount or remount rule as
//
//	7 mountpoint 0 source 0 type 0 flags
//
// where flags is a byte for each flag, its bit's number and one, ascending; and an umount rule as
//
//	7 mountpoint
//
// The rule becomes an entry for every operation that its flags may be of. Each has only the flags that the kernel looks at in that operation, and the
// rule is for no operation that comes after one whose flag it must have: options=(ro,bind) allows to bind, not to mount anew what is named so.
func (u *unit) mountEntries(rule *syntax.MountRule) []entry {
	if !u.classes.mount {
		u.lost(rule, "mount", len(rule.Conditions) == 0 && rule.Source == nil && rule.MountPoint == nil)
		return nil
	}
	class := dfa.Literal(string(rune(classMount)))
	if rule.Kind == syntax.Umount {
		if len(rule.Conditions) > 0 {
			u.warn(rule, "the kernel does not tell umounts apart by %s: the rule is for all of them", rule.Conditions[0].Key)
		}
		point := rule.MountPoint
		if point == nil {
			point = rule.Source
		}
		return []entry{u.entry(rule, mountUmount, class, u.patternOr(rule, point, dfa.PathGlob, anyText))}
	}
	variants, ok := u.mountVariants(rule)
	if !ok {
		return nil
	}
	var entries []entry
	for _, flags := range variants {
		made := u.mountVariant(rule, class, flags)
		if len(made) == 0 {
			u.report(rule, "no mount is like that: %s", impossibleMount(rule, flags))
		}
		entries = append(entries, made...)
	}
	return entries
}

// mountVariants reads the options: each options= is one, with those of every options in as what may be there beside. An option of options in that is the
// opposite of a flag lets the flag be there or not; and options in alone is for mounts without any flag, too. apparmor.d(5) says otherwise of both,
// the parsers all do it.
func (u *unit) mountVariants(rule *syntax.MountRule) (variants []mountFlags, ok bool) {
	ok = true
	known := mountOptions()
	var exact []option
	var optional uint32
	given := false
	for _, condition := range rule.Conditions {
		if condition.Key != "options" && condition.Key != "option" {
			continue
		}
		given = true
		var sum option
		for _, word := range condition.Values {
			option, found := known[word.Text]
			if !found {
				u.report(rule, "unknown mount option %q", word.Text)
				ok = false
			}
			sum.set |= option.set
			sum.clear |= option.clear
		}
		switch {
		case condition.In:
			optional |= sum.set | sum.clear
		case sum.set&sum.clear != 0:
			u.report(rule, "the mount options exclude each other; options in (...) has either")
			ok = false
		default:
			exact = append(exact, sum)
		}
	}
	required := uint32(0)
	if rule.Kind == syntax.Remount {
		required = flagRemount
	}
	optional &^= required
	for _, one := range exact {
		variants = append(variants, mountFlags{exact: one.set | required, optional: optional})
	}
	switch {
	case len(exact) > 0:
	case given:
		variants = []mountFlags{{exact: required, optional: optional}}
	case required != 0:
		variants = []mountFlags{{exact: required, optional: flagsRemount &^ required}}
	default:
		variants = []mountFlags{{any: true}}
	}
	return variants, ok
}

// mountVariant makes the entries of one set of flags.
func (u *unit) mountVariant(rule *syntax.MountRule, class dfa.Pattern, flags mountFlags) []entry {
	source := u.patternOr(rule, rule.Source, dfa.PathGlob, anyText)
	if rule.Source != nil && rule.Source.Text == "detached" {
		source = dfa.Empty() // a mount that is in no tree has no path
	}
	point := u.patternOr(rule, rule.MountPoint, dfa.PathGlob, anyText)
	kind, typed := u.mountType(rule)
	if flags.any {
		// Whatever the operation, the string has the same parts.
		return []entry{u.mountEntry(rule, true, class, point, zero, source, zero, kind, zero, anyText)}
	}
	var entries []entry
	for _, operation := range mountOperations() {
		must := operation.trigger & flags.exact
		may := operation.trigger & (flags.exact | flags.optional)
		if operation.trigger != 0 && may == 0 {
			continue
		}
		at, from, has := point, source, rule.Source != nil
		if operation.trigger == flagsPropagation && has && rule.MountPoint == nil {
			at, from, has = source, anyText, false // what is written alone is where propagation changes
		}
		if (operation.source || !has) && (operation.typed || !typed) {
			which := flagPattern(operation.trigger, operation.looksAt, flags)
			entries = append(entries, u.mountEntry(rule, operation.hasData(flags), class, at, zero, from, zero, kind, zero, which))
		}
		if must != 0 {
			break // the kernel decides for this one
		}
	}
	return entries
}

// mountEntry makes one entry of a mount rule. Where the operation has data it is logged with the rest.
func (u *unit) mountEntry(rule *syntax.MountRule, data bool, parts ...dfa.Pattern) entry {
	e := u.entry(rule, mountMount, parts...)
	if data && !rule.Deny {
		e.audit |= mountAuditData
	}
	return e
}

// mountType is the pattern of fstype, of all conditions together.
func (u *unit) mountType(rule *syntax.MountRule) (pattern dfa.Pattern, typed bool) {
	var choices []dfa.Pattern
	for _, condition := range rule.Conditions {
		if condition.Key != "fstype" && condition.Key != "vfstype" {
			continue
		}
		for _, word := range condition.Values {
			choices = append(choices, u.pattern(rule, word, dfa.PlainGlob))
		}
	}
	if len(choices) == 0 {
		return anyText, false
	}
	return dfa.Alternate(choices...), true
}

// impossible stands where no flag may: no flag has its number.
const impossible = "\xfe"

// flagPattern matches the flags of an operation: sets that have one of its triggers, all that are exact and any of those that are optional. A flag that is
// both need not be there.
func flagPattern(triggers, looksAt uint32, flags mountFlags) dfa.Pattern {
	exact, may := flags.exact&^flags.optional&looksAt, (flags.exact|flags.optional)&looksAt
	switch {
	case may == 0 && flags.optional&mountTriggers != 0:
		return dfa.Empty()
	case may == 0:
		return optional(dfa.Literal(impossible))
	}
	if triggers == 0 || triggers&flags.exact != 0 {
		return flagSets(exact, may)
	}
	var choices []dfa.Pattern
	for trigger := range bits.Len32(triggers) {
		if one := uint32(1) << trigger; triggers&may&one != 0 {
			choices = append(choices, flagSets(exact|one, may))
		}
	}
	return dfa.Alternate(choices...)
}

// flagSets matches the sets between exact and may.
func flagSets(exact, may uint32) dfa.Pattern {
	var parts []dfa.Pattern
	for bit := range bits.Len32(may) {
		flag := dfa.Literal(string([]byte{byte(bit) + 1}))
		switch {
		case exact>>bit&1 != 0:
			parts = append(parts, flag)
		case may>>bit&1 != 0:
			parts = append(parts, optional(flag))
		}
	}
	return dfa.Concat(parts...)
}

// impossibleMount says why a rule has no operation.
func impossibleMount(rule *syntax.MountRule, flags mountFlags) string {
	typed := slices.ContainsFunc(rule.Conditions, func(c syntax.Conditional) bool { return strings.HasSuffix(c.Key, "fstype") })
	switch {
	case typed:
		return "only a new mount has a file system type"
	case flags.exact&flagRemount != 0:
		return "remount has a mount point, no source"
	}
	return "a change of propagation has a mount point, no source"
}
