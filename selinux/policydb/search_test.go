// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"errors"
	"slices"
	"testing"
)

// Expected are the lines of sesearch (setools 4.4.1) over the same policy.
func TestSearch(t *testing.T) {
	_, p := small(t, 33)
	const allow = "allow app_t data_t:file { ioctl relabelfrom relabelto };"
	const conditional = "allow app_t data_t:file write; [ third && may_signal || may_write ]:True"
	for name, test := range map[string]struct {
		query Query
		want  []string
	}{
		"SourceByItsAttributes": {Query{Kinds: RuleAllow, Source: "init_t", Classes: []string{"file"}}, []string{
			"allow domain file_type:file { getattr read };", "allow init_t bin_t:file { entrypoint execute };"}},
		"DirectSource":      {Query{Kinds: RuleAllow, Source: "init_t", DirectSource: true, Classes: []string{"file"}}, []string{"allow init_t bin_t:file { entrypoint execute };"}},
		"AttributeAsSource": {Query{Kinds: RuleAllow, Source: "domain", DirectSource: true, Classes: []string{"file"}}, []string{"allow domain file_type:file { getattr read };"}},
		"AttributeMeetsTypes": {Query{Kinds: RuleAllow, Source: "parent_t_child", Target: "file_type"}, []string{"allow domain file_type:file { getattr read };",
			"allow parent_t_child data_t:file write;", "allow parent_t_child secret_t:file write;"}},
		"Permission": {Query{Kinds: RuleAllow, Source: "app_t", Permissions: []string{"ioctl", "transition"}}, []string{allow, "allow app_t secret_t:file ioctl;"}},
		"Boolean": {Query{Booleans: []string{"may_signal"}, Target: "data_t"}, []string{conditional,
			"auditallow app_t data_t:file write; [ third && may_signal || may_write ]:False"}},
		"NotAndXor":  {Query{Kinds: RuleAllow, Source: "app_t", Target: "tmp_t", DirectSource: true}, []string{"allow app_t tmp_t:file write; [ ! may_signal ^ may_write ]:True"}},
		"Equal":      {Query{Kinds: RuleAllow, Source: "other_t", DirectSource: true}, []string{"allow other_t tmp_t:file write; [ third == may_write ]:True"}},
		"DontAudit":  {Query{Kinds: RuleAuditDeny}, []string{"dontaudit app_t secret_t:file write; [ third && may_signal || may_write ]:True", "dontaudit domain quiet_t:file write;"}},
		"Extended":   {Query{Kinds: RuleAllowExtended}, []string{"allowxperm app_t data_t:file ioctl 0x5400-0x54ff;", "allowxperm app_t data_t:file ioctl { 0x8910 0x8920-0x8930 };"}},
		"TypeRule":   {Query{Kinds: RuleTransition, Source: "init_t"}, []string{"type_transition init_t bin_t:process app_t;"}},
		"SilentOnes": {Query{Kinds: RuleSilentExtended | RuleAuditExtended, Permissions: []string{"ioctl"}}, []string{"auditallowxperm app_t data_t:file ioctl 0x8910;", "dontauditxperm app_t data_t:file ioctl 0x9999;"}},
		"Nothing":    {Query{Source: "app_t", Target: "app_t", Classes: []string{"system"}}, nil},
	} {
		found, err := p.Search(test.query)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, one := range found {
			got = append(got, p.FormatRule(one))
		}
		slices.Sort(got)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s:\n%q, want\n%q", name, got, test.want)
		}
	}
	for name, query := range map[string]Query{
		"nothing_t": {Source: "nothing_t"}, "nothing_d": {Target: "nothing_d"}, "things": {Classes: []string{"file", "things"}},
		"fly": {Permissions: []string{"read", "fly"}}, "may_fly": {Booleans: []string{"may_fly"}},
	} {
		var unknown *UnknownError
		if _, err := p.Search(query); !errors.As(err, &unknown) || unknown.Name != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}
