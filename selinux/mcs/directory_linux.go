// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	lockName  = ".lock"   // held while a pair's file is removed or rewritten; never removed
	draftName = ".update" // the next content of a file that is being rewritten; one is enough, under the lock
)

// directory is an open registry directory. Every access goes through its descriptor, so that what was checked on
// opening is what is used.
type directory struct {
	file *os.File
	path string
}

// openDirectory opens the registry directory, making it when create is set, and refuses one that others may write.
func openDirectory(path string, create bool) (*directory, error) {
	if create {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	dir := &directory{file, path}
	if err := dir.checkTrust(); err != nil {
		file.Close()
		return nil, err
	}
	return dir, nil
}

func (d *directory) checkTrust() error {
	var stat unix.Stat_t
	if err := unix.Fstat(d.fd(), &stat); err != nil {
		return d.failure("", err)
	}
	if stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: owned by user %d, who could hand out any pair", d.path, stat.Uid)
	}
	if stat.Mode&0o022 != 0 {
		return fmt.Errorf("%s: mode %#o lets others write", d.path, stat.Mode&0o7777)
	}
	return nil
}

func (d *directory) close()  { d.file.Close() }
func (d *directory) fd() int { return int(d.file.Fd()) }

func (d *directory) failure(name string, err error) error {
	return fmt.Errorf("%s: %w", filepath.Join(d.path, name), err)
}

// open opens a file of the registry, never through a symbolic link.
func (d *directory) open(name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(d.fd(), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, d.failure(name, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(d.path, name)), nil
}

// pairs calls visit for each taken pair, in no order.
func (d *directory) pairs(visit func(Pair)) error {
	listing, err := d.open(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer listing.Close()
	for {
		names, err := listing.Readdirnames(8192)
		for _, name := range names {
			if pair, ok := pairFromName(name); ok {
				visit(pair)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// read returns who holds the pair; the error is fs.ErrNotExist when nobody does.
func (d *directory) read(pair Pair) ([]Holder, error) {
	// O_NONBLOCK: a FIFO put there must not hang the reader.
	file, err := d.open(pair.String(), unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxEntry+1))
	if err != nil {
		return nil, err
	}
	holders, err := decodeHolders(data)
	if err != nil {
		return nil, d.failure(pair.String(), err)
	}
	return holders, nil
}

// draft is a complete file that has no name yet; the kernel drops it with the process.
type draft struct {
	directory *directory
	file      *os.File
	lasting   bool // whether a power cut must not take it: a volume keeps its label and a reservation is kept, while without either nobody holds the pair after a restart
}

func (d *directory) draft(holders []Holder) (*draft, error) {
	data, err := encodeHolders(holders)
	if err != nil {
		return nil, err
	}
	file, err := d.open(".", unix.O_TMPFILE|unix.O_WRONLY)
	if err != nil {
		return nil, err
	}
	if err := writeSynced(file, data); err != nil {
		file.Close()
		return nil, err
	}
	lasting := slices.ContainsFunc(holders, func(h Holder) bool { return h.Reserved || len(h.Volumes)+len(h.Labelled) > 0 })
	return &draft{d, file, lasting}, nil
}

// writeSynced puts the content on the disk before anything names it: a power cut must not leave an empty file.
func writeSynced(file *os.File, data []byte) error {
	if _, err := file.Write(data); err != nil {
		return err
	}
	return file.Sync()
}

func (f *draft) close() { f.file.Close() }

// publish gives the draft the pair's name; false when the pair is taken. Like O_CREAT|O_EXCL, link gives a name to one
// caller only, and unlike it the file has its whole content from the first moment it can be seen.
func (f *draft) publish(pair Pair) (bool, error) {
	unnamed := "/proc/self/fd/" + strconv.Itoa(int(f.file.Fd()))
	err := unix.Linkat(unix.AT_FDCWD, unnamed, f.directory.fd(), pair.String(), unix.AT_SYMLINK_FOLLOW)
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	if err != nil {
		return false, f.directory.failure(pair.String(), err)
	}
	f.directory.mark(pair, 1)
	if !f.lasting {
		return true, nil
	}
	return true, f.directory.file.Sync()
}

// lock waits for the registry's lock and returns what releases it. The kernel releases that of a killed process.
func (d *directory) lock() (release func(), err error) {
	file, err := d.open(lockName, unix.O_RDWR|unix.O_CREAT)
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
			return nil, d.failure(lockName, err)
		}
	}
}

// change reads the pair's file under the lock and gives it the holders that decide returns for those it has. No holder
// before means that the pair is free, none after frees it.
func (d *directory) change(pair Pair, decide func([]Holder) ([]Holder, error)) error {
	release, err := d.lock()
	if err != nil {
		return err
	}
	defer release()
	for {
		before, err := d.read(pair)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		after, err := decide(before)
		if err != nil {
			return err
		}
		done, err := d.apply(pair, before, after)
		if done || err != nil {
			return err
		}
		// Take needs no lock and came first. Nobody removes its file while we hold the lock, so this ends.
	}
}

// apply writes a change under the lock; false when the pair was free and is no longer.
func (d *directory) apply(pair Pair, before, after []Holder) (bool, error) {
	switch {
	case slices.EqualFunc(before, after, Holder.equal):
		return true, nil
	case len(before) == 0:
		draft, err := d.draft(after)
		if err != nil {
			return false, err
		}
		defer draft.close()
		return draft.publish(pair)
	case len(after) == 0:
		return true, d.remove(pair)
	}
	return true, d.replace(pair, after)
}

// remove does not wait for the disk: a file that a power cut brings back names a process of an earlier boot, and is swept.
func (d *directory) remove(pair Pair) error {
	if err := unix.Unlinkat(d.fd(), pair.String(), 0); err != nil {
		return d.failure(pair.String(), err)
	}
	d.mark(pair, 0)
	return nil
}

func (d *directory) replace(pair Pair, holders []Holder) error {
	data, err := encodeHolders(holders)
	if err != nil {
		return err
	}
	file, err := d.open(draftName, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := writeSynced(file, data); err != nil {
		return err
	}
	if err := unix.Renameat(d.fd(), draftName, d.fd(), pair.String()); err != nil {
		return d.failure(pair.String(), err)
	}
	return d.file.Sync()
}
