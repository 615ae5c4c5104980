// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

func runtime(t *testing.T, args ...string) string {
	t.Helper()
	// A file and not a pipe: a container that is created holds its end of it.
	file, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	command := exec.Command(harness.Runtime(t), args...)
	command.Stdout = file
	if err := command.Run(); err != nil {
		t.Fatalf("bulkhead-runtime %v: %v", args, err)
	}
	out, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestStateNamesTheEnginesBundle(t *testing.T) {
	bundle := harness.Bundle(t, "", "sleep 100", nil)
	runtime(t, "create", "--bundle", bundle, "state")
	var state specs.State
	if err := json.Unmarshal([]byte(runtime(t, "state", "state")), &state); err != nil {
		t.Fatal(err)
	}
	if state.ID != "state" || state.Bundle != bundle || state.Status != specs.StateCreated || state.Pid == 0 {
		t.Errorf("%+v", state)
	}
	runtime(t, "delete", "--force", "state")
	if err := exec.Command(harness.Runtime(t), "state", "state").Run(); err == nil {
		t.Error("a container that is gone has a state")
	}
	nothingLeft(t)
}

// A container in a user namespace gets the same layers: its root may borrow and return capabilities of its own namespace.
func TestUserNamespace(t *testing.T) {
	root := harness.RootFS(t)
	if out, err := exec.Command("chown", "-hR", "100000:100000", root, filepath.Dir(root), filepath.Dir(filepath.Dir(root))).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
	bundle := harness.Bundle(t, root, "cat /proc/self/uid_map; grep -E 'CapBnd|CapPrm|CapAmb|Seccomp' /proc/self/status; mount -t tmpfs none /tmp 2>/dev/null || echo refused", func(spec *specs.Spec) {
		mapping := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		spec.Linux.UIDMappings, spec.Linux.GIDMappings = mapping, mapping
		spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"acct"}, Action: specs.ActErrno}}}
		names := []string{"CAP_SYS_ADMIN"}
		spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: names, Permitted: names, Effective: names}
	})
	const want = "         0     100000      65536\nCapPrm:\t0000000000200000\nCapBnd:\t0000000000200000\nCapAmb:\t0000000000000000\nSeccomp:\t2\nSeccomp_filters:\t1\nrefused\n"
	if got := runtime(t, "run", "--bundle", bundle, "userns"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	nothingLeft(t)
}

// What Bulkhead sets for the OCI runtime is for that alone: neither the container nor a hook, which has the OCI runtime's environment, sees it.
func TestEnvironmentOfTheOCIRuntimeStaysThere(t *testing.T) {
	const want = "A=1\nA=1\n"
	bundle := harness.Bundle(t, "", "env | grep -e ^A= -e GOMAXPROCS; sleep 100", func(spec *specs.Spec) { spec.Process.Env = append(spec.Process.Env, "A=1") })
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	command := exec.Command(harness.Runtime(t), "run", "--detach", "--bundle", bundle, "environment")
	command.Stdout = output
	if err := command.Run(); err != nil {
		t.Fatal(err)
	}
	second := runtime(t, "exec", "environment", "/bin/sh", "-c", "env | grep -e ^A= -e GOMAXPROCS")
	first, err := os.ReadFile(output.Name())
	if got := string(first) + second; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	runtime(t, "delete", "--force", "environment")

	seen := filepath.Join(t.TempDir(), "seen")
	bundle = harness.Bundle(t, "", "true", func(spec *specs.Spec) {
		spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "env >" + seen}}}}
	})
	runtime(t, "run", "--bundle", bundle, "hooked")
	if text, err := os.ReadFile(seen); err != nil || strings.Contains(string(text), "GOMAXPROCS") || !strings.Contains(string(text), "PATH=") {
		t.Errorf("a hook sees %q, %v", text, err)
	}
	nothingLeft(t)
}
