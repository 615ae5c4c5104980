// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// DefaultCache returns $BULKHEAD_VM_CACHE, else bulkhead/vm in the user's cache directory.
func DefaultCache() (string, error) {
	if directory := os.Getenv("BULKHEAD_VM_CACHE"); directory != "" {
		return filepath.Abs(directory)
	}
	directory, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("place of the cache: %w", err)
	}
	return filepath.Join(directory, "bulkhead", "vm"), nil
}

// cache is a directory of finished directories. Each is made once under its final
// name's lock, beside it, and renamed into place: what exists is complete.
type cache struct{ root string }

const (
	unfinished = ".making-"
	lockSuffix = ".lock"
	lockPoll   = 50 * time.Millisecond
)

// once returns the directory name of the cache. If there is none, build fills it;
// concurrent callers, of other processes too, wait for the first.
func (c cache) once(ctx context.Context, name string, build func(directory string) error) (string, error) {
	path := filepath.Join(c.root, name)
	if exists(path) {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(ctx, path+lockSuffix)
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(path) {
		return path, nil
	}
	temporary, err := os.MkdirTemp(filepath.Dir(path), unfinished)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temporary)
	if err := build(temporary); err != nil {
		return "", err
	}
	if err := os.Chmod(temporary, 0o755); err != nil {
		return "", err
	}
	return path, os.Rename(temporary, path)
}

// expire removes the directories of a section that were not used for age, and
// what interrupted processes left.
func (c cache) expire(section string, age time.Duration) error {
	entries, err := os.ReadDir(filepath.Join(c.root, section))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !entry.IsDir() || time.Since(info.ModTime()) < age {
			continue // a lock stays: someone may hold it
		}
		if err := os.RemoveAll(filepath.Join(c.root, section, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// used renews the age of a directory.
func used(path string) error {
	now := time.Now()
	return os.Chtimes(path, now, now)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// lock takes an exclusive lock on the file path, which it makes, until unlock.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, ctx.Err())
		case <-time.After(lockPoll):
		}
	}
}
