// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/standalone"
)

// runFlags are the options of run and plan as they are written.
type runFlags struct {
	options                                       standalone.Options
	volumes, tmpfs, capAdd, capDrop, environment  []string
	securityOptions, annotations                  []string
	memory, entrypoint, pidsLimit, network, image string
	categories                                    string // --range
	shields                                       []string
	keys                                          keyFlags // of the shields
}

// add declares docker's options, in docker's spelling.
func (f *runFlags) add(flags *pflag.FlagSet) {
	o := &f.options
	flags.SetInterspersed(false) // what follows the image is the command's
	flags.StringVar(&o.RootFS, "rootfs", "", "use `DIR` as the root file system instead of an image; it is never changed")
	flags.BoolVar(&o.Remove, "rm", false, "remove the container when it ends")
	flags.BoolVarP(&o.Interactive, "interactive", "i", false, "keep standard input open")
	flags.BoolVarP(&o.TTY, "tty", "t", false, "give the container a terminal")
	flags.BoolVarP(&o.Detach, "detach", "d", false, "print the container's ID and leave it running")
	flags.StringArrayVarP(&f.volumes, "volume", "v", nil, "mount `SRC:DST[:OPTIONS]`: ro, rw; z label it shared, Z label it private, U give it to the container's user")
	flags.BoolVar(&o.Take, "take", false, "take volumes with z or Z from another container, running or stopped, whose private ones they are, or which would lose them")
	flags.StringArrayVar(&f.shields, "shield", nil, "mount the shielded volume `DST=DIR[:POLICY]`, ciphertext to everybody outside of the container: encrypted, authenticated, ephemeral")
	f.keys.addFiles(flags)
	flags.StringArrayVarP(&f.environment, "env", "e", nil, "set `NAME=VALUE`, or NAME from this environment")
	flags.StringVarP(&o.WorkDir, "workdir", "w", "", "working `DIR` in the container")
	flags.StringVarP(&o.User, "user", "u", "", "`USER[:GROUP]`, names or numbers")
	flags.StringVar(&o.Name, "name", "", "name of the container")
	flags.StringVar(&o.Hostname, "hostname", "", "host name in the container")
	flags.StringVar(&f.network, "network", standalone.NetworkNone, "none, or host: share the host's")
	flags.StringVar(&o.PID, "pid", "", "host: share the host's process namespace")
	flags.StringVar(&o.IPC, "ipc", "", "host: share the host's IPC namespace")
	flags.StringArrayVar(&f.capAdd, "cap-add", nil, "add a capability, or ALL")
	flags.StringArrayVar(&f.capDrop, "cap-drop", nil, "drop a capability, or ALL")
	flags.BoolVar(&o.ReadOnly, "read-only", false, "mount the root file system read-only")
	flags.StringArrayVar(&f.tmpfs, "tmpfs", nil, "mount a file system in memory at `DST[:OPTIONS]`")
	flags.StringVar(&f.entrypoint, "entrypoint", "", "replace the image's entrypoint")
	flags.StringVarP(&f.memory, "memory", "m", "", "limit of memory, such as 512m")
	flags.StringVar(&f.pidsLimit, "pids-limit", "", "limit of processes")
	flags.StringArrayVar(&f.securityOptions, "security-opt", nil, "label=..., label-force, apparmor=..., seccomp=builtin|docker|bulkhead|unconfined|FILE, seccomp-force, landlock=unconfined, no-new-privileges, mask=, unmask=, proc-opts=, systempaths=unconfined, writable-cgroups")
	flags.StringVar(&f.categories, "range", "", "draw the category pair from `RANGE`: c512.c1023, or one of the configuration's by its purpose")
	flags.StringArrayVar(&o.ShieldStdio, "shield-stdio", nil, "seal what the container prints for the age `RECIPIENT`, who reads it with bulkhead logs --identity")
	flags.BoolVar(&o.Privileged, "privileged", false, "every capability and device, nothing masked, confinement off")
	flags.StringArrayVar(&f.annotations, "annotation", nil, "annotation `KEY=VALUE` of the container's configuration")
}

// parse reads what was written; args are the image, unless there is --rootfs, and the command.
func (f *runFlags) parse(flags *pflag.FlagSet, args []string) (standalone.Options, error) {
	o := f.options
	if o.RootFS == "" {
		if len(args) == 0 {
			return o, usageError{errors.New("no image")}
		}
		o.Image, args = args[0], args[1:]
	}
	o.Command, o.Network = args, f.network
	if flags.Changed("entrypoint") {
		o.Entrypoint = &f.entrypoint
	}
	var err error
	each := func(texts []string, read func(string) error) {
		for _, text := range texts {
			if err == nil {
				err = read(text)
			}
		}
	}
	each(f.volumes, func(text string) error { return parseInto(&o.Volumes, standalone.ParseVolume, absoluteSource(text)) })
	each(f.tmpfs, func(text string) error { return parseInto(&o.Tmpfs, standalone.ParseTmpfs, text) })
	each(f.shields, func(text string) error { return parseInto(&o.Shields, f.parseShield, text) })
	each(f.capAdd, func(text string) error { return parseCapability(&o.CapAdd, "--cap-add", text) })
	each(f.capDrop, func(text string) error { return parseCapability(&o.CapDrop, "--cap-drop", text) })
	each(f.annotations, func(text string) error {
		key, value, err := standalone.ParseAnnotation(text)
		if o.Annotations == nil {
			o.Annotations = map[string]string{}
		}
		o.Annotations[key] = value
		return err
	})
	if err == nil && f.memory != "" {
		o.Memory, err = standalone.ParseMemory(f.memory)
	}
	if err == nil && f.pidsLimit != "" {
		o.PidsLimit, err = standalone.ParsePidsLimit(f.pidsLimit)
	}
	if err == nil {
		o.Environment, err = standalone.ResolveEnvironment(f.environment, os.LookupEnv)
	}
	if err == nil {
		o.Security, err = plan.ParseSecurityOptions(f.securityOptions)
	}
	if err == nil {
		err = o.Check()
	}
	return o, err
}

// parseShield reads a shield. Every key is tried on every volume.
func (f *runFlags) parseShield(text string) (plan.Shield, error) {
	destination, directory, _ := strings.Cut(text, "=")
	shield, err := plan.ParseShield(destination + "=" + absoluteSource(directory))
	if err != nil {
		return shield, err
	}
	shield.Keys, err = f.keys.paths()
	return shield, err
}

// drawFrom has the category pair drawn from the range that was asked for.
func (f *runFlags) drawFrom(host *container.Host) error { return drawFrom(host, f.categories) }

func drawFrom(host *container.Host, categories string) error {
	if categories == "" {
		return nil
	}
	if err := host.DrawFrom(categories); err != nil {
		return &standalone.UsageError{Option: "--range", Reason: err.Error(), Hint: "write c512.c1023, or a purpose that " + container.ConfigFile + " has in \"ranges\""}
	}
	return nil
}

// absoluteSource makes a relative source absolute, as docker does for ./DIR.
func absoluteSource(volume string) string {
	if strings.HasPrefix(volume, "./") || strings.HasPrefix(volume, "../") || volume == "." || strings.HasPrefix(volume, ".:") {
		source, rest, _ := strings.Cut(volume, ":")
		if path, err := filepath.Abs(source); err == nil {
			return path + ":" + rest
		}
	}
	return volume
}

func parseInto[T any](list *[]T, read func(string) (T, error), text string) error {
	value, err := read(text)
	*list = append(*list, value)
	return err
}

func parseCapability(list *[]string, option, text string) error {
	return parseInto(list, func(text string) (string, error) { return standalone.ParseCapability(option, text) }, text)
}

// engine returns the standalone engine, with progress on a terminal.
func engine(command *cobra.Command, needInner bool) (*standalone.Engine, error) {
	return openEngine(command.ErrOrStderr(), needInner)
}
