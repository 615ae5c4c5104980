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

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/enforce"
	"github.com/bulkhead-project/bulkhead/evidence"
	"github.com/bulkhead-project/bulkhead/oci"
)

// Execution is one process to be added to a container.
type Execution struct {
	Command oci.Command // exec, as the engine gave it; Arguments[0] is the ID
	Stdio   [3]*os.File
}

// Start has the OCI runtime start a created container, and verifies it.
func (h *Host) Start(command oci.Command, inner oci.Inner, stdio [3]*os.File) (int, error) {
	record, err := h.Open(engineRoot(command), command.Arguments[0])
	if err != nil {
		return 0, fmt.Errorf("container %s: %w", command.Arguments[0], err)
	}
	if err := record.checkServed(); err != nil {
		return 0, fmt.Errorf("container %s: %w", record.ID, err)
	}
	status, err := h.delegate(command, inner, stdio)
	if err != nil || status != 0 {
		return status, err
	}
	return 0, h.Verify(record, record.PID())
}

// Delete has the OCI runtime delete a container, and takes its record and pair away. It may be called for one that never was, and again.
func (h *Host) Delete(command oci.Command, inner oci.Inner, stdio [3]*os.File) (int, error) {
	status, err := h.delegate(command, inner, stdio)
	if err != nil {
		return status, err
	}
	record, err := h.Open(engineRoot(command), command.Arguments[0])
	if errors.Is(err, ErrUnknown) {
		return status, nil
	}
	if err != nil {
		return status, err
	}
	if status != 0 && (record.knownToEngine() || record.Alive()) {
		return status, nil // refused: it still runs
	}
	return status, h.remove(record)
}

// delegate runs the OCI runtime with the engine's own words.
func (h *Host) delegate(command oci.Command, inner oci.Inner, stdio [3]*os.File) (int, error) {
	return supervise(child{path: inner.Path, args: command.Args(), files: stdio[:], signals: h.Signals, slack: h.TimerSlack}, nil)
}

// Exec adds a process to a container, under every layer that the container has.
func (h *Host) Exec(execution Execution, inner oci.Inner) (int, error) {
	command := execution.Command
	record, err := h.Open(engineRoot(command), command.Arguments[0])
	if err != nil {
		return 0, fmt.Errorf("container %s: %w", command.Arguments[0], err)
	}
	process, err := record.readProcess(command)
	if err != nil {
		return 0, err
	}
	asked := oci.Process(&process.Process)
	compiled, err := record.Compiled.ForProcess(record.Plan, asked.Capabilities, asked.NoNewPrivileges || record.Plan.NoNewPrivileges)
	if err != nil {
		return 0, err
	}
	program := enforce.Program{Directory: record.Program}
	if compiled.NeedsInside() {
		compiled.Inside.TimerSlack = uint64(h.TimerSlack)
		if err := program.SamePlace("/proc", record.PID()); err != nil {
			return 0, fmt.Errorf("container %s: %w", record.ID, err)
		}
	}
	probe := 3 + preserved(command.Options)
	if err := process.Edit(compiled, probe); err != nil {
		return 0, err
	}
	if !process.Process.Terminal {
		if err := checkStdio(command, inner, compiled.ProcessLabel, execution.Stdio); err != nil {
			return 0, err
		}
	}
	expected, err := expect(compiled)
	if err != nil {
		return 0, err
	}
	expected.AppArmorEnforced = record.Expected.AppArmorEnforced
	expected.Seccomp = expected.Seccomp || record.Expected.Seccomp // a container of an earlier version has its filter from the OCI runtime
	return h.runExec(execution, inner, record, process, expected, program)
}

// readProcess returns the process.json that the engine gave, or one made of the container's own process and the options, as runc makes it.
func (r *Record) readProcess(command oci.Command) (*oci.Exec, error) {
	if path := command.Options.Get("process"); path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		return oci.ParseExec(data)
	}
	asked, err := r.Asked()
	if err != nil {
		return nil, err
	}
	config, err := oci.Parse(asked)
	if err != nil {
		return nil, err
	}
	process := *config.Spec.Process
	if err := applyOptions(&process, command); err != nil {
		return nil, err
	}
	return oci.NewExec(process)
}

// applyOptions changes the container's own process as the options of exec say.
func applyOptions(process *specs.Process, command oci.Command) error {
	options := command.Options
	for _, name := range []string{"process-label", "apparmor"} {
		if options.Get(name) != "" {
			return &oci.UsageError{Reason: "exec: --" + name + " asks for another confinement than the container's", Hint: "leave it out: exec carries every layer of the container"}
		}
	}
	process.Args = command.Arguments[1:]
	if len(process.Args) == 0 {
		return &oci.UsageError{Reason: "exec: no command", Hint: "the form is: exec [OPTIONS] CONTAINER COMMAND [ARGUMENT...], or --process FILE"}
	}
	process.Terminal = options.Has("tty")
	process.Env = append(slices.Clone(process.Env), options.All("env")...)
	process.NoNewPrivileges = process.NoNewPrivileges || options.Has("no-new-privs")
	if directory := options.Get("cwd"); directory != "" {
		process.Cwd = directory
	}
	if user := options.Get("user"); user != "" {
		uid, gid, grouped := strings.Cut(user, ":")
		if err := parseIDs(map[string]*uint32{uid: &process.User.UID}); err != nil {
			return err
		}
		if grouped {
			if err := parseIDs(map[string]*uint32{gid: &process.User.GID}); err != nil {
				return err
			}
		}
	}
	for _, text := range options.All("additional-gids") {
		var gid uint32
		if err := parseIDs(map[string]*uint32{text: &gid}); err != nil {
			return err
		}
		process.User.AdditionalGids = append(process.User.AdditionalGids, gid)
	}
	return addCapabilities(process, options.All("cap"))
}

func parseIDs(ids map[string]*uint32) error {
	for text, id := range ids {
		number, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return &oci.UsageError{Reason: fmt.Sprintf("exec: %q is not a numeric ID", text), Hint: "an OCI runtime knows numbers only"}
		}
		*id = uint32(number)
	}
	return nil
}

func addCapabilities(process *specs.Process, names []string) error {
	if len(names) == 0 {
		return nil
	}
	sets := specs.LinuxCapabilities{}
	if process.Capabilities != nil {
		sets = *process.Capabilities
	}
	for _, set := range []*[]string{&sets.Bounding, &sets.Effective, &sets.Permitted} {
		*set = append(slices.Clone(*set), names...)
	}
	process.Capabilities = &sets
	return nil
}

// runExec has the OCI runtime add the process, and verifies it while it starts.
func (h *Host) runExec(execution Execution, inner oci.Inner, record *Record, process *oci.Exec, expected evidence.Expected, program enforce.Program) (int, error) {
	directory, err := os.MkdirTemp(record.directory, "exec-*")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(directory)
	data, err := process.Encode()
	if err != nil {
		return 0, err
	}
	program.Probe = filepath.Join(directory, "probe")
	if err := makeProbe(program.Probe); err != nil {
		return 0, err
	}
	processFile, pidFile := filepath.Join(directory, "process.json"), filepath.Join(directory, "pid")
	if err := os.WriteFile(processFile, data, 0o600); err != nil {
		return 0, err
	}
	command := child{path: inner.Path, files: execution.Stdio[:], signals: h.Signals}
	if !record.Compiled.NeedsInside() {
		command.slack = h.TimerSlack
	}
	options, done, err := withProbe(&command, execution.Command.Options, program, record.Compiled.NeedsProbe())
	if err != nil {
		return 0, err
	}
	defer done()
	command.environment = oneProcessor(command.environment)
	engines := options.Get("pid-file")
	options = execOptions(options).With("process", processFile).With("pid-file", pidFile)
	command.args = slices.Concat(execution.Command.Globals.Args(), []string{"exec"}, options.Args(), []string{record.ID})
	added := &arrival{pidFile: pidFile, verify: func(pid int) error {
		_, err := h.verifyProcess(record, pid, expected, program.Probe, specs.StateRunning)
		return err
	}}
	status, err := supervise(command, added)
	if err == nil {
		status, err = added.outcome(status)
	}
	if errors.Is(err, errNoProcess) {
		err = fmt.Errorf("container %s: %w", record.ID, err)
	}
	if err != nil {
		return status, err
	}
	if engines != "" && status == 0 {
		return status, copyPID(pidFile, engines)
	}
	return status, nil
}

// execOptions keeps the options that do not describe the process, which process.json does.
func execOptions(options oci.Options) oci.Options {
	return options.Without("process", "pid-file", "cwd", "env", "user", "additional-gids", "process-label", "apparmor", "cap", "no-new-privs", "tty")
}
