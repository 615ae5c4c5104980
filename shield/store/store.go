// SPDX-License-Identifier: Apache-2.0

// Package store keeps keys, values and data blocks in one image that a hostile or failing storage may hold: everything is encrypted and
// authenticated, nothing is overwritten in place, and a crash leaves the state of the last Sync or a later one. shield/FORMAT.md has the
// bytes.
//
// The image is a B+tree of pages of 4096 bytes, data blocks of the same size, a log and two root blocks. A pointer carries the address,
// nonce and tag of what it points to, so that the root block's tag stands for the whole state; its epoch, kept by an Anchor outside the
// image too, tells an older whole state from the newest.
//
// Trees are persistent values: Apply makes a new root that shares what did not change with the old one. Readers and a checkpoint therefore
// work on a root of their own without locks. Locks, in the order in which they are taken: commit (log, checkpoint), apply (the newest
// root), space (which blocks are free), and small ones that call nothing.
package store

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// BlockSize is the size in bytes of a data block, of a page of the tree, of a block of the log and of a root block.
const BlockSize = 4096

const (
	maximumKey   = 300  // bytes; the first is not zero: such keys are the store's own
	maximumValue = 1200 // bytes
)

// Backing is an image: File in production. Offsets and lengths are in bytes; implementations are safe for concurrent use.
type Backing interface {
	ReadAt(p []byte, offset int64) (int, error)
	WriteAt(p []byte, offset int64) (int, error)
	Sync() error               // what was written before is on stable storage when it returns
	Size() (int64, error)      // bytes
	Resize(size int64) error   // grows, with space set aside where the file system can, or shrinks; an error of kind Full changes nothing
	Available() (int64, error) // bytes by which it could grow
	Close() error
}

// State is what an anchor knows of a volume. It orders by Epoch, then Sequence.
type State struct {
	Epoch    uint64   // of the newest root block
	Sequence uint64   // groups of the log that were synced on top of it
	Root     [16]byte // the tag of that root block
	Clean    bool     // closed: nothing was written after the root block
}

// Anchor keeps the newest state outside the volume, so that an older copy of the whole volume is found out.
type Anchor interface {
	Load(volume [16]byte) (State, error)   // the zero State: never seen
	Note(volume [16]byte, s State) error   // after each Sync: cheap; survives the end of this process, need not survive a power loss
	Commit(volume [16]byte, s State) error // at each checkpoint and at Close: durable when it returns
	Close() error
}

// Options of Create and Open.
type Options struct {
	Keys            Keys
	Anchor          Anchor        // the caller's to close, after the store; nil: an older copy of the whole image is not found out
	AcceptRollback  bool          // a state older than the anchor's is taken for the newest: a restored backup
	ReadOnly        bool          // nothing is written, the log is replayed in memory
	CachePages      int           // pages of the tree kept in memory, about 8 KiB each; 0: 4096
	CheckpointAfter time.Duration // the longest that a change stays in the log alone; 0: 5 s; negative: no checkpoint by time
	Capacity        uint64        // blocks to which the image may grow; 0: as far as the backing goes
}

// Recovery says what Open found that a clean close would not have left.
type Recovery struct {
	Groups   uint64 // of the log that were replayed
	TornTail bool   // the log ended in a group that was never synced
	TornRoot bool   // the other root block does not authenticate: a checkpoint was cut off, or it was changed afterwards
}

// Store is an open image. Its methods may be called at once from any number of goroutines.
type Store struct {
	backing  Backing
	anchor   Anchor
	options  Options
	keyring  *keyring
	space    *space
	cache    *cache
	readers  readers
	recovery Recovery

	root atomic.Pointer[page] // the newest tree; nil: empty

	apply        sync.Mutex // held to make a new root
	pages        int        // pages of the tree that no checkpoint has taken up yet
	pagesTaken   int        // pages that a checkpoint under way writes
	batch        uint64     // batches so far: stamps pages, so that a batch changes in place only what it made
	checkpointed uint64     // batches that the last checkpoint took up
	log          pending    // what the next group of the log will hold

	written    written
	seals      atomic.Uint64 // since the last checkpoint
	generation atomic.Uint32 // of keys for data and pages
	buffers    sync.Pool

	commit  sync.Mutex // held to write the log, a checkpoint or the end
	durable uint64     // batches on stable storage
	state   State      // as the anchor has it
	image   image      // what the newest root block says
	logNext int        // block of the log that is written next
	logBox  box        // of this epoch

	failure atomic.Pointer[Error] // once stable storage failed, nothing more is written
	kick    chan struct{}
	done    chan struct{}
	ended   sync.WaitGroup
	closing sync.Once
}

// Create makes an empty store in a backing of size zero.
func Create(b Backing, o Options) (*Store, error) {
	size, err := b.Size()
	if err != nil {
		return nil, lost("the image", err)
	}
	if size != 0 {
		return nil, &Error{Kind: Format, Place: "the image", What: fmt.Sprintf("has %d bytes where an empty one is wanted", size)}
	}
	s := prepare(b, o)
	if err := s.resize(initialBlocks); err != nil {
		return nil, err
	}
	s.space = newSpace(initialBlocks, s.resize)
	if err := s.space.occupy(0, firstFree, initialBlocks); err != nil {
		return nil, err
	}
	zeros := make([]byte, logBlocks*BlockSize) // written, so that no later sync has to allocate for the log
	if err := s.write(zeros, logStart); err != nil {
		return nil, err
	}
	if o.Anchor != nil { // a volume of this identity may have been here before
		known, err := o.Anchor.Load(o.Keys.volume)
		if err != nil {
			return nil, lost("the anchor", err)
		}
		if known != (State{}) {
			return nil, &Error{Kind: Format, Place: "the anchor", What: fmt.Sprintf("knows this volume already, at epoch %d", known.Epoch)}
		}
	}
	for range 2 { // both root blocks, so that each of them authenticates from now on
		if err := s.checkpoint(false); err != nil {
			return nil, err
		}
	}
	s.start()
	return s, nil
}

// Open opens a store, replays its log, and makes a checkpoint, so that a log is never continued by another opening than the one that began it.
func Open(b Backing, o Options) (*Store, error) {
	s := prepare(b, o)
	if err := s.recover(); err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		if err := s.checkpoint(false); err != nil {
			return nil, err
		}
		s.start()
	}
	return s, nil
}

func prepare(b Backing, o Options) *Store {
	if o.CachePages <= 0 {
		o.CachePages = 4096
	}
	if o.CheckpointAfter == 0 {
		o.CheckpointAfter = 5 * time.Second
	}
	s := &Store{backing: b, anchor: o.Anchor, options: o, keyring: newKeyring(o.Keys), cache: newCache(o.CachePages), kick: make(chan struct{}, 1), done: make(chan struct{})}
	s.readers.active = map[uint64]int{}
	s.buffers.New = func() any { return new(buffer) }
	return s
}

// start begins the checkpoints by time and by amount.
func (s *Store) start() {
	s.ended.Go(func() {
		var tick <-chan time.Time
		if s.options.CheckpointAfter > 0 {
			ticker := time.NewTicker(s.options.CheckpointAfter)
			defer ticker.Stop()
			tick = ticker.C
		}
		for {
			select {
			case <-s.done:
				return
			case <-tick:
			case <-s.kick:
			}
			_ = s.Checkpoint() // a failure stays in s.failure, and every later writer is told
		}
	})
}

// Close makes a last checkpoint, marked clean, tells the anchor and closes the backing. The store cannot be used after it; closing it again does
// nothing.
func (s *Store) Close() (err error) {
	s.closing.Do(func() { err = s.close() })
	return err
}

func (s *Store) close() (err error) {
	if !s.options.ReadOnly {
		close(s.done)
		s.ended.Wait()
		s.commit.Lock()
		if err = s.failed(); err == nil {
			err = s.checkpoint(true)
		}
		s.commit.Unlock()
		s.fail(&Error{Kind: Lost, Place: "the store", What: "was closed"})
	}
	s.keyring.wipe()
	if closing := s.backing.Close(); err == nil && closing != nil {
		err = lost("the image", closing)
	}
	return err
}

// ReadOnly says whether changes are refused.
func (s *Store) ReadOnly() bool { return s.options.ReadOnly }

// Recovery says what Open found.
func (s *Store) Recovery() Recovery { return s.recovery }

// State is the newest state that is on stable storage, as the anchor was told.
func (s *Store) State() State {
	s.commit.Lock()
	defer s.commit.Unlock()
	return s.state
}

// Usage is in blocks: those that the image can have, those that hold something, those that can still be written. total is the capacity, or
// what the image has and the backing could add.
func (s *Store) Usage() (total, used, free uint64) {
	blocks, live, _ := s.space.count()
	total = s.options.Capacity
	if available, err := s.backing.Available(); err == nil && (total == 0 || blocks+uint64(available)/BlockSize < total) {
		total = blocks + uint64(available)/BlockSize
	}
	total = max(total, blocks)
	free = total - min(total, live) // what was freed is vacant after the checkpoint that a full image makes
	return total, live, free - min(free, s.space.reserved())
}

// failed is what ended all writing, or nil.
func (s *Store) failed() error {
	if e := s.failure.Load(); e != nil {
		return e
	}
	if s.options.ReadOnly {
		return &Error{Kind: ReadOnly, Place: "the store", What: "was opened for reading only"}
	}
	return nil
}

// fail ends all writing: what a failed write or sync left on storage is not known.
func (s *Store) fail(e *Error) { s.failure.CompareAndSwap(nil, e) }

// write writes blocks at an address.
func (s *Store) write(blocks []byte, address uint64) error {
	n, err := s.backing.WriteAt(blocks, int64(address)*BlockSize)
	if err == nil && n != len(blocks) {
		err = fmt.Errorf("%d of %d bytes written", n, len(blocks))
	}
	if err != nil {
		return lost(place(address, len(blocks)/BlockSize), err)
	}
	return nil
}

func (s *Store) resize(blocks uint64) error {
	if s.options.Capacity != 0 && blocks > s.options.Capacity {
		return &Error{Kind: Full, Place: "the image", What: fmt.Sprintf("may have %d blocks", s.options.Capacity), Hint: "remove files, or raise the volume's capacity"}
	}
	if err := s.backing.Resize(int64(blocks) * BlockSize); err != nil {
		return lost("the image", err)
	}
	return nil
}
