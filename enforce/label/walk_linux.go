// SPDX-License-Identifier: Apache-2.0

package label

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	batch   = 512  // files that are read, and journalled, at a time
	waiting = 4096 // directories that are kept to be walked later; a worker that finds more walks them itself
)

// beneath keeps a path inside of what it is looked up in: no "..", no symbolic link, and no mount point.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV

// tree is an open tree.
type tree struct {
	root    int    // O_PATH
	resolve uint64 // of openat2
}

func openTree(path string, mounts Mounts) (*tree, error) {
	root, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t := &tree{root, beneath}
	if mounts == CrossMounts {
		t.resolve &^= unix.RESOLVE_NO_XDEV
	}
	return t, nil
}

func (t *tree) close() { unix.Close(t.root) }

// open opens what has the path relative to directory.
func (t *tree) open(directory int, path string, flags int) (int, error) {
	return unix.Openat2(directory, path, &unix.OpenHow{Flags: uint64(flags) | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: t.resolve})
}

// directory opens a directory of the tree, "" for the tree itself.
func (t *tree) directory(path string, flags int) (int, error) {
	if path == "" {
		path = "."
	}
	return t.open(t.root, path, flags|unix.O_DIRECTORY)
}

// handle is the path by which calls that take no O_PATH descriptor reach what it names, a symbolic link itself included.
func handle(descriptor int) string { return "/proc/self/fd/" + strconv.Itoa(descriptor) }

// found is a file as the walk met it.
type found struct {
	name string
	stat unix.Statx_t
}

// walker walks a tree with several workers. Each directory is one piece of work, opened from the root by its path, so that few descriptors are
// open however deep the tree is.
type walker struct {
	tree  *tree
	visit func(directory string, descriptor int, files []found) error // called by several workers at once
	mount func(path string)                                           // for each mount point, which is not walked unless that was asked for

	lock  sync.Mutex
	ready sync.Cond
	stack []string
	busy  int
	err   error
	where string // path of err: of several errors the first path's is kept
}

func (w *walker) run(workers int) error {
	w.ready.L = &w.lock
	w.stack = []string{""}
	var group sync.WaitGroup
	for range workers {
		group.Go(w.work)
	}
	group.Wait()
	return w.err
}

func (w *walker) work() {
	w.lock.Lock()
	defer w.lock.Unlock()
	for {
		for len(w.stack) == 0 && w.busy > 0 {
			w.ready.Wait()
		}
		if len(w.stack) == 0 {
			return
		}
		last := len(w.stack) - 1
		path := w.stack[last]
		w.stack = w.stack[:last]
		w.busy++
		w.lock.Unlock()
		w.walk(path)
		w.lock.Lock()
		w.busy--
		if w.busy == 0 && len(w.stack) == 0 {
			w.ready.Broadcast()
		}
	}
}

// later has a directory walked.
func (w *walker) later(path string) {
	w.lock.Lock()
	if len(w.stack) < waiting {
		w.stack = append(w.stack, path)
		w.lock.Unlock()
		w.ready.Signal()
		return
	}
	w.lock.Unlock()
	w.walk(path)
}

func (w *walker) fail(path string, err error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	if w.err == nil || path < w.where {
		w.where, w.err = path, err
		if path != "" {
			w.err = fmt.Errorf("%.256s: %w", path, err)
		}
	}
}

func (w *walker) walk(path string) {
	descriptor, err := w.tree.directory(path, unix.O_RDONLY)
	if gone(err) && path != "" {
		return // it was removed, or became something else, or was mounted on
	}
	if err != nil {
		w.fail(path, err)
		return
	}
	directory := os.NewFile(uintptr(descriptor), path)
	defer directory.Close()
	var own unix.Statx_t
	if err := statx(descriptor, "", &own); err != nil {
		w.fail(path, err)
		return
	}
	for {
		names, err := directory.Readdirnames(batch)
		if len(names) == 0 {
			if err != nil && !errors.Is(err, io.EOF) {
				w.fail(path, err)
			}
			return
		}
		files, inner, err := w.stat(path, descriptor, names, &own)
		if err == nil {
			err = w.visit(path, descriptor, files)
		}
		if err != nil {
			w.fail(path, err)
			return
		}
		for _, name := range inner {
			w.later(filepath.Join(path, name))
		}
	}
}

// stat looks at some files of a directory, and says which are directories to walk.
func (w *walker) stat(path string, descriptor int, names []string, own *unix.Statx_t) (files []found, inner []string, err error) {
	files = make([]found, 0, len(names))
	for _, name := range names {
		if len(path)+1+len(name) >= unix.PathMax { // it is opened by its path
			return nil, nil, fmt.Errorf("%.64s...: %w", name, unix.ENAMETOOLONG)
		}
		file := found{name: name}
		err := statx(descriptor, name, &file.stat)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		// A bind mount has the device number of where it comes from, and on overlayfs files have several: only the mount says it.
		if file.stat.Mnt_id != own.Mnt_id || file.stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
			w.mount(filepath.Join(path, name))
			if w.tree.resolve&unix.RESOLVE_NO_XDEV != 0 {
				continue
			}
		}
		files = append(files, file)
		if file.stat.Mode&unix.S_IFMT == unix.S_IFDIR {
			inner = append(inner, name)
		}
	}
	return files, inner, nil
}

func statx(directory int, name string, into *unix.Statx_t) error {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	return unix.Statx(directory, name, flags, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, into)
}

// gone reports whether a path leads to nothing any more, or to what it did not lead to before.
func gone(err error) bool {
	for _, replaced := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EXDEV} {
		if errors.Is(err, replaced) {
			return true
		}
	}
	return false
}
