// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// Report is what Verify found in a store without faults.
type Report struct {
	Pages  uint64 // of the tree
	Blocks uint64 // of data
	Leaked uint64 // blocks that are taken and that nothing refers to: written while it ran, or when a crash came before their batch
}

const maximumFaults = 100

// verification is one run of Verify.
type verification struct {
	store     *Store
	progress  func(done, total uint64)
	data      func(key, value []byte, emit func(Location, Pointer))
	live      []uint64 // what the free map says
	seen      []uint64
	total     uint64
	report    Report
	faults    []error
	at        Location // of the first of batch
	batch     []Pointer
	plaintext []byte
}

// Verify reads the whole image: root blocks, log, every page and, as data emits them for each key and value, every data block. It returns all
// faults that it found, up to 100. The store can be used meanwhile; what is verified is the state when it began.
func (s *Store) Verify(progress func(done, total uint64), data func(key, value []byte, emit func(Location, Pointer))) (Report, error) {
	v := s.verify(progress, data)
	return v.report, errors.Join(v.faults...)
}

// Reclaim verifies, and frees what is leaked if there are no faults. Nobody may use the store meanwhile: what is written and not yet in a batch
// looks the same.
func (s *Store) Reclaim(progress func(done, total uint64), data func(key, value []byte, emit func(Location, Pointer))) (Report, error) {
	v := s.verify(progress, data)
	if len(v.faults) > 0 || v.report.Leaked == 0 {
		return v.report, errors.Join(v.faults...)
	}
	var b Batch
	for i, word := range v.live {
		for word &^= v.seen[i]; word != 0; word &= word - 1 {
			b.free(run{uint64(i*64 + bits.TrailingZeros64(word)), 1})
		}
		if len(b.encoded) > maximumGroup/2 || i == len(v.live)-1 {
			if err := s.Apply(&b); err != nil {
				return v.report, err
			}
			b.Reset()
		}
	}
	return v.report, s.Checkpoint()
}

func (s *Store) verify(progress func(done, total uint64), data func(key, value []byte, emit func(Location, Pointer))) *verification {
	v := &verification{store: s, progress: progress, data: data, plaintext: make([]byte, len(buffer{}))}
	s.commit.Lock()
	v.fixed()
	s.commit.Unlock()
	if !s.options.ReadOnly { // after the log was looked at, which it begins anew
		v.fault(s.Checkpoint())
	}
	came := s.readers.enter()
	defer s.leave(came)
	s.apply.Lock()
	root := s.root.Load()
	s.space.mutex.Lock()
	v.live, v.total = slices.Clone(s.space.live), s.space.lives
	s.space.mutex.Unlock()
	s.apply.Unlock()
	v.seen = make([]uint64, len(v.live))
	for at := range uint64(firstFree) {
		v.seen[at/64] |= 1 << (at % 64)
	}
	v.page(root, nil, nil)
	v.flush()
	for i, word := range v.live {
		v.report.Leaked += uint64(bits.OnesCount64(word &^ v.seen[i]))
	}
	return v
}

func (v *verification) fault(err error) {
	if err != nil && len(v.faults) < maximumFaults {
		v.faults = append(v.faults, err)
	}
}

// fixed looks at what has a place of its own: the image's size, the root blocks, the log. The commit lock is held.
func (v *verification) fixed() {
	s := v.store
	blocks, _, _ := s.space.count()
	if size, err := s.backing.Size(); err != nil {
		v.fault(lost("the image", err))
	} else if size != int64(blocks)*BlockSize && !(s.options.ReadOnly && !s.image.clean && size > int64(blocks)*BlockSize) { // grown before a crash
		v.fault(tampered("the image", fmt.Sprintf("has %d bytes, and %d were written: it was cut off, or something was appended", size, blocks*BlockSize)))
	}
	for number := range uint64(rootBlocks) {
		where := fmt.Sprintf("block %d (root block)", number)
		newest := s.image.epoch%rootBlocks == number
		if s.recovery.TornRoot && s.options.ReadOnly && !newest {
			continue // said by Recovery; nothing depends on it
		}
		block := make([]byte, BlockSize)
		if err := s.read(block, number, where); err != nil {
			v.fault(err)
			continue
		}
		i, tag, err := s.keyring.openRoot(block, number)
		switch {
		case err != nil:
			v.fault(tampered(where, "does not authenticate"))
		case newest && tag != s.state.Root:
			v.fault(&Error{Kind: RolledBack, Place: where, What: fmt.Sprintf("holds epoch %d, and epoch %d was written", i.epoch, s.image.epoch)})
		}
	}
	v.log()
}

// log holds the blocks of the log that were written in this epoch against what they must be.
func (v *verification) log() {
	s := v.store
	region := make([]byte, s.logNext*BlockSize)
	if len(region) == 0 {
		return
	}
	if err := s.read(region, logStart, "the log"); err != nil {
		v.fault(err)
		return
	}
	for at := range s.logNext {
		if _, err := s.keyring.openLog(s.logBox, s.image.epoch, at, s.state.Root, region[at*BlockSize:][:BlockSize]); err != nil {
			v.fault(tampered(fmt.Sprintf("block %d (the log)", logStart+at), "does not authenticate"))
		}
	}
}

// take marks a block as referred to.
func (v *verification) take(at uint64, where string) bool {
	word, bit := at/64, uint64(1)<<(at%64)
	switch {
	case at < firstFree || word >= uint64(len(v.live)):
		v.fault(tampered(where, "is referred to, and is no place for it"))
		return false
	case v.live[word]&bit == 0:
		v.fault(tampered(where, "is referred to, and free"))
	case v.seen[word]&bit != 0:
		v.fault(tampered(where, "is referred to twice"))
	}
	v.seen[word] |= bit
	if done := v.report.Pages + v.report.Blocks; v.progress != nil && done%256 == 0 {
		v.progress(done, v.total)
	}
	return true
}

// page verifies a page, whose keys are from <= key < to, and all below it.
func (v *verification) page(p *page, from, to []byte) {
	if p == nil {
		return
	}
	c := p.content.Load()
	if p.state.Load() == stored { // read it again, whatever memory says
		if !v.take(p.pointer.address(), fmt.Sprintf("block %d (page of level %d of the tree)", p.pointer.address(), p.level)) {
			return
		}
		var err error
		if c, err = v.store.fetch(p); err != nil {
			v.fault(err)
			return
		}
	}
	v.report.Pages++
	if n := len(c.keys); n > 0 && (string(c.keys[0]) < string(from) || to != nil && string(c.keys[n-1]) >= string(to)) {
		v.fault(tampered(fmt.Sprintf("block %d (page of level %d of the tree)", p.pointer.address(), p.level), "has keys that belong elsewhere"))
	}
	for i, key := range c.keys {
		if p.level == 0 && key[0] != 0 && v.data != nil {
			v.data(key, c.values[i], v.emit)
		}
	}
	for i, child := range c.children {
		low, high := from, to
		if i > 0 {
			low = c.keys[i-1]
		}
		if i < len(c.keys) {
			high = c.keys[i]
		}
		v.page(child, low, high)
	}
}

// emit takes one data block; consecutive ones are read together.
func (v *verification) emit(at Location, p Pointer) {
	if p == (Pointer{}) || !v.take(p.address(), fmt.Sprintf("block %d (data: file %d, block %d)", p.address(), at.File, at.Index)) {
		return
	}
	v.report.Blocks++
	if n := uint64(len(v.batch)); n > 0 && (at.File != v.at.File || at.Index != v.at.Index+n || n >= uint64(len(v.plaintext)/BlockSize)) {
		v.flush()
	}
	if len(v.batch) == 0 {
		v.at = at
	}
	v.batch = append(v.batch, p)
}

func (v *verification) flush() {
	if err := v.store.ReadBlocks(v.at, v.batch, v.plaintext); err != nil {
		for i := range v.batch { // one by one, so that each fault is named
			v.fault(v.store.ReadBlocks(Location{v.at.File, v.at.Index + uint64(i)}, v.batch[i:i+1], v.plaintext))
		}
	}
	v.batch = v.batch[:0]
}
