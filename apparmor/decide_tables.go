// SPDX-License-Identifier: Apache-2.0

package apparmor

import "github.com/bulkhead-project/bulkhead/apparmor/binary"

// permissions are those of one state in the kernel's own layout (struct aa_perms).
type permissions struct {
	allow, deny, kill, complain, prompt, audit, quiet, hide uint32
	xindex                                                  uint32
}

// The kernel's permission bits (include/perms.h, net.h, mount.h, ipc.h).
const (
	canExec          = 0x1
	canWrite         = 0x2
	canRead          = 0x4
	canAppend        = 0x8
	canCreate        = 0x10
	canDelete        = 0x20
	canOpen          = 0x40
	canSetattr       = 0x100
	canGetattr       = 0x200
	canChmod         = 0x1000
	canChown         = 0x2000
	canLock          = 0x8000
	canMap           = 0x10000
	canLink          = 0x40000
	canAccept        = 0x100000
	canBind          = 0x200000
	canListen        = 0x400000
	canSetopt        = 0x1000000
	canGetopt        = 0x2000000
	continueMatch    = 0x8000000
	canOnExec        = 0x20000000
	canChangeProfile = 0x40000000

	linkSubset = canLock // the same bit in the second half of a link pair

	mountContinue = 0x40 // the data of the file system is matched, too
)

// The kernel's exec index: what kind of transition, and modifiers.
const (
	execTypeMask   = 0x0c000000
	execByName     = 0x04000000
	execByTable    = 0x08000000
	execUnsafe     = 0x10000000
	execChild      = 0x20000000
	execInherit    = 0x40000000
	execUnconfined = 0x80000000
	execTableMask  = 0x00ffffff
)

// mapExec is the kernel's dfa_map_xindex: 14 bits of an accept word of versions 5 to 8 to an exec index.
func mapExec(old uint32) uint32 {
	var index uint32
	if old&0x100 != 0 {
		index |= execUnsafe
	}
	if old&0x200 != 0 {
		index |= execInherit
	}
	if old&0x80 != 0 {
		index |= execUnconfined
	}
	switch number := old >> 10 & 0xf; number {
	case 0:
	case 1:
		index |= execUnconfined
	case 2:
		index |= execByName
	case 3:
		index |= execByName | execChild
	default:
		index |= execByTable | (number - 4)
	}
	return index
}

// mapFile is the kernel's map_old_perms: seven bits of an accept word to permissions.
func mapFile(old uint32) uint32 {
	perms := old & 0xf
	if old&canRead != 0 {
		perms |= canGetattr | canOpen
	}
	if old&canWrite != 0 {
		perms |= canSetattr | canCreate | canDelete | canChmod | canChown | canOpen
	}
	if old&0x10 != 0 {
		perms |= canLink
	}
	if old&0x20 != 0 {
		perms |= canLock // and linkSubset
	}
	if old&0x40 != 0 {
		perms |= canMap
	}
	return perms
}

// mapOther is the kernel's map_other: what the bits for others' files mean outside of file rules.
func mapOther(old uint32) uint32 { return old&0x3<<8 | old&0x1c<<18 | old&0x60<<19 }

// mapExecBits is the kernel's map_xbits, of version 9.
func mapExecBits(old uint32) uint32 { return old&0x1<<7 | old&0x7e<<9 }

// filePermissions are those of a state of file rules, for an owner of the file or for others.
func filePermissions(rules *binary.Rules, state uint32, owner bool) permissions {
	accept := rules.Automaton.Accept[state]
	if rules.Permissions != nil {
		first, second := rules.RowsOf(state)
		if owner {
			return rowPermissions(first)
		}
		return rowPermissions(second)
	}
	one, two := accept.One, accept.Two
	if !owner {
		one, two = one>>14&0x3fff, two>>14
	}
	perms := permissions{
		allow: mapFile(one&0x7f) | canGetattr, audit: mapFile(two & 0x7f), quiet: mapFile(two >> 7 & 0x7f), xindex: mapExec(one & 0x3fff),
	}
	if accept.One&0x80000000 != 0 {
		perms.allow |= canChangeProfile
	}
	if accept.One&0x40000000 != 0 {
		perms.allow |= canOnExec
	}
	return perms
}

// policyPermissions are those of a state of all other rules.
func policyPermissions(rules *binary.Rules, version int, state uint32) permissions {
	if state == 0 {
		return permissions{}
	}
	accept := rules.Automaton.Accept[state]
	if rules.Permissions != nil {
		return tablePermissions(rules, accept.One)
	}
	perms := permissions{
		allow: accept.One&0x7f | mapOther(accept.One>>14&0x7f),
		audit: accept.Two&0x7f | mapOther(accept.Two>>14&0x7f),
		quiet: accept.Two>>7&0x7f | mapOther(accept.Two>>21&0x7f),
	}
	if version <= 8 {
		perms.allow |= canLock
	} else {
		perms.allow |= mapExecBits(accept.One >> 7 & 0x7f)
	}
	return perms
}

func tablePermissions(rules *binary.Rules, index uint32) permissions {
	if int(index) >= len(rules.Permissions) {
		return permissions{}
	}
	return rowPermissions(rules.Permissions[index])
}

func rowPermissions(row binary.Permission) permissions {
	return permissions{row.Allow, row.Deny, row.Kill, row.Complain, row.Prompt, row.Audit, row.Quiet, row.Hide, row.XIndex}
}

// accumulate is aa_perms_accum: what all of several labels give.
func (p permissions) accumulate(other permissions) permissions {
	return permissions{
		deny: p.deny | other.deny, allow: p.allow & other.allow &^ other.deny, audit: p.audit | other.audit&other.allow,
		quiet: p.quiet & other.quiet &^ other.allow, kill: p.kill | other.kill&^other.allow,
		complain: p.complain | other.complain&^other.allow&^other.deny, prompt: p.prompt | other.prompt&^other.allow&^other.deny,
		hide: p.hide & other.hide &^ other.allow,
	}
}

// classNetworkV9 is that of sockets in policy with continued matches, for Linux 7.0 and later.
const classNetworkV9 = 15

// startState is where matching begins.
func startState(rules *binary.Rules) uint32 {
	if rules.Start != 0 {
		return rules.Start
	}
	return 1
}

// classStart is RULE_MEDIATES: the state behind the class, 0 where nothing of it is mediated.
func classStart(profile *binary.Profile, class byte) uint32 {
	rules := profile.PolicyDB
	if rules == nil || rules.Automaton == nil {
		return 0
	}
	return rules.Automaton.Step(startState(rules), class)
}

// fileRules are the rules that file questions are asked of, and the state where they begin: the file automaton, or the class of the policy's where there is
// none of its own.
func fileRules(profile *binary.Profile) (*binary.Rules, uint32) {
	if rules := profile.File; rules != nil && rules.Automaton != nil {
		if rules.DFAStart != 0 {
			return rules, rules.DFAStart
		}
		return rules, 1
	}
	if state := classStart(profile, classFile); state != 0 {
		return profile.PolicyDB, state
	}
	return nil, 0
}
