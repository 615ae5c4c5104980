// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell is a script with standard error alone.
func shell(script string) child {
	return child{path: "/bin/sh", args: []string{"-c", script}, files: []*os.File{nil, nil, os.Stderr}}
}

func TestSupervisedStatusIsTheShells(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 137, "kill -15 $$": 143} {
		if status, err := supervise(shell(script), nil); err != nil || status != want {
			t.Errorf("%s: %d, %v", script, status, err)
		}
	}
	if _, err := supervise(child{path: "/no/such/runtime"}, nil); err == nil || !strings.Contains(err.Error(), "/no/such/runtime") {
		t.Errorf("got %v", err)
	}
}

func TestChildHasItsDescriptorsAndItsEnvironmentOnly(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	command := child{path: "/bin/sh", args: []string{"-c", `echo "$A" "$HOME" $(readlink /proc/$$/fd/1) >&3`},
		environment: []string{"A=1", "PATH=/usr/bin:/bin"}, files: []*os.File{nil, nil, nil, write}}
	if status, err := supervise(command, nil); err != nil || status != 0 {
		t.Fatalf("%d, %v", status, err)
	}
	write.Close()
	var text [100]byte
	count, err := read.Read(text[:])
	if got := string(text[:count]); err != nil || got != "1  /dev/null\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestChildHasTheTimerSlackThatItIsToHave(t *testing.T) {
	command := shell("test $(cat /proc/$$/timerslack_ns) = 70000")
	command.slack = 70_000
	if status, err := supervise(command, nil); err != nil || status != 0 {
		t.Errorf("%d, %v", status, err)
	}
}

func TestSignalsReachTheChild(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	go func() {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if _, err := os.Stat(ready); err == nil {
				syscall.Kill(os.Getpid(), syscall.SIGTERM)
				return
			}
		}
	}()
	status, err := supervise(shell("trap 'exit 9' TERM; : >"+ready+"; while :; do sleep 0.01; done"), nil)
	if err != nil || status != 9 {
		t.Errorf("%d, %v", status, err)
	}
}

// The child of a supervisor that is killed must not go on: what it starts would be verified by nobody.
func TestChildDiesWithItsSupervisor(t *testing.T) {
	const variable = "CONTAINER_TEST_SUPERVISOR"
	if path := os.Getenv(variable); path != "" {
		supervise(shell("echo $$ >"+path+".new; mv "+path+".new "+path+"; exec sleep 1000"), nil)
		return
	}
	path := filepath.Join(t.TempDir(), "pid")
	supervisor := exec.Command(os.Args[0], "-test.run=^TestChildDiesWithItsSupervisor$")
	supervisor.Env = append(os.Environ(), variable+"="+path)
	if err := supervisor.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for deadline := time.Now().Add(time.Minute); pid == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		pid = readPID(path)
	}
	time.Sleep(50 * time.Millisecond) // long enough for Go to be done with threads that it might end
	if err := syscall.Kill(pid, 0); pid == 0 || err != nil {
		t.Fatalf("process %d ended while its supervisor lived: %v", pid, err)
	}
	supervisor.Process.Kill()
	supervisor.Wait()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
	}
	t.Errorf("process %d outlives its supervisor", pid)
	syscall.Kill(pid, syscall.SIGKILL)
}

func TestWhatArrivesIsVerifiedOnceAndEarly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	var pids []int
	var during bool
	told := errors.New("told")
	added := &arrival{pidFile: path, verify: func(pid int) error {
		pids = append(pids, pid)
		_, err := os.Stat(path + ".end")
		during = err != nil
		return told
	}}
	status, err := supervise(shell("echo 42 >"+path+".new; mv "+path+".new "+path+"; sleep 0.2; : >"+path+".end"), added)
	if err != nil || status != 0 || len(pids) != 1 || pids[0] != 42 {
		t.Fatalf("%d, %v; verified %v", status, err, pids)
	}
	if !during {
		t.Error("it was verified after the child had ended")
	}
	if status, err := added.outcome(3); status != 3 || !errors.Is(err, told) {
		t.Errorf("outcome %d, %v", status, err)
	}
}

func TestWhatArrivesLastIsVerifiedToo(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "pid")
		got := 0
		added := &arrival{pidFile: path, verify: func(pid int) error { got = pid; return nil }}
		if status, err := supervise(shell("echo "+strconv.Itoa(os.Getpid())+" >"+path), added); err != nil || status != 0 || got != os.Getpid() {
			t.Fatalf("%d, %v; verified %d", status, err, got)
		}
	}
}

func TestWhatCannotBeVerifiedIsNoSuccess(t *testing.T) {
	if _, err := (&arrival{}).outcome(0); !errors.Is(err, errNoProcess) {
		t.Errorf("a run without a process ID: %v", err)
	}
	if status, err := (&arrival{}).outcome(7); status != 7 || err != nil {
		t.Errorf("a run that the OCI runtime refused: %d, %v", status, err)
	}
}
