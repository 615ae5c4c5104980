// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/test/harness"
)

// ctr is containerd with its own client.
type ctr struct {
	place  string
	client []string
	count  int // of containers, for names
}

func containerd(t *testing.T) *ctr {
	t.Helper()
	place := directory(t)
	configuration := filepath.Join(place, "config.toml")
	text := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = %q\n[ttrpc]\n  address = %q\n",
		place+"/root", place+"/state", place+"/sock", place+"/ttrpc")
	if err := os.WriteFile(configuration, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon(t, place, program(t, "containerd", "/usr/bin/containerd"), "--config", configuration)
	c := &ctr{place: place, client: []string{program(t, "containerd", "/usr/bin/ctr"), "-a", place + "/sock"}}
	eventually(t, "containerd answers", func() bool { return c.do(t, "version").status == 0 })
	c.do(t, "images", "import", archive(t, rootFS(t), image)).must(t)
	return c
}

func (c *ctr) do(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, nil, "", nil, slices.Concat(c.client, args)...)
}

// arguments returns a whole command line of run, and the container's name.
func (c *ctr) arguments(t *testing.T, runtime string, options []string, command ...string) ([]string, string) {
	t.Helper()
	c.count++
	name := fmt.Sprintf("c%d", c.count)
	path := program(t, "runc", "/usr/sbin/runc")
	if runtime == ours {
		path = harness.Runtime(t)
	}
	own := []string{"run", "--runc-binary", path, "--runc-root", c.place + "/" + runtime, "--cgroup", cgroup(c.place) + "/" + name}
	return slices.Concat(c.client, own, options, []string{image, name}, command), name
}

// run runs a container that is removed when it has ended.
func (c *ctr) run(t *testing.T, runtime string, options []string, command ...string) result {
	t.Helper()
	args, _ := c.arguments(t, runtime, append([]string{"--rm"}, options...), command...)
	return run(t, nil, "", nil, args...)
}

// sleeper starts a container that does nothing, and is removed with the test.
func (c *ctr) sleeper(t *testing.T, runtime string, options ...string) string {
	t.Helper()
	args, name := c.arguments(t, runtime, append([]string{"-d"}, options...), "sleep", "1000")
	run(t, nil, "", nil, args...).must(t)
	t.Cleanup(func() {
		c.do(t, "tasks", "rm", "-f", name)
		c.do(t, "containers", "rm", name)
	})
	return name
}

// exec adds a process to a container.
func (c *ctr) exec(t *testing.T, name string, command ...string) result {
	t.Helper()
	c.count++
	return c.do(t, slices.Concat([]string{"tasks", "exec", "--exec-id", fmt.Sprintf("e%d", c.count), name}, command)...)
}

// ask returns what the probe says. ctr 1.6 does not wait for the output of a task that has ended, under any runtime, and loses it at times on a
// busy machine: it is asked again then.
func ask(t *testing.T, probe func() result) answers {
	t.Helper()
	got := probe()
	for range 10 {
		if got.status != 0 || got.out != "" {
			break
		}
		got = probe()
	}
	return got.answers(t)
}

func (c *ctr) askRun(t *testing.T, runtime string, options ...string) answers {
	t.Helper()
	return ask(t, func() result { return c.run(t, runtime, options, "probe") })
}

func (c *ctr) askExec(t *testing.T, name string) answers {
	t.Helper()
	return ask(t, func() result { return c.exec(t, name, "probe") })
}

func TestUnderContainerd(t *testing.T) {
	t.Parallel()
	c := containerd(t)
	t.Run("output, environment and exit status pass through", func(t *testing.T) {
		got := c.run(t, ours, []string{"--env", "SAID=here"}, "sh", "-c", `echo "out $SAID $IMAGE"; echo err >&2; sleep 0.5; exit 3`)
		if got.out != "out here yes\n" || !strings.HasPrefix(got.err, "err\n") || got.status != 3 {
			t.Errorf("got %+v", got)
		}
	})
	for _, options := range []string{"", "--cap-add CAP_SYS_ADMIN", "--allow-new-privs", "--allow-new-privs --cap-drop CAP_CHOWN", "--seccomp --allow-new-privs"} {
		t.Run("the lent capabilities never show: run and exec "+options, func(t *testing.T) {
			fields := strings.Fields(options)
			mine, theirs := c.sleeper(t, ours, fields...), c.sleeper(t, plain, fields...)
			for verb, results := range map[string][2]answers{
				"run":  {c.askRun(t, ours, fields...), c.askRun(t, plain, fields...)},
				"exec": {c.askExec(t, mine), c.askExec(t, theirs)},
			} {
				if got, want := results[0], results[1]; !maps.Equal(got.Status, want.Status) {
					t.Errorf("%s: got  %v\nwant %v", verb, got.Status, want.Status)
				}
			}
		})
	}
	t.Run("Landlock holds in run and exec", c.testLandlock)
	t.Run("a terminal is one", func(t *testing.T) {
		args, _ := c.arguments(t, ours, []string{"--rm", "-t"}, "sh")
		terminal := openTerminal(t, 33, 99, nil, args)
		terminal.say(t, "test -t 0 && echo is-a-$((1))-terminal; exit 4\n")
		if text, status := terminal.wait(t); !strings.Contains(text, "is-a-1-terminal") || status != 4 {
			t.Errorf("status %d\n%s", status, text)
		}
	})
	t.Run("the log of sealed outputs is ciphertext, which the recipient reads", c.testSealed)
	t.Run("pause, resume, kill and delete", c.testLife)
	t.Run("an AppArmor profile on a kernel without AppArmor is refused, in Bulkhead's words", func(t *testing.T) {
		got := c.run(t, ours, []string{"--apparmor-profile", "some-profile"}, "true")
		if got.status == 0 || !strings.Contains(got.err, `bulkhead: apparmor: profile "some-profile" was asked for, and AppArmor is not active on this kernel`) {
			t.Errorf("got %+v", got)
		}
		if left := records(t, c.place); len(left) != 0 {
			t.Errorf("left: record of %s", left[0].ID)
		}
		noOrphans(t)
	})
}

func (c *ctr) testLandlock(t *testing.T) {
	options := []string{"--cap-add", "CAP_SYS_ADMIN"}
	for runtime, want := range map[string]answers{ours: {Mount: "EPERM", Sibling: "EACCES"}, plain: {Mount: "EINVAL"}} {
		if got := c.askRun(t, runtime, options...); got.Mount != want.Mount {
			t.Errorf("run under %s: mount: %q, want %q", runtime, got.Mount, want.Mount)
		}
		if got := c.askExec(t, c.sleeper(t, runtime, options...)); got.Mount != want.Mount || got.Sibling != want.Sibling {
			t.Errorf("exec under %s: %+v, want %+v", runtime, got, want)
		}
	}
	name := c.sleeper(t, ours, "--privileged", "--allow-new-privs")
	if got := c.askExec(t, name); got.Mount != "EINVAL" {
		t.Errorf("privileged: mount: %q", got.Mount)
	}
	if got := record(t, name); got == nil || got.Plan.Landlock.State != plan.Off {
		t.Errorf("record of a privileged container: %+v", got)
	}
}

func (c *ctr) testLife(t *testing.T) {
	name := c.sleeper(t, ours)
	before := record(t, name)
	if before == nil || len(pairs(t)[before.HolderID()]) != 1 {
		t.Fatalf("record %+v, pairs %v", before, pairs(t))
	}
	for _, step := range [][2]string{{"pause", "PAUSED"}, {"resume", "RUNNING"}} {
		c.do(t, "tasks", step[0], name).must(t)
		if got := c.do(t, "tasks", "ls").must(t); !strings.Contains(got, step[1]) {
			t.Errorf("after %s: %s", step[0], got)
		}
	}
	if got := c.exec(t, name, "missing"); got.status != 127 {
		t.Errorf("exec of a missing command: %+v", got)
	}
	c.do(t, "tasks", "kill", "-s", "KILL", name).must(t)
	eventually(t, "the task has stopped", func() bool { return strings.Contains(c.do(t, "tasks", "ls").out, "STOPPED") })
	if got := c.do(t, "tasks", "rm", name); !strings.Contains(got.err, "137") {
		t.Errorf("exit status: %+v", got)
	}
	if record(t, name) != nil || len(pairs(t)[before.HolderID()]) != 0 {
		t.Error("record or pair is left")
	}
}
