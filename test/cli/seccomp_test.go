// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// filterFiles names the raw filters that the test's own binary puts on itself before it becomes sleep(1): the variable of the environment by which filtered starts it.
const filterFiles = "BULKHEAD_TEST_FILTERS"

// TestProcessWithFilters is the process that filtered starts, and nothing where nobody asks for it.
func TestProcessWithFilters(t *testing.T) {
	files := os.Getenv(filterFiles)
	if files == "" {
		return
	}
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	goruntime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	for file := range strings.SplitSeq(files, ":") {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		program := unix.SockFprog{Len: uint16(len(raw) / 8), Filter: (*unix.SockFilter)(unsafe.Pointer(&raw[0]))}
		if _, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program))); errno != 0 {
			t.Fatal(errno)
		}
	}
	t.Fatal(unix.Exec(sleep, []string{"sleep", "60"}, nil))
}

// filtered starts a process with filters, the last one installed last, and returns its number.
func filtered(t *testing.T, files ...string) int {
	t.Helper()
	command := exec.Command("/proc/self/exe", "-test.run=^TestProcessWithFilters$")
	command.Env = append(os.Environ(), filterFiles+"="+strings.Join(files, ":"))
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	for range 1000 {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", command.Process.Pid))
		if err == nil && string(name) == "sleep\n" {
			return command.Process.Pid
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the process does not become sleep: %s", out.String())
	return 0
}

func TestFiltersOfARunningProcess(t *testing.T) {
	directory := t.TempDir()
	docker, open := filepath.Join(directory, "docker.bpf"), filepath.Join(directory, "open.bpf")
	profile := filepath.Join(directory, "open.json")
	if err := os.WriteFile(profile, []byte(`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "seccomp", "compile", "docker", "-o", docker)
	must(t, "seccomp", "compile", profile, "-o", open)

	one := fmt.Sprintf("pid:%d", filtered(t, docker))
	if got := must(t, "seccomp", "diff", one, "docker"); got != "equal\n" {
		t.Errorf("a dumped filter and its profile: %s", got)
	}
	dumped := filepath.Join(directory, "dumped.bpf")
	must(t, "seccomp", "compile", one, "-o", dumped)
	if want, _ := os.ReadFile(docker); len(want) == 0 || !bytes.Equal(read(t, dumped), want) {
		t.Error("the dumped filter has other instructions")
	}
	if got := must(t, "seccomp", "decide", one, "socket", "40", "1", "0"); !strings.HasPrefix(got, "errno EPERM (the filter returns it") {
		t.Errorf("decide: %s", got)
	}
	if got := bulkhead(t, "", "seccomp", "diff", one+":1", "docker"); got.status != 1 || !strings.Contains(got.stderr, "no filter 1: the process has 1") {
		t.Errorf("a filter that is not there: %+v", got)
	}

	two := fmt.Sprintf("pid:%d", filtered(t, docker, open))
	if got := must(t, "seccomp", "diff", two+":1", profile); got != "equal\n" {
		t.Errorf("the second filter: %s", got)
	}
	if got := must(t, "seccomp", "diff", two+":0", "docker"); got != "equal\n" {
		t.Errorf("the first filter: %s", got)
	}
	if got := bulkhead(t, "", "seccomp", "diff", two, "docker"); got.status != 2 || !strings.Contains(got.stderr, "the process has 2 filters: choose one by") {
		t.Errorf("two filters: %+v", got)
	}
	if got := bulkhead(t, "", "seccomp", "show", fmt.Sprintf("pid:%d", os.Getpid())); got.status != 1 || !strings.Contains(got.stderr, "bulkhead: error: pid:") {
		t.Errorf("no filter: %+v", got)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
