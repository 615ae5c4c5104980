// SPDX-License-Identifier: Apache-2.0

package key

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// ReadFile reads the header of the volume that is in a directory.
func ReadFile(directory string) (*Header, error) {
	path := filepath.Join(directory, FileName)
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO put there is not waited for
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Fault: NoVolume, Reason: "no volume: " + path + " is not there", Hint: "`bulkhead shield init` makes one"}
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, MaximumText+1))
	if err != nil {
		return nil, err
	}
	h, err := Parse(text)
	var fault *Error
	if errors.As(err, &fault) {
		fault.Reason = path + ": " + fault.Reason
	}
	return h, err
}

// WriteFile puts the header into a directory in place of the one that is there: after a crash there is the old one or the new one. The caller holds the Lock.
func (h *Header) WriteFile(directory string) error {
	path := filepath.Join(directory, FileName)
	// One name, so that processes that are killed leave at most one file behind, which the next one removes. It is not written to: it may be a link that the directory's owner made.
	if err := unix.Unlink(path + ".new"); err != nil && err != unix.ENOENT {
		return &os.PathError{Op: "unlink", Path: path + ".new", Err: err}
	}
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(h.Format())
	if before, failed := os.Lstat(path); failed == nil && err == nil { // the owner of the volume stays
		if owner := before.Sys().(*syscall.Stat_t); int(owner.Uid) != os.Geteuid() {
			err = file.Chown(int(owner.Uid), int(owner.Gid))
		}
	}
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	parent, err := os.Open(directory)
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// Lock keeps others from writing the header of the volume in a directory, until unlock is called. It does not wait.
func Lock(directory string) (unlock func() error, err error) {
	parent, err := os.Open(directory)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(parent.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		parent.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &Error{Fault: Refused, Reason: fmt.Sprintf("another process changes the keys of %s", directory), Hint: "wait until it is done"}
		}
		return nil, fmt.Errorf("locking %s: %w", directory, err)
	}
	return parent.Close, nil
}
