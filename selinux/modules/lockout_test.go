// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bulkhead-project/bulkhead/internal/vm"
	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// guestPolicy is the policy of internal/vm: kernel_t, user_t and others unconfined, container_t confined.
func guestPolicy(t testing.TB) *policydb.Policy {
	t.Helper()
	data, err := guestBytes()
	if err != nil {
		t.Fatal(err)
	}
	policy, err := policydb.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

var guestBytes = sync.OnceValues(func() ([]byte, error) {
	mls := true
	result, err := cil.Compile([]cil.Source{{Name: "guest.cil", Text: []byte(vm.GuestPolicy())}}, cil.Options{MLS: &mls})
	if err != nil {
		return nil, err
	}
	return result.Policy.Encode()
})

const (
	kernelContext    = "system_u:system_r:kernel_t:s0-s0:c0.c1023"
	userContext      = "system_u:system_r:user_t:s0-s0:c0.c1023"
	containerContext = "system_u:system_r:container_t:s0:c1,c2"
	binContext       = "system_u:object_r:bin_t:s0"
)

// guest is a machine with an administrator, who comes from an init by way of a login, and a container.
func guest() Machine {
	return Machine{Caller: 30, Shell: binContext, Processes: []Process{
		{PID: 1, Command: "init", Context: kernelContext, Executable: binContext},
		{PID: 2, Command: "kthreadd", Context: kernelContext},
		{PID: 20, Parent: 1, Command: "login", Context: kernelContext, Executable: binContext},
		{PID: 29, Parent: 20, Command: "sh (x)", Context: userContext, Executable: binContext},
		{PID: 30, Parent: 29, Command: "bulkhead", Context: userContext, Executable: binContext},
		{PID: 40, Parent: 1, Command: "nginx", Context: containerContext, Executable: "system_u:object_r:container_file_t:s0:c1,c2"},
	}}
}

func value(t *testing.T, p *policydb.Policy, name string) uint32 {
	t.Helper()
	for _, typ := range p.Types.Entries {
		if typ.Name == name {
			return typ.Value
		}
	}
	t.Fatalf("no type %s", name)
	return 0
}

func class(t *testing.T, p *policydb.Policy, name string) *policydb.Class {
	t.Helper()
	class, err := p.Class(name)
	if err != nil {
		t.Fatal(err)
	}
	return class
}

// forbid adds a constraint: the permissions are for sources of the one type only.
func forbid(t *testing.T, p *policydb.Policy, className, permission, except string) {
	t.Helper()
	c := class(t, p, className)
	bit, err := p.Permission(c, permission)
	if err != nil {
		t.Fatal(err)
	}
	only := value(t, p, except) - 1
	names := make(policydb.Bitmap, only/64+1)
	names[only/64] = 1 << (only % 64)
	c.Constraints = append(c.Constraints, policydb.Constraint{Permissions: bit, Expression: []policydb.Term{{
		Kind: policydb.TermNames, Attribute: policydb.AttributeType, Operator: policydb.OperatorEqual, Names: names, Types: policydb.TypeSet{Types: names}}}})
}

// without takes permissions from the allow rules of a class.
func without(t *testing.T, p *policydb.Policy, className string) {
	t.Helper()
	number := class(t, p, className).Value
	p.Rules = slices.DeleteFunc(p.Rules, func(r policydb.Rule) bool { return uint32(r.Class) == number })
}

func TestAPolicyThatLocksOutIsFound(t *testing.T) {
	for name, test := range map[string]struct {
		change    func(*policydb.Policy)
		machine   func(*Machine)
		invariant string
		words     string
	}{
		"the same policy": {},
		"a rule more": {change: func(p *policydb.Policy) {
			p.Rules = append(p.Rules, policydb.Rule{Source: uint16(value(t, p, "container_t")), Target: uint16(value(t, p, "secret_t")), Class: uint16(class(t, p, "file").Value), Kind: policydb.RuleAllow, Data: 1})
		}},
		"something is taken from a container": {change: func(p *policydb.Policy) { forbid(t, p, "tcp_socket", "name_bind", "user_t") }},
		"the caller may no longer load": {change: func(p *policydb.Policy) { forbid(t, p, "security", "load_policy", "kernel_t") },
			invariant: KeepsControl, words: userContext + " would lose { load_policy } on security system_u:object_r:selinuxfs_t:s0: the constraint t1 == kernel_t does not hold"},
		"the kernel and init may no longer load": {change: func(p *policydb.Policy) { forbid(t, p, "security", "load_policy", "user_t") },
			invariant: KeepsControl, words: kernelContext + " would lose { load_policy }"},
		"nobody may make it permissive": {change: func(p *policydb.Policy) { forbid(t, p, "security", "setenforce", "container_t") },
			invariant: KeepsControl, words: "{ setenforce }"},
		"no rule for the security server": {change: func(p *policydb.Policy) { without(t, p, "security") },
			invariant: KeepsControl, words: "without the rule allow unconfined_domain all_type:security {"},
		"no way to the file": {change: func(p *policydb.Policy) { forbid(t, p, "dir", "search", "container_t") },
			invariant: KeepsControl, words: "{ search } on dir system_u:object_r:selinuxfs_t:s0"},
		"none that runs can load": {change: func(p *policydb.Policy) { forbid(t, p, "security", "load_policy", "spc_t") },
			machine:   func(m *Machine) { m.Caller = 40 },
			invariant: KeepsLoader, words: "no running domain could load a policy any more; today " + kernelContext + ", " + userContext + " can"},
		"a context that is in use": {change: func(p *policydb.Policy) {
			p.Roles.Entries[slices.IndexFunc(p.Roles.Entries, func(r policydb.Role) bool { return r.Name == "system_r" })].Types[0] &^= 1 << (value(t, p, "container_t") - 1)
		}, invariant: KeepsContexts, words: "process 40 (nginx) would be left without a valid context"},
		"the caller's capabilities": {change: func(p *policydb.Policy) { forbid(t, p, "capability", "sys_admin", "kernel_t") },
			invariant: KeepsSelf, words: "{ sys_admin } on capability " + userContext},
		"unknown classes are denied": {change: func(p *policydb.Policy) { p.Unknown = policydb.DenyUnknown }, invariant: KeepsUnknown, words: "would be denied, and is allowed"},
		"another policy capability":  {change: func(p *policydb.Policy) { p.Capabilities = policydb.Bitmap{3} }, invariant: KeepsCapabilities, words: "would be [0 1]"},
		"a login is not let in": {change: func(p *policydb.Policy) { forbid(t, p, "process", "transition", "spc_t") },
			invariant: KeepsWay, words: kernelContext + " would lose { transition } on process " + userContext},
		"a shell would be another domain": {change: func(p *policydb.Policy) {
			p.Rules = append(p.Rules, policydb.Rule{Source: uint16(value(t, p, "user_t")), Target: uint16(value(t, p, "bin_t")), Class: uint16(class(t, p, "process").Value), Kind: policydb.RuleTransition, Data: value(t, p, "container_t")})
		}, invariant: KeepsWay, words: userContext + " would start a shell as system_u:system_r:container_t:s0-s0:c0.c1023, and does as " + userContext},
		"what is permissive loses nothing": {change: func(p *policydb.Policy) {
			without(t, p, "security")
			p.Permissive = policydb.Bitmap{1<<value(t, p, "user_t") | 1<<value(t, p, "kernel_t")}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			after, machine := guestPolicy(t), guest()
			if test.change != nil {
				test.change(after)
			}
			if test.machine != nil {
				test.machine(&machine)
			}
			found := LockOut(guestPolicy(t), after, machine)
			if test.invariant == "" {
				if len(found) > 0 {
					t.Errorf("found %v", found)
				}
				return
			}
			if !slices.ContainsFunc(found, func(v Violation) bool {
				return v.Invariant == test.invariant && strings.Contains(v.String(), test.words)
			}) {
				t.Errorf("%s with %q is not among %q", test.invariant, test.words, found)
			}
			for _, violation := range found {
				if strings.Contains(violation.String(), "container_t:s0:c1") && test.invariant != KeepsContexts {
					t.Errorf("of a container, which is no keeper: %v", violation)
				}
			}
		})
	}
}
