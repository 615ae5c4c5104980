// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WriteConfig replaces a configuration as a whole: after a crash it is the old or the new one. It keeps the file's owner, mode and label, and where the path is a symbolic
// link (/etc/sysconfig/selinux) replaces what it leads to.
func WriteConfig(path string, text []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	old, err := os.Open(path)
	if err != nil {
		return err
	}
	defer old.Close()
	made, err := os.CreateTemp(filepath.Dir(path), ".config-")
	if err != nil {
		return err
	}
	defer os.Remove(made.Name()) // is gone after the rename
	_, err = made.Write(text)
	if err == nil {
		err = likeness(made, old)
	}
	if err == nil {
		err = made.Sync()
	}
	if err = errors.Join(err, made.Close()); err != nil {
		return err
	}
	if err := os.Rename(made.Name(), path); err != nil {
		return err
	}
	directory, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// likeness gives a file the owner, mode and label of another.
func likeness(made, old *os.File) error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(old.Fd()), &stat); err != nil {
		return err
	}
	if err := made.Chown(int(stat.Uid), int(stat.Gid)); err != nil {
		return err
	}
	if err := made.Chmod(os.FileMode(stat.Mode & 0o7777)); err != nil {
		return err
	}
	label, err := FileLabel(int(old.Fd()))
	if errors.Is(err, ErrNoLabel) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return err
	}
	return SetFileLabel(int(made.Fd()), label)
}
