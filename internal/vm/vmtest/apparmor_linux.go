// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	profiles = "/profiles" // where the host side puts compiled profiles
	apparmor = "/sys/kernel/security/apparmor"
)

// LoadAppArmor loads /profiles/NAME.bin, which the host's option --profile made,
// into the kernel. At the end of the test it removes the profiles that are new.
func LoadAppArmor(t testing.TB, name string) {
	t.Helper()
	policy, err := os.ReadFile(filepath.Join(profiles, name+".bin"))
	if err != nil {
		t.Fatalf("compiled profile, from option --profile: %v", err)
	}
	RestoreAppArmor(t)
	// The kernel takes a policy only in a single write.
	if err := os.WriteFile(filepath.Join(apparmor, ".replace"), policy, 0); err != nil {
		t.Fatalf("load profile %s: %v", name, err)
	}
}

// RestoreAppArmor removes, at the end of the test, the profiles that are new then.
func RestoreAppArmor(t testing.TB) {
	t.Helper()
	before := loadedProfiles(t)
	t.Cleanup(func() {
		for _, profile := range loadedProfiles(t) {
			if slices.Contains(before, profile) {
				continue
			}
			if err := os.WriteFile(filepath.Join(apparmor, ".remove"), []byte(profile), 0); err != nil {
				t.Errorf("remove profile %s: %v", profile, err)
			}
		}
	})
}

// loadedProfiles returns the names of the top-level profiles; children go with them.
func loadedProfiles(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(apparmor, "profiles"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		// "NAME (MODE)"; the name may have blanks.
		name, _, _ := strings.Cut(strings.TrimSpace(line), " (")
		if !strings.Contains(name, "//") {
			names = append(names, name)
		}
	}
	return names
}
