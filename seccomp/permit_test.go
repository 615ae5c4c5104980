// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
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

// decisions returns what a policy says of calls of x86_64 whose arguments are all as given.
func decisions(policy *Policy, argument uint64, names ...string) (actions []Action) {
	abi := policy.ABIs[0]
	for _, name := range names {
		call, _ := syscalls.Lookup(name)
		number, _ := abi.Number(call)
		verdict := NewDecider(policy).Decide(bpf.Data{Number: number, Arch: abi.Audit, Args: [6]uint64{argument, argument, argument}})
		actions = append(actions, verdict.Action)
	}
	return actions
}

func TestPolicyPermitsOnlyWhatItDenied(t *testing.T) {
	one := []Condition{{Index: 0, Op: Equal, Value: 1}}
	const a, b, x = "dup", "dup2", "close"
	for name, test := range map[string]struct {
		policy *Policy
		added  []string
	}{
		"DeniedByDefault":     {ruled(Errno | 1), []string{a, b}},
		"AllowedByDefault":    {ruled(Allow), nil},
		"LoggedByDefault":     {ruled(Log), nil},
		"AllowedByRule":       {ruled(Errno|1, Rule{Names: []string{a, b}, Action: Allow}), nil},
		"OneDeniedByRule":     {ruled(Allow, Rule{Names: []string{x, b}, Action: Errno}), []string{b}},
		"OnlyCallOfTheRule":   {ruled(Allow, Rule{Names: []string{a}, Action: KillThread}), []string{a}},
		"AllowedForArguments": {ruled(Errno|1, Rule{Names: []string{a}, Action: Allow, Conditions: one}, Rule{Names: []string{b}, Action: Allow}), []string{a}},
		"DeniedForArguments":  {ruled(Allow, Rule{Names: []string{a}, Action: Errno | 1, Conditions: one}), []string{a}},
		"DeniedOverAllowed":   {ruled(Allow, Rule{Names: []string{a}, Action: Allow}, Rule{Names: []string{a, x}, Action: Errno | 1}), []string{a}},
		"AskedAbout":          {ruled(Allow, Rule{Names: []string{b}, Action: Notify}), []string{b}},
	} {
		before := *test.policy
		before.Rules = slices.Clone(test.policy.Rules)
		for i := range before.Rules {
			before.Rules[i].Names = slices.Clone(before.Rules[i].Names)
		}
		wider, added := test.policy.Permit(a, b)
		if !slices.Equal(added, test.added) {
			t.Errorf("%s: added %v", name, added)
		}
		for _, argument := range []uint64{0, 1} {
			for i, action := range decisions(wider, argument, a, b) {
				if action != Allow && action != Log {
					t.Errorf("%s: call %d is %s", name, i, action)
				}
			}
			if was, is := decisions(test.policy, argument, x), decisions(wider, argument, x); !slices.Equal(was, is) {
				t.Errorf("%s: %s was %v and is %v", name, x, was, is)
			}
		}
		if !reflect.DeepEqual(before, *test.policy) {
			t.Errorf("%s: the policy that was given was changed", name)
		}
		if len(added) == 0 && wider != test.policy {
			t.Errorf("%s: copied for nothing", name)
		}
		if again, more := wider.Permit(a, b); again != wider || more != nil {
			t.Errorf("%s: permitted twice: %s", name, strings.Join(more, " "))
		}
	}
}
