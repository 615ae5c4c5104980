// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"fmt"
	"strings"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// checkName refuses what no directory can hold.
func checkName(name string) error {
	switch {
	case len(name) > MaximumName:
		return ErrNameTooLong
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return ErrInvalid
	}
	return nil
}

// find returns what a name in a directory means; ErrNotExist if it has none.
func (v *Volume) find(directory uint64, name string) (entry, error) {
	var key keyBuffer
	var buffer [17]byte
	value, err := v.store.Get(key.name(directory, name), buffer[:0])
	switch {
	case err != nil:
		return entry{}, err
	case value == nil:
		return entry{}, ErrNotExist
	}
	e, err := decodeName(value)
	if err != nil {
		return entry{}, fmt.Errorf("directory %d: %w", directory, err)
	}
	return e, nil
}

// Lookup returns what a name in a directory means.
func (v *Volume) Lookup(parent uint64, name string) (Attributes, error) {
	if err := checkName(name); err != nil {
		return Attributes{}, err
	}
	e, err := v.find(parent, name)
	if err == nil {
		return v.Attributes(e.inode)
	}
	if err == ErrNotExist {
		n, err := v.shared(parent)
		if err != nil {
			return Attributes{}, err
		}
		defer v.releaseShared(n)
		if !n.isDirectory() {
			return Attributes{}, ErrNotDirectory
		}
	}
	return Attributes{}, err
}

// Parent returns the directory that a directory is in; the root's is the root.
func (v *Volume) Parent(directory uint64) (uint64, error) {
	n, err := v.shared(directory)
	if err != nil {
		return 0, err
	}
	defer v.releaseShared(n)
	if !n.isDirectory() {
		return 0, ErrNotDirectory
	}
	return n.parent, nil
}

// newInode returns an inode with the owner, permissions and times that it is created with in a directory.
func (v *Volume) newInode(directory *inode, mode uint32, who Credentials) inode {
	now := v.now()
	i := inode{mode: mode &^ (who.Umask & 0o777), links: 1, uid: who.UID, gid: who.GID, modified: now, changed: now, accessed: now, created: now}
	if directory.mode&ModeSetGID != 0 {
		i.gid = directory.gid
		if i.isDirectory() {
			i.mode |= ModeSetGID
		}
	}
	switch i.mode & ModeType {
	case ModeRegular, ModeSymlink:
		i.flags = flagInline
	case ModeDirectory:
		i.links = 2
	}
	return i
}

// addName puts a name into a batch, with a new cookie or that of the name it replaces.
func addName(b *store.Batch, directory uint64, next *inode, name string, e entry) {
	if e.cookie == 0 {
		next.cookie++
		next.size++
		e.cookie = next.cookie
	}
	var key keyBuffer
	var value [9 + MaximumName]byte
	b.Put(key.name(directory, name), e.appendName(value[:0]))
	b.Put(key.numbers(kindCookie, directory, e.cookie), append(appendEntry(value[:0], e.inode, e.mode), name...))
}

// removeName takes a name out.
func removeName(b *store.Batch, directory uint64, next *inode, name string, e entry) {
	next.size--
	var key keyBuffer
	b.Delete(key.name(directory, name))
	b.Delete(key.numbers(kindCookie, directory, e.cookie))
}

// Make creates a regular file, directory, pipe, socket or device by the type in mode.
func (v *Volume) Make(parent uint64, name string, mode, device uint32, who Credentials) (Attributes, error) {
	switch mode & ModeType {
	case ModeBlock, ModeCharacter:
	case ModeRegular, ModeDirectory, ModePipe, ModeSocket:
		device = 0
	default:
		return Attributes{}, ErrInvalid
	}
	return v.make(parent, name, mode&(ModeType|ModePermissions), device, "", who)
}

// Symlink creates a symbolic link.
func (v *Volume) Symlink(parent uint64, name, target string, who Credentials) (Attributes, error) {
	switch {
	case len(target) > MaximumTarget:
		return Attributes{}, ErrNameTooLong
	case target == "" || strings.ContainsRune(target, 0):
		return Attributes{}, ErrInvalid
	}
	who.Umask = 0
	return v.make(parent, name, ModeSymlink|0o777, 0, target, who)
}

func (v *Volume) make(parent uint64, name string, mode, device uint32, target string, who Credentials) (Attributes, error) {
	if err := checkName(name); err != nil {
		return Attributes{}, err
	}
	v.tree.RLock()
	defer v.tree.RUnlock()
	directory, err := v.directory(parent)
	if err != nil {
		return Attributes{}, err
	}
	defer v.release(directory)
	if _, err := v.find(parent, name); err != ErrNotExist {
		if err == nil {
			err = ErrExist
		}
		return Attributes{}, err
	}
	t, b := v.transfer(), v.batch()
	defer v.finish(t)
	defer v.done(b)
	t.fresh = t.fresh[:0]
	i, number := v.newInode(&directory.inode, mode, who), v.reserve()
	i.device = device
	if err := v.setTarget(b, number, &i, t, target); err != nil {
		return Attributes{}, err
	}
	next := directory.inode
	next.stamp(i.changed)
	if i.isDirectory() {
		i.parent = parent
		next.links++
	}
	if next.links > MaximumLinks {
		return Attributes{}, ErrTooManyLinks
	}
	addName(b, parent, &next, name, entry{inode: number, mode: mode & ModeType})
	put(b, number, &i)
	whole := save(b, parent, &directory.inode, &next)
	if err := v.counted(b, 1); err != nil {
		v.abandon(t.fresh)
		return Attributes{}, err
	}
	directory.became(&next, whole)
	v.adopt(number, &i)
	return i.attributes(number), nil
}

// setTarget puts the target of a symbolic link into an inode, or into its first block.
func (v *Volume) setTarget(b *store.Batch, number uint64, i *inode, t *transfer, target string) error {
	i.size = uint64(len(target))
	if target == "" {
		return nil
	}
	i.inline = []byte(target)
	if len(target) <= maximumInline {
		return nil
	}
	return v.spill(b, number, i, t)
}

// MakeTemporary creates a regular file without a name, as O_TMPFILE does. Link may give it one; otherwise it goes when it is Forgotten, or when the volume is opened.
func (v *Volume) MakeTemporary(parent uint64, mode uint32, who Credentials) (Attributes, error) {
	directory, err := v.shared(parent)
	if err != nil {
		return Attributes{}, err
	}
	defer v.releaseShared(directory)
	if !directory.isDirectory() {
		return Attributes{}, ErrNotDirectory
	}
	i, number := v.newInode(&directory.inode, ModeRegular|mode&ModePermissions, who), v.reserve()
	i.links = 0
	i.flags |= flagTemporary
	b := v.batch()
	defer v.done(b)
	put(b, number, &i)
	putNote(b, number, allBlocks)
	if err := v.counted(b, 1); err != nil {
		return Attributes{}, err
	}
	v.cache.setLoose(number, true)
	v.adopt(number, &i)
	return i.attributes(number), nil
}

// Readlink returns the target of a symbolic link.
func (v *Volume) Readlink(inode uint64) (string, error) {
	n, err := v.shared(inode)
	if err != nil {
		return "", err
	}
	defer v.releaseShared(n)
	if n.mode&ModeType != ModeSymlink || n.size > MaximumTarget {
		return "", ErrInvalid
	}
	target := make([]byte, n.size)
	if _, err := v.read(n, 0, target); err != nil {
		return "", err
	}
	if !v.store.ReadOnly() {
		v.touch(n)
	}
	return string(target), nil
}

// Link gives a file one more name.
func (v *Volume) Link(inode, parent uint64, name string) (Attributes, error) {
	if err := checkName(name); err != nil {
		return Attributes{}, err
	}
	if a, err := v.Attributes(inode); err != nil {
		return Attributes{}, err
	} else if a.Mode&ModeType == ModeDirectory { // before the locks, whose order it would break
		if _, err := v.find(parent, name); err == nil {
			return Attributes{}, ErrExist
		}
		return Attributes{}, ErrNotPermitted
	}
	v.tree.RLock()
	defer v.tree.RUnlock()
	directory, err := v.directory(parent)
	if err != nil {
		return Attributes{}, err
	}
	defer v.release(directory)
	n, err := v.exclusive(inode)
	if err != nil {
		return Attributes{}, err
	}
	defer v.release(n)
	switch _, err := v.find(parent, name); {
	case err == nil:
		return Attributes{}, ErrExist
	case err != ErrNotExist:
		return Attributes{}, err
	case n.links == 0 && n.flags&flagTemporary == 0:
		return Attributes{}, ErrNotExist
	case n.links >= MaximumLinks:
		return Attributes{}, ErrTooManyLinks
	}
	b := v.batch()
	defer v.done(b)
	next, nextDirectory := n.inode, directory.inode
	if next.links++; next.flags&flagTemporary != 0 {
		next.flags &^= flagTemporary
		dropNote(b, inode)
	}
	next.changed = v.now()
	nextDirectory.stamp(next.changed)
	addName(b, parent, &nextDirectory, name, entry{inode: inode, mode: n.mode & ModeType})
	whole := save(b, parent, &directory.inode, &nextDirectory)
	if err := v.commit(b, n, &next); err != nil {
		return Attributes{}, err
	}
	directory.became(&nextDirectory, whole)
	v.cache.setLoose(inode, false)
	return n.attributes(inode), nil
}

const entriesAtOnce = 128

// Directory visits the names of a directory whose cookies are greater than the given one, in the order of their cookies, until visit returns false. visit may call
// other methods; a name that comes or goes meanwhile is visited or not, all others once.
func (v *Volume) Directory(inode, cookie uint64, visit func(Entry) bool) error {
	n, err := v.shared(inode)
	if err != nil {
		return err
	}
	if !n.isDirectory() {
		v.releaseShared(n)
		return ErrNotDirectory
	}
	if !v.store.ReadOnly() {
		v.touch(n)
	}
	v.releaseShared(n)
	entries := make([]Entry, 0, entriesAtOnce)
	for {
		if entries, err = v.entries(entries[:0], inode, cookie); err != nil {
			return err
		}
		for _, e := range entries {
			if !visit(e) {
				return nil
			}
			cookie = e.Cookie
		}
		if len(entries) < entriesAtOnce {
			return nil
		}
	}
}

// entries appends the next entries of a directory, as many as there is room for.
func (v *Volume) entries(to []Entry, directory, cookie uint64) ([]Entry, error) {
	var first, end keyBuffer
	var fault error
	err := v.store.Scan(first.numbers(kindCookie, directory, cookie+1), end.numbers(kindCookie, directory+1), func(key, value []byte) bool {
		var e Entry
		if e, fault = decodeCookie(key, value); fault != nil {
			fault = fmt.Errorf("directory %d: %w", directory, fault)
			return false
		}
		to = append(to, e)
		return len(to) < cap(to)
	})
	if err == nil {
		err = fault
	}
	return to, err
}
