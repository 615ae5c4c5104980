// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// reportedLeft is how many files that were left alone a report names at most.
const reportedLeft = 1000

// leftError says why a file was not touched.
type leftError string

func (e leftError) Error() string { return string(e) }

// pass goes through one transaction of a journal with several workers.
type pass struct {
	tree     *tree
	total    int
	progress func(Progress)
	stamps   *stamper // may be nil
	clock    clock
	// each changes one file, and says whether it had to.
	each func(t *tree, what begin, had *entry, file pinned, stat *unix.Stat_t) (bool, error)

	lock           sync.Mutex
	files, changed int
	left           []Left
	err            error
	where          string // path of err: of several errors the first path's is kept
}

func (p *pass) run(journal io.ReaderAt, start int64) error {
	var (
		pieces = newReplay(journal, start)
		ended  error // of pieces; io.EOF if there was none
		lock   sync.Mutex
		group  sync.WaitGroup
	)
	next := func() (made piece, more bool) {
		lock.Lock()
		defer lock.Unlock()
		if ended == nil {
			made, ended = pieces.next()
		}
		return made, ended == nil
	}
	for range workers() {
		group.Go(func() {
			for piece, more := next(); more; piece, more = next() {
				p.work(piece)
			}
		})
	}
	group.Wait()
	return errors.Join(ignoreEnd(ended), p.err)
}

// work changes the files of one record.
func (p *pass) work(piece piece) {
	t := p.tree
	if piece.what.crossed {
		t = t.crossing()
	}
	directory, absence := t.pinDirectory(piece.directory)
	if absence == nil && directory.descriptor != t.root {
		defer unix.Close(directory.descriptor)
	}
	files, changed, stamping := 0, 0, p.stamps != nil && piece.whole && absence == nil
	stamp := stamp{directory: piece.directory}
	all := piece
	var had entry
	for {
		more, err := piece.next(&had)
		if err != nil {
			p.fail(piece.directory, err)
		}
		if !more || err != nil {
			break
		}
		if had.noted {
			continue
		}
		files++
		done := false
		if err = absence; err == nil {
			done, err = p.file(t, &piece.what, directory, &had)
		}
		if done {
			changed++
		}
		if stamping && err == nil && had.self() {
			stamping = p.stamp(directory, all, &stamp)
		}
		if err != nil {
			stamping = false
			p.fail(filepath.Join(piece.directory, strings.TrimSuffix(string(had.name), "\x00")), err)
		}
	}
	if p.stamps != nil && piece.whole {
		stamp.files, stamp.trusted = files, stamping
		p.stamps.add(stamp)
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	p.files, p.changed = p.files+files, p.changed+changed
	if p.progress != nil {
		p.progress(Progress{Files: p.files, Total: p.total})
	}
}

// stamp takes the time of a directory that was just labelled itself, before what it holds is. It can be trusted where it holds the very files that the
// journal tells of, all of which are labelled then.
func (p *pass) stamp(directory pinned, all piece, into *stamp) bool {
	if all.what.Label == "" || directory.onlyPath || !p.clock.fine(p.tree, directory, all.what.value) {
		return false
	}
	var stat unix.Statx_t
	if err := statxDescriptor(directory.descriptor, &stat); err != nil {
		return false
	}
	into.inode, into.seconds, into.nanoseconds = stat.Ino, uint64(stat.Ctime.Sec), uint64(stat.Ctime.Nsec)
	return all.holds(directory.descriptor)
}

// holds reports whether a directory, opened and not read yet, holds what is in the journal and nothing else.
func (p *piece) holds(directory int) bool {
	room := make([]byte, entriesRoom)
	all := *p
	var had entry
	for {
		size, err := unix.Getdents(directory, room)
		if err != nil {
			return false
		}
		for entries := room[:size]; ; {
			found, rest, ok := nextEntry(entries)
			if !ok {
				break
			}
			entries = rest
			more, err := all.next(&had)
			if more && err == nil && had.self() {
				more, err = all.next(&had)
			}
			if !more || err != nil || found.inode != had.inode || !bytes.Equal(found.name, had.name) {
				return false
			}
		}
		if size == 0 {
			more, err := all.next(&had)
			if more && had.self() { // it holds nothing
				more, err = all.next(&had)
			}
			return !more && err == nil
		}
	}
}

// pinDirectory opens a directory of the tree; "" is the tree itself, which may be a file.
func (t *tree) pinDirectory(path string) (pinned, error) {
	for _, root := range []int{t.inert, t.root} {
		if root < 0 {
			continue
		}
		if descriptor, err := t.directory(root, path, unix.O_RDONLY); err == nil || gone(err) && path != "" {
			return pinned{descriptor, false}, absent(err)
		}
	}
	if path == "" {
		return pinned{t.root, true}, nil
	}
	descriptor, err := t.directory(t.root, path, unix.O_PATH)
	return pinned{descriptor, true}, absent(err)
}

// pin opens a file of a directory. A regular one is opened to be read, which makes calls on it cheaper, where it cannot have become a device
// meanwhile; where that is refused, as for a file with a lease or a key that is missing, it still has a label.
func (t *tree) pin(directory pinned, had *entry) (pinned, error) {
	if t.inert >= 0 && !directory.onlyPath && had.mode&unix.S_IFMT == unix.S_IFREG {
		descriptor, err := openName(directory.descriptor, had.name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, t.resolve)
		if err == nil || gone(err) {
			return pinned{descriptor, false}, err
		}
	}
	descriptor, err := openName(directory.descriptor, had.name, unix.O_PATH, t.resolve)
	return pinned{descriptor, true}, err
}

// file finds a file again. Only the very file that the journal tells of is changed.
func (p *pass) file(t *tree, what *begin, directory pinned, had *entry) (bool, error) {
	file := directory
	if !had.self() {
		var err error
		if file, err = t.pin(directory, had); err != nil {
			return false, absent(err)
		}
		defer unix.Close(file.descriptor)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(file.descriptor, &stat); err != nil {
		return false, err
	}
	if stat.Ino != had.inode {
		return false, leftError("another file is there now")
	}
	return p.each(t, *what, had, file, &stat)
}

func absent(err error) error {
	if gone(err) {
		return leftError("it is gone")
	}
	return err
}

// fail notes that a file was left alone, or an error.
func (p *pass) fail(path string, err error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	var left leftError
	switch {
	case errors.As(err, &left):
		if len(p.left) < reportedLeft {
			p.left = append(p.left, Left{path, string(left)})
		}
	case p.err == nil || path < p.where:
		p.where, p.err = path, fmt.Errorf("%.256s: %w", path, err)
	}
}

func (p *pass) sortedLeft() []Left {
	slices.SortFunc(p.left, func(a, b Left) int { return strings.Compare(a.Path, b.Path) })
	return p.left
}

// change carries out a change. A file that got an owner or a hard link that the first pass did not see is left alone.
func (t *tree) change(what begin, had *entry, file pinned, stat *unix.Stat_t) (bool, error) {
	owner := what.Owner
	given := owner != nil && int(stat.Uid) == owner.UID && int(stat.Gid) == owner.GID // by another of its links
	if !given && (stat.Uid != had.uid || stat.Gid != had.gid) {
		return false, leftError(fmt.Sprintf("its owner became %d:%d", stat.Uid, stat.Gid))
	}
	if !had.linked && stat.Nlink > 1 && stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return false, leftError("it got another hard link")
	}
	if owner != nil && !given {
		if err := unix.Fchownat(file.descriptor, "", owner.UID, owner.GID, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return false, fmt.Errorf("chown: %w", err)
		}
	}
	if what.relabels(had.label) {
		if err := file.setLabel(what.value); err != nil {
			return false, fmt.Errorf("set %s: %w", Attribute, err)
		}
	}
	return true, nil
}

// restore puts back what a file had. It touches only what differs, so that a file that could not be changed does not fail a second time.
func (t *tree) restore(what begin, had *entry, file pinned, stat *unix.Stat_t) (bool, error) {
	kept := stat.Uid == had.uid && stat.Gid == had.gid
	if given := what.Owner != nil && int(stat.Uid) == what.Owner.UID && int(stat.Gid) == what.Owner.GID; !kept && !given {
		return false, leftError(fmt.Sprintf("its owner became %d:%d", stat.Uid, stat.Gid))
	}
	relabelled, err := restoreLabel(file, had.label, what)
	if err != nil {
		return false, fmt.Errorf("set %s: %w", Attribute, err)
	}
	if !kept {
		err = unix.Fchownat(file.descriptor, "", int(had.uid), int(had.gid), unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
	}
	const special = unix.S_ISUID | unix.S_ISGID
	lost := what.Owner != nil && stat.Mode&unix.S_IFMT == unix.S_IFREG && had.mode&special&^stat.Mode != 0
	if err == nil && (lost || !kept && stat.Mode&unix.S_IFMT == unix.S_IFREG) {
		err = unix.Chmod(handle(file.descriptor), stat.Mode&0o7777|had.mode&special)
	}
	return relabelled || !kept || lost, err
}

func restoreLabel(file pinned, label []byte, what begin) (changed bool, err error) {
	if what.Label == "" {
		return false, nil
	}
	current, err := file.label(make([]byte, labelRoom))
	if err != nil {
		return false, err
	}
	switch {
	case bytes.Equal(current, label) && (current == nil) == (label == nil):
		return false, nil
	case label == nil:
		if err := file.removeLabel(); !errors.Is(err, unix.ENODATA) { // which is so where another worker had a hard link of it
			return true, err
		}
		return true, nil
	default:
		return true, file.setLabel(label)
	}
}
