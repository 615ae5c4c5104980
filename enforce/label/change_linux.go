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

	"github.com/bulkhead-project/bulkhead/plan"
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
	// each changes one file, and says whether it had to.
	each func(t *tree, what begin, had *entry, descriptor int, stat *unix.Stat_t) (bool, error)

	lock           sync.Mutex
	files, changed int
	left           []Left
	err            error
	where          string // path of err: of several errors the first path's is kept
}

// piece is some files of one directory.
type piece struct {
	what      begin
	directory string
	files     []entry
}

func (p *pass) run(transaction io.Reader) error {
	pieces := make(chan piece)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for piece := range pieces {
				p.work(piece)
			}
		})
	}
	err := replay(transaction, func(what begin, directory string, files []entry) error {
		pieces <- piece{what, directory, files}
		return nil
	})
	close(pieces)
	group.Wait()
	return errors.Join(err, p.err)
}

func (p *pass) work(piece piece) {
	t := *p.tree
	if piece.what.crossed {
		t.resolve &^= unix.RESOLVE_NO_XDEV
	}
	directory := t.root
	if piece.directory != "" || piece.files[0].name != "." {
		var err error
		if directory, err = t.directory(piece.directory, unix.O_PATH); err != nil {
			for i := range piece.files {
				p.note(filepath.Join(piece.directory, piece.files[i].name), false, absent(err))
			}
			return
		}
		defer unix.Close(directory)
	}
	for i := range piece.files {
		changed, err := p.file(&t, piece.what, directory, &piece.files[i])
		p.note(filepath.Join(piece.directory, piece.files[i].name), changed, err)
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.progress != nil {
		p.progress(Progress{Files: p.files, Total: p.total})
	}
}

// file finds a file again. Only the very file that the journal tells of is changed.
func (p *pass) file(t *tree, what begin, directory int, had *entry) (bool, error) {
	descriptor := directory
	if had.name != "." {
		if strings.Contains(had.name, "/") || had.name == ".." || had.name == "" {
			return false, errTorn
		}
		var err error
		if descriptor, err = t.open(directory, had.name, unix.O_PATH); err != nil {
			return false, absent(err)
		}
		defer unix.Close(descriptor)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(descriptor, &stat); err != nil {
		return false, err
	}
	if stat.Ino != had.inode {
		return false, leftError("another file is there now")
	}
	return p.each(t, what, had, descriptor, &stat)
}

func absent(err error) error {
	if gone(err) {
		return leftError("it is gone")
	}
	return err
}

func (p *pass) note(path string, changed bool, err error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.files++
	if changed {
		p.changed++
	}
	var left leftError
	switch {
	case err == nil:
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
func (t *tree) change(what begin, had *entry, descriptor int, stat *unix.Stat_t) (bool, error) {
	owner := what.Owner
	given := owner != nil && int(stat.Uid) == owner.UID && int(stat.Gid) == owner.GID // by another of its links
	if !given && (stat.Uid != had.uid || stat.Gid != had.gid) {
		return false, leftError(fmt.Sprintf("its owner became %d:%d", stat.Uid, stat.Gid))
	}
	if !had.linked && stat.Nlink > 1 && stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return false, leftError("it got another hard link")
	}
	if owner != nil && !given {
		if err := unix.Fchownat(descriptor, "", owner.UID, owner.GID, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return false, fmt.Errorf("chown: %w", err)
		}
	}
	if what.relabels(had.label) {
		if err := unix.Setxattr(handle(descriptor), Attribute, append([]byte(what.Label), 0), 0); err != nil {
			return false, fmt.Errorf("set %s: %w", Attribute, err)
		}
	}
	return true, nil
}

// restore puts back what a file had. It touches only what differs, so that a file that could not be changed does not fail a second time.
func (t *tree) restore(what begin, had *entry, descriptor int, stat *unix.Stat_t) (bool, error) {
	kept := stat.Uid == had.uid && stat.Gid == had.gid
	if given := what.Owner != nil && int(stat.Uid) == what.Owner.UID && int(stat.Gid) == what.Owner.GID; !kept && !given {
		return false, leftError(fmt.Sprintf("its owner became %d:%d", stat.Uid, stat.Gid))
	}
	path := handle(descriptor)
	relabelled, err := restoreLabel(path, had.label, what)
	if err != nil {
		return false, fmt.Errorf("set %s: %w", Attribute, err)
	}
	if !kept {
		err = unix.Fchownat(descriptor, "", int(had.uid), int(had.gid), unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
	}
	const special = unix.S_ISUID | unix.S_ISGID
	lost := what.Owner != nil && stat.Mode&unix.S_IFMT == unix.S_IFREG && had.mode&special&^stat.Mode != 0
	if err == nil && (lost || !kept && stat.Mode&unix.S_IFMT == unix.S_IFREG) {
		err = unix.Chmod(path, stat.Mode&0o7777|had.mode&special)
	}
	return relabelled || !kept || lost, err
}

func restoreLabel(path string, label []byte, what begin) (changed bool, err error) {
	if what.Label == "" {
		return false, nil
	}
	current, err := readLabel(unix.Getxattr, path, make([]byte, 256))
	if err != nil {
		return false, err
	}
	switch {
	case bytes.Equal(current, label) && (current == nil) == (label == nil):
		return false, nil
	case label == nil:
		if err := unix.Removexattr(path, Attribute); !errors.Is(err, unix.ENODATA) { // which is so where another worker had a hard link of it
			return true, err
		}
		return true, nil
	default:
		return true, unix.Setxattr(path, Attribute, label, 0)
	}
}

// unsupported turns the errors of a file system that holds no labels into what to do about it.
func unsupported(path string, change Change, err error) error {
	if change.Label == "" || !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	return &plan.UnavailableError{Layer: "label", Reason: fmt.Sprintf("%s: %s holds no labels: %v", path, fileSystem(path), err),
		Hint: fmt.Sprintf("mount it with -o context=%q, which gives all of its files that label", change.Label)}
}

func fileSystem(path string) string {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err == nil {
		for name, number := range map[string]int64{"NFS": 0x6969, "FUSE": 0x65735546, "9p": 0x01021997, "vfat": 0x4d44, "procfs": 0x9fa0, "CIFS": 0xff534d42, "SMB": 0xfe534d42} {
			if int64(stat.Type) == number {
				return "its file system (" + name + ")"
			}
		}
	}
	return "its file system"
}
