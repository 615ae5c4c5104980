// SPDX-License-Identifier: Apache-2.0

package policydb

// typeRules compares type_transition, with those of file names, type_change or type_member. The kernel looks for the types themselves, so that nothing is expanded.
func (c *comparison) typeRules(kind uint16) {
	c.items(func(s *side) map[string]item {
		found := map[string]item{}
		add := func(head, name, typ string, when function) {
			branch := ""
			if when == never {
				return
			} else if when != always {
				branch = " " + c.branches[when]
			}
			key := head + name + branch
			if _, there := found[key]; !there {
				found[key] = item{text: head + " " + typ + name + ";" + branch, properties: []property{{one: typ}}}
			}
		}
		addAll := func(rules []Rule, when function) {
			for i := range rules {
				if rule := &rules[i]; rule.Kind&kind != 0 {
					add(s.ruleHead(rule), "", s.typeName(rule.Data), when)
				}
			}
		}
		addAll(s.Rules, always)
		for i := range s.Conditions {
			when := c.when(s, &s.Conditions[i])
			addAll(s.Conditions[i].True, when[0])
			addAll(s.Conditions[i].False, when[1])
		}
		if kind == RuleTransition {
			s.eachFilename(func(source uint32, transition *FilenameTransition, result *FilenameResult) {
				head := "type_transition " + s.typeName(source) + " " + s.typeName(transition.Target) + ":" + s.class(transition.Class)
				add(head, " "+transition.Name, s.typeName(result.Type), always)
			})
		}
		return found
	})
}

// ruleHead is a rule as far as the class.
func (p *Policy) ruleHead(rule *Rule) string {
	return ruleWord(rule.Kind) + " " + p.typeName(uint32(rule.Source)) + " " + p.typeName(uint32(rule.Target)) + ":" + p.names().classes[rule.Class-1].Name
}

// eachFilename goes over the file name transitions, one source at a time.
func (p *Policy) eachFilename(visit func(source uint32, transition *FilenameTransition, result *FilenameResult)) {
	for i := range p.Filenames {
		for j := range p.Filenames[i].Results {
			for source := range p.Filenames[i].Results[j].Sources.All() {
				visit(source+1, &p.Filenames[i], &p.Filenames[i].Results[j])
			}
		}
	}
}

func (c *comparison) roleAllows() {
	c.items(func(s *side) map[string]item {
		found := map[string]item{}
		for _, allow := range s.RoleAllows {
			found["allow "+s.named.role(allow.Role).Name+" "+s.named.role(allow.NewRole).Name+";"] = item{}
		}
		return found
	})
}

func (c *comparison) roleTransitions() {
	c.items(func(s *side) map[string]item {
		found := map[string]item{}
		for _, change := range s.RoleChanges {
			head := "role_transition " + s.named.role(change.Role).Name + " " + s.typeName(change.Type) + ":" + s.changedClass(change)
			if _, there := found[head]; !there {
				role := s.named.role(change.NewRole).Name
				found[head] = item{text: head + " " + role + ";", properties: []property{{one: role}}}
			}
		}
		return found
	})
}

func (c *comparison) rangeTransitions() {
	c.items(func(s *side) map[string]item {
		found := map[string]item{}
		for i := range s.RangeRules {
			rule := &s.RangeRules[i]
			head := "range_transition " + s.typeName(rule.Source) + " " + s.typeName(rule.Target) + ":" + s.class(rule.Class)
			if _, there := found[head]; !there {
				text := s.FormatRange(&rule.Range)
				found[head] = item{text: head + " " + text + ";", properties: []property{{one: text}}}
			}
		}
		return found
	})
}
