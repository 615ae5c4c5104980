// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
)

// leak makes a host directory with a secret in it and one above it, and opens it.
func leak(t *testing.T) []*os.File {
	t.Helper()
	above := t.TempDir()
	below := filepath.Join(above, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, directory := range []string{above, below} {
		if err := os.WriteFile(filepath.Join(directory, "secret"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(below)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return []*os.File{file}
}

// testLayers shows from inside that the layers hold in run and in exec alike.
func (e *engine) testLayers(t *testing.T) {
	admin := []string{"--cap-add", "SYS_ADMIN"} // without it, mount is refused before Landlock is asked
	t.Run("Landlock refuses mounts that runc lets through, in run and exec", func(t *testing.T) {
		for runtime, want := range map[string]string{ours: "EPERM", plain: "EINVAL"} {
			if got := e.run(t, runtime, slices.Concat(admin, []string{image, "probe"})...).answers(t); got.Mount != want {
				t.Errorf("run under %s: mount: %q, want %q", runtime, got.Mount, want)
			}
			id := e.sleeper(t, runtime, admin...)
			if got := e.do(t, "exec", id, "probe").answers(t); got.Mount != want {
				t.Errorf("exec under %s: mount: %q, want %q", runtime, got.Mount, want)
			}
		}
	})
	t.Run("the first process and an added one may not trace each other", e.testSiblings)
	t.Run("the default seccomp filter holds in run and exec, and none where none was asked for", func(t *testing.T) {
		for _, c := range []struct {
			mode    string
			options []string
		}{{"2", nil}, {"0", []string{"--security-opt", "seccomp=unconfined"}}} {
			id := e.sleeper(t, ours, c.options...)
			for verb, got := range map[string]result{
				"run":  e.run(t, ours, slices.Concat(c.options, []string{image, "probe"})...),
				"exec": e.do(t, "exec", id, "probe"),
			} {
				if mode := got.answers(t).Status["Seccomp"]; mode != c.mode {
					t.Errorf("%s with %v: mode %s, want %s", verb, c.options, mode, c.mode)
				}
			}
		}
	})
	t.Run("what was observed after the start is in the record", func(t *testing.T) {
		got := record(t, e.sleeper(t, ours))
		if got == nil || got.Observed == nil || got.Observed.SeccompMode != 2 || got.Observed.Landlock == "" || got.Plan.Landlock.State != plan.On {
			t.Errorf("record: %+v", got)
		}
	})
	t.Run("a privileged container has no Landlock, and the record says so", e.testPrivileged)
	t.Run("each container holds one pair while it runs, and none after", e.testPairs)
}

func (e *engine) testSiblings(t *testing.T) {
	for runtime, want := range map[string]string{ours: "EACCES", plain: ""} {
		id := e.start(t, runtime, image, "sh", "-c", "until test -e /tmp/pid; do sleep 0.05; done; probe $(cat /tmp/pid); sleep 1000")
		e.do(t, "exec", "-d", id, "sh", "-c", "echo $$ >/tmp/pid.new; mv /tmp/pid.new /tmp/pid; sleep 1000; true").must(t)
		if got := e.do(t, "exec", id, "probe").answers(t); got.Sibling != want {
			t.Errorf("under %s an added process reads the first one's link: %q, want %q", runtime, got.Sibling, want)
		}
		var log string
		eventually(t, "the first process has asked", func() bool {
			log = e.do(t, "logs", id).out
			return strings.HasSuffix(log, "\n")
		})
		var got answers
		if err := json.Unmarshal([]byte(log), &got); err != nil {
			t.Fatalf("%v: %q", err, log)
		}
		if got.Sibling != want {
			t.Errorf("under %s the first process reads an added one's link: %q, want %q", runtime, got.Sibling, want)
		}
	}
}

func (e *engine) testPrivileged(t *testing.T) {
	options := []string{"--privileged"}
	if e.run(t, plain, "--privileged", image, "true").status != 0 {
		options = privilegedByParts(t)
	}
	id := e.sleeper(t, ours, options...)
	if got := e.do(t, "exec", id, "probe").answers(t); got.Mount != "EINVAL" {
		t.Errorf("mount in exec: %q", got.Mount)
	}
	if got := e.run(t, ours, slices.Concat(options, []string{image, "probe"})...).answers(t); got.Mount != "EINVAL" {
		t.Errorf("mount in run: %q", got.Mount)
	}
	got := record(t, id)
	if got == nil || got.Plan.Landlock.State != plan.Off || got.Plan.Landlock.Reason != "the container is privileged" || got.Observed == nil || got.Observed.Landlock != "" {
		t.Errorf("record: %+v", got)
	}
}

// privilegedByParts returns the options of a container like a privileged one, for a host that cannot give every capability. Those after
// CAP_AUDIT_READ are unknown to Docker 20.10.
func privilegedByParts(t *testing.T) []string {
	t.Helper()
	options := []string{"--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined"}
	for number, name := range plan.CapabilityNames()[:unix.CAP_AUDIT_READ+1] {
		if boundingBit(t, number) {
			options = append(options, "--cap-add", strings.TrimPrefix(name, "CAP_"))
		}
	}
	return options
}

func (e *engine) testPairs(t *testing.T) {
	first, second := e.sleeper(t, ours), e.sleeper(t, ours)
	levels := map[string]bool{}
	for _, id := range []string{first, second} {
		record := record(t, id)
		if record == nil {
			t.Fatalf("no record of %s", id)
		}
		held := pairs(t)[record.HolderID()]
		if len(held) != 1 || held[0].Level().String() != record.Level {
			t.Errorf("pairs %v, level %s", held, record.Level)
		}
		levels[record.Level] = true
	}
	if len(levels) != 2 {
		t.Errorf("levels %v", slices.Collect(maps.Keys(levels)))
	}
	gone := record(t, first)
	e.remove(t, first)
	eventually(t, "the removed container's pair is free", func() bool { return len(pairs(t)[gone.HolderID()]) == 0 && record(t, first) == nil })
	if record := record(t, second); record == nil || len(pairs(t)[record.HolderID()]) != 1 {
		t.Error("the other container lost its pair")
	}
}
