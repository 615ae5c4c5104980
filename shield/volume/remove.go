// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"fmt"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// Unlink removes a name of a file that is no directory.
func (v *Volume) Unlink(parent uint64, name string) error { return v.remove(parent, name, false) }

// RemoveDirectory removes an empty directory.
func (v *Volume) RemoveDirectory(parent uint64, name string) error {
	return v.remove(parent, name, true)
}

func (v *Volume) remove(parent uint64, name string, isDirectory bool) error {
	if err := checkName(name); err != nil {
		return err
	}
	v.tree.RLock()
	defer v.tree.RUnlock()
	directory, err := v.directory(parent)
	if err != nil {
		return err
	}
	defer v.release(directory)
	e, err := v.find(parent, name)
	switch {
	case err != nil:
		return err
	case isDirectory && !e.isDirectory():
		return ErrNotDirectory
	case !isDirectory && e.isDirectory():
		return ErrIsDirectory
	}
	n, err := v.exclusive(e.inode)
	if err != nil {
		return lost(parent, name, e.inode, err)
	}
	defer v.release(n)
	if isDirectory && n.size > 0 {
		return ErrNotEmpty
	}
	b := v.batch()
	defer v.done(b)
	next, now := directory.inode, v.now()
	next.stamp(now)
	removeName(b, parent, &next, name, e)
	if isDirectory {
		next.links--
	}
	whole := save(b, parent, &directory.inode, &next)
	err = v.commitUnlinked(b, n, now)
	if err == nil {
		directory.became(&next, whole)
		err = v.eraseUnused(n)
	}
	return err
}

// lost is the error of a name whose inode is not there.
func lost(directory uint64, name string, inode uint64, err error) error {
	if err == ErrNotExist {
		return fmt.Errorf("directory %d: %q is inode %d, which is not there: %w", directory, name, inode, ErrCorrupt)
	}
	return err
}

// commitUnlinked applies a batch by which a node loses a name. Without names, the batch leaves a note that Open follows.
func (v *Volume) commitUnlinked(b *store.Batch, n *node, now Time) error {
	next, gone := v.unlinked(b, n, now)
	if !gone {
		err := v.commit(b, n, &next)
		if err == nil && next.links == 0 {
			v.cache.setLoose(n.number, true)
		}
		return err
	}
	if err := v.counted(b, -1); err != nil {
		return err
	}
	v.buried(n)
	return nil
}

// unlinked puts the loss of a name into a batch: of the last one with a note, or, if nothing else belongs to the inode and nobody uses it, of the inode.
func (v *Volume) unlinked(b *store.Batch, n *node, now Time) (next inode, gone bool) {
	next = n.inode
	next.changed = now
	if next.links--; next.isDirectory() {
		next.links = 0
	}
	if next.links > 0 {
		return next, false
	}
	var key keyBuffer
	if n.blocks == 0 && n.flags&flagXattrs == 0 && !v.cache.inUse(n.number) {
		b.Delete(key.numbers(kindInode, n.number))
		return next, true
	}
	putNote(b, n.number, allBlocks)
	return next, false
}

// buried notes that the inode of a node is no more.
func (v *Volume) buried(n *node) {
	n.links = 0
	n.fault = ErrNotExist
	v.cache.forget(n)
	v.cache.setLoose(n.number, false)
}

// eraseUnused frees a node without names that is not in use.
func (v *Volume) eraseUnused(n *node) error {
	if n.fault != nil || n.links > 0 || v.cache.inUse(n.number) {
		return nil
	}
	return v.erase(n)
}

// erase frees all that a node without names has, and the node.
func (v *Volume) erase(n *node) error {
	for {
		gone, err := v.eraseStep(n)
		if err != nil || gone {
			return err
		}
	}
}

func (v *Volume) eraseStep(n *node) (gone bool, err error) {
	b := v.batch()
	defer v.done(b)
	next := n.inode
	complete, err := v.freeSpan(b, n.number, &next, allBlocks)
	if err == nil && complete && n.flags&flagXattrs != 0 {
		complete, err = v.freeXattrs(b, n.number)
	}
	if err != nil {
		return false, err
	}
	if !complete {
		return false, v.commit(b, n, &next)
	}
	var key keyBuffer
	b.Delete(key.numbers(kindInode, n.number))
	dropNote(b, n.number)
	if err := v.counted(b, -1); err != nil {
		return false, err
	}
	v.buried(n)
	return true, nil
}

// freeXattrs deletes extended attributes in a batch, and says whether these were all.
func (v *Volume) freeXattrs(b *store.Batch, number uint64) (complete bool, err error) {
	var from, to keyBuffer
	count := 0
	err = v.store.Scan(from.numbers(kindXattr, number), to.numbers(kindXattr, number+1), func(key, _ []byte) bool {
		if count == v.step {
			return false
		}
		b.Delete(key)
		count++
		return true
	})
	return count < v.step, err
}

// dropOrphans follows the notes of what was to be freed. At the end of use, what still lacks a name goes too.
func (v *Volume) dropOrphans(end bool) error {
	if end {
		v.cache.Lock()
		clear(v.cache.used)
		clear(v.cache.loose)
		v.cache.Unlock()
	}
	type note struct {
		number uint64
		span   span
	}
	var notes []note
	var fault error
	err := v.store.Scan([]byte{kindOrphan}, []byte{kindOrphan + 1}, func(key, value []byte) bool {
		var n note
		if n.number, n.span, fault = decodeNote(key, value); fault != nil {
			return false
		}
		notes = append(notes, n)
		return true
	})
	if err == nil {
		err = fault
	}
	for _, note := range notes {
		if err == nil {
			err = v.follow(note.number, note.span)
		}
	}
	return err
}

func (v *Volume) follow(number uint64, s span) error {
	n, err := v.exclusive(number)
	if err != nil {
		return fmt.Errorf("inode %d was to be freed: %w", number, err)
	}
	defer v.release(n)
	if n.links == 0 {
		return v.erase(n)
	}
	return v.finishFreeing(n, s)
}
