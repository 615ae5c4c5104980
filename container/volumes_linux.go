// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bulkhead-project/bulkhead/enforce"
	"github.com/bulkhead-project/bulkhead/enforce/label"
	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// Labelling is what :z, :Z and :U of a container's volumes need to be carried out.
type Labelling struct {
	Plan       *plan.Plan
	MountLabel string      // as it was compiled; "" without SELinux
	Level      string      // that the container holds
	Holder     string      // the container's name in the registry
	Owner      label.Owner // on the host, for :U
	Take       bool        // from those who use a volume now
	Notice     func(string)
	Progress   func(label.Progress) // may be nil
}

// LabelVolumes carries out :z, :Z and :U, each file's old label and owner journalled first. Before anything is written, the user is told of what will take long, and a volume
// that containers use now which would lose it is refused.
func (h *Host) LabelVolumes(l Labelling) error {
	changes := make([]label.Change, len(l.Plan.Volumes))
	for i, volume := range l.Plan.Volumes {
		var err error
		if changes[i], err = l.change(volume); err == nil {
			err = CheckLabelling(volume.Source, changes[i])
		}
		if err != nil {
			return err
		}
	}
	for i, volume := range l.Plan.Volumes {
		if changes[i] == (label.Change{}) {
			continue
		}
		if err := h.labelVolume(l, volume, changes[i]); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) labelVolume(l Labelling, volume plan.Volume, change label.Change) error {
	options := label.Options{Quick: true, Progress: l.Progress, Planned: func(report *label.Report) error {
		users, err := h.VolumeUsers(volume.Source)
		if err != nil {
			return err
		}
		if err := checkUsers(volume.Source, l.Level, users, l.Take, volume.Relabel == plan.RelabelPrivate || report.Owners > 0); err != nil {
			return err
		}
		if took := report.Estimate(); took > time.Second {
			l.notice(planLine(volume, change, report, users, took))
		}
		return nil
	}}
	report, err := label.Set(volume.Source, change, label.JournalPath(h.State, volume.Source), options)
	if err != nil {
		return err
	}
	for _, left := range report.Left {
		l.notice(fmt.Sprintf("not labelled: %s: %s", filepath.Join(volume.Source, left.Path), left.Reason))
	}
	if volume.Holder == "" {
		return nil
	}
	l.notice(fmt.Sprintf("volume %s was taken from %s", volume.Source, volume.Holder))
	return h.Unclaim(volume.Source, l.Holder)
}

func (l Labelling) notice(line string) {
	if l.Notice != nil {
		l.Notice(line)
	}
}

// change is what becomes of a volume's files: the container's own level, or s0 where it is shared. Without SELinux they are labelled all the same: it tells other
// containers whose the volume is.
func (l Labelling) change(volume plan.Volume) (label.Change, error) {
	var change label.Change
	if volume.Chown {
		change.Owner = &l.Owner
	}
	if volume.Relabel == "" {
		return change, nil
	}
	context := selinux.Context{User: "system_u", Role: "object_r", Type: "container_file_t"}
	if l.MountLabel != "" {
		var err error
		if context, err = selinux.ParseContext(l.MountLabel); err != nil {
			return change, fmt.Errorf("linux.mountLabel: %w", err)
		}
	}
	level, err := selinux.ParseRange(l.Level)
	if err != nil {
		return change, err
	}
	if _, pair := pairOf(l.Level); volume.Relabel == plan.RelabelPrivate && !pair {
		l.notice(fmt.Sprintf("volume %s: level %s is not this container's alone, and so its files are not", volume.Source, l.Level))
	}
	if volume.Relabel == plan.RelabelShared {
		level = selinux.Range{}
	}
	context.Range, context.NoRange = level, false
	change.Label = context.String()
	return change, nil
}

// CheckLabelling refuses, before anything is written, a label that the loaded policy does not know, and a tree whose file system holds none.
func CheckLabelling(path string, change label.Change) error {
	if change.Label == "" {
		return nil
	}
	_, err := selinux.FindHost("/proc")
	if err == nil {
		err = enforce.CheckLabels(change.Label)
	}
	if err != nil && !errors.Is(err, selinux.ErrNotMounted) {
		return err
	}
	return label.CheckFileSystem(path, change)
}

// Unclaim ends what others than the container have of a tree for themselves, by whatever path: it was labelled for that one.
func (h *Host) Unclaim(path, holder string) error {
	mounts, err := label.ReadMounts()
	if err != nil {
		return err
	}
	return h.Registry.Unclaim(holder, append(mounts.Aliases(path), path)...)
}

// VolumeUser is a container, or another mount namespace, that has a tree mounted now.
type VolumeUser struct {
	Container   string `json:"container,omitempty"` // its ID, where Bulkhead created it
	PID         int    `json:"pid"`
	Process     string `json:"process,omitempty"` // label of that process, "" without SELinux
	Level       string `json:"level,omitempty"`   // that the container holds
	Destination string `json:"destination"`
	ReadOnly    bool   `json:"read_only,omitempty"`
}

// VolumeUsers returns who has a tree mounted now.
func (h *Host) VolumeUsers(path string) ([]VolumeUser, error) {
	found, err := label.Users(path)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	records, err := h.List()
	if err != nil {
		return nil, err
	}
	known := map[string]*Record{}
	for _, record := range records {
		if namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", record.PID())); err == nil && record.Alive() {
			known[namespace] = record
		}
	}
	host, noSELinux := selinux.FindHost("/proc")
	var users []VolumeUser
	for _, one := range found {
		user := VolumeUser{PID: one.PID, Destination: one.Destination, ReadOnly: one.ReadOnly}
		if record := known[one.Namespace]; record != nil {
			user.Container, user.PID, user.Level, user.Process = record.ID, record.PID(), record.Level, record.Compiled.ProcessLabel
		} else if noSELinux == nil {
			user.Process, _ = host.ProcessLabel(one.PID)
			user.Level = levelOf(user.Process)
		}
		users = append(users, user)
	}
	return users, nil
}

func levelOf(process string) string {
	context, err := selinux.ParseContext(process)
	if err != nil || context.NoRange {
		return ""
	}
	return context.Range.String()
}

func (u VolumeUser) String() string {
	if u.Container != "" {
		return "container " + u.Container
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", u.PID))
	if err != nil {
		return fmt.Sprintf("process %d", u.PID)
	}
	return fmt.Sprintf("process %d (%s)", u.PID, strings.TrimSpace(string(name)))
}

// shares reports whether the user has the level's own pair, as containers of a pod do.
func (u VolumeUser) shares(level string) bool {
	pair, ok := pairOf(level)
	theirs, has := pairOf(u.Level)
	return ok && has && pair == theirs
}

// CheckUsers refuses to label a tree for one level alone that others use now.
func (h *Host) CheckUsers(path, level string, take bool) error {
	users, err := h.VolumeUsers(path)
	if err != nil {
		return err
	}
	_, private := pairOf(level)
	return checkUsers(path, level, users, take, private)
}

func checkUsers(path, level string, users []VolumeUser, take, harmful bool) error {
	if take || !harmful {
		return nil
	}
	for _, user := range users {
		if !user.shares(level) {
			return &plan.RefusedError{Subject: "volume " + path, Reason: fmt.Sprintf("%s uses it now on %s, and could not open its files any more", user, user.Destination),
				Hint: "stop it, share the volume with :z in both, or take it with --take"}
		}
	}
	return nil
}

// planLine says what is about to be done.
func planLine(volume plan.Volume, change label.Change, report *label.Report, users []VolumeUser, took time.Duration) string {
	var does []string
	if change.Label != "" {
		does = append(does, change.Label)
	}
	if change.Owner != nil {
		does = append(does, fmt.Sprintf("owner %d:%d", change.Owner.UID, change.Owner.GID))
	}
	line := fmt.Sprintf("volume %s: %d of %d files get %s, in about %.0f s", volume.Source, report.Changes, report.Files, strings.Join(does, " and "), took.Seconds())
	for i, user := range users {
		line += map[bool]string{true: "; used now by ", false: ", "}[i == 0] + user.String()
	}
	return line + fmt.Sprintf("; `bulkhead label undo %s` takes it back", volume.Source)
}

// labelEngineVolumes carries out z, Z and U of an engine's bind mounts.
func (h *Host) labelEngineVolumes(job Job, config *oci.Config, record *Record) error {
	if job.Request != nil {
		return nil // the caller has done it
	}
	uid, gid, err := config.Owner()
	if err != nil {
		for _, volume := range record.Plan.Volumes {
			if volume.Chown {
				return &oci.ConfigError{Err: err}
			}
		}
	}
	return h.LabelVolumes(Labelling{Plan: record.Plan, MountLabel: record.Compiled.MountLabel, Level: record.Level, Holder: record.HolderID(),
		Owner: label.Owner{UID: int(uid), GID: int(gid)}, Notice: job.Notice})
}

// formerPair returns the pair that the volumes which are to be private carry, where a container that is gone left it on them and on nothing else: then they need
// no new label.
func (h *Host) formerPair(volumes []string) (mcs.Pair, bool, error) {
	for _, volume := range volumes {
		text, err := label.Read(volume)
		if err != nil {
			continue // it holds no labels, or is not there: found out where it is labelled
		}
		pair, ok := pairOf(levelOf(text))
		if !ok || !h.draws(pair) {
			continue
		}
		entry, held, err := h.Registry.Who(pair)
		if err != nil || !held || entry.Err != nil {
			continue
		}
		former := mcs.Holder{Volumes: volumes}
		if slices.ContainsFunc(entry.Holders, func(h mcs.Holder) bool { return !former.Succeeds(h) }) {
			continue
		}
		if h.Registry.Elsewhere == nil {
			return pair, true, nil
		}
		uses, err := h.Registry.Elsewhere.UsesOf(pair)
		if err != nil || len(uses) == 0 {
			return pair, err == nil, err
		}
	}
	return mcs.Pair{}, false, nil
}

// draws reports whether the pair is of the range that pairs are drawn from.
func (h *Host) draws(pair mcs.Pair) bool {
	low, high := h.Registry.Low, h.Registry.High
	return low == 0 && high == 0 || low <= pair.Low && pair.High <= high
}
