// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// Container is what is kept of a container that `bulkhead run` made, in State/containers/ID/container.json, until it is removed.
type Container struct {
	ID      string     `json:"id"` // 64 hexadecimal digits
	Name    string     `json:"name"`
	Options Options    `json:"options"`
	Digest  string     `json:"digest,omitempty"` // of the image
	Args    []string   `json:"args"`             // of its program
	Created time.Time  `json:"created"`
	Level   string     `json:"level,omitempty"`
	Held    bool       `json:"held"`              // the registry holds the pair of Level for this container
	Keeper  mcs.Holder `json:"keeper"`            // process that waits for its end
	Exit    *Exit      `json:"exit,omitempty"`    // nil until it has ended
	Stop    string     `json:"stop_signal"`       // of the image, for stop
	Lower   []string   `json:"lower,omitempty"`   // overlay's lower directories, highest first
	Context string     `json:"context,omitempty"` // overlay's context option

	directory string
}

// Exit is how a container ended.
type Exit struct {
	Status int       `json:"status"` // 128 and the signal where one killed it
	Time   time.Time `json:"time"`
	Error  string    `json:"error,omitempty"` // why it was not started
}

// NotFoundError says that no container goes by that name, or ID, or beginning of an ID.
type NotFoundError struct{ Name string }

func (e *NotFoundError) Error() string { return fmt.Sprintf("no such container: %s", e.Name) }

func (e *Engine) containers() string { return filepath.Join(e.Host.State, "containers") }

// newContainer makes the directory of a container, complete with its record.
func (e *Engine) newContainer(options Options) (*Container, error) {
	var random [32]byte
	rand.Read(random[:])
	made := &Container{ID: hex.EncodeToString(random[:]), Name: options.Name, Options: options, Created: time.Now().UTC()}
	made.directory = filepath.Join(e.containers(), made.ID)
	if made.Name == "" {
		made.Name = made.ID[:12]
	}
	var err error
	if made.Keeper, err = mcs.Self(made.ID); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(e.containers(), 0o700); err != nil {
		return nil, err
	}
	temporary := filepath.Join(e.containers(), ".new-"+made.ID)
	final := made.directory
	made.directory = temporary
	err = os.Mkdir(temporary, 0o700)
	if err == nil {
		err = made.save()
	}
	made.directory = final
	// The name is taken by a link that only one can make. It leads to the container, so that a name whose container is gone is free.
	if err == nil {
		err = e.takeName(made)
	}
	if err == nil {
		err = os.Rename(temporary, final)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(temporary), e.freeName(made))
	}
	return made, nil
}

func (e *Engine) namePath(name string) string { return filepath.Join(e.Host.State, "names", name) }

func (e *Engine) takeName(made *Container) error {
	path := e.namePath(made.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	err := os.Symlink(made.ID, path)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	holder, err := os.Readlink(path)
	if err != nil {
		return err
	}
	if e.exists(holder) {
		return &UsageError{Option: "--name " + made.Name, Reason: "container " + holder[:min(12, len(holder))] + " has that name", Hint: "remove it with `bulkhead rm " + made.Name + "`, or choose another name"}
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Symlink(made.ID, path)
}

// exists reports whether a container is there or about to be. It is looked for again last, since it may have come between the first two looks.
func (e *Engine) exists(id string) bool {
	directory := filepath.Join(e.containers(), id)
	if _, err := os.Stat(directory); err == nil || e.beingMade(id) {
		return true
	}
	_, err := os.Stat(directory)
	return err == nil
}

// sweepNames frees the names of containers that are gone: whoever removed them was killed in between.
func (e *Engine) sweepNames() error {
	entries, err := os.ReadDir(e.namePath(""))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		if id, linkErr := os.Readlink(e.namePath(entry.Name())); linkErr == nil && !e.exists(id) {
			err = errors.Join(err, e.freeName(&Container{ID: id, Name: entry.Name()}))
		}
	}
	return err
}

// beingMade reports whether a process that lives is about to make the container.
func (e *Engine) beingMade(id string) bool {
	pending, err := readContainer(filepath.Join(e.containers(), ".new-"+id))
	return err == nil && pending.Keeper.Alive("/proc")
}

func (e *Engine) freeName(gone *Container) error {
	if holder, err := os.Readlink(e.namePath(gone.Name)); err != nil || holder != gone.ID {
		return nil
	}
	return os.Remove(e.namePath(gone.Name))
}

func (c *Container) save() error {
	return container.WriteJSON(filepath.Join(c.directory, "container.json"), c)
}

func readContainer(directory string) (*Container, error) {
	data, err := os.ReadFile(filepath.Join(directory, "container.json"))
	if err != nil {
		return nil, err
	}
	found := &Container{directory: directory}
	if err := json.Unmarshal(data, found); err != nil {
		return nil, fmt.Errorf("%s: container.json: %w", directory, err)
	}
	return found, nil
}

// List returns every container of `bulkhead run`, by ID.
func (e *Engine) List() ([]*Container, error) {
	entries, err := os.ReadDir(e.containers())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []*Container
	var failed error
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		found, err := readContainer(filepath.Join(e.containers(), entry.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			failed = errors.Join(failed, err)
		default:
			list = append(list, found)
		}
	}
	return list, failed
}

// Find returns the container of a name, an ID or the unambiguous beginning of one. The empty name is that of none, and not of those without a name.
func (e *Engine) Find(name string) (*Container, error) {
	if name == "" {
		return nil, &NotFoundError{name}
	}
	list, err := e.List()
	if err != nil {
		return nil, err
	}
	var begin []*Container
	for _, candidate := range list {
		if candidate.Name == name || candidate.ID == name {
			return candidate, nil
		}
		if strings.HasPrefix(candidate.ID, name) {
			begin = append(begin, candidate)
		}
	}
	switch len(begin) {
	case 0:
		return nil, &NotFoundError{name}
	case 1:
		return begin[0], nil
	}
	return nil, &UsageError{Option: name, Reason: "more than one container's ID begins so"}
}

// Status says where the container is in its life, as docker ps words it.
func (e *Engine) Status(c *Container) string {
	record, err := e.Host.Open(e.root(), c.ID)
	switch {
	case err == nil && record.Started():
		return "running"
	case c.Exit != nil:
		return fmt.Sprintf("exited (%d)", c.Exit.Status)
	case c.Keeper.Alive("/proc") || err == nil && record.Alive():
		return "created"
	default:
		return "dead"
	}
}

// Alive reports whether the container has a process, be it that of its program or one that waits for the start.
func (e *Engine) Alive(c *Container) bool {
	record, err := e.Host.Open(e.root(), c.ID)
	return err == nil && record.PID() != 0 && record.Alive()
}

// Record returns what was planned and observed; container.ErrUnknown once it has ended.
func (e *Engine) Record(c *Container) (*container.Record, error) { return e.Host.Open(e.root(), c.ID) }

func (c *Container) overlay() Overlay {
	return Overlay{Lower: c.Lower, State: filepath.Join(c.directory, "overlay"), Context: c.Context}
}

// LogPath is the container's log, in the format of LogRecord.
func (c *Container) LogPath() string { return filepath.Join(c.directory, "log") }
