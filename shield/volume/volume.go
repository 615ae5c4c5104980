// SPDX-License-Identifier: Apache-2.0

// Package volume is a file system with POSIX semantics on the authenticated store: inodes, names, extended attributes and data.
//
// It leaves to its server what Linux's VFS does for a file system that is mounted with default_permissions: permissions, the sticky bit, path walks,
// symbolic links, file descriptors, O_APPEND. All the rest is here: which operation moves which time of which inode, links, set-group-ID directories, the end of
// set-user-ID, rename in all its cases, files that lost their last name while in use, holes.
//
// Each operation is one batch of the store, so that a crash finds it whole or not at all; one that frees much leaves a note in that batch and goes on in
// others, which Open completes. Sync makes durable what was done before.
//
// All methods may be called at once. Keys and values in the store are described in keys.go and inode.go, and in shield/FORMAT.md.
package volume

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// Volume is an open file system.
type Volume struct {
	store *store.Store
	clock func() time.Time
	cache cache
	pool  sync.Pool                // of *store.Batch
	moves sync.Pool                // of *transfer
	step  int                      // stepGroups
	apply func(*store.Batch) error // of the store; a test cuts the power around it

	tree sync.RWMutex // exclusive: nothing else changes names. Renames between directories take it so.

	counters sync.Mutex
	next     uint64 // inode number
	inodes   uint64
}

// Format makes an empty file system on an empty store. The root directory gets mode, owner, group and times of the attributes.
func Format(s *store.Store, root Attributes) error {
	var key keyBuffer
	existing, err := s.Get(key.numbers(kindCounters), nil)
	if err != nil {
		return err
	}
	if existing != nil {
		return fmt.Errorf("the store holds a volume: %w", ErrExist)
	}
	i := inode{mode: ModeDirectory | root.Mode&ModePermissions, links: 2, uid: root.UID, gid: root.GID, parent: RootInode,
		accessed: root.Accessed, modified: root.Modified, changed: root.Changed, created: root.Created}
	if fault := i.fault(0); fault != "" {
		return fmt.Errorf("root directory: %s: %w", fault, ErrInvalid)
	}
	var b store.Batch
	put(&b, RootInode, &i)
	putCounters(&b, RootInode+1, 1)
	return s.Apply(&b)
}

// Open opens the file system on a store, and completes what a crash interrupted. The clock gives the times of inodes.
func Open(s *store.Store, clock func() time.Time) (*Volume, error) {
	v := &Volume{store: s, clock: clock, step: stepGroups, apply: s.Apply}
	v.cache.init()
	v.pool.New = func() any { return new(store.Batch) }
	v.moves.New = func() any { return new(transfer) }
	var key keyBuffer
	value, err := s.Get(key.numbers(kindCounters), nil)
	switch {
	case err != nil:
		return nil, err
	case value == nil:
		return nil, fmt.Errorf("the store holds no volume: %w", ErrNotExist)
	case len(value) != 16:
		return nil, fmt.Errorf("counters of %d bytes: %w", len(value), ErrCorrupt)
	}
	v.next, v.inodes = binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[8:])
	if v.next <= RootInode {
		return nil, fmt.Errorf("next inode is %d: %w", v.next, ErrCorrupt)
	}
	if s.ReadOnly() {
		return v, nil
	}
	return v, v.dropOrphans(false)
}

// Close writes what is only in memory, drops what lost its name while in use, and closes the store.
func (v *Volume) Close() error {
	var first error
	if !v.store.ReadOnly() {
		if first = v.writeTimes(); first == nil {
			first = v.dropOrphans(true)
		}
	}
	if err := v.store.Close(); first == nil {
		first = err
	}
	return first
}

// writeTimes writes the times of access of all nodes.
func (v *Volume) writeTimes() error {
	v.cache.Lock()
	nodes := make([]*node, 0, len(v.cache.nodes))
	for _, n := range v.cache.nodes {
		nodes = append(nodes, n)
	}
	v.cache.Unlock()
	for _, n := range nodes {
		n.Lock()
		err := v.writeAccessed(n)
		n.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// Sync makes durable what was done before, of this inode and of all others. Without the data alone, the time of access of this one too.
func (v *Volume) Sync(inode uint64, dataOnly bool) error {
	if !dataOnly && !v.store.ReadOnly() {
		n, err := v.exclusive(inode)
		if err != nil {
			return err
		}
		err = v.writeAccessed(n)
		v.release(n)
		if err != nil {
			return err
		}
	}
	return v.store.Sync()
}

// Statistics says how full the volume is.
func (v *Volume) Statistics() Statistics {
	total, _, free := v.store.Usage()
	v.counters.Lock()
	defer v.counters.Unlock()
	left := free * inodesPerBlock
	return Statistics{BlockSize: blockSize, Blocks: total, Free: free, Inodes: v.inodes, InodesFree: left, InodesMaximum: v.inodes + left}
}

// inodesPerBlock is how many inodes with a name find room in a page of the tree: about 400 bytes each, pages two thirds full.
const inodesPerBlock = 8

// Attributes returns what stat(2) says of an inode.
func (v *Volume) Attributes(inode uint64) (Attributes, error) {
	n, err := v.shared(inode)
	if err != nil {
		return Attributes{}, err
	}
	defer v.releaseShared(n)
	return n.attributes(inode), nil
}

// Opened says that the inode is in use: without a name it stays until Forgotten was called as often. ErrNotExist: it went before.
func (v *Volume) Opened(inode uint64) error {
	n, err := v.shared(inode)
	if err != nil {
		return err
	}
	defer v.releaseShared(n)
	v.cache.Lock()
	v.cache.used[inode]++
	v.cache.Unlock()
	return nil
}

// Forgotten ends what Opened began, and frees the inode if it has no name left.
func (v *Volume) Forgotten(inode uint64) error {
	if !v.cache.unused(inode) || v.store.ReadOnly() {
		return nil
	}
	n, err := v.exclusive(inode)
	if err != nil {
		return err
	}
	defer v.release(n)
	return v.eraseUnused(n)
}

func (v *Volume) now() Time { return TimeOf(v.clock()) }

func (v *Volume) batch() *store.Batch { return v.pool.Get().(*store.Batch) }

func (v *Volume) done(b *store.Batch) {
	b.Reset()
	v.pool.Put(b)
}

// putCounters patches, as putNote does.
func putCounters(b *store.Batch, next, inodes uint64) {
	var key keyBuffer
	var value [16]byte
	b.Patch(key.numbers(kindCounters), 0, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(value[:0], next), inodes))
}

// reserve returns a number that no inode ever had. It is kept with the next batch that counted applies.
func (v *Volume) reserve() uint64 {
	v.counters.Lock()
	defer v.counters.Unlock()
	v.next++
	return v.next - 1
}

// counted applies a batch by which there are so many inodes more.
func (v *Volume) counted(b *store.Batch, more int) error {
	v.counters.Lock()
	defer v.counters.Unlock()
	putCounters(b, v.next, v.inodes+uint64(more))
	if err := v.apply(b); err != nil {
		return err
	}
	v.inodes += uint64(more)
	return nil
}
