// SPDX-License-Identifier: Apache-2.0

package cil

import "github.com/bulkhead-project/bulkhead/selinux/policydb"

// declareBase declares what a policy has, as the sources that are compiled onto it see it. Binary policies do not name everything: attributes that were expanded,
// role and user attributes, macros, class maps, named levels, contexts and initial SIDs are not there.
func declareBase(p *policydb.Policy, declare func(kind symbolKind, name string, s symbol)) {
	declareTypes(p, declare)
	declareClasses(p, declare)
	for i := range p.Roles.Entries {
		entry := &p.Roles.Entries[i]
		declare(kindRole, entry.Name, &role{named: named{name: entry.Name, value: entry.Value}})
	}
	for i := range p.Users.Entries {
		entry := &p.Users.Entries[i]
		declare(kindUser, entry.Name, &user{named: named{name: entry.Name, value: entry.Value}})
	}
	for i := range p.Booleans.Entries {
		entry := &p.Booleans.Entries[i]
		declare(kindBoolean, entry.Name, &boolean{named{name: entry.Name, value: entry.Value}, entry.State != 0})
	}
	sensitivities, categories := map[uint32]*sensitivity{}, map[uint32]*category{}
	for _, aliases := range []bool{false, true} {
		for i := range p.Levels.Entries {
			entry := &p.Levels.Entries[i]
			value := entry.Level.Sensitivity
			if entry.Alias != 0 != aliases {
				continue
			}
			if aliases {
				declare(kindSensitivity, entry.Name, &alias{named: named{name: entry.Name, value: value}, of: sensitivities[value]})
				continue
			}
			sensitivities[value] = &sensitivity{named{name: entry.Name, value: value}}
			declare(kindSensitivity, entry.Name, sensitivities[value])
		}
		for i := range p.Categories.Entries {
			entry := &p.Categories.Entries[i]
			if entry.Alias != 0 != aliases {
				continue
			}
			if aliases {
				declare(kindCategory, entry.Name, &alias{named: named{name: entry.Name, value: entry.Value}, of: categories[entry.Value]})
				continue
			}
			categories[entry.Value] = &category{named{name: entry.Name, value: entry.Value}}
			declare(kindCategory, entry.Name, categories[entry.Value])
		}
	}
}

// declareTypes declares types and attributes, then aliases.
func declareTypes(p *policydb.Policy, declare func(kind symbolKind, name string, s symbol)) {
	types := make([]typ, p.Types.Primary+1) // by value
	for i := range p.Types.Entries {
		entry := &p.Types.Entries[i]
		if entry.Properties&policydb.TypePrimary == 0 {
			continue
		}
		t := &types[entry.Value]
		*t = typ{named: named{name: entry.Name, value: entry.Value, number: entry.Value - 1}, attribute: entry.Properties&policydb.TypeAttribute != 0}
		declare(kindType, entry.Name, t)
	}
	for i := range p.Types.Entries {
		if entry := &p.Types.Entries[i]; entry.Properties&policydb.TypePrimary == 0 {
			declare(kindType, entry.Name, &alias{named: named{name: entry.Name, value: entry.Value}, of: &types[entry.Value]})
		}
	}
}

// declareClasses declares commons and classes with their permissions.
func declareClasses(p *policydb.Policy, declare func(kind symbolKind, name string, s symbol)) {
	permissions := func(entries []policydb.Permission) []*permission {
		list := make([]*permission, len(entries))
		for i, entry := range entries {
			list[i] = &permission{name: entry.Name, value: entry.Value}
		}
		return list
	}
	commons := map[string]*class{}
	for i := range p.Commons.Entries {
		entry := &p.Commons.Entries[i]
		commons[entry.Name] = &class{named: named{name: entry.Name, value: entry.Value}, kind: classCommonKind, permissions: permissions(entry.Permissions.Entries)}
		declare(kindCommon, entry.Name, commons[entry.Name])
	}
	for i := range p.Classes.Entries {
		entry := &p.Classes.Entries[i]
		declare(kindClass, entry.Name, &class{named: named{name: entry.Name, value: entry.Value}, permissions: permissions(entry.Permissions.Entries), common: commons[entry.Common]})
	}
}
