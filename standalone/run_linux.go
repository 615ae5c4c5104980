// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/enforce"
	"github.com/bulkhead-project/bulkhead/enforce/label"
	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/seccomp"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// Prepare pulls and unpacks what the options name and makes the container's directory; nothing of it runs yet.
func (e *Engine) Prepare(ctx context.Context, options Options) (*Container, error) {
	if err := options.Check(); err != nil {
		return nil, err
	}
	if err := e.Host.Make(); err != nil {
		return nil, err
	}
	for _, volume := range options.Volumes {
		if _, err := os.Stat(volume.Source); err != nil {
			return nil, &UsageError{Option: "-v " + volume.Source + ":" + volume.Destination, Reason: err.Error(), Hint: "make the directory first"}
		}
	}
	from, err := e.find(ctx, options)
	if err != nil {
		return nil, err
	}
	// Whatever the kernel cannot hold is found out before anything is made.
	p, err := e.plan(options, from, User{Home: "/"}, "", options.Name)
	if err != nil {
		return nil, err
	}
	if err := e.Host.EnsurePolicy(p); err != nil {
		return nil, err
	}
	made, err := e.newContainer(options)
	if err != nil {
		return nil, err
	}
	made.Lower, made.Digest, made.Stop = from.lower, from.digest, from.config.StopSignal
	if err := e.build(made, from, p); err != nil {
		return nil, errors.Join(err, e.Remove(made))
	}
	return made, nil
}

// build holds the pair, mounts the root file system and writes the bundle.
func (e *Engine) build(c *Container, from source, p *plan.Plan) (err error) {
	holder := c.Keeper
	holder.Runtime, holder.Record = "bulkhead run", c.directory
	if c.Level, c.Held, err = e.Host.HoldPair(p, holder, ""); err != nil {
		return err
	}
	if err := errors.Join(c.save(), e.Host.CheckClaims(p, c.Level, c.ID)); err != nil {
		return err
	}
	compiled, err := p.Compile(c.Level)
	if err != nil {
		return err
	}
	c.Context = compiled.MountLabel
	if c.Context != "" && c.Options.RootFS == "" { // a directory of the user's is not ours to label
		for _, layer := range c.Lower {
			if err := enforce.LabelLayer(layer); err != nil {
				return err
			}
		}
	} else if c.Context != "" {
		if err := e.checkLower(p.Kernel, c.Lower, compiled.ProcessLabel); err != nil {
			return err
		}
	}
	if err := errors.Join(os.Mkdir(c.overlay().State, 0o700), c.save(), c.overlay().Mount()); err != nil {
		return err
	}
	user, err := ResolveUser(c.overlay().Merged(), userName(c.Options, from.config))
	if err != nil {
		return &UsageError{Option: "-u " + userName(c.Options, from.config), Reason: err.Error(), Hint: "a number needs no entry in the container's /etc/passwd"}
	}
	if c.Options.Hostname == "" {
		c.Options.Hostname = hostname(c)
	}
	config, request, err := e.request(c.Options, from, user, c.overlay().Merged(), c.ID)
	if err != nil {
		return err
	}
	labelling := container.Labelling{Plan: p, MountLabel: compiled.MountLabel, Level: c.Level, Holder: c.ID, Owner: label.Owner{UID: int(user.UID), GID: int(user.GID)},
		Take: c.Options.Take, Notice: e.Notice, Progress: e.Labelling}
	if err := e.Host.LabelVolumes(labelling); err != nil {
		return err
	}
	c.Args = config.Spec.Process.Args
	if err := e.writeBundle(c, &config.Spec, request, compiled.MountLabel); err != nil {
		return err
	}
	return c.save()
}

// checkLower tells of directories whose programs the container cannot run: kernels before 6.12 go by the labels of the files themselves.
func (e *Engine) checkLower(release string, lower []string, process string) error {
	version, err := seccomp.KernelVersion(release)
	if err != nil || version.Major > 6 || version.Major == 6 && version.Minor >= 12 || e.Notice == nil {
		return nil
	}
	for _, directory := range lower {
		label, runs, err := enforce.Runs(directory, process)
		if err != nil {
			return err
		}
		if !runs {
			e.Notice(fmt.Sprintf("selinux: this kernel goes by the labels of the files of %s themselves, and %s may not run what is %s: chcon -R -t container_ro_file_t %s",
				directory, process, label, directory))
		}
	}
	return nil
}

func hostname(c *Container) string {
	if c.Options.Network == ShareHost {
		if name, err := os.Hostname(); err == nil {
			return name
		}
	}
	return c.ID[:12]
}

// writeBundle writes the files that every container gets under /etc, config.json, and the request that goes with it.
func (e *Engine) writeBundle(c *Container, spec *specs.Spec, request plan.Request, mountLabel string) error {
	files := filepath.Join(c.directory, "etc")
	if err := os.Mkdir(files, 0o755); err != nil {
		return err
	}
	mounts, err := WriteSystemFiles(files, c.Options)
	if err != nil {
		return err
	}
	spec.Mounts = append(spec.Mounts, mounts...)
	if mountLabel != "" {
		if _, err := label.Set(files, label.Change{Label: mountLabel}, filepath.Join(c.directory, "etc.journal"), label.Options{}); err != nil {
			return err
		}
	}
	for name, document := range map[string]any{"config.json": spec, "request.json": request} {
		data, err := json.Marshal(document)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(c.directory, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Keep creates and starts a prepared container, waits for its end and takes it down. streams is what its program gets; started is called
// once it runs. The status is the program's; an error says that it was never started, or could not be taken down.
func (e *Engine) Keep(c *Container, streams Streams, started func()) (int, error) {
	// Processes of the container whose parent ends become this process's children: the OCI runtime's is the first one's.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	status, err := e.keep(c, streams, started)
	c.Exit = &Exit{Status: status, Time: time.Now().UTC()}
	if err != nil {
		c.Exit.Error = err.Error()
	}
	if c.Options.Remove {
		return status, errors.Join(err, e.Remove(c))
	}
	return status, errors.Join(err, e.takeDown(c), c.save())
}

func (e *Engine) keep(c *Container, streams Streams, started func()) (int, error) {
	job, err := e.job(c)
	if err != nil {
		return 0, err
	}
	attached, err := e.attach(c, streams, &job)
	if err != nil {
		return 0, err
	}
	defer attached.close()
	if status, err := e.Host.Create(job); err != nil || status != 0 {
		return 0, e.innerError(c, "create", status, err)
	}
	if err := attached.created(); err != nil {
		return 0, err
	}
	if status, err := e.Host.Start(e.command("start", c.ID), e.Inner, errorsOnly(c)); err != nil || status != 0 {
		return 0, e.innerError(c, "start", status, err)
	}
	record, err := e.Record(c)
	if err != nil {
		return 0, err
	}
	stop := forwardSignals(record.PID(), c.Options.TTY)
	defer stop()
	if started != nil {
		started()
	}
	status, err := wait(record.PID())
	attached.drain()
	return status, err
}

// job is the container as package container takes it.
func (e *Engine) job(c *Container) (container.Job, error) {
	asked, err := os.ReadFile(filepath.Join(c.directory, "config.json"))
	if err != nil {
		return container.Job{}, err
	}
	data, err := os.ReadFile(filepath.Join(c.directory, "request.json"))
	if err != nil {
		return container.Job{}, err
	}
	job := container.Job{Inner: e.Inner, Bundle: c.directory, Asked: asked, Level: c.Level, Notice: e.Notice, Request: &plan.Request{}}
	job.Command = e.command("create", c.ID)
	job.Command.Globals = append(job.Command.Globals, oci.Option{Name: "log", Value: c.runtimeLog()}, oci.Option{Name: "log-format", Value: "json"})
	return job, json.Unmarshal(data, job.Request)
}

func (c *Container) runtimeLog() string { return filepath.Join(c.directory, "runtime.log") }

// innerError words the failure of the OCI runtime, which has written its reason into its log.
func (e *Engine) innerError(c *Container, verb string, status int, err error) error {
	if err != nil {
		return err
	}
	reason := lastError(c.runtimeLog())
	if reason == "" {
		reason = fmt.Sprintf("exit status %d", status)
	}
	return fmt.Errorf("%s %s: %s", e.Inner.Name(), verb, reason)
}

// wait reaps the container's first process, and whatever else of it became a child of this one.
func wait(pid int) (int, error) {
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("waiting for process %d: %w", pid, err)
		case status.Signaled():
			return 128 + int(status.Signal()), nil
		default:
			return status.ExitStatus(), nil
		}
	}
}

// Adopt makes this process the keeper of a container that another has prepared.
func (e *Engine) Adopt(id string) (*Container, error) {
	c, err := e.Find(id)
	if err != nil {
		return nil, err
	}
	if c.Keeper, err = mcs.Self(c.ID); err != nil {
		return nil, err
	}
	return c, c.save()
}

// AwaitRemoval waits until the keeper of a container that removes itself has done so.
func (e *Engine) AwaitRemoval(c *Container, limit time.Duration) error {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(c.directory); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if !c.Keeper.Alive("/proc") {
			return e.Remove(c)
		}
	}
	return fmt.Errorf("container %s: its keeper does not remove it", c.Name)
}
