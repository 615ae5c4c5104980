// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"fmt"
	"math/bits"
)

func (k *checker) rules() {
	p := k.policy
	for i := range p.Rules {
		if p.Rules[i].Kind&ruleEnabled != 0 {
			k.fail("rule", "enabled, and in no condition")
		}
		k.rule(&p.Rules[i])
	}
	for i := range p.Conditions {
		condition := &p.Conditions[i]
		where := fmt.Sprintf("condition %d", i+1)
		depth := 0
		for _, term := range condition.Expression {
			switch {
			case term.Kind == conditionBoolean:
				k.among(where, "boolean", term.Boolean, p.Booleans.Primary)
				depth++
			case term.Kind == conditionNot:
			case term.Kind >= conditionOr && term.Kind <= conditionNotEqual:
				depth--
			default:
				k.fail(where, "a term of kind %d", term.Kind)
			}
			if depth < 1 || depth > conditionDepth {
				k.fail(where, "an operator without operands, or more than %d of them", conditionDepth)
			}
		}
		if depth != 1 {
			k.fail(where, "%d results", depth)
		}
		for _, rules := range [][]Rule{condition.True, condition.False} {
			for j := range rules {
				k.rule(&rules[j])
			}
		}
	}
}

func (k *checker) rule(rule *Rule) {
	p := k.policy
	if uint32(rule.Source)-1 >= p.Types.Primary || uint32(rule.Target)-1 >= p.Types.Primary || uint32(rule.Class)-1 >= p.Classes.Primary {
		k.fail("rule", "source %d, target %d, class %d, where there are %d types and %d classes", rule.Source, rule.Target, rule.Class, p.Types.Primary, p.Classes.Primary)
		return
	}
	kind := rule.Kind &^ ruleEnabled
	switch {
	case bits.OnesCount16(kind) != 1 || kind&(ruleAccess|ruleTypes|ruleExtended) == 0:
		k.fail("rule", "of kind %#x", rule.Kind)
	case kind&ruleTypes != 0:
		k.among("type rule", "type", rule.Data, p.Types.Primary)
	case kind&ruleExtended != 0 && (rule.Extended.Kind < 1 || rule.Extended.Kind > 3):
		k.fail("rule", "extended permissions of kind %d", rule.Extended.Kind)
	}
}

func (k *checker) transitions() {
	p := k.policy
	for _, change := range p.RoleChanges {
		k.among("role transition", "role", change.Role, p.Roles.Primary)
		k.among("role transition", "type", change.Type, p.Types.Primary)
		k.among("role transition", "new role", change.NewRole, p.Roles.Primary)
		if p.Version >= versionRoleTransitionClass {
			k.among("role transition", "class", change.Class, p.Classes.Primary)
		}
	}
	for _, allow := range p.RoleAllows {
		k.among("role allow", "role", allow.Role, p.Roles.Primary)
		k.among("role allow", "role", allow.NewRole, p.Roles.Primary)
	}
	for i := range p.Filenames {
		transition := &p.Filenames[i]
		k.among("file name transition", "target", transition.Target, p.Types.Primary)
		k.among("file name transition", "class", transition.Class, p.Classes.Primary)
		for _, result := range transition.Results {
			k.within("file name transition", "source", result.Sources, p.Types.Primary)
			k.among("file name transition", "type", result.Type, p.Types.Primary)
		}
	}
	for i := range p.RangeRules {
		rule := &p.RangeRules[i]
		k.among("range transition", "source", rule.Source, p.Types.Primary)
		k.among("range transition", "target", rule.Target, p.Types.Primary)
		k.among("range transition", "class", rule.Class, p.Classes.Primary)
		if err := p.checkRange(&rule.Range); err != nil {
			k.fail("range transition", "%s", err)
		}
	}
}

// objects checks the contexts of what the kernel names itself.
func (k *checker) objects() {
	p, o := k.policy, &k.policy.Objects
	for i := range o.Initial {
		k.context(fmt.Sprintf("initial SID %d", o.Initial[i].SID), &o.Initial[i].Context)
	}
	for what, list := range map[string][]NamedContexts{"fscon ": o.Filesystems, "netifcon ": o.Interfaces} {
		for i := range list {
			k.context(what+list[i].Name, &list[i].First)
			k.context(what+list[i].Name, &list[i].Second)
		}
	}
	for i := range o.Ports {
		k.context("portcon", &o.Ports[i].Context)
	}
	for i := range o.Nodes {
		k.context("nodecon", &o.Nodes[i].Context)
	}
	for i := range o.Nodes6 {
		k.context("nodecon", &o.Nodes6[i].Context)
	}
	for i := range o.FilesystemUses {
		k.context("fsuse "+o.FilesystemUses[i].Name, &o.FilesystemUses[i].Context)
	}
	for i := range o.InfinibandKeys {
		k.context("ibpkeycon", &o.InfinibandKeys[i].Context)
	}
	for i := range o.InfinibandPorts {
		k.context("ibendportcon", &o.InfinibandPorts[i].Context)
	}
	for i := range p.Filesystems {
		for j := range p.Filesystems[i].Paths {
			path := &p.Filesystems[i].Paths[j]
			k.context("genfscon "+p.Filesystems[i].Name+" "+path.Path, &path.Context)
			if path.Class > p.Classes.Primary {
				k.fail("genfscon "+p.Filesystems[i].Name, "class %d", path.Class)
			}
		}
	}
}

func (k *checker) context(where string, context *Context) {
	if k.err != nil {
		return
	}
	if err := k.policy.CheckContext(context); err != nil {
		k.fail(where, "%s", err)
	}
}
