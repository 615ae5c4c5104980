// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/bulkhead-project/bulkhead/enforce"
	"github.com/bulkhead-project/bulkhead/evidence"
	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// Job is one container to be created.
type Job struct {
	Command oci.Command // create or run, as the engine gave it; Arguments[0] is the ID
	Inner   oci.Inner
	Bundle  string // absolute
	Asked   []byte // config.json
	Stdio   [3]*os.File

	// Request replaces what config.json says of the layers, for a caller who knows more; nil: config.json says it.
	Request *plan.Request
	// Level is a level that the caller holds for the container; "": one is taken here.
	Level string
	// Notice is called with each line that the user has to see, of layers that are left out.
	Notice func(string)
}

// prepared is a container that is ready for the OCI runtime.
type prepared struct {
	record  *Record
	program enforce.Program
	sealed  *sealedStdio
	stdio   [3]*os.File // the container's
	hooks   bool        // the OCI runtime runs programs of the engine's
}

// Plan reads the job's request, surveys the machine and plans. Nothing is changed, but for the filters that are kept.
func (h *Host) Plan(job Job, config *oci.Config, facts kernel.Facts) (*plan.Plan, error) {
	request := config.Request(job.Command.Arguments[0], job.Bundle)
	if job.Request != nil {
		request = *job.Request
	} else if request.Security.Landlock == plan.Unconfined && !h.MaySwitchOff("landlock") {
		return nil, &plan.RefusedError{Subject: "annotation org.bulkhead.landlock=unconfined", Reason: "no annotation may switch a layer off on this host",
			Hint: fmt.Sprintf(`allow it with {"annotations": ["landlock"]} in %s`, ConfigFile)}
	} else if request.Security.Landlock != "" && request.Security.Landlock != plan.Unconfined {
		return nil, fmt.Errorf("annotation org.bulkhead.landlock: %q is not %q", request.Security.Landlock, plan.Unconfined)
	} else if err := errors.Join(checkForced(config), h.requestShields(&request, config)); err != nil {
		return nil, err
	}
	self := request.ID // a caller who holds the level holds it under the container's own name
	if job.Level == "" && job.Request == nil {
		self = filepath.Base(h.recordDirectory(engineRoot(job.Command), request.ID))
	}
	if err := enforce.Survey(&request, h.Registry, self); err != nil {
		return nil, err
	}
	request.CompileFilter = enforce.Filters{Directory: filepath.Join(h.Run, "filters"), Kernel: facts.Release}.Compile
	p, err := plan.Make(request, facts)
	if err != nil {
		return nil, err
	}
	if p.SELinux.Active() && !p.SELinux.Generated {
		return p, h.checkContexts(p, job.Level)
	}
	return p, nil
}

// checkContexts has the policy confirm the labels, with any level where none is taken yet.
func (h *Host) checkContexts(p *plan.Plan, level string) error {
	if level == "" {
		level = p.MCS.Level
	}
	if level == "" {
		level = "s0:c1,c2"
	}
	compiled, err := p.Compile(level)
	if err != nil {
		return err
	}
	return enforce.CheckLabels(compiled.ProcessLabel, compiled.MountLabel)
}

// Create plans the container, makes its record and has the OCI runtime create it (or run it, for that verb). The returned error is nil where
// the OCI runtime was started; its exit status is returned then.
func (h *Host) Create(job Job) (status int, err error) {
	ready, err := h.prepare(job)
	if err != nil {
		return 0, err
	}
	job.Stdio = ready.stdio
	status, err = h.runInner(job, ready)
	ready.sealed.close()
	if err == nil && status == 0 && len(ready.record.Plan.Shields) > 0 {
		err = h.mountShields(ready.record, job.Notice)
	}
	stays := job.Command.Verb == "create" || job.Command.Options.Has("detach")
	ready.record.takenDown = err == nil && !stays && status < 128 && ready.record.PID() != 0 // from 128 on it may have been killed
	if err != nil && ready.record.PID() != 0 {
		err = errors.Join(err, discard(job)) // it was killed; a run that fails leaves nothing for the engine to delete
	}
	if err != nil || status != 0 && stays {
		return status, errors.Join(err, h.remove(ready.record))
	}
	if job.Command.Verb == "run" && !job.Command.Options.Has("detach") && !job.Command.Options.Has("keep") {
		return status, h.remove(ready.record)
	}
	if err := h.adopt(ready.record); err != nil {
		return status, errors.Join(err, discard(job), h.remove(ready.record))
	}
	return status, nil
}

// discard has the OCI runtime forget a container that it has created.
func discard(job Job) error {
	command := oci.Command{Globals: job.Command.Globals, Verb: "delete", Options: oci.Options{{Name: "force", Flag: true}}, Arguments: job.Command.Arguments[:1]}
	if out, err := exec.Command(job.Inner.Path, command.Args()...).CombinedOutput(); err != nil {
		if _, known := os.Stat(filepath.Join(stateRoot(engineRoot(job.Command), job.Inner.Path), job.Command.Arguments[0])); known == nil {
			return fmt.Errorf("%s delete: %w: %s", job.Inner.Path, err, out)
		}
	}
	return nil
}

// prepare does all that comes before the OCI runtime. On an error nothing is left.
func (h *Host) prepare(job Job) (_ prepared, err error) {
	config, err := oci.Parse(job.Asked)
	if err != nil {
		return prepared{}, err
	}
	if err := errors.Join(config.CheckMounts(), enforce.CheckPlace(config.Root(job.Bundle)), h.Make()); err != nil {
		return prepared{}, err
	}
	program, err := enforce.InstallProgram(h.State)
	if err != nil {
		return prepared{}, err
	}
	p, err := h.Plan(job, config, kernel.Probe())
	if err != nil {
		return prepared{}, err
	}
	if err := errors.Join(checkShields(job, p, config), h.EnsurePolicy(p)); err != nil {
		return prepared{}, err
	}
	if p.AppArmor.Generated {
		if err := h.profiles(p.Kernel).Ensure(context.Background(), p.AppArmor.Profile); err != nil {
			return prepared{}, err
		}
	}
	record, err := h.newRecord(job, p, program)
	if err != nil {
		return prepared{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.remove(record))
		}
	}()
	compiled, err := h.settle(job, record, p)
	if err != nil {
		return prepared{}, err
	}
	if err := h.labelEngineVolumes(job, config, record); err != nil {
		return prepared{}, err
	}
	program.Probe = record.probe()
	if err := makeProbe(program.Probe); err != nil {
		return prepared{}, err
	}
	if compiled.NeedsInside() {
		compiled.Inside.TimerSlack = uint64(h.TimerSlack)
	}
	place := oci.Place{Bundle: job.Bundle, Program: program.Directory, Probe: job.probeDescriptor(), Empty: shieldPlaces(p), EmptySource: shieldPlaceholder}
	if err := config.Edit(compiled, place); err != nil {
		return prepared{}, err
	}
	edited, err := config.Encode()
	if err != nil {
		return prepared{}, err
	}
	if err := os.WriteFile(filepath.Join(record.shadowBundle(), "config.json"), edited, 0o600); err != nil {
		return prepared{}, err
	}
	sealed, err := h.seal(&job, config)
	if err != nil {
		return prepared{}, err
	}
	defer func() {
		if err != nil {
			sealed.close()
		}
	}()
	if !config.Spec.Process.Terminal {
		if err := checkStdio(job.Command, job.Inner, compiled.ProcessLabel, job.Stdio); err != nil {
			return prepared{}, err
		}
	}
	if err := job.tell(p, compiled, config); err != nil {
		return prepared{}, err
	}
	return prepared{record, program, sealed, job.Stdio, config.Spec.Hooks != nil}, nil
}

// tell gives the user the lines that there are for one.
func (j Job) tell(p *plan.Plan, compiled plan.Compiled, config *oci.Config) error {
	if j.Notice == nil {
		return nil
	}
	for _, line := range p.LeftOut() {
		j.Notice(line)
	}
	line, err := capabilityNotice(compiled, config.OwnUserNamespace())
	if err != nil {
		return err
	}
	if line != "" {
		j.Notice(line)
	}
	// Under an engine standard error may be the container's own, and the profile the engine's: `bulkhead plan --bundle` shows the warnings.
	if j.Request != nil {
		for _, line := range p.Seccomp.Warnings {
			j.Notice("seccomp profile: " + line)
		}
	}
	return nil
}

// profiles are the AppArmor profiles whose text is built in.
func (h *Host) profiles(release string) enforce.Profiles {
	return enforce.Profiles{Directory: filepath.Join(h.Run, "apparmor"), Kernel: release}
}

// newRecord makes the container's record, after the sweep of one that is dead.
func (h *Host) newRecord(job Job, p *plan.Plan, program enforce.Program) (*Record, error) {
	id, engine := job.Command.Arguments[0], engineRoot(job.Command)
	record := &Record{ID: id, Engine: engine, Inner: job.Inner.Path, Bundle: job.Bundle, Created: time.Now().UTC(), Program: program.Directory,
		Starts: job.Command.Verb == "run", directory: h.recordDirectory(engine, id)}
	record.Plan = p
	creator, err := mcs.Self(record.HolderID())
	if err != nil {
		return nil, err
	}
	record.Creator = creator
	err = record.create(job.Asked)
	if !errors.Is(err, fs.ErrExist) {
		return record, err
	}
	old, err := readRecord(record.directory)
	if err == nil && (old.Alive() || old.knownToEngine()) {
		return nil, fmt.Errorf("container %s exists already", id)
	}
	if err == nil {
		err = h.remove(old)
	} else if errors.Is(err, ErrUnknown) {
		err = os.RemoveAll(record.directory)
	}
	return record, errors.Join(err, record.create(job.Asked))
}

func checkForced(config *oci.Config) error {
	for _, name := range []string{"label-force", "seccomp-force"} {
		if force := config.Annotation(name); force != "" && force != "true" && force != "false" {
			return fmt.Errorf("annotation org.bulkhead.%s: %q is neither true nor false", name, force)
		}
	}
	return nil
}

// settle takes the pair, and compiles the plan with it.
func (h *Host) settle(job Job, record *Record, p *plan.Plan) (plan.Compiled, error) {
	record.Level = job.Level
	if job.Level == "" {
		holder := record.Creator
		holder.Runtime, holder.Record = record.Engine, record.directory
		level, held, err := h.HoldPair(p, holder, job.engineBundle())
		if err != nil {
			return plan.Compiled{}, err
		}
		record.Level, record.OwnsPair = level, held
		if err := h.CheckClaims(p, level, record.HolderID()); err != nil {
			return plan.Compiled{}, err
		}
	}
	compiled, err := p.Compile(record.Level)
	if err != nil {
		return plan.Compiled{}, err
	}
	record.Compiled, record.Digests = compiled, compiled.Digests()
	record.Compiled.Inside.Seccomp = nil // it is in Compiled.Seccomp
	if record.Expected, err = expect(compiled); err != nil {
		return plan.Compiled{}, err
	}
	record.Expected.AppArmorEnforced = p.AppArmor.State == plan.On
	return compiled, record.save()
}

// expect says what has to be read back of a process that was compiled so and is started by this one, but for the mode of the profile, which is
// the whole container's.
func expect(compiled plan.Compiled) (evidence.Expected, error) {
	expected := evidence.Expected{ProcessLabel: compiled.ProcessLabel, AppArmorProfile: compiled.AppArmorProfile, Seccomp: compiled.Seccomp != nil,
		NoNewPrivileges: compiled.NoNewPrivileges, Landlock: compiled.Landlock}
	var err error
	if expected.Bounding, err = compiled.Capabilities.BoundingBits(); err != nil || !expected.Seccomp {
		return expected, err
	}
	expected.Filters, err = evidence.ExpectedFilters()
	return expected, err
}

// adopt records the container's first process, which answers for it from now on.
func (h *Host) adopt(record *Record) error {
	pid := record.PID()
	if pid == 0 {
		return fmt.Errorf("container %s: %w", record.ID, errNoProcess)
	}
	holder, err := record.Creator.WithProcess("/proc", pid)
	if err != nil {
		return nil // ended already: the engine will delete it
	}
	record.Creator = holder
	if record.OwnsPair {
		pair, _ := pairOf(record.Level)
		held := holder
		held.Runtime, held.Record = record.Engine, record.directory
		if err := h.Registry.Update(pair, held); err != nil {
			return err
		}
	}
	return record.save()
}
