// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Feature is a security module of the kernel.
type Feature string

const (
	SELinux  Feature = "selinux"  // enforcing
	AppArmor Feature = "apparmor" // enabled
	BPF      Feature = "bpf"      // BPF programs as LSM hooks
	Landlock Feature = "landlock"
	Neither  Feature = "none" // neither SELinux nor AppArmor
)

// environment says which guest this is: selinux, apparmor or none.
const environment = "BULKHEAD_VM"

// Require returns if the running kernel has every feature. If it has not, the test
// is skipped outside a guest, and in the guest of the other of SELinux and
// AppArmor, which exclude each other. Anywhere else the guest is not what it
// claims to be, and the test fails.
func Require(t testing.TB, features ...Feature) {
	t.Helper()
	guest := os.Getenv(environment)
	for _, feature := range features {
		if active(feature) {
			continue
		}
		switch outcome(guest, feature) {
		case skipOutside:
			t.Skipf("vmtest: %s needs a kernel with %s: run make vm", t.Name(), feature)
		case skipElsewhere:
			// The wording is what the host side excuses; see SkipWatch.
			t.Skipf("vmtest: %s belongs to the %s guest, this is the %s guest", t.Name(), feature, guest)
		case missing:
			t.Fatalf("vmtest: the %s guest has no %s", guest, feature)
		}
	}
}

type verdict int

const (
	skipOutside verdict = iota
	skipElsewhere
	missing
)

func outcome(guest string, feature Feature) verdict {
	major := feature == SELinux || feature == AppArmor || feature == Neither
	switch {
	case guest == "":
		return skipOutside
	case major && guest != string(feature):
		return skipElsewhere
	}
	return missing
}

func active(feature Feature) bool {
	switch feature {
	case SELinux:
		return contents("/sys/fs/selinux/enforce") == "1"
	case AppArmor:
		return contents("/sys/module/apparmor/parameters/enabled") == "Y" && listed("apparmor")
	case Landlock:
		return LandlockABI() > 0
	case Neither:
		return !listed("selinux") && !listed("apparmor")
	}
	return listed(string(feature))
}

func listed(name string) bool {
	return slices.Contains(strings.Split(contents("/sys/kernel/security/lsm"), ","), name)
}

func contents(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// LandlockABI returns the version of the kernel's Landlock interface, 0 without Landlock.
func LandlockABI() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}
