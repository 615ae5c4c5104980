// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// testLife shows a container's life, from its start to its removal.
func (e *engine) testLife(t *testing.T) {
	t.Run("pause and unpause", func(t *testing.T) {
		id := e.sleeper(t, ours)
		for _, step := range [][2]string{{"pause", "paused"}, {"unpause", "running"}} {
			e.do(t, step[0], id).must(t)
			if got := e.inspect(t, id, "{{.State.Status}}"); got != step[1] {
				t.Errorf("after %s: %s", step[0], got)
			}
		}
	})
	t.Run("update changes the limit of memory", func(t *testing.T) {
		id := e.sleeper(t, ours, "--memory", "64m")
		e.do(t, "update", "--memory", "32m", "--memory-swap", "64m", id).must(t)
		if got := memoryLimit(t, record(t, id).PID()); got != "33554432" {
			t.Errorf("limit: %s", got)
		}
	})
	t.Run("top and logs", func(t *testing.T) {
		id := e.start(t, ours, image, "sh", "-c", "echo out; echo err >&2; sleep 1000; true")
		eventually(t, "the log is there", func() bool {
			got := e.do(t, "logs", id)
			return got.out == "out\n" && got.err == "err\n"
		})
		if got := e.do(t, "top", id).must(t); !strings.Contains(got, "sleep 1000") || strings.Contains(got, "/.bulkhead/init") {
			t.Errorf("top: %s", got)
		}
	})
	const traps = `trap "exit 5" TERM; trap "exit 9" USR1; echo ready; while :; do sleep 0.05; done`
	ready := func(t *testing.T) string {
		id := e.start(t, ours, image, "sh", "-c", traps)
		eventually(t, "the traps are set", func() bool { return e.do(t, "logs", id).out == "ready\n" })
		return id
	}
	t.Run("stop lets the program end by itself", func(t *testing.T) {
		id := ready(t)
		e.do(t, "stop", id).must(t)
		e.exited(t, id, 5)
	})
	t.Run("kill", func(t *testing.T) {
		id := ready(t)
		e.do(t, "kill", "-s", "KILL", id).must(t)
		e.exited(t, id, 137)
	})
	t.Run("an added process may signal the first", func(t *testing.T) {
		id := ready(t)
		// The end of the first process ends the whole container, at times before kill has returned.
		if got := e.do(t, "exec", id, "kill", "-USR1", "1"); got.status != 0 && got.status != 137 {
			t.Errorf("exec: %+v", got)
		}
		e.exited(t, id, 9)
	})
	t.Run("stop, start and restart make a new record each, and the layers hold again", func(t *testing.T) { e.testRestart(t, ready(t)) })
	t.Run("rm -f takes all of a running container away, and deleting again is no error", e.testDelete)
}

func (e *engine) inspect(t *testing.T, id, format string) string {
	t.Helper()
	return e.do(t, "inspect", "-f", format, id).must(t)
}

// exited waits for a container to end, and compares its exit status.
func (e *engine) exited(t *testing.T, id string, status int) {
	t.Helper()
	eventually(t, "the container has ended", func() bool { return e.inspect(t, id, "{{.State.Status}}") == "exited" })
	if got := e.inspect(t, id, "{{.State.ExitCode}}"); got != fmt.Sprint(status) {
		t.Errorf("exit status %s, want %d", got, status)
	}
}

// memoryLimit reads the limit in bytes of a process's cgroup, of either version.
func memoryLimit(t *testing.T, pid int) string {
	t.Helper()
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for controller, file := range map[string]string{"memory": "memory/%s/memory.limit_in_bytes", "": "%s/memory.max"} {
			if fields[1] != controller {
				continue
			}
			if data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", fmt.Sprintf(file, fields[2]))); err == nil {
				return strings.TrimSpace(string(data))
			}
		}
	}
	t.Fatalf("no limit of memory in %s", groups)
	return ""
}

func (e *engine) testRestart(t *testing.T, id string) {
	seen := map[int]bool{record(t, id).PID(): true}
	for _, verbs := range [][]string{{"stop", "start"}, {"restart"}} {
		for _, verb := range verbs {
			e.do(t, verb, id).must(t)
		}
		now := record(t, id)
		if now == nil || seen[now.PID()] || now.Observed == nil || now.Observed.Landlock == "" {
			t.Fatalf("after %v: record %+v", verbs, now)
		}
		seen[now.PID()] = true
		if held := pairs(t); len(held[now.HolderID()]) != 1 {
			t.Errorf("after %v: pairs %v", verbs, held)
		}
		if got := e.do(t, "exec", id, "probe").answers(t); got.Sibling != "EACCES" || got.Status["Seccomp"] != "2" {
			t.Errorf("after %v: %+v", verbs, got)
		}
	}
}

func (e *engine) testDelete(t *testing.T) {
	id := e.sleeper(t, ours)
	before := record(t, id)
	e.do(t, append(slices.Clone(e.removal), id)...).must(t)
	for range 2 {
		if record(t, id) != nil || len(pairs(t)[before.HolderID()]) != 0 {
			t.Errorf("record or pair of %s is left", id)
		}
		if got := run(t, nil, "", nil, harness.Runtime(t), "--root", before.Engine, "delete", "--force", id); got.status != 0 {
			t.Errorf("deleted again: %+v", got)
		}
	}
}
