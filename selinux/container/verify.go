// SPDX-License-Identifier: Apache-2.0

package container

import (
	"bytes"

	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// Verify compiles the domain that Generate makes of the needs onto the policy, and has the compiler hold it against the rules of secrets.cil: whichever way a permission
// comes about, by an attribute or a rule of the policy's own, what no container gets is a *RefusedError. remains is what the domain could still do to another of its
// kind with another pair, in words, "" for nothing.
func Verify(policy *policydb.Policy, needs Needs, force bool) (remains string, err error) {
	for names := namesOf(policy); names["type "+needs.Name+".process"]; {
		needs.Name += "_" // the policy has the domain from before
	}
	domain, err := Generate(policy, needs, force)
	if err != nil {
		return "", err
	}
	sources := []cil.Source{{Name: domain.Type, Text: domain.Text}, embedded("secrets")}
	result, err := cil.Compile(sources[:1], cil.Options{Onto: policy})
	if err != nil {
		return "", err
	}
	sources[1].Text = bytes.ReplaceAll(sources[1].Text, []byte("container_domain"), []byte(domain.Type)) // what others have is not in question
	if _, err := cil.Compile(sources, cil.Options{Onto: policy}); err != nil {
		return "", &RefusedError{Need: "domain " + domain.Type, Reason: err.Error(), Always: true}
	}
	toProcesses, toFiles, err := Residue(result.Policy, "system_u:system_r:"+domain.Type, "system_u:object_r:"+FileType)
	return Sentence(toProcesses, toFiles), err
}
