// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// entriesRoom is how many bytes of a directory are read at a time: so many files stay in the processor's cache while they are worked on.
	entriesRoom = 1 << 13
	waiting     = 4096    // directories that are kept to be walked later; a worker that finds more walks them itself, and
	narrowRoom  = 1 << 10 // reads so many bytes of each of them at a time
)

// workers is how many directories are worked on at once. A few more than processors, for those that wait for the disk; many gain nothing: they
// meet in the file system's own journal.
func workers() int { return min(max(runtime.GOMAXPROCS(0), 4), 16) }

// beneath keeps a path inside of what it is looked up in: no "..", no symbolic link, and no mount point.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV

// tree is an open tree.
type tree struct {
	root    int    // O_PATH
	resolve uint64 // of openat2
	// inert is a mount of the same tree that nobody else sees: nothing is mounted beneath it, and no device can be opened by it. -1 without.
	inert  int
	byName bool // the kernel has getxattrat
}

func openTree(path string, mounts Mounts) (*tree, error) {
	root, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t := &tree{root: root, resolve: beneath, inert: -1, byName: hasGetxattrat()}
	if mounts == CrossMounts {
		t.resolve &^= unix.RESOLVE_NO_XDEV
	}
	if inert, err := cloneMount(root); err == nil {
		t.inert = inert
	}
	return t, nil
}

// cloneMount mounts a tree a second time, without a place. Files are opened by it to be changed, since descriptors that O_PATH opened need a
// look-up in /proc for each call; what is a device by then stays closed. Without it (before Linux 5.12) all are opened with O_PATH.
func cloneMount(root int) (int, error) {
	clone, err := unix.OpenTree(root, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return -1, err
	}
	const set = unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
	if err := unix.MountSetattr(clone, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: set, Propagation: unix.MS_PRIVATE}); err != nil {
		unix.Close(clone)
		return -1, err
	}
	return clone, nil
}

func (t *tree) close() {
	unix.Close(t.root)
	if t.inert >= 0 {
		unix.Close(t.inert)
	}
}

// crossing is the tree with what is mounted beneath it.
func (t *tree) crossing() *tree {
	crossed := *t
	crossed.resolve &^= unix.RESOLVE_NO_XDEV
	crossed.inert = -1
	return &crossed
}

// directory opens a directory of the tree by its path relative to root, "" for that itself.
func (t *tree) directory(root int, path string, flags int) (int, error) {
	if path == "" {
		path = "."
	}
	return openName(root, append([]byte(path), 0), flags|unix.O_DIRECTORY, t.resolve)
}

// found is a file as the walk met it.
type found struct {
	name []byte // with a zero byte at the end; "." for the directory itself. Valid until visit returns
	stat unix.Statx_t
	kind byte // unix.DT_DIR for a directory that has a visit of its own, of which nothing else is known here but its inode
}

// place is some of what a directory holds.
type place struct {
	directory  string // its path relative to the tree
	descriptor int
	onlyPath   bool // descriptor is the tree itself, which is no directory
	files      []found
	first      bool // the directory's first, which begins with itself
	last       bool
	paused     bool // the worker visits others before the next of these

	// For visit:
	own     *unix.Statx_t // the directory as it was before it was read; nil for a tree that is a file
	whole   bool          // all that the directory holds is in one record
	pending int           // changes in the record that is being made
	changes bool
	count   int // of files, with itself
}

// walker walks a tree with several workers. Each directory is one piece of work, opened from the root by its path, so that few descriptors are
// open however deep the tree is.
type walker struct {
	tree  *tree
	visit func(w *worker, at *place) error // called by several workers at once
	mount func(path string)                // for each mount point, which is not walked unless that was asked for

	known *stamped // nil: all is walked; else what has no stamp, or has changed

	lock  sync.Mutex
	ready sync.Cond
	stack []string
	busy  int
	err   error
	where string // path of err: of several errors the first path's is kept
}

// worker is what one goroutine of a walker has for itself.
type worker struct {
	*walker
	files   []found
	label   []byte // room for one
	scratch *scratch
}

func (w *walker) run() error {
	w.ready.L = &w.lock
	w.stack = []string{""}
	if w.known != nil {
		w.stack = w.known.changed
	}
	var group sync.WaitGroup
	for range workers() {
		group.Go(w.newWorker().work)
	}
	group.Wait()
	return w.err
}

func (w *walker) newWorker() *worker {
	return &worker{walker: w, label: make([]byte, labelRoom), scratch: &scratch{}}
}

func (w *worker) work() {
	room := make([]byte, entriesRoom)
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
		w.walk(path, room)
		w.lock.Lock()
		w.busy--
		if w.busy == 0 && len(w.stack) == 0 {
			w.ready.Broadcast()
		}
	}
}

// later has directories walked, and returns those for which there is no room.
func (w *walker) later(parent string, names []string) (left []string) {
	if len(names) == 0 {
		return nil
	}
	w.lock.Lock()
	defer w.lock.Unlock()
	for len(names) > 0 && len(w.stack) < waiting {
		w.stack = append(w.stack, filepath.Join(parent, names[0]))
		names = names[1:]
		w.ready.Signal()
	}
	return names
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

// walk visits a directory and what it holds.
func (w *worker) walk(path string, room []byte) {
	descriptor, err := w.tree.directory(w.tree.root, path, unix.O_RDONLY)
	if path != "" && errors.Is(err, unix.EXDEV) {
		w.mount(path)
		return
	}
	if path != "" && gone(err) {
		return // it was removed, or became something else
	}
	if err == nil {
		defer unix.Close(descriptor)
		err = w.read(path, descriptor, room)
	}
	if err != nil {
		w.fail(path, err)
	}
}

func (w *worker) read(path string, descriptor int, room []byte) error {
	at := &place{directory: path, descriptor: descriptor, first: true, whole: true}
	self := found{name: []byte{'.', 0}}
	if err := statxDescriptor(descriptor, &self.stat); err != nil {
		return err
	}
	if path != "" && self.stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 { // that is crossed
		w.mount(path)
	}
	at.own = &self.stat
	w.files = append(w.files[:0], self)
	for {
		size, err := unix.Getdents(descriptor, room)
		if errors.Is(err, unix.ENOENT) && path != "" {
			return nil // it was removed
		}
		if err != nil {
			return err
		}
		inner, err := w.stat(at, room[:size], &self.stat)
		if err != nil {
			return err
		}
		at.files, at.last = w.files, size == 0
		if err := w.visit(w, at); err != nil {
			return err
		}
		if at.last {
			return nil
		}
		at.first, w.files = false, w.files[:0]
		if inner = w.later(path, inner); len(inner) == 0 {
			continue
		}
		at.paused, at.files = true, nil
		if err := w.visit(w, at); err != nil {
			return err
		}
		for _, name := range inner {
			w.walk(filepath.Join(path, name), make([]byte, narrowRoom))
		}
		at.paused, w.files = false, w.files[:0]
	}
}

// stat looks at some files of a directory, and says which are directories to walk.
func (w *worker) stat(at *place, entries []byte, own *unix.Statx_t) (inner []string, err error) {
	for {
		entry, rest, ok := nextEntry(entries)
		if !ok {
			return inner, nil
		}
		entries = rest
		if len(at.directory)+len(entry.name) >= unix.PathMax { // it is opened by its path
			return nil, fmt.Errorf("%.64s...: %w", entry.name, unix.ENAMETOOLONG)
		}
		w.files = append(w.files, found{name: entry.name, kind: entry.kind})
		file := &w.files[len(w.files)-1]
		if entry.kind != unix.DT_DIR {
			err := statx(at.descriptor, entry.name, &file.stat)
			if errors.Is(err, unix.ENOENT) {
				w.files = w.files[:len(w.files)-1]
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", bytes.TrimSuffix(entry.name, []byte{0}), err)
			}
			if file.stat.Mode&unix.S_IFMT == unix.S_IFDIR {
				file.kind = unix.DT_DIR
			}
		}
		if file.kind == unix.DT_DIR {
			file.stat.Ino = entry.inode
			if w.known != nil && w.known.has(filepath.Join(at.directory, string(entry.name[:len(entry.name)-1]))) {
				continue
			}
			inner = append(inner, string(entry.name[:len(entry.name)-1]))
			continue
		}
		// A bind mount has the device number of where it comes from, and on overlayfs files have several: only the mount says it.
		if file.stat.Mnt_id != own.Mnt_id || file.stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
			w.mount(filepath.Join(at.directory, string(entry.name[:len(entry.name)-1])))
			if w.tree.resolve&unix.RESOLVE_NO_XDEV != 0 {
				w.files = w.files[:len(w.files)-1]
			}
		}
	}
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
