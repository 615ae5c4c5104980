// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// Fingerprint is the same for two policies with the same values of symbols that say the same: the kernel shows a policy in the order of its own hash tables, and with
// booleans as they are. It is the sha256, in hexadecimal, of the policy without its rules in an order of our own with all booleans false, followed by sums over the
// rules, which need not be sorted for that. Lists of which the first match counts keep their order. It tells policies apart that differ by accident; who may load
// policies need not forge one.
func Fingerprint(p *policydb.Policy) (string, error) {
	encoded, err := normal(p).Encode()
	if err != nil {
		return "", err
	}
	encoded = sumOf(p.Rules).append(encoded)
	for i := range p.Conditions {
		encoded = sumOf(p.Conditions[i].False).append(sumOf(p.Conditions[i].True).append(encoded))
	}
	return digestOf(encoded), nil
}

// ruleSum adds rules up after mixing each, in 128 bits: no order changes it.
type ruleSum [2]uint64

// enabledRule is a bit of a conditional rule's kind that says what its booleans were.
const enabledRule = 0x8000

func sumOf(rules []policydb.Rule) ruleSum {
	var sum ruleSum
	for i := range rules {
		rule := &rules[i]
		key := uint64(rule.Source)<<48 | uint64(rule.Target)<<32 | uint64(rule.Class)<<16 | uint64(rule.Kind&^enabledRule)
		mixed := ruleSum{mix(key), mix(^key)}.with(uint64(rule.Data))
		if extended := rule.Extended; extended != nil {
			mixed = mixed.with(uint64(extended.Kind)<<8 | uint64(extended.Driver))
			for _, bits := range extended.Bits {
				mixed = mixed.with(uint64(bits))
			}
		}
		sum[0] += mixed[0]
		sum[1] += mixed[1]
	}
	return sum
}

func (s ruleSum) with(word uint64) ruleSum {
	return ruleSum{mix(s[0] ^ word), mix(s[1] + word)}
}

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014), after its increment: every bit depends on every bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (s ruleSum) append(to []byte) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(to, s[0]), s[1])
}

// normal is a copy without rules.
func normal(p *policydb.Policy) *policydb.Policy {
	n := &policydb.Policy{
		Version: p.Version, MLS: p.MLS, Unknown: p.Unknown, Capabilities: p.Capabilities, Permissive: p.Permissive, NeverAudit: p.NeverAudit,
		Commons:    sortedSymbols(p.Commons, func(c *policydb.Common) (uint32, string) { return c.Value, c.Name }),
		Classes:    sortedSymbols(p.Classes, func(c *policydb.Class) (uint32, string) { return c.Value, c.Name }),
		Roles:      sortedSymbols(p.Roles, func(r *policydb.Role) (uint32, string) { return r.Value, r.Name }),
		Types:      sortedSymbols(p.Types, func(t *policydb.Type) (uint32, string) { return t.Value, t.Name }),
		Users:      sortedSymbols(p.Users, func(u *policydb.User) (uint32, string) { return u.Value, u.Name }),
		Booleans:   sortedSymbols(p.Booleans, func(b *policydb.Boolean) (uint32, string) { return b.Value, b.Name }),
		Levels:     sortedSymbols(p.Levels, func(s *policydb.Sensitivity) (uint32, string) { return s.Level.Sensitivity, s.Name }),
		Categories: sortedSymbols(p.Categories, func(c *policydb.Category) (uint32, string) { return c.Value, c.Name }),
		Objects:    p.Objects,
		Attributes: p.Attributes,
	}
	for i := range n.Commons.Entries {
		n.Commons.Entries[i].Permissions = sortedPermissions(n.Commons.Entries[i].Permissions)
	}
	for i := range n.Classes.Entries {
		n.Classes.Entries[i].Permissions = sortedPermissions(n.Classes.Entries[i].Permissions)
	}
	for i := range n.Roles.Entries {
		if role := &n.Roles.Entries[i]; role.Value == objectRole { // the kernel has its own, whatever the file says
			role.Types, role.Dominates = nil, nil
		}
	}
	for i := range n.Booleans.Entries {
		n.Booleans.Entries[i].State = 0
	}
	for i := range p.Conditions {
		n.Conditions = append(n.Conditions, policydb.Condition{Expression: p.Conditions[i].Expression})
	}
	n.RoleAllows = sorted(p.RoleAllows, func(a, b *policydb.RoleAllow) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.NewRole, b.NewRole))
	})
	normalTransitions(n, p)
	normalFilesystems(n, p)
	return n
}

// objectRole is object_r, the role of objects (OBJECT_R_VAL).
const objectRole = 1

// sorted copies.
func sorted[T any](list []T, compare func(a, b *T) int) []T {
	copied := slices.Clone(list)
	slices.SortStableFunc(copied, func(a, b T) int { return compare(&a, &b) })
	return copied
}

// sortedSymbols sorts by values, and the aliases of a value by their names: no name is there twice.
func sortedSymbols[T any](table policydb.Symbols[T], of func(*T) (value uint32, name string)) policydb.Symbols[T] {
	table.Entries = slices.Clone(table.Entries)
	slices.SortFunc(table.Entries, func(a, b T) int {
		first, firstName := of(&a)
		second, secondName := of(&b)
		if first != second {
			return cmp.Compare(first, second)
		}
		return strings.Compare(firstName, secondName)
	})
	return table
}

func sortedPermissions(table policydb.Symbols[policydb.Permission]) policydb.Symbols[policydb.Permission] {
	return sortedSymbols(table, func(p *policydb.Permission) (uint32, string) { return p.Value, p.Name })
}

func normalTransitions(n, p *policydb.Policy) {
	n.RoleChanges = sorted(p.RoleChanges, func(a, b *policydb.RoleTransition) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Class, b.Class), cmp.Compare(a.NewRole, b.NewRole))
	})
	n.RangeRules = sorted(p.RangeRules, func(a, b *policydb.RangeTransition) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Class, b.Class))
	})
	n.Filenames = slices.Clone(p.Filenames)
	for i := range n.Filenames {
		n.Filenames[i].Results = sorted(n.Filenames[i].Results, func(a, b *policydb.FilenameResult) int {
			return cmp.Or(cmp.Compare(a.Type, b.Type), slices.Compare(a.Sources, b.Sources))
		})
	}
	slices.SortStableFunc(n.Filenames, func(a, b policydb.FilenameTransition) int {
		if order := cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Class, b.Class)); order != 0 {
			return order
		}
		return slices.CompareFunc(a.Results, b.Results, func(a, b policydb.FilenameResult) int { return slices.Compare(a.Sources, b.Sources) })
	})
}

// normalFilesystems puts the paths of a file system in the order in which the kernel keeps and asks them: the longest first.
func normalFilesystems(n, p *policydb.Policy) {
	n.Filesystems = sorted(p.Filesystems, func(a, b *policydb.GenericFilesystem) int { return strings.Compare(a.Name, b.Name) })
	for i := range n.Filesystems {
		n.Filesystems[i].Paths = sorted(n.Filesystems[i].Paths, func(a, b *policydb.GenericPath) int {
			return cmp.Or(cmp.Compare(len(b.Path), len(a.Path)), strings.Compare(a.Path, b.Path), cmp.Compare(a.Class, b.Class))
		})
	}
}
