// SPDX-License-Identifier: Apache-2.0

package cil_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// namesOfBase are those of base.cil that a binary policy does not have.
const namesOfBase = "(level low (s0)) (level high (s1 (range c0 c5))) (levelrange single (low low)) (levelrange all (low high))\n"

// What a module adds to a policy is what it would be there if both were compiled together: no rule, context or constraint more or less. Which attributes stand in the
// policy may differ; and a role has its types one by one there, so that it does not get those that a module puts into an attribute that it once had.
func TestRandomModulesOntoAPolicyAddWhatTheyAddToItsSources(t *testing.T) {
	text, err := os.ReadFile(base)
	if err != nil {
		t.Fatal(err)
	}
	// Attributes that a policy keeps, so that modules may name them.
	text = append(text, "(allow files files (file (getattr)))\n(constrain (passwd (passwd)) (or (eq t1 files) (eq t2 domain)))\n"...)
	alone, err := cil.Compile([]cil.Source{{Name: "base", Text: text}}, cil.Options{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := alone.Policy.Encode()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for seed := *firstSeed; seed < *firstSeed+uint64(*policies); seed++ {
		module := cil.Source{Name: "module", Text: []byte(generated(seed, false))}
		together, err := cil.Compile([]cil.Source{{Name: "base", Text: text}, module}, cil.Options{})
		onto, ontoErr := cil.Compile([]cil.Source{{Name: "names", Text: []byte(namesOfBase)}, module}, cil.Options{Onto: alone.Policy})
		if (err == nil) != (ontoErr == nil) {
			t.Errorf("seed %d: together: %v; onto: %v", seed, err, ontoErr)
		}
		if err != nil || ontoErr != nil {
			continue
		}
		compared++
		sameMeaning(t, seed, together.Policy, onto.Policy)
	}
	if after, err := alone.Policy.Encode(); err != nil || string(after) != string(before) {
		t.Errorf("the policy that was compiled onto has changed: %v", err)
	}
	if compared < *policies/2 {
		t.Errorf("%d of %d random modules were compared", compared, *policies)
	}
}

func sameMeaning(t *testing.T, seed uint64, together, onto *policydb.Policy) {
	t.Helper()
	for difference := range policydb.Diff(together, onto) {
		lost := difference.Kind == "role" && difference.Sign == policydb.Modified && !slices.ContainsFunc(difference.Details, func(detail string) bool { return !strings.HasPrefix(detail, "- type ") })
		if difference.Kind != "attribute" && !lost {
			t.Errorf("seed %d: %s %s %s %q", seed, difference.Kind, difference.Sign, difference.Text, difference.Details)
		}
	}
}
