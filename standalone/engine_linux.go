// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/enforce/label"
	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/oci/image"
	"github.com/bulkhead-project/bulkhead/plan"
)

// Engine runs containers without any other engine: it makes a bundle and hands it to package container, as Docker's would be.
type Engine struct {
	Host      *container.Host
	Inner     oci.Inner
	Notice    func(string)         // lines that the user has to see; nil for none
	Progress  func(image.Event)    // of pulls and unpacks; nil for none
	Labelling func(label.Progress) // of volumes; nil for none
}

// root is the OCI runtime's --root for containers of this engine.
func (e *Engine) root() string { return filepath.Join(e.Host.Run, "runc") }

// ImageError says why an image cannot be had.
type ImageError struct {
	error
	Hint string
}

func (e *ImageError) Unwrap() error { return e.error }

func notFound(err error) error {
	return &ImageError{err, "an image is an OCI layout directory, a docker-archive tar file, or a reference such as registry.example/name:tag"}
}

// source is where a container's root file system comes from.
type source struct {
	lower  []string // directories, highest first
	config v1.Config
	digest string
}

// find pulls and unpacks the image, or looks at the directory.
func (e *Engine) find(ctx context.Context, options Options) (source, error) {
	if options.RootFS != "" {
		directory, err := rootDirectory(options.RootFS)
		return source{lower: []string{directory}}, err
	}
	found, err := image.Open(ctx, options.Image, image.Options{})
	if err != nil {
		return source{}, notFound(err)
	}
	unpacked, err := image.Store{Dir: filepath.Join(e.Host.State, "images"), Progress: e.Progress}.Layers(ctx, found)
	if err != nil {
		return source{}, &ImageError{err, "the image is damaged or hostile, and nothing of it was kept: get it again from a source that you trust"}
	}
	slices.Reverse(unpacked.Layers)
	return source{unpacked.Layers, unpacked.Config, unpacked.Digest}, nil
}

func rootDirectory(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(absolute)
	if errors.Is(err, fs.ErrNotExist) {
		return "", &UsageError{Option: "--rootfs " + path, Reason: "there is no such directory", Hint: "give a directory that holds a root file system"}
	}
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", &UsageError{Option: "--rootfs " + path, Reason: "it is not a directory", Hint: "give a directory that holds a root file system"}
	}
	return filepath.EvalSymlinks(absolute)
}

// Plan says what would be enforced; nothing is started, mounted or held. An image's configuration is read, its layers are not.
func (e *Engine) Plan(ctx context.Context, options Options) (*plan.Plan, error) {
	if err := options.Check(); err != nil {
		return nil, err
	}
	var from source
	var err error
	if options.RootFS != "" {
		from, err = e.find(ctx, options)
	} else {
		var found *image.Image
		if found, err = image.Open(ctx, options.Image, image.Options{}); err != nil {
			return nil, notFound(err)
		}
		from.config = found.Config
	}
	if err != nil {
		return nil, err
	}
	if len(options.Command)+len(from.config.Entrypoint)+len(from.config.Cmd) == 0 && options.Entrypoint == nil {
		options.Command = []string{"/bin/sh"} // no plan depends on the command
	}
	return e.plan(options, from, e.plannedUser(options, from), "", "")
}

// plannedUser is the user as far as the plan needs one: root or not. Only the files of the image tell more than that.
func (e *Engine) plannedUser(options Options, from source) User {
	name := userName(options, from.config)
	if len(from.lower) == 1 && options.RootFS != "" {
		if user, err := ResolveUser(from.lower[0], name); err == nil {
			return user
		}
	}
	switch name {
	case "", "0", "root", "0:0", "root:root":
		return User{Home: "/"}
	default:
		return User{UID: 65534, GID: 65534, Home: "/"}
	}
}

func userName(options Options, config v1.Config) string {
	if options.User != "" {
		return options.User
	}
	return config.User
}

// plan makes the request and the plan of a container that will have that root file system and ID.
func (e *Engine) plan(options Options, from source, user User, rootfs, id string) (*plan.Plan, error) {
	config, request, err := e.request(options, from, user, rootfs, id)
	if err != nil {
		return nil, err
	}
	job := container.Job{Command: oci.Command{Arguments: []string{id}}, Request: &request}
	return e.Host.Plan(job, config, kernel.Probe())
}

// request makes the plain configuration and what every layer is asked for.
func (e *Engine) request(options Options, from source, user User, rootfs, id string) (*oci.Config, plan.Request, error) {
	if rootfs == "" {
		rootfs = "/" // of a plan, which mounts none
	}
	spec, err := Spec(options, from.config, rootfs, user, ProbeHost())
	if err != nil {
		return nil, plan.Request{}, err
	}
	config, err := oci.FromSpec(spec)
	if err != nil {
		return nil, plan.Request{}, err
	}
	request := config.Request(id, "/")
	request.Engine, request.Security, request.Privileged = nil, options.Security, options.Privileged
	request.Volumes, request.Take, request.Root = slices.Clone(options.Volumes), options.Take, ""
	request.Shields = slices.Clone(options.Shields)
	if options.RootFS != "" {
		request.Root = from.lower[0]
	}
	if name := options.Security.Seccomp; !plan.NamedProfile(name) {
		if request.SeccompProfile, err = os.ReadFile(name); err != nil {
			return nil, plan.Request{}, &UsageError{Option: "--security-opt seccomp=" + name, Reason: err.Error(), Hint: "builtin, docker, bulkhead, unconfined or the path of a profile"}
		}
	}
	return config, request, nil
}

// Remove takes away a container that has ended and everything that it had.
func (e *Engine) Remove(c *Container) error {
	if err := e.takeDown(c); err != nil {
		return err
	}
	if c.Held {
		if err := e.Host.ReleasePair(c.Level, c.ID); err != nil {
			return err
		}
	}
	if err := e.freeName(c); err != nil {
		return err
	}
	// Only the record tells of what is left: it goes first by a rename, so that a half removed container is nobody's.
	gone := filepath.Join(e.containers(), ".gone-"+c.ID)
	if err := os.Rename(c.directory, gone); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// takeDown undoes what a running container has: the OCI runtime's state, and the mount.
func (e *Engine) takeDown(c *Container) error {
	status, err := e.Host.Delete(e.command("delete", c.ID, oci.Option{Name: "force", Flag: true}), e.Inner, [3]*os.File{})
	if err == nil && status != 0 {
		err = fmt.Errorf("container %s: %s delete: exit status %d", c.ID[:12], e.Inner.Name(), status)
	}
	return errors.Join(err, c.overlay().Unmount())
}

// Sweep cleans up after containers whose keeper was killed: those that have no process any more are taken down, and removed where that was
// asked for.
func (e *Engine) Sweep() error {
	list, failed := e.List()
	for _, c := range list {
		if c.Exit != nil && !c.Options.Remove || c.Keeper.Alive("/proc") {
			continue
		}
		record, err := e.Host.Open(e.root(), c.ID)
		if err == nil && !record.EndUnstarted() && record.Alive() { // nobody but the keeper starts it
			continue
		}
		failed = errors.Join(failed, e.bury(c))
	}
	failed = errors.Join(failed, e.sweepHalfMade(), e.sweepNames())
	_, err := e.Host.Sweep()
	return errors.Join(failed, err)
}

// bury ends a container that nobody keeps and that has no process.
func (e *Engine) bury(c *Container) error {
	if c.Options.Remove || c.Args == nil {
		return e.Remove(c)
	}
	if err := e.takeDown(c); err != nil {
		return err
	}
	c.Exit = &Exit{Status: 128 + int(unix.SIGKILL), Time: time.Now().UTC(), Error: "the process that kept it was killed"}
	return c.save()
}

// sweepHalfMade removes directories that were being made or removed by a process that is gone.
func (e *Engine) sweepHalfMade() error {
	entries, err := os.ReadDir(e.containers())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		name := entry.Name()
		if len(name) < 2 || name[0] != '.' {
			continue
		}
		path := filepath.Join(e.containers(), name)
		if made, readErr := readContainer(path); readErr == nil && name[:2] == ".n" && made.Keeper.Alive("/proc") {
			continue
		}
		if info, statErr := entry.Info(); statErr == nil && time.Since(info.ModTime()) < time.Minute {
			continue // its maker may not have written who it is yet
		}
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// command is a command line for the OCI runtime, its errors written to a log of ours.
func (e *Engine) command(verb, id string, options ...oci.Option) oci.Command {
	return oci.Command{Globals: oci.Options{{Name: "root", Value: e.root()}}, Verb: verb, Options: options, Arguments: []string{id}}
}
