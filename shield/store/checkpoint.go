// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"maps"
)

// frozen is what a checkpoint writes.
type frozen struct {
	root  *page
	pages []*page // children before their parents
	batch uint64
	freed groups
	begun uint64
}

// Checkpoint writes the tree and a new root block, after which the log begins anew and space that was freed is available. It does nothing
// where nothing was changed.
func (s *Store) Checkpoint() error {
	s.commit.Lock()
	defer s.commit.Unlock()
	if err := s.failed(); err != nil {
		return err
	}
	s.apply.Lock()
	changed := s.batch != s.checkpointed || s.seals.Load() > sealsAtOnce
	s.apply.Unlock()
	if !changed {
		return nil
	}
	return s.checkpoint(false)
}

// checkpoint makes one in any case. The commit lock is held, or nobody else knows the store yet.
func (s *Store) checkpoint(clean bool) error {
	f, err := s.freeze()
	if err != nil {
		return err
	}
	if err := s.writePages(f.pages); err != nil {
		return s.broken("the tree", err)
	}
	if err := s.backing.Sync(); err != nil {
		return s.broken("the image", err)
	}
	if err := s.writeRoot(f, clean); err != nil {
		return err
	}
	s.durable = f.batch
	s.readers.mutex.Lock()
	s.readers.releases = append(s.readers.releases, release{f.begun, f.freed})
	s.readers.mutex.Unlock()
	s.release()
	return nil
}

// freeze takes up everything that was changed and decides where it goes. The free map is in the tree, so that each address given to a page
// changes pages; but addresses are consecutive and few groups of the map are touched, so that this ends after two or three rounds.
func (s *Store) freeze() (*frozen, error) {
	s.apply.Lock()
	defer s.apply.Unlock()
	s.space.mutex.Lock()
	defer s.space.mutex.Unlock()
	t := &change{store: s, batch: s.batch + 1, root: s.root.Load(), freezes: true}
	undo := undo{changed: maps.Clone(s.space.changed)}
	for again := true; again; again = len(s.space.changed) > 0 {
		if err := s.place(t, &undo); err != nil {
			s.unfreeze(&undo)
			return nil, err
		}
	}
	s.batch++
	f := &frozen{root: t.root, batch: s.batch, freed: s.space.freed}
	f.pages = collect(t.root, nil, func(*page) bool { return true })
	for _, p := range f.pages {
		p.state.Store(assigned)
	}
	s.space.freed = groups{}
	s.pages, s.pagesTaken = 0, len(f.pages)
	s.space.pages = uint64(s.pagesTaken)
	s.log = pending{}
	s.written.take()
	s.checkpointed = s.batch
	s.root.Store(t.root)
	f.begun = s.readers.begin()
	return f, nil
}

// place puts what changed of the free map into the tree, gives the pages that have none an address, and frees the pages that were replaced.
func (s *Store) place(t *change, undo *undo) error {
	keys, values := s.space.takeChanged()
	for i, key := range keys {
		var err error
		if values[i] == nil {
			err = t.remove(key)
		} else {
			err = t.put(key, values[i])
		}
		if err != nil {
			return err
		}
	}
	freed := make([]run, len(t.freed))
	for i, at := range t.freed {
		freed[i] = run{at, 1}
	}
	t.freed = nil
	if err := s.space.free(freed); err != nil {
		return err
	}
	undo.freed = append(undo.freed, freed...)
	pages := collect(t.root, nil, func(p *page) bool { return p.pointer.address() == 0 })
	if err := s.space.ensure(uint64(len(pages))); err != nil {
		return err
	}
	runs := s.space.allocate(len(pages))
	undo.taken = append(undo.taken, runs...)
	for _, r := range runs {
		for i := range r.blocks {
			pages[i].pointer = makePointer(r.address+uint64(i), uint16(s.generation.Load()))
		}
		pages = pages[r.blocks:]
	}
	return nil
}

// undo is what a checkpoint that cannot be made gives back.
type undo struct {
	changed      map[uint64]struct{}
	taken, freed []run
}

func (s *Store) unfreeze(u *undo) {
	s.space.unfree(u.freed)
	for _, r := range u.taken {
		s.space.unmark(r)
	}
	maps.Copy(s.space.changed, u.changed)
	for _, p := range collect(s.root.Load(), nil, func(*page) bool { return true }) {
		p.pointer = Pointer{}
	}
}

// collect appends the fresh pages that are wanted, children before their parents.
func collect(p *page, into []*page, wanted func(*page) bool) []*page {
	if p == nil || p.state.Load() != fresh {
		return into
	}
	for _, child := range p.content.Load().children {
		into = collect(child, into, wanted)
	}
	if wanted(p) {
		into = append(into, p)
	}
	return into
}

// writePages seals and writes pages, and lets go of what they kept in memory besides.
func (s *Store) writePages(pages []*page) error {
	const most = 64
	buf := make([]byte, 0, most*BlockSize+tagSize)
	begin := 0
	for i, p := range pages {
		if err := s.sealPage(p, buf[len(buf):]); err != nil {
			return err
		}
		buf = buf[:len(buf)+BlockSize]
		if i+1-begin < most && i+1 < len(pages) && pages[i+1].pointer.address() == p.pointer.address()+1 {
			continue
		}
		if err := s.write(buf, pages[begin].pointer.address()); err != nil {
			return err
		}
		for _, written := range pages[begin : i+1] {
			written.state.Store(stored)
			s.cache.add(written)
		}
		buf, begin = buf[:0], i+1
	}
	s.seals.Add(uint64(len(pages)))
	return nil
}

// sealPage appends a page to into, and sets its pointer and a content that keeps nothing else in memory.
func (s *Store) sealPage(p *page, into []byte) error {
	box, err := s.keyring.of(treeFile, p.pointer.generation())
	if err != nil {
		return err
	}
	c, block := p.content.Load(), make([]byte, BlockSize)
	if size := c.size(); size > BlockSize {
		return fmt.Errorf("a page of %d bytes", size)
	}
	c.encode(p.level, block)
	compact, err := c.rebase(block)
	if err != nil {
		return err
	}
	random(p.pointer.nonce())
	sealed := box.seal(into[:0], p.pointer.nonce(), block, s.keyring.ofPage(p.level, p.pointer.address()))
	copy(p.pointer.tag(), sealed[BlockSize:])
	p.content.Store(compact)
	return nil
}

// writeRoot makes the frozen state the newest.
func (s *Store) writeRoot(f *frozen, clean bool) error {
	next := image{epoch: s.image.epoch + 1, clean: clean, generation: uint16(s.generation.Load()), seals: s.image.seals + s.seals.Swap(0)}
	if next.epoch <= s.state.Epoch { // a rollback was accepted: its epochs are not used again
		next.epoch += (s.state.Epoch - next.epoch + 2) / rootBlocks * rootBlocks
	}
	next.blocks, _, _ = s.space.count()
	if f.root != nil {
		next.root, next.level = f.root.pointer, f.root.level
	}
	if next.seals > sealsMost {
		if next.generation++; next.generation == 0 {
			return s.broken("the keys", fmt.Errorf("were all used: copy what is in the volume into a new one"))
		}
		next.seals = 0
	}
	block, tag, err := s.keyring.sealRoot(next)
	if err != nil {
		return s.broken("the keys", err)
	}
	box, err := s.keyring.ofLog(next.epoch)
	if err != nil {
		return s.broken("the keys", err)
	}
	number := next.epoch % rootBlocks
	if err := s.write(block, number); err != nil {
		return s.broken("the root block", err)
	}
	if err := s.backing.Sync(); err != nil {
		return s.broken("the root block", err)
	}
	s.image, s.logBox, s.logNext = next, box, 0
	s.generation.Store(uint32(next.generation))
	s.state = State{Epoch: next.epoch, Root: tag, Clean: clean}
	if s.anchor != nil {
		if err := s.anchor.Commit(s.keyring.keys.volume, s.state); err != nil {
			return s.broken("the anchor", err)
		}
	}
	s.apply.Lock()
	s.pagesTaken = 0
	s.space.settle(uint64(s.pages))
	s.apply.Unlock()
	return nil
}
