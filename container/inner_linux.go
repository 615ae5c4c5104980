// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
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
// closes it: a container that is started without that program must not be given it.
func withProbe(command *child, options oci.Options, program enforce.Program, needed bool) (oci.Options, func(), error) {
	count := preserved(options)
	for descriptor := 3; descriptor < 3+count; descriptor++ {
		if err := checkPreserved(descriptor); err != nil {
			return nil, nil, err
		}
		command.files = append(command.files, os.NewFile(uintptr(descriptor), "passed on"))
	}
	// To the OCI runtime all of them are preserved ones: LISTEN_PID cannot name a process that has yet to be started.
	command.environment = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "LISTEN_FDS=") || strings.HasPrefix(variable, "LISTEN_PID=")
	})
	options = options.Without("preserve-fds")
	if !needed {
		return options.With("preserve-fds", strconv.Itoa(count)), func() {}, nil
	}
	probe, err := os.Open(program.Probe)
	if err != nil {
		return nil, nil, err
	}
	command.files = append(command.files, probe)
	return options.With("preserve-fds", strconv.Itoa(count+1)), func() { probe.Close() }, nil
}

// oneProcessor has an OCI runtime that is written in Go use one processor at a time, which is what it can use: on several, Go's scheduler spends
// a twentieth of the CPU time of a start on waking threads that find nothing to do. The container's own environment is that of config.json, but
// a hook without one has the OCI runtime's, so that this is not for containers with hooks.
func oneProcessor(environment []string) []string {
	const variable = "GOMAXPROCS="
	if slices.ContainsFunc(environment, func(set string) bool { return strings.HasPrefix(set, variable) }) {
		return environment
	}
	return append(environment, variable+"1")
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
	record := ready.record
	command := child{path: job.Inner.Path, files: job.Stdio[:], signals: h.Signals}
	options, done, err := withProbe(&command, job.Command.Options, ready.program, record.Compiled.NeedsProbe())
	if err != nil {
		return 0, err
	}
	defer done()
	command.slack = h.TimerSlack
	if !ready.hooks {
		command.environment = oneProcessor(command.environment)
		if record.Compiled.NeedsInside() {
			command.slack = 0
		}
	}
	options = options.Without("bundle", "pid-file").With("bundle", record.shadowBundle()).With("pid-file", record.PIDFile())
	command.args = slices.Concat(job.Command.Globals.Args(), []string{job.Command.Verb}, options.Args(), job.Command.Arguments)
	var starting *arrival
	if job.Command.Verb == "run" {
		starting = &arrival{pidFile: record.PIDFile(), verify: func(pid int) error { return h.Verify(record, pid) }}
	}
	status, err := supervise(command, starting)
	if err != nil {
		return status, err
	}
	if starting != nil {
		if status, err = starting.outcome(status); err != nil {
			return status, err
		}
	}
	if path := job.Command.Options.Get("pid-file"); path != "" && status == 0 {
		err = copyPID(record.PIDFile(), path)
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
	observed, err := h.verifyProcess(record, pid, record.Expected, record.probe(), specs.StateCreated)
	if err != nil {
		return err
	}
	if observed == nil {
		return nil
	}
	record.Observed = observed
	return record.save()
}

// verifyProcess reads back what the kernel enforces on a process whose program inside was given the probe, once the listener of its filter, if it
// has one, is handed over: status is the container's at that moment.
func (h *Host) verifyProcess(record *Record, pid int, expected evidence.Expected, probe string, status specs.ContainerState) (*evidence.Observed, error) {
	descriptor, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(descriptor)
	var observed evidence.Observed
	if record.Compiled.Listener != nil {
		err = record.handOver(pid, descriptor, probe, status)
	}
	if err == nil {
		reader := record.reader(expected)
		reader.Pause = func(limit time.Duration) { ended(descriptor, limit) }
		observed, err = observe(reader, pid, probe, StartLimit)
	}
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
	return observe(r.reader(r.Expected), pid, r.probe(), 0)
}

func (r *Record) reader(expected evidence.Expected) evidence.Reader {
	program := enforce.Program{Directory: r.Program}
	return evidence.Reader{Proc: "/proc", Inner: r.Inner, Program: program.Path(), SELinux: expected.ProcessLabel != "", Landlock: expected.Landlock}
}

func observe(reader evidence.Reader, pid int, probe string, limit time.Duration) (evidence.Observed, error) {
	observed, err := reader.Await(pid, limit)
	if !readProof(probe).Refused {
		observed.Landlock = ""
	}
	return observed, err
}
