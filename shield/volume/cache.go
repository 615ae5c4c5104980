// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"fmt"
	"sync"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// cachedNodes is how many inodes that nobody uses stay decoded, unless a test says otherwise: about 6 MB, and 16 MB more if each holds its contents.
const cachedNodes = 16384

// node is an inode in memory. What the store has is what inode says, but for the time of access, which may be ahead.
//
// Order of locks: Volume.tree, then directories from the root downwards, then other inodes by number, then Volume.counters, then Volume.cache.
type node struct {
	number uint64

	sync.RWMutex
	inode
	fault    error // what every operation is answered with: it is gone, or a change of it stopped half way
	accessed bool  // the time of access in the store is older

	// guarded by Volume.cache
	pins       int
	newer, old *node // the list of those that nobody pins
}

// cache holds nodes by number, and the list of those that may be forgotten.
type cache struct {
	sync.Mutex
	nodes map[uint64]*node
	list  node              // newer: the one unpinned longest ago; old: the last one
	idle  int               // length of the list
	limit int               // cachedNodes
	used  map[uint64]uint64 // inode -> how often it is in use outside (Opened)
	loose map[uint64]bool   // inodes without a name that wait for the end of their use
}

func (c *cache) init() {
	c.nodes, c.used, c.loose = make(map[uint64]*node), make(map[uint64]uint64), make(map[uint64]bool)
	c.list.newer, c.list.old = &c.list, &c.list
	c.limit = cachedNodes
}

func (c *cache) unlink(n *node) {
	n.newer.old, n.old.newer = n.old, n.newer
	n.newer, n.old = nil, nil
	c.idle--
}

// pin returns the node of a number, loaded or not, which stays until unpin. The second result says that the caller holds its lock and has to load it.
func (c *cache) pin(number uint64) (n *node, fresh bool) {
	c.Lock()
	defer c.Unlock()
	n = c.nodes[number]
	if n == nil {
		n = &node{number: number, pins: 1}
		n.Lock()
		c.nodes[number] = n
		return n, true
	}
	if n.pins++; n.pins == 1 {
		c.unlink(n)
	}
	return n, false
}

// unpin lets go of a node. It returns one that is to leave the cache, pinned, once its time of access is written; or nil.
func (c *cache) unpin(n *node) *node {
	c.Lock()
	defer c.Unlock()
	if n.pins--; n.pins > 0 || c.nodes[n.number] != n { // or forgotten meanwhile
		return nil
	}
	last := c.list.old
	n.newer, n.old = &c.list, last
	last.newer, c.list.old = n, n
	if c.idle++; c.idle <= c.limit {
		return nil
	}
	oldest := c.list.newer
	c.unlink(oldest)
	if oldest.accessed {
		oldest.pins++
		return oldest
	}
	delete(c.nodes, oldest.number)
	return nil
}

// drop lets go of a node that is to leave the cache, unless it is in use again.
func (c *cache) drop(n *node) {
	c.Lock()
	defer c.Unlock()
	if n.pins--; n.pins == 0 && c.nodes[n.number] == n {
		delete(c.nodes, n.number)
	}
}

// forget takes a pinned node out of the cache: its number is loaded anew, or is gone.
func (c *cache) forget(n *node) {
	c.Lock()
	defer c.Unlock()
	if c.nodes[n.number] == n {
		delete(c.nodes, n.number)
	}
}

func (c *cache) inUse(number uint64) bool {
	c.Lock()
	defer c.Unlock()
	return c.used[number] > 0
}

// unused ends a use, and says whether that was the last one of an inode without a name.
func (c *cache) unused(number uint64) bool {
	c.Lock()
	defer c.Unlock()
	if c.used[number] > 1 {
		c.used[number]--
		return false
	}
	delete(c.used, number)
	return c.loose[number]
}

func (c *cache) setLoose(number uint64, loose bool) {
	c.Lock()
	defer c.Unlock()
	if loose {
		c.loose[number] = true
	} else {
		delete(c.loose, number)
	}
}

// adopt keeps a new inode as a node.
func (v *Volume) adopt(number uint64, i *inode) {
	n, fresh := v.cache.pin(number)
	if fresh {
		n.inode = *i
		n.Unlock()
	}
	v.unpin(n)
}

// node returns the pinned node of a number, loaded.
func (v *Volume) node(number uint64) (*node, error) {
	n, fresh := v.cache.pin(number)
	if !fresh {
		return n, nil
	}
	defer n.Unlock()
	if n.fault = v.load(n); n.fault != nil {
		v.cache.forget(n)
		v.unpin(n)
		return nil, n.fault
	}
	return n, nil
}

func (v *Volume) load(n *node) error {
	var key keyBuffer
	var buffer [headerSize + maximumInline]byte
	value, err := v.store.Get(key.numbers(kindInode, n.number), buffer[:0])
	if err != nil {
		return err
	}
	if value == nil {
		return ErrNotExist
	}
	if n.inode, err = decodeInode(value); err != nil {
		return fmt.Errorf("inode %d: %w", n.number, err)
	}
	return nil
}

func (v *Volume) unpin(n *node) {
	if old := v.cache.unpin(n); old != nil {
		old.Lock()
		_ = v.writeAccessed(old) // a time of access may be lost
		old.Unlock()
		v.cache.drop(old)
	}
}

// shared returns a node locked for reading, to be given back by releaseShared.
func (v *Volume) shared(number uint64) (*node, error) {
	n, err := v.node(number)
	if err != nil {
		return nil, err
	}
	n.RLock()
	if n.fault != nil {
		err = n.fault
		v.releaseShared(n)
		return nil, err
	}
	return n, nil
}

func (v *Volume) releaseShared(n *node) {
	n.RUnlock()
	v.unpin(n)
}

// exclusive returns a node locked for changes, to be given back by release.
func (v *Volume) exclusive(number uint64) (*node, error) {
	n, err := v.node(number)
	if err != nil {
		return nil, err
	}
	n.Lock()
	if n.fault != nil {
		err = n.fault
		v.release(n)
		return nil, err
	}
	return n, nil
}

func (v *Volume) release(n *node) {
	n.Unlock()
	v.unpin(n)
}

// directory returns an exclusive directory in which names may be changed.
func (v *Volume) directory(number uint64) (*node, error) {
	n, err := v.exclusive(number)
	if err != nil {
		return nil, err
	}
	switch {
	case !n.isDirectory():
		err = ErrNotDirectory
	case n.links == 0:
		err = ErrNotExist
	default:
		return n, nil
	}
	v.release(n)
	return nil, err
}

// save puts into a batch what next has and was had not, and says whether that includes the time of access.
func save(b *store.Batch, number uint64, was, next *inode) (whole bool) {
	same := len(was.inline) == len(next.inline) && (len(was.inline) == 0 || &was.inline[0] == &next.inline[0])
	switch {
	case !same:
		put(b, number, next)
	case was.mode == next.mode && was.links == next.links && was.uid == next.uid && was.gid == next.gid && was.flags == next.flags &&
		was.accessed == next.accessed && was.parent == next.parent && was.cookie == next.cookie:
		patchWritten(b, number, next)
		return false
	default:
		patch(b, number, next)
	}
	return true
}

// put puts the whole inode into a batch.
func put(b *store.Batch, number uint64, i *inode) {
	var key keyBuffer
	var value [headerSize + maximumInline]byte
	b.Put(key.numbers(kindInode, number), append(i.appendHeader(value[:0]), i.inline...))
}

// patch puts the header of an inode whose contents stay as they are into a batch.
func patch(b *store.Batch, number uint64, i *inode) {
	var key keyBuffer
	var value [headerSize]byte
	b.Patch(key.numbers(kindInode, number), 0, i.appendHeader(value[:0]))
}

// patchWritten is patch where only size, blocks and the times of modification and change may differ from what the store has.
func patchWritten(b *store.Batch, number uint64, i *inode) {
	var key keyBuffer
	var value [headerSize]byte
	b.Patch(key.numbers(kindInode, number), 0, i.appendHeader(value[:0])[:40])
}

const relatime = 24 * 60 * 60 // seconds after which an access counts though nothing changed since the last one; mount(8)

// touch notes an access to a shared, pinned node, if its time of access is to move (relatime). It is written with the node's next change.
func (v *Volume) touch(n *node) {
	now := v.now()
	if n.inode.changed.before(n.inode.accessed) && n.inode.modified.before(n.inode.accessed) && now.Seconds-n.inode.accessed.Seconds < relatime {
		return
	}
	n.RUnlock()
	n.Lock()
	if n.fault == nil {
		n.inode.accessed, n.accessed = now, true
	}
	n.Unlock()
	n.RLock()
}

// writeAccessed writes a time of access that only memory has.
func (v *Volume) writeAccessed(n *node) error {
	if !n.accessed || n.fault != nil {
		return nil
	}
	b := v.batch()
	defer v.done(b)
	var key keyBuffer
	var value [headerSize]byte
	b.Patch(key.numbers(kindInode, n.number), 40, n.appendHeader(value[:0])[40:52])
	if err := v.apply(b); err != nil {
		return err
	}
	n.accessed = false
	return nil
}
