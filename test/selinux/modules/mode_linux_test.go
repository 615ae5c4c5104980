// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"os"
	"strings"
	"testing"
)

func TestTheModeIsChangedAndBroughtBack(t *testing.T) {
	require(t)
	const config = "# of the guest\nSELINUX=permissive\nSELINUXTYPE=guest\n"
	write(t, "/etc/selinux/config", config)
	modes := func() string {
		t.Helper()
		text, err := os.ReadFile("/etc/selinux/config")
		if err != nil {
			t.Fatal(err)
		}
		enforce, err := os.ReadFile(selinuxfs + "/enforce")
		if err != nil {
			t.Fatal(err)
		}
		return string(enforce) + strings.Split(string(text), "\n")[1]
	}
	if got := bulk(t, "apply", "--selinux-mode", "permissive"); got != "running: permissive\nat boot: permissive\n" || modes() != "0SELINUX=permissive" {
		t.Errorf("%q: %s", got, modes())
	}
	if got := bulk(t, "apply", "--selinux-mode", "enforcing"); got != "running: enforcing\nat boot: enforcing\n" || modes() != "1SELINUX=enforcing" {
		t.Errorf("%q: %s", got, modes())
	}
	refused(t, 4, "with SELinux disabled nothing is confined by it", "apply", "--selinux-mode", "disabled")
	if got := bulk(t, "apply", "--force", "--selinux-mode", "disabled"); got != "running: enforcing\nat boot: disabled\n" || modes() != "1SELINUX=disabled" {
		t.Errorf("%q: %s", got, modes())
	}
	if got := bulk(t, "unapply", "--selinux-mode"); got != "running: enforcing\nat boot: permissive\n" || modes() != "1SELINUX=permissive" {
		t.Errorf("%q: %s", got, modes())
	}
	refused(t, 1, "was not changed", "unapply", "--selinux-mode")
}

// In permissive mode everybody may load policies, and the check still asks what enforcing will allow.
func TestEnforcingIsRefusedToWhoCouldNotGoBack(t *testing.T) {
	require(t)
	write(t, "/etc/selinux/config", "# of the guest\nSELINUX=permissive\nSELINUXTYPE=guest\n")
	bulk(t, "apply", "--selinux-mode", "permissive")
	bulk(t, "apply", "--force", "testdata/lockout.cil")
	refused(t, 4, "could neither make SELinux permissive again nor load another policy", "apply", "--selinux-mode", "enforcing")
	bulk(t, "unapply", "lockout")
	bulk(t, "unapply", "--selinux-mode")
}
