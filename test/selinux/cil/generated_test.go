// SPDX-License-Identifier: Apache-2.0

package cil_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	policies  = flag.Int("policies", 60, "random policies to compare, for each version of the reference")
	firstSeed = flag.Uint64("seed", 1, "seed of the first random policy")
)

// Random policies with blocks, macros, optionals, insertions, attributes, conditions, constraints and class maps are taken or refused as the reference takes and refuses
// them, and give the same bytes.
func TestRandomPoliciesGiveTheBytesOfTheReference(t *testing.T) {
	file := filepath.Join(t.TempDir(), "random.cil")
	for _, reference := range references(t) {
		taken := 0
		for seed := *firstSeed; seed < *firstSeed+uint64(*policies); seed++ {
			if err := os.WriteFile(file, []byte(generated(seed, reference.later)), 0o600); err != nil {
				t.Fatal(err)
			}
			var options []string
			if seed%3 == 0 {
				options = append(options, "--optimize")
			}
			if compareRandom(t, reference, fmt.Sprintf("seed %d", seed), file, options...) {
				taken++
			}
		}
		t.Logf("secilc %s: %d of %d policies taken by both, to the same bytes", reference.name, taken, *policies)
		if taken < *policies/3 {
			t.Errorf("secilc %s takes %d of %d random policies: the comparison says little", reference.name, taken, *policies)
		}
	}
}

// compareRandom reports whether both take the policy, and fails where one does or the bytes differ.
func compareRandom(t *testing.T, reference secilc, name, file string, options ...string) bool {
	t.Helper()
	options = append(options, "--policyvers", "33")
	want, wantContexts, refused := reference.compile(t, options, base, file)
	policy, contexts, err := ours(t, optionsOf(t, options, reference.order), base, file)
	switch {
	case refused != nil && err == nil:
		t.Errorf("%s: secilc %s refuses, we do not: %v", name, reference.name, refused)
	case refused == nil && err != nil && strings.Contains(err.Error(), "is in an abstract block"): // listed in stricter.cil
	case refused == nil && err != nil:
		t.Errorf("%s: secilc %s takes it, we do not: %v", name, reference.name, err)
	case refused == nil && string(policy) != string(want):
		t.Errorf("%s: the policy differs from secilc %s's: %s", name, reference.name, difference(t, want, policy))
	case refused == nil && string(contexts) != string(wantContexts):
		t.Errorf("%s: file contexts differ from secilc %s's:\n%s\nwant:\n%s", name, reference.name, contexts, wantContexts)
	}
	return refused == nil && err == nil
}
