// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// The versions that brought what others drop, as libsepol's write.c has them.
const (
	versionFilenames           = 25
	versionRoleTransitionClass = 26
	versionCompressedFilenames = 33
)

// filenameTable has the type transitions by name, those of a key together.
type filenameTable struct {
	list  []policydb.FilenameTransition
	index map[filenameKey]int
	begun bool
}

type filenameKey struct {
	name          string
	target, class uint32
}

// begin takes over the transitions of the policy compiled onto; before version 33 they are there source by source.
func (t *filenameTable) begin(list []policydb.FilenameTransition) {
	if t.begun {
		return
	}
	t.begun, t.index = true, make(map[filenameKey]int, len(list))
	for i := range list {
		entry := t.entry(filenameKey{list[i].Name, list[i].Target, list[i].Class})
		for _, result := range list[i].Results {
			sources := resultOf(entry, result.Type)
			sources.union(bitset(result.Sources))
		}
	}
}

func (t *filenameTable) entry(key filenameKey) *policydb.FilenameTransition {
	at, known := t.index[key]
	if !known {
		at = len(t.list)
		t.index[key] = at
		t.list = append(t.list, policydb.FilenameTransition{Name: key.name, Target: key.target, Class: key.class})
	}
	return &t.list[at]
}

// resultOf are the sources for which the result is a type.
func resultOf(entry *policydb.FilenameTransition, typ uint32) *bitset {
	at := slices.IndexFunc(entry.Results, func(r policydb.FilenameResult) bool { return r.Type == typ })
	if at < 0 {
		at = len(entry.Results)
		entry.Results = append(entry.Results, policydb.FilenameResult{Type: typ})
	}
	return (*bitset)(&entry.Results[at].Sources)
}

// filename adds a type transition by name.
func (b *builder) filename(rule *typeRule) {
	b.filenames.begin(b.policy.Filenames)
	b.eachTypeKey(rule, func(source, target, class uint16) {
		entry := b.filenames.entry(filenameKey{rule.object, uint32(target), uint32(class)})
		for i := range entry.Results {
			if result := &entry.Results[i]; result.Type != rule.result.value && result.Sources.Has(uint32(source)-1) {
				b.fail(rule.at, "the type of an object named %q is %s here and %s elsewhere, for source %s, target %s and class %s", rule.object, rule.result.name,
					b.nameOfType(result.Type), b.nameOfType(uint32(source)), b.nameOfType(uint32(target)), b.nameOfClass(uint32(class)))
				return
			}
		}
		resultOf(entry, rule.result.value).set(uint32(source) - 1)
	})
}

// writeFilenames puts them into the form of the policy's version.
func (b *builder) writeFilenames() {
	p := b.policy
	if b.base != nil && b.base.Version < versionCompressedFilenames && p.Version >= versionCompressedFilenames {
		b.filenames.begin(p.Filenames)
	}
	switch {
	case p.Version < versionFilenames && len(p.Filenames)+len(b.filenames.list) > 0:
		b.warn(place{}, "policy version %d has no type transitions by name, %d are left out", p.Version, len(p.Filenames)+len(b.filenames.list))
		p.Filenames = nil
	case p.Version < versionCompressedFilenames:
		b.filenames.begin(p.Filenames)
		p.Filenames = nil
		for i := range b.filenames.list {
			p.Filenames = append(p.Filenames, bySource(&b.filenames.list[i])...)
		}
	case b.filenames.begun:
		p.Filenames = b.filenames.list
	}
}

// bySource is a transition for each source.
func bySource(entry *policydb.FilenameTransition) []policydb.FilenameTransition {
	var list []policydb.FilenameTransition
	for _, result := range entry.Results {
		for source := range result.Sources.All() {
			one := policydb.FilenameResult{Sources: onlyBit(source), Type: result.Type}
			list = append(list, policydb.FilenameTransition{Name: entry.Name, Target: entry.Target, Class: entry.Class, Results: []policydb.FilenameResult{one}})
		}
	}
	return list
}

// onlyBit is a set of one.
func onlyBit(bit uint32) policydb.Bitmap {
	var b bitset
	b.set(bit)
	return policydb.Bitmap(b)
}

// transitions writes role and range transitions and role allows. libsepol puts the former and the latter before those that are there.
func (b *builder) transitions() {
	b.roleTransitions()
	var allows []policydb.RoleAllow
	for _, said := range b.model.roleAllows {
		for _, role := range b.inDeclaredOrder(b.roleAttributes.of(said.source)) {
			for _, newRole := range b.inDeclaredOrder(b.roleAttributes.of(said.target)) {
				allow := policydb.RoleAllow{Role: role, NewRole: newRole}
				if b.base == nil || !slices.Contains(b.base.RoleAllows, allow) {
					allows = append(allows, allow)
				}
			}
		}
	}
	b.policy.RoleAllows = inFront(allows, b.policy.RoleAllows)
	if b.policy.MLS {
		b.rangeTransitions()
	}
	b.writeFilenames()
}

// inFront is a list that grew at its front.
func inFront[T any](added, list []T) []T {
	if len(added) == 0 {
		return list
	}
	slices.Reverse(added)
	return append(added, list...)
}

func (b *builder) roleTransitions() {
	type key struct{ role, typ, class uint32 }
	known := map[key]uint32{}
	if len(b.model.roleTransitions) > 0 {
		for _, change := range b.policy.RoleChanges {
			known[key{change.Role, change.Type, change.Class}] = change.NewRole
		}
	}
	var added []policydb.RoleTransition
	for i := range b.model.roleTransitions {
		said := &b.model.roleTransitions[i]
		classes := b.plainClasses(said.class)
		b.given(&said.result.named, "role")
		for _, role := range b.inDeclaredOrder(b.roleAttributes.of(said.role)) {
			for number := range b.typesOf(said.types).all() {
				for _, c := range classes {
					change := policydb.RoleTransition{Role: role, Type: b.typeValues[number], NewRole: said.result.value, Class: c}
					at := key{change.Role, change.Type, change.Class}
					switch there, twice := known[at]; {
					case !twice:
						known[at] = change.NewRole
						added = append(added, change)
					case there != change.NewRole:
						b.fail(said.at, "the role is %s here and another elsewhere, for type %s and class %s", said.result.name, b.typeName(number), b.nameOfClass(c))
					}
				}
			}
		}
	}
	if b.policy.Version < versionRoleTransitionClass {
		added = b.processOnly(added)
	}
	b.policy.RoleChanges = inFront(added, b.policy.RoleChanges)
}

// processOnly keeps the role transitions that versions without a class for them have.
func (b *builder) processOnly(list []policydb.RoleTransition) []policydb.RoleTransition {
	kept := slices.DeleteFunc(slices.Clone(list), func(change policydb.RoleTransition) bool { return b.nameOfClass(change.Class) != "process" })
	if lost := len(list) - len(kept); lost > 0 {
		b.warn(place{}, "policy version %d has role transitions of processes alone, %d others are left out", b.policy.Version, lost)
	}
	for i := range kept {
		kept[i].Class = 0
	}
	return kept
}

func (b *builder) rangeTransitions() {
	type key struct{ source, target, class uint32 }
	known := map[key]int{}
	if len(b.model.rangeTransitions) > 0 {
		for i, rule := range b.policy.RangeRules {
			known[key{rule.Source, rule.Target, rule.Class}] = i
		}
	}
	for i := range b.model.rangeTransitions {
		said := &b.model.rangeTransitions[i]
		levels := b.rangeOf(said.at, &said.levels)
		classes := b.plainClasses(said.class)
		sources, targets := b.typesOf(said.source), b.typesOf(said.target)
		if b.tooMany(said.at, sources.len(), targets.len()) {
			return
		}
		for source := range sources.all() {
			for target := range targets.all() {
				for _, c := range classes {
					at := key{b.typeValues[source], b.typeValues[target], c}
					there, twice := known[at]
					switch {
					case !twice:
						known[at] = len(b.policy.RangeRules)
						b.policy.RangeRules = append(b.policy.RangeRules, policydb.RangeTransition{Source: at.source, Target: at.target, Class: at.class, Range: levels})
					case !b.policy.RangeRules[there].Range.Low.Equal(&levels.Low) || !b.policy.RangeRules[there].Range.High.Equal(&levels.High):
						b.fail(said.at, "another range is given elsewhere, for source %s, target %s and class %s", b.typeName(source), b.typeName(target), b.nameOfClass(c))
					}
				}
			}
		}
	}
}
