// SPDX-License-Identifier: Apache-2.0

package cil_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
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

// stricter are our messages for what stricter.cil lists.
var stricter = regexp.MustCompile(`is in an abstract block|expected \(address\)|is not compared with|does not compare with names|expected \(user role type levelrange\)|no sensitivitycategory says so|` +
	`low level has categories that its high level has not|has a range already|is said otherwise|range from .* to `)

// sameButDenied reports whether policies of a text with deny rules differ in nothing but the attributes that are made for these: where a condition's rules are
// touched, some have other names.
func sameButDenied(t *testing.T, file string, want, got []byte) bool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	reference, err := policydb.Decode(want)
	made, madeErr := policydb.Decode(got)
	if err != nil || madeErr != nil || !bytes.Contains(text, []byte("(deny ")) {
		return false
	}
	for difference := range policydb.Diff(reference, made) {
		other := func(detail string) bool { return !strings.Contains(detail, "deny_rule_attr") }
		named := strings.Contains(difference.Text, "deny_rule_attr") || len(difference.Details) > 0 && !slices.ContainsFunc(difference.Details, other)
		if !named || difference.Kind != "attribute" && difference.Kind != "type" {
			return false
		}
	}
	return true
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
	case refused == nil && err != nil && stricter.MatchString(err.Error()):
	case refused == nil && err != nil:
		t.Errorf("%s: secilc %s takes it, we do not: %v", name, reference.name, err)
	case refused == nil && string(policy) != string(want) && !sameButDenied(t, file, want, policy):
		t.Errorf("%s: the policy differs from secilc %s's: %s", name, reference.name, difference(t, want, policy))
	case refused == nil && string(contexts) != string(wantContexts):
		t.Errorf("%s: file contexts differ from secilc %s's:\n%s\nwant:\n%s", name, reference.name, contexts, wantContexts)
	}
	return refused == nil && err == nil
}
