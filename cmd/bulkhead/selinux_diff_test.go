// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// changedPolicy is the small policy with a permissive type less and a rule of another kind.
func changedPolicy(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(smallPolicy)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := policydb.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	policy.Permissive = nil
	policy.Rules[0].Kind = policydb.RuleAuditAllow
	if data, err = policy.Encode(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "changed.33")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSELinuxDiff(t *testing.T) {
	if got, err := runSELinux("diff", smallPolicy, smallPolicy); err != nil || got != "equal\n" {
		t.Errorf("%v: %s", err, got)
	}
	changed := changedPolicy(t)
	var status exitCode
	got, err := runSELinux("diff", smallPolicy, changed)
	if !errors.As(err, &status) || status != 1 || !strings.Contains(got, "type:\n  * other_t\n      + permissive false\n      - permissive true\n") || !strings.Contains(got, "\nKIND ") {
		t.Errorf("%v: %s", err, got)
	}
	got, err = runSELinux("diff", "-t", "--stats", smallPolicy, changed)
	if !errors.As(err, &status) || got != "KIND  ADDED  REMOVED  MODIFIED\ntype  0      0        1\n" {
		t.Errorf("%v: %s", err, got)
	}
	if got, err := runSELinux("diff", "-b", "-c", smallPolicy, changed); err != nil || got != "equal\n" {
		t.Errorf("%v: %s", err, got)
	}
	for _, args := range [][]string{{"diff", "--json", smallPolicy, changed}, {"diff", "--json", smallPolicy, smallPolicy}, {"diff", "--json", "--stats", smallPolicy, changed}} {
		var answer struct {
			Equal       bool
			Differences []policydb.Difference
			Counts      []differenceCount
		}
		got, _ := runSELinux(args...)
		if err := json.Unmarshal([]byte(got), &answer); err != nil || answer.Equal == (len(answer.Counts) > 0) || len(answer.Differences) > 0 == strings.Contains(strings.Join(args, " "), "stats") && !answer.Equal {
			t.Errorf("%s: %v: %s", args, err, got)
		}
	}
	if _, err := runSELinux("diff", smallPolicy, "nothing.33"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
}

// Every kind of difference has an option, and every option a kind.
func TestDifferenceFlagsAreTheKinds(t *testing.T) {
	known := map[string]bool{}
	for _, kind := range policydb.DifferenceKinds() {
		known[kind] = false
	}
	for _, flag := range differenceFlags {
		if _, ok := known[flag.flag]; !ok && flag.kinds == nil {
			t.Errorf("--%s is of no kind", flag.flag)
		}
		known[flag.flag] = true
	}
	for kind, has := range known {
		if !has {
			t.Errorf("%s has no option", kind)
		}
	}
}

func TestSELinuxDecompile(t *testing.T) {
	got, err := runSELinux("decompile", smallPolicy)
	if err != nil || !strings.HasPrefix(got, "(handleunknown deny)\n(class file (entrypoint execute))\n") || !strings.Contains(got, "\n(typetransition app_t data_t file \"named\" named_t)\n") {
		t.Errorf("%v: %s", err, got)
	}
	output := filepath.Join(t.TempDir(), "out.cil")
	if _, err := runSELinux("decompile", "-o", output, smallPolicy); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(output); err != nil || string(text) != got {
		t.Errorf("-o: %v", err)
	}
}
