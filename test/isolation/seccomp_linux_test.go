// SPDX-License-Identifier: Apache-2.0

//go:build linux

package isolation

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/seccomp"
	"github.com/bulkhead-project/bulkhead/seccomp/notify"
)

// dockers is Docker's default profile as Docker writes it into a config.json.
func dockers(t *testing.T, spec *specs.Spec) {
	t.Helper()
	version, err := seccomp.KernelVersion(kernel.Probe().Release)
	if err != nil {
		t.Fatal(err)
	}
	policy, _, err := seccomp.Docker().Resolve(seccomp.Target{Architecture: goruntime.GOARCH, Capabilities: spec.Process.Capabilities.Bounding, Kernel: version})
	if err != nil {
		t.Fatal(err)
	}
	spec.Linux.Seccomp = policy.OCI()
}

// The kernel reads 32 bits of a socket's family: what is above them does not make another family of it.
func TestHighBitsOpenNoSocketThatTheProfileDenies(t *testing.T) {
	const high = 1 << 32
	sockets := func(families ...int) (questions []string) {
		for _, family := range families {
			questions = append(questions, fmt.Sprintf("socket:%d:%d:0", family, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC))
		}
		return questions
	}
	denied := sockets(unix.AF_ALG, unix.AF_VSOCK, unix.AF_ALG|high, unix.AF_VSOCK|high, unix.AF_VSOCK|1<<62, unix.AF_ALG|0xfff<<32)
	allowed := sockets(unix.AF_UNIX, unix.AF_UNIX|high)
	b := box{root: newRoot(t)}
	open := plain(t).ask(t, "run", b, append(denied, allowed...)...)
	for _, question := range denied {
		if open[question] == "EPERM" {
			t.Errorf("without a filter %s gives %s: the test cannot show anything", question, open[question])
		}
	}
	b.edit = func(spec *specs.Spec) { dockers(t, spec) }
	for _, way := range ways {
		answers := confined(t).ask(t, way, b, append(denied, allowed...)...)
		wantAnswer(t, answers, "EPERM", denied...)
		wantAnswer(t, answers, "ok", allowed...)
	}
	args := append([]string{"run", "--rm", "--rootfs", b.root, "/probe"}, append(denied, allowed...)...)
	out, stderr, status := bulkhead(t, args...)
	if status != 0 {
		t.Fatalf("bulkhead run: %d: %s", status, stderr)
	}
	wantAnswer(t, readAnswers(t, out, denied), "EPERM", denied...)
}

// There is one filter more than whoever starts the container has, however the process is started.
func TestEveryProcessHasOneFilter(t *testing.T) {
	root := newRoot(t)
	none := plain(t).ask(t, "run", box{root: root}, "filters")["filters"]
	_, count, _ := strings.Cut(none, ":")
	had, err := strconv.Atoi(count) // by the machine that the test runs on
	if err != nil {
		t.Fatalf("%q: %v", none, err)
	}
	one := fmt.Sprintf("2:%d", had+1)
	user := func(spec *specs.Spec) { spec.Process.User = specs.User{UID: 1000, GID: 1000} }
	for name, edit := range map[string]func(*specs.Spec){
		"root":                      func(*specs.Spec) {},
		"another user":              user,
		"no new privileges":         func(spec *specs.Spec) { spec.Process.NoNewPrivileges = true },
		"user, no new privileges":   func(spec *specs.Spec) { user(spec); spec.Process.NoNewPrivileges = true },
		"no capabilities":           func(spec *specs.Spec) { spec.Process.Capabilities = &specs.LinuxCapabilities{} },
		"user and no capabilities":  func(spec *specs.Spec) { user(spec); spec.Process.Capabilities = &specs.LinuxCapabilities{} },
		"without a Landlock domain": func(spec *specs.Spec) { spec.Annotations = map[string]string{"org.bulkhead.landlock": "unconfined"} },
	} {
		if strings.HasPrefix(name, "without") {
			configure(t, `{"annotations": ["landlock"]}`)
		}
		b := box{root: root, edit: func(spec *specs.Spec) { edit(spec); dockers(t, spec) }}
		for _, way := range ways {
			wantAnswer(t, confined(t).ask(t, way, b, "filters"), one, "filters")
		}
	}
}

// agent is a program at a listenerPath.
type agent struct {
	path  string
	mutex sync.Mutex
	seen  []specs.ContainerProcessState
}

// newAgent answers EDOM to what it is asked.
func newAgent(t *testing.T) *agent {
	t.Helper()
	directory, err := os.MkdirTemp("", "agent-") // short: a socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{path: filepath.Join(directory, "socket")}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: a.path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
		os.RemoveAll(directory)
	})
	serving.Go(func() {
		for {
			connection, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			serving.Go(func() {
				if err := a.serve(t, connection); err != nil && t.Context().Err() == nil {
					t.Error("agent:", err)
				}
			})
		}
	})
	return a
}

func (a *agent) serve(t *testing.T, connection *net.UnixConn) error {
	defer connection.Close()
	text, rights := make([]byte, 1<<16), make([]byte, 128)
	n, rightsLength, _, _, err := connection.ReadMsgUnix(text, rights)
	if err != nil {
		return err
	}
	var state specs.ContainerProcessState
	if err := json.Unmarshal(text[:n], &state); err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rightsLength])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("%d control messages, %v", len(messages), err)
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(descriptors) != 1 {
		return fmt.Errorf("%d descriptors, %v", len(descriptors), err)
	}
	if more, err := connection.Read(text); more != 0 || err == nil {
		return fmt.Errorf("the connection goes on after the state: %d bytes, %v", more, err)
	}
	a.mutex.Lock()
	a.seen = append(a.seen, state)
	a.mutex.Unlock()
	listener, err := notify.NewListener(os.NewFile(uintptr(descriptors[0]), "listener"))
	if err != nil {
		return err
	}
	defer listener.Close()
	rules, err := notify.NewRules(nil, notify.Answer{Errno: uint16(unix.EDOM)})
	if err != nil {
		return err
	}
	return listener.Serve(t.Context(), func(request notify.Request) notify.Answer { return rules.Answer(request.Data) })
}

// states returns what the agent was told so far.
func (a *agent) states() []specs.ContainerProcessState {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return slices.Clone(a.seen)
}

// asking is a box whose mkdirat and more the agent is asked about.
func asking(t *testing.T, path string) box {
	return box{root: newRoot(t), edit: func(spec *specs.Spec) {
		spec.Annotations = map[string]string{"org.example": "of the engine"}
		spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: path, ListenerMetadata: "of the profile",
			Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdirat", "mkdir", "sendmsg", "acct"}, Action: specs.ActNotify}}}
	}}
}

func TestAgentIsAskedInRunAndExec(t *testing.T) {
	a := newAgent(t)
	b := asking(t, a.path)
	question := fmt.Sprintf("mkdirat:%d:/tmp/made", unix.AT_FDCWD)
	for i, way := range []string{"run", "exec"} {
		before := len(a.states())
		wantAnswer(t, confined(t).ask(t, way, b, question), "EDOM", question)
		states := a.states()[before:]
		if len(states) != i+1 { // exec: the container's first process, too
			t.Fatalf("%s: the agent was told of %d processes", way, len(states))
		}
		for k, state := range states {
			want := []specs.ContainerState{specs.StateCreated, specs.StateRunning}[k]
			if !slices.Equal(state.Fds, []string{specs.SeccompFdName}) || state.Metadata != "of the profile" || state.Version == "" || state.State.Status != want ||
				state.State.Annotations["org.example"] != "of the engine" || state.Pid <= 0 || (k == 0) != (state.Pid == state.State.Pid) || state.State.Bundle == "" || !strings.HasPrefix(state.State.ID, "isolation-") {
				t.Errorf("%s: the agent was told %+v", way, state)
			}
		}
	}
	if out, err := os.ReadDir(filepath.Join(b.root, "tmp")); err != nil || len(out) != 0 {
		t.Errorf("a directory was made: %v, %v", out, err)
	}
}

func TestCreatedContainerAsksFromItsStartOn(t *testing.T) {
	a := newAgent(t)
	b := asking(t, a.path)
	runtime, id := confined(t), newID()
	create := runtime.command("create", "--bundle", b.bundle(t, "/probe", fmt.Sprintf("mkdirat:%d:/tmp/made", unix.AT_FDCWD)), id)
	out := newFile(t)
	create.Stdout, create.Stderr = out, newFile(t)
	if err := create.Run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { runtime.command("delete", "--force", id).Run() })
	if len(a.states()) != 0 {
		t.Error("the agent was told before the start")
	}
	if text, err := runtime.command("start", id).CombinedOutput(); err != nil {
		t.Fatalf("start: %v: %s", err, text)
	}
	runtime.awaitEnd(t, id)
	if text := content(t, out); !strings.HasSuffix(text, "=EDOM\n") || len(a.states()) != 1 {
		t.Errorf("%q, and the agent was told %+v", text, a.states())
	}
}

// Nobody answers: nothing is started.
func TestNobodyAtTheListenerPathStartsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nobody")
	b := asking(t, path)
	runtime := confined(t)
	if out, stderr, status := runtime.run(t, b, "/bin/echo", "started"); status == 0 || out != "" || !strings.Contains(stderr, "listenerPath "+path) || !strings.Contains(stderr, "no such file") {
		t.Errorf("run: exit status %d: %s%s", status, out, stderr)
	}
	id := newID()
	create := runtime.command("create", "--bundle", b.bundle(t, "/bin/echo", "started"), id)
	stdout := newFile(t)
	create.Stdout, create.Stderr = stdout, newFile(t)
	if err := create.Run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { runtime.command("delete", "--force", id).Run() })
	begun := time.Now()
	text, err := runtime.command("start", id).CombinedOutput()
	if err == nil || !strings.Contains(string(text), "listenerPath "+path) || time.Since(begun) > 30*time.Second {
		t.Errorf("start: %v after %s: %s", err, time.Since(begun), text)
	}
	runtime.awaitEnd(t, id)
	if written := content(t, stdout); written != "" {
		t.Errorf("the program has run: %q", written)
	}

	a := newAgent(t)
	b = asking(t, a.path)
	id = runtime.start(t, b, "/bin/sleep", "600")
	if err := os.Rename(a.path, a.path+".away"); err != nil {
		t.Fatal(err)
	}
	if out, stderr, status := runtime.exec(t, id, b, "/bin/echo", "started"); status == 0 || out != "" || !strings.Contains(stderr, "listenerPath "+a.path) {
		t.Errorf("exec: exit status %d: %s%s", status, out, stderr)
	}
}
