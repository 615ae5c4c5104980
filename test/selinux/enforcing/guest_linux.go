// SPDX-License-Identifier: Apache-2.0

// Package enforcing is what the tests share that run containers in guests which enforce Debian's policy.
package enforcing

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
	"github.com/bulkhead-project/bulkhead/plan"
)

// Places in the guest, and what containers are labelled with there.
const (
	Bulkhead  = "/usr/bin/bulkhead"
	Runtime   = "/usr/bin/bulkhead-runtime"
	SELinuxFS = "/sys/fs/selinux"
	Root      = "/guest/rootfs" // root file system, beside the containers' own files: overlayfs gives new files the label of what is below

	ProcessType = "system_u:system_r:container_t"
	FileType    = "system_u:object_r:container_file_t"
)

// Debian is for tests in guests. The kernel enforces Debian's policy as the distribution has it, with nothing of Bulkhead's on it.
func Debian(t *testing.T) {
	t.Helper()
	guest(t)
	Reload(t)
}

// Containers is the same, where the first container has run.
func Containers(t *testing.T) {
	t.Helper()
	guest(t)
	if !Valid(ProcessType + ":s0") {
		if got := InContainer(t, "true"); got.Status != 0 {
			t.Fatalf("%+v", got)
		}
	}
}

func guest(t *testing.T) {
	t.Helper()
	if os.Getenv("BULKHEAD_VM") == "" {
		t.Skip("not in a guest: run run.sh of this directory")
	}
	vmtest.Require(t, vmtest.SELinux)
	labelDevices(t)
	rootFS(t)
}

// Reload has the kernel load Debian's policy anew, as the distribution's tools do: what was put onto it is gone.
func Reload(t *testing.T) {
	t.Helper()
	policy, err := os.ReadFile("/policies/debian")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(SELinuxFS+"/load", policy, 0); err != nil {
		t.Fatal(err)
	}
	if Valid("system_u:system_r:container_t:s0") {
		t.Fatal("Debian's policy has container_t")
	}
}

// Valid asks the kernel whether its policy takes a context.
func Valid(context string) bool {
	return os.WriteFile(SELinuxFS+"/context", append([]byte(context), 0), 0) == nil
}

// rootFS is a root file system of busybox.
func rootFS(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(Root); err == nil {
		return
	}
	for _, name := range []string{"dev", "etc", "proc", "sys", "tmp", "data", "bin"} {
		if err := os.MkdirAll(filepath.Join(Root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(Root+"/bin/busybox", program, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, applet := range []string{"sh", "cat", "ls", "echo", "sleep", "touch", "tr", "kill", "cp", "ip", "true"} {
		if err := os.Symlink("busybox", filepath.Join(Root, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	// As the layers of images are labelled: kernels such as 6.1 check programs against the label of the file below. It takes a policy that knows the label; what is on the
	// disk stays when that is gone.
	InContainer(t, "true")
	err = filepath.WalkDir(Root, func(path string, _ os.DirEntry, err error) error {
		Label(t, "system_u:object_r:container_ro_file_t:s0", path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// labelDevices does udev's work, of which the guest has none.
func labelDevices(t *testing.T) {
	t.Helper()
	for name, typ := range map[string]string{"null": "null_device_t", "zero": "zero_device_t", "random": "random_device_t", "urandom": "urandom_device_t", "tty": "devtty_t", "ptmx": "ptmx_t"} {
		Label(t, "system_u:object_r:"+typ+":s0", "/dev/"+name)
	}
}

// Label gives files a label.
func Label(t *testing.T, context string, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := unix.Lsetxattr(path, "security.selinux", append([]byte(context), 0), 0); err != nil {
			t.Fatalf("label %s %s: %v", path, context, err)
		}
	}
}

// File makes a file with a label, in a directory of the same.
func File(t *testing.T, path, context, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	Label(t, context, path)
}

// WatchAVCs opens the audit socket while the policy, in which kernel_t may not read it, is not enforced.
func WatchAVCs(t *testing.T) (watch *vmtest.AVCWatch) {
	t.Helper()
	Permissively(t, func() { watch = vmtest.WatchAVCs(t) })
	return watch
}

// Permissively does something that is not of the test's matter and that the policy denies the guest's first process.
func Permissively(t *testing.T, do func()) {
	t.Helper()
	enforce := func(value string) {
		if err := os.WriteFile(SELinuxFS+"/enforce", []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	enforce("0")
	defer enforce("1")
	do()
}

// Unconfined runs a command as Debian's policy has root log in, in unconfined_t; the guest's first process, and so the test, is kernel_t. It has to exit 0.
func Unconfined(t *testing.T, words ...string) string {
	t.Helper()
	var out []byte
	Permissively(t, func() {
		runtime.LockOSThread() // attr/exec is the thread's
		defer runtime.UnlockOSThread()
		const attribute = "/proc/thread-self/attr/exec"
		if err := os.WriteFile(attribute, []byte("unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"), 0); err != nil {
			t.Fatal(err)
		}
		var err error
		out, err = exec.Command("/bin/sh", append([]string{"-c", `echo 1 >"$0" && grep -q ^unconfined_u /proc/self/attr/current && exec "$@"`, SELinuxFS + "/enforce"}, words...)...).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", strings.Join(words, " "), err, out)
		}
		if err := os.WriteFile(attribute, nil, 0); err != nil {
			t.Fatal(err)
		}
	})
	return string(out)
}

// Result is what a command did.
type Result struct {
	Stdout, Stderr string
	Status         int
}

// Run runs a command to its end.
func Run(t *testing.T, words ...string) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.Command(words[0], words[1:]...)
	command.Stdout, command.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return Result{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// Succeeds runs a command that has to exit 0, and returns its output.
func Succeeds(t *testing.T, words ...string) string {
	t.Helper()
	got := Run(t, words...)
	if got.Status != 0 {
		t.Fatalf("%s: exit %d: %s%s", strings.Join(words, " "), got.Status, got.Stdout, got.Stderr)
	}
	return got.Stdout
}

// InContainer runs a script with options of run.
func InContainer(t *testing.T, script string, options ...string) Result {
	t.Helper()
	return Run(t, slices.Concat([]string{Bulkhead, "run", "--rm", "--rootfs", Root}, options, []string{"/bin/sh", "-c", script})...)
}

// Detach starts a container that stays until the end of the test, and returns its label.
func Detach(t *testing.T, name string, options ...string) string {
	t.Helper()
	Succeeds(t, slices.Concat([]string{Bulkhead, "run", "-d", "--name", name, "--rootfs", Root}, options, []string{"/bin/sleep", "1000"})...)
	t.Cleanup(func() { Succeeds(t, Bulkhead, "rm", "--force", name) })
	return strings.TrimRight(Succeeds(t, Bulkhead, "exec", name, "/bin/cat", "/proc/self/attr/current"), "\x00\n")
}

// Planned returns what `bulkhead plan` says of a container with options.
func Planned(t *testing.T, options ...string) plan.Plan {
	t.Helper()
	var made plan.Plan
	out := Succeeds(t, slices.Concat([]string{Bulkhead, "plan", "--json", "--rootfs", Root}, options, []string{"/bin/true"})...)
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	return made
}
