// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"
	"testing"
)

func TestFeaturesAreWhatParseTakes(t *testing.T) {
	f := Features([]string{"LOG", "NEW_LISTENER"})
	if !*f.Enabled || len(f.Actions) != 9 || len(f.Operators) != 7 || len(f.KnownFlags) != 4 || len(f.Archs) < 20 {
		t.Errorf("got %+v", f)
	}
	if !slices.Equal(f.SupportedFlags, []string{"SECCOMP_FILTER_FLAG_LOG"}) {
		t.Errorf("supported flags %v", f.SupportedFlags)
	}
	for _, text := range []string{
		`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["` + f.Archs[0] + `"]}`,
		`{"defaultAction":"SCMP_ACT_ALLOW","flags":["` + f.KnownFlags[0] + `"]}`,
		`{"defaultAction":"` + f.Actions[0] + `"}`,
	} {
		if _, err := Parse([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
