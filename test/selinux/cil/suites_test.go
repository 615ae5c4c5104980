// SPDX-License-Identifier: Apache-2.0

package cil_test

import (
	"bytes"
	"path/filepath"
	"testing"
)

// The policies that the reference's source packages test it with, each by itself: what it takes gives the same bytes, what it refuses is refused. Most of libsepol's
// are of an older language, which it refuses itself. What only the later version takes is compared with that.
func TestTheReferencesOwnPoliciesAreTakenAsItTakesThem(t *testing.T) {
	both := references(t)
	root, err := fetch()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "suites", "*.cil"))
	if err != nil || len(files) < 8 {
		t.Fatalf("%d policies, %v", len(files), err)
	}
	options := []string{"--policyvers", "33"}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			for i, reference := range both {
				want, wantContexts, refused := reference.compile(t, options, file)
				policy, contexts, err := ours(t, optionsOf(t, options, reference.order), file)
				switch later := i == 0 && refused != nil && err == nil; {
				case later:
				case (refused == nil) != (err == nil):
					t.Errorf("secilc %s: %v; ours: %v", reference.name, refused, err)
				case refused == nil && (!bytes.Equal(policy, want) || !bytes.Equal(contexts, wantContexts)):
					t.Errorf("secilc %s makes another policy: %s", reference.name, difference(t, want, policy))
				}
			}
		})
	}
	t.Logf("%d policies", len(files))
}
