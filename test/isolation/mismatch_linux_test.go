// SPDX-License-Identifier: Apache-2.0

//go:build linux

package isolation

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// lyingRunc makes the host's configured runtime one that leaves out the layer that LIE names.
func lyingRunc(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lying-runc")
	if err := os.Symlink(probePath(t), path); err != nil {
		t.Fatal(err)
	}
	configure(t, fmt.Sprintf(`{"runtime": %q, "annotations": ["landlock"]}`, path))
	t.Setenv("LIE_RUNC", plain(t).path)
	t.Setenv("LIE", "nothing")
}

// filtered asks for a filter, and for no Landlock domain, whose lack would show as well.
func filtered(spec *specs.Spec) {
	privilegeless(spec)
	spec.Linux.Seccomp = acctDenied()
}

func acctDenied() *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"acct"}, Action: specs.ActErrno}}}
}

// privilegeless asks for no_new_privs, and for no Landlock domain, which could not be entered without.
func privilegeless(spec *specs.Spec) {
	spec.Process.NoNewPrivileges = true
	spec.Annotations = map[string]string{"org.bulkhead.landlock": "unconfined"}
}

// lies are the layers that the runtime leaves out, what they are left out of, and the layer that is found to be missing.
var lies = map[string]struct {
	edit  func(*specs.Spec)
	found string
}{
	"seccomp":           {filtered, "seccomp"},
	"no-new-privileges": {privilegeless, "no-new-privileges"},
	"landlock":          {func(spec *specs.Spec) { spec.Process.NoNewPrivileges = true }, "landlock"},
}

func mustBeKilled(t *testing.T, what, layer, stderr string, status int) {
	t.Helper()
	if status != 3 || !strings.HasPrefix(lastLines(stderr), "bulkhead: error: container ") || !strings.Contains(stderr, "was killed: it is confined less than was planned; "+layer+": ") {
		t.Errorf("%s without %s: exit status %d, want 3 and the layer by name: %s", what, layer, status, stderr)
	}
}

// lastLines are those from Bulkhead's error on: runc may have said something before.
func lastLines(stderr string) string {
	if at := strings.Index(stderr, "bulkhead: error:"); at >= 0 {
		return stderr[at:]
	}
	return stderr
}

func TestContainerThatIsConfinedLessIsKilled(t *testing.T) {
	root := newRoot(t)
	lyingRunc(t)
	for layer, lie := range lies {
		t.Setenv("LIE", layer)
		for _, options := range [][]string{nil, {"--detach"}} {
			runtime, id, b := confined(t), newID(), box{root: root, edit: lie.edit}
			args := append(append([]string{"run"}, options...), "--bundle", b.bundle(t, "/bin/sleep", "600"), id)
			command := runtime.command(args...)
			command.Stdout = newFile(t)
			errors := newFile(t)
			_, _, status := outputTo(t, command, errors)
			mustBeKilled(t, "run"+strings.Join(options, ""), lie.found, content(t, errors), status)
			mustBeGone(t, runtime, id)
		}
		t.Run("create and start "+layer, func(t *testing.T) { killedAtStart(t, box{root: root, edit: lie.edit}, lie.found) })
	}
}

func killedAtStart(t *testing.T, b box, layer string) {
	runtime, id := confined(t), newID()
	create := runtime.command("create", "--bundle", b.bundle(t, "/bin/sleep", "600"), id)
	create.Stdout = newFile(t)
	errors := newFile(t)
	if _, _, status := outputTo(t, create, errors); status != 0 {
		t.Fatalf("create: %s", content(t, errors))
	}
	start := runtime.command("start", id)
	_, stderr, status := output(t, start)
	mustBeKilled(t, "start", layer, stderr, status)
	runtime.awaitEnd(t, id)
	if out, err := runtime.command("delete", id).CombinedOutput(); err != nil {
		t.Errorf("delete: %v: %s", err, out)
	}
	mustBeGone(t, runtime, id)
}

// outputTo runs a command whose standard error outlives it in a container.
func outputTo(t *testing.T, command *exec.Cmd, errors *os.File) (stdout, stderr string, status int) {
	t.Helper()
	command.Stderr = errors
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(time.Minute, func() { command.Process.Kill() })
	defer limit.Stop()
	command.Wait()
	return "", "", command.ProcessState.ExitCode()
}

// mustBeGone looks for anything that is left of a container.
func mustBeGone(t *testing.T, runtime runtime, id string) {
	t.Helper()
	for _, pattern := range []string{"/run/bulkhead/containers/" + id + ".*", filepath.Join(runtime.root, id), "/sys/fs/cgroup/*/" + id, "/sys/fs/cgroup/" + id} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestAddedProcessThatIsConfinedLessIsKilled(t *testing.T) {
	root := newRoot(t)
	lyingRunc(t)
	for layer := range lies {
		t.Setenv("LIE", "nothing")
		runtime := confined(t)
		id := runtime.start(t, box{root: root, edit: lies[layer].edit}, "/bin/sleep", "600")
		t.Setenv("LIE", layer)
		_, stderr, status := runtime.exec(t, id, box{}, "/bin/sleep", "600")
		mustBeKilled(t, "exec", lies[layer].found, stderr, status)
	}
}

func TestConfinedContainerUnderTheSameWrapperRuns(t *testing.T) {
	b := box{root: newRoot(t), edit: filtered}
	lyingRunc(t)
	if out, stderr, status := confined(t).run(t, b, "/bin/sh", "-c", "sleep 0.3; echo ran"); status != 0 || out != "ran\n" {
		t.Errorf("exit status %d: %s%s", status, out, stderr)
	}
}
