// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
)

// Journal keeps what the kernel had before each change of its policy, so that the change can be undone, also by another process after this one was
// killed. It is a directory for one boot, as loaded policy is: each change is a directory in it, named by its number, complete before the kernel is
// asked for anything.
type Journal struct {
	Directory string // made where it is missing
}

// maximumChanges are kept; older ones can no longer be undone.
const maximumChanges = 64

// ChangedProfile is one profile that a change touches.
type ChangedProfile struct {
	Name string `json:"name"`
	// Before is absent, loaded (File has the stream that it was loaded with) or unknown (loaded, and the kernel exports nothing).
	Before string `json:"before"`
	File   string `json:"file,omitempty"`
}

// The values of ChangedProfile.Before.
const (
	BeforeAbsent  = "absent"
	BeforeLoaded  = "loaded"
	BeforeUnknown = "unknown"
)

// Change is one load or unload.
type Change struct {
	Number    int              `json:"number"`
	Time      time.Time        `json:"time"`
	Operation string           `json:"operation"` // load or unload
	Namespace string           `json:"namespace,omitempty"`
	Made      bool             `json:"made_namespace,omitempty"` // the namespace is new, too
	Profiles  []ChangedProfile `json:"profiles"`
}

const changeFile = "change.json"

// Load is Host.Load with a record from which Undo restores what was there. With create the namespace is made where it is missing.
func (j Journal) Load(h *Host, stream []byte, namespace string, mode LoadMode, create bool) (*Change, error) {
	policy, err := decodeLoadable(stream)
	if err != nil {
		return nil, err
	}
	own := policy.Profiles[0].Namespace
	if own != "" {
		if namespace != "" && namespace != own {
			return nil, fmt.Errorf("the policy is for namespace %s, not for %s", own, namespace)
		}
		namespace = own
	}
	var names []string
	for _, profile := range policy.Profiles {
		names = append(names, profile.Name)
	}
	change, err := j.begin(h, "load", namespace, names)
	if err != nil {
		return nil, err
	}
	if change.Made && (create || own != "") {
		if err := h.MakeNamespace(namespace); err != nil {
			return nil, errors.Join(err, j.drop(change))
		}
	}
	// A stream that names its namespace is written to the loader's own, and the kernel finds the way.
	written := namespace
	if own != "" {
		written = ""
	}
	if err := h.Load(stream, written, mode); err != nil {
		if change.Made {
			err = errors.Join(err, ignoreAbsent(h.RemoveNamespace(namespace)))
		}
		return nil, errors.Join(err, j.drop(change))
	}
	return change, nil
}

// Unload is Host.Unload with such a record.
func (j Journal) Unload(h *Host, name, namespace string) (*Change, error) {
	list, err := h.List()
	if err != nil {
		return nil, err
	}
	names := []string{name}
	for _, one := range list {
		if one.Namespace == namespace && strings.HasPrefix(one.Name, name+"//") {
			names = append(names, one.Name)
		}
	}
	change, err := j.begin(h, "unload", namespace, names)
	if err != nil {
		return nil, err
	}
	if err := h.Unload(name, namespace); err != nil {
		return nil, errors.Join(err, j.drop(change))
	}
	return change, nil
}

// begin writes down what the kernel has of the profiles.
func (j Journal) begin(h *Host, operation, namespace string, names []string) (*Change, error) {
	change := &Change{Time: time.Now().UTC(), Operation: operation, Namespace: namespace}
	if _, err := h.namespace(namespace); errors.Is(err, fs.ErrNotExist) {
		change.Made = true
	} else if err != nil {
		return nil, err
	}
	list, err := h.List()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(j.Directory, 0o700); err != nil {
		return nil, err
	}
	temporary, err := os.MkdirTemp(j.Directory, ".new-")
	if err != nil {
		return nil, err
	}
	if err := change.record(temporary, list, names); err != nil {
		return nil, errors.Join(err, os.RemoveAll(temporary))
	}
	if err := j.publish(temporary, change); err != nil {
		return nil, errors.Join(err, os.RemoveAll(temporary))
	}
	return change, nil
}

// record fills in the profiles, and copies the streams that they were loaded with, each once.
func (c *Change) record(directory string, list []Loaded, names []string) error {
	files := map[string]string{} // by content
	for _, name := range names {
		profile := ChangedProfile{Name: name, Before: BeforeAbsent}
		if i := slices.IndexFunc(list, func(l Loaded) bool { return l.Name == name && l.Namespace == c.Namespace }); i >= 0 {
			stream, err := list[i].raw()
			switch {
			case errors.Is(err, errNotExported):
				profile.Before = BeforeUnknown
			case err != nil:
				return err
			default:
				profile.Before = BeforeLoaded
				if files[string(stream)] == "" {
					files[string(stream)] = strconv.Itoa(len(files)) + ".bin"
				}
				profile.File = files[string(stream)]
			}
		}
		c.Profiles = append(c.Profiles, profile)
	}
	for content, name := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// publish gives the change the next number: the rename fails where another process has taken it.
func (j Journal) publish(temporary string, change *Change) error {
	for {
		numbers, err := j.numbers()
		if err != nil {
			return err
		}
		change.Number = 1
		if len(numbers) > 0 {
			change.Number = numbers[len(numbers)-1] + 1
		}
		text, err := json.MarshalIndent(change, "", "\t")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(temporary, changeFile), append(text, '\n'), 0o600); err != nil {
			return err
		}
		err = unix.Renameat2(unix.AT_FDCWD, temporary, unix.AT_FDCWD, j.path(change.Number), unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err != nil {
			return &os.LinkError{Op: "rename", Old: temporary, New: j.path(change.Number), Err: err}
		}
		for _, old := range numbers[:max(0, len(numbers)+1-maximumChanges)] {
			os.RemoveAll(j.path(old))
		}
		return nil
	}
}

func (j Journal) path(number int) string { return filepath.Join(j.Directory, strconv.Itoa(number)) }

func (j Journal) drop(change *Change) error { return os.RemoveAll(j.path(change.Number)) }

func (j Journal) numbers() ([]int, error) {
	entries, err := os.ReadDir(j.Directory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var numbers []int
	for _, entry := range entries {
		if number, err := strconv.Atoi(entry.Name()); err == nil && number > 0 {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Changes returns what can be undone, the last change last.
func (j Journal) Changes() ([]Change, error) {
	numbers, err := j.numbers()
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, number := range numbers {
		text, err := os.ReadFile(filepath.Join(j.path(number), changeFile))
		if err != nil {
			return nil, err
		}
		var change Change
		if err := json.Unmarshal(text, &change); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(j.path(number), changeFile), err)
		}
		change.Number = number
		changes = append(changes, change)
	}
	return changes, nil
}

// ErrNothingToUndo is returned by Undo where the journal is empty.
var ErrNothingToUndo = errors.New("no change of policy is in the journal")

// Undo takes the last change back: what it replaced or removed is loaded again, byte for byte where the change touched all that was loaded with it,
// and what it brought is removed. Done twice, as after a crash, it does the same.
func (j Journal) Undo(h *Host) (*Change, error) {
	changes, err := j.Changes()
	if err != nil {
		return nil, err
	}
	if len(changes) == 0 {
		return nil, ErrNothingToUndo
	}
	change := &changes[len(changes)-1]
	for _, profile := range change.Profiles {
		if profile.Before == BeforeUnknown {
			return nil, fmt.Errorf("change %d replaced profile %s: %w", change.Number, profile.Name, errNotExported)
		}
	}
	if err := j.restore(h, change); err != nil {
		return nil, err
	}
	for _, profile := range slices.Backward(change.Profiles) { // children before their parents
		if profile.Before == BeforeAbsent {
			if err := ignoreAbsent(h.Unload(profile.Name, change.Namespace)); err != nil {
				return nil, err
			}
		}
	}
	if change.Made {
		if err := ignoreAbsent(h.RemoveNamespace(change.Namespace)); err != nil {
			return nil, err
		}
	}
	return change, j.drop(change)
}

// restore loads the streams again, cut down to the profiles of the change.
func (j Journal) restore(h *Host, change *Change) error {
	wanted := map[string][]string{}
	var files []string
	for _, profile := range change.Profiles {
		if profile.Before == BeforeLoaded {
			if wanted[profile.File] == nil {
				files = append(files, profile.File)
			}
			wanted[profile.File] = append(wanted[profile.File], profile.Name)
		}
	}
	for _, file := range files {
		if filepath.Base(file) != file {
			return fmt.Errorf("%s: %q is no file of the journal", filepath.Join(j.path(change.Number), changeFile), file)
		}
		stream, err := os.ReadFile(filepath.Join(j.path(change.Number), file))
		if err != nil {
			return err
		}
		if stream, err = only(stream, wanted[file]); err != nil {
			return err
		}
		if err := h.Load(stream, change.Namespace, Replace); err != nil {
			return err
		}
	}
	return nil
}

// only returns the stream with the named profiles alone: the same bytes where it has no other.
func only(stream []byte, names []string) ([]byte, error) {
	policy, err := binary.Decode(stream)
	if err != nil {
		return nil, err
	}
	kept := slices.DeleteFunc(slices.Clone(policy.Profiles), func(p *binary.Profile) bool { return !slices.Contains(names, p.Name) })
	if len(kept) == len(policy.Profiles) && policy.Profiles[0].Namespace == "" {
		return stream, nil
	}
	for _, profile := range kept {
		profile.Namespace = "" // it is the directory that is written to
	}
	return binary.Encode(&binary.Policy{Profiles: kept})
}

// ignoreAbsent is for what need not be there.
func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
