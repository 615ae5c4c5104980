// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Options of a bind mount that ask for labels and owners, as docker and podman have them after a volume's second colon. The OCI runtime specification
// knows none of them: docker, podman and CRI engines carry them out themselves. Some engines and bundles written by hand leave them in config.json, where
// OCI runtimes take them for options of the file system: older ones lose them without a word, newer ones refuse them.
const (
	sharedLabel  = "z"
	privateLabel = "Z"
	newOwner     = "U"
)

func relabels(option string) bool {
	return option == sharedLabel || option == privateLabel || option == newOwner
}

// checkRelabel refuses what cannot be carried out.
func checkRelabel(mounts []specs.Mount) error {
	for i, mount := range mounts {
		switch at := slices.IndexFunc(mount.Options, relabels); {
		case at < 0:
		case !bound(mount):
			return fmt.Errorf("mounts[%d].options: %q is for bind mounts, not for a %s on %q", i, mount.Options[at], mount.Type, mount.Destination)
		case mount.Source == "":
			return fmt.Errorf("mounts[%d].options: %q, and no source", i, mount.Options[at])
		case slices.Contains(mount.Options, sharedLabel) && slices.Contains(mount.Options, privateLabel):
			return fmt.Errorf("mounts[%d].options: %q contradicts %q", i, sharedLabel, privateLabel)
		}
	}
	return nil
}

// Owner returns the container's user and group as the host knows them: those to whom U gives a volume.
func (c *Config) Owner() (uid, gid uint32, err error) {
	user := c.Spec.Process.User
	if !c.OwnUserNamespace() {
		return user.UID, user.GID, nil
	}
	if uid, err = mapped(c.Spec.Linux.UIDMappings, user.UID); err != nil {
		return 0, 0, fmt.Errorf("linux.uidMappings: user %w", err)
	}
	if gid, err = mapped(c.Spec.Linux.GIDMappings, user.GID); err != nil {
		return 0, 0, fmt.Errorf("linux.gidMappings: group %w", err)
	}
	return uid, gid, nil
}

func mapped(mappings []specs.LinuxIDMapping, id uint32) (uint32, error) {
	for _, mapping := range mappings {
		if id >= mapping.ContainerID && id-mapping.ContainerID < mapping.Size {
			return mapping.HostID + (id - mapping.ContainerID), nil
		}
	}
	return 0, fmt.Errorf("%d has no number outside of the container", id)
}
