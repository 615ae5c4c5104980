// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Names in a directory of ours.
const (
	lockName      = "lock" // never removed
	journalName   = "journal.json"
	filesName     = "files" // texts and policies, by their digests
	temporaryName = ".new-" // what is being written
)

// directory is where a journal is, with the files that it names.
type directory string

// open makes it, and refuses one that others could write: they could have any policy loaded.
func (d directory) open() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	var stat unix.Stat_t
	if err := unix.Lstat(string(d), &stat); err != nil {
		return &fs.PathError{Op: "lstat", Path: string(d), Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR || stat.Mode&0o022 != 0 || int(stat.Uid) != os.Geteuid() && stat.Uid != 0 {
		return fmt.Errorf("%s: others can write it: mode %#o, user %d", d, stat.Mode&0o7777, stat.Uid)
	}
	return nil
}

func (d directory) path(name string) string { return filepath.Join(string(d), name) }

// lock waits until no other process changes policy. The kernel releases the lock of one that is killed.
func (d directory) lock() (release func(), err error) {
	file, err := os.OpenFile(d.path(lockName), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, unix.EINTR) {
			file.Close()
			return nil, &fs.PathError{Op: "flock", Path: file.Name(), Err: err}
		}
	}
}

// readJournal returns an empty journal where there is none of this boot.
func (d directory) readJournal(boot string) (*journal, error) {
	empty := &journal{Format: journalFormat, Boot: boot}
	text, err := os.ReadFile(d.path(journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return nil, err
	}
	j, err := decodeJournal(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path(journalName), err)
	}
	if j.Boot != boot {
		return empty, nil
	}
	return j, nil
}

// writeJournal replaces the journal: after a crash it is the old one or the new one. What neither needs is removed after it.
func (d directory) writeJournal(j *journal) error {
	text, err := j.encode()
	if err != nil {
		return err
	}
	if err := replaceFile(d.path(journalName), text, 0o600); err != nil {
		return err
	}
	return d.sweep(j.files())
}

// sweep removes what no journal names, and what a process that was killed had half written. It is called under the lock.
func (d directory) sweep(needed map[string]bool) error {
	halves, err := filepath.Glob(d.path(temporaryName + "*"))
	if err != nil {
		return err
	}
	for _, half := range halves {
		if err := os.Remove(half); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(d.path(filesName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		if !needed[entry.Name()] {
			if err := os.Remove(filepath.Join(d.path(filesName), entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep puts a file beside the journal, under its digest.
func (d directory) keep(content []byte) error {
	path := filepath.Join(d.path(filesName), digestOf(content))
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(d.path(filesName), 0o700); err != nil {
		return err
	}
	return replaceFile(path, content, 0o600)
}

// get reads such a file, and holds it to its digest.
func (d directory) get(digest string) ([]byte, error) {
	path := filepath.Join(d.path(filesName), digest)
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if digestOf(content) != digest {
		return nil, fmt.Errorf("%s: the content is not that of its name", path)
	}
	return content, nil
}

// replaceFile writes a file as a whole: its name has the old content or the new one, also after a power cut.
func replaceFile(path string, content []byte, mode os.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), temporaryName)
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // is gone after the rename
	_, err = temporary.Write(content)
	if err == nil {
		err = temporary.Chmod(mode)
	}
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

func syncDirectory(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
