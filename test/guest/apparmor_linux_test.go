// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
	"github.com/bulkhead-project/bulkhead/plan"
)

const (
	// trySecret tries what profile bulkhead-test denies, and what it does not.
	trySecret = `echo open >/tmp/open && cat /tmp/open; echo secret 2>&1 >/tmp/secret; cat /tmp/secret 2>&1; cat /proc/self/attr/apparmor/current`
	confined  = "bulkhead-test (enforce)"
)

// denied checks the output of trySecret.
func (r result) denied(t *testing.T) {
	t.Helper()
	r.has(t, "open", "/bin/sh: can't create /tmp/secret: Permission denied", confined)
	if strings.Contains(r.stdout, "\nsecret") {
		t.Errorf("the profile denied nothing: %q", r.stdout)
	}
}

func TestAppArmorProfileHoldsInCreateAndExec(t *testing.T) {
	require(t, vmtest.AppArmor)
	vmtest.LoadAppArmor(t, "bulkhead-test")
	inners(t, func(t *testing.T) {
		for name, b := range map[string]bundle{
			"no_new_privs off": {profile: "bulkhead-test"},
			"no_new_privs on":  {profile: "bulkhead-test", noNewPrivileges: true, uid: 1000},
		} {
			t.Run(name, func(t *testing.T) { profileHolds(t, b) })
		}
	})
}

func profileHolds(t *testing.T, b bundle) {
	pid := b.start(t, "a")
	if got := read(t, fmt.Sprintf("/proc/%d/attr/apparmor/current", pid)); got != confined {
		t.Errorf("profile %q, want %s", got, confined)
	}
	if kept := record(t, "a"); kept.Observed == nil || kept.Observed.AppArmorProfile != confined {
		t.Errorf("observed %+v", kept.Observed)
	}
	run(t, runtime, "exec", "a", "/bin/sh", "-c", trySecret).denied(t)
}

func TestAppArmorProfileHolds(t *testing.T) {
	require(t, vmtest.AppArmor)
	vmtest.LoadAppArmor(t, "bulkhead-test")
	either(t)
	t.Run("without Landlock", func(t *testing.T) { profileHolds(t, bundle{profile: "bulkhead-test", noLandlock: true}) })
	t.Run("from the first process", func(t *testing.T) {
		bundle{profile: "bulkhead-test", script: trySecret}.run(t, "a").denied(t)
	})
	t.Run("bulkhead run and exec", func(t *testing.T) {
		runIn(t, trySecret, "--security-opt", "apparmor=bulkhead-test").denied(t)
		detach(t, "b", "--security-opt", "apparmor=bulkhead-test", "--security-opt", "no-new-privileges")
		run(t, bulkhead, "exec", "b", "/bin/sh", "-c", trySecret).denied(t)
	})
}

func TestAppArmorUnknownProfileStartsNothing(t *testing.T) {
	require(t, vmtest.AppArmor)
	for name, start := range map[string]func(t *testing.T) result{
		"engine": func(t *testing.T) result {
			return bundle{profile: "no-such-profile", script: "echo started"}.run(t, "a")
		},
		"run": func(t *testing.T) result {
			return runIn(t, "echo started", "--security-opt", "apparmor=no-such-profile")
		},
	} {
		t.Run(name, func(t *testing.T) {
			nothingStays(t)
			got := start(t)
			got.refused(t, 3, `profile "no-such-profile" is not loaded`)
			if got.stdout != "" {
				t.Errorf("it ran: %q", got.stdout)
			}
		})
	}
	t.Run("a label too", func(t *testing.T) {
		nothingStays(t)
		runIn(t, "echo started", "--security-opt", "label=type:container_t").refused(t, 3, "SELinux is not active on this kernel")
	})
}

func TestAppArmorDefaultProfile(t *testing.T) {
	require(t, vmtest.AppArmor)
	either(t)
	const show = "cat /proc/self/attr/apparmor/current"
	t.Run("none is loaded", func(t *testing.T) {
		got := runIn(t, show)
		got.has(t, "unconfined")
		got.says(t, "bulkhead: notice: apparmor is left out: no profile for containers is loaded", "bulkhead: notice: selinux is left out: ")
	})
	t.Run("docker's is loaded", func(t *testing.T) {
		vmtest.LoadAppArmor(t, "docker-default")
		got := runIn(t, show)
		got.has(t, "docker-default (enforce)")
		if strings.Contains(got.stderr, "apparmor") {
			t.Errorf("a notice: %q", got.stderr)
		}
		runIn(t, show, "--security-opt", "apparmor=unconfined").has(t, "unconfined")
		if got := planned(t).AppArmor; got.State != plan.On || got.Profile != "docker-default" {
			t.Errorf("planned %+v", got)
		}
	})
}

func TestAppArmorComplainModeIsSaid(t *testing.T) {
	require(t, vmtest.AppArmor)
	vmtest.LoadAppArmor(t, "bulkhead-complain")
	either(t)
	const option = "apparmor=bulkhead-complain"
	if got := planned(t, "--security-opt", option).AppArmor; got.State != plan.Permissive {
		t.Errorf("planned %+v", got)
	}
	got := runIn(t, "cat /proc/self/attr/apparmor/current", "--security-opt", option)
	got.has(t, "bulkhead-complain (complain)")
	got.says(t, "bulkhead: notice: apparmor does not enforce: the profile is loaded in mode complain")
}
