// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// Processes at several levels try files of several levels. The policy is testdata/mls.cil: read down, write up.
func TestLevelsKeepReadersFromWhatIsAboveAndWritersFromWhatIsBelow(t *testing.T) {
	vmtest.Require(t, vmtest.SELinux)
	policy := load(t, encode(t, compile(t, "base.cil", "mls.cil")))
	levels := []string{"s0", "s1", "s2", "s1:c1", "s1:c1,c70", "s2:c1"}
	directory := t.TempDir()
	var files []string
	for _, level := range levels {
		files = append(files, filepath.Join(directory, level))
		labelled(t, filepath.Join(directory, level), "system_u:object_r:data_t:"+level)
	}
	for _, level := range levels {
		t.Run(level, func(t *testing.T) {
			process := "system_u:system_r:app_t:" + level
			before, watch := messages(t), vmtest.WatchAVCs(t)
			refused := inDomain(t, process, errand{Files: files})
			denials := watch.Denials()
			list := why(t, before, process)
			for i, of := range levels {
				for j, permission := range []string{"read", "append"} {
					target := "system_u:object_r:data_t:" + of
					x := ask(t, policy, process, target, permission)
					if x.Allowed == refused[i][j] || !x.Allowed && x.Cause != policydb.ByConstraint {
						t.Errorf("%s %s: refused %t, policydb says %s", permission, of, refused[i][j], x.Cause)
					}
					logged := slices.ContainsFunc(denials, func(a vmtest.AVC) bool {
						return a.Source == process && a.Target == target && a.Class == "file" && slices.Contains(a.Permissions, permission)
					})
					reason := reasonOf(list, target, permission)
					if logged == x.Allowed || !x.Allowed && reason != string(policydb.ByConstraint) || x.Allowed && reason != "" {
						t.Errorf("%s %s: allowed %t, logged %t, and why says %q", permission, of, x.Allowed, logged, reason)
					}
				}
			}
		})
	}
	// What the words of the policy mean, once by hand.
	for question, want := range map[[3]string]bool{{"s1", "s2", "read"}: false, {"s1", "s0", "read"}: true, {"s1", "s0", "append"}: false, {"s1", "s2", "append"}: true,
		{"s1:c1", "s1:c1,c70", "read"}: false, {"s1:c1,c70", "s1:c1", "read"}: true, {"s2", "s1:c1", "read"}: false} {
		if x := ask(t, policy, "system_u:system_r:app_t:"+question[0], "system_u:object_r:data_t:"+question[1], question[2]); x.Allowed != want {
			t.Errorf("%v: %t", question, x.Allowed)
		}
	}
}

// ask explains one permission of a file.
func ask(t *testing.T, policy *policydb.Policy, process, target, permission string) policydb.Explanation {
	t.Helper()
	source, err := policy.ParseContext(process)
	if err != nil {
		t.Fatal(err)
	}
	object, err := policy.ParseContext(target)
	if err != nil {
		t.Fatal(err)
	}
	bit, err := policy.Permission(classOf(policy, "file"), permission)
	if err != nil {
		t.Fatal(err)
	}
	return policy.Explain(source, object, classOf(policy, "file").Value, bit)
}

// reasonOf is what bulkhead said of a denial, "" where it was asked about none.
func reasonOf(list []explained, target, permission string) string {
	for _, one := range list {
		for _, p := range one.Permissions {
			if one.Target == target && p.Permission == permission {
				return p.Cause
			}
		}
	}
	return ""
}
