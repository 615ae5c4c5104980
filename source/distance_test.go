// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"testing"

	"github.com/bulkhead-project/bulkhead/source"
)

func TestDistanceIsTheNumberOfChanges(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"abc", "abd", 1}, {"abc", "acb", 2}, {"abcd", "bcd", 1}, {"abcd", "bcde", 2}, {"abc", "xyz", 3}, {"a", "abcd", 3}, {"abcdef", "ghijkl", 6}} {
		if got, back := source.Distance(test.a, test.b), source.Distance(test.b, test.a); got != test.want || back != test.want {
			t.Errorf("%q, %q: %d and %d, want %d", test.a, test.b, got, back, test.want)
		}
	}
}
