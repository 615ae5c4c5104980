// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"os"
	"slices"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

func fingerprint(t *testing.T, p *policydb.Policy) string {
	t.Helper()
	text, err := Fingerprint(p)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// allKinds is a policy with every kind of table.
func allKinds(t *testing.T) *policydb.Policy {
	t.Helper()
	data, err := os.ReadFile("../policydb/testdata/small.33")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := policydb.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(policy.Conditions) == 0 || len(policy.Booleans.Entries) == 0 || len(policy.Filenames) == 0 || len(policy.RangeRules) == 0 || len(policy.RoleAllows) == 0 ||
		!slices.ContainsFunc(policy.Rules, func(r policydb.Rule) bool { return r.Extended != nil }) {
		t.Fatal("the policy has not got every table")
	}
	return policy
}

func TestTheOrderOfHashTablesAndBooleansDoNotCount(t *testing.T) {
	want := fingerprint(t, allKinds(t))
	for name, change := range map[string]func(*policydb.Policy){
		"rules":             func(p *policydb.Policy) { slices.Reverse(p.Rules) },
		"types":             func(p *policydb.Policy) { slices.Reverse(p.Types.Entries) },
		"classes":           func(p *policydb.Policy) { slices.Reverse(p.Classes.Entries) },
		"permissions":       func(p *policydb.Policy) { slices.Reverse(p.Classes.Entries[0].Permissions.Entries) },
		"rules of a branch": func(p *policydb.Policy) { slices.Reverse(p.Conditions[0].True) },
		"file names":        func(p *policydb.Policy) { slices.Reverse(p.Filenames) },
		"ranges":            func(p *policydb.Policy) { slices.Reverse(p.RangeRules) },
		"role allows":       func(p *policydb.Policy) { slices.Reverse(p.RoleAllows) },
		"file systems":      func(p *policydb.Policy) { slices.Reverse(p.Filesystems) },
		"a boolean": func(p *policydb.Policy) {
			p.Booleans.Entries[0].State ^= 1
			p.Conditions[0].State ^= 1
			for i := range p.Conditions[0].True {
				p.Conditions[0].True[i].Kind ^= enabledRule
			}
		},
	} {
		policy := allKinds(t)
		if change(policy); fingerprint(t, policy) != want {
			t.Errorf("%s: another fingerprint", name)
		}
	}
}

func TestEveryChangeOfAPolicyIsSeen(t *testing.T) {
	extended := func(p *policydb.Policy) *policydb.Extended {
		return p.Rules[slices.IndexFunc(p.Rules, func(r policydb.Rule) bool { return r.Extended != nil })].Extended
	}
	seen := map[string]string{fingerprint(t, allKinds(t)): "the policy itself"}
	for name, change := range map[string]func(*policydb.Policy){
		"a permission":        func(p *policydb.Policy) { p.Rules[0].Data ^= 1 },
		"a target":            func(p *policydb.Policy) { p.Rules[0].Target ^= 1 },
		"a source":            func(p *policydb.Policy) { p.Rules[0].Source ^= 1 },
		"two targets changed": func(p *policydb.Policy) { p.Rules[0].Target, p.Rules[1].Target = p.Rules[1].Target, p.Rules[0].Target },
		"a rule less":         func(p *policydb.Policy) { p.Rules = p.Rules[1:] },
		"a rule twice":        func(p *policydb.Policy) { p.Rules = append(p.Rules, p.Rules[0]) },
		"an ioctl":            func(p *policydb.Policy) { extended(p).Bits[7] ^= 1 },
		"a driver":            func(p *policydb.Policy) { extended(p).Driver ^= 1 },
		"branches changed": func(p *policydb.Policy) {
			p.Conditions[0].True, p.Conditions[0].False = p.Conditions[0].False, p.Conditions[0].True
		},
		"a condition":            func(p *policydb.Policy) { p.Conditions[0].Expression[0].Kind ^= 1 },
		"a type's name":          func(p *policydb.Policy) { p.Types.Entries[0].Name += "x" },
		"an attribute of a type": func(p *policydb.Policy) { p.Attributes[0][0] ^= 1 << 5 },
		"a constraint": func(p *policydb.Policy) {
			p.Classes.Entries[0].Constraints = append(p.Classes.Entries[0].Constraints, policydb.Constraint{Permissions: 1})
		},
		"a permissive type":               func(p *policydb.Policy) { p.Permissive = policydb.Bitmap{4} },
		"what is done with the unknown":   func(p *policydb.Policy) { p.Unknown ^= policydb.AllowUnknown },
		"the context of the security SID": func(p *policydb.Policy) { p.Objects.Initial[1].Context.Type ^= 1 },
		"the version":                     func(p *policydb.Policy) { p.Version = 34 },
	} {
		policy := allKinds(t)
		change(policy)
		got := fingerprint(t, policy)
		if seen[got] != "" {
			t.Errorf("%s has the fingerprint of %s", name, seen[got])
		}
		seen[got] = name
	}
}
