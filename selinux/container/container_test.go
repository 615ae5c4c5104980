// SPDX-License-Identifier: Apache-2.0

package container

import (
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// policyWith is a policy that declares no more than types.
func policyWith(names ...string) *policydb.Policy {
	policy := &policydb.Policy{}
	for i, name := range names {
		policy.Types.Entries = append(policy.Types.Entries, policydb.Type{Name: name, Value: uint32(i + 1)})
	}
	return policy
}

// texts are the names of the files, and the declarations.
func texts(t *testing.T, policy *policydb.Policy, callers ...string) (names, declarations string) {
	t.Helper()
	sources, err := Sources(policy, callers...)
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		names += strings.TrimPrefix(source.Name, "container/") + " "
	}
	return names, string(sources[0].Text)
}

func TestSourcesFollowThePolicy(t *testing.T) {
	for name, test := range map[string]struct {
		there []string
		want  string
	}{
		"NothingIsThere":  {nil, "names.cil mcs.cil container.cil svirt.cil plain.cil secrets.cil templates.cil "},
		"ReferencePolicy": {[]string{"unconfined_domain_type", "svirt_t"}, "names.cil mcs.cil container.cil unconfined.cil secrets.cil templates.cil "},
		"NoMachines":      {[]string{"unconfined_domain_type"}, "names.cil mcs.cil container.cil svirt.cil unconfined.cil secrets.cil templates.cil "},
	} {
		if got, _ := texts(t, policyWith(test.there...)); got != test.want {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestWhatThePolicyHasIsNotDeclaredAgain(t *testing.T) {
	_, bare := texts(t, policyWith())
	policy := policyWith("container_file_t", "svirt_sandbox_domain", "svirt_sandbox_file_t")
	policy.Booleans.Entries = []policydb.Boolean{{Name: "container_use_devices", Value: 1}}
	_, some := texts(t, policy)
	for _, line := range []string{"(type container_file_t)\n", "(typeattribute svirt_sandbox_domain)\n", "(typealias svirt_sandbox_file_t)\n", "(boolean container_use_devices false)\n"} {
		if !strings.Contains(bare, line) || strings.Contains(some, line) {
			t.Errorf("%q: %v and %v", line, strings.Contains(bare, line), strings.Contains(some, line))
		}
	}
	if !strings.Contains(some, "(type container_t)\n") {
		t.Error("container_t is not declared")
	}
	if Has(policy) || !Has(policyWith("container_file_t", "container_t")) {
		t.Error("a policy has containers with both types, and not with one")
	}
}

func TestCallersStartContainers(t *testing.T) {
	if _, declarations := texts(t, policyWith("launcher_t"), "launcher_t"); !strings.Contains(declarations, "(typeattributeset container_runtime_domain (launcher_t))\n") {
		t.Errorf("got %s", declarations)
	}
	if _, err := Sources(policyWith("launcher_t"), "lanucher_t"); err == nil || !strings.Contains(err.Error(), `"lanucher_t"`) {
		t.Errorf("got %v", err)
	}
}

func TestPlacesInTheJoinedTextAreThoseOfTheSources(t *testing.T) {
	sources := []cil.Source{{Name: "one.cil", Text: []byte("(type a_t)\n")}, {Name: "two.cil", Text: []byte("; comment\n(type b_t)\n(allow a_t no_such_t (file (read)))\n")}}
	_, err := cil.Compile([]cil.Source{{Name: "joined", Text: Join(sources)}}, cil.Options{})
	if err == nil || !strings.Contains(err.Error(), "two.cil:3") {
		t.Errorf("got %v", err)
	}
}
