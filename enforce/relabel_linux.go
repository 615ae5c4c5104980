// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

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

// undoEntry is one line of the journal: what a file had before. Path is relative to the tree. It and the label are bytes, since neither has to
// be UTF-8.
type undoEntry struct {
	Path  []byte `json:"path"`
	Inode uint64 `json:"inode"`
	Label []byte `json:"label"` // null: it had none
	UID   int    `json:"uid"`
	GID   int    `json:"gid"`
	Mode  uint32 `json:"mode"` // chown(2) takes the set-user-ID and set-group-ID bits away
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
	start, err := endOfLines(file)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", journal, err)
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

// endOfLines cuts off the unfinished last line of a writer that was killed, whose file was not changed yet, and returns the size.
func endOfLines(journal *os.File) (int64, error) {
	_, end, err := readEntries(journal, 0)
	if err != nil {
		return 0, err
	}
	return end, journal.Truncate(end)
}

// readEntries reads the finished lines from start on, and returns where they end.
func readEntries(journal *os.File, start int64) ([]undoEntry, int64, error) {
	if _, err := journal.Seek(start, io.SeekStart); err != nil {
		return nil, 0, err
	}
	var entries []undoEntry
	for reader, end := bufio.NewReader(journal), start; ; {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return entries, end, nil
		}
		if err != nil {
			return nil, 0, err
		}
		var entry undoEntry
		if err := json.Unmarshal(line, &entry); err != nil {
			return nil, 0, fmt.Errorf("line at byte %d: %w", end, err)
		}
		entries = append(entries, entry)
		end += int64(len(line))
	}
}

func undoFrom(tree string, journal *os.File, start int64) error {
	entries, _, err := readEntries(journal, start)
	if err != nil {
		return fmt.Errorf("%s: %w", journal.Name(), err)
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

// restore puts back what the file had, where it still is the same file.
func (e undoEntry) restore(tree string) error {
	root, err := unix.Open(tree, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", tree, err)
	}
	defer unix.Close(root)
	descriptor := root
	if string(e.Path) != "." {
		how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV}
		descriptor, err = unix.Openat2(root, string(e.Path), &how)
		for _, replaced := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EXDEV} {
			if errors.Is(err, replaced) {
				return nil
			}
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
	if err := e.restoreTo(descriptor, &stat); err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	return nil
}

// restoreTo touches only what differs, so that a file that could not be changed does not fail a second time.
func (e undoEntry) restoreTo(descriptor int, stat *unix.Stat_t) error {
	handle := handleOf(descriptor)
	current, _ := readLabel(handle)
	var label, owner error
	switch {
	case bytes.Equal(current, e.Label) && (current == nil) == (e.Label == nil):
	case e.Label == nil:
		label = unix.Removexattr(handle, labelAttribute)
	default:
		label = unix.Setxattr(handle, labelAttribute, e.Label, 0)
	}
	if int(stat.Uid) != e.UID || int(stat.Gid) != e.GID {
		owner = unix.Fchownat(descriptor, "", e.UID, e.GID, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
	}
	const special = unix.S_ISUID | unix.S_ISGID
	if lost := e.Mode & special &^ stat.Mode; owner == nil && stat.Mode&unix.S_IFMT == unix.S_IFREG && (lost != 0 || int(stat.Uid) != e.UID || int(stat.Gid) != e.GID) {
		owner = unix.Chmod(handle, stat.Mode&0o7777|e.Mode&special)
	}
	return errors.Join(label, owner)
}

func (c Change) apply(path string, descriptor int, stat *unix.Stat_t, journal io.Writer) (bool, error) {
	handle := handleOf(descriptor)
	old, err := readLabel(handle)
	if err != nil && c.Label != "" {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	relabel := c.Label != "" && strings.TrimSuffix(string(old), "\x00") != c.Label
	chown := c.Owner != nil && (int(stat.Uid) != c.Owner.UID || int(stat.Gid) != c.Owner.GID)
	if !relabel && !chown {
		return false, nil
	}
	line, err := json.Marshal(undoEntry{Path: []byte(path), Inode: stat.Ino, Label: old, UID: int(stat.Uid), GID: int(stat.Gid), Mode: stat.Mode & 0o7777})
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
func readLabel(handle string) ([]byte, error) {
	buffer := make([]byte, 4096)
	size, err := unix.Getxattr(handle, labelAttribute, buffer)
	if errors.Is(err, unix.ENODATA) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the file system cannot hold labels: %w", err)
	}
	return buffer[:size], nil
}

// handleOf is the path by which calls that take no O_PATH descriptor reach what it names, a symbolic link itself included.
func handleOf(descriptor int) string { return "/proc/self/fd/" + strconv.Itoa(descriptor) }

// checkHardLinks refuses a tree with a file that other trees have too: its label would change there as well.
func checkHardLinks(tree string) error {
	type inode struct{ device, number uint64 }
	type links struct {
		path        string
		seen, total uint64
	}
	found := map[inode]*links{}
	err := walk(tree, func(path string, _ int, stat *unix.Stat_t) error {
		if stat.Nlink < 2 || stat.Mode&unix.S_IFMT == unix.S_IFDIR {
			return nil
		}
		key := inode{stat.Dev, stat.Ino}
		if found[key] == nil {
			found[key] = &links{path: path, total: uint64(stat.Nlink)}
		}
		found[key].seen++
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", tree, err)
	}
	for _, file := range found {
		if file.seen < file.total {
			return &plan.RefusedError{Subject: filepath.Join(tree, file.path), Reason: fmt.Sprintf("%d hard links lead to it from outside the volume", file.total-file.seen),
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
	return walkFile(".", descriptor, visit)
}

func walkFile(path string, descriptor int, visit func(string, int, *unix.Stat_t) error) error {
	if len(path) >= unix.PathMax { // Undo has to find it by its path
		return fmt.Errorf("%.64s...: %w", path, unix.ENAMETOOLONG)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(descriptor, &stat); err != nil {
		return fmt.Errorf("%s: %w", path, err)
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
	// Mount points are told by openat2: a bind mount has the device number of where it comes from, and on overlayfs files have several.
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_XDEV}
	for _, name := range names {
		child, err := unix.Openat2(descriptor, name, &how)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EXDEV) {
			continue
		}
		inner := filepath.Join(path, name)
		if err != nil {
			return fmt.Errorf("%s: %w", inner, err)
		}
		err = walkFile(inner, child, visit)
		unix.Close(child)
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
