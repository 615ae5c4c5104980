// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
)

const (
	bulkhead = "/usr/bin/bulkhead"
	runtime  = "/usr/bin/bulkhead-runtime"
	plain    = "/run/guest/rootfs" // a root file system of busybox, which nothing writes to
)

// require asks for the guest that a test is made for. Everything that the test makes has to be gone at its end.
func require(t *testing.T, features ...vmtest.Feature) {
	t.Helper()
	if os.Getenv("BULKHEAD_VM") == "" {
		t.Skip("not in a guest: run test/guest/run.sh")
	}
	vmtest.Require(t, append(features, vmtest.Landlock)...)
	nothingStays(t)
}

// nothingStays fails the test if something is left at its end: mounts, records, pairs, cgroups, or state of the OCI runtimes.
func nothingStays(t *testing.T) {
	t.Helper()
	before := machineState(t)
	t.Cleanup(func() {
		for _, line := range machineState(t) {
			if !slices.Contains(before, line) && !swept(t, line) {
				t.Errorf("left behind: %s", line)
			}
		}
	})
}

// swept reports that a pair was only held by the label of a volume that is gone: the next sweep frees it.
func swept(t *testing.T, line string) bool {
	t.Helper()
	if !strings.HasPrefix(line, "/var/lib/bulkhead/mcs/c") {
		return false
	}
	succeeds(t, bulkhead, "ps")
	_, err := os.Stat(line)
	return os.IsNotExist(err)
}

// machineState lists what containers leave on a machine.
func machineState(t *testing.T) []string {
	t.Helper()
	state := strings.Split(read(t, "/proc/self/mounts"), "\n")
	for _, pattern := range []string{"/run/bulkhead/containers/*", "/run/bulkhead/containers/.*", "/var/lib/bulkhead/mcs/c*", "/var/lib/bulkhead/containers/*",
		"/run/runc/*", "/run/crun/*", "/sys/fs/cgroup/*/", "/sys/fs/cgroup/*/*/"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		state = append(state, found...)
	}
	return slices.DeleteFunc(state, func(path string) bool { // an OCI runtime keeps the parent of its groups
		return slices.Contains([]string{"/sys/fs/cgroup/bulkhead/", "/sys/fs/cgroup/system.slice/"}, path)
	})
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(string(text), "\x00\n")
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// result is what a command did.
type result struct {
	stdout, stderr string
	status         int
}

// run runs a command to its end.
func run(t *testing.T, arguments ...string) result {
	t.Helper()
	return finish(t, exec.Command(arguments[0], arguments[1:]...))
}

func finish(t *testing.T, command *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	command.WaitDelay = time.Second // after its end, for what it left behind and holds the pipes
	watched := time.AfterFunc(limit, func() { giveUp(t, command) })
	err := command.Run()
	watched.Stop()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// limit is for one command; the slowest takes a few seconds.
const limit = 2 * time.Minute

// giveUp ends a command that hangs, after a list of what runs and where it waits.
func giveUp(t *testing.T, command *exec.Cmd) {
	const list = `for p in /proc/[0-9]*; do echo "${p#/proc/} $(cat $p/wchan) $(tr "\\000" " " <$p/cmdline | head -c 200)"; done`
	waiting, _ := exec.Command("/bin/sh", "-c", list).CombinedOutput()
	t.Errorf("%s hangs; processes:\n%s", strings.Join(command.Args, " "), waiting)
	command.Process.Signal(unix.SIGQUIT) // a Go program prints its stacks
	time.Sleep(time.Second)
	command.Process.Kill()
}

// succeeds runs a command that has to exit 0 and returns what it wrote to stdout.
func succeeds(t *testing.T, arguments ...string) string {
	t.Helper()
	got := run(t, arguments...)
	if got.status != 0 {
		t.Fatalf("%s: exit %d: %s%s", strings.Join(arguments, " "), got.status, got.stdout, got.stderr)
	}
	return got.stdout
}

// refused checks an error as users see it: the exit status, one line of error with the words, and one with a hint.
func (r result) refused(t *testing.T, status int, words ...string) {
	t.Helper()
	if r.status != status {
		t.Errorf("exit %d, want %d: %s%s", r.status, status, r.stdout, r.stderr)
	}
	if status > 2 && !strings.Contains(r.stderr, "bulkhead: hint: ") {
		t.Errorf("no hint in %q", r.stderr)
	}
	r.says(t, append(words, "bulkhead: error: ")...)
}

// says checks for words on stderr.
func (r result) says(t *testing.T, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("no %q in %q", word, r.stderr)
		}
	}
}

// has checks for lines of the output.
func (r result) has(t *testing.T, lines ...string) {
	t.Helper()
	have := strings.Split(r.stdout, "\n")
	for _, line := range lines {
		if !slices.Contains(have, line) {
			t.Errorf("no line %q in %q, stderr %q, exit %d", line, r.stdout, r.stderr, r.status)
		}
	}
}

// record returns what Bulkhead keeps of a container.
func record(t *testing.T, id string) *container.Record {
	t.Helper()
	host, err := container.OpenHost()
	if err != nil {
		t.Fatal(err)
	}
	records, err := host.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records {
		if record.ID == id {
			return record
		}
	}
	t.Fatalf("container %s has no record", id)
	return nil
}

// status returns one field of /proc/PID/status, or of text in its form.
func status(text, field string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// rootFS makes the root file system that all tests share.
func rootFS(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(plain); err == nil {
		return plain
	}
	for _, directory := range []string{"dev", "etc", "proc", "sys", "tmp", "data"} {
		if err := os.MkdirAll(filepath.Join(plain, directory), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(plain+"/tmp", 0o1777); err != nil {
		t.Fatal(err)
	}
	write(t, plain+"/bin/busybox", read(t, "/bin/busybox"), 0o755)
	for _, applet := range []string{"sh", "cat", "cp", "ls", "id", "echo", "sleep", "grep", "touch", "stat", "tr", "kill", "head"} {
		if err := os.Symlink("busybox", filepath.Join(plain, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, plain+"/etc/passwd", "root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n", 0o644)
	labelLower(t)
	return plain
}

// labelLower labels the root file system as engines label the layers of images. Overlayfs hands the files below to mmap: kernels such as 6.1
// check mprotect, which every dynamic and static-pie program calls at its start, against their labels and not the mount's.
func labelLower(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil {
		return
	}
	err := filepath.WalkDir(plain, func(path string, _ os.DirEntry, err error) error {
		label(t, "system_u:object_r:container_ro_file_t:s0", path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// configure writes the operator's configuration: the OCI runtime to delegate to, and that annotations may switch Landlock off.
func configure(t *testing.T, inner string) {
	t.Helper()
	if _, err := exec.LookPath(inner); err != nil {
		t.Fatal(err)
	}
	write(t, container.ConfigFile, `{"runtime": "`+inner+`", "annotations": ["landlock"]}`, 0o644)
	t.Cleanup(func() { os.Remove(container.ConfigFile) })
}

// inners runs a test over each OCI runtime; over crun on the newer kernel only, to save time.
func inners(t *testing.T, test func(t *testing.T)) {
	paths := []string{"/usr/sbin/runc"}
	if vmtest.LandlockABI() >= 6 {
		paths = append(paths, "/usr/bin/crun")
	}
	for _, inner := range paths {
		t.Run(filepath.Base(inner), func(t *testing.T) {
			configure(t, inner)
			test(t)
		})
	}
}

// either picks the OCI runtime for a test that needs no more than one: crun on the newer kernel, runc on the older one.
func either(t *testing.T) {
	t.Helper()
	if vmtest.LandlockABI() >= 6 {
		configure(t, "/usr/bin/crun")
		return
	}
	configure(t, "/usr/sbin/runc")
}

func xattr(t *testing.T, path string) string {
	t.Helper()
	value := make([]byte, 256)
	size, err := unix.Getxattr(path, "security.selinux", value)
	if err != nil {
		t.Fatalf("label of %s: %v", path, err)
	}
	return strings.TrimRight(string(value[:size]), "\x00")
}
