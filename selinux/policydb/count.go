// SPDX-License-Identifier: Apache-2.0

package policydb

// Count is how many of something a policy has.
type Count struct {
	Name  string // as seinfo(1) calls it
	Count int
}

// Counts are how many symbols and rules there are, by seinfo's names and in its order.
func (p *Policy) Counts() []Count {
	rules := p.countRules()
	constraints, levels, transitions, levelTransitions := p.countConstraints()
	permissions, defaults, bounds := 0, 0, 0
	for _, common := range p.Commons.Entries {
		permissions += len(common.Permissions.Entries)
	}
	for _, class := range p.Classes.Entries {
		permissions += len(class.Permissions.Entries)
		for _, from := range []uint32{class.DefaultUser, class.DefaultRole, class.DefaultRange, class.DefaultType} {
			defaults += one(from != 0)
		}
	}
	types, attributes := 0, 0
	for _, typ := range p.Types.Entries {
		attribute := typ.Properties&TypeAttribute != 0
		attributes += one(attribute)
		types += one(!attribute && typ.Properties&TypePrimary != 0)
		bounds += one(typ.Bounds != 0 && typ.Properties&TypePrimary != 0)
	}
	named, paths := 0, 0
	for _, transition := range p.Filenames {
		for _, result := range transition.Results {
			named += result.Sources.Len()
		}
	}
	for _, filesystem := range p.Filesystems {
		paths += len(filesystem.Paths)
	}
	o := &p.Objects
	return []Count{
		{"Classes", len(p.Classes.Entries)}, {"Permissions", permissions}, {"Sensitivities", int(p.Levels.Primary)}, {"Categories", int(p.Categories.Primary)},
		{"Types", types}, {"Attributes", attributes}, {"Users", len(p.Users.Entries)}, {"Roles", len(p.Roles.Entries)},
		{"Booleans", len(p.Booleans.Entries)}, {"Cond. Expr.", len(p.Conditions)},
		{"Allow", rules[RuleAllow]}, {"Auditallow", rules[RuleAuditAllow]}, {"Dontaudit", rules[RuleAuditDeny]},
		{"Type_trans", rules[RuleTransition] + named}, {"Type_change", rules[RuleChange]}, {"Type_member", rules[RuleMember]},
		{"Range_trans", len(p.RangeRules)}, {"Role allow", len(p.RoleAllows)}, {"Role_trans", len(p.RoleChanges)},
		{"Constraints", constraints}, {"Validatetrans", transitions}, {"MLS Constrain", levels}, {"MLS Val. Tran", levelTransitions},
		{"Permissives", p.Permissive.Len()}, {"Polcap", p.Capabilities.Len()}, {"Defaults", defaults}, {"Typebounds", bounds},
		{"Allowxperm", rules[RuleAllowExtended]}, {"Auditallowxperm", rules[RuleAuditExtended]}, {"Dontauditxperm", rules[RuleSilentExtended]},
		{"Ibendportcon", len(o.InfinibandPorts)}, {"Ibpkeycon", len(o.InfinibandKeys)}, {"Initial SIDs", len(o.Initial)}, {"Fs_use", len(o.FilesystemUses)},
		{"Genfscon", paths}, {"Portcon", len(o.Ports)}, {"Netifcon", len(o.Interfaces)}, {"Nodecon", len(o.Nodes) + len(o.Nodes6)},
	}
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// countRules counts by kind, the rules of conditions too.
func (p *Policy) countRules() map[uint16]int {
	counts := map[uint16]int{}
	add := func(rules []Rule) {
		for i := range rules {
			counts[rules[i].Kind&^ruleEnabled]++
		}
	}
	add(p.Rules)
	for i := range p.Conditions {
		add(p.Conditions[i].True)
		add(p.Conditions[i].False)
	}
	return counts
}

// countConstraints tells those that compare levels from the others.
func (p *Policy) countConstraints() (constraints, levels, transitions, levelTransitions int) {
	for _, class := range p.Classes.Entries {
		for _, constraint := range class.Constraints {
			mls := one(constraint.comparesLevels())
			levels += mls
			constraints += 1 - mls
		}
		for _, transition := range class.Transitions {
			mls := one(transition.comparesLevels())
			levelTransitions += mls
			transitions += 1 - mls
		}
	}
	return constraints, levels, transitions, levelTransitions
}

func (c *Constraint) comparesLevels() bool {
	for _, term := range c.Expression {
		if term.Kind == TermAttributes && term.Attribute >= AttributeLowLow {
			return true
		}
	}
	return false
}
