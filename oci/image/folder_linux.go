// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// folder is an open directory of the layer. Entries are made in it by one component, which is never followed, so they
// cannot land elsewhere. Its modification time survives the work in it.
type folder struct {
	path  string // as the tar names it
	file  *os.File
	times []unix.Timespec // access and modification, put back by close; nil: was only looked into
}

func (f *folder) fd() int { return int(f.file.Fd()) }

func (f *folder) close() error {
	var err error
	if f.times != nil {
		err = unix.UtimesNanoAt(f.fd(), ".", f.times, 0)
	}
	return errors.Join(err, f.file.Close())
}

// enter opens the directory name, or stays in it.
func (u *unpacker) enter(name string) (*folder, error) {
	if u.current != nil && u.current.path == name {
		return u.current, nil
	}
	if err := u.leave(); err != nil {
		return nil, err
	}
	entered, err := u.open(name)
	if err != nil {
		return nil, err
	}
	u.current = entered
	return entered, nil
}

func (u *unpacker) leave() error {
	if u.current == nil {
		return nil
	}
	err := u.current.close()
	u.current = nil
	return err
}

// open opens a directory and makes it, and those above it, if the tar only implies them. Symbolic links on the way are
// followed as long as they stay inside.
func (u *unpacker) open(name string) (*folder, error) {
	file, err := u.root.OpenFile(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err == nil {
		return remember(name, file)
	}
	var number syscall.Errno
	if !errors.As(err, &number) { // os.Root's own refusal
		return nil, fmt.Errorf("directory %s leads out of the root file system", quote(name))
	}
	if name == "." || number != unix.ENOENT && number != unix.ENOTDIR {
		return nil, err
	}
	return u.imply(name)
}

func remember(name string, file *os.File) (*folder, error) {
	var status unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &status); err != nil {
		file.Close()
		return nil, err
	}
	return &folder{path: name, file: file, times: []unix.Timespec{status.Atim, status.Mtim}}, nil
}

// imply makes a directory that the tar does not list (yet).
func (u *unpacker) imply(name string) (made *folder, err error) {
	above, err := u.open(path.Dir(name))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, above.close()) }()
	e := entry{kind: directory, parent: above.path, base: path.Base(name), mode: 0o755, modified: time.Unix(0, 0)}
	if err := u.count(); err != nil {
		return nil, err
	}
	hidden, err := u.mkdir(above, e.base, true)
	if err != nil {
		return nil, err
	}
	if !hidden {
		if err := u.inherit(name, &e); err != nil {
			return nil, err
		}
	}
	if err := above.describe(e); err != nil {
		return nil, err
	}
	file, err := u.root.OpenFile(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return remember(name, file)
}

// mkdir makes a directory or keeps the one that is there. In place of a whiteout it becomes opaque, since a whiteout
// hides what is below whatever the order in the tar; hidden says so. Another file is replaced unless the directory is
// only implied.
func (u *unpacker) mkdir(in *folder, base string, implied bool) (hidden bool, err error) {
	err = unix.Mkdirat(in.fd(), base, 0o700)
	if !errors.Is(err, unix.EEXIST) {
		return false, err
	}
	var old unix.Stat_t
	if err := unix.Fstatat(in.fd(), base, &old, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, err
	}
	hidden = isWhiteout(old)
	switch {
	case old.Mode&unix.S_IFMT == unix.S_IFDIR:
		return false, nil
	case implied && !hidden:
		return false, fmt.Errorf("%s is not a directory in this layer", quote(path.Join(in.path, base)))
	}
	if err := unix.Unlinkat(in.fd(), base, 0); err != nil {
		return false, err
	}
	if err := unix.Mkdirat(in.fd(), base, 0o700); err != nil || !hidden {
		return false, err
	}
	return true, in.hide(base)
}

// seek opens the directory of a hard link's target.
func (u *unpacker) seek(target string) (*folder, error) {
	file, err := u.root.Open(".")
	if err != nil {
		return nil, err
	}
	at := &folder{path: ".", file: file}
	parent := path.Dir(target)
	if parent == "." {
		return at, nil
	}
	for component := range strings.SplitSeq(parent, "/") {
		next, err := unix.Openat(at.fd(), component, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOTDIR) {
			err = fmt.Errorf("%s is a symbolic link or not a directory", quote(path.Join(at.path, component)))
		}
		at.close()
		if err != nil {
			return nil, err
		}
		at = &folder{path: path.Join(at.path, component), file: os.NewFile(uintptr(next), component)}
	}
	return at, nil
}

func isWhiteout(status unix.Stat_t) bool {
	return status.Mode&unix.S_IFMT == unix.S_IFCHR && status.Rdev == 0
}

// whiteout hides base in the layers below. What this layer has itself stays: a file hides what is below anyway.
func (f *folder) whiteout(base string) error {
	err := unix.Mknodat(f.fd(), base, unix.S_IFCHR, 0)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	var old unix.Stat_t
	if err := unix.Fstatat(f.fd(), base, &old, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if old.Mode&unix.S_IFMT == unix.S_IFDIR {
		return f.hide(base)
	}
	return nil
}

// hide makes the directory base opaque.
func (f *folder) hide(base string) error {
	return f.setAttributes(base, []attribute{{opaqueAttribute, "y"}})
}

func (f *folder) setOpaque() error { return f.hide(".") }

// special makes a symbolic link, device or pipe.
func (f *folder) special(e entry) error {
	number := unix.Mkdev(e.major, e.minor)
	switch e.kind {
	case symbolicLink:
		return unix.Symlinkat(e.target, f.fd(), e.base)
	case characterDevice:
		return unix.Mknodat(f.fd(), e.base, unix.S_IFCHR, int(number))
	case blockDevice:
		return unix.Mknodat(f.fd(), e.base, unix.S_IFBLK, int(number))
	}
	return unix.Mknodat(f.fd(), e.base, unix.S_IFIFO, 0)
}

// describe sets owner, mode, attributes and times, in this order: a new owner clears set-ID bits and capabilities.
func (f *folder) describe(e entry) error {
	if err := unix.Fchownat(f.fd(), e.base, e.uid, e.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if e.kind != symbolicLink {
		if err := unix.Fchmodat(f.fd(), e.base, e.mode, 0); err != nil {
			return err
		}
	}
	if len(e.attributes) > 0 {
		if err := f.setAttributes(e.base, e.attributes); err != nil {
			return err
		}
	}
	if e.base == "." {
		f.times = timespecs(e.modified) // what follows in the root must not change them
	}
	return unix.UtimesNanoAt(f.fd(), e.base, timespecs(e.modified), unix.AT_SYMLINK_NOFOLLOW)
}

// timespecs uses the modification time for the access time too, so that the same layer gives the same files.
func timespecs(modified time.Time) []unix.Timespec {
	at := unix.Timespec{Sec: modified.Unix(), Nsec: int64(modified.Nanosecond())}
	return []unix.Timespec{at, at}
}

func (f *folder) setAttributes(base string, attributes []attribute) error {
	file, err := unix.Openat(f.fd(), base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(file)
	for _, a := range attributes {
		if err := unix.Fsetxattr(file, a.name, []byte(a.value), 0); err != nil {
			return fmt.Errorf("attribute %s: %w", quote(a.name), err)
		}
	}
	return nil
}
