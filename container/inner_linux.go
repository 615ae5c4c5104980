// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/enforce"
	"github.com/bulkhead-project/bulkhead/evidence"
	"github.com/bulkhead-project/bulkhead/oci"
)

// StartLimit is how long a process may take from its creation to the container's program. Emulated machines take seconds.
const StartLimit = 60 * time.Second

// engineRoot is --root, which tells the containers of one engine from those of another; "" where none is given.
func engineRoot(command oci.Command) string {
	return command.Globals.Get("root")
}

// stateRoot is where an OCI runtime keeps its state.
func stateRoot(engine, inner string) string {
	if engine == "" {
		return filepath.Join("/run", filepath.Base(inner))
	}
	return engine
}

// knownToEngine reports whether the OCI runtime still has state of the container.
func (r *Record) knownToEngine() bool {
	_, err := os.Stat(filepath.Join(stateRoot(r.Engine, r.Inner), r.ID))
	return err == nil
}

// preserved is how many descriptors beyond 0, 1 and 2 the engine hands through: those of --preserve-fds, and those of sd_listen_fds(3), which
// are this process's where LISTEN_PID says so.
func preserved(options oci.Options) int {
	count, err := strconv.Atoi(options.Get("preserve-fds"))
	if err != nil || count < 0 {
		count = 0
	}
	listen, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || listen < 0 || os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		listen = 0
	}
	return count + listen
}

// probeDescriptor is the number under which the program inside finds the probe: the one after those that the engine hands through.
func (j Job) probeDescriptor() int { return 3 + preserved(j.Command.Options) }

// withProbe adds the probe's descriptor to those that the OCI runtime passes on, and the option that has it do so. Only the program inside
// closes it: a container that is started without a Landlock domain, and so without that program, must not be given it.
func withProbe(command *exec.Cmd, options oci.Options, program enforce.Program, landlock bool) (oci.Options, func(), error) {
	count := preserved(options)
	for descriptor := 3; descriptor < 3+count; descriptor++ {
		if err := checkPreserved(descriptor); err != nil {
			return nil, nil, err
		}
		command.ExtraFiles = append(command.ExtraFiles, os.NewFile(uintptr(descriptor), "passed on"))
	}
	// To the OCI runtime all of them are preserved ones: LISTEN_PID cannot name a process that has yet to be started.
	command.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "LISTEN_FDS=") || strings.HasPrefix(variable, "LISTEN_PID=")
	})
	options = options.Without("preserve-fds")
	if !landlock {
		return options.With("preserve-fds", strconv.Itoa(count)), func() {}, nil
	}
	probe, err := os.Open(program.Probe)
	if err != nil {
		return nil, nil, err
	}
	command.ExtraFiles = append(command.ExtraFiles, probe)
	return options.With("preserve-fds", strconv.Itoa(count+1)), func() { probe.Close() }, nil
}

// checkPreserved refuses a number that the engine has left closed: a descriptor of this program's own may have it, and would reach the
// container. One that came through execve is not marked to be closed there, and all of this program's own are.
func checkPreserved(descriptor int) error {
	flags, err := unix.FcntlInt(uintptr(descriptor), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return &oci.UsageError{Reason: fmt.Sprintf("descriptor %d is to be handed to the container and is not open", descriptor),
			Hint: "--preserve-fds and LISTEN_FDS count the open descriptors from 3 on"}
	}
	return nil
}

// runInner has the OCI runtime create or run the container, and verifies what runs. The engine's own PID file is written too.
func (h *Host) runInner(job Job, ready prepared) (int, error) {
	command := exec.Command(job.Inner.Path)
	options, done, err := withProbe(command, job.Command.Options, ready.program, ready.record.Compiled.Landlock)
	if err != nil {
		return 0, err
	}
	defer done()
	options = options.Without("bundle", "pid-file").With("bundle", ready.record.shadowBundle()).With("pid-file", ready.record.PIDFile())
	command.Args = append(command.Args, job.Command.Globals.Args()...)
	command.Args = append(command.Args, job.Command.Verb)
	command.Args = append(command.Args, options.Args()...)
	command.Args = append(command.Args, job.Command.Arguments...)
	command.Stdin, command.Stdout, command.Stderr = job.Stdio[0], job.Stdio[1], job.Stdio[2]
	var verified chan error
	if job.Command.Verb == "run" {
		verified = make(chan error, 1)
	}
	status, err := supervise(command, func() {
		if verified != nil {
			go func() { verified <- h.verifyStarting(ready.record) }()
		}
	})
	if err != nil {
		return status, err
	}
	if verified != nil {
		if status, err = collect(status, verified, ready.record.PID() != 0); err != nil {
			return status, err
		}
	}
	if path := job.Command.Options.Get("pid-file"); path != "" && status == 0 {
		err = copyPID(ready.record.PIDFile(), path)
	}
	return status, err
}

// checkStdio makes sure that the container can use what it will have as 0, 1 and 2.
func checkStdio(command oci.Command, inner oci.Inner, label string, stdio [3]*os.File) error {
	if err := enforce.CheckStdio(label, [3]int{int(stdio[0].Fd()), int(stdio[1].Fd()), int(stdio[2].Fd())}); err != nil {
		return err
	}
	if command.Verb == "create" || command.Options.Has("detach") || inner.Name() != "runc" {
		return nil
	}
	return enforce.CheckPipesOf(inner.Path, label)
}

// collect waits for the verification of a container that was run. One that failed without a process never got that far; one that ran and
// whose process the OCI runtime did not name could not be looked at.
func collect(status int, verified chan error, started bool) (int, error) {
	switch {
	case started:
		return status, <-verified
	case status != 0:
		return status, nil
	default:
		return 0, errNoProcess
	}
}

// errNoProcess says that the OCI runtime succeeded and did not write down what it started, as it was told to: nothing can be verified then.
var errNoProcess = errors.New("the OCI runtime wrote no process ID, so that what it started cannot be verified")

func copyPID(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to+".tmp", data, 0o644); err != nil {
		return err
	}
	return os.Rename(to+".tmp", to) // engines watch for the whole file
}

// supervise runs the OCI runtime, which dies with this process, and passes signals on to it.
func supervise(command *exec.Cmd, started func()) (int, error) {
	// The kernel sends the signal when the thread that started the child ends, so that thread is kept.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGINT, unix.SIGWINCH)
	defer signal.Stop(signals)
	if err := command.Start(); err != nil {
		return 0, fmt.Errorf("%s: %w", command.Path, err)
	}
	if started != nil {
		started()
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case received := <-signals:
				// A terminal sends its own signals to the whole group, the child included.
				if received != unix.SIGINT && received != unix.SIGWINCH {
					command.Process.Signal(received)
				}
			case <-ended:
				return
			}
		}
	}()
	err := command.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("%s: %w", command.Path, err)
	}
	return exitStatus(command.ProcessState), nil
}

// exitStatus is the shell's: 128 and the signal for a process that was killed.
func exitStatus(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// verifyStarting waits for a container that is being run to have a process, and verifies it.
func (h *Host) verifyStarting(record *Record) error {
	for deadline := time.Now().Add(StartLimit); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if pid := record.PID(); pid != 0 {
			return h.Verify(record, pid)
		}
	}
	return fmt.Errorf("container %s: no process within %s", record.ID, StartLimit)
}

// MismatchError says that the kernel enforced less than was planned. The process was killed.
type MismatchError struct {
	ID         string
	PID        int
	Mismatches []evidence.Mismatch
}

func (e *MismatchError) Error() string {
	text := fmt.Sprintf("container %s: process %d was killed: it is confined less than was planned", e.ID, e.PID)
	for _, mismatch := range e.Mismatches {
		text += "; " + mismatch.String()
	}
	return text
}

// Verify reads back what the kernel enforces on the container's first process, keeps it in the record, and kills the process where it is less
// than was planned or cannot be read. A process that has ended by itself needs no more confining.
func (h *Host) Verify(record *Record, pid int) error {
	if pid < 1 {
		return fmt.Errorf("container %s: %w", record.ID, errNoProcess)
	}
	observed, err := h.verifyProcess(record, pid, record.Expected, record.probe())
	if err != nil {
		return err
	}
	record.Observed = observed
	return record.save()
}

// verifyProcess reads back what the kernel enforces on a process whose program inside was given the probe.
func (h *Host) verifyProcess(record *Record, pid int, expected evidence.Expected, probe string) (*evidence.Observed, error) {
	descriptor, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(descriptor)
	observed, err := record.observe(pid, expected, probe, StartLimit)
	if errors.Is(err, evidence.ErrGone) {
		return nil, nil
	}
	if err == nil {
		mismatches := evidence.Compare(expected, observed)
		if len(mismatches) == 0 {
			return &observed, nil
		}
		err = &MismatchError{record.ID, pid, mismatches}
	}
	return nil, errors.Join(err, unix.PidfdSendSignal(descriptor, unix.SIGKILL, nil, 0))
}

// Observe reads what the kernel reports now of the container's first process, once that has become its program.
func (r *Record) Observe() (evidence.Observed, error) {
	pid := r.PID()
	if pid < 1 {
		return evidence.Observed{}, evidence.ErrGone
	}
	return r.observe(pid, r.Expected, r.probe(), 0)
}

func (r *Record) observe(pid int, expected evidence.Expected, probe string, limit time.Duration) (evidence.Observed, error) {
	program := enforce.Program{Directory: r.Program}
	reader := evidence.Reader{Proc: "/proc", Inner: r.Inner, Program: program.Path(), SELinux: expected.ProcessLabel != "", Landlock: expected.Landlock}
	observed, err := reader.Await(pid, limit)
	if !proven(probe) {
		observed.Landlock = ""
	}
	return observed, err
}
