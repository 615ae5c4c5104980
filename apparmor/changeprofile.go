// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

const (
	everyLabel   = "**"
	everyProgram = "/**"
)

// changeProfileEntries are of the target itself, for the change at once and at the next exec, of the program for which it may be asked at the next
// exec, and of the pair that is looked up then.
func (u *unit) changeProfileEntries(rule *syntax.ChangeProfileRule) []entry {
	labels, programs := []string{everyLabel}, []string{everyProgram}
	if rule.Target != nil {
		labels = u.expand(*rule.Target)
	}
	var how uint32
	if rule.Exec != nil {
		programs = u.expand(*rule.Exec)
		how = both(permExec)
		if rule.Mode == "unsafe" {
			how |= both(permUnsafe)
		}
	}
	var entries []entry
	add := func(text string, pattern dfa.Pattern, perms uint32) {
		one := u.fileEntry(rule, text, pattern, permExec, 0)
		one.perms, one.audit, one.quiet, one.specific = perms, 0, false, specificityOf(text)
		entries = append(entries, one)
	}
	for _, label := range labels {
		target, ok := u.glob(rule, u.labelText(label), dfa.PlainGlob)
		if !ok {
			continue
		}
		if whole, ok := u.glob(rule, wholeLabel(u.labelText(label)), dfa.PlainGlob); ok {
			add(label, whole, permChangeProfile|permOnExec)
		}
		for _, program := range programs {
			pattern, ok := u.glob(rule, program, dfa.PlainGlob)
			if !ok {
				continue
			}
			add(program, pattern, permOnExec)
			add(program, dfa.Concat(pattern, u.shared.nul, target), permOnExec|how)
		}
	}
	return entries
}

// labelText is a label as the kernel asks for it: before stacks, kernels put a NUL between the namespace and the name.
func (u *unit) labelText(label string) string {
	if namespace, name, ok := splitNamespace(label); ok && !u.kernel.Yes("domain/stack") {
		return namespace + `\x00` + name
	}
	return label
}

// wholeLabel makes a wildcard that is all of a label match a byte at least: no label is empty, and the empty string is no permission to have.
func wholeLabel(glob string) string {
	switch glob {
	case "*":
		return "?*"
	case "**":
		return `[^\x00]**`
	}
	return glob
}

// implicitFiles are what the library behind change_hat(2) and change_profile(2) does in /proc, for profiles that may use it.
func (u *unit) implicitFiles() []entry {
	hats, changes := u.profile.Hat || len(u.profile.Children) > 0, false
	for _, rule := range u.profile.Rules {
		if _, ok := rule.(*syntax.ChangeProfileRule); ok {
			changes = true
		}
	}
	if !hats && !changes {
		return nil
	}
	own := &syntax.FileRule{Qualifiers: syntax.Qualifiers{Position: u.profile.Position, Owner: true}}
	var entries []entry
	add := func(text string, perms uint32) {
		if pattern, ok := u.glob(own, text, dfa.PathGlob); ok {
			entries = append(entries, entry{pattern: pattern, perms: perms})
		}
	}
	for _, one := range implicitRules(hats, changes) {
		add(one.path, one.perms)
	}
	return entries
}
