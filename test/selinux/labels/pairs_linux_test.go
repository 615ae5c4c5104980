// SPDX-License-Identifier: Apache-2.0

package labels

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/test/selinux/enforcing"
)

// process starts a program in the domain of containers that no engine and no registry knows of.
func process(t *testing.T, level string) int {
	t.Helper()
	command := exec.Command("/bin/cat")
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	enforcing.Permissively(t, func() {
		runtime.LockOSThread() // attr/exec is the thread's
		defer runtime.UnlockOSThread()
		const attribute = "/proc/thread-self/attr/exec"
		if err := os.WriteFile(attribute, []byte(enforcing.ProcessType+":"+level), 0); err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(attribute, nil, 0); err != nil {
			t.Fatal(err)
		}
		// Its libraries have to be there before the policy, which does not let it have them, is enforced again.
		if _, err := io.WriteString(in, "ready\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	return command.Process.Pid
}

// A pair that a process has is neither drawn nor given to an engine's container, unless the engine has it already.
func TestAPairThatAProcessHasIsNotGiven(t *testing.T) {
	enforcing.Containers(t)
	const level = "s0:c41,c42"
	pid := process(t, level)
	if err := os.MkdirAll("/etc/bulkhead", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/etc/bulkhead/bulkhead.json", []byte(`{"categories": [41, 42]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove("/etc/bulkhead/bulkhead.json") })
	if got := enforcing.InContainer(t, "echo started"); got.Status == 0 || got.Stdout != "" || !strings.Contains(got.Stderr, "every category pair is taken") {
		t.Errorf("drawn: %+v", got)
	}
	if out := enforcing.Succeeds(t, enforcing.Bulkhead, "label", "mcs", "who", "c41,c42"); !strings.Contains(out, fmt.Sprint("process ", pid)) {
		t.Errorf("who: %s", out)
	}
	const id = "abcdefabcdefabcdef"
	bundle := enforcing.Bundle(t, "/run/containerd/io.containerd.runtime.v2.task/moby/"+id, level, "/bin/cat", "/proc/self/attr/current")
	t.Cleanup(func() { os.RemoveAll("/run/containerd") })
	start := []string{enforcing.Runtime, "run", "--bundle", bundle, id}
	if got := enforcing.Run(t, start...); got.Status == 0 || got.Stdout != "" || !strings.Contains(got.Stderr, fmt.Sprintf("process %d has it", pid)) || !strings.Contains(got.Stderr, "bulkhead: hint: ") {
		t.Errorf("named by an engine: %+v", got)
	}
	// A container that the engine joins it to accounts for the process.
	if err := os.MkdirAll("/var/lib/docker/containers/other", 0o700); err != nil {
		t.Fatal(err)
	}
	state := fmt.Sprintf(`{"ID":"other","Name":"/other","ProcessLabel":"%s:%s"}`, enforcing.ProcessType, level)
	if err := os.WriteFile("/var/lib/docker/containers/other/config.v2.json", []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll("/var/lib/docker") })
	if got := enforcing.Run(t, start...); got.Status != 0 || strings.TrimRight(got.Stdout, "\x00\n") != enforcing.ProcessType+":"+level {
		t.Errorf("shared by the engine: %+v", got)
	}
}
