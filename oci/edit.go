// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/inside"
	"github.com/bulkhead-project/bulkhead/plan"
)

// Place says where the edited configuration will stand and what goes with it.
type Place struct {
	Bundle  string // the engine's bundle, from which relative paths start: the edited copy lies elsewhere
	Program string // host directory of the program inside
	Probe   int    // number of the descriptor that the program inside is given, see inside.Spec

	// Empty are places in the container where an empty file system is mounted, from a source of that name, on which something else will be.
	Empty       []string
	EmptySource string
}

// Edit writes what was compiled into the configuration, and makes its paths absolute. It is for a configuration as the engine wrote it, once.
func (c *Config) Edit(compiled plan.Compiled, place Place) error {
	object(c.tree, "root")["path"] = c.Root(place.Bundle)
	if err := editProcess(object(c.tree, "process"), c.Spec.Process, compiled, place.Probe); err != nil {
		return err
	}
	linux := object(c.tree, "linux")
	if err := set(linux, "mountLabel", compiled.MountLabel); err != nil {
		return err
	}
	delete(linux, "seccomp") // the program inside installs the filter
	c.editMounts(compiled, place)
	return nil
}

// editMounts puts the program's directory last, so that no other mount hides it.
func (c *Config) editMounts(compiled plan.Compiled, place Place) {
	mounts, _ := c.tree["mounts"].([]any)
	for i, mount := range c.Spec.Mounts {
		if bound(mount) && mount.Source != "" {
			mounts[i].(map[string]any)["source"] = absolute(place.Bundle, mount.Source)
		}
		if options, ok := mounts[i].(map[string]any)["options"].([]any); ok && slices.ContainsFunc(mount.Options, relabels) {
			mounts[i].(map[string]any)["options"] = slices.DeleteFunc(options, func(option any) bool { text, _ := option.(string); return relabels(text) })
		}
	}
	if compiled.NestedLabels {
		mounts = append(mounts, bindMount("/sys/fs/selinux", "/sys/fs/selinux", "rw"))
	}
	for _, destination := range place.Empty {
		mounts = append(mounts, map[string]any{"source": place.EmptySource, "destination": destination, "type": "tmpfs",
			"options": []any{"ro", "nosuid", "nodev", "noexec", "mode=000", "size=4k", "rprivate"}})
	}
	if compiled.NeedsInside() {
		mounts = append(mounts, bindMount(place.Program, inside.Directory, "ro"))
	}
	c.tree["mounts"] = mounts
}

func bindMount(source, destination, mode string) map[string]any {
	return map[string]any{"source": source, "destination": destination, "type": "bind",
		"options": []any{"bind", mode, "nosuid", "nodev", "exec", "rprivate"}}
}

// Exec is a process.json: one process to be added to a container.
type Exec struct {
	tree    map[string]any
	Process specs.Process
}

// ParseExec reads a process.json.
func ParseExec(data []byte) (*Exec, error) {
	if len(data) > MaximumConfig {
		return nil, fmt.Errorf("process.json: larger than %d bytes", MaximumConfig)
	}
	exec := &Exec{}
	if err := decode(data, &exec.tree); err != nil {
		return nil, fmt.Errorf("process.json: %w", err)
	}
	if exec.tree == nil {
		return nil, errors.New("process.json: null is not a process")
	}
	if err := reread(data, exec.tree, &exec.Process); err != nil {
		return nil, fmt.Errorf("process.json: %w", err)
	}
	if len(exec.Process.Args) == 0 {
		return nil, errors.New("process.json: args is empty")
	}
	return exec, nil
}

// NewExec makes a process.json of a process.
func NewExec(process specs.Process) (*Exec, error) {
	data, err := json.Marshal(process)
	if err != nil {
		return nil, err
	}
	return ParseExec(data)
}

// Edit writes what was compiled for this process into it.
func (e *Exec) Edit(compiled plan.Compiled, probe int) error {
	return editProcess(e.tree, &e.Process, compiled, probe)
}

// Encode writes the process.
func (e *Exec) Encode() ([]byte, error) { return encode(e.tree) }

func editProcess(tree map[string]any, process *specs.Process, compiled plan.Compiled, probe int) error {
	args := process.Args
	label, profile := compiled.ProcessLabel, compiled.AppArmorProfile
	capabilities := compiled.Capabilities
	if compiled.NeedsInside() {
		// The program inside applies them; until then it runs as the runtime does.
		label, profile = "", ""
		spec := compiled.Inside
		if compiled.NeedsProbe() {
			spec.Probe = probe
		}
		args = spec.Arguments(args)
	}
	if compiled.Lent != nil {
		capabilities = *compiled.Lent
	}
	if process.Capabilities != nil || compiled.Lent != nil {
		if err := set(tree, "capabilities", capabilities); err != nil {
			return err
		}
	}
	tree["noNewPrivileges"] = compiled.NoNewPrivileges
	for _, field := range []struct {
		name  string
		value any
	}{{"args", args}, {"selinuxLabel", label}, {"apparmorProfile", profile}} {
		if err := set(tree, field.name, field.value); err != nil {
			return err
		}
	}
	return nil
}
