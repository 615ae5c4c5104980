// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"fmt"
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	"github.com/bulkhead-project/bulkhead/source"
)

// builder puts a model into a policy: an empty one, or a copy of the one that is compiled onto, of which it shares what it does not change. What libsepol keeps in
// lists comes in libsepol's order (most of them grow at the front), what it keeps in hash tables in any: policydb's Arrange puts that into order.
type builder struct {
	model    *model
	options  *Options
	base     *policydb.Policy // nil: none
	policy   *policydb.Policy
	result   Result
	errors   source.Diagnostics
	warnings source.Diagnostics

	types      []*typ // by number; nil: an attribute of base
	everyType  bitset // the numbers that are types
	typeValues []uint32
	attributes []*attribute // that are declared or used, in the order in which they are met
	begun      bool         // those that are declared are all known

	roleAttributes attributes[*role]
	userAttributes attributes[*user]
	roleTypes      map[uint32]*bitset   // by the role's value, types by number
	userRoles      map[uint32]*bitset   // by the user's value, roles by value less 1
	userRanges     map[uint32][2]uint32 // by the user's value: the lowest and the highest sensitivity
	mappings       map[*permission]*mapping
	rules          ruleTable
	vectors        []classVector // room for what a rule's permissions come to
	sources        []uint16      // room for the two sides of a rule
	targets        []uint16
	typesSaid      []*typeRule // of the first rules of the table
	extended       extendedTable
	filenames      filenameTable
	conditions     conditionTable
}

// build makes the policy and the files that go with it. Errors are source.Diagnostics.
func (m *model) build(options *Options) (*Result, error) {
	b := &builder{model: m, options: options, base: options.Onto}
	for _, step := range []func(){
		b.begin, b.classes, b.booleans, b.levels, b.typeNumbers, b.typeSets, b.keepAttributes, b.denyRules, b.typeTable, b.roles, b.users,
		b.typeRules, b.accessRules, b.joinRules, b.conditionRules, b.extendedRules, b.transitions, b.constrain, b.objects, b.files, b.finish, b.check,
	} {
		if step(); len(b.errors) > 0 {
			return nil, b.errors.Sorted()
		}
	}
	if b.base == nil && options.Optimize {
		b.policy.Optimize()
	}
	if err := b.policy.Check(); err != nil {
		return nil, source.Diagnostics{{Message: fmt.Sprintf("what the sources make is not a policy that the kernel loads: %s", err)}}
	}
	b.result.Policy, b.result.Warnings = b.policy, b.warnings
	return &b.result, nil
}

// shownErrors is how many errors are told.
const shownErrors = 100

// fail notes an error; building goes on to the end of the step.
func (b *builder) fail(at place, format string, arguments ...any) {
	if len(b.errors) >= shownErrors {
		return
	}
	b.errors = append(b.errors, diagnosticOf(at, format, arguments...))
}

func (b *builder) warn(at place, format string, arguments ...any) {
	b.warnings = append(b.warnings, diagnosticOf(at, format, arguments...))
}

// diagnosticOf says something of a place, which may be nowhere: what is built in, or the policy's that is compiled onto.
func diagnosticOf(at place, format string, arguments ...any) source.Diagnostic {
	if at.node == (syntax.Node{}) {
		return source.Diagnostic{Message: fmt.Sprintf(format, arguments...)}
	}
	return diagnosticAt(at, format, arguments...)
}

// begin makes the empty policy or the copy.
func (b *builder) begin() {
	if b.base == nil {
		b.policy = &policydb.Policy{}
	} else {
		b.policy = shallow(b.base)
	}
	b.setVersion()
	if b.base != nil && b.options.Optimize {
		b.fail(place{}, "a policy that is compiled onto cannot be optimized: its rules stay as they are")
	}
	b.header()
	for i := range b.model.policyCaps {
		name := b.model.policyCaps[i].name
		number, known := policydb.CapabilityNumber(name)
		if !known {
			b.fail(b.model.policyCaps[i].declared, "policy capability %s is not known", name)
			continue
		}
		grown := bitset(append(policydb.Bitmap(nil), b.policy.Capabilities...))
		grown.set(number)
		b.policy.Capabilities = grown.trimmed()
	}
}

// setVersion makes the policy one of the version that is asked for. One that is compiled onto can be written as a later one.
func (b *builder) setVersion() {
	b.policy.Version = b.options.Version
	switch {
	case b.base == nil:
	case b.base.Version > b.policy.Version:
		b.fail(place{}, "a policy of version %d cannot be written as one of version %d", b.base.Version, b.policy.Version)
	case b.base.Version < versionRoleTransitionClass && b.policy.Version >= versionRoleTransitionClass && len(b.base.RoleChanges) > 0:
		process, err := b.base.Class("process")
		if err != nil {
			b.fail(place{}, "role transitions, which are of processes before version %d: %s", versionRoleTransitionClass, err)
			return
		}
		b.policy.RoleChanges = slices.Clone(b.base.RoleChanges)
		for i := range b.policy.RoleChanges {
			b.policy.RoleChanges[i].Class = process.Value
		}
	}
}

// finish takes away what was only needed on the way, and puts the tables into their order.
func (b *builder) finish() {
	if !b.policy.MLS {
		// A policy without MLS has no tables of levels; what sources say of them was checked all the same.
		b.policy.Levels, b.policy.Categories = policydb.Symbols[policydb.Sensitivity]{}, policydb.Symbols[policydb.Category]{}
	}
	if b.base == nil {
		b.policy.Arrange(b.options.Order)
	}
}

// check holds the rules against neverallow rules and bounds, and onto a policy against what is denied.
func (b *builder) check() {
	if c := b.checks(); b.base != nil && len(b.model.denies) > 0 {
		b.errors = append(b.errors, c.denials()...)
	}
	if !b.options.DisableNeverAllow {
		b.errors = append(b.errors, b.checks().run()...)
	}
}

func (b *builder) checks() *checks {
	return &checks{
		policy: b.policy, model: b.model,
		members: func(t *typ) policydb.Bitmap { return b.byValue(b.typesOf(t)) },
		vectors: func(permissions []classPermissions) []classVector { return b.addVectors(nil, permissions) },
		extended: func(e *extendedPermissions) ([]uint32, []policydb.Extended) {
			var packed []policydb.Extended
			for _, one := range pack(extendedNumbers(e), e.kind) {
				packed = append(packed, *one)
			}
			return b.plainClasses(e.class), packed
		},
	}
}

// header is what the sources or the options say of the policy as a whole; of one that is compiled onto it stays as it is.
func (b *builder) header() {
	mls, unknown := b.model.mls, b.model.handleUnknown
	if b.options.MLS != nil {
		mls = b.options.MLS
	}
	if b.options.Unknown != nil {
		unknown = b.options.Unknown
	}
	switch {
	case b.base != nil && mls != nil && *mls != b.base.MLS:
		b.fail(place{}, "mls %t, where the policy that this is compiled onto has %t", *mls, b.base.MLS)
	case b.base == nil && mls != nil:
		b.policy.MLS = *mls
	}
	switch {
	case b.base != nil && unknown != nil && *unknown != b.base.Unknown:
		b.fail(place{}, "handleunknown differs from that of the policy that this is compiled onto")
	case b.base == nil && unknown != nil:
		b.policy.Unknown = *unknown
	}
}

// shallow copies a policy without what it has worked out of itself. Tables that are small or change are copied, what is in them is shared.
func shallow(p *policydb.Policy) *policydb.Policy {
	return &policydb.Policy{
		Version: p.Version, MLS: p.MLS, Unknown: p.Unknown, Capabilities: p.Capabilities, Permissive: p.Permissive, NeverAudit: p.NeverAudit,
		Commons: copied(p.Commons), Classes: copied(p.Classes), Roles: copied(p.Roles), Types: copied(p.Types), Users: copied(p.Users),
		Booleans: copied(p.Booleans), Levels: copied(p.Levels), Categories: copied(p.Categories),
		Rules: slices.Clip(p.Rules), Conditions: slices.Clone(p.Conditions), RoleChanges: slices.Clip(p.RoleChanges), RoleAllows: slices.Clip(p.RoleAllows),
		Filenames: slices.Clip(p.Filenames), Objects: p.Objects, Filesystems: slices.Clone(p.Filesystems), RangeRules: slices.Clip(p.RangeRules),
		Attributes: slices.Clone(p.Attributes),
	}
}

func copied[T any](table policydb.Symbols[T]) policydb.Symbols[T] {
	return policydb.Symbols[T]{Primary: table.Primary, Entries: slices.Clone(table.Entries)}
}

// next is the next value of the table.
func next[T any](table *policydb.Symbols[T]) uint32 {
	table.Primary++
	return table.Primary
}
