// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// The exec index of a half's x: what the transition leads to. From indexTable on it is the number of a named target in the profile's xtable.
const (
	indexInherit    = 0
	indexUnconfined = 1
	indexProfile    = 2 // by attachment, of the namespace's profiles
	indexChild      = 3 // by attachment, of the profile's own children
	indexTable      = 4

	maximumTargets = 15 - indexTable + 1
)

// targets is the xtable of a profile on the way: names that rules lead to, each once, in the order in which rules name them until renumber.
type targets struct {
	names   []string // as the stream has them
	numbers map[string]uint32
}

// index is the exec index of a target, new or known. It is false where the table is full.
func (t *targets) index(name string) (uint32, bool) {
	if index, ok := t.numbers[name]; ok {
		return index, true
	}
	if len(t.names) == maximumTargets {
		return 0, false
	}
	if t.numbers == nil {
		t.numbers = map[string]uint32{}
	}
	index := uint32(indexTable + len(t.names))
	t.numbers[name] = index
	t.names = append(t.names, name)
	return index, true
}

// renumber numbers the targets in the order of the states that lead to them, and leaves out those that no state does: rules that mean the same then
// give the same stream, whatever their order and whatever they override.
func (t *targets) renumber(automaton *dfa.Automaton) {
	numbered := targets{}
	for i := range automaton.Accept {
		word := &automaton.Accept[i].One
		for _, shift := range []int{execIndexShift, execIndexShift + otherShift} {
			old := *word >> shift & (execIndexMask >> execIndexShift)
			if old < indexTable {
				continue
			}
			index, _ := numbered.index(t.names[old-indexTable]) // there are no more than there were
			*word = *word&^(execIndexMask>>execIndexShift<<shift) | index<<shift
		}
	}
	*t = numbered
}

// execBits are the bits of a half for a rule's x. A program that is inherited or may be is also mapped executable, as ld.so does when it is named as the
// program: so ix brings m.
func (u *unit) execBits(rule *syntax.FileRule) (uint32, bool) {
	exec := &rule.Exec
	if exec.Mode == syntax.NoExec {
		if !rule.Permissions.Exec {
			return 0, true
		}
		return permXHalf, true // of deny rules: every way
	}
	bits := permExec
	index := uint32(indexInherit)
	switch exec.Mode {
	case syntax.ExecUnconfined:
		index = indexUnconfined
	case syntax.ExecProfile:
		index = indexProfile
	case syntax.ExecChild:
		index = indexChild
	}
	if exec.Target != nil {
		named, ok := u.targetIndex(rule)
		if !ok {
			return 0, false
		}
		index = named
	}
	if exec.Mode == syntax.ExecInherit || exec.Fallback == syntax.ExecInherit {
		bits |= permInherit | permMap
	}
	if exec.Fallback == syntax.ExecUnconfined {
		bits |= permPUX
	}
	if exec.Mode != syntax.ExecInherit && !exec.Scrub {
		bits |= permUnsafe
	}
	return bits | index<<execIndexShift, true
}

func (u *unit) targetIndex(rule *syntax.FileRule) (uint32, bool) {
	expanded := u.expandNames(*rule.Exec.Target)
	if len(expanded) == 0 {
		return 0, false // reported by expand
	}
	if len(expanded) > 1 {
		u.report(rule, "exec target %s stands for %d profiles, expected one", rule.Exec.Target.Text, len(expanded))
		return 0, false
	}
	index, ok := u.targets.index(u.streamTarget(expanded[0], rule.Exec.Mode == syntax.ExecChild))
	if !ok {
		u.report(rule, "exec target %s: a profile has at most %d named targets", expanded[0], maximumTargets)
	}
	return index, ok
}

// streamTarget is a target as the stream has it: a child with its parents, a namespace with NUL in the place of its second colon.
func (u *unit) streamTarget(target string, child bool) string {
	if namespace, name, ok := splitNamespace(target); ok {
		return ":" + namespace + "\x00" + name
	}
	if child {
		return u.name + "//" + target
	}
	return target
}

// splitNamespace splits :namespace:name. The name may be empty, and is not where the namespace is not.
func splitNamespace(label string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(label, ":")
	if !ok {
		return "", label, false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	if !ok || namespace == "" {
		return "", label, false
	}
	return namespace, name, true
}
