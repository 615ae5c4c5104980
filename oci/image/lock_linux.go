// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A lock file lasts as long as somebody holds it: the holder removes it before he lets go. So a locked file that is no
// longer at its name is nobody's lock, and whoever got it tries again. The kernel lets go for a process that is killed.

// lock waits until this process alone may unpack a layer; waiting is called once if it has to wait.
func (s Store) lock(ctx context.Context, chain string, waiting func()) (*os.File, error) {
	for first := true; ; first = false {
		held, err := s.tryLock(chain)
		if err == nil || !errors.Is(err, unix.EWOULDBLOCK) {
			return held, err
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lockPoll):
		}
	}
}

// tryLock returns EWOULDBLOCK if another holds the lock.
func (s Store) tryLock(chain string) (*os.File, error) {
	name := s.temporary(chain) + lockSuffix
	for {
		file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			file.Close()
			return nil, &fs.PathError{Op: "flock", Path: name, Err: err}
		}
		var status unix.Stat_t
		if err := unix.Fstat(int(file.Fd()), &status); err != nil {
			file.Close()
			return nil, err
		}
		if status.Nlink > 0 {
			return file, nil
		}
		file.Close()
	}
}

// unlock lets go. If the file cannot be removed, Sweep will.
func (s Store) unlock(chain string, held *os.File) {
	os.Remove(held.Name())
	held.Close()
}

// Sweep removes what unpackers that were killed have left. Those at work are left alone. Layers does it first.
func (s Store) Sweep() error {
	unpacking := filepath.Join(s.Dir, "unpacking")
	left, err := os.ReadDir(unpacking)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, item := range left {
		if err := s.sweep(strings.TrimSuffix(item.Name(), lockSuffix)); err != nil {
			return err
		}
	}
	return nil
}

func (s Store) sweep(chain string) error {
	held, err := s.tryLock(chain)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.unlock(chain, held)
	return os.RemoveAll(s.temporary(chain))
}
