// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const busyboxPath = "/usr/bin/busybox"

// sleeper starts a program that does nothing until the test ends.
func sleeper(t *testing.T, path string) int {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: apt-get install busybox-static", err)
	}
	command := exec.Command(path, "sleep", "1000")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command.Process.Kill(); command.Wait() })
	return command.Process.Pid
}

// ended returns the number of a process that has ended and was waited for.
func ended(t *testing.T) int {
	t.Helper()
	command := exec.Command(busyboxPath, "true")
	if err := command.Run(); err != nil {
		t.Fatal(err)
	}
	return command.Process.Pid
}

func TestStages(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pid := sleeper(t, busyboxPath)
	linked := filepath.Join(t.TempDir(), "linked")
	if err := os.Symlink(busyboxPath, linked); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		reader Reader
		pid    int
		want   Stage
	}{
		"Program":            {Reader{Inner: "/usr/sbin/runc", Program: self}, pid, Program},
		"OwnProcessIsInside": {Reader{Inner: "/usr/sbin/runc", Program: self}, os.Getpid(), Inside},
		"RuntimeItself":      {Reader{Inner: busyboxPath, Program: self}, pid, Runtime},
		"RuntimeByItsLink":   {Reader{Inner: linked, Program: self}, pid, Runtime},
		"NothingIsKnown":     {Reader{Inner: "/nowhere", Program: "/nowhere"}, pid, Program},
		"NoNames":            {Reader{}, pid, Program},
	} {
		test.reader.Proc = "/proc"
		got, err := test.reader.Stage(test.pid)
		if err != nil || got != test.want {
			t.Errorf("%s: stage %d, %v", name, got, err)
		}
	}
}

func TestSealedCopyIsTheRuntime(t *testing.T) {
	content, err := os.ReadFile(busyboxPath)
	if err != nil {
		t.Fatal(err)
	}
	descriptor, err := unix.MemfdCreate("runc_cloned:/proc/self/exe", 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(descriptor), "copy")
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		t.Fatal(err)
	}
	command := &exec.Cmd{Path: "/proc/self/fd/3", Args: []string{"busybox", "sleep", "1000"}, ExtraFiles: []*os.File{file}}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command.Process.Kill(); command.Wait() })
	if stage, err := (Reader{Proc: "/proc", Inner: "/usr/sbin/runc"}).Stage(command.Process.Pid); err != nil || stage != Runtime {
		t.Errorf("stage %d, %v", stage, err)
	}
}

func TestEndedProcessIsGone(t *testing.T) {
	reader := Reader{Proc: "/proc", Inner: "/usr/sbin/runc"}
	if _, err := reader.Await(ended(t), time.Minute); !errors.Is(err, ErrGone) {
		t.Errorf("waited for: %v", err)
	}
	if _, err := reader.Read(ended(t)); !errors.Is(err, ErrGone) {
		t.Errorf("read: %v", err)
	}
	command := exec.Command(busyboxPath, "true")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Wait()
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, command.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Await(command.Process.Pid, time.Minute); !errors.Is(err, ErrGone) {
		t.Errorf("a zombie: %v", err)
	}
}

func TestAwaitEndsWithItsLimit(t *testing.T) {
	pid := sleeper(t, busyboxPath)
	started := time.Now()
	_, err := Reader{Proc: "/proc", Inner: busyboxPath}.Await(pid, 30*time.Millisecond)
	if err == nil || errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "did not become") || time.Since(started) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(started), err)
	}
}

func TestAwaitPausesAsItIsTold(t *testing.T) {
	pid := sleeper(t, busyboxPath)
	var pauses []time.Duration
	reader := Reader{Proc: "/proc", Inner: busyboxPath, Pause: func(limit time.Duration) {
		pauses = append(pauses, limit)
		if len(pauses) == 9 {
			syscall.Kill(pid, syscall.SIGKILL)
			time.Sleep(100 * time.Millisecond)
		}
	}}
	if _, err := reader.Await(pid, time.Minute); !errors.Is(err, ErrGone) || len(pauses) != 9 {
		t.Fatalf("%v after %v", err, pauses)
	}
	if pauses[0] != time.Millisecond || pauses[1] != 2*time.Millisecond || pauses[8] != 50*time.Millisecond {
		t.Errorf("pauses %v", pauses)
	}
}

func TestAwaitSeesTheChangeToTheProgram(t *testing.T) {
	command := exec.Command(busyboxPath, "sh", "-c", "read line; exec /bin/sleep 1000")
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command.Process.Kill(); command.Wait() })
	go func() {
		time.Sleep(20 * time.Millisecond)
		input.Write([]byte("\n"))
	}()
	observed, err := Reader{Proc: "/proc", Program: busyboxPath}.Await(command.Process.Pid, time.Minute)
	if err != nil || observed.PID != command.Process.Pid {
		t.Fatalf("got %+v, %v", observed, err)
	}
	if link, err := os.Readlink(Reader{Proc: "/proc"}.path(observed.PID, "exe")); err != nil || link == busyboxPath {
		t.Errorf("it was read while it ran %s, %v", link, err)
	}
}

func TestReadReportsWhatTheKernelDoes(t *testing.T) {
	reader := Reader{Proc: "/proc", Inner: "/usr/sbin/runc", Landlock: true}
	observed, err := reader.Await(sleeper(t, busyboxPath), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var header = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	if permitted := uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32; observed.Permitted != permitted || observed.Landlock != Proven {
		t.Errorf("got %+v, and the permitted set is %#x", observed, permitted)
	}
	reader.Landlock = false
	if observed, err = reader.Read(os.Getpid()); err != nil || observed.Landlock != "" {
		t.Errorf("got %+v, %v", observed, err)
	}
}

func TestReadLooksAtTheModulesOwnFiles(t *testing.T) {
	proc := t.TempDir()
	for name, content := range map[string]string{"status": status, "attr/current": "system_u:system_r:container_t:s0:c1,c2\x00", "attr/apparmor/current": "web (enforce)\n"} {
		path := filepath.Join(proc, "7", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if observed, err := (Reader{Proc: proc, SELinux: true}).Read(7); err != nil || observed.ProcessLabel != "system_u:system_r:container_t:s0:c1,c2" || observed.AppArmorProfile != "" {
		t.Errorf("SELinux: %+v, %v", observed, err)
	}
	if observed, err := (Reader{Proc: proc}).Read(7); err != nil || observed.AppArmorProfile != "web (enforce)" || observed.ProcessLabel != "" {
		t.Errorf("AppArmor: %+v, %v", observed, err)
	}
	if err := os.RemoveAll(filepath.Join(proc, "7", "attr", "apparmor")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(proc, "7", "attr", "current"), []byte("old (enforce)\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if observed, err := (Reader{Proc: proc}).Read(7); err != nil || observed.AppArmorProfile != "old (enforce)" {
		t.Errorf("before Linux 5.8: %+v, %v", observed, err)
	}
	if err := os.WriteFile(filepath.Join(proc, "7", "status"), []byte("Name:\tx\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (Reader{Proc: proc}).Read(7); err == nil || !strings.Contains(err.Error(), "process 7: status: no CapPrm") {
		t.Errorf("a status that says nothing: %v", err)
	}
}

func TestRuncIsKnownByWhatItWasCalled(t *testing.T) {
	reader := Reader{Inner: "/opt/wrapped-runc"}
	for arguments, want := range map[string]bool{
		"runc\x00init\x00":              true,
		"/usr/sbin/runc\x00init\x00":    true,
		"/opt/wrapped-runc\x00init\x00": true,
		"busybox\x00init\x00":           false,
		"runc\x00initialise\x00":        false,
		"runc\x00":                      false,
		"":                              false,
	} {
		if got := reader.runcInit(arguments); got != want {
			t.Errorf("%q: %t", arguments, got)
		}
	}
}
