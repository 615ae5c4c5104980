// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"io"
	"sync"
)

// cache bounds the contents in memory of pages that are on storage. It is a clock: the hand passes by pages that were used since it came last.
type cache struct {
	mutex sync.Mutex
	ring  []*page
	hand  int
	limit int
}

func newCache(limit int) *cache { return &cache{limit: limit} }

// add takes in a stored page whose content is in memory.
func (c *cache) add(p *page) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(c.ring) < c.limit {
		c.ring = append(c.ring, p)
		return
	}
	for c.ring[c.hand].used.Swap(false) {
		c.hand = (c.hand + 1) % len(c.ring)
	}
	c.ring[c.hand].content.Store(nil)
	c.ring[c.hand] = p
	c.hand = (c.hand + 1) % len(c.ring)
}

// load is the content of a page, of memory or of storage.
func (s *Store) load(p *page) (*content, error) {
	if c := p.content.Load(); c != nil {
		if !p.used.Load() {
			p.used.Store(true)
		}
		return c, nil
	}
	c, err := s.fetch(p)
	if err != nil {
		return nil, err
	}
	if p.content.CompareAndSwap(nil, c) {
		s.cache.add(p)
	}
	return c, nil
}

// fetch reads a page of storage.
func (s *Store) fetch(p *page) (*content, error) {
	where := fmt.Sprintf("block %d (page of level %d of the tree)", p.pointer.address(), p.level)
	sealed := make([]byte, BlockSize+tagSize)
	if err := s.read(sealed[:BlockSize], p.pointer.address(), where); err != nil {
		return nil, err
	}
	copy(sealed[BlockSize:], p.pointer.tag())
	box, err := s.keyring.of(treeFile, p.pointer.generation())
	if err != nil {
		return nil, lost("the keys", err)
	}
	plain, err := box.open(sealed[:0], p.pointer.nonce(), sealed, s.keyring.ofPage(p.level, p.pointer.address()))
	if err != nil {
		return nil, tampered(where, "does not authenticate")
	}
	c, err := decodePage(plain[:BlockSize:BlockSize], p.level)
	if err != nil {
		return nil, &Error{Kind: Tampered, Place: where, Err: err}
	}
	return c, nil
}

// read fills p with blocks of the image; where says what they are.
func (s *Store) read(p []byte, address uint64, where string) error {
	n, err := s.backing.ReadAt(p, int64(address)*BlockSize)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
		return tampered(where, "is beyond the end of the image, which was cut off")
	}
	return lost(where, err)
}

// readers are those who work on a root, by the number of checkpoints that had begun when they came. What a checkpoint freed may be used again
// once nobody is left who came before it.
type readers struct {
	mutex    sync.Mutex
	begun    uint64
	active   map[uint64]int
	releases []release
}

// release is what one checkpoint freed.
type release struct {
	begun  uint64
	groups groups
}

// enter registers a reader, who must take the root after it.
func (r *readers) enter() uint64 {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.active[r.begun]++
	return r.begun
}

// leave ends what enter began.
func (s *Store) leave(came uint64) {
	r := &s.readers
	r.mutex.Lock()
	if r.active[came]--; r.active[came] == 0 {
		delete(r.active, came)
	}
	waiting := len(r.releases) > 0
	r.mutex.Unlock()
	if waiting {
		s.release()
	}
}

// begin counts a checkpoint, whose root was published before.
func (r *readers) begin() uint64 {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.begun++
	return r.begun
}

// release gives back what no reader and no state on storage needs any more.
func (s *Store) release() {
	r := &s.readers
	r.mutex.Lock()
	oldest := r.begun
	for came := range r.active {
		oldest = min(oldest, came)
	}
	n := 0
	for n < len(r.releases) && r.releases[n].begun <= oldest {
		n++
	}
	ready := r.releases[:n:n]
	r.releases = r.releases[n:]
	r.mutex.Unlock()
	for _, each := range ready {
		s.space.release(each.groups)
	}
}
