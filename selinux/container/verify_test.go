// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// plainContainers is a policy that shares nothing with the reference policy, more statements, and the container policy on them.
func plainContainers(t *testing.T, more string) *policydb.Policy {
	t.Helper()
	text, err := os.ReadFile("testdata/plain.cil")
	if err != nil {
		t.Fatal(err)
	}
	base, err := cil.Compile([]cil.Source{{Name: "plain.cil", Text: append(text, more...)}}, cil.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sources, err := Sources(base.Policy, "kernel_t")
	if err != nil {
		t.Fatal(err)
	}
	result, err := cil.Compile(sources, cil.Options{Onto: base.Policy})
	if err != nil {
		t.Fatal(err)
	}
	return result.Policy
}

func TestVerifiedDomainsLeaveNothing(t *testing.T) {
	policy := plainContainers(t, "")
	commentLast := Needs{Name: "web", Mounts: []Mount{{Source: "/s", Destination: "/d", Class: "dir", Label: labelOf(FileType)}}}
	if _, err := Verify(policy, commentLast, false); err != nil {
		t.Error(err)
	}
	needs := Needs{Name: "web", Mounts: []Mount{{Source: "/s", Destination: "/d", Class: "dir", Label: labelOf("secret_t")}}, Capabilities: []string{"chown"}}
	if remains, err := Verify(policy, needs, false); err != nil || remains != "" {
		t.Errorf("remains %q, %v", remains, err)
	}
	domain, err := Generate(policy, needs, false)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := cil.Compile([]cil.Source{{Name: "web.cil", Text: domain.Text}}, cil.Options{Onto: policy})
	if err != nil {
		t.Fatal(err)
	}
	if remains, err := Verify(loaded.Policy, needs, false); err != nil || remains != "" {
		t.Errorf("where it is loaded already: remains %q, %v", remains, err)
	}
}

// Generate looks at the labels of mounts; the policy's own rules give what they like to attributes that every domain joins.
func TestVerifyFindsWhatThePolicyItselfGives(t *testing.T) {
	const domain = "(type shadow_t) (roletype object_r shadow_t) (typeattribute domain) (typeattributeset domain (kernel_t root_t)) (allow domain secret_t (file (getattr)))"
	careless := cil.Source{Name: "careless.cil", Text: []byte("(allow domain shadow_t (file (read)))")} // loaded by somebody, without the rules of secrets.cil
	result, err := cil.Compile([]cil.Source{careless}, cil.Options{Onto: plainContainers(t, domain)})
	if err != nil {
		t.Fatal(err)
	}
	policy := result.Policy
	needs := Needs{Name: "web"}
	if _, err := Generate(policy, needs, false); err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	if _, err := Verify(policy, needs, true); !errors.As(err, &refused) || !refused.Always || !strings.Contains(err.Error(), "shadow_t") {
		t.Errorf("got %v", err)
	}
}

func TestVerifySaysWhatOthersConstraintsLeave(t *testing.T) {
	text, err := os.ReadFile("testdata/plain.cil")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, `(type container_t) (type container_file_t) (roletype object_r container_file_t) (roletype system_r container_t) (roletype object_r container_t)
		(typeattribute container_domain) (typeattributeset container_domain (container_t)) (typeattribute mcs_constrained_type) (typeattributeset mcs_constrained_type (container_t))
		(allow container_domain container_domain (process (signal signull))) (allow container_domain container_file_t (file (read getattr)))
		(mlsconstrain (process (signal)) (or (dom h1 h2) (neq t1 mcs_constrained_type))) (mlsconstrain (file (read)) (or (dom h1 h2) (neq t1 mcs_constrained_type)))`...)
	base, err := cil.Compile([]cil.Source{{Name: "distribution.cil", Text: text}}, cil.Options{})
	if err != nil {
		t.Fatal(err)
	}
	remains, err := Verify(base.Policy, Needs{Name: "web"}, false)
	if err != nil || !strings.Contains(remains, "to its processes: process signull, tcp_socket ") || !strings.Contains(remains, "to its files: file getattr") || strings.Contains(remains, "process { sig") {
		t.Errorf("remains %q, %v", remains, err)
	}
}
