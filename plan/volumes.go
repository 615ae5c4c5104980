// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/kernel"
)

func planVolumes(_ *Plan, request Request, _ kernel.Facts) error { return CheckVolumes(request) }

// CheckVolumes is the part of Make that refuses what would take a volume from another container, or the labels of the host's own files.
func CheckVolumes(request Request) error {
	for i, volume := range request.Volumes {
		if err := checkVolume(request, volume); err != nil {
			return err
		}
		for _, other := range request.Volumes[:i] {
			if meet := beneath(volume.Source, other.Source) || beneath(other.Source, volume.Source); meet && volume.contradicts(other) {
				return &RefusedError{Subject: "volume " + volume.Source, Reason: fmt.Sprintf("as %s it is labelled %s, and as a part of %s on %s %s",
					volume.Destination, volume.Relabel, other.Source, other.Destination, other.Relabel),
					Hint: "each file has one label: give both the same of :z and :Z, or separate the directories"}
			}
		}
	}
	return nil
}

func (v Volume) contradicts(other Volume) bool {
	return v.Relabel != "" && other.Relabel != "" && v.Relabel != other.Relabel
}

func (v Volume) changed() bool { return v.Relabel != "" || v.Chown }

func checkVolume(request Request, volume Volume) error {
	switch {
	case volume.Holder != "" && !(request.Take && volume.Relabel != ""):
		return &RefusedError{Subject: "volume " + volume.Source, Reason: "its private label belongs to " + volume.Holder, Hint: volume.holderHint(request.Engine != nil)}
	case volume.changed() && SystemTree(volume.Source):
		return &RefusedError{Subject: "volume " + volume.Source,
			Reason: "relabelling or chowning this tree would take the host's own files from it",
			Hint:   "mount a directory made for the container, or leave out :z, :Z and :U"}
	case volume.changed() && request.Root != "" && beneath(request.Root, volume.Source):
		return &RefusedError{Subject: "volume " + volume.Source, Reason: "it is or holds the container's own root file system, " + request.Root,
			Hint: "mount a directory beside it, or leave out :z, :Z and :U"}
	}
	return nil
}

// holderHint says what to do about a volume that is another container's.
func (v Volume) holderHint(byEngine bool) string {
	const share = "remove that container, or share the volume with :z in both"
	switch {
	case v.Own && v.HolderLevel != "": // the engine labelled it before the runtime was asked
		return fmt.Sprintf("it carries this container's label already: `bulkhead label set --level %s %s` gives it back; then %s", v.HolderLevel, v.Source, share)
	case v.Relabel != "" && !byEngine:
		return "remove that container, share the volume with :z in both, or take it from it with --take"
	}
	return share
}

// systemTrees are the trees that the host lives by: never relabelled, nor is anything below or above them.
var systemTrees = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sbin", "/sys", "/usr",
	"/var/cache", "/var/lib/docker", "/var/lib/containers", "/var/lib/containerd", "/var/lib/bulkhead", "/var/lib/dpkg", "/var/lib/rpm",
	"/var/lib/libvirt", "/var/log", "/var/run", "/run/systemd", "/run/bulkhead"}

// shelves hold other people's trees: fine below, not themselves.
var shelves = []string{"/", "/home", "/mnt", "/media", "/opt", "/run", "/srv", "/tmp", "/var", "/var/home", "/var/lib", "/var/tmp"}

// SystemTree reports whether source, an absolute clean path, is a tree whose labels the host lives by, or holds one.
func SystemTree(source string) bool {
	return slices.Contains(shelves, source) || homeTree(source) ||
		slices.ContainsFunc(systemTrees, func(tree string) bool { return beneath(source, tree) || beneath(tree, source) })
}

// homeTree reports whether source is somebody's whole home directory, or a hidden tree in one, such as ~/.ssh.
func homeTree(source string) bool {
	for _, homes := range []string{"/home/", "/var/home/", "/"} {
		rest, ok := strings.CutPrefix(source, homes)
		if !ok {
			continue
		}
		user, inner, deeper := strings.Cut(rest, "/")
		if homes == "/" && user != "root" {
			return false
		}
		return !deeper || strings.HasPrefix(inner, ".")
	}
	return false
}

func beneath(child, parent string) bool {
	return child == parent || parent == "/" || len(child) > len(parent) && child[:len(parent)] == parent && child[len(parent)] == '/'
}
