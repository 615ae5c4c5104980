// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"encoding/json"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

func TestSELinuxDecideSaysWhy(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"Allowed": {[]string{"system_u:system_r:app_t:s0", "system_u:object_r:tmp_t:s0", "file", "read"},
			"allow\nallow read: rule\n\tallow domain file_type:file { getattr read };\n"},
		"Constraint": {[]string{"system_u:system_r:app_t:s0:c1", "system_u:object_r:tmp_t:s0:c2", "file", "read", "getattr"},
			"deny\ndeny read: constraint\n\tno rule helps: ( l1 dom l2 or t1 == kernel_t )\n\t\tl1 dom l2 is false: s0:c1 and s0:c2\n\t\tt1 == kernel_t is false: app_t\n" +
				"allow getattr: rule\n\tallow domain file_type:file { getattr read };\n"},
		"Boolean": {[]string{"system_u:system_r:app_t:s0", "system_u:object_r:tmp_t:s0", "file", "write"},
			"deny\ndeny write: no rule\n\tif its condition held: allow app_t tmp_t:file write; [ ! may_signal ^ may_write ]:True\n"},
		"Silent": {[]string{"system_u:system_r:app_t:s0", "system_u:object_r:quiet_t:s0", "file", "write"}, "deny\ndeny write: no rule, and dontaudit keeps it out of the log\n"},
		"Permissive": {[]string{"system_u:system_r:other_t:s0", "system_u:object_r:quiet_t:s0", "dir", "search"},
			"deny (and it happens: the source's type is permissive)\ndeny search: no rule\n"},
	} {
		if got, err := runSELinux(append([]string{"decide", "--policy", smallPolicy}, test.args...)...); err != nil || got != test.want {
			t.Errorf("%s: %v\n%s, want\n%s", name, err, got, test.want)
		}
	}
	got, err := runSELinux("decide", "--policy", smallPolicy, "--json", "system_u:system_r:app_t:s0", "system_u:object_r:tmp_t:s0", "file", "read")
	var answer accessAnswer
	if err != nil || json.Unmarshal([]byte(got), &answer) != nil || !answer.Allowed || len(answer.Permissions) != 1 || answer.Permissions[0].Cause != "rule" {
		t.Errorf("--json: %v: %s", err, got)
	}
}

// No compiler lets a bounded type have more than the one that bounds it, but a policy that was changed may.
func TestSELinuxDecideNamesTheBoundingType(t *testing.T) {
	policy, err := (&policyFlag{smallPolicy}).read()
	if err != nil {
		t.Fatal(err)
	}
	const process, target = "system_u:system_r:parent_t_child:s0", "system_u:object_r:tmp_t:s0"
	from, to, class, err := parties(policy, process, target, "file")
	if err != nil {
		t.Fatal(err)
	}
	write, err := policy.Permission(class, "write")
	if err != nil {
		t.Fatal(err)
	}
	policy, err = (&policyFlag{smallPolicy}).read() // not asked yet
	if err != nil {
		t.Fatal(err)
	}
	policy.Rules = append(policy.Rules, policydb.Rule{Source: uint16(from.Type), Target: uint16(to.Type), Class: uint16(class.Value), Kind: policydb.RuleAllow, Data: write})
	answer, err := decideAll(policy, process, target, "file", []string{"write"})
	want := "deny\ndeny write: bounds\n\tallow parent_t_child tmp_t:file write;\n\tthe type that bounds it may not, parent_t: no rule\n"
	if err != nil || answer.text() != want {
		t.Errorf("%v\n%s, want\n%s", err, answer.text(), want)
	}
}
