// SPDX-License-Identifier: Apache-2.0

package vmtest

import "testing"

func TestMissingFeature(t *testing.T) {
	for name, test := range map[string]struct {
		guest   string
		feature Feature
		want    verdict
	}{
		"outside a guest is skipped":                   {"", SELinux, skipOutside},
		"bpf outside a guest is skipped":               {"", BPF, skipOutside},
		"selinux in its own guest fails":               {"selinux", SELinux, missing},
		"apparmor in its own guest fails":              {"apparmor", AppArmor, missing},
		"apparmor in the selinux guest goes elsewhere": {"selinux", AppArmor, skipElsewhere},
		"selinux in the plain guest goes elsewhere":    {"none", SELinux, skipElsewhere},
		"bpf in any guest fails":                       {"apparmor", BPF, missing},
		"landlock in the plain guest fails":            {"none", Landlock, missing},
		"neither in the apparmor guest goes elsewhere": {"apparmor", Neither, skipElsewhere},
		"neither in the plain guest fails":             {"none", Neither, missing},
	} {
		if got := outcome(test.guest, test.feature); got != test.want {
			t.Errorf("%s: got %d, want %d", name, got, test.want)
		}
	}
}
