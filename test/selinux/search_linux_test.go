// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// sesearch (setools) and Search find the same rules and write them alike.
func TestSearchIsSesearchs(t *testing.T) {
	path, policy := debian(t)
	for name, test := range map[string]struct {
		options []string
		query   policydb.Query
	}{
		"Source":      {[]string{"-A", "-s", "svirt_t"}, policydb.Query{Source: "svirt_t"}},
		"Target":      {[]string{"-A", "-t", "shadow_t", "-c", "file,dir"}, policydb.Query{Target: "shadow_t", Classes: []string{"file", "dir"}}},
		"Direct":      {[]string{"-A", "-s", "domain", "-ds"}, policydb.Query{Source: "domain", DirectSource: true}},
		"Attribute":   {[]string{"-A", "-s", "virt_domain", "-t", "file_type", "-c", "file", "-p", "write"}, policydb.Query{Source: "virt_domain", Target: "file_type", Classes: []string{"file"}, Permissions: []string{"write"}}},
		"Boolean":     {[]string{"-A", "-b", "virt_use_nfs"}, policydb.Query{Boolean: "virt_use_nfs"}},
		"Permissions": {[]string{"-A", "-s", "sshd_t", "-p", "transition,name_bind"}, policydb.Query{Source: "sshd_t", Permissions: []string{"transition", "name_bind"}}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command("sesearch", append(test.options, path)...).Output()
			if err != nil {
				t.Fatalf("sesearch: %v (apt-get install setools)", err)
			}
			want := strings.Split(strings.TrimSpace(string(out)), "\n")
			slices.Sort(want)
			test.query.Kinds = policydb.RuleAllow | policydb.RuleAllowExtended
			found, err := policy.Search(test.query)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, rule := range found {
				got = append(got, policy.FormatRule(rule))
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%d rules, sesearch finds %d", len(got), len(want))
				for _, line := range got {
					if !slices.Contains(want, line) {
						t.Errorf("only here: %s", line)
						break
					}
				}
				for _, line := range want {
					if !slices.Contains(got, line) {
						t.Errorf("only there: %s", line)
						break
					}
				}
			}
		})
	}
}
