// SPDX-License-Identifier: Apache-2.0

package container

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/evidence"
	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// Record is what is known of one container, from before its creation to its removal.
type Record struct {
	ID       string    `json:"id"`
	Engine   string    `json:"engine"` // --root of the OCI runtime, "" for its own: IDs are unique in one root only
	Inner    string    `json:"inner"`  // path of the OCI runtime
	Bundle   string    `json:"bundle"` // the engine's
	Created  time.Time `json:"created"`
	Program  string    `json:"program"` // directory of the program inside
	Level    string    `json:"level"`
	OwnsPair bool      `json:"owns_pair"` // the pair of Level is held in the registry under HolderID

	Starts   bool               `json:"starts,omitempty"`  // the process that creates it also starts it, and nobody else will
	Creator  mcs.Holder         `json:"creator"`           // process that creates it; the container's own once that is known
	Shields  []mcs.Holder       `json:"shields,omitempty"` // the processes that serve its volumes
	Plan     *plan.Plan         `json:"plan"`
	Compiled plan.Compiled      `json:"compiled"`
	Digests  map[string]string  `json:"digests,omitempty"`
	Expected evidence.Expected  `json:"expected"`
	Observed *evidence.Observed `json:"observed,omitempty"` // nil: not started, or ended before it could be read

	directory string
	saved     []byte // record.json as this process wrote it last, nil where it did not
	takenDown bool   // the OCI runtime ran the container to its end and left nothing of it
}

// ErrUnknown says that no container of that ID was created by Bulkhead in that root.
var ErrUnknown = errors.New("no such container")

func (h *Host) recordDirectory(engine, id string) string {
	sum := sha256.Sum256([]byte(filepath.Clean(engine)))
	return filepath.Join(h.Run, "containers", id+"."+hex.EncodeToString(sum[:4]))
}

// HolderID is the name under which the registry knows the container.
func (r *Record) HolderID() string { return filepath.Base(r.directory) }

// PIDFile is where the OCI runtime writes the container's first process.
func (r *Record) PIDFile() string { return filepath.Join(r.directory, "pid") }

func (r *Record) shadowBundle() string { return filepath.Join(r.directory, "bundle") }

// probe is the directory that the program inside of the first process is given.
func (r *Record) probe() string { return filepath.Join(r.directory, "probe") }

// askedFile holds config.json as the engine wrote it.
func (r *Record) askedFile() string { return filepath.Join(r.directory, "asked.json") }

// Asked returns config.json as the engine wrote it.
func (r *Record) Asked() ([]byte, error) { return os.ReadFile(r.askedFile()) }

// create makes the record's directory with the record and the asked configuration in it, in one step. fs.ErrExist where there is one.
func (r *Record) create(asked []byte) error {
	temporary, err := os.MkdirTemp(filepath.Dir(r.directory), ".new-*")
	if err != nil {
		return err
	}
	final := r.directory
	r.directory = temporary
	err = errors.Join(os.Mkdir(r.shadowBundle(), 0o700), os.WriteFile(r.askedFile(), asked, 0o600), r.encode())
	if err == nil {
		err = os.WriteFile(r.file(), r.saved, 0o600)
	}
	r.directory = final
	if err == nil {
		err = renameNew(temporary, final)
	}
	if err != nil {
		os.RemoveAll(temporary)
	}
	return err
}

// renameNew renames where nothing is yet.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		return fs.ErrExist
	}
	return err
}

func (r *Record) file() string { return filepath.Join(r.directory, "record.json") }

func (r *Record) encode() (err error) {
	r.saved, err = encode(r)
	return err
}

func (r *Record) save() error {
	if err := r.encode(); err != nil {
		return err
	}
	return replaceFile(r.file(), r.saved)
}

func encode(document any) ([]byte, error) {
	data, err := json.Marshal(document)
	return append(data, '\n'), err
}

// WriteJSON replaces the file in one step: readers see the old document or the new one.
func WriteJSON(path string, document any) error {
	data, err := encode(document)
	if err != nil {
		return err
	}
	return replaceFile(path, data)
}

func replaceFile(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return unix.Rename(path+".new", path)
}

// Open reads the record of a container.
func (h *Host) Open(engine, id string) (*Record, error) {
	return readRecord(h.recordDirectory(engine, id))
}

func readRecord(directory string) (*Record, error) {
	data, err := os.ReadFile(filepath.Join(directory, "record.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	record := &Record{directory: directory}
	if err := json.Unmarshal(data, record); err != nil {
		return nil, fmt.Errorf("%s: record.json: %w", directory, err)
	}
	return record, nil
}

// List returns every record, in the order of their names. Unreadable ones are named in the error.
func (h *Host) List() ([]*Record, error) {
	entries, err := os.ReadDir(filepath.Join(h.Run, "containers"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var records []*Record
	var failed error
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		record, err := readRecord(filepath.Join(h.Run, "containers", entry.Name()))
		switch {
		case errors.Is(err, ErrUnknown): // removed meanwhile
		case err != nil:
			failed = errors.Join(failed, err)
		default:
			records = append(records, record)
		}
	}
	return records, failed
}

// PID returns the container's first process; 0 before there is one.
func (r *Record) PID() int { return readPID(r.PIDFile()) }

func readPID(path string) int {
	descriptor, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(descriptor)
	var data [32]byte
	count, err := unix.Read(descriptor, data[:])
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data[:count])))
	if err != nil || pid < 1 {
		return 0
	}
	return pid
}

// Alive reports whether the container has, or may yet get, a process.
func (r *Record) Alive() bool {
	if r.Creator.Alive("/proc") {
		return true
	}
	// The creator may have been killed after the OCI runtime wrote the process's number and before it was recorded.
	pid := r.PID()
	if pid == 0 || pid == r.Creator.PID {
		return false
	}
	holder, err := mcs.Holder{ID: r.ID}.WithProcess("/proc", pid)
	return err == nil && holder.Alive("/proc")
}

// Started reports whether the container's first process executes the container's program by now: until then it waits for the start.
func (r *Record) Started() bool {
	pid := r.PID()
	if pid == 0 || !r.Alive() {
		return false
	}
	stage, err := r.reader(r.Expected).Stage(pid)
	return err == nil && stage == evidence.Program
}

// endLimit is how long a process that was killed may take to be gone.
const endLimit = time.Second

// EndAbandoned is EndUnstarted for a container that whoever created it was to start, and is gone. It reports whether there is no process any more.
func (r *Record) EndAbandoned() bool {
	return r.Starts && !r.Creator.Alive("/proc") && r.EndUnstarted()
}

// EndUnstarted kills the container's first process where that still executes the OCI runtime's own code or the program inside. It is for containers that nobody will
// start any more: the process would wait for that for ever. It reports whether there is no process any more.
func (r *Record) EndUnstarted() bool {
	pid := r.PID()
	if pid == 0 {
		return false
	}
	descriptor, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return errors.Is(err, unix.ESRCH)
	}
	defer unix.Close(descriptor)
	// The number may have gone to another process since, which is not in this container's control group.
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil || !strings.Contains(string(groups), r.ID) {
		return false
	}
	if stage, err := r.reader(r.Expected).Stage(pid); err != nil || stage == evidence.Program {
		return errors.Is(err, evidence.ErrGone)
	}
	return unix.PidfdSendSignal(descriptor, unix.SIGKILL, nil, 0) == nil && ended(descriptor, endLimit)
}

// remove takes the record away; the pair goes first, so that a record never names a pair that it has lost.
func (h *Host) remove(r *Record) error {
	r.awaitShields()
	if !r.takenDown && !r.knownToEngine() {
		if err := r.removeCgroups(); err != nil {
			return err
		}
	}
	if r.OwnsPair {
		if err := h.ReleasePair(r.Level, r.HolderID()); err != nil {
			return err
		}
	}
	return r.discard()
}

// discard moves the directory out of the way before it is emptied: under its own name a record is whole or not there.
func (r *Record) discard() error {
	moved := filepath.Join(filepath.Dir(r.directory), fmt.Sprintf(".old-%d-%d", os.Getpid(), time.Now().UnixNano()))
	err := renameNew(r.directory, moved)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: r.directory, New: moved, Err: err}
	}
	// Between the look at a dead record and this, another process may have made one of the same ID: that one goes back.
	if !r.isAt(moved) {
		return renameNew(moved, r.directory)
	}
	return removeAll(moved)
}

// isAt reports whether what lies in the directory is this record, or none.
func (r *Record) isAt(directory string) bool {
	if data, err := os.ReadFile(filepath.Join(directory, "record.json")); err == nil && r.saved != nil && bytes.Equal(data, r.saved) {
		return true
	}
	found, err := readRecord(directory)
	return err != nil || found.Created.Equal(r.Created)
}

// removeAll is os.RemoveAll of a record's directory, whose usual files it need not list first.
func removeAll(directory string) error {
	for _, name := range []string{"record.json", "asked.json", "pid", "probe/probe", "bundle/config.json"} {
		unix.Unlink(filepath.Join(directory, name))
	}
	for _, name := range []string{"probe", "bundle"} {
		unix.Rmdir(filepath.Join(directory, name))
	}
	if unix.Rmdir(directory) == nil {
		return nil
	}
	return os.RemoveAll(directory)
}

// leftoverAge is how old a directory on its way in or out must be to belong to a process that was killed.
const leftoverAge = 10 * time.Minute

// sweepLeftovers removes what processes that were killed left of records that they made or removed.
func (h *Host) sweepLeftovers() error {
	containers := filepath.Join(h.Run, "containers")
	entries, err := os.ReadDir(containers)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var failed error
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > leftoverAge {
			failed = errors.Join(failed, os.RemoveAll(filepath.Join(containers, entry.Name())))
		}
	}
	return failed
}

// OpenFor reads the record of a container of the engine that gave the command line.
func (h *Host) OpenFor(command oci.Command, id string) (*Record, error) {
	return h.Open(engineRoot(command), id)
}
