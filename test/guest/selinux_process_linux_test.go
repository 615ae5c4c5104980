// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	goruntime "runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/evidence"
	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
)

// container_t may not use CAP_SYS_ADMIN, which Landlock needs where no_new_privs is off: the program inside has it under the runtime's
// label, and none of it is left afterwards.
func TestSELinuxLandlockAndCapabilitiesTogether(t *testing.T) {
	require(t, vmtest.SELinux)
	configure(t, "/usr/bin/crun")
	const asked = "0000000000000420" // CAP_KILL, CAP_NET_BIND_SERVICE
	for _, uid := range []uint32{0, 1000} {
		for _, noNewPrivileges := range []bool{false, true} {
			t.Run(fmt.Sprintf("uid %d no_new_privs %v", uid, noNewPrivileges), func(t *testing.T) {
				b := labelled(pairA, "")
				b.uid, b.noNewPrivileges, b.capabilities = uid, noNewPrivileges, []string{"CAP_KILL", "CAP_NET_BIND_SERVICE"}
				pid := b.start(t, "a")
				first := read(t, fmt.Sprintf("/proc/%d/status", pid))
				added := run(t, runtime, "exec", "a", "/bin/cat", "/proc/self/status", "/proc/self/attr/current")
				if kept := record(t, "a"); kept.Observed == nil || kept.Observed.Landlock != evidence.Proven {
					t.Errorf("observed %+v", kept.Observed)
				}
				held := asked
				if uid != 0 {
					held = "0000000000000000"
				}
				want := map[string]string{"CapBnd": asked, "CapPrm": held, "CapEff": held, "CapInh": "0000000000000000", "CapAmb": "0000000000000000",
					"NoNewPrivs": map[bool]string{false: "0", true: "1"}[noNewPrivileges]}
				for process, text := range map[string]string{"first": first, "added": added.stdout} {
					for field, value := range want {
						if got := status(text, field); got != value {
							t.Errorf("%s process: %s is %q, want %s; %s", process, field, got, value, added.stderr)
						}
					}
				}
				if got := strings.TrimRight(added.stdout, "\x00\n"); !strings.HasSuffix(got, "\n"+b.process) || current(t, pid) != b.process {
					t.Errorf("labels %q and %q, want %s", current(t, pid), got, b.process)
				}
			})
		}
	}
}

const (
	userLabel = "system_u:system_r:user_t:s0-s0:c0.c1023"
	asUser    = "BULKHEAD_GUEST_USER" // this process runs as user_t
)

// A pipe carries the label of who made it. Pipes of user_t are none that a container may use: at execve the kernel would put its null
// device there, and the output would be gone without a word.
func TestSELinuxNeverLosesOutput(t *testing.T) {
	require(t, vmtest.SELinux)
	if os.Getenv(asUser) == "" {
		goruntime.LockOSThread() // attr/exec is the thread's that starts the command, and stays until it is cleared
		defer goruntime.UnlockOSThread()
		labelNextExec(t, userLabel)
		defer labelNextExec(t, "\n")
		again := exec.Command(os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
		again.Env = append(os.Environ(), asUser+"=1")
		if text, err := again.CombinedOutput(); err != nil {
			t.Errorf("as user_t: %v\n%s", err, text)
		}
		return
	}
	if got := read(t, "/proc/self/attr/current"); got != userLabel {
		t.Fatalf("context %s, want %s", got, userLabel)
	}
	either(t)
	t.Run("runtime run", func(t *testing.T) {
		stdio(t, processType+pairA, func(script string) []string {
			return []string{runtime, "run", "--bundle", labelled(pairA, script).make(t), "a"}
		})
	})
	t.Run("runtime exec", func(t *testing.T) {
		labelled(pairA, "").start(t, "a")
		stdio(t, processType+pairA, func(script string) []string { return []string{runtime, "exec", "a", "/bin/sh", "-c", script} })
	})
	t.Run("bulkhead run", func(t *testing.T) { // copies the streams through pipes of its own
		got := runIn(t, "echo hello; echo world >&2")
		got.has(t, "hello")
		got.says(t, "world")
	})
	t.Run("bulkhead exec", func(t *testing.T) { // likewise
		detach(t, "b")
		piped := exec.Command(bulkhead, "exec", "-i", "b", "/bin/sh", "-c", "cat; echo world >&2; exit 7")
		piped.Stdin = strings.NewReader("hello\n")
		got := finish(t, piped)
		got.has(t, "hello")
		got.says(t, "world")
		if got.status != 7 {
			t.Errorf("exit %d, want 7", got.status)
		}
		path := t.TempDir() + "/file"
		write(t, path, "", 0o666)
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if got := withOutput(t, []string{bulkhead, "exec", "b", "/bin/echo", "hello"}, file); got.status != 0 || read(t, path) != "hello" {
			t.Errorf("into a file: %+v, %q", got, read(t, path))
		}
	})
}

func labelNextExec(t *testing.T, label string) {
	t.Helper()
	if err := os.WriteFile("/proc/thread-self/attr/exec", []byte(label), 0); err != nil {
		t.Fatal(err)
	}
}

// stdio tries what standard descriptors may be. command makes the command line that runs a script in the container with the label.
func stdio(t *testing.T, label string, command func(script string) []string) {
	t.Run("pipes", func(t *testing.T) {
		arguments := command("cat; echo world >&2")
		piped := exec.Command(arguments[0], arguments[1:]...)
		piped.Stdin = strings.NewReader("hello\n")
		got := finish(t, piped)
		if vmtest.LandlockABI() < 6 { // runc, which puts pipes of its own between
			got.refused(t, 3, label, "the pipes that /usr/sbin/runc makes as "+userLabel)
			return
		}
		got.has(t, "hello")
		got.says(t, "world")
	})
	t.Run("socket", func(t *testing.T) { // keeps its label, user_t
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
		defer ours.Close()
		got := withOutput(t, command("echo hello"), theirs)
		theirs.Close()
		got.refused(t, 3, label, "descriptor 1")
		if text, err := io.ReadAll(ours); err != nil || len(text) > 0 {
			t.Errorf("it ran: %q, %v", text, err)
		}
	})
	t.Run("file", func(t *testing.T) { // keeps its label, tmpfs_t
		path := t.TempDir() + "/file"
		write(t, path, "", 0o666)
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		got := withOutput(t, command("echo hello"), file)
		got.refused(t, 3, label, "descriptor 1")
		if text := read(t, path); text != "" {
			t.Errorf("it ran: %q", text)
		}
	})
}

func withOutput(t *testing.T, arguments []string, stdout *os.File) result {
	t.Helper()
	var stderr bytes.Buffer
	command := exec.Command(arguments[0], arguments[1:]...)
	command.Stdout, command.Stderr = stdout, &stderr
	if err := command.Run(); err != nil && command.ProcessState == nil {
		t.Fatal(err)
	}
	return result{"", stderr.String(), command.ProcessState.ExitCode()}
}
