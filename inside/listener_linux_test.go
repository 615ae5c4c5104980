// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/notify"
)

// listening is a filter that hands the calls to user space, and others likewise or lets them pass.
func listening(calls []int, others uint32) *Filter {
	filter := only(calls, unix.SECCOMP_RET_USER_NOTIF, others)
	filter.Flags = FilterListener
	return filter
}

// proofs makes a probe directory for a process that starts, and tells what the process says in it.
type proofs struct {
	path      string
	directory *os.File
}

func newProofs(t *testing.T) *proofs {
	t.Helper()
	directory, file := outside(t)
	path := filepath.Join(directory, ProbeFile)
	for directory := directory; directory != os.TempDir(); directory = filepath.Dir(directory) {
		if err := os.Chmod(directory, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(path, nil, 0), os.Chmod(path, 0o666)); err != nil {
		t.Fatal(err)
	}
	return &proofs{path, file}
}

func (p *proofs) read(t *testing.T) Proof {
	content, err := os.ReadFile(p.path)
	if err != nil {
		t.Error(err)
	}
	return ReadProof(content)
}

// listener waits for the process's listener and takes it; nil where the process ends without one.
func (p *proofs) listener(t *testing.T, process *os.Process) *notify.Listener {
	pidfd, err := unix.PidfdOpen(process.Pid, 0)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer unix.Close(pidfd)
	for p.read(t).Listener < 0 {
		if ended, _ := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 1); ended > 0 {
			return nil
		}
	}
	descriptor, err := unix.PidfdGetfd(pidfd, p.read(t).Listener, 0)
	if err != nil {
		t.Error("pidfd_getfd:", err)
		return nil
	}
	listener, err := notify.NewListener(os.NewFile(uintptr(descriptor), "listener"))
	if err != nil {
		t.Error(err)
	}
	return listener
}

func (p *proofs) say(t *testing.T, line string) {
	file, err := os.OpenFile(p.path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = file.WriteString(line)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

// supervise takes the listener and answers every call, until the process has ended, in a goroutine of its own. It returns which were asked.
func (p *proofs) supervise(t *testing.T, process *os.Process, decide func(bpf.Data) notify.Answer) <-chan []int {
	asked := make(chan []int, 1)
	go func() {
		var numbers []int
		defer func() { asked <- numbers }()
		listener := p.listener(t, process)
		if listener == nil {
			return
		}
		defer listener.Close()
		p.say(t, Taken)
		if err := listener.Serve(t.Context(), func(request notify.Request) notify.Answer {
			numbers = append(numbers, int(request.Data.Number))
			return decide(request.Data)
		}); err != nil {
			t.Error(err)
		}
	}()
	return asked
}

func goOn(bpf.Data) notify.Answer { return notify.Answer{Continue: true} }

// The calls of the program inside itself, of Go's runtime and of the handing over are all among those that wait for an answer: none is made
// under the filter before the host has the listener.
func TestListenerIsHandedOverWhateverTheFilterAsks(t *testing.T) {
	root := newRoot(t)
	own := addFileLimit(t, root)
	runtimeCalls := []int{unix.SYS_FUTEX, unix.SYS_WRITE, unix.SYS_SENDMSG, unix.SYS_FCNTL, unix.SYS_READ, unix.SYS_CLOSE, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGACTION,
		unix.SYS_NANOSLEEP, unix.SYS_EXECVE, unix.SYS_EXIT_GROUP, unix.SYS_MMAP}
	user := func(command *exec.Cmd) {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: 1000, Gid: 1000}
		command.SysProcAttr.AmbientCaps = []uintptr{21, 8}
	}
	for name, test := range map[string]struct {
		spec   Spec
		args   []string
		change func(*exec.Cmd)
		asked  []int // at least, in this order
	}{
		"EveryCall":    {Spec{Seccomp: listening(nil, unix.SECCOMP_RET_USER_NOTIF), Capabilities: &Capabilities{}}, []string{"/limit"}, nil, append([]int{unix.SYS_EXECVE}, own...)},
		"CallsOfGo":    {Spec{Seccomp: listening(runtimeCalls, unix.SECCOMP_RET_ALLOW)}, []string{"/test"}, nil, []int{unix.SYS_EXECVE}},
		"WithADomain":  {Spec{Seccomp: listening(runtimeCalls, unix.SECCOMP_RET_ALLOW), Landlock: hostRuleset(t)}, []string{"/test"}, nil, []int{unix.SYS_EXECVE}},
		"UserWithSome": {Spec{Seccomp: listening(runtimeCalls, unix.SECCOMP_RET_ALLOW), Capabilities: &Capabilities{}}, []string{"/test"}, user, []int{unix.SYS_EXECVE}},
	} {
		t.Run(name, func(t *testing.T) {
			proofs := newProofs(t)
			spec := test.spec
			spec.Probe = 3
			var asked <-chan []int
			status, text := startAttended(t, root, "limited", spec, test.args, func(command *exec.Cmd) {
				command.ExtraFiles = []*os.File{proofs.directory}
				if test.change != nil {
					test.change(command)
				}
			}, func(process *os.Process) { asked = proofs.supervise(t, process, goOn) })
			got := <-asked
			if len(got) < len(test.asked) || !slices.Equal(got[:len(test.asked)], test.asked) {
				t.Errorf("asked about calls %v, want first %v", got, test.asked)
			}
			if (spec.Landlock != nil) != proofs.read(t).Refused {
				t.Errorf("proof %+v", proofs.read(t))
			}
			if test.args[0] == "/limit" {
				if status != softLimit {
					t.Errorf("exit status %d, want %d: %s", status, softLimit, text)
				}
				return
			}
			var seen report
			if err := json.NewDecoder(strings.NewReader(text)).Decode(&seen); err != nil || status != 0 || seen.Sets["Seccomp"] != 2 {
				t.Errorf("status %d, %v: %s", status, err, text)
			}
		})
	}
}

func TestSupervisorAnswersInsteadOfTheKernel(t *testing.T) {
	root := newRoot(t)
	addFileLimit(t, root)
	rules, err := notify.NewRules([]notify.Rule{{Names: []string{"getrlimit"}}}, notify.Answer{Continue: true})
	if err != nil {
		t.Fatal(err)
	}
	proofs := newProofs(t)
	spec := Spec{Seccomp: listening(nil, unix.SECCOMP_RET_USER_NOTIF), Probe: 3}
	var asked <-chan []int
	status, text := startAttended(t, root, "limited", spec, []string{"/limit"}, func(command *exec.Cmd) { command.ExtraFiles = []*os.File{proofs.directory} },
		func(process *os.Process) { asked = proofs.supervise(t, process, rules.Answer) })
	if <-asked; status != 0 {
		t.Errorf("the kernel answered: exit status %d: %s", status, text)
	}
}

// Whoever does not take the listener has no program started under the filter.
func TestProgramWaitsForTheListenerToBeTaken(t *testing.T) {
	root := newRoot(t)
	addFileLimit(t, root)
	proofs := newProofs(t)
	spec := Spec{Seccomp: listening([]int{unix.SYS_ACCT}, unix.SECCOMP_RET_ALLOW), Probe: 3}
	status, text := startAttended(t, root, "plain", spec, []string{"/limit"}, func(command *exec.Cmd) { command.ExtraFiles = []*os.File{proofs.directory} },
		func(process *os.Process) {
			listener := proofs.listener(t, process)
			if listener == nil {
				return
			}
			defer listener.Close()
			time.Sleep(50 * time.Millisecond)
			arguments, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(process.Pid), "cmdline"))
			if err != nil || !bytes.HasPrefix(arguments, []byte("/test\x00probe=")) {
				t.Errorf("it went on: %q, %v", arguments, err)
			}
			if err := process.Kill(); err != nil {
				t.Error(err)
			}
		})
	if status != -1 {
		t.Errorf("exit status %d: %s", status, text)
	}
}

func TestProofIsReadAsFarAsItIsWritten(t *testing.T) {
	for content, want := range map[string]Proof{
		"": {false, -1}, "refused\n": {true, -1}, "refused": {false, -1}, "refused\nlistener 7\n": {true, 7}, "refused\nlistener 7": {true, -1}, "listener 12\ntaken\n": {false, 12},
		"listener -1\n": {false, -1}, "listener 99999999999\n": {false, -1}, "listener \n": {false, -1}, "listener 1 2\n": {false, -1}, "xrefused\n": {false, -1},
	} {
		if got := ReadProof([]byte(content)); got != want {
			t.Errorf("%q: got %+v, want %+v", content, got, want)
		}
	}
	for content, want := range map[string]bool{"refused\nlistener 7\ntaken\n": true, "listener 7\ntaken\n": true, "listener 7\ntaken": false, "listener 7\n": false, "taken\n": false} {
		if taken([]byte(content)) != want {
			t.Errorf("%q: taken is %v", content, !want)
		}
	}
}
