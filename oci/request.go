// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/inside"
	"github.com/bulkhead-project/bulkhead/plan"
)

// Request reads what the configuration asks of every layer. bundle is the directory that relative paths start from. Namespaces that are
// joined by path are listed in Namespaces.Joined; whether one is the host's is for the machine to say.
func (c *Config) Request(id, bundle string) plan.Request {
	spec := &c.Spec
	request := plan.Request{
		ID:      id,
		Process: Process(spec.Process),
		Engine: &plan.EngineChoices{
			ProcessLabel:    spec.Process.SelinuxLabel,
			AppArmorProfile: spec.Process.ApparmorProfile,
		},
		Volumes: volumes(spec.Mounts, bundle),
		Root:    c.Root(bundle),
	}
	request.Security.Landlock = c.Annotation("landlock")
	request.Security.LabelForce = c.Annotation("label-force") == "true"
	request.Security.SeccompForce = c.Annotation("seccomp-force") == "true"
	if linux := spec.Linux; linux != nil {
		request.Engine.MountLabel = linux.MountLabel
		request.Engine.Seccomp = c.seccomp
		request.Masked, request.ReadOnlyPaths = linux.MaskedPaths, linux.ReadonlyPaths
		request.Namespaces = namespaces(linux.Namespaces)
	}
	request.Privileged = privileged(spec)
	return request
}

// Process reads one process, of a config.json or of exec's process.json.
func Process(process *specs.Process) plan.Process {
	out := plan.Process{UID: process.User.UID, NoNewPrivileges: process.NoNewPrivileges}
	if sets := process.Capabilities; sets != nil {
		out.Capabilities = plan.Capabilities{Bounding: sets.Bounding, Permitted: sets.Permitted, Effective: sets.Effective,
			Inheritable: sets.Inheritable, Ambient: sets.Ambient}
	}
	return out
}

func absolute(bundle, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(bundle, path)
}

// volumes lists every bind mount: what an engine makes for its own purposes might as well be a path that it was given.
func volumes(mounts []specs.Mount, bundle string) []plan.Volume {
	var out []plan.Volume
	for _, mount := range mounts {
		if !bound(mount) || mount.Source == "" {
			continue
		}
		volume := plan.Volume{Source: absolute(bundle, mount.Source), Destination: mount.Destination, ReadOnly: slices.Contains(mount.Options, "ro")}
		switch {
		case slices.Contains(mount.Options, sharedLabel):
			volume.Relabel = plan.RelabelShared
		case slices.Contains(mount.Options, privateLabel):
			volume.Relabel = plan.RelabelPrivate
		}
		volume.Chown = slices.Contains(mount.Options, newOwner)
		out = append(out, volume)
	}
	return out
}

func bound(mount specs.Mount) bool {
	return mount.Type == "bind" || slices.Contains(mount.Options, "bind") || slices.Contains(mount.Options, "rbind")
}

// namespaces reads which of the host's a container shares: one that is not listed is shared.
func namespaces(list []specs.LinuxNamespace) plan.Namespaces {
	own := map[specs.LinuxNamespaceType]bool{}
	var out plan.Namespaces
	for _, namespace := range list {
		own[namespace.Type] = true
		if namespace.Path != "" {
			out.Joined = append(out.Joined, namespace.Path)
		}
	}
	out.HostPID, out.HostNetwork, out.HostIPC = !own[specs.PIDNamespace], !own[specs.NetworkNamespace], !own[specs.IPCNamespace]
	out.User = own[specs.UserNamespace]
	return out
}

// OwnUserNamespace reports whether the container gets a user namespace.
func (c *Config) OwnUserNamespace() bool {
	return c.Spec.Linux != nil && namespaces(c.Spec.Linux.Namespaces).User
}

// privileged recognises what engines make of --privileged: every capability that matters, nothing masked and no filter. There is no field
// for it in the specification.
func privileged(spec *specs.Spec) bool {
	if spec.Linux == nil || spec.Linux.Seccomp != nil || len(spec.Linux.MaskedPaths) > 0 || spec.Process.Capabilities == nil {
		return false
	}
	for _, name := range []string{"CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_PTRACE", "CAP_MAC_ADMIN", "CAP_SYS_BOOT"} {
		if !slices.Contains(spec.Process.Capabilities.Bounding, name) {
			return false
		}
	}
	return true
}

// Root returns the container's root file system on the host, absolute.
func (c *Config) Root(bundle string) string { return absolute(bundle, c.Spec.Root.Path) }

// CheckMounts refuses a configuration that mounts something where the program inside has to be, or over the whole root.
func (c *Config) CheckMounts() error {
	for _, mount := range c.Spec.Mounts {
		destination := filepath.Clean("/" + mount.Destination)
		if destination == "/" {
			return &plan.RefusedError{Subject: fmt.Sprintf("mount on %q", mount.Destination), Reason: "it would hide the root file system that was checked",
				Hint: "name the directory as root.path, or mount it below the root"}
		}
		if destination == inside.Directory || strings.HasPrefix(destination, inside.Directory+"/") {
			return &plan.RefusedError{Subject: "mount on " + mount.Destination, Reason: "the program that confines the container has its place there",
				Hint: fmt.Sprintf("mount it anywhere but on %s", inside.Directory)}
		}
	}
	return nil
}
