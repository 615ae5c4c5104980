// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"cmp"
	"slices"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// renaming is one rename: the directories and what the names mean.
type renaming struct {
	v        *Volume
	from, to struct {
		directory *node // of both, if it is one
		name      string
		entry     entry // the zero entry: no such name
		inode     *node // nil: no such name
	}
	exchange bool
}

// Rename gives a file another name, in another directory perhaps, in one step. What had the name before loses it, unless flags say RenameNoReplace; with
// RenameExchange it gets the other's.
func (v *Volume) Rename(fromParent uint64, from string, toParent uint64, to string, flags uint32) error {
	if err := cmp.Or(checkName(from), checkName(to)); err != nil {
		return err
	}
	if flags&^(RenameNoReplace|RenameExchange) != 0 || flags == RenameNoReplace|RenameExchange {
		return ErrInvalid
	}
	if fromParent == toParent {
		v.tree.RLock()
		defer v.tree.RUnlock()
	} else {
		v.tree.Lock()
		defer v.tree.Unlock()
	}
	r := renaming{v: v, exchange: flags&RenameExchange != 0}
	r.from.name, r.to.name = from, to
	var err error
	if r.from.directory, err = v.directory(fromParent); err != nil {
		return err
	}
	defer v.release(r.from.directory)
	r.to.directory = r.from.directory
	if fromParent != toParent {
		if r.to.directory, err = v.directory(toParent); err != nil {
			return err
		}
		defer v.release(r.to.directory)
	}
	if err := r.find(flags); err != nil || r.from.entry.inode == r.to.entry.inode {
		return err
	}
	nodes, err := r.lock()
	for _, n := range nodes {
		defer v.release(n)
	}
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return err
	}
	return r.apply()
}

// find looks the names up, and refuses what can be refused by that alone.
func (r *renaming) find(flags uint32) (err error) {
	if r.from.entry, err = r.v.find(r.from.directory.number, r.from.name); err != nil {
		return err
	}
	r.to.entry, err = r.v.find(r.to.directory.number, r.to.name)
	switch {
	case err == nil && flags&RenameNoReplace != 0:
		return ErrExist
	case err == ErrNotExist && !r.exchange:
		r.to.entry = entry{}
	case err != nil:
		return err
	}
	if r.from.entry.isDirectory() {
		if err := r.within(r.from.entry.inode, r.to.directory); err != nil {
			return err
		}
	}
	if r.to.entry.isDirectory() {
		if err := r.within(r.to.entry.inode, r.from.directory); err == ErrInvalid && !r.exchange {
			return ErrNotEmpty // it holds the very thing that is to replace it
		} else if err != nil {
			return err
		}
	}
	return nil
}

// within returns ErrInvalid if a directory is the other one, or above it. Nobody else moves directories meanwhile; the two that the rename holds are not locked again.
func (r *renaming) within(directory uint64, other *node) error {
	if r.from.directory == r.to.directory { // a name in it cannot be above it
		return nil
	}
	for number, parent := other.number, other.parent; ; {
		if number == directory {
			return ErrInvalid
		}
		if number == RootInode {
			return nil
		}
		number = parent
		switch number {
		case r.from.directory.number:
			parent = r.from.directory.parent
		case r.to.directory.number:
			parent = r.to.directory.parent
		default:
			var err error
			if parent, err = r.v.Parent(number); err != nil {
				return err
			}
		}
	}
}

// lock locks what the names mean, directories first, then by number; the caller releases them, after an error too.
func (r *renaming) lock() (locked []*node, err error) {
	entries := []entry{r.from.entry}
	if r.to.entry.inode != 0 {
		entries = append(entries, r.to.entry)
		slices.SortFunc(entries, func(a, b entry) int {
			if a.isDirectory() != b.isDirectory() {
				if a.isDirectory() {
					return -1
				}
				return 1
			}
			return cmp.Compare(a.inode, b.inode)
		})
	}
	for _, e := range entries {
		n, err := r.v.exclusive(e.inode)
		if err != nil {
			return locked, lost(r.from.directory.number, r.from.name, e.inode, err)
		}
		locked = append(locked, n)
		if e.inode == r.from.entry.inode {
			r.from.inode = n
		} else {
			r.to.inode = n
		}
	}
	return locked, nil
}

// check refuses what only the inodes tell.
func (r *renaming) check() error {
	from, to := r.from.inode, r.to.inode
	switch {
	case r.exchange, to == nil:
	case to.isDirectory() && !from.isDirectory():
		return ErrIsDirectory
	case !to.isDirectory() && from.isDirectory():
		return ErrNotDirectory
	case to.isDirectory() && to.size > 0:
		return ErrNotEmpty
	}
	if from.isDirectory() && r.from.directory != r.to.directory && !(to != nil && to.isDirectory()) && r.to.directory.links >= MaximumLinks {
		return ErrTooManyLinks
	}
	return nil
}

func (r *renaming) apply() error {
	v, now := r.v, r.v.now()
	b := v.batch()
	defer v.done(b)
	fromNext, from := r.from.directory.inode, r.from.directory
	fromNext.stamp(now)
	toNext, to := r.to.directory.inode, r.to.directory
	toNext.stamp(now)
	next := &toNext // of the directory that gains the name
	if from == to {
		next = &fromNext
	}
	moved, replaced := r.from.inode.inode, inode{}
	moved.changed = now
	if moved.isDirectory() {
		fromNext.links--
		next.links++
		moved.parent = to.number
	}
	addName(b, to.number, next, r.to.name, entry{r.from.entry.inode, r.from.entry.mode, r.to.entry.cookie})
	if r.exchange {
		replaced = r.to.inode.inode
		replaced.changed = now
		if replaced.isDirectory() {
			next.links--
			fromNext.links++
			replaced.parent = from.number
		}
		addName(b, from.number, &fromNext, r.from.name, entry{r.to.entry.inode, r.to.entry.mode, r.from.entry.cookie})
	} else {
		removeName(b, from.number, &fromNext, r.from.name, r.from.entry)
		if r.to.inode != nil && r.to.inode.isDirectory() {
			next.links--
		}
	}
	wholeFrom, wholeTo := save(b, from.number, &from.inode, &fromNext), false
	if from != to {
		wholeTo = save(b, to.number, &to.inode, &toNext)
	}
	wholeMoved := save(b, r.from.inode.number, &r.from.inode.inode, &moved)
	if err := r.commit(b, now, &replaced); err != nil {
		return err
	}
	r.from.inode.became(&moved, wholeMoved)
	from.became(&fromNext, wholeFrom)
	if from != to {
		to.became(&toNext, wholeTo)
	}
	if r.to.inode == nil || r.exchange {
		return nil
	}
	return v.eraseUnused(r.to.inode)
}

// commit applies the batch, with what becomes of the inode that had the new name.
func (r *renaming) commit(b *store.Batch, now Time, replaced *inode) error {
	switch {
	case r.to.inode == nil:
		return r.v.apply(b)
	case r.exchange:
		return r.v.commit(b, r.to.inode, replaced)
	}
	return r.v.commitUnlinked(b, r.to.inode, now)
}
