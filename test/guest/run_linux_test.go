// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/plan"
)

// runIn runs `bulkhead run` with options, and a script in a container that is removed at its end.
func runIn(t *testing.T, script string, options ...string) result {
	t.Helper()
	return run(t, slices.Concat([]string{bulkhead, "run", "--rm", "--rootfs", rootFS(t)}, options, []string{"/bin/sh", "-c", script})...)
}

// detach starts a container that stays until the end of the test, and returns its ID.
func detach(t *testing.T, name string, options ...string) string {
	t.Helper()
	out := succeeds(t, slices.Concat([]string{bulkhead, "run", "-d", "--name", name, "--rootfs", rootFS(t)}, options, []string{"/bin/sleep", "1000"})...)
	t.Cleanup(func() { succeeds(t, bulkhead, "rm", "--force", name) })
	return strings.TrimSpace(out)
}

// planned returns what `bulkhead plan` says of a container with options.
func planned(t *testing.T, options ...string) plan.Plan {
	t.Helper()
	var made plan.Plan
	out := succeeds(t, slices.Concat([]string{bulkhead, "plan", "--json", "--rootfs", rootFS(t)}, options, []string{"/bin/true"})...)
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	return made
}

// layer returns what `bulkhead check` says of a layer.
func layer(t *testing.T, name string) kernel.Row {
	t.Helper()
	var document struct{ Layers []kernel.Row }
	if err := json.Unmarshal([]byte(succeeds(t, bulkhead, "check", "--json")), &document); err != nil {
		t.Fatal(err)
	}
	for _, row := range document.Layers {
		if row.Layer == name {
			return row
		}
	}
	t.Fatalf("check says nothing of %s", name)
	return kernel.Row{}
}

func TestCheckKnowsTheGuest(t *testing.T) {
	for name, test := range map[string]struct {
		feature vmtest.Feature
		states  map[string]string
	}{
		"selinux":  {vmtest.SELinux, map[string]string{"selinux": "enforcing", "apparmor": "absent"}},
		"apparmor": {vmtest.AppArmor, map[string]string{"selinux": "absent", "apparmor": "enforcing"}},
		"none":     {vmtest.Neither, map[string]string{"selinux": "absent", "apparmor": "absent"}},
	} {
		t.Run(name, func(t *testing.T) {
			require(t, test.feature)
			for name, state := range test.states {
				if got := layer(t, name); got.State != state || (got.Missing == "") != got.Present() {
					t.Errorf("%+v, want state %s", got, state)
				}
				if got := run(t, bulkhead, "check", "--require", name); state == "absent" {
					got.refused(t, 3, name)
				} else if got.status != 0 {
					t.Errorf("--require %s: %+v", name, got)
				}
			}
			if got := run(t, bulkhead, "check", "--require", "landlock,seccomp,bpf"); got.status != 0 {
				t.Errorf("--require landlock,seccomp,bpf: %+v", got)
			}
		})
	}
}

func TestWithoutSELinuxAndAppArmor(t *testing.T) {
	require(t, vmtest.Neither)
	either(t)
	t.Run("the default layers are left out with a notice", func(t *testing.T) {
		got := runIn(t, "echo started")
		got.has(t, "started")
		got.says(t, "bulkhead: notice: selinux is left out: ", "bulkhead: notice: apparmor is left out: ")
	})
	t.Run("the plan says so", func(t *testing.T) {
		if got := planned(t); got.SELinux.State != plan.Absent || got.AppArmor.State != plan.Absent || got.Landlock.State != plan.On {
			t.Errorf("%+v %+v %+v", got.SELinux, got.AppArmor, got.Landlock)
		}
	})
	for _, option := range []string{"label=type:container_t", "label=level:s0:c1,c2", "apparmor=docker-default"} {
		t.Run(option+" starts nothing", func(t *testing.T) {
			nothingStays(t)
			got := runIn(t, "echo started", "--security-opt", option)
			got.refused(t, 3, "was asked for", "is not active on this kernel")
			if got.stdout != "" {
				t.Errorf("it ran: %q", got.stdout)
			}
		})
	}
	t.Run("an engine's label starts nothing", func(t *testing.T) {
		nothingStays(t)
		bundle{process: processType + pairA, script: "echo started"}.run(t, "a").refused(t, 3, "SELinux is not active")
	})
	t.Run("an engine's profile starts nothing", func(t *testing.T) {
		nothingStays(t)
		bundle{profile: "docker-default", script: "echo started"}.run(t, "a").refused(t, 3, "AppArmor is not active")
	})
}
