// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// ruled is a policy for x86_64.
func ruled(action Action, rules ...Rule) *Policy {
	return &Policy{Default: action, ABIs: []*syscalls.ABI{syscalls.ByName("x86_64")}, Newest: Version{Major: 6, Minor: 18}, Rules: rules}
}

func TestPoliciesThatLockOut(t *testing.T) {
	one := []Condition{{Index: 0, Op: Equal, Value: 1}}
	start, end := []string{"read", "execve"}, []string{"exit_group"}
	for name, test := range map[string]struct {
		policy *Policy
		call   string
		action Action
	}{
		"AllAllowed":           {ruled(Allow), "", 0},
		"AllLogged":            {ruled(Log), "", 0},
		"AllDenied":            {ruled(Errno | 1), "execve", Errno | 1},
		"AllTraced":            {ruled(Trace), "execve", Trace},
		"BothAllowed":          {ruled(Errno|1, Rule{Names: start, Action: Allow}, Rule{Names: end, Action: Log}), "", 0},
		"NoEnd":                {ruled(KillProcess, Rule{Names: start, Action: Allow}), "exit_group", KillProcess},
		"AskedAbout":           {ruled(Errno|1, Rule{Names: start, Action: Notify}, Rule{Names: end, Action: Allow}), "", 0},
		"DeniedByARule":        {ruled(Allow, Rule{Names: start, Action: Trap}), "execve", Trap},
		"DeniedByTheFirst":     {ruled(Allow, Rule{Names: start, Action: Errno | 2}, Rule{Names: start, Action: Allow}), "execve", Errno | 2},
		"AllowedByTheFirst":    {ruled(Allow, Rule{Names: start, Action: Allow}, Rule{Names: start, Action: Errno | 2}), "", 0},
		"DeniedForArguments":   {ruled(Allow, Rule{Names: end, Action: KillThread, Conditions: one}), "", 0},
		"AllowedForArguments":  {ruled(Errno|1, Rule{Names: start, Action: Allow}, Rule{Names: end, Action: Allow, Conditions: one}), "", 0},
		"DeniedAndForArgument": {ruled(Allow, Rule{Names: end, Action: Allow, Conditions: one}, Rule{Names: end, Action: Errno | 3}), "exit_group", Errno | 3},
	} {
		call, action, locked := test.policy.LocksOut()
		if call != test.call || action != test.action || locked != (test.call != "") {
			t.Errorf("%s: %s, %s, %t", name, call, action, locked)
		}
	}
}
