// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/evidence"
	"github.com/bulkhead-project/bulkhead/oci"
)

func parseLine(t *testing.T, line string) oci.Command {
	t.Helper()
	command, err := oci.ParseCommand(strings.Fields(line))
	if err != nil {
		t.Fatal(err)
	}
	return command
}

func TestOptionsOfExecDescribeTheProcess(t *testing.T) {
	base := specs.Process{Args: []string{"nginx"}, Env: []string{"A=1"}, Cwd: "/srv", Terminal: true, User: specs.User{UID: 5, GID: 6}, NoNewPrivileges: true}
	for line, want := range map[string]specs.Process{
		"exec c id -u":                   {Args: []string{"id", "-u"}, Env: []string{"A=1"}, Cwd: "/srv", User: specs.User{UID: 5, GID: 6}, NoNewPrivileges: true},
		"exec -t -e B=2 --cwd /tmp c id": {Args: []string{"id"}, Env: []string{"A=1", "B=2"}, Cwd: "/tmp", Terminal: true, User: specs.User{UID: 5, GID: 6}, NoNewPrivileges: true},
		"exec -u 7 c id":                 {Args: []string{"id"}, Env: []string{"A=1"}, Cwd: "/srv", User: specs.User{UID: 7, GID: 6}, NoNewPrivileges: true},
		"exec -u 7:7 -g 8 -g 9 c id":     {Args: []string{"id"}, Env: []string{"A=1"}, Cwd: "/srv", User: specs.User{UID: 7, GID: 7, AdditionalGids: []uint32{8, 9}}, NoNewPrivileges: true},
		"exec --no-new-privs=false c id": {Args: []string{"id"}, Env: []string{"A=1"}, Cwd: "/srv", User: specs.User{UID: 5, GID: 6}, NoNewPrivileges: true},
		"exec -c CAP_KILL c id":          {Args: []string{"id"}, Env: []string{"A=1"}, Cwd: "/srv", User: specs.User{UID: 5, GID: 6}, NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL"}, Permitted: []string{"CAP_KILL"}}},
	} {
		process := base
		if err := applyOptions(&process, parseLine(t, line)); err != nil || !reflect.DeepEqual(process, want) {
			t.Errorf("%s: got %+v, %v", line, process, err)
		}
	}
	if !reflect.DeepEqual(base.Env, []string{"A=1"}) {
		t.Error("the container's own environment was changed")
	}
}

func TestOptionsOfExecThatAreRefused(t *testing.T) {
	for line, want := range map[string]string{
		"exec c": "no command", "exec -u www c id": `"www"`, "exec -u 1:staff c id": `"staff"`, "exec -u -1 c id": `"-1"`, "exec -u 4294967296 c id": `"4294967296"`, "exec -g x c id": `"x"`,
		"exec --apparmor other c id": "another confinement", "exec --process-label a:b:c c id": "another confinement",
	} {
		err := applyOptions(&specs.Process{}, parseLine(t, line))
		var usage *oci.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", line, err)
		}
	}
}

func TestOptionsThatProcessJSONReplacesAreNotPassedOn(t *testing.T) {
	options := parseLine(t, "exec -t -d -e A=1 -u 1 --cwd / --process-label x --apparmor y --cap CAP_KILL --no-new-privs --console-socket /s --pid-file /p c id").Options
	if got := strings.Join(execOptions(options).Args(), " "); got != "--detach --console-socket /s" {
		t.Errorf("got %q", got)
	}
}

func TestPreservedDescriptorsAreCounted(t *testing.T) {
	for line, want := range map[string]int{"create c": 0, "create --preserve-fds 3 c": 3} {
		if got := preserved(parseLine(t, line).Options); got != want {
			t.Errorf("%s: %d", line, got)
		}
	}
	t.Setenv("LISTEN_FDS", "2")
	t.Setenv("LISTEN_PID", "1")
	if got := preserved(nil); got != 0 {
		t.Errorf("descriptors of another process count: %d", got)
	}
	t.Setenv("LISTEN_PID", filepath.Base(must(t, "/proc/self")))
	if got := preserved(nil); got != 2 {
		t.Errorf("descriptors of this process: %d", got)
	}
	if err := checkPreserved(1 << 20); err == nil {
		t.Error("a closed descriptor was taken")
	}
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := checkPreserved(int(file.Fd())); err == nil {
		t.Error("a descriptor of this program's own was taken for the engine's")
	}
}

// must reads a symbolic link.
func must(t *testing.T, path string) string {
	t.Helper()
	target, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestPIDFileIsWrittenWhole(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	if err := os.WriteFile(from, []byte("42"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyPID(from, to); err != nil || readPID(to) != 42 {
		t.Errorf("%d, %v", readPID(to), err)
	}
	if err := copyPID(from+"-gone", to); err == nil {
		t.Error("no number was copied")
	}
}

func TestProcessThatIsConfinedTooLittleIsKilled(t *testing.T) {
	host := newHost(t)
	record := newTestRecord(t, host, "web", alive(t))
	record.Inner, record.Program = "/nowhere", "/nowhere"
	command := exec.Command("sleep", "1000")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Process.Kill()
	if err := os.WriteFile(record.PIDFile(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	everything := ^uint64(0)
	record.Expected = evidence.Expected{Bounding: everything}
	if err := host.Verify(record, command.Process.Pid); err != nil || record.Observed == nil || record.Observed.PID != command.Process.Pid {
		t.Fatalf("as asked: %+v, %v", record.Observed, err)
	}
	if saved, err := host.Open(record.Engine, "web"); err != nil || saved.Observed == nil {
		t.Errorf("the observation is not in the record: %v", err)
	}
	record.Expected = evidence.Expected{Bounding: everything, Landlock: false, NoNewPrivileges: true, AppArmorProfile: "web"}
	err := host.Verify(record, command.Process.Pid)
	var mismatch *MismatchError
	if !errors.As(err, &mismatch) || mismatch.ID != "web" || len(mismatch.Mismatches) == 0 || !strings.Contains(err.Error(), "was killed") {
		t.Fatalf("got %v", err)
	}
	if err := command.Wait(); err == nil || command.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the process ended with %v", err)
	}
	if err := host.Verify(record, command.Process.Pid); err != nil {
		t.Errorf("a process that has ended needs no confining: %v", err)
	}
}

func TestWhatCannotBeVerifiedIsAnError(t *testing.T) {
	host := &Host{Run: t.TempDir()}
	if err := host.Verify(&Record{ID: "web"}, 0); !errors.Is(err, errNoProcess) {
		t.Errorf("verified without a process: %v", err)
	}
	if _, err := (&Record{ID: "web", directory: t.TempDir()}).Observe(); !errors.Is(err, evidence.ErrGone) {
		t.Errorf("observed without a process: %v", err)
	}
}
