// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"slices"
	"strings"
	"testing"
)

// testProcess shows that a container's program is given, and gives, what it does under the plain runtime.
func (e *engine) testProcess(t *testing.T) {
	t.Run("output, environment and exit status pass through", func(t *testing.T) {
		got := e.run(t, ours, "-e", "SAID=here", "-w", "/tmp", image, "sh", "-c", `echo "out $SAID $IMAGE $PWD"; echo err >&2; exit 3`)
		if got.out != "out here yes /tmp\n" || got.err != "err\n" || got.status != 3 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("standard input reaches run and exec, to its end", func(t *testing.T) {
		text := strings.Repeat("a line of text\n", 20000)
		if got := run(t, e.environment, text, nil, e.arguments(ours, "--rm", "-i", image, "cat")...).must(t); got != strings.TrimSpace(text) {
			t.Errorf("run: %d bytes of %d came back", len(got), len(text))
		}
		id := e.sleeper(t, ours)
		if got := run(t, e.environment, text, nil, slices.Concat(e.client, []string{"exec", "-i", id, "cat"})...).must(t); got != strings.TrimSpace(text) {
			t.Errorf("exec: %d bytes of %d came back", len(got), len(text))
		}
	})
	t.Run("megabytes of output arrive whole, on both streams", func(t *testing.T) {
		got := e.run(t, ours, image, "sh", "-c", "dd if=/dev/zero bs=1024 count=3000 2>/dev/null; dd if=/dev/zero bs=1024 count=1000 >&2 2>/dev/null")
		if len(got.out) != 3000<<10 || len(got.err) > 1000<<10 || got.status != 0 {
			t.Errorf("%d and %d bytes, status %d", len(got.out), len(got.err), got.status)
		}
	})
	t.Run("a terminal is one, has its size, and takes input", e.testTerminal)
	t.Run("a command that is missing or cannot be started ends as under runc", e.testCommands)
	t.Run("exec passes output, environment, user and exit status through", func(t *testing.T) {
		id := e.sleeper(t, ours)
		got := e.do(t, "exec", "-e", "SAID=here", "-u", "1000:1000", "-w", "/etc", id, "sh", "-c", `echo "$SAID $IMAGE $PWD $(id -u):$(id -g)"; kill -9 $$`)
		if got.out != "here yes /etc 1000:1000\n" || got.status != 137 {
			t.Errorf("got %+v", got)
		}
	})
}

func (e *engine) testTerminal(t *testing.T) {
	id := e.sleeper(t, ours)
	for verb, command := range map[string][]string{
		"run":  e.arguments(ours, "--rm", "-it", image, "sh"),
		"exec": slices.Concat(e.client, []string{"exec", "-it", id, "sh"}),
	} {
		terminal := openTerminal(t, 33, 99, e.environment, command)
		// The engine sets the size after the start.
		terminal.say(t, "test -t 0 && test -t 1 && echo is-a-$((1))-terminal; until busybox stty size | grep '^33 99'; do sleep 0.05; done; exit 4\n")
		text, status := terminal.wait(t)
		if !strings.Contains(text, "is-a-1-terminal") || !strings.Contains(text, "\n33 99") || status != 4 {
			t.Errorf("%s: status %d\n%s", verb, status, text)
		}
	}
}

// testCommands compares exit statuses. Docker before 25 ends exec with 126 where the OCI runtime says that the command is missing; Bulkhead's
// program ends as a shell does, with 127, which later ones and podman end with too.
func (e *engine) testCommands(t *testing.T) {
	mine, theirs := e.sleeper(t, ours), e.sleeper(t, plain)
	for _, c := range []struct {
		command, says string
		exec          int
	}{
		{"missing", "not found", 127},
		{"/missing/program", "no such file or directory", 127},
		{"/etc/passwd", "permission denied", 126},
	} {
		got, want := e.run(t, ours, image, c.command), e.run(t, plain, image, c.command)
		if got.status != want.status || !strings.Contains(got.err, c.says) {
			t.Errorf("run %s: status %d, under runc %d: %s", c.command, got.status, want.status, got.err)
		}
		got, want = e.do(t, "exec", mine, c.command), e.do(t, "exec", theirs, c.command)
		if got.status != want.status && got.status != c.exec || !strings.Contains(got.err, c.says) {
			t.Errorf("exec %s: status %d, under runc %d: %s", c.command, got.status, want.status, got.err)
		}
	}
}

// testDescriptors shows that a leaked host directory opens nothing, with the one engine that can be told to leak one.
func (e *engine) testDescriptors(t *testing.T) {
	host := leak(t)
	passed := func(args ...string) answers {
		t.Helper()
		return run(t, e.environment, "", host, args...).answers(t)
	}
	execute := func(id string, options ...string) []string {
		return slices.Concat(e.client, []string{"exec", "--preserve-fds", "1"}, options, []string{id, "probe"})
	}
	t.Run("a leaked host directory opens under plain runc", func(t *testing.T) {
		if got := passed(e.arguments(plain, "--rm", "--preserve-fds", "1", image, "probe")...); got.Descriptor != "" || got.Above != "" {
			t.Errorf("the probe is wrong: %+v", got)
		}
	})
	t.Run("a leaked host directory opens nothing, in run and exec, even for exec --privileged", func(t *testing.T) {
		id := e.sleeper(t, ours)
		for name, command := range map[string][]string{
			"run": e.arguments(ours, "--rm", "--preserve-fds", "1", image, "probe"), "exec": execute(id),
			"exec as a user": execute(id, "-u", "1000"), "exec --privileged": execute(id, "--privileged"),
		} {
			if got := passed(command...); got.Descriptor != "EACCES" || got.Above != "EACCES" || !slices.Equal(got.Passed, []int{3}) {
				t.Errorf("%s: %+v", name, got)
			}
		}
	})
	t.Run("a container without Landlock is given no descriptor but those that were passed", func(t *testing.T) {
		id := e.sleeper(t, ours, "--privileged")
		if got := passed(execute(id)...); !slices.Equal(got.Passed, []int{3}) {
			t.Errorf("exec: descriptors %v", got.Passed)
		}
		if got := e.run(t, ours, "--privileged", image, "probe").answers(t); len(got.Passed) != 0 {
			t.Errorf("run: descriptors %v", got.Passed)
		}
	})
}
