// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"os/exec"
	"path/filepath"
	"regexp"
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
		"Boolean":     {[]string{"-A", "-b", "virt_use_nfs"}, policydb.Query{Booleans: []string{"virt_use_nfs"}}},
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

// More of sesearch's options, on a policy that has all kinds of rules.
func TestSearchOptionsAreSesearchs(t *testing.T) {
	path := filepath.Join("..", "..", "selinux", "policydb", "testdata", "small.33")
	policy := decode(t, path)
	access, expression := uint16(policydb.RuleAllow|policydb.RuleAllowExtended), regexp.MustCompile
	for options, query := range map[string]policydb.Query{
		"-T":                                {Kinds: policydb.RuleTransition},
		"-T -D named_t":                     {Kinds: policydb.RuleTransition, Default: "named_t"},
		"-T -D file_type -c file":           {Kinds: policydb.RuleTransition, Default: "file_type", Classes: []string{"file"}},
		"-T -D ^na -rd":                     {Kinds: policydb.RuleTransition, DefaultExpression: expression("^na")},
		"-A -s ^app -rs -t data -rt":        {Kinds: access, SourceExpression: expression("^app"), TargetExpression: expression("data")},
		"-A -s ^dom -rs -ds":                {Kinds: access, SourceExpression: expression("^dom"), DirectSource: true},
		"-A -c ^un -rc":                     {Kinds: access, ClassExpression: expression("^un")},
		"-A -p read,getattr -Sp":            {Kinds: access, Permissions: []string{"read", "getattr"}, AllPermissions: true},
		"-A -p read,getattr -ep":            {Kinds: access, Permissions: []string{"read", "getattr"}, EqualPermissions: true},
		"-A -p ioctl":                       {Kinds: access, Permissions: []string{"ioctl"}},
		"--dontaudit -p write -ep":          {Kinds: policydb.RuleAuditDeny, Permissions: []string{"write"}, EqualPermissions: true},
		"--allowxperm -x 0x8910":            {Kinds: policydb.RuleAllowExtended, Commands: []policydb.CommandRange{{First: 0x8910, Last: 0x8910}}},
		"--allowxperm -x 0x5400-0x54ff -ex": {Kinds: policydb.RuleAllowExtended, Commands: []policydb.CommandRange{{First: 0x5400, Last: 0x54ff}}, EqualCommands: true},
		"-A -b may_signal,may_write -eb":    {Kinds: access, Booleans: []string{"may_signal", "may_write"}, EqualBooleans: true},
		"-A -b third,may_signal":            {Kinds: access, Booleans: []string{"third", "may_signal"}},
		"-A -b ^thi -rb":                    {Kinds: access, BooleanExpression: expression("^thi")},
	} {
		want := sesearch(t, path, strings.Fields(options))
		found, err := policy.Search(query)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, rule := range found {
			got = append(got, policy.FormatRule(rule))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) || len(got) == 0 {
			t.Errorf("%s: %s, sesearch finds %s", options, got, want)
		}
	}
}

func sesearch(t *testing.T, path string, options []string) []string {
	t.Helper()
	out, err := exec.Command("sesearch", append(options, path)...).Output()
	if err != nil {
		t.Fatalf("sesearch: %v (apt-get install setools)", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	return lines
}
