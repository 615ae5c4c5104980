// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
)

const labelAttribute = "security.selinux"

// Owner is the user and group that :U gives a volume to.
type Owner struct{ UID, GID int }

// Change is what Relabel does to every file of a tree. Empty fields change nothing.
type Change struct {
	Label string // security.selinux
	Owner *Owner
}

// undoEntry is one line of the journal: what a file had before. Path is relative to the tree.
type undoEntry struct {
	Path  string  `json:"path"`
	Inode uint64  `json:"inode"`
	Label *string `json:"label"` // null: it had none
	UID   int     `json:"uid"`
	GID   int     `json:"gid"`
}

// Relabel changes every file beneath tree, an absolute path, tree included. No symbolic link is followed, no mount point is crossed, and a
// file with a hard link outside the tree is refused before anything is changed. What a file had is appended to the journal before it is
// changed, so that Undo can restore it, also after a crash. A file that already is as asked is not touched. On an error everything that
// this call changed is put back.
func Relabel(tree string, change Change, journal string) (changed int, err error) {
	if err := checkHardLinks(tree); err != nil {
		return 0, err
	}
	file, err := os.OpenFile(journal, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	start, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	err = walk(tree, func(path string, descriptor int, stat *unix.Stat_t) error {
		did, err := change.apply(path, descriptor, stat, file)
		if did {
			changed++
		}
		return err
	})
	if err != nil {
		return 0, errors.Join(fmt.Errorf("labelling %s: %w", tree, err), undoFrom(tree, file, start))
	}
	return changed, nil
}

// Undo restores what every file of the tree had before it was first changed, newest change first, and removes the journal. Files that are gone,
// or were replaced by others, are left alone.
func Undo(tree, journal string) error {
	file, err := os.OpenFile(journal, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := undoFrom(tree, file, 0); err != nil {
		return err
	}
	return os.Remove(journal)
}

func undoFrom(tree string, journal *os.File, start int64) error {
	if _, err := journal.Seek(start, io.SeekStart); err != nil {
		return err
	}
	var entries []undoEntry
	for scanner := bufio.NewScanner(journal); scanner.Scan(); {
		var entry undoEntry
		if err := json.Unmarshal(scanner.Bytes(), &entry); err != nil {
			break // the last line of a writer that was killed: its file was not changed yet
		}
		entries = append(entries, entry)
	}
	var failed error
	for _, entry := range slices.Backward(entries) {
		failed = errors.Join(failed, entry.restore(tree))
	}
	if failed != nil {
		return failed
	}
	return journal.Truncate(start)
}

func (e undoEntry) restore(tree string) error {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	root, err := unix.Open(tree, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	descriptor, err := root, error(nil)
	if e.Path != "." {
		if descriptor, err = unix.Openat2(root, e.Path, &how); errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		defer unix.Close(descriptor)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(descriptor, &stat); err != nil || stat.Ino != e.Inode {
		return err
	}
	handle := handleOf(descriptor)
	if e.Label == nil {
		err = unix.Removexattr(handle, labelAttribute)
	} else {
		err = unix.Setxattr(handle, labelAttribute, []byte(*e.Label), 0)
	}
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, unix.Fchownat(descriptor, "", e.UID, e.GID, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW))
}

func (c Change) apply(path string, descriptor int, stat *unix.Stat_t, journal io.Writer) (bool, error) {
	handle := handleOf(descriptor)
	old, err := readLabel(handle)
	if err != nil && c.Label != "" {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	relabel := c.Label != "" && (old == nil || *old != c.Label+"\x00" && *old != c.Label)
	chown := c.Owner != nil && (int(stat.Uid) != c.Owner.UID || int(stat.Gid) != c.Owner.GID)
	if !relabel && !chown {
		return false, nil
	}
	line, err := json.Marshal(undoEntry{Path: path, Inode: stat.Ino, Label: old, UID: int(stat.Uid), GID: int(stat.Gid)})
	if err != nil {
		return false, err
	}
	if _, err := journal.Write(append(line, '\n')); err != nil {
		return false, err
	}
	if chown {
		if err := unix.Fchownat(descriptor, "", c.Owner.UID, c.Owner.GID, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return true, fmt.Errorf("%s: chown: %w", path, err)
		}
	}
	if relabel {
		if err := unix.Setxattr(handle, labelAttribute, append([]byte(c.Label), 0), 0); err != nil {
			return true, fmt.Errorf("%s: set %s: %w", path, labelAttribute, err)
		}
	}
	return true, nil
}

// readLabel returns nil for a file without a label, and an error for a file system that has none.
func readLabel(handle string) (*string, error) {
	buffer := make([]byte, 4096)
	size, err := unix.Getxattr(handle, labelAttribute, buffer)
	if errors.Is(err, unix.ENODATA) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the file system cannot hold labels: %w", err)
	}
	text := string(buffer[:size])
	return &text, nil
}

// handleOf is the path by which calls that take no O_PATH descriptor reach what it names, a symbolic link itself included.
func handleOf(descriptor int) string { return "/proc/self/fd/" + strconv.Itoa(descriptor) }

// checkHardLinks refuses a tree with a file that other trees have too: its label would change there as well.
func checkHardLinks(tree string) error {
	type links struct {
		path        string
		seen, total uint64
	}
	found := map[uint64]*links{}
	err := walk(tree, func(path string, _ int, stat *unix.Stat_t) error {
		if stat.Nlink < 2 || stat.Mode&unix.S_IFMT == unix.S_IFDIR {
			return nil
		}
		if found[stat.Ino] == nil {
			found[stat.Ino] = &links{path: path, total: uint64(stat.Nlink)}
		}
		found[stat.Ino].seen++
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", tree, err)
	}
	for _, inode := range found {
		if inode.seen < inode.total {
			return &plan.RefusedError{Subject: filepath.Join(tree, inode.path), Reason: fmt.Sprintf("%d hard links lead to it from outside the volume", inode.total-inode.seen),
				Hint: "copy the file, or leave out :z, :Z and :U"}
		}
	}
	return nil
}

// walk calls visit with an O_PATH descriptor of every file in the tree, a directory before what it holds. Paths are relative to the tree.
func walk(tree string, visit func(path string, descriptor int, stat *unix.Stat_t) error) error {
	descriptor, err := unix.Open(tree, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(descriptor)
	var stat unix.Stat_t
	if err := unix.Fstat(descriptor, &stat); err != nil {
		return err
	}
	return walkFile(".", descriptor, stat.Dev, visit)
}

func walkFile(path string, descriptor int, device uint64, visit func(string, int, *unix.Stat_t) error) error {
	var stat unix.Stat_t
	if err := unix.Fstat(descriptor, &stat); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if stat.Dev != device {
		return nil // another file system is mounted here
	}
	if err := visit(path, descriptor, &stat); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	names, err := namesIn(descriptor)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, name := range names {
		child, err := unix.Openat(descriptor, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil {
			err = walkFile(filepath.Join(path, name), child, device, visit)
			unix.Close(child)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func namesIn(directory int) ([]string, error) {
	readable, err := unix.Openat(directory, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(readable), ".")
	defer file.Close()
	names, err := file.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}
