// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/bulkhead-project/bulkhead/enforce/label"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// surveyVolumes says of each volume where it really is and whose. A container that has the pair which the request names may use it, too: containers
// of a pod share their level and their volumes.
func surveyVolumes(request *plan.Request, registry mcs.Registry, self string) error {
	if len(request.Volumes) == 0 {
		return nil
	}
	mounts, err := label.ReadMounts()
	if err != nil {
		return err
	}
	var all []string
	paths := make([][]string, len(request.Volumes)) // by which each can be reached; none for what is not there
	for i := range request.Volumes {
		if paths[i], err = resolveVolume(&request.Volumes[i], mounts); err != nil {
			return err
		}
		all = append(all, paths[i]...)
	}
	named, isNamed := namedPair(request)
	claims, err := registry.Claims(func(c mcs.Claim) bool { return c.Holder.ID == self || isNamed && c.Pair == named }, all...)
	if err != nil {
		return err
	}
	for i := range request.Volumes {
		if len(paths[i]) == 0 {
			continue
		}
		volume := &request.Volumes[i]
		claimed := slices.IndexFunc(claims, func(c mcs.Claim) bool { return slices.ContainsFunc(paths[i], c.Holder.Claims) })
		if err := surveyLabel(volume, request, registry, self); err != nil && claimed < 0 {
			return err
		}
		if claimed >= 0 {
			volume.Holder, volume.HolderLevel = "container "+claims[claimed].Holder.ID, claims[claimed].Pair.Level().String()
		}
	}
	return nil
}

// resolveVolume follows symbolic links, guards the host's own trees, and returns the paths by which the volume can be reached.
func resolveVolume(volume *plan.Volume, mounts label.MountTable) ([]string, error) {
	source, err := filepath.EvalSymlinks(volume.Source)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // made by whoever mounts it, or an error there
	}
	if err != nil {
		return nil, fmt.Errorf("volume %s: %w", volume.Source, err)
	}
	volume.Source = source
	if volume.Relabel != "" || volume.Chown {
		if err := label.Guard(source); err != nil {
			return nil, err
		}
	}
	return append(mounts.Aliases(source), source), nil
}

// surveyLabel looks whose pair the label on the volume has: the request's own, that of another container that is there, running or stopped, here or
// under another engine, or nobody's.
func surveyLabel(volume *plan.Volume, request *plan.Request, registry mcs.Registry, self string) error {
	text, err := label.Read(volume.Source)
	if err != nil {
		return nil // a file system without labels
	}
	context, err := selinux.ParseContext(text)
	if err != nil || context.NoRange {
		return nil
	}
	pair, ok := mcs.PairOf(context.Range.High.Categories)
	if !ok {
		return nil
	}
	if named, ok := namedPair(request); ok && named == pair {
		volume.Own = !plan.SystemTree(volume.Source) // there are the engines' own files for the container
		return nil
	}
	volume.Holder, err = pairHolder(pair, registry, self)
	if volume.Holder != "" {
		volume.HolderLevel = pair.Level().String()
	}
	return err
}

// pairHolder returns who has the pair, "" for nobody or the container itself.
func pairHolder(pair mcs.Pair, registry mcs.Registry, self string) (string, error) {
	entry, held, err := registry.Who(pair)
	if err == nil {
		err = entry.Err
	}
	if err != nil {
		return "", err
	}
	if held && slices.ContainsFunc(entry.Holders, func(h mcs.Holder) bool { return h.ID == self }) {
		return "", nil
	}
	for _, holder := range entry.Holders {
		if holder.Alive(registry.Proc) {
			return "container " + holder.ID, nil
		}
	}
	var uses []mcs.Use
	if registry.Elsewhere != nil {
		uses, err = registry.Elsewhere.UsesOf(pair)
	}
	for _, use := range uses {
		if use.Engine == "" || use.ID != "" { // and no volume that has the label, this one perhaps
			return use.By, nil
		}
	}
	if err != nil {
		return "", err
	}
	owners, err := registry.Others(pair)
	if len(owners) > 0 {
		return fmt.Sprintf("container %s of node %s", owners[0].Holder, owners[0].Node), nil
	}
	return "", err
}
